//! Quantile transforms: the share of the training data that is below a number, and the normal distribution's number of that share. NaN stays.
//!
//! The share is the mean of the interpolations from below and from above, which differ where quantiles are equal.

use ekiben_runtime::DType;
use ekiben_runtime::kernels::reference::normal;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::interpolate::Interpolate;
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::transformer::{Transformer, in_f64};
use super::{Family, inconsistent};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `QuantileTransformer`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.preprocessing._data.QuantileTransformer"],
    carried: &[],
    decode: |item| Ok(Box::new(Quantiles::decode(item)?)),
};

/// scikit-learn's `BOUNDS_THRESHOLD`: numbers so near to the first and last quantile count as these, and shares are kept so far from 0 and 1.
const BOUNDS: f64 = 1e-7;

/// The distribution of each column as a function.
#[derive(Debug, Clone, PartialEq)]
pub struct Quantiles {
    /// Columns of the input.
    pub features: usize,
    /// The shares that quantiles are known of, rising from 0 to 1.
    pub references: Vec<f64>,
    /// The quantiles of each column, `features * references.len()`.
    pub quantiles: Vec<f64>,
    /// The result is a number of the standard normal distribution instead of a share.
    pub normal: bool,
}

impl Quantiles {
    fn decode(item: &Item<'_>) -> Result<Quantiles, FrontendError> {
        let distribution = item.get("output_distribution")?;
        let normal = match distribution.as_str()? {
            "uniform" => false,
            "normal" => true,
            _ => return Err(distribution.wrong("uniform or normal").into()),
        };
        let references = item.get("references_")?.array()?.f64s()?;
        let attribute = item.get("quantiles_")?;
        let array = attribute.array()?;
        let &[count, features] = array.shape() else {
            return Err(attribute.wrong("an array of two dimensions").into());
        };
        if count != references.len() || count == 0 || features == 0 {
            let reason = format!("{count} quantiles of {features} columns, {} shares", references.len());
            return Err(inconsistent(&attribute, reason));
        }
        let values = array.f64s()?;
        let column = |column| values.iter().skip(column).step_by(features).copied();
        let quantiles = (0..features).flat_map(column).collect();
        Ok(Quantiles { features, references, quantiles, normal })
    }

    /// The first (or last) quantile of each column.
    fn ends(&self, last: bool) -> Vec<f64> {
        let each = self.quantiles.chunks_exact(self.references.len());
        each.filter_map(|column| if last { column.last() } else { column.first() }).copied().collect()
    }

    /// `inside`, but `results` (for each column, or one for all) where `x` lies at an end: at `bounds` or within [`BOUNDS`] or beyond for the normal
    /// distribution.
    fn at_ends(
        &self,
        graph: &mut Graph,
        path: &str,
        (x, inside): (TensorId, TensorId),
        bounds: [&[f64]; 2],
        results: [&[f64]; 2],
    ) -> Result<TensorId, FrontendError> {
        let mut y = inside;
        // The lower end comes last, so it holds where both do.
        for (end, shift, kind) in [(1, BinaryKind::Add, CompareKind::Greater), (0, BinaryKind::Sub, CompareKind::Less)]
        {
            let name = format!("{path}/{}", ["lower", "upper"][end]);
            let bound = graph.add_constant(&name, DType::F64, &[bounds[end].len()], bounds[end])?;
            let result = graph.add_constant(&name, DType::F64, &[results[end].len()], results[end])?;
            let is_at_end = if self.normal {
                let distance = graph.add_constant(&name, DType::F64, &[1], &[BOUNDS])?;
                let shifted = graph.add(&name, Binary { kind: shift }, &[x, distance])?;
                graph.add(&name, Compare { kind }, &[shifted, bound])?
            } else {
                graph.add(&name, Compare { kind: CompareKind::Equal }, &[x, bound])?
            };
            y = graph.add(&name, Select, &[is_at_end, result, y])?;
        }
        Ok(y)
    }

    /// The references and quantiles as constants `[1, Q]` and `[F, Q]`.
    fn constants(&self, graph: &mut Graph, path: &str) -> Result<(TensorId, TensorId), FrontendError> {
        let count = self.references.len();
        let references =
            graph.add_constant(&format!("{path}/references_"), DType::F64, &[1, count], &self.references)?;
        let dims = [self.features, count];
        let quantiles = graph.add_constant(&format!("{path}/quantiles_"), DType::F64, &dims, &self.quantiles)?;
        Ok((references, quantiles))
    }
}

impl Transformer for Quantiles {
    fn width(&self) -> usize {
        self.features
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        in_f64(graph, path, x, |graph, x| {
            let (references, quantiles) = self.constants(graph, path)?;
            let name = format!("{path}/share");
            let below = graph.add(&name, Interpolate { mirrored: false }, &[x, quantiles, references])?;
            let negative = graph.add(&name, Unary::of(UnaryKind::Neg), &[x])?;
            let above = graph.add(&name, Interpolate { mirrored: true }, &[negative, quantiles, references])?;
            let both = graph.add(&name, Binary { kind: BinaryKind::Sub }, &[below, above])?;
            let half = graph.add_constant(&format!("{path}/half"), DType::F64, &[1], &[0.5])?;
            let share = graph.add(&name, Binary { kind: BinaryKind::Mul }, &[both, half])?;
            let bounds = [self.ends(false), self.ends(true)];
            let share = self.at_ends(graph, path, (x, share), [&bounds[0], &bounds[1]], [&[0.0], &[1.0]])?;
            if !self.normal {
                return Ok(share);
            }
            let number = graph.add(&format!("{path}/ppf"), Unary::of(UnaryKind::NormalQuantile), &[share])?;
            let share = BOUNDS - f64::EPSILON;
            let (alpha, beta) = (normal::quantile(share), normal::quantile(1.0 - share));
            Ok(graph.add(&format!("{path}/clip"), Unary { kind: UnaryKind::Clip, alpha, beta }, &[number])?)
        })
    }

    fn invert(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let share = match self.normal {
            true => graph.add(&format!("{path}/cdf"), Unary::of(UnaryKind::NormalShare), &[x])?,
            false => x,
        };
        let (references, quantiles) = self.constants(graph, path)?;
        let inside =
            graph.add(&format!("{path}/quantile"), Interpolate { mirrored: false }, &[share, references, quantiles])?;
        let results = [self.ends(false), self.ends(true)];
        self.at_ends(graph, path, (share, inside), [&[0.0], &[1.0]], [&results[0], &results[1]])
    }
}
