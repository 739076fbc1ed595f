//! Non-negative factorisation: the coefficients of a row over fixed components, by coordinate descent.
//!
//! scikit-learn stops when the changes of *all* rows of a batch together have become small. Rows are independent here, so each stops by
//! itself: results are those of scikit-learn for one row at a time.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::coordinate_descent::{CoordinateDescent, MAX_ROUNDS};

use super::attributes::Matrix;
use super::formula::Formula;
use super::transformer::Transformer;
use super::{Family, Features, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `NMF`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.decomposition._nmf.NMF"],
    carried: &[],
    decode: |item| Ok(Box::new(Factors::decode(item)?)),
};

/// Components at most: the products of every two of them are kept.
const MOST_COMPONENTS: usize = 1 << 10;

/// Coefficients over components that are not negative.
#[derive(Debug, Clone, PartialEq)]
pub struct Factors {
    /// The components, a row each.
    pub components: Matrix,
    /// Weights of the sums of the coefficients and of half their squares.
    pub penalties: (f64, f64),
    /// The search ends when a round changes so little, as a share of the first one.
    pub tolerance: f64,
    /// Most rounds.
    pub rounds: u32,
}

impl Factors {
    fn decode(item: &Item<'_>) -> Result<Factors, FrontendError> {
        let solver = item.get("solver")?;
        if solver.as_str()? != "cd" {
            let reason = "its start depends on all rows of a batch; train with solver=\"cd\"";
            return Err(FrontendError::unsupported(solver.path(), format!("solver {:?}", solver.as_str()?), reason));
        }
        if item.get("shuffle")?.as_bool()? {
            return Err(unsupported(item, "coordinates in random order; train with shuffle=False"));
        }
        let rounds = item.get("max_iter")?.as_usize()?;
        let Some(rounds) = u32::try_from(rounds).ok().filter(|&rounds| rounds <= MAX_ROUNDS) else {
            return Err(unsupported(item, format!("max_iter={rounds}; {MAX_ROUNDS} at most are run")));
        };
        let components = Matrix::decode(&item.get("components_")?)?;
        if components.rows > MOST_COMPONENTS {
            return Err(unsupported(
                item,
                format!("{} components; {MOST_COMPONENTS} at most are read", components.rows),
            ));
        }
        let penalties = penalties(item, components.columns)?;
        Ok(Factors { components, penalties, tolerance: item.get("tol")?.as_f64()?, rounds })
    }
}

/// The weights of the penalties: `alpha_W`, for each column, since scikit-learn 1.0; `alpha` before, and where neither `alpha_W` nor `alpha_H` is
/// set in 1.0 and 1.1.
fn penalties(item: &Item<'_>, columns: usize) -> Result<(f64, f64), FrontendError> {
    let version = version(item)?;
    let ratio = item.get("l1_ratio")?.as_f64()?;
    let mut alpha = 0.0;
    let mut is_new = version >= (1, 2);
    if version >= (1, 0) {
        alpha = item.get("alpha_W")?.as_f64()?;
        is_new = is_new || alpha != 0.0 || item.get("alpha_H")?.as_str().is_err();
    }
    if is_new {
        let columns = columns as f64;
        return Ok(match version >= (1, 2) {
            true => (columns * alpha * ratio, columns * alpha * (1.0 - ratio)),
            false => (columns * (alpha * ratio), columns * (alpha * (1.0 - ratio))),
        });
    }
    let old = item.get("alpha")?;
    let alpha = if old.as_str().is_ok() { 0.0 } else { old.as_f64()? };
    let is_used = match item.find("regularization")? {
        Some(used) if used.is_none() => false,
        Some(used) => matches!(used.as_str()?, "both" | "transformation" | "deprecated"),
        None => true,
    };
    Ok(if is_used { (alpha * ratio, alpha * (1.0 - ratio)) } else { (0.0, 0.0) })
}

impl Transformer for Factors {
    fn width(&self) -> usize {
        self.components.columns
    }

    fn results(&self) -> usize {
        self.components.rows
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let (mut formula, x) = Formula::new(graph, path, &Features::of(x))?;
        let mut products = formula.product(x, "components_", &self.components, None)?;
        let (l1, l2) = self.penalties;
        if l1 != 0.0 {
            products = formula.scalar(BinaryKind::Sub, products, l1)?;
        }
        let count = self.components.rows;
        let mut gram = self.components.times(&self.components.transposed()).values;
        gram.iter_mut().step_by(count + 1).for_each(|square| *square += l2);
        let (graph, path) = formula.parts();
        let gram = graph.add_constant(&format!("{path}/gram"), DType::F64, &[count, count], &gram)?;
        let descent = CoordinateDescent { tolerance: self.tolerance, rounds: self.rounds };
        Ok(graph.add(&format!("{path}/descent"), descent, &[products, gram])?)
    }
}
