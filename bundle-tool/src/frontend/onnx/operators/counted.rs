//! Arithmetic and comparisons of integers of which some depend on the batch: results that hold for every batch.

use ekiben_runtime::DType;

use super::super::call::{Call, Lowered, one};
use super::super::count::{Count, Counts};
use super::Lower;

/// How an operator is lowered when some input holds counts; `None` where it takes them as any other input.
pub(super) fn find(name: &str) -> Option<Lower> {
    Some(match name {
        "Less" => |call| compare(call, |a, b| a.is_less(b)),
        "Greater" => |call| compare(call, |a, b| b.is_less(a)),
        "LessOrEqual" => |call| compare(call, |a, b| b.is_less(a).map(|less| !less)),
        "GreaterOrEqual" => |call| compare(call, |a, b| a.is_less(b).map(|less| !less)),
        "Max" => |call| extreme(call, |a, b| if a.is_less(b)? { Some(b) } else { Some(a) }),
        "Min" => |call| extreme(call, |a, b| if a.is_less(b)? { Some(a) } else { Some(b) }),
        "Mod" => modulo,
        _ => return None,
    })
}

fn compare(call: &mut Call<'_>, holds: fn(Count, Count) -> Option<bool>) -> Lowered {
    let (a, b) = (call.counts(0)?, call.counts(1)?);
    let results = Counts::zip(&[&a, &b], |values| Some(i64::from(holds(values[0], values[1])?).into()))?;
    let values: Vec<u8> = results.values.iter().map(|count| u8::from(count.fixed != 0)).collect();
    one(call.constant(DType::Bool, &results.dims, &values)?)
}

/// Chooses from the first input to the last.
fn extreme(call: &mut Call<'_>, choose: fn(Count, Count) -> Option<Count>) -> Lowered {
    let mut result = call.counts(0)?;
    for index in 1..call.inputs.len() {
        let next = call.counts(index)?;
        result = Counts::zip(&[&result, &next], |values| choose(values[0], values[1]))?;
    }
    Ok(vec![call.put_counts(result)?])
}

fn modulo(call: &mut Call<'_>) -> Lowered {
    let truncated = call.attributes.flag("fmod", false)?;
    let (a, b) = (call.counts(0)?, call.counts(1)?);
    let counts = Counts::zip(&[&a, &b], |values| values[0].modulo(values[1], truncated))?;
    Ok(vec![call.put_counts(counts)?])
}
