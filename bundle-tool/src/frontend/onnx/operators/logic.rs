//! Comparisons, booleans and selection.

use ekiben_runtime::DType;
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
        "IsInf" => is_infinite,
        "Where" => select,
        _ => return None,
    })
}

fn is_infinite(call: &mut Call<'_>) -> Lowered {
    let signs = [("detect_positive", f64::INFINITY), ("detect_negative", f64::NEG_INFINITY)];
    let x = call.tensor(0)?;
    let mut found = None;
    for (name, value) in signs {
        if call.attributes.flag(name, true)? {
            let value = call.scalar(call.dtype(x), value)?;
            let equal = call.add(Compare { kind: CompareKind::Equal }, &[x, value])?;
            found = Some(match found {
                None => equal,
                Some(other) => call.add(Logic { kind: LogicKind::Or }, &[other, equal])?,
            });
        }
    }
    match found {
        Some(found) => one(found),
        // Neither sign is asked for: nothing is found.
        None => one(call.add(Compare { kind: CompareKind::Less }, &[x, x])?),
    }
}

fn logic(call: &mut Call<'_>, kind: LogicKind) -> Lowered {
    let inputs = [call.tensor(0)?, call.tensor(1)?];
    one(call.add(Logic { kind }, &inputs)?)
}

fn compare(call: &mut Call<'_>, kind: CompareKind) -> Lowered {
    let inputs = [call.tensor(0)?, call.tensor(1)?];
    if inputs.iter().any(|&input| call.dtype(input) == DType::Category) {
        return Err("texts are not compared: those that no encoder of the model knows are not told apart".into());
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
