//! Reductions.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::count::{Count, Counts};
use super::Lower;
use crate::graph::TensorId;

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
    let axes = axes(call, call.shape(x).rank())?;
    let dtype = call.dtype(x);
    if dtype.is_integer() && !kind.takes_integers() {
        return reduce_integers(call, kind, x, axes);
    }
    match axes {
        Some((axes, keep)) => one(call.add(Reduce { kind, axes, keep }, &[x])?),
        None => one(of_one(call, kind, x)?),
    }
}

/// What a reduction makes of single elements: `noop_with_empty_axes` keeps the rest of its formula.
fn of_one(call: &mut Call<'_>, kind: ReduceKind, x: TensorId) -> Result<TensorId, Refusal> {
    match kind {
        ReduceKind::L1 | ReduceKind::L2 => call.add(Unary::of(UnaryKind::Abs), &[x]),
        ReduceKind::SumSquare => call.add(Binary { kind: BinaryKind::Mul }, &[x, x]),
        _ => Ok(x),
    }
}

/// Reductions that are made of others for integers. The mean is truncated, the root of squares is taken in f64 and truncated.
fn reduce_integers(call: &mut Call<'_>, kind: ReduceKind, x: TensorId, axes: Option<(u8, bool)>) -> Lowered {
    let dtype = call.dtype(x);
    if matches!(kind, ReduceKind::L1 | ReduceKind::L2) {
        let wide = call.cast(x, DType::F64)?;
        let result = match axes {
            Some((axes, keep)) => call.add(Reduce { kind, axes, keep }, &[wide])?,
            None => of_one(call, kind, wide)?,
        };
        return one(call.cast(result, dtype)?);
    }
    let term = if kind == ReduceKind::SumSquare { of_one(call, kind, x)? } else { x };
    let Some((axes, keep)) = axes else { return one(term) };
    let sum = call.add(Reduce { kind: ReduceKind::Sum, axes, keep }, &[term])?;
    if kind == ReduceKind::SumSquare {
        return one(sum);
    }
    let shape = call.shape(x);
    let lengths = (0..shape.rank()).filter(|axis| axes >> axis & 1 == 1).filter_map(|axis| shape.factor(axis));
    let count = call.scalar(dtype, lengths.map(|length| length as f64).product())?;
    one(call.add(Binary { kind: BinaryKind::Div }, &[sum, count])?)
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
    // Infinities are left where they are: taken away from themselves they would be NaN.
    let size = call.add(Unary::of(UnaryKind::Abs), &[largest])?;
    let (zero, bound) = (call.scalar(call.dtype(x), 0.0)?, call.scalar(call.dtype(x), f64::INFINITY)?);
    let infinite = call.add(Compare { kind: CompareKind::Equal }, &[size, bound])?;
    let largest = call.add(Select, &[infinite, zero, largest])?;
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
