//! Values that are known while the model is compiled, of any type.

use ekiben_runtime::DType;
use ekiben_runtime::ops::cast::Cast;

use super::super::call::{Call, Refusal};
use crate::graph::TensorId;

/// The most elements of a constant whose values decide the shape of a result.
const MAX_KEYS: u64 = 1 << 18;

/// Fails for a constant of more than [`MAX_KEYS`] elements.
pub(super) fn check_size(call: &Call<'_>, id: TensorId) -> Result<(), Refusal> {
    match call.shape(id).elements() {
        Some(..=MAX_KEYS) => Ok(()),
        _ => Err(Refusal(format!("its result depends on the values of more than {MAX_KEYS} elements"))),
    }
}

/// The elements of a constant of any numeric type as integers in the same order: equal ones are equal, zero is 0, and NaN is the largest.
pub(super) fn keys(call: &Call<'_>, id: TensorId) -> Option<Vec<i128>> {
    let tensor = call.graph.tensor(id);
    let bytes = tensor.constant.as_ref()?.as_slice();
    let width = usize::try_from(tensor.spec.dtype.bits() / 8).ok().filter(|&width| width > 0)?;
    bytes.chunks_exact(width).map(|element| key(tensor.spec.dtype, element)).collect()
}

fn key(dtype: DType, element: &[u8]) -> Option<i128> {
    macro_rules! read {
        ($type:ty) => {
            <$type>::from_le_bytes(element.try_into().ok()?)
        };
    }
    Some(match dtype {
        DType::Bool => (element != [0]).into(),
        DType::I8 => read!(i8).into(),
        DType::I16 => read!(i16).into(),
        DType::I32 => read!(i32).into(),
        DType::I64 => read!(i64).into(),
        DType::U8 => read!(u8).into(),
        DType::U16 => read!(u16).into(),
        DType::U32 => read!(u32).into(),
        DType::U64 => read!(u64).into(),
        DType::F16 => float_key(half::f16::from_bits(read!(u16)).into()),
        DType::BF16 => float_key(half::bf16::from_bits(read!(u16)).into()),
        DType::F32 => float_key(read!(f32).into()),
        DType::F64 => float_key(read!(f64)),
        _ => return None,
    })
}

/// Integers in the order of floats: the sign and the magnitude of their bits.
fn float_key(value: f64) -> i128 {
    let magnitude = i128::from(value.abs().to_bits());
    match value {
        _ if value.is_nan() => i128::MAX,
        _ if value.is_sign_negative() => -magnitude,
        _ => magnitude,
    }
}

/// The one element of an input, cut to an integer, when it is known.
pub(super) fn integer(call: &mut Call<'_>, index: usize) -> Result<Option<i64>, Refusal> {
    let id = call.tensor(index)?;
    let id = as_integers(call, id)?;
    Ok(call.constant_integers(id).and_then(|values| <[i64; 1]>::try_from(values).ok()).map(|[value]| value))
}

/// A tensor as indices: other types than i32 and i64 are cut to i64.
pub(super) fn as_integers(call: &mut Call<'_>, id: TensorId) -> Result<TensorId, Refusal> {
    match call.dtype(id) {
        DType::I32 | DType::I64 => Ok(id),
        _ => call.add(Cast { to: DType::I64 }, &[id]),
    }
}

/// A constant of any numeric type.
pub(super) fn numbers(call: &mut Call<'_>, dtype: DType, dims: &[usize], values: &[f64]) -> Result<TensorId, Refusal> {
    let constant = call.constant(DType::F64, dims, values)?;
    if dtype == DType::F64 { Ok(constant) } else { call.add(Cast { to: dtype }, &[constant]) }
}
