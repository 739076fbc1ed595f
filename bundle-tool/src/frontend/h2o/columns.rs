//! A table's columns as the row of numbers that H2O's models compute with: categories are their places in the domain, anything missing or unknown is NaN.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::lookup::Lookup;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Shape, TensorSpec};

use crate::frontend::FrontendError;
use crate::graph::{Graph, TensorId};

/// `[N, 1]` of the numbers of a column of numbers `[N]`, or of categories of `domain`.
pub(super) fn number(
    graph: &mut Graph,
    name: &str,
    column: TensorId,
    domain: Option<&[String]>,
) -> Result<TensorId, FrontendError> {
    let column = match domain {
        None => cast(graph, name, column, DType::F64)?,
        Some(domain) => {
            if graph.spec(column).table.is_none() {
                let table = graph.add_table(domain.to_vec());
                graph.set_table(column, table);
            }
            let count = u32::try_from(domain.len()).map_err(|error| FrontendError::malformed(name, error))?;
            let keys: Vec<u32> = (0..count).collect();
            let keys = graph.add_constant(&format!("{name}/categories"), DType::U32, &[keys.len()], &keys)?;
            let found = graph.add(&format!("{name}/found"), Lookup, &[column, keys])?;
            let places: Vec<f64> = (0..count).map(f64::from).chain([f64::NAN]).collect();
            let places = graph.add_constant(&format!("{name}/places"), DType::F64, &[places.len()], &places)?;
            graph.add(&format!("{name}/place"), Gather { axis: 0 }, &[places, found])?
        }
    };
    shaped(graph, name, column, &[1])
}

/// `x` in another type.
pub(super) fn cast(graph: &mut Graph, name: &str, x: TensorId, to: DType) -> Result<TensorId, FrontendError> {
    if graph.spec(x).dtype == to {
        return Ok(x);
    }
    Ok(graph.add(&format!("{name}/{to}"), Cast { to }, &[x])?)
}

/// `x` with the lengths `dims` after its first axis.
pub(super) fn shaped(graph: &mut Graph, name: &str, x: TensorId, dims: &[usize]) -> Result<TensorId, FrontendError> {
    let spec = graph.spec(x);
    let dims: Vec<usize> = spec.shape.factor(0).into_iter().chain(dims.iter().copied()).collect();
    let shape = Shape::new(&dims, spec.shape.batch_axis()).map_err(|error| FrontendError::malformed(name, error))?;
    Ok(graph.add_declared(&format!("{name}/shape"), Reshape, &[x], TensorSpec { shape, ..spec })?)
}

/// Parts `[N, …]` side by side.
pub(super) fn join(graph: &mut Graph, name: &str, parts: &[TensorId]) -> Result<TensorId, FrontendError> {
    match parts {
        [] => Err(FrontendError::malformed(name, "there are no columns")),
        &[part] => Ok(part),
        parts => Ok(graph.add(&format!("{name}/columns"), Concat { axis: 1 }, parts)?),
    }
}

/// The columns of `x` at `positions`.
pub(super) fn take(
    graph: &mut Graph,
    name: &str,
    x: TensorId,
    positions: impl IntoIterator<Item = usize>,
) -> Result<TensorId, FrontendError> {
    let positions: Vec<i32> = positions.into_iter().map(|position| position as i32).collect();
    let width = graph.shape(x).factor(1).unwrap_or(0);
    if positions.iter().any(|&position| usize::try_from(position).is_ok_and(|position| position >= width)) {
        return Err(FrontendError::malformed(name, format!("a column beyond {width} is read")));
    }
    if positions.iter().copied().eq(0..width as i32) {
        return Ok(x);
    }
    let indices = graph.add_constant(&format!("{name}/positions"), DType::I32, &[positions.len()], &positions)?;
    Ok(graph.add(&format!("{name}/taken"), Gather { axis: 1 }, &[x, indices])?)
}

/// A constant of float64.
pub(super) fn constant(graph: &mut Graph, name: &str, values: &[f64]) -> Result<TensorId, FrontendError> {
    Ok(graph.add_constant(name, DType::F64, &[values.len()], values)?)
}

/// `a` and `b` combined.
pub(super) fn binary(
    graph: &mut Graph,
    name: &str,
    kind: BinaryKind,
    a: TensorId,
    b: TensorId,
) -> Result<TensorId, FrontendError> {
    Ok(graph.add(&format!("{name}/{kind:?}"), Binary { kind }, &[a, b])?)
}

/// `x` combined with constants, one for all or one for each column.
pub(super) fn with(
    graph: &mut Graph,
    name: &str,
    x: TensorId,
    kind: BinaryKind,
    values: &[f64],
) -> Result<TensorId, FrontendError> {
    let values = constant(graph, &format!("{name}/{kind:?}_values"), values)?;
    binary(graph, name, kind, x, values)
}

/// A constant combined with `x`.
pub(super) fn against(
    graph: &mut Graph,
    name: &str,
    value: f64,
    kind: BinaryKind,
    x: TensorId,
) -> Result<TensorId, FrontendError> {
    let value = constant(graph, &format!("{name}/{kind:?}_value"), &[value])?;
    binary(graph, name, kind, value, x)
}

/// A function of each element.
pub(super) fn unary(graph: &mut Graph, name: &str, kind: UnaryKind, x: TensorId) -> Result<TensorId, FrontendError> {
    Ok(graph.add(&format!("{name}/{kind:?}"), Unary::of(kind), &[x])?)
}

/// `x` with `values`, one for each column, where it is NaN.
pub(super) fn filled(graph: &mut Graph, name: &str, x: TensorId, values: &[f64]) -> Result<TensorId, FrontendError> {
    let is_nan = graph.add(&format!("{name}/is_nan"), Compare { kind: CompareKind::NotEqual }, &[x, x])?;
    let values = constant(graph, &format!("{name}/fill"), values)?;
    Ok(graph.add(&format!("{name}/filled"), Select, &[is_nan, values, x])?)
}
