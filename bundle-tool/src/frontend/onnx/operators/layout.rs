//! Moving elements: joining, repeating, padding, permuting.

use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::expand::Expand;
use ekiben_runtime::ops::pad::{Pad, PadMode};
use ekiben_runtime::{DType, TensorSpec};

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::count::Count;
use super::indexing::{Part, take};
use super::shape::shape_of_counts;
use crate::graph::TensorId;

pub(super) fn transpose(call: &mut Call<'_>) -> Lowered {
    let x = call.data(0)?;
    let rank = call.shape(x).rank();
    let axes: Vec<usize> = match call.attributes.ints("perm")? {
        Some(perm) => perm.iter().map(|&axis| call.axis(axis, rank)).collect::<Result<_, _>>()?,
        None => (0..rank).rev().collect(),
    };
    let result = call.transpose(x, &axes)?;
    call.moved(vec![result])
}

pub(super) fn concat(call: &mut Call<'_>) -> Lowered {
    let axis = call.attributes.int("axis")?.ok_or("attribute axis is missing")?;
    let mut inputs = call.all_data()?;
    // An empty part adds nothing.
    if inputs.len() > 1 && inputs.iter().any(|&input| call.shape(input).elements() != Some(0)) {
        inputs.retain(|&input| call.shape(input).elements() != Some(0));
    }
    let first = *inputs.first().ok_or("it has no inputs")?;
    let axis = call.axis(axis, call.shape(first).rank())? as u8;
    let result = if inputs.len() == 1 { first } else { call.add(Concat { axis }, &inputs)? };
    call.moved(vec![result])
}

/// The shape that `shape` and `target` broadcast to.
fn broadcast(call: &Call<'_>, x: TensorId, target: &[Count]) -> Result<ekiben_runtime::Shape, Refusal> {
    let from = call.shape(x);
    let rank = from.rank().max(target.len());
    let at = |counts: &dyn Fn(usize) -> Count, length: usize, axis: usize| match (axis + length).checked_sub(rank) {
        Some(axis) => counts(axis),
        None => 1.into(),
    };
    let mut counts = Vec::with_capacity(rank);
    for axis in 0..rank {
        let old = at(&|axis| Count::of_axis(&from, axis), from.rank(), axis);
        let new = at(&|axis| target[axis], target.len(), axis);
        counts.push(match (old.number(), new.number()) {
            _ if old == new => old,
            (Some(1), _) => new,
            (_, Some(1)) => old,
            _ => return Err(Refusal(format!("axis {axis} is {old} in the input and {new} in the target"))),
        });
    }
    shape_of_counts(&counts)
}

pub(super) fn expand(call: &mut Call<'_>) -> Lowered {
    let x = call.data(0)?;
    let target = call.counts(1)?;
    let shape = broadcast(call, x, &target.values)?;
    let result = expand_to(call, x, shape)?;
    call.moved(vec![result])
}

/// Repeats a tensor up to a shape that it broadcasts to.
pub(super) fn expand_to(call: &mut Call<'_>, x: TensorId, shape: ekiben_runtime::Shape) -> Result<TensorId, Refusal> {
    if call.shape(x) == shape {
        return Ok(x);
    }
    let spec = TensorSpec { shape, ..call.graph.spec(x) };
    call.add_declared(Expand, x, spec)
}

pub(super) fn tile(call: &mut Call<'_>) -> Lowered {
    let mut x = call.data(0)?;
    let repeats = call.integers(1)?;
    let rank = call.shape(x).rank();
    if repeats.len() != rank {
        return Err("it needs a number of copies for each axis".into());
    }
    for (axis, &copies) in repeats.iter().enumerate().filter(|&(_, &copies)| copies != 1) {
        let copies = usize::try_from(copies).ok().filter(|&copies| copies > 0);
        let copies = copies.ok_or_else(|| Refusal(format!("{} copies of axis {axis}", repeats[axis])))?;
        x = repeat(call, x, axis, copies)?;
    }
    call.moved(vec![x])
}

/// Copies of a tensor one after the other along an axis.
fn repeat(call: &mut Call<'_>, x: TensorId, axis: usize, copies: usize) -> Result<TensorId, Refusal> {
    let shape = call.shape(x);
    if shape.is_batch(axis) {
        return Err("the batch cannot be repeated".into());
    }
    let part = |axes: std::ops::Range<usize>| {
        let counts = axes.map(|axis| Count::of_axis(&shape, axis));
        counts.into_iter().try_fold(Count::from(1), Count::multiply).ok_or("the input is too large")
    };
    let (outer, inner) = (part(0..axis)?, part(axis..shape.rank())?);
    let parts = call.reshape(x, shape_of_counts(&[outer, 1.into(), inner])?)?;
    let copied = expand_to(call, parts, shape_of_counts(&[outer, (copies as i64).into(), inner])?)?;
    let length = shape.factors()[axis] as usize;
    call.reshape(copied, shape.with_axis(axis, length.saturating_mul(copies), shape.is_batched())?)
}

/// Takes the middle of axes that are too long and surrounds those that are too short by zeros.
pub(super) fn center_crop_pad(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    let target = call.counts(1)?.values;
    let axes: Vec<usize> = match call.attributes.ints("axes")? {
        Some(axes) => axes.iter().map(|&axis| call.axis(axis, shape.rank())).collect::<Result<_, _>>()?,
        None => (0..shape.rank()).collect(),
    };
    if axes.len() != target.len() {
        return Err(Refusal(format!("{} lengths for {} axes", target.len(), axes.len())));
    }
    let mut pads = vec![0i64; 2 * shape.rank()];
    for (&axis, &target) in axes.iter().zip(&target) {
        let length = Count::of_axis(&shape, axis);
        if length == target {
            continue;
        }
        let (Some(length), Some(target)) = (length.number(), target.number().filter(|&target| target > 0)) else {
            return Err(Refusal(format!("axis {axis} of {shape} cannot get the length {target}")));
        };
        // What is left over is added or taken away behind.
        let more = target.saturating_sub(length);
        let before = if more < 0 { -(more / -2) } else { more / 2 };
        pads[axis] = before;
        pads[shape.rank() + axis] = more - before;
    }
    let x = cropped(call, x, &pads)?;
    one(padded(call, x, &pads, PadMode::Constant, None)?)
}

pub(super) fn pad(call: &mut Call<'_>) -> Lowered {
    let mode = match call.attributes.string("mode")?.unwrap_or("constant") {
        "constant" => PadMode::Constant,
        "edge" => PadMode::Edge,
        "reflect" => PadMode::Reflect,
        "wrap" => PadMode::Wrap,
        other => return Err(Refusal(format!("attribute mode is {other:?}"))),
    };
    let x = call.tensor(0)?;
    let rank = call.shape(x).rank();
    let pads = call.integers_or_attribute(1, "pads")?.ok_or("attribute pads is missing")?;
    let axes: Vec<usize> = match call.has(3) {
        true => call.integers(3)?.iter().map(|&axis| call.axis(axis, rank)).collect::<Result<_, _>>()?,
        false => (0..rank).collect(),
    };
    if pads.len() != 2 * axes.len() {
        return Err(Refusal(format!("{} pads for {} axes", pads.len(), axes.len())));
    }
    let value = match (call.optional(2)?, call.attributes.float("value")?) {
        (Some(value), _) => Some(call.reshape_to(value, &[], None)?),
        (None, Some(value)) => Some(call.floats_like(x, &[], &[value.into()])?),
        (None, None) => None,
    };
    let mut table = vec![0i64; 2 * rank];
    for (position, &axis) in axes.iter().enumerate() {
        table[axis] = pads[position];
        table[rank + axis] = pads[axes.len() + position];
    }
    let x = cropped(call, x, &table)?;
    one(padded(call, x, &table, mode, value)?)
}

/// Adds what positive pads say: before and after each axis.
fn padded(
    call: &mut Call<'_>,
    x: TensorId,
    pads: &[i64],
    mode: PadMode,
    value: Option<TensorId>,
) -> Result<TensorId, Refusal> {
    let table = pads.iter().map(|&count| i32::try_from(count.max(0))).collect::<Result<Vec<i32>, _>>();
    let table = table.map_err(|_| "a pad is too large")?;
    if table.iter().all(|&count| count == 0) {
        return Ok(x);
    }
    let table = call.constant(DType::I32, &[2, pads.len() / 2], &table)?;
    let inputs = match value.filter(|_| mode == PadMode::Constant) {
        Some(value) => vec![x, table, value],
        None => vec![x, table],
    };
    call.add(Pad { mode }, &inputs)
}

/// Takes away what negative pads say.
fn cropped(call: &mut Call<'_>, x: TensorId, pads: &[i64]) -> Result<TensorId, Refusal> {
    if pads.iter().all(|&pad| pad >= 0) {
        return Ok(x);
    }
    let shape = call.shape(x);
    let rank = shape.rank();
    let mut parts = Part::whole(&shape);
    for (axis, part) in parts.iter_mut().enumerate() {
        let (before, after) = (pads[axis].min(0), pads[rank + axis].min(0));
        part.start = before.saturating_neg();
        part.length = part.length.saturating_add(before).saturating_add(after);
    }
    take(call, x, &parts)
}

/// `[N, C, H, W]` for the operators that move between channels and blocks.
fn image(call: &mut Call<'_>) -> Result<(TensorId, [usize; 4], Option<usize>, usize), Refusal> {
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    let block =
        call.attributes.int("blocksize")?.and_then(|block| usize::try_from(block).ok()).filter(|&block| block > 0);
    let dims: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).collect();
    let dims: [usize; 4] = dims.try_into().map_err(|_| "it needs an input of four axes")?;
    if shape.batch_axis().is_some_and(|axis| axis > 0) {
        return Err("it needs the batch on the first axis".into());
    }
    Ok((x, dims, shape.batch_axis(), block.ok_or("attribute blocksize is missing")?))
}

pub(super) fn depth_to_space(call: &mut Call<'_>) -> Lowered {
    let (x, [n, c, h, w], batch, block) = image(call)?;
    let rest = c.checked_div(block.saturating_mul(block)).filter(|rest| rest * block * block == c);
    let rest = rest.ok_or("the channels are not a multiple of the block")?;
    let (dims, order) = match call.attributes.string("mode")?.unwrap_or("DCR") {
        "DCR" => ([n, block, block, rest, h, w], [0, 3, 4, 1, 5, 2]),
        "CRD" => ([n, rest, block, block, h, w], [0, 1, 4, 2, 5, 3]),
        other => return Err(Refusal(format!("attribute mode is {other:?}"))),
    };
    let split = call.reshape_to(x, &dims, batch)?;
    let moved = call.transpose(split, &order)?;
    one(call.reshape_to(moved, &[n, rest, h.saturating_mul(block), w.saturating_mul(block)], batch)?)
}

pub(super) fn space_to_depth(call: &mut Call<'_>) -> Lowered {
    let (x, [n, c, h, w], batch, block) = image(call)?;
    if h % block != 0 || w % block != 0 {
        return Err("height and width are not multiples of the block".into());
    }
    let split = call.reshape_to(x, &[n, c, h / block, block, w / block, block], batch)?;
    let order = match call.attributes.string("mode")?.unwrap_or("DCR") {
        "DCR" => [0, 3, 5, 1, 2, 4],
        "CRD" => [0, 1, 3, 5, 2, 4],
        other => return Err(Refusal(format!("attribute mode is {other:?}"))),
    };
    let moved = call.transpose(split, &order)?;
    let channels = c.saturating_mul(block).saturating_mul(block);
    one(call.reshape_to(moved, &[n, channels, h / block, w / block], batch)?)
}
