//! Comparisons, booleans and selection.

use ekiben_runtime::DType;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::logic::{Logic, LogicKind};
use ekiben_runtime::ops::select::Select;

use super::super::call::{Call, Lowered, one};
use super::super::count::Counts;
use super::Lower;

/// How an operator of this family is lowered.
pub(super) fn find(name: &str) -> Option<Lower> {
    Some(match name {
        "And" => |call| logic(call, LogicKind::And),
        "Or" => |call| logic(call, LogicKind::Or),
        "Xor" => |call| logic(call, LogicKind::Xor),
        "Not" => |call| {
            let (x, yes) = (call.tensor(0)?, call.constant(DType::Bool, &[], &[1u8])?);
            one(call.add(Logic { kind: LogicKind::Xor }, &[x, yes])?)
        },
        "Equal" => equal,
        "Less" => |call| compare(call, CompareKind::Less),
        "LessOrEqual" => |call| compare(call, CompareKind::LessOrEqual),
        "Greater" => |call| compare(call, CompareKind::Greater),
        "GreaterOrEqual" => |call| compare(call, CompareKind::GreaterOrEqual),
        "IsNaN" => |call| {
            let x = call.tensor(0)?;
            one(call.add(Compare { kind: CompareKind::NotEqual }, &[x, x])?)
        },
        "Where" => select,
        _ => return None,
    })
}

fn logic(call: &mut Call<'_>, kind: LogicKind) -> Lowered {
    let inputs = [call.tensor(0)?, call.tensor(1)?];
    one(call.add(Logic { kind }, &inputs)?)
}

fn compare(call: &mut Call<'_>, kind: CompareKind) -> Lowered {
    let mut inputs = [call.tensor(0)?, call.tensor(1)?];
    for input in &mut inputs {
        if call.dtype(*input) == DType::Category {
            return Err("texts are not compared: those that no encoder of the model knows are not told apart".into());
        }
        // Types without a comparison of their own have all their values in a 64-bit integer.
        if matches!(call.dtype(*input), DType::Bool | DType::I8 | DType::I16 | DType::U8 | DType::U16 | DType::U32) {
            *input = call.add(Cast { to: DType::I64 }, &[*input])?;
        }
    }
    one(call.add(Compare { kind }, &inputs)?)
}

fn equal(call: &mut Call<'_>) -> Lowered {
    if !call.has_counts() {
        return compare(call, CompareKind::Equal);
    }
    let (a, b) = (call.counts(0)?, call.counts(1)?);
    let counts = Counts::zip(&[&a, &b], |values| Some(i64::from(values[0].equals(values[1])?).into()))?;
    let values: Vec<u8> = counts.values.iter().map(|count| u8::from(count.fixed != 0)).collect();
    one(call.constant(DType::Bool, &counts.dims, &values)?)
}

fn select(call: &mut Call<'_>) -> Lowered {
    if call.has_counts() {
        let (condition, a, b) = (call.counts(0)?, call.counts(1)?, call.counts(2)?);
        let counts = Counts::zip(&[&condition, &a, &b], |values| {
            Some(if values[0].number()? != 0 { values[1] } else { values[2] })
        })?;
        return Ok(vec![call.put_counts(counts)?]);
    }
    let inputs = [call.tensor(0)?, call.tensor(1)?, call.tensor(2)?];
    one(call.add(Select, &inputs)?)
}
