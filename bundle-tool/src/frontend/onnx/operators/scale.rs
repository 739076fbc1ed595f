//! Preprocessing of features.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::select::Select;

use super::super::call::{Call, Lowered, Refusal, one};
use crate::graph::TensorId;

/// The input as f32; f64 stays when `wide`.
pub(super) fn features(call: &mut Call<'_>, wide: bool) -> Result<TensorId, Refusal> {
    let x = call.tensor(0)?;
    match call.dtype(x) {
        DType::F32 => Ok(x),
        DType::F64 if wide => Ok(x),
        _ => call.add(Cast { to: DType::F32 }, &[x]),
    }
}

/// One value for all features or one for each, as a constant that broadcasts.
fn per_feature(call: &mut Call<'_>, x: TensorId, values: &[f32]) -> Result<TensorId, Refusal> {
    let last = call.shape(x).factors().last().copied().unwrap_or(1) as usize;
    if values.len() != 1 && values.len() != last {
        return Err(Refusal(format!("{} values for {last} features", values.len())));
    }
    let values: Vec<f64> = values.iter().map(|&value| value.into()).collect();
    call.floats_like(x, &[values.len()], &values)
}

/// `(x - offset) * scale`.
pub(super) fn scaler(call: &mut Call<'_>) -> Lowered {
    let mut x = features(call, true)?;
    let (offset, scale) = (call.attributes.floats("offset")?, call.attributes.floats("scale")?);
    for (values, kind) in [(offset, BinaryKind::Sub), (scale, BinaryKind::Mul)] {
        if let Some(values) = values.filter(|values| !values.is_empty()) {
            let values = per_feature(call, x, values)?;
            x = call.add(Binary { kind }, &[x, values])?;
        }
    }
    if call.dtype(x) == DType::F64 {
        x = call.add(Cast { to: DType::F32 }, &[x])?;
    }
    one(x)
}

/// Each row over its norm; rows whose norm is 0 stay.
pub(super) fn normalizer(call: &mut Call<'_>) -> Lowered {
    let kind = match call.attributes.string("norm")?.unwrap_or("MAX") {
        "MAX" => ReduceKind::Max,
        "L1" => ReduceKind::L1,
        "L2" => ReduceKind::L2,
        other => return Err(Refusal(format!("attribute norm is {other:?}"))),
    };
    let x = features(call, false)?;
    let last = call.shape(x).rank().checked_sub(1).ok_or("it needs one axis at least")?;
    let norm = call.add(Reduce { kind, axes: 1u8 << last, keep: true }, &[x])?;
    let (zero, one_constant) = (call.floats_like(x, &[], &[0.0])?, call.floats_like(x, &[], &[1.0])?);
    let is_zero = call.add(Compare { kind: CompareKind::Equal }, &[norm, zero])?;
    let divisor = call.add(Select, &[is_zero, one_constant, norm])?;
    one(call.add(Binary { kind: BinaryKind::Div }, &[x, divisor])?)
}

/// 1 above the threshold, 0 elsewhere.
pub(super) fn binarizer(call: &mut Call<'_>) -> Lowered {
    let threshold = f64::from(call.attributes.float("threshold")?.unwrap_or(0.0));
    let x = call.tensor(0)?;
    let to = call.dtype(x);
    let threshold = call.floats_like(x, &[], &[threshold])?;
    let above = call.add(Compare { kind: CompareKind::Greater }, &[x, threshold])?;
    one(call.add(Cast { to }, &[above])?)
}

/// Puts other values in the place of one (NaN among floats).
pub(super) fn imputer(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let floats = call.attributes.floats("imputed_value_floats")?;
    let ints = call.attributes.ints("imputed_value_int64s")?;
    let replaced = call.attributes.float("replaced_value_float")?.unwrap_or(0.0);
    let replaced_int = call.attributes.int("replaced_value_int64")?.unwrap_or(0);
    let last = call.shape(x).factors().last().copied().unwrap_or(1) as usize;
    let (values, is_replaced) = match (floats, ints) {
        (Some(floats), None) => {
            let values = per_feature(call, x, floats)?;
            let is_replaced = if replaced.is_nan() {
                call.add(Compare { kind: CompareKind::NotEqual }, &[x, x])?
            } else {
                let replaced = call.floats_like(x, &[], &[replaced.into()])?;
                call.add(Compare { kind: CompareKind::Equal }, &[x, replaced])?
            };
            (values, is_replaced)
        }
        (None, Some(ints)) if ints.len() == 1 || ints.len() == last => {
            let values = call.constant(DType::I64, &[ints.len()], ints)?;
            let replaced = call.constant(DType::I64, &[], &[replaced_int])?;
            (values, call.add(Compare { kind: CompareKind::Equal }, &[x, replaced])?)
        }
        _ => return Err("it needs imputed values of one kind, one or as many as there are features".into()),
    };
    one(call.add(Select, &[is_replaced, values, x])?)
}
