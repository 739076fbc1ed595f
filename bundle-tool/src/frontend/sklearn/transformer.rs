//! What transformers of numbers have in common: a matrix in, a matrix out.
//!
//! Integers become float64. Float32 stays float32 where scikit-learn keeps it; each operation is then computed in float64 and rounded, as numpy
//! does in place.

use std::fmt;

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};

use super::{Estimator, Features, Method, cast};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// A fitted transformer of numbers. Every one of them is an [`Estimator`] whose only method is `transform`.
pub(super) trait Transformer: fmt::Debug {
    /// Columns of the input.
    fn width(&self) -> usize;

    /// Columns of the output.
    fn results(&self) -> usize {
        self.width()
    }

    /// Appends `transform` of `x`, `[N, width]` of any numeric type.
    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError>;

    /// Appends `inverse_transform` of `x`, `[N, results]` in float64; see [`Estimator::lower_inverse`].
    fn invert(&self, _graph: &mut Graph, path: &str, _x: TensorId) -> Result<TensorId, FrontendError> {
        Err(FrontendError::unsupported(path, "inverse_transform", "the inverse of this transformer is not supported"))
    }
}

impl<T: Transformer> Estimator for T {
    fn features(&self) -> usize {
        self.width()
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.results())
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        Ok(vec![self.apply(graph, path, x)?])
    }

    fn lower_inverse(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        self.invert(graph, path, x)
    }
}

/// The number of columns that `item` was fitted on: `n_features_in_`, or where releases before 0.23 have none the length of the last axis of the
/// array `attribute`.
pub(super) fn width(item: &Item<'_>, attribute: &str) -> Result<usize, FrontendError> {
    if let Some(width) = item.find("n_features_in_")? {
        return Ok(width.as_usize()?);
    }
    let array = item.get(attribute)?;
    let last = array.array()?.shape().last().copied();
    last.ok_or_else(|| array.wrong("an array of one dimension or two").into())
}

/// A one-dimensional array of `count` numbers.
pub(super) fn column_values(item: &Item<'_>, count: usize) -> Result<Vec<f64>, FrontendError> {
    let array = item.array()?;
    if array.shape() != [count] {
        return Err(item.wrong(&format!("an array of {count} numbers")).into());
    }
    Ok(array.f64s()?)
}

/// The columns of `x` as floats: float32 stays, everything else becomes float64.
pub(super) fn floats(graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
    match graph.spec(x).dtype {
        DType::F32 => Ok(x),
        _ => cast(graph, path, x, DType::F64),
    }
}

/// What `formula` makes of `x` in float64; float32 again where `x` is.
pub(super) fn in_f64(
    graph: &mut Graph,
    path: &str,
    x: TensorId,
    formula: impl FnOnce(&mut Graph, TensorId) -> Result<TensorId, FrontendError>,
) -> Result<TensorId, FrontendError> {
    let is_narrow = graph.spec(x).dtype == DType::F32;
    let x = cast(graph, path, x, DType::F64)?;
    let result = formula(graph, x)?;
    cast(graph, path, result, if is_narrow { DType::F32 } else { DType::F64 })
}

/// `x kind values`, column by column: computed in float64, and rounded where `x` is float32.
pub(super) fn columnwise(
    graph: &mut Graph,
    path: &str,
    (kind, attribute): (BinaryKind, &str),
    x: TensorId,
    values: &[f64],
) -> Result<TensorId, FrontendError> {
    let name = format!("{path}/{attribute}");
    in_f64(graph, path, x, |graph, x| {
        let values = graph.add_constant(&name, DType::F64, &[values.len()], values)?;
        Ok(graph.add(&name, Binary { kind }, &[x, values])?)
    })
}
