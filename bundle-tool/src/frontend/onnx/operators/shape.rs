//! Shapes: asking for them, and giving the same elements another one.

use ekiben_runtime::Shape;
use ekiben_runtime::tensor::MAX_RANK;

use super::super::call::{Call, Lowered, Refusal, Value};
use super::super::count::{Count, Counts};

pub(super) fn shape(call: &mut Call<'_>) -> Lowered {
    let dims: Vec<Count> = match call.inputs.first() {
        Some(Some(Value::Counts(counts))) => counts.dims.iter().map(|&dim| (dim as i64).into()).collect(),
        _ => {
            let x = call.tensor(0)?;
            let shape = call.shape(x);
            (0..shape.rank()).map(|axis| Count::of_axis(&shape, axis)).collect()
        }
    };
    let rank = dims.len() as i64;
    let bound = |value: i64| (if value < 0 { value.saturating_add(rank) } else { value }).clamp(0, rank) as usize;
    let start = bound(call.attributes.int("start")?.unwrap_or(0));
    let end = bound(call.attributes.int("end")?.unwrap_or(rank));
    let values = dims.get(start..end).unwrap_or_default().to_vec();
    Ok(vec![call.put_counts(Counts { dims: vec![values.len()], values })?])
}

pub(super) fn size(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    let product = (0..shape.rank()).try_fold(Count::from(1), |size, axis| size.multiply(Count::of_axis(&shape, axis)));
    let product = product.ok_or("the tensor is too large")?;
    Ok(vec![call.put_counts(Counts { dims: Vec::new(), values: vec![product] })?])
}

/// The shape with these lengths.
pub(in crate::frontend::onnx) fn shape_of_counts(counts: &[Count]) -> Result<Shape, Refusal> {
    let mut dims = Vec::new();
    let mut batch = None;
    for (axis, count) in counts.iter().enumerate() {
        let (length, batched) =
            count.length().ok_or_else(|| Refusal(format!("{count} is not the length of an axis")))?;
        if batched && batch.replace(axis).is_some() {
            return Err("two axes depend on the batch".into());
        }
        dims.push(length);
    }
    Ok(Shape::new(&dims, batch)?)
}

/// The shape that `target` asks for: 0 keeps the input's length (unless `allow_zero`), -1 takes what is left.
fn reshaped(from: &Shape, target: &[Count], allow_zero: bool) -> Result<Shape, Refusal> {
    let mut counts = target.to_vec();
    let mut open = None;
    for (axis, count) in counts.iter_mut().enumerate() {
        match count.number() {
            Some(0) if !allow_zero => {
                if axis >= from.rank() {
                    return Err(Refusal(format!("axis {axis} of the new shape is 0, and the input has no such axis")));
                }
                *count = Count::of_axis(from, axis);
            }
            Some(-1) if open.replace(axis).is_some() => return Err("the new shape has two lengths of -1".into()),
            _ => {}
        }
    }
    let product = |mut counts: Box<dyn Iterator<Item = Count> + '_>| counts.try_fold(Count::from(1), Count::multiply);
    let all =
        product(Box::new((0..from.rank()).map(|axis| Count::of_axis(from, axis)))).ok_or("the input is too large")?;
    if let Some(open) = open {
        let others = counts.iter().enumerate().filter(|&(axis, _)| axis != open).map(|(_, &count)| count);
        let others = product(Box::new(others)).ok_or("two axes of the new shape depend on the batch")?;
        let left = all.divide(others).filter(|left| left.multiply(others) == Some(all));
        counts[open] = left.ok_or_else(|| Refusal(format!("{all} elements of {from} do not fill the new shape")))?;
    }
    let shape = shape_of_counts(&counts)?;
    let same = shape.elements() == from.elements() && shape.is_batched() == from.is_batched();
    if same {
        return Ok(shape);
    }
    let hint = if from.is_batched() && !shape.is_batched() {
        ". The new shape is fixed for one batch size: export the model with a fixed batch or with dynamic shapes"
    } else {
        ""
    };
    Err(Refusal(format!("the input {from} cannot take the shape {shape}{hint}")))
}

pub(super) fn reshape(call: &mut Call<'_>) -> Lowered {
    let allow_zero = call.attributes.flag("allowzero", false)?;
    let target = call.counts(1)?;
    let x = call.data(0)?;
    let shape = reshaped(&call.shape(x), &target.values, allow_zero)?;
    let result = call.reshape(x, shape)?;
    call.moved(vec![result])
}

pub(super) fn flatten(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let from = call.shape(x);
    let axis = call.attributes.int("axis")?.unwrap_or(1);
    let axis = if axis == from.rank() as i64 { from.rank() } else { call.axis(axis, from.rank())? };
    let result = flattened(call, x, axis)?;
    call.moved(vec![result])
}

/// A matrix of the axes before `axis` and those from it on.
pub(super) fn flattened(
    call: &mut Call<'_>,
    x: crate::graph::TensorId,
    axis: usize,
) -> Result<crate::graph::TensorId, Refusal> {
    let from = call.shape(x);
    let part = |axes: std::ops::Range<usize>| {
        axes.map(|axis| Count::of_axis(&from, axis)).try_fold(Count::from(1), Count::multiply)
    };
    let rows = part(0..axis).ok_or("the input is too large")?;
    let columns = part(axis..from.rank()).ok_or("the input is too large")?;
    call.reshape(x, shape_of_counts(&[rows, columns])?)
}

/// The axes that `Squeeze` and `Unsqueeze` name, in a tensor of `rank` axes.
fn axes(call: &Call<'_>, rank: impl Fn(usize) -> usize) -> Result<Option<Vec<usize>>, Refusal> {
    let Some(axes) = call.integers_or_attribute(1, "axes")? else { return Ok(None) };
    if axes.len() > MAX_RANK {
        return Err("it names more than eight axes".into());
    }
    let rank = rank(axes.len());
    let mut axes: Vec<usize> = axes.iter().map(|&axis| call.axis(axis, rank)).collect::<Result<_, _>>()?;
    axes.sort_unstable();
    if axes.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err("it names an axis twice".into());
    }
    Ok(Some(axes))
}

pub(super) fn squeeze(call: &mut Call<'_>) -> Lowered {
    let x = call.data(0)?;
    let from = call.shape(x);
    let single = |axis: usize| from.factor(axis) == Some(1) && !from.is_batch(axis);
    let axes = axes(call, |_| from.rank())?;
    let axes = axes.unwrap_or_else(|| (0..from.rank()).filter(|&axis| single(axis)).collect());
    if let Some(axis) = axes.iter().find(|&&axis| !single(axis)) {
        return Err(Refusal(format!("axis {axis} of {from} does not have length 1")));
    }
    let kept = (0..from.rank()).filter(|axis| !axes.contains(axis)).map(|axis| Count::of_axis(&from, axis));
    let shape = shape_of_counts(&kept.collect::<Vec<_>>())?;
    let result = call.reshape(x, shape)?;
    call.moved(vec![result])
}

pub(super) fn unsqueeze(call: &mut Call<'_>) -> Lowered {
    let x = call.data(0)?;
    let from = call.shape(x);
    let axes = axes(call, |more| from.rank() + more)?.ok_or("attribute axes is missing")?;
    let mut old = (0..from.rank()).map(|axis| Count::of_axis(&from, axis));
    let rank = from.rank() + axes.len();
    let counts = (0..rank).map(|axis| if axes.contains(&axis) { Some(1.into()) } else { old.next() });
    let shape = shape_of_counts(&counts.flatten().collect::<Vec<_>>())?;
    let result = call.reshape(x, shape)?;
    call.moved(vec![result])
}
