//! Constants and what is made of shapes alone.

use ekiben_runtime::ops::expand::Expand;
use ekiben_runtime::ops::row_numbers::RowNumbers;
use ekiben_runtime::{DType, TensorSpec};

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::super::tensor;
use super::shape::shape_of_counts;
use crate::graph::TensorId;

/// The largest number of elements that a constant made from a few numbers may have.
const MAX_ELEMENTS: u64 = 1 << 16;

pub(super) fn constant(call: &mut Call<'_>) -> Lowered {
    if let Some(value) = call.attributes.tensor("value")? {
        let name = call.name.clone();
        if let Some(texts) = tensor::texts(value) {
            let (dims, texts) = texts?;
            return one(call.graph.add_texts(&name, &dims, texts)?);
        }
        let constant = tensor::read(value)?;
        return one(call.graph.add_constant_bytes(&name, constant.spec, &constant.bytes)?);
    }
    if let Some(value) = call.attributes.sparse("sparse_value")? {
        let constant = tensor::read_sparse(value, call.budget())?;
        let name = call.name.clone();
        return one(call.graph.add_constant_bytes(&name, constant.spec, &constant.bytes)?);
    }
    if let Some(value) = call.attributes.string("value_string")? {
        let name = call.name.clone();
        return one(call.graph.add_texts(&name, &[], vec![value.to_owned()])?);
    }
    if let Some(values) = call.attributes.strings("value_strings")? {
        let name = call.name.clone();
        let texts: Vec<String> = values.into_iter().map(str::to_owned).collect();
        return one(call.graph.add_texts(&name, &[texts.len()], texts)?);
    }
    if let Some(value) = call.attributes.float("value_float")? {
        return one(call.constant(DType::F32, &[], &[value])?);
    }
    if let Some(values) = call.attributes.floats("value_floats")? {
        return one(call.constant(DType::F32, &[values.len()], values)?);
    }
    if let Some(value) = call.attributes.int("value_int")? {
        return one(call.constant(DType::I64, &[], &[value])?);
    }
    if let Some(values) = call.attributes.ints("value_ints")? {
        return one(call.constant(DType::I64, &[values.len()], values)?);
    }
    call.attributes.finish()?;
    Err("it has no value".into())
}

pub(super) fn constant_of_shape(call: &mut Call<'_>) -> Lowered {
    let counts = call.counts(0)?;
    let scalar = match call.attributes.tensor("value")? {
        Some(value) => tensor::read(value)?,
        None => tensor::Constant {
            spec: TensorSpec::new(DType::F32, ekiben_runtime::Shape::scalar()),
            bytes: 0f32.to_le_bytes().to_vec(),
        },
    };
    if scalar.spec.shape.elements() != Some(1) {
        return Err("attribute value must have one element".into());
    }
    let shape = shape_of_counts(&counts.values)?;
    let name = call.name.clone();
    let dtype = scalar.spec.dtype;
    let spec = TensorSpec::new(dtype, ekiben_runtime::Shape::scalar());
    let value = call.graph.add_constant_bytes(&name, spec, &scalar.bytes)?;
    if shape.elements() == Some(0) {
        let empty = TensorSpec::new(dtype, shape);
        return one(call.graph.add_constant_bytes(&name, empty, &[])?);
    }
    one(call.add_declared(Expand, value, TensorSpec::new(dtype, shape))?)
}

/// The numbers of the rows, for a range from 0 up to a multiple of the batch size in steps of 1.
fn row_numbers(call: &mut Call<'_>) -> Result<Option<TensorId>, Refusal> {
    let Some(Some(Value::Counts(limit))) = call.inputs.get(1) else { return Ok(None) };
    let [limit] = limit.values[..] else { return Ok(None) };
    let Some((length, true)) = limit.length() else { return Ok(None) };
    if call.integers(0)? != [0] || call.integers(2)? != [1] {
        return Ok(None);
    }
    let spec = TensorSpec::new(DType::I64, ekiben_runtime::Shape::new(&[length], Some(0))?);
    Ok(Some(call.add_node(RowNumbers.into(), &[], &[spec])?[0]))
}

pub(super) fn range(call: &mut Call<'_>) -> Lowered {
    if let Some(numbers) = row_numbers(call)? {
        return one(numbers);
    }
    let parts = [call.integers(0)?, call.integers(1)?, call.integers(2)?];
    let [&[start], &[limit], &[step]] = [&parts[0][..], &parts[1][..], &parts[2][..]] else {
        return Err("start, limit and delta must be scalars".into());
    };
    let first = call.tensor(0)?;
    let dtype = call.dtype(first);
    let span = limit.checked_sub(start).filter(|_| step != 0).ok_or("delta is 0 or the range too large")?;
    let count = (i128::from(span) + i128::from(step) - i128::from(step.signum())) / i128::from(step);
    let count =
        u64::try_from(count.max(0)).ok().filter(|&count| count <= MAX_ELEMENTS).ok_or("the range is too large")?;
    let values: Vec<i64> = (0..count as i64).map(|index| start.wrapping_add(index.wrapping_mul(step))).collect();
    match dtype {
        DType::I32 => {
            let values: Vec<i32> = values.iter().map(|&value| value as i32).collect();
            one(call.constant(dtype, &[values.len()], &values)?)
        }
        _ => one(call.constant(DType::I64, &[values.len()], &values)?),
    }
}

pub(super) fn identity(call: &mut Call<'_>) -> Lowered {
    Ok(vec![call.inputs.first().cloned().flatten().ok_or("input 0 is missing")?])
}

/// Nothing is dropped when a model is used; the mask says so.
pub(super) fn dropout(call: &mut Call<'_>) -> Lowered {
    call.attributes.ignore(&["ratio", "seed"]);
    call.at_most_outputs(2)?;
    if call.attributes.has("is_test") && !call.attributes.flag("is_test", true)? {
        return Err("attribute is_test is 0, which asks for training".into());
    }
    if call.has(2) && call.integers(2)?.first() != Some(&0) {
        return Err("input training_mode asks for training".into());
    }
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    let kept = call.scalar(DType::Bool, 1.0)?;
    let mask = call.add_declared(Expand, kept, TensorSpec::new(DType::Bool, shape))?;
    Ok(vec![Value::Tensor(x), Value::Tensor(mask)])
}
