//! Rows divided by their norms, and numbers that become 0 or 1.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::transformer::{Transformer, floats, in_f64};
use super::{Family, cast, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `Normalizer`.
pub(super) const NORMALIZER: Family = Family {
    classes: &["sklearn.preprocessing._data.Normalizer"],
    carried: &[],
    decode: |item| Ok(Box::new(Normalizer::decode(item)?)),
};

/// `Binarizer`.
pub(super) const BINARIZER: Family = Family {
    classes: &["sklearn.preprocessing._data.Binarizer"],
    carried: &[],
    decode: |item| Ok(Box::new(Binarizer::decode(item)?)),
};

/// What a row is divided by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Norm {
    /// The sum of the absolute values.
    L1,
    /// The root of the sum of the squares.
    L2,
    /// The largest absolute value.
    Largest,
    /// The largest value, as scikit-learn before 0.23 has it.
    LargestSigned,
}

/// Rows divided by their norms.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalizer {
    /// Columns of the input; 0 for any number of them, where the file does not say.
    pub features: usize,
    /// The norm.
    pub norm: Norm,
    /// Norms below it count as 1, 0 in any case: ten times the distance from 1 to the next number from scikit-learn 1.0 on.
    pub smallest: f64,
}

/// 1 where a number is above the threshold, else 0.
#[derive(Debug, Clone, PartialEq)]
pub struct Binarizer {
    /// Columns of the input; 0 for any number of them, where the file does not say.
    pub features: usize,
    /// The threshold.
    pub threshold: f64,
}

/// Columns at most, where no array in the file has as many numbers.
const MOST_FEATURES: usize = 1 << 20;

/// `n_features_in_`, or 0 where it is missing: transformers without a state have it in some releases only.
pub(super) fn features_or_any(item: &Item<'_>) -> Result<usize, FrontendError> {
    let Some(attribute) = item.find("n_features_in_")? else { return Ok(0) };
    match attribute.as_usize()? {
        features if features > MOST_FEATURES => Err(unsupported(item, format!("{features} columns"))),
        features => Ok(features),
    }
}

impl Normalizer {
    fn decode(item: &Item<'_>) -> Result<Normalizer, FrontendError> {
        let version = version(item)?;
        let norm = item.get("norm")?;
        let norm = match norm.as_str()? {
            "l1" => Norm::L1,
            "l2" => Norm::L2,
            "max" if version < (0, 23) => Norm::LargestSigned,
            "max" => Norm::Largest,
            _ => return Err(norm.wrong("l1, l2 or max").into()),
        };
        let smallest = if version >= (1, 0) { 10.0 * f64::EPSILON } else { 0.0 };
        Ok(Normalizer { features: features_or_any(item)?, norm, smallest })
    }
}

impl Binarizer {
    fn decode(item: &Item<'_>) -> Result<Binarizer, FrontendError> {
        let threshold = item.get("threshold")?;
        let value = threshold.as_f64()?;
        if value.is_nan() {
            return Err(unsupported(item, "a threshold that is not a number"));
        }
        Ok(Binarizer { features: features_or_any(item)?, threshold: value })
    }
}

impl Transformer for Normalizer {
    fn width(&self) -> usize {
        self.features
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        in_f64(graph, path, x, |graph, x| {
            let name = format!("{path}/norm");
            let (kind, of) = match self.norm {
                Norm::L1 => (ReduceKind::L1, x),
                Norm::L2 => (ReduceKind::L2, x),
                Norm::LargestSigned => (ReduceKind::Max, x),
                Norm::Largest => (ReduceKind::Max, graph.add(&format!("{path}/abs"), Unary::of(UnaryKind::Abs), &[x])?),
            };
            let norm = graph.add(&name, Reduce { kind, axes: 1 << 1, keep: true }, &[of])?;
            let kind = if self.smallest > 0.0 { CompareKind::Less } else { CompareKind::Equal };
            let smallest = graph.add_constant(&name, DType::F64, &[1], &[self.smallest])?;
            let one = graph.add_constant(&format!("{path}/one"), DType::F64, &[1], &[1.0])?;
            let is_small = graph.add(&format!("{path}/small"), Compare { kind }, &[norm, smallest])?;
            let norm = graph.add(&name, Select, &[is_small, one, norm])?;
            Ok(graph.add(&format!("{path}/normalized"), Binary { kind: BinaryKind::Div }, &[x, norm])?)
        })
    }
}

impl Transformer for Binarizer {
    fn width(&self) -> usize {
        self.features
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let x = floats(graph, path, x)?;
        let dtype = graph.spec(x).dtype;
        let wide = cast(graph, path, x, DType::F64)?;
        let name = format!("{path}/threshold");
        let threshold = graph.add_constant(&name, DType::F64, &[1], &[self.threshold])?;
        let above = graph.add(&name, Compare { kind: CompareKind::Greater }, &[wide, threshold])?;
        cast(graph, path, above, dtype)
    }
}
