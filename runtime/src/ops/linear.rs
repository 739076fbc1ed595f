//! What operators on linearly quantized tensors share: the attributes' bytes, and the inputs that hold scales and zero points.

use super::quantize::parse_scale;
use super::{Inputs, OpError, Operands, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::integer_float::{Place, Real};
use crate::kernels::reference::linear::{Linear, Parts, Target, range};
use crate::tensor::{DType, Dims, Shape};

/// Types of scales, and of numbers that are quantized or made by dequantizing.
pub(super) const FLOATS: [DType; 3] = [DType::F32, DType::F16, DType::BF16];
/// Types of 8 bits.
pub(super) const BYTES: [DType; 2] = [DType::I8, DType::U8];
/// What [`BYTES`] are called in messages.
pub(super) const NEEDS_BYTES: &str = "int8 or uint8";
/// Types that numbers are quantized to.
pub(super) const STEPS: [DType; 6] = [DType::I4, DType::U4, DType::I8, DType::U8, DType::I16, DType::U16];

/// Reads the code of one of `dtypes`.
pub(super) fn parse_dtype(reader: &mut Reader<'_>, dtypes: &[DType], field: &'static str) -> Result<DType, BytesError> {
    let dtype = DType::from_code(reader.u8()?).filter(|dtype| dtypes.contains(dtype));
    dtype.ok_or(reader.invalid(field))
}

/// Reads where results go: their type, one of `dtypes`, then `zero, low, high: i16`, within a type of 8 bits and 0 for others.
pub(super) fn parse_target(reader: &mut Reader<'_>, dtypes: &[DType]) -> Result<(DType, Target), BytesError> {
    let dtype = parse_dtype(reader, dtypes, "result type")?;
    let target = Target { zero: reader.i16()?, low: reader.i16()?, high: reader.i16()? };
    let (low, high) = if dtype.bits() == 8 { range(dtype) } else { (0, 0) };
    let within = |value: i16| (low..=high).contains(&value.into());
    let sound = [target.zero, target.low, target.high].into_iter().all(within) && target.low <= target.high;
    if sound { Ok((dtype, target)) } else { Err(reader.invalid("target")) }
}

/// Writes a type and a target as [`parse_target`] reads them.
pub(super) fn emit_target((dtype, target): (DType, Target), writer: &mut Writer<'_>) -> Result<(), BytesError> {
    writer.u8(dtype.code())?;
    writer.i16(target.zero)?;
    writer.i16(target.low)?;
    writer.i16(target.high)
}

/// Checks input 1, scales, and input 2, zero points of type `zeros` (optional), for a tensor of `shape`: one for all, one for each
/// part of `axis`, or, with a `block` that is not 0, one for each block along `axis`.
pub(super) fn check_linear(
    inputs: &dyn Inputs,
    shape: &Shape,
    (axis, block): (u8, u32),
    zeros: DType,
) -> Result<(), OpError> {
    inputs.at_most(3)?;
    let scales = inputs.typed(1, &FLOATS, "float32, float16 or bfloat16 scales")?.shape;
    if inputs.get(2).is_some() {
        let stated = inputs.typed(2, &[zeros], "zero points of the integers' type")?.shape;
        if stated != scales {
            return Err(OpError::input(2, Problem::Shape, "a zero point for each scale"));
        }
    }
    let axis = usize::from(axis);
    if block == 0 && scales.elements() == Some(1) && !scales.is_batched() {
        return Ok(());
    }
    let Some(length) = shape.factor(axis).filter(|_| !shape.is_batch(axis)) else {
        return Err(OpError::attribute("axis", "an axis of the input that is not the batch"));
    };
    let expected = match block {
        0 => Shape::fixed(&[length])?,
        _ => shape.with_axis(axis, length.div_ceil(block as usize), false)?,
    };
    if scales == expected {
        return Ok(());
    }
    Err(OpError::input(1, Problem::Shape, "one scale, one for each index of the axis, or one for each block"))
}

/// Inputs 1 and 2 as [`check_linear`] accepted them, for a tensor of `dims`.
pub(super) fn linear<'a>(
    operands: &'a dyn Operands,
    dims: &Dims,
    (axis, block): (u8, u32),
) -> Result<Linear<'a>, OpError> {
    let scales = operands.input(1)?;
    let zeros = operands.optional(2)?;
    let axis = usize::from(axis);
    let (length, inner) = (dims.at(axis), dims.inner(axis));
    let parts = match block {
        0 if scales.dims.elements() == 1 => Parts::Whole,
        0 => Parts::Axis { length, inner },
        _ => Parts::Blocks { length, inner, block: block as usize },
    };
    Ok(Linear {
        scales: (scales.spec.dtype, scales.bytes),
        zeros: zeros.map(|view| (view.spec.dtype, view.bytes)),
        parts,
    })
}

/// Reads what integers stand for: `scale: f32`, positive and finite, and `zero: i16`.
pub(super) fn parse_real(reader: &mut Reader<'_>) -> Result<Real, BytesError> {
    Ok(Real { scale: parse_scale(reader)?, zero: reader.i16()? })
}

/// Writes what [`parse_real`] reads.
pub(super) fn emit_real(real: Real, writer: &mut Writer<'_>) -> Result<(), BytesError> {
    writer.f32(real.scale)?;
    writer.i16(real.zero)
}

/// Reads where 8-bit results go: `scale: f32`, positive and finite, then their type and target.
pub(super) fn parse_place(reader: &mut Reader<'_>) -> Result<(DType, Place), BytesError> {
    let scale = parse_scale(reader)?;
    let (dtype, target) = parse_target(reader, &BYTES)?;
    Ok((dtype, Place { scale, target }))
}

/// Writes what [`parse_place`] reads.
pub(super) fn emit_place(dtype: DType, place: Place, writer: &mut Writer<'_>) -> Result<(), BytesError> {
    writer.f32(place.scale)?;
    emit_target((dtype, place.target), writer)
}
