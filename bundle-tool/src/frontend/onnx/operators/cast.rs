//! Conversions of element types.

use ekiben_runtime::DType;
use ekiben_runtime::ops::bit_cast::BitCast;
use ekiben_runtime::ops::storage_cast::{Rounding, SmallFloats, StorageCast, is_stored_only};

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::super::tensor;

/// The type that the attribute `to` names.
fn target(call: &Call<'_>) -> Result<DType, Refusal> {
    let to = call.attributes.int("to")?.ok_or("attribute to is missing")?;
    Ok(tensor::dtype(i32::try_from(to).unwrap_or(-1)).map_err(|reason| format!("attribute to: {reason}"))?)
}

/// What the attributes say about floats of eight bits and less.
fn small_floats(call: &Call<'_>) -> Result<SmallFloats, Refusal> {
    let rounding = match call.attributes.string("round_mode")?.unwrap_or("up") {
        "up" => Rounding::Up,
        "down" => Rounding::Down,
        "nearest" => Rounding::Nearest,
        other => return Err(Refusal(format!("attribute round_mode is {other:?}"))),
    };
    Ok(SmallFloats { saturate: call.attributes.flag("saturate", true)?, rounding })
}

pub(super) fn cast(call: &mut Call<'_>) -> Lowered {
    let (to, small) = (target(call)?, small_floats(call)?);
    cast_to(call, to, small)
}

pub(super) fn cast_like(call: &mut Call<'_>) -> Lowered {
    let small = small_floats(call)?;
    let like = call.tensor(1)?;
    let to = call.dtype(like);
    cast_to(call, to, small)
}

fn cast_to(call: &mut Call<'_>, to: DType, small: SmallFloats) -> Lowered {
    if call.has_counts() {
        return match to {
            DType::I64 | DType::I32 => Ok(vec![Value::Counts(call.counts(0)?)]),
            other => Err(Refusal(format!("integers that depend on the batch cannot become {other}"))),
        };
    }
    let x = call.tensor(0)?;
    let from = call.dtype(x);
    if from == to {
        return one(x);
    }
    if matches!(to, DType::Text | DType::Category) || from == DType::Category {
        return Err(Refusal(format!("casts from {from} to {to} are not supported: text is not a number on a device")));
    }
    if is_stored_only(from) || is_stored_only(to) {
        return one(call.add(StorageCast { to, small }, &[x])?);
    }
    one(call.cast(x, to)?)
}

pub(super) fn bit_cast(call: &mut Call<'_>) -> Lowered {
    let to = target(call)?;
    let x = call.tensor(0)?;
    if call.dtype(x) == to {
        return one(x);
    }
    one(call.add(BitCast { to }, &[x])?)
}
