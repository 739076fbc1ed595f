//! Sequences: lists of tensors whose length is known while the model is compiled. An optional value is the value itself: whether it is
//! there is known.

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::super::control::{joined, stacked};
use super::indexing::{Part, take};
use ekiben_runtime::DType;
use tract_onnx::pb::ValueInfoProto;

/// The most elements of a sequence.
const MAX_ELEMENTS: usize = 4096;

/// An input that is a sequence.
fn sequence(call: &Call<'_>, index: usize) -> Result<Vec<Value>, Refusal> {
    match call.inputs.get(index) {
        Some(Some(Value::Sequence(values))) => Ok(values.clone()),
        Some(Some(_)) => Err(Refusal(format!("input {index} is not a sequence"))),
        _ => Err(Refusal(format!("input {index} is missing"))),
    }
}

fn too_long() -> Refusal {
    Refusal(format!("a sequence has more than {MAX_ELEMENTS} elements"))
}

fn put(values: Vec<Value>) -> Lowered {
    if values.len() > MAX_ELEMENTS {
        return Err(too_long());
    }
    if values.iter().any(|value| matches!(value, Value::Sequence(_))) {
        return Err("sequences of sequences are not supported".into());
    }
    Ok(vec![Value::Sequence(values)])
}

/// A position, counted from the end when negative; `end` is the largest allowed.
fn position(call: &Call<'_>, index: usize, length: usize, end: usize) -> Result<usize, Refusal> {
    let [position] = call.integers(index)?[..] else { return Err("a position must have one element".into()) };
    let counted = if position < 0 { position.saturating_add(length as i64) } else { position };
    let counted = usize::try_from(counted).ok().filter(|&counted| counted <= end);
    counted.ok_or_else(|| Refusal(format!("position {position} is outside a sequence of {length}")))
}

pub(super) fn construct(call: &mut Call<'_>) -> Lowered {
    let values = call.inputs.iter().flatten().cloned().collect();
    put(values)
}

pub(super) fn empty(call: &mut Call<'_>) -> Lowered {
    call.attributes.ignore(&["dtype"]);
    put(Vec::new())
}

pub(super) fn insert(call: &mut Call<'_>) -> Lowered {
    let mut values = sequence(call, 0)?;
    let at = if call.has(2) { position(call, 2, values.len(), values.len())? } else { values.len() };
    values.insert(at, call.inputs.get(1).cloned().flatten().ok_or("input 1 is missing")?);
    put(values)
}

/// The position that an input names, or the last element's.
fn existing(call: &Call<'_>, index: usize, length: usize) -> Result<usize, Refusal> {
    let last = length.checked_sub(1).ok_or("the sequence is empty")?;
    if call.has(index) { position(call, index, length, last) } else { Ok(last) }
}

pub(super) fn erase(call: &mut Call<'_>) -> Lowered {
    let mut values = sequence(call, 0)?;
    values.remove(existing(call, 1, values.len())?);
    put(values)
}

pub(super) fn at(call: &mut Call<'_>) -> Lowered {
    let mut values = sequence(call, 0)?;
    Ok(vec![values.swap_remove(existing(call, 1, values.len())?)])
}

pub(super) fn length(call: &mut Call<'_>) -> Lowered {
    let length = sequence(call, 0)?.len() as i64;
    one(call.constant(DType::I64, &[], &[length])?)
}

pub(super) fn concat(call: &mut Call<'_>) -> Lowered {
    let axis = call.attributes.int("axis")?.ok_or("attribute axis is missing")?;
    let new = call.attributes.flag("new_axis", false)?;
    let values = sequence(call, 0)?;
    if values.is_empty() {
        return Err("the sequence is empty".into());
    }
    if new {
        return Ok(vec![stacked(call, values, axis, &ValueInfoProto::default())?]);
    }
    call.inputs = values.into_iter().map(Some).collect();
    let tensors = call.all_data()?;
    let axis = call.axis(axis, call.shape(tensors[0]).rank())?;
    let result = joined(call, tensors, axis)?;
    call.moved(vec![result])
}

pub(super) fn split(call: &mut Call<'_>) -> Lowered {
    let axis = call.attributes.int("axis")?.unwrap_or(0);
    let keep = call.attributes.flag("keepdims", true)?;
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    let axis = call.axis(axis, shape.rank())?;
    if shape.is_batch(axis) {
        return Err("the batch cannot be split. Give its length with --dim or --shape".into());
    }
    let length = shape.factor(axis).unwrap_or(0) as i64;
    let count = |piece: i64| match (length + piece - 1) / piece {
        count if count <= MAX_ELEMENTS as i64 => Ok(count),
        _ => Err(too_long()),
    };
    let pieces = match call.optional(1)? {
        None => vec![1; count(1)? as usize],
        Some(split) => match (call.shape(split).rank(), call.integers(1)?) {
            (0, pieces) if pieces[..] > [0][..] => {
                let piece = pieces[0];
                (0..count(piece)?).map(|index| piece.min(length - piece * index)).collect()
            }
            (1, pieces) => pieces,
            _ => return Err("input 1 is neither a length nor a list of lengths".into()),
        },
    };
    if pieces.iter().any(|&piece| piece < 0)
        || pieces.iter().try_fold(0i64, |sum, &piece| sum.checked_add(piece)) != Some(length)
    {
        return Err(Refusal(format!("{pieces:?} are not the parts of {length}")));
    }
    let mut start = 0;
    let mut values = Vec::new();
    for length in pieces {
        let mut parts = Part::whole(&shape);
        parts[axis] = Part { start, step: 1, length };
        let mut piece = take(call, x, &parts)?;
        if !keep && !call.has(1) {
            let mut dims: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).collect();
            dims.remove(axis);
            piece = call.reshape_to(piece, &dims, shape.batch_axis().map(|batch| batch - usize::from(batch > axis)))?;
        }
        values.push(Value::Tensor(piece));
        start += length;
    }
    put(values)
}

/// Whether there is a value.
pub(super) fn has_element(call: &mut Call<'_>) -> Lowered {
    let there = call.has(0);
    one(call.constant(DType::Bool, &[], &[u8::from(there)])?)
}

/// A value as an optional one, and back.
pub(super) fn element(call: &mut Call<'_>) -> Lowered {
    call.attributes.ignore(&["type"]);
    let value = call.inputs.first().cloned().flatten();
    Ok(vec![value.ok_or("an optional value without a value is not supported")?])
}
