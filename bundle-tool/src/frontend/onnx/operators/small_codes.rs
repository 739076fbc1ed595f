//! Quantization to floats of eight bits and less and to integers of two bits: composed of casts, as these types are only stored.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::linear_quantize::LinearQuantize;
use ekiben_runtime::ops::storage_cast::{Rounding, SmallFloats, StorageCast};

use super::super::call::{Call, Lowered, Refusal, one};
use crate::graph::TensorId;

/// True for integers of two bits.
pub(super) fn is_two_bits(dtype: DType) -> bool {
    matches!(dtype, DType::I2 | DType::U2)
}

fn stored(call: &mut Call<'_>, x: TensorId, to: DType, saturate: bool) -> Result<TensorId, Refusal> {
    call.add(StorageCast { to, small: SmallFloats { saturate, rounding: Rounding::Nearest } }, &[x])
}

/// Two-bit integers as int8.
pub(super) fn to_i8(call: &mut Call<'_>, x: TensorId) -> Result<TensorId, Refusal> {
    stored(call, x, DType::I8, true)
}

/// The scales of a tensor in a shape that broadcasts to it.
fn spread(call: &mut Call<'_>, x: TensorId, scale: TensorId, (axis, block): (u8, u32)) -> Result<TensorId, Refusal> {
    let (shape, scales) = (call.shape(x), call.shape(scale));
    if scales.elements() == Some(1) {
        return call.reshape_to(scale, &[], None);
    }
    if block != 0 {
        return Err(Refusal(format!("blocks that share a scale are not supported for {}", call.dtype(x))));
    }
    let mut dims = vec![1; shape.rank()];
    if let Some(dim) = dims.get_mut(usize::from(axis)) {
        *dim = scales.factor(0).unwrap_or(1);
    }
    call.reshape_to(scale, &dims, None)
}

/// Floats of eight bits and less have a zero point of zero.
fn zero_is_zero(call: &Call<'_>, zero: Option<TensorId>) -> Result<(), Refusal> {
    let Some(zero) = zero else { return Ok(()) };
    let constant = call.graph.tensor(zero).constant.as_ref();
    match constant {
        Some(bytes) if bytes.as_slice().iter().all(|&byte| byte == 0) => Ok(()),
        _ => {
            Err("the zero point of a float of eight bits or less must be known while the model is compiled, and 0"
                .into())
        }
    }
}

/// `x / scale + 0` in f32, rounded to `dtype`: the zero point makes a negative zero positive.
pub(super) fn quantize_float(
    call: &mut Call<'_>,
    [x, scale]: [TensorId; 2],
    zero: Option<TensorId>,
    parts: (u8, u32),
    (dtype, saturate): (DType, bool),
) -> Lowered {
    zero_is_zero(call, zero)?;
    let scale = spread(call, x, scale, parts)?;
    let (x, scale) = (call.cast(x, DType::F32)?, call.cast(scale, DType::F32)?);
    let quotient = call.add(Binary { kind: BinaryKind::Div }, &[x, scale])?;
    let zero = call.scalar(DType::F32, 0.0)?;
    let sum = call.add(Binary { kind: BinaryKind::Add }, &[quotient, zero])?;
    one(stored(call, sum, dtype, saturate)?)
}

/// `x * scale` in f32, rounded to `dtype`.
pub(super) fn dequantize_float(
    call: &mut Call<'_>,
    [x, scale]: [TensorId; 2],
    zero: Option<TensorId>,
    parts: (u8, u32),
    dtype: DType,
) -> Lowered {
    zero_is_zero(call, zero)?;
    let scale = spread(call, x, scale, parts)?;
    let (x, scale) = (stored(call, x, DType::F32, true)?, call.cast(scale, DType::F32)?);
    let product = call.add(Binary { kind: BinaryKind::Mul }, &[x, scale])?;
    one(call.cast(product, dtype)?)
}

/// Quantizes to int8, then to the two bits' range.
pub(super) fn quantize_two_bits(
    call: &mut Call<'_>,
    [x, scale]: [TensorId; 2],
    zero: Option<TensorId>,
    dtype: DType,
    quantize: impl Fn(DType) -> LinearQuantize,
) -> Lowered {
    let mut inputs = vec![x, scale];
    if let Some(zero) = zero {
        inputs.push(to_i8(call, zero)?);
    }
    let wide = call.add(quantize(DType::I8), &inputs)?;
    let (low, high) = if dtype == DType::I2 { (-2.0, 1.0) } else { (0.0, 3.0) };
    let (low, high) = (call.scalar(DType::I8, low)?, call.scalar(DType::I8, high)?);
    let wide = call.add(Binary { kind: BinaryKind::Max }, &[wide, low])?;
    let wide = call.add(Binary { kind: BinaryKind::Min }, &[wide, high])?;
    one(stored(call, wide, dtype, true)?)
}
