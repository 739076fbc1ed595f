//! Reductions.

use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::count::{Count, Counts};
use super::Lower;

/// How a reduction is lowered.
pub(super) fn find(name: &str) -> Option<Lower> {
    Some(match name {
        "ReduceSum" => |call| reduce(call, ReduceKind::Sum),
        "ReduceMean" => |call| reduce(call, ReduceKind::Mean),
        "ReduceProd" => |call| reduce(call, ReduceKind::Prod),
        "ReduceMin" => |call| reduce(call, ReduceKind::Min),
        "ReduceMax" => |call| reduce(call, ReduceKind::Max),
        "ReduceL1" => |call| reduce(call, ReduceKind::L1),
        "ReduceL2" => |call| reduce(call, ReduceKind::L2),
        "ReduceSumSquare" => |call| reduce(call, ReduceKind::SumSquare),
        "ReduceLogSum" => log_sum,
        "ReduceLogSumExp" => log_sum_exp,
        _ => return None,
    })
}

/// The axes as bits, and whether they stay; `None` when nothing is reduced.
fn axes(call: &Call<'_>, rank: usize) -> Result<Option<(u8, bool)>, Refusal> {
    let keep = call.attributes.flag("keepdims", true)?;
    let empty = call.attributes.flag("noop_with_empty_axes", false)?;
    let listed = call.integers_or_attribute(1, "axes")?.unwrap_or_default();
    if listed.is_empty() {
        let all = (0..rank).fold(0, |axes, axis| axes | 1u8 << axis);
        return Ok((!empty).then_some((all, keep)));
    }
    let mut axes = 0;
    for axis in listed {
        axes |= 1u8 << call.axis(axis, rank)?;
    }
    Ok(Some((axes, keep)))
}

fn reduce(call: &mut Call<'_>, kind: ReduceKind) -> Lowered {
    if call.has_counts() {
        return reduce_counts(call, kind);
    }
    let x = call.tensor(0)?;
    match axes(call, call.shape(x).rank())? {
        Some((axes, keep)) => one(call.add(Reduce { kind, axes, keep }, &[x])?),
        None => one(x),
    }
}

/// The product or sum of all integers of a shape.
fn reduce_counts(call: &mut Call<'_>, kind: ReduceKind) -> Lowered {
    let counts = call.counts(0)?;
    let keep = axes(call, counts.dims.len())?.ok_or("nothing is reduced")?.1;
    if counts.dims.len() != 1 {
        return Err("integers that depend on the batch must be a list".into());
    }
    let start = Count::from(i64::from(kind == ReduceKind::Prod));
    let value = counts.values.iter().try_fold(start, |sum, &count| match kind {
        ReduceKind::Prod => sum.multiply(count),
        ReduceKind::Sum => sum.add(count),
        _ => None,
    });
    let values = vec![value.ok_or("the result is not known before the batch is")?];
    Ok(vec![call.put_counts(Counts { dims: if keep { vec![1] } else { Vec::new() }, values })?])
}

fn log_sum(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let mut sum = x;
    if let Some((axes, keep)) = axes(call, call.shape(x).rank())? {
        sum = call.add(Reduce { kind: ReduceKind::Sum, axes, keep }, &[x])?;
    }
    one(call.add(Unary::of(UnaryKind::Log), &[sum])?)
}

/// `m + ln(sum of exp(x - m))` with m the largest element.
fn log_sum_exp(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let Some((axes, keep)) = axes(call, call.shape(x).rank())? else { return one(x) };
    let largest = call.add(Reduce { kind: ReduceKind::Max, axes, keep: true }, &[x])?;
    let shifted = call.add(Binary { kind: BinaryKind::Sub }, &[x, largest])?;
    let powers = call.add(Unary::of(UnaryKind::Exp), &[shifted])?;
    let sum = call.add(Reduce { kind: ReduceKind::Sum, axes, keep: true }, &[powers])?;
    let log = call.add(Unary::of(UnaryKind::Log), &[sum])?;
    let result = call.add(Binary { kind: BinaryKind::Add }, &[log, largest])?;
    if keep {
        return one(result);
    }
    one(call.add(Reduce { kind: ReduceKind::Max, axes, keep: false }, &[result])?)
}

fn arg(call: &mut Call<'_>, smallest: bool) -> Lowered {
    let x = call.tensor(0)?;
    let axis = call.attributes.int("axis")?.unwrap_or(0);
    let axis = call.axis(axis, call.shape(x).rank())? as u8;
    let keep = call.attributes.flag("keepdims", true)?;
    let last = call.attributes.flag("select_last_index", false)?;
    one(call.add(ArgReduce { axis, smallest, last, keep, wide: true }, &[x])?)
}

pub(super) fn arg_max(call: &mut Call<'_>) -> Lowered {
    arg(call, false)
}

pub(super) fn arg_min(call: &mut Call<'_>) -> Lowered {
    arg(call, true)
}
