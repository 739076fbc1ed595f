//! Taking parts: by index, by range, in equal pieces.

use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::slice::Slice;
use ekiben_runtime::{DType, Shape};

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::count::Count;
use crate::graph::TensorId;

/// Which indices of an axis are taken: `start, start + step, …`, `length` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::frontend::onnx) struct Part {
    pub(in crate::frontend::onnx) start: i64,
    pub(in crate::frontend::onnx) step: i64,
    pub(in crate::frontend::onnx) length: i64,
}

impl Part {
    /// All of each axis.
    pub(in crate::frontend::onnx) fn whole(shape: &Shape) -> Vec<Self> {
        shape.factors().iter().map(|&dim| Self { start: 0, step: 1, length: dim.into() }).collect()
    }
}

/// Takes a part of each axis.
pub(in crate::frontend::onnx) fn take(call: &mut Call<'_>, x: TensorId, parts: &[Part]) -> Result<TensorId, Refusal> {
    let shape = call.shape(x);
    if parts == Part::whole(&shape) {
        return Ok(x);
    }
    if parts.iter().any(|part| part.length < 1) {
        let dims: Vec<usize> = parts.iter().map(|part| part.length.max(0) as usize).collect();
        if let Some(axis) = shape.batch_axis() {
            return Err(Refusal(format!("nothing is left beside axis {axis}, the batch, which is not supported")));
        }
        return call.empty_like(x, Shape::fixed(&dims)?);
    }
    let columns = [|part: &Part| part.start, |part: &Part| part.step, |part: &Part| part.length];
    let table = columns.iter().flat_map(|column| parts.iter().map(column)).map(i32::try_from);
    let table: Vec<i32> = table.collect::<Result<_, _>>().map_err(|_| "the parts are too large")?;
    let table = call.constant(DType::I32, &[3, parts.len()], &table)?;
    call.add(Slice, &[x, table])
}

pub(super) fn gather(call: &mut Call<'_>) -> Lowered {
    let axis = call.attributes.int("axis")?.unwrap_or(0);
    let x = call.data(0)?;
    let axis = call.axis(axis, call.shape(x).rank())? as u8;
    let indices = call.tensor(1)?;
    let result = call.add(Gather { axis }, &[x, indices])?;
    call.moved(vec![result])
}

/// Starts, ends, axes and steps of a `Slice`.
struct Ranges {
    starts: Vec<Count>,
    ends: Vec<Count>,
    axes: Vec<i64>,
    steps: Vec<i64>,
}

impl Ranges {
    fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        let bounds = |index: usize, name: &str| match call.attributes.ints(name)? {
            Some(values) => Ok(values.iter().copied().map(Count::from).collect::<Vec<_>>()),
            None => Ok::<_, Refusal>(call.counts(index)?.values),
        };
        let (starts, ends) = (bounds(1, "starts")?, bounds(2, "ends")?);
        let axes = call.integers_or_attribute(3, "axes")?.unwrap_or_else(|| (0..starts.len() as i64).collect());
        let steps = if call.has(4) { call.integers(4)? } else { vec![1; starts.len()] };
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] {
            return Err("starts, ends, axes and steps are not of one length".into());
        }
        Ok(Self { starts, ends, axes, steps })
    }
}

/// The part of an axis of `length` from `start` to `end`, as numpy counts.
fn part(length: i64, start: i64, end: i64, step: i64) -> Option<Part> {
    let counted = |index: i64| if index < 0 { index.saturating_add(length) } else { index };
    let (start, end) = if step > 0 {
        (counted(start).clamp(0, length), counted(end).clamp(0, length))
    } else {
        (counted(start).clamp(0, length - 1), counted(end).clamp(-1, length - 1))
    };
    let span = if step > 0 { end - start } else { start - end };
    let length = if span <= 0 { 0 } else { (span - 1).checked_div(step.checked_abs()?)? + 1 };
    Some(Part { start, step, length })
}

pub(super) fn slice(call: &mut Call<'_>) -> Lowered {
    let x = call.data(0)?;
    let shape = call.shape(x);
    let ranges = Ranges::read(call)?;
    let mut parts = Part::whole(&shape);
    for (index, &axis) in ranges.axes.iter().enumerate() {
        let axis = call.axis(axis, shape.rank())?;
        let (start, end, step) = (ranges.starts[index], ranges.ends[index], ranges.steps[index]);
        let whole = Count::of_axis(&shape, axis);
        if shape.is_batch(axis) {
            let to_the_end = end == whole || end.number().is_some_and(|end| end >= i32::MAX.into());
            if start.number() != Some(0) || step != 1 || !to_the_end {
                return Err(Refusal(format!("it takes {start} to {end} of the batch, which can only be taken whole")));
            }
            continue;
        }
        let number = |count: Count| count.number().ok_or_else(|| Refusal(format!("{count} depends on the batch")));
        let part = part(whole.fixed, number(start)?, number(end)?, step);
        parts[axis] = part.ok_or("a step is 0")?;
    }
    if shape.rank() == 1 && parts[0].length == 0 {
        let spec = ekiben_runtime::TensorSpec { shape: Shape::fixed(&[0])?, ..call.graph.spec(x) };
        let name = call.name.clone();
        return one(call.graph.add_constant_bytes(&name, spec, &[])?);
    }
    let result = take(call, x, &parts)?;
    call.moved(vec![result])
}

pub(super) fn split(call: &mut Call<'_>) -> Lowered {
    let x = call.data(0)?;
    let shape = call.shape(x);
    let axis = call.axis(call.attributes.int("axis")?.unwrap_or(0), shape.rank())?;
    if shape.is_batch(axis) {
        return Err("the batch cannot be split".into());
    }
    let length = shape.factor(axis).unwrap_or(0) as i64;
    let count = call.outputs.len() as i64;
    if call.attributes.int("num_outputs")?.is_some_and(|stated| stated != count) {
        return Err("attribute num_outputs is not the number of outputs".into());
    }
    let lengths = match call.integers_or_attribute(1, "split")? {
        Some(lengths) => lengths,
        // The last piece is the shorter one.
        None => {
            let piece = (length + count - 1) / count.max(1);
            (0..count).map(|index| piece.min(length - piece * index)).collect()
        }
    };
    if lengths.len() as i64 != count
        || lengths.iter().try_fold(0i64, |sum, &part| sum.checked_add(part)) != Some(length)
    {
        return Err(Refusal(format!("{lengths:?} are not {count} parts of {length}")));
    }
    let mut start = 0;
    let mut results = Vec::new();
    for length in lengths {
        let mut parts = Part::whole(&shape);
        parts[axis] = Part { start, step: 1, length };
        results.push(take(call, x, &parts)?);
        start += length;
    }
    call.moved(results)
}

/// Takes columns of the last axis; a list of one axis becomes a row.
pub(super) fn array_feature_extractor(call: &mut Call<'_>) -> Lowered {
    let (x, indices) = (call.tensor(0)?, call.tensor(1)?);
    let rank = call.shape(x).rank();
    let last = rank.checked_sub(1).ok_or("it needs one axis at least")?;
    let shape = call.shape(indices);
    let count = shape.elements().and_then(|count| usize::try_from(count).ok()).ok_or("too many indices")?;
    let batch = shape.is_batched().then_some(0);
    let list = call.reshape_to(indices, &[count], batch)?;
    let result = call.add(Gather { axis: last as u8 }, &[x, list])?;
    if rank == 1 {
        return one(call.reshape_to(result, &[1, count], batch.map(|_| 1))?);
    }
    one(result)
}
