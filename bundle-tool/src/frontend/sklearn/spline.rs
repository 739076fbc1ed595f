//! Splines of columns: for each column the values of the B-splines over its knots.
//!
//! Where scikit-learn refuses a value (outside of the knots for `extrapolation="error"`; NaN unless `handle_missing="zeros"`), all splines of the
//! column are NaN.

use ekiben_runtime::DType;
use ekiben_runtime::kernels::reference::spline::Splines;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::spline_basis::{MAX_DEGREE, Outside, SplineBasis};

use super::features::take;
use super::transformer::{Transformer, in_f64};
use super::{Family, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `SplineTransformer`, which scikit-learn has from 1.0 on.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.preprocessing._polynomial.SplineTransformer"],
    carried: &[
        "numpy.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "scipy._lib.array_api_compat.numpy.asarray",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
    ],
    decode: |item| Ok(Box::new(SplineColumns::decode(item)?)),
};

/// Knots of all columns together at most.
const MOST_KNOTS: usize = 1 << 20;

/// The splines of columns.
#[derive(Debug, Clone, PartialEq)]
pub struct SplineColumns {
    /// Degree of the splines.
    pub degree: usize,
    /// Knots of each column, as many for each.
    pub knots: Vec<Vec<f64>>,
    /// What splines are outside of the knots.
    pub extrapolation: Extrapolation,
    /// Splines are 0 at NaN.
    pub zero_nan: bool,
    /// The last spline of each column is left out.
    pub drops_last: bool,
}

/// What splines are outside of the knots.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extrapolation {
    /// `error`: an error in scikit-learn, here NaN.
    Refused,
    /// `continue`: the polynomials go on.
    Continued,
    /// `constant`: the values at the ends.
    Constant,
    /// `linear`: the tangents at the ends.
    Linear,
    /// `periodic`: the same again.
    Periodic,
}

impl SplineColumns {
    fn decode(item: &Item<'_>) -> Result<SplineColumns, FrontendError> {
        let degree = item.get("degree")?.as_usize()?;
        if degree > MAX_DEGREE {
            return Err(unsupported(item, format!("degree {degree}; splines of degree {MAX_DEGREE} at most are read")));
        }
        let extrapolation = item.get("extrapolation")?;
        let extrapolation = match extrapolation.as_str()? {
            "error" => Extrapolation::Refused,
            "continue" => Extrapolation::Continued,
            "constant" => Extrapolation::Constant,
            "linear" => Extrapolation::Linear,
            "periodic" => Extrapolation::Periodic,
            _ => return Err(extrapolation.wrong("error, continue, constant, linear or periodic").into()),
        };
        let zero_nan = match item.find("handle_missing")? {
            Some(handling) => handling.as_str()? == "zeros",
            None => false,
        };
        let mut knots: Vec<Vec<f64>> = Vec::new();
        let all = item.get("bsplines_")?;
        for spline in all.items()? {
            let attribute = match spline.find("t")? {
                Some(knots) => knots,
                None => spline.get("_t")?,
            };
            let column = attribute.array()?.f64s()?;
            let count = column.len();
            let fits = knots.first().is_none_or(|first| first.len() == count);
            if !fits || count < 2 * degree + 2 || count.saturating_mul(knots.len() + 1) > MOST_KNOTS {
                return Err(inconsistent(&attribute, format!("{count} knots for splines of degree {degree}")));
            }
            knots.push(column);
        }
        if knots.is_empty() {
            return Err(inconsistent(&all, "no splines"));
        }
        let drops_last = !item.get("include_bias")?.as_bool()?;
        let columns = SplineColumns { degree, knots, extrapolation, zero_nan, drops_last };
        let splines = columns.splines();
        if splines == 0 || drops_last && splines == 1 || extrapolation == Extrapolation::Periodic && splines < degree {
            return Err(inconsistent(&all, format!("{splines} splines for each column")));
        }
        if columns.tails().is_none() {
            return Err(unsupported(item, "splines of so low a degree are not extrapolated linearly; take degree 2"));
        }
        Ok(columns)
    }

    /// Splines of each column.
    fn splines(&self) -> usize {
        let knots = self.knots.first().map_or(0, Vec::len);
        let periodic = self.extrapolation == Extrapolation::Periodic;
        knots.saturating_sub(self.degree + 1).saturating_sub(if periodic { self.degree } else { 0 })
    }

    /// For each column the ends of what is inside, and values and slopes of its splines at both; empty where the ends do not matter. `None`
    /// where a column has fewer splines than are continued.
    ///
    /// scikit-learn continues the first and last `degree` splines. It does so linearly for degrees 0 and 1 too, by raising the degree by one while
    /// it goes through the columns, which moves the ends of all further columns inward; this is followed.
    fn tails(&self) -> Option<Vec<f64>> {
        let splines = self.splines();
        let mut degree = self.degree;
        let mut tails = Vec::new();
        let linear = self.extrapolation == Extrapolation::Linear;
        if !linear && self.extrapolation != Extrapolation::Constant {
            return Some(tails);
        }
        for knots in &self.knots {
            let low = knots.get(degree).copied()?;
            let high = knots.len().checked_sub(degree + 1).and_then(|end| knots.get(end)).copied()?;
            if linear && degree <= 1 {
                degree += 1;
            }
            if degree > splines {
                return None;
            }
            let curve = Splines { knots, degree: self.degree };
            tails.extend([low, high]);
            for (end, kept) in [(low, 0..degree), (high, splines - degree..splines)] {
                for slopes in [false, true] {
                    let mut values = vec![0.0; splines];
                    curve.at(end, false, slopes, &mut values);
                    let values = values.into_iter().enumerate();
                    tails.extend(values.map(|(spline, value)| if kept.contains(&spline) { value } else { 0.0 }));
                }
            }
        }
        Some(tails)
    }

    /// `x` moved by whole periods to between the ends.
    fn wrapped(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let end = |at: usize| -> Vec<f64> { self.knots.iter().filter_map(|knots| knots.get(at)).copied().collect() };
        let low = end(self.degree);
        let high = end(self.knots.first().map_or(0, Vec::len).saturating_sub(self.degree + 1));
        let periods: Vec<f64> = high.iter().zip(&low).map(|(high, low)| high - low).collect();
        let name = format!("{path}/period");
        let low = graph.add_constant(&name, DType::F64, &[low.len()], &low)?;
        let period = graph.add_constant(&name, DType::F64, &[periods.len()], &periods)?;
        let x = graph.add(&name, Binary { kind: BinaryKind::Sub }, &[x, low])?;
        let x = graph.add(&name, Binary { kind: BinaryKind::Mod }, &[x, period])?;
        Ok(graph.add(&name, Binary { kind: BinaryKind::Add }, &[low, x])?)
    }
}

impl Transformer for SplineColumns {
    fn width(&self) -> usize {
        self.knots.len()
    }

    fn results(&self) -> usize {
        self.knots.len() * (self.splines() - usize::from(self.drops_last))
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        in_f64(graph, path, x, |graph, x| {
            let (outside, periodic) = match self.extrapolation {
                Extrapolation::Refused => (Outside::Nan, false),
                Extrapolation::Continued => (Outside::Continued, false),
                Extrapolation::Constant => (Outside::Constant, false),
                Extrapolation::Linear => (Outside::Linear, false),
                Extrapolation::Periodic => (Outside::Continued, true),
            };
            let x = if periodic { self.wrapped(graph, path, x)? } else { x };
            let name = format!("{path}/bsplines_");
            let dims = [self.knots.len(), self.knots.first().map_or(0, Vec::len)];
            let mut inputs = vec![x, graph.add_constant(&name, DType::F64, &dims, &self.knots.concat())?];
            let tails = self.tails().unwrap_or_default();
            if !tails.is_empty() {
                let dims = [self.knots.len(), tails.len() / self.knots.len().max(1)];
                inputs.push(graph.add_constant(&format!("{path}/ends"), DType::F64, &dims, &tails)?);
            }
            let basis = SplineBasis { degree: self.degree as u8, outside, periodic, zero_nan: self.zero_nan };
            let values = graph.add(&name, basis, &inputs)?;
            if !self.drops_last {
                return Ok(values);
            }
            let splines = self.splines();
            let kept: Vec<usize> =
                (0..self.knots.len() * splines).filter(|column| (column + 1) % splines != 0).collect();
            take(graph, path, values, &kept)
        })
    }
}
