//! Running sums, triangles, reversed sequences, determinants.

use ekiben_runtime::DType;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::cumulate::{Combination, Cumulate};
use ekiben_runtime::ops::determinant::Determinant;
use ekiben_runtime::ops::reverse_sequence::ReverseSequence;
use ekiben_runtime::ops::triangle::Triangle;

use super::super::call::{Call, Lowered, one};
use super::known;

fn cumulate(call: &mut Call<'_>, kind: Combination) -> Lowered {
    let exclusive = call.attributes.flag("exclusive", false)?;
    let reverse = call.attributes.flag("reverse", false)?;
    let (x, axis_input) = (call.tensor(0)?, call.tensor(1)?);
    match known::integer(call, 1)? {
        Some(axis) => {
            let axis = call.axis(axis, call.shape(x).rank())? as u8;
            one(call.add(Cumulate { kind, exclusive, reverse, axis }, &[x])?)
        }
        None => one(call.add(Cumulate { kind, exclusive, reverse, axis: 0 }, &[x, axis_input])?),
    }
}

pub(super) fn cum_sum(call: &mut Call<'_>) -> Lowered {
    cumulate(call, Combination::Add)
}

pub(super) fn cum_prod(call: &mut Call<'_>) -> Lowered {
    cumulate(call, Combination::Mul)
}

pub(super) fn trilu(call: &mut Call<'_>) -> Lowered {
    let lower = !call.attributes.flag("upper", true)?;
    let x = call.tensor(0)?;
    let diagonal = call.optional(1)?;
    let known = if diagonal.is_some() { known::integer(call, 1)? } else { Some(0) };
    match (known, diagonal) {
        (None, Some(input)) => one(call.add(Triangle { lower, diagonal: 0 }, &[x, input])?),
        (known, _) => one(call.add(Triangle { lower, diagonal: known.unwrap_or(0) }, &[x])?),
    }
}

pub(super) fn reverse_sequence(call: &mut Call<'_>) -> Lowered {
    let batch_axis = call.attributes.int("batch_axis")?.unwrap_or(1);
    let time_first = match (call.attributes.int("time_axis")?.unwrap_or(0), batch_axis) {
        (0, 1) => true,
        (1, 0) => false,
        _ => return Err("attributes time_axis and batch_axis must be 0 and 1 or 1 and 0".into()),
    };
    let (x, lengths) = (call.tensor(0)?, call.tensor(1)?);
    one(call.add(ReverseSequence { time_first }, &[x, lengths])?)
}

pub(super) fn det(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let dtype = call.dtype(x);
    if !matches!(dtype, DType::F16 | DType::BF16) {
        return one(call.add(Determinant, &[x])?);
    }
    let wide = call.add(Cast { to: DType::F32 }, &[x])?;
    let result = call.add(Determinant, &[wide])?;
    one(call.add(Cast { to: dtype }, &[result])?)
}
