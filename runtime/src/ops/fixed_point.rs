//! What operators on int8 tensors share: the attributes' bytes, and the inputs that turn sums into int8 or back into floats.

use super::{Inputs, OpError, Operands, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d::Clamp;
use crate::kernels::reference::fixed_point::{Factor, Factors, Target};
use crate::kernels::reference::hybrid::Rescale;
use crate::kernels::reference::quantized_conv2d::Requantize;
use crate::kernels::reference::wide_conv2d::{WideBias, WideRequantize};
use crate::tensor::{DType, TensorSpec};

/// Reads a factor: `multiplier, shift: i32`, the shift from -31 to 31.
pub(super) fn parse_factor(reader: &mut Reader<'_>) -> Result<Factor, BytesError> {
    let factor = Factor { multiplier: reader.i32()?, shift: reader.i32()? };
    if (-31..=31).contains(&factor.shift) { Ok(factor) } else { Err(reader.invalid("shift")) }
}

/// Writes a factor as [`parse_factor`] reads it.
pub(super) fn emit_factor(factor: Factor, writer: &mut Writer<'_>) -> Result<(), BytesError> {
    writer.i32(factor.multiplier)?;
    writer.i32(factor.shift)
}

/// Reads a target: `zero, low, high: i8`, low not above high.
pub(super) fn parse_target(reader: &mut Reader<'_>) -> Result<Target, BytesError> {
    let target = Target { zero: reader.i8()?, low: reader.i8()?, high: reader.i8()? };
    if target.low <= target.high { Ok(target) } else { Err(reader.invalid("bounds")) }
}

/// Writes a target as [`parse_target`] reads it.
pub(super) fn emit_target(target: Target, writer: &mut Writer<'_>) -> Result<(), BytesError> {
    writer.i8(target.zero)?;
    writer.i8(target.low)?;
    writer.i8(target.high)
}

/// Reads a target of 16 bits: `zero, low, high: i16`, low not above high.
pub(super) fn parse_wide_target(reader: &mut Reader<'_>) -> Result<Target<i16>, BytesError> {
    let target = Target { zero: reader.i16()?, low: reader.i16()?, high: reader.i16()? };
    if target.low <= target.high { Ok(target) } else { Err(reader.invalid("bounds")) }
}

/// Writes a target as [`parse_wide_target`] reads it.
pub(super) fn emit_wide_target(target: Target<i16>, writer: &mut Writer<'_>) -> Result<(), BytesError> {
    writer.i16(target.zero)?;
    writer.i16(target.low)?;
    writer.i16(target.high)
}

/// Reads bounds: `low, high: i16`, low not above high.
pub(super) fn parse_bounds(reader: &mut Reader<'_>) -> Result<[i16; 2], BytesError> {
    let bounds = [reader.i16()?, reader.i16()?];
    if bounds[0] <= bounds[1] { Ok(bounds) } else { Err(reader.invalid("bounds")) }
}

/// Checks inputs 2 (bias of int32 or int64, optional), 3 (multipliers) and 4 (shifts) of an operator with `channels` output channels.
pub(super) fn check_wide_requantize(inputs: &dyn Inputs, channels: usize) -> Result<(), OpError> {
    const NEEDS: &str = "an int32 or int64 bias for each output channel";
    inputs.at_most(5)?;
    if inputs.get(2).is_some() {
        let dtype = inputs.typed(2, &[DType::I32, DType::I64], NEEDS)?.dtype;
        inputs.fixed(2, dtype, &[channels], NEEDS)?;
    }
    check_scales(inputs, channels)
}

/// Inputs 2 to 4, as [`check_wide_requantize`] accepted them.
pub(super) fn wide_requantize(operands: &dyn Operands, bounds: [i16; 2]) -> Result<WideRequantize<'_>, OpError> {
    let bias = match operands.optional(2)?.map(|view| view.spec.dtype) {
        None => WideBias::None,
        Some(DType::I32) => WideBias::Narrow(operands.slice(2)?),
        Some(_) => WideBias::Wide(operands.slice(2)?),
    };
    let factors = Factors { multipliers: operands.slice(3)?, shifts: operands.slice(4)? };
    Ok(WideRequantize { bias, factors, bounds })
}

/// Checks that input `index` is a list of `dtype`, one for each of `channels` or one for all.
fn per_channel(
    inputs: &dyn Inputs,
    index: usize,
    dtype: DType,
    channels: usize,
    needs: &'static str,
) -> Result<(), OpError> {
    inputs.fixed(index, dtype, &[channels], needs).or_else(|_| inputs.fixed(index, dtype, &[1], needs))
}

/// Checks inputs 2 (bias, optional), 3 (multipliers) and 4 (shifts) of an operator with `channels` output channels.
pub(super) fn check_requantize(inputs: &dyn Inputs, channels: usize) -> Result<(), OpError> {
    inputs.at_most(5)?;
    check_factors(inputs, channels)
}

/// As [`check_requantize`], for an operator with further inputs.
pub(super) fn check_factors(inputs: &dyn Inputs, channels: usize) -> Result<(), OpError> {
    if inputs.get(2).is_some() {
        inputs.fixed(2, DType::I32, &[channels], "an int32 bias for each output channel")?;
    }
    check_scales(inputs, channels)
}

/// Checks inputs 3 (multipliers) and 4 (shifts).
fn check_scales(inputs: &dyn Inputs, channels: usize) -> Result<(), OpError> {
    per_channel(inputs, 3, DType::I32, channels, "one int32 multiplier, or one for each output channel")?;
    per_channel(inputs, 4, DType::I32, channels, "one int32 shift, or one for each output channel")
}

/// Inputs 2 to 4, as [`check_requantize`] accepted them.
pub(super) fn requantize(operands: &dyn Operands, target: Target) -> Result<Requantize<'_>, OpError> {
    let factors = Factors { multipliers: operands.slice(3)?, shifts: operands.slice(4)? };
    Ok(Requantize { bias: operands.optional_slice(2)?, factors, target })
}

/// Checks inputs 2 (bias, optional) and 3 (scales) of a hybrid operator with `channels` output channels.
pub(super) fn check_rescale(inputs: &dyn Inputs, channels: usize) -> Result<(), OpError> {
    inputs.at_most(4)?;
    if inputs.get(2).is_some() {
        inputs.fixed(2, DType::F32, &[channels], "a float32 bias for each output channel")?;
    }
    per_channel(inputs, 3, DType::F32, channels, "one float32 scale, or one for each output channel")
}

/// Inputs 2 and 3, as [`check_rescale`] accepted them.
pub(super) fn rescale(operands: &dyn Operands, clamp: Clamp) -> Result<Rescale<'_>, OpError> {
    Ok(Rescale { scales: operands.slice(3)?, bias: operands.optional_slice(2)?, clamp })
}

/// The rule of a matrix product of input 0, `[…, K]` of `dtype`, with input 1, int8 weights `[units, K]` that do not depend on the
/// batch: checks both, states output 0 `[…, units]` of `dtype`, and returns the number of units.
pub(super) fn put_rows(inputs: &dyn Inputs, outputs: &mut dyn Outputs, dtype: DType) -> Result<usize, OpError> {
    let needs = "int8 weights [units, K]";
    let input = inputs.typed(0, &[dtype], "the type of the activations")?.shape;
    let weights = inputs.typed(1, &[DType::I8], needs)?.shape;
    let (&[units, columns], false) = (weights.factors(), weights.is_batched()) else {
        return Err(OpError::input(1, Problem::Rank, needs));
    };
    let last = input.rank().checked_sub(1).ok_or(OpError::input(0, Problem::Rank, "one axis at least"))?;
    if input.is_batch(last) || input.factor(last) != Some(columns as usize) || columns == 0 || units == 0 {
        return Err(OpError::input(0, Problem::Shape, "a last axis as long as the weights' rows"));
    }
    let shape = input
        .with_axis(last, units as usize, false)
        .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))?;
    outputs.put(0, TensorSpec::new(dtype, shape))?;
    Ok(units as usize)
}

/// The scratch memory of a hybrid operator as int8.
pub(super) fn scratch_i8(bytes: &mut [u8]) -> &mut [i8] {
    bytemuck::cast_slice_mut(bytes)
}
