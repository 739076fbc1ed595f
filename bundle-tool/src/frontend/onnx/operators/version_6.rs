//! Operators of version 6 of the default operator set that version 7 changed: their old attributes, said with the new meaning.

use super::super::call::{Call, Refusal, Value};
use crate::graph::TensorId;

/// From this version on nothing has to be said anew.
const NEXT: i64 = 7;

/// Turns a node of version 6 into one of version 7.
pub(in crate::frontend::onnx) fn adapt(call: &mut Call<'_>, operator: &str) -> Result<(), Refusal> {
    if call.version >= NEXT {
        return Ok(());
    }
    match operator {
        "Add" | "And" | "Div" | "Equal" | "Greater" | "Less" | "Mul" | "Or" | "Pow" | "Sub" | "Xor" => broadcast(call),
        "BatchNormalization" => normalization(call),
        "Gemm" => {
            call.attributes.ignore(&["broadcast"]);
            Ok(())
        }
        "PRelu" => slope(call),
        _ => Ok(()),
    }
}

/// Puts axes of length 1 behind those of input 1, so that its first axis is number `axis` of input 0.
fn align(call: &mut Call<'_>, x: TensorId, axis: usize) -> Result<(), Refusal> {
    let other = call.tensor(1)?;
    let (shape, given) = (call.shape(x), call.shape(other));
    let behind = shape.rank().checked_sub(axis + given.rank());
    let behind = behind.ok_or_else(|| Refusal(format!("attribute axis {axis} does not fit {given} into {shape}")))?;
    let mut dims: Vec<usize> = given.factors().iter().map(|&dim| dim as usize).collect();
    dims.extend(std::iter::repeat_n(1, behind));
    let aligned = call.reshape_to(other, &dims, given.batch_axis())?;
    call.inputs[1] = Some(Value::Tensor(aligned));
    Ok(())
}

/// Attributes `broadcast` and `axis`: where the second input stands in the first.
fn broadcast(call: &mut Call<'_>) -> Result<(), Refusal> {
    let (broadcast, axis) = (call.attributes.flag("broadcast", false)?, call.attributes.int("axis")?);
    if call.has_counts() || !broadcast {
        return Ok(());
    }
    let x = call.tensor(0)?;
    match axis {
        Some(axis) => {
            let axis = call.axis(axis, call.shape(x).rank())?;
            align(call, x, axis)
        }
        None => Ok(()),
    }
}

/// Attributes `is_test` and `spatial`.
fn normalization(call: &Call<'_>) -> Result<(), Refusal> {
    if !call.attributes.flag("is_test", false)? {
        return Err("is_test=0 asks for training".into());
    }
    match call.attributes.flag("spatial", true)? {
        true => Ok(()),
        false => Err("attribute spatial=0 is not supported".into()),
    }
}

/// A slope for each channel, which is axis 1.
fn slope(call: &mut Call<'_>) -> Result<(), Refusal> {
    let (x, slope) = (call.tensor(0)?, call.tensor(1)?);
    if call.shape(slope).rank() == 1 && call.shape(slope).elements() != Some(1) && call.shape(x).rank() > 1 {
        return align(call, x, 1);
    }
    Ok(())
}
