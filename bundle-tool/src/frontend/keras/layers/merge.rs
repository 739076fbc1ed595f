//! Layers that join tensors.

use ekiben_runtime::ops::batch_mat_mul::BatchMatMul;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use serde_json::Value;

use super::super::lowering::{Site, Stop};
use crate::graph::TensorId;

/// The tensors with as many axes each: Keras puts axes of length 1 behind the batch.
fn aligned(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<Vec<TensorId>, Stop> {
    let rank = tensors.iter().map(|&tensor| site.shape(tensor).rank()).max().unwrap_or(0);
    let mut results = Vec::new();
    for &tensor in tensors {
        let mut dims = site.dims(tensor);
        while dims.len() < rank && !dims.is_empty() {
            dims.insert(1, 1);
        }
        results.push(site.reshaped(tensor, &dims)?);
    }
    Ok(results)
}

fn folded(site: &mut Site<'_, '_>, tensors: &[TensorId], kind: BinaryKind) -> Result<TensorId, Stop> {
    let tensors = aligned(site, tensors)?;
    let (&first, rest) = tensors.split_first().ok_or("it is called without tensors")?;
    rest.iter().try_fold(first, |result, &tensor| site.add(Binary { kind }, &[result, tensor]))
}

pub(super) fn add(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<TensorId, Stop> {
    folded(site, tensors, BinaryKind::Add)
}

pub(super) fn subtract(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<TensorId, Stop> {
    if tensors.len() != 2 {
        return Err("two tensors are subtracted".into());
    }
    folded(site, tensors, BinaryKind::Sub)
}

pub(super) fn multiply(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<TensorId, Stop> {
    folded(site, tensors, BinaryKind::Mul)
}

pub(super) fn maximum(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<TensorId, Stop> {
    folded(site, tensors, BinaryKind::Max)
}

pub(super) fn minimum(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<TensorId, Stop> {
    folded(site, tensors, BinaryKind::Min)
}

pub(super) fn average(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<TensorId, Stop> {
    let sum = folded(site, tensors, BinaryKind::Add)?;
    let count = site.scalar(tensors.len() as f64)?;
    site.add(Binary { kind: BinaryKind::Div }, &[sum, count])
}

pub(super) fn concatenate(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<TensorId, Stop> {
    let rank = tensors.first().map_or(0, |&tensor| site.shape(tensor).rank());
    let axis = site.axis(site.value("axis").unwrap_or(&Value::from(-1)), rank)?;
    if axis == 0 {
        return Err("it joins batches".into());
    }
    site.add(Concat { axis: axis as u8 }, tensors)
}

/// Products of matrices, one for each element of the batch: axis `a` of the one and `b` of the other are summed over.
pub(super) fn dot(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<TensorId, Stop> {
    let &[x, y] = tensors else { return Err("two tensors are multiplied".into()) };
    let ranks = [site.shape(x).rank(), site.shape(y).rank()];
    let stated = site.value("axes").cloned().ok_or("axes is not stated")?;
    let axes = match &stated {
        Value::Array(axes) if axes.len() == 2 => [site.axis(&axes[0], ranks[0])?, site.axis(&axes[1], ranks[1])?],
        axis => [site.axis(axis, ranks[0])?, site.axis(axis, ranks[1])?],
    };
    if axes.contains(&0) || ranks.iter().any(|rank| !(2..=3).contains(rank)) {
        return Err(format!("axes {stated} of tensors of {ranks:?} axes are not compiled").into());
    }
    let mut sides = [x, y];
    if site.flag("normalize", false) {
        for (side, &axis) in sides.iter_mut().zip(&axes) {
            *side = normalized(site, *side, axis)?;
        }
    }
    // As `[batch, rows, summed]` and `[batch, summed, columns]`.
    let mut kept = Vec::new();
    for (at, side) in sides.iter_mut().enumerate() {
        let dims = site.dims(*side);
        let summed_last = at == 0;
        if dims.len() == 2 {
            let dims = if summed_last { [dims[0], 1, dims[1]] } else { [dims[0], dims[1], 1] };
            *side = site.reshaped(*side, &dims)?;
            continue;
        }
        let is_last = axes[at] == 2;
        kept.push(dims[3 - axes[at]]);
        if is_last != summed_last {
            *side = site.transposed(*side, &[0, 2, 1])?;
        }
    }
    let product = site.add(BatchMatMul, &sides)?;
    let first = site.dims(product)[0];
    let mut dims = vec![first];
    dims.extend(if kept.is_empty() { vec![1] } else { kept });
    site.reshaped(product, &dims)
}

/// A tensor over its length along an axis, as `UnitNormalization` does it.
fn normalized(site: &mut Site<'_, '_>, x: TensorId, axis: usize) -> Result<TensorId, Stop> {
    let sum = site.add(Reduce { kind: ReduceKind::SumSquare, axes: 1 << axis, keep: true }, &[x])?;
    let sum = site.add(Unary { kind: UnaryKind::Clip, alpha: 1e-12, beta: f64::INFINITY }, &[sum])?;
    let factor = site.add(Unary::of(UnaryKind::Rsqrt), &[sum])?;
    site.add(Binary { kind: BinaryKind::Mul }, &[x, factor])
}
