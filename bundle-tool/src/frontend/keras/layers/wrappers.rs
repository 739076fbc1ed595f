//! Layers that apply others: to each step, and in both directions.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::concat::Concat;

use super::super::lowering::{Flow, Site, Stop};
use crate::graph::TensorId;

pub(super) fn wrapper(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<Vec<TensorId>, Stop> {
    if site.layer.class == "TimeDistributed" {
        each_step(site, tensors).map(|result| vec![result])
    } else {
        both_ways(site, tensors)
    }
}

/// The results of a wrapped layer.
fn inner(site: &mut Site<'_, '_>, at: usize, tensors: &[TensorId]) -> Result<Vec<TensorId>, Stop> {
    let layer = site.layer.wrapped.get(at).ok_or("it wraps no layer")?;
    let flows: Vec<Flow> = tensors.iter().map(|&tensor| Flow { tensor, masked: false }).collect();
    let results = site.lowering.layer(layer, &flows, &[]).map_err(Stop::Error)?;
    Ok(results.ok_or(Stop::Blocked)?.into_iter().map(|flow| flow.tensor).collect())
}

/// Steps become rows of the batch, and steps again.
fn each_step(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<TensorId, Stop> {
    let &[x] = tensors else { return Err(format!("it is called with {} tensors", tensors.len()).into()) };
    let dims = site.dims(x);
    let &[first, steps, ..] = dims.as_slice() else { return Err("the input has no steps".into()) };
    let rows = first.checked_mul(steps).filter(|&rows| rows > 0).ok_or("too many steps")?;
    let joined = site.reshaped(x, &[&[rows], &dims[2..]].concat())?;
    let &[result] = inner(site, 0, &[joined])?.as_slice() else { return Err("its layer has several results".into()) };
    let after = site.dims(result);
    if after.first() != Some(&rows) {
        return Err("its layer does not keep rows apart".into());
    }
    site.reshaped(result, &[&[first, steps], &after[1..]].concat())
}

/// What two layers read, forwards and backwards, put together.
fn both_ways(site: &mut Site<'_, '_>, tensors: &[TensorId]) -> Result<Vec<TensorId>, Stop> {
    let (&x, states) = tensors.split_first().ok_or("it is called without tensors")?;
    let (ahead, back) = states.split_at(states.len() / 2);
    let mut forward = inner(site, 0, &[&[x], ahead].concat())?;
    let mut backward = inner(site, 1, &[&[x], back].concat())?;
    if forward.is_empty() || backward.is_empty() {
        return Err("its layer has no results".into());
    }
    let (a, mut b) = (forward.remove(0), backward.remove(0));
    let dims = site.dims(b);
    if let &[first, steps, width] = dims.as_slice() {
        b = site.sliced(b, &[[0, 1, first as i64], [steps as i64 - 1, -1, steps as i64], [0, 1, width as i64]])?;
    }
    let stated = site.layer.config.get("merge_mode");
    let last = dims.len().saturating_sub(1) as u8;
    let mut results = match stated.map_or(Some("concat"), |mode| mode.as_str()) {
        None => vec![a, b],
        Some("concat") => vec![site.add(Concat { axis: last }, &[a, b])?],
        Some("sum") => vec![site.add(Binary { kind: BinaryKind::Add }, &[a, b])?],
        Some("mul") => vec![site.add(Binary { kind: BinaryKind::Mul }, &[a, b])?],
        Some("ave") => {
            let sum = site.add(Binary { kind: BinaryKind::Add }, &[a, b])?;
            let half = site.scalar(0.5)?;
            vec![site.add(Binary { kind: BinaryKind::Mul }, &[sum, half])?]
        }
        Some(other) => return Err(format!("merge_mode is {other:?}").into()),
    };
    results.extend(forward);
    results.extend(backward);
    Ok(results)
}
