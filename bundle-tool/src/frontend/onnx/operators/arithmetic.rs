//! Arithmetic on two tensors and more.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::count::Counts;
use super::Lower;
use crate::graph::TensorId;

/// How an operator of this family is lowered.
pub(super) fn find(name: &str) -> Option<Lower> {
    Some(match name {
        "Add" => |call| arithmetic(call, BinaryKind::Add),
        "Sub" => |call| arithmetic(call, BinaryKind::Sub),
        "Mul" => |call| arithmetic(call, BinaryKind::Mul),
        "Div" => |call| arithmetic(call, BinaryKind::Div),
        "PRelu" => |call| combine(call, BinaryKind::PRelu),
        "Mod" => modulo,
        "Pow" => power,
        "Min" => |call| fold(call, BinaryKind::Min).and_then(one),
        "Max" => |call| fold(call, BinaryKind::Max).and_then(one),
        "Sum" => |call| fold(call, BinaryKind::Add).and_then(one),
        "Mean" => mean,
        "BitwiseAnd" => |call| combine(call, BinaryKind::And),
        "BitwiseOr" => |call| combine(call, BinaryKind::Or),
        "BitwiseXor" => |call| combine(call, BinaryKind::Xor),
        "BitwiseNot" => bitwise_not,
        "BitShift" => bit_shift,
        _ => return None,
    })
}

fn combine(call: &mut Call<'_>, kind: BinaryKind) -> Lowered {
    let inputs = [call.tensor(0)?, call.tensor(1)?];
    one(call.add(Binary { kind }, &inputs)?)
}

fn arithmetic(call: &mut Call<'_>, kind: BinaryKind) -> Lowered {
    if !call.has_counts() {
        return combine(call, kind);
    }
    let (a, b) = (call.counts(0)?, call.counts(1)?);
    let counts = Counts::zip(&[&a, &b], |values| match kind {
        BinaryKind::Add => values[0].add(values[1]),
        BinaryKind::Sub => values[0].add(values[1].negate()?),
        BinaryKind::Mul => values[0].multiply(values[1]),
        _ => values[0].divide(values[1]),
    })?;
    Ok(vec![call.put_counts(counts)?])
}

fn modulo(call: &mut Call<'_>) -> Lowered {
    let truncated = call.attributes.flag("fmod", false)?;
    combine(call, if truncated { BinaryKind::Rem } else { BinaryKind::Mod })
}

/// The base's type is the result's; where only the exponents are floats, integers are raised as f64 and truncated.
fn power(call: &mut Call<'_>) -> Lowered {
    let (base, exponent) = (call.tensor(0)?, call.tensor(1)?);
    let dtype = call.dtype(base);
    let wide = if dtype.is_integer() && call.dtype(exponent).is_float() { DType::F64 } else { dtype };
    let (base, exponent) = (call.cast(base, wide)?, call.cast(exponent, wide)?);
    if call.shape(exponent).elements() == Some(1) && call.shape(exponent).rank() <= call.shape(base).rank() {
        let value = call.constant_floats(exponent).and_then(|values| values.first().copied());
        if value == Some(2.0) {
            let square = call.add(Unary::of(UnaryKind::Square), &[base])?;
            return one(call.cast(square, dtype)?);
        }
    }
    let result = call.add(Binary { kind: BinaryKind::Pow }, &[base, exponent])?;
    one(call.cast(result, dtype)?)
}

/// Combines any number of inputs from left to right.
fn fold(call: &mut Call<'_>, kind: BinaryKind) -> Result<TensorId, Refusal> {
    let mut result = call.tensor(0)?;
    for index in 1..call.inputs.len() {
        let next = call.tensor(index)?;
        result = call.add(Binary { kind }, &[result, next])?;
    }
    Ok(result)
}

fn mean(call: &mut Call<'_>) -> Lowered {
    let sum = fold(call, BinaryKind::Add)?;
    let count = call.scalar(call.dtype(sum), call.inputs.len() as f64)?;
    one(call.add(Binary { kind: BinaryKind::Div }, &[sum, count])?)
}

fn bitwise_not(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let dtype = call.dtype(x);
    if !dtype.is_integer() || dtype.bits() < 8 {
        return Err(Refusal(format!("elements of type {dtype} are not supported")));
    }
    let spec = TensorSpec::new(dtype, Shape::scalar());
    let name = call.name.clone();
    let ones = call.graph.add_constant_bytes(&name, spec, &[u8::MAX; 8][..(dtype.bits() / 8) as usize])?;
    one(call.add(Binary { kind: BinaryKind::Xor }, &[x, ones])?)
}

fn bit_shift(call: &mut Call<'_>) -> Lowered {
    match call.attributes.string("direction")?.ok_or("attribute direction is missing")? {
        "LEFT" => combine(call, BinaryKind::ShiftLeft),
        "RIGHT" => combine(call, BinaryKind::ShiftRight),
        other => Err(Refusal(format!("attribute direction is {other:?}"))),
    }
}
