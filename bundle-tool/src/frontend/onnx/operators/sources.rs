//! Constants and what is made of shapes alone.

use ekiben_runtime::kernels::reference::cast::cast;
use ekiben_runtime::ops::expand::Expand;
use ekiben_runtime::ops::row_numbers::RowNumbers;
use ekiben_runtime::{DType, Shape, TensorSpec};

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
    // Intermediate values of 16-bit floats are f32; other precisions would give other numbers.
    if call.attributes.int("stash_type")?.unwrap_or(1) != 1 {
        return Err("attribute stash_type is not 1".into());
    }
    let first = call.tensor(0)?;
    let dtype = call.dtype(first);
    if dtype.is_float() { float_range(call, dtype) } else { integer_range(call, dtype) }
}

/// `start + i * delta` below `limit`, in f32, or in f64 for that type.
fn float_range(call: &mut Call<'_>, dtype: DType) -> Lowered {
    let mut parts = [0.0; 3];
    for (index, part) in parts.iter_mut().enumerate() {
        let id = call.tensor(index)?;
        let tensor = call.graph.tensor(id);
        let bytes = tensor.constant.as_ref().filter(|_| tensor.spec.shape.elements() == Some(1));
        let bytes =
            bytes.ok_or_else(|| format!("input {index} must be a number that is known while the model is compiled"))?;
        let mut wide = [0; 8];
        cast(dtype, bytes.as_slice(), DType::F64, &mut wide);
        *part = f64::from_le_bytes(wide);
    }
    let [start, limit, delta] = parts;
    let count = ((limit - start) / delta).ceil().max(0.0);
    if count.is_nan() || count > MAX_ELEMENTS as f64 {
        return Err("delta is 0 or the range too large".into());
    }
    let value = |index: usize| match dtype {
        DType::F64 => start + index as f64 * delta,
        _ => f64::from(start as f32 + index as f32 * delta as f32),
    };
    one(numbers(call, dtype, &(0..count as usize).map(value).collect::<Vec<_>>())?)
}

/// A constant list of a type of numbers of whole bytes.
fn numbers(call: &mut Call<'_>, dtype: DType, values: &[f64]) -> Result<TensorId, Refusal> {
    let shape = Shape::fixed(&[values.len()])?;
    let mut bytes = vec![0; values.len() * (dtype.bits() / 8) as usize];
    cast(DType::F64, bytemuck::cast_slice(values), dtype, &mut bytes);
    let name = call.name.clone();
    Ok(call.graph.add_constant_bytes(&name, TensorSpec::new(dtype, shape), &bytes)?)
}

fn integer_range(call: &mut Call<'_>, dtype: DType) -> Lowered {
    let parts = [call.integers(0)?, call.integers(1)?, call.integers(2)?];
    let [&[start], &[limit], &[step]] = [&parts[0][..], &parts[1][..], &parts[2][..]] else {
        return Err("start, limit and delta must be scalars".into());
    };
    let span = limit.checked_sub(start).filter(|_| step != 0).ok_or("delta is 0 or the range too large")?;
    let count = (i128::from(span) + i128::from(step) - i128::from(step.signum())) / i128::from(step);
    let count =
        u64::try_from(count.max(0)).ok().filter(|&count| count <= MAX_ELEMENTS).ok_or("the range is too large")?;
    let values: Vec<i64> = (0..count as i64).map(|index| start.wrapping_add(index.wrapping_mul(step))).collect();
    let values = call.constant(DType::I64, &[values.len()], &values)?;
    one(call.cast(values, dtype)?)
}

/// Ones on diagonal `k` of a matrix as large as the input.
pub(super) fn eye_like(call: &mut Call<'_>) -> Lowered {
    let shape = match call.inputs.first() {
        Some(Some(Value::Counts(_))) => return Err("input 0 must be a matrix".into()),
        _ => {
            let x = call.tensor(0)?;
            call.shape(x)
        }
    };
    let dtype = match call.attributes.int("dtype")? {
        Some(number) => tensor::dtype(i32::try_from(number).unwrap_or(-1))?,
        None => call.tensor(0).map(|x| call.dtype(x))?,
    };
    let diagonal = call.attributes.int("k")?.unwrap_or(0);
    let [rows, columns] = *shape.factors() else { return Err("input 0 must be a matrix".into()) };
    let elements = u64::from(rows) * u64::from(columns);
    if shape.is_batched()
        || elements > MAX_ELEMENTS
        || !(dtype.is_float() || dtype.is_integer() || dtype == DType::Bool)
    {
        return Err(Refusal(format!("a matrix {shape} of {dtype} is not supported")));
    }
    let one_at = |row: i64, column: i64| f64::from(u8::from(column.checked_sub(row) == Some(diagonal)));
    let values = (0..i64::from(rows)).flat_map(|row| (0..i64::from(columns)).map(move |column| one_at(row, column)));
    let list = numbers(call, dtype, &values.collect::<Vec<_>>())?;
    one(call.reshape(list, shape)?)
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
