//! Products with matrices, functions of elements, changes of shape, embeddings.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use serde_json::Value;

use super::super::activations;
use super::super::lowering::{Site, Stop};
use crate::graph::TensorId;

pub(super) fn dense(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let units = site.count("units")?.ok_or("units is not stated")?;
    let width = site.dims(x).last().copied().ok_or("the input has no axes")?;
    let kernel = site.stored("kernel", &[width, units], &[width, units])?;
    let mut inputs = vec![x, kernel];
    if site.flag("use_bias", true) {
        inputs.push(site.stored("bias", &[units], &[units])?);
    }
    let product = site.add(MatMul { transpose_b: false }, &inputs)?;
    activations::apply(site, "activation", product)
}

pub(super) fn activation(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    activations::apply(site, "activation", x)
}

/// A layer that is a function of elements.
pub(super) fn function(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let layer = site.layer;
    activations::layer(site, &layer.class, &layer.config, x)
}

pub(super) fn prelu(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let dims = site.dims(x);
    let mut slopes = dims.get(1..).unwrap_or_default().to_vec();
    for axis in site.value("shared_axes").and_then(Value::as_array).cloned().unwrap_or_default() {
        let axis = site.axis(&axis, dims.len())?;
        *slopes.get_mut(axis.wrapping_sub(1)).ok_or("the batch is a shared axis")? = 1;
    }
    let alpha = site.stored("alpha", &slopes, &slopes)?;
    site.add(Binary { kind: BinaryKind::PRelu }, &[x, alpha])
}

pub(super) fn flatten(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let dims = site.dims(x);
    let (&first, rest) = dims.split_first().ok_or("the input has no axes")?;
    let channels_first = site.text("data_format") == Some("channels_first");
    if channels_first && rest.len() > 1 {
        // Keras moves the channels to the end first.
        let axes: Vec<usize> = [0].into_iter().chain(2..dims.len()).chain([1]).collect();
        let moved = site.transposed(x, &axes)?;
        return site.reshaped(moved, &[first, rest.iter().product()]);
    }
    site.reshaped(x, &[first, rest.iter().product()])
}

pub(super) fn reshape(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let target = site.value("target_shape").and_then(Value::as_array).cloned().ok_or("target_shape is not a list")?;
    let dims = site.dims(x);
    let (&first, rest) = dims.split_first().ok_or("the input has no axes")?;
    let all: usize = rest.iter().product();
    let stated = target.iter().filter_map(|length| length.as_u64().map(|length| length as usize));
    let known = stated.clone().try_fold(1usize, |all, length| all.checked_mul(length)).filter(|&known| known > 0);
    let known = known.ok_or("target_shape has an axis of length 0")?;
    let open = target.len() - stated.count();
    if open > 1 || open == 0 && known != all || !all.is_multiple_of(known) {
        return Err(format!("target_shape is {}, for {rest:?}", Value::from(target)).into());
    }
    let lengths = target.iter().map(|length| length.as_u64().map_or(all / known, |length| length as usize));
    let lengths: Vec<usize> = [first].into_iter().chain(lengths).collect();
    site.reshaped(x, &lengths)
}

pub(super) fn permute(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let rank = site.shape(x).rank();
    let stated = site.counts("dims", rank.saturating_sub(1), None)?;
    let axes: Vec<usize> = [0].into_iter().chain(stated).collect();
    if (0..rank).any(|axis| !axes.contains(&axis)) {
        return Err(format!("dims is {axes:?}").into());
    }
    site.transposed(x, &axes)
}

pub(super) fn repeat(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let count = site.count("n")?.ok_or("n is not stated")?;
    let &[first, width] = site.dims(x).as_slice() else { return Err("the input is not a matrix".into()) };
    let rows = site.reshaped(x, &[first, 1, width])?;
    site.expanded(rows, &[first, count, width])
}

/// Rows of a table, by positions that may be floats, which Keras makes integers.
pub(super) fn embedding(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let rows = site.count("input_dim")?.ok_or("input_dim is not stated")?;
    let width = site.count("output_dim")?.ok_or("output_dim is not stated")?;
    let table = site.stored("embeddings", &[rows, width], &[rows, width])?;
    let dtype = site.lowering.graph.spec(x).dtype;
    let positions = if dtype == DType::I32 { x } else { site.add(Cast { to: DType::I32 }, &[x])? };
    site.add(Gather { axis: 0 }, &[table, positions])
}

/// Zeros in the place of steps all of whose elements are `mask_value`.
pub(super) fn masking(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let x = site.floats(x)?;
    let value = site.number("mask_value", 0.0)?;
    let value = site.scalar(value)?;
    let differs = site.add(Compare { kind: CompareKind::NotEqual }, &[x, value])?;
    let differs = site.add(Cast { to: DType::F32 }, &[differs])?;
    let last = site.shape(x).rank().checked_sub(1).ok_or("the input has no axes")?;
    let kept = site.add(Reduce { kind: ReduceKind::Max, axes: 1 << last, keep: true }, &[differs])?;
    site.add(Binary { kind: BinaryKind::Mul }, &[x, kept])
}
