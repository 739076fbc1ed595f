//! LightGBM: the arguments of `predict` of a booster or a wrapper for scikit-learn.

use ekiben_runtime::DType;

use crate::frontend::Model;
use crate::service::evaluate::{Array, Call, Evaluator, Place, Stop, Value};

/// Arguments that change nothing where they are false.
const OFF: &[&str] = &["pred_contrib", "data_has_header", "is_reshape", "validate_features"];

/// Whether a model is asked with LightGBM's arguments: it has raw scores.
pub(super) fn is_asked(model: &dyn Model) -> bool {
    model.methods().contains(&"predict_raw")
}

/// The features, and the method of the model's front-end that the arguments choose: `predict`, `predict_raw`, `predict_leaf` or another one, and
/// the range of iterations.
pub(super) fn arguments<'a>(
    evaluator: &Evaluator<'_, 'a>,
    method: &str,
    call: &Call<'a>,
) -> Result<(Option<Value<'a>>, String), Stop> {
    let mut features = call.positional.first().map(|(value, _)| value.clone());
    if let Some((_, place)) = call.positional.get(1) {
        let problem = "arguments after the first are compiled by their names only, as in `raw_score=True`";
        return evaluator.fail(*place, problem);
    }
    let (mut raw, mut leaves, mut start, mut count) = (false, false, 0, None);
    for (name, value, place) in &call.keywords {
        match (*name, value) {
            ("data" | "X", value) if features.is_none() => features = Some(value.clone()),
            ("raw_score", Value::Bool(on)) => raw = *on,
            ("pred_leaf", Value::Bool(on)) => leaves = *on,
            ("start_iteration", Value::Int(first)) => start = usize::try_from(*first).unwrap_or(0),
            ("num_iteration", Value::None) => count = None,
            // None or fewer stands for all that are left.
            ("num_iteration", Value::Int(number)) => {
                count = Some(usize::try_from(*number).ok().filter(|number| *number > 0).unwrap_or(usize::MAX));
            }
            (name, Value::Bool(false) | Value::None) if OFF.contains(&name) => {}
            (name, _) => {
                return evaluator.fail(*place, format!("the argument `{name}` with this value is not compiled here"));
            }
        }
    }
    let method = match (method, raw, leaves) {
        (method, false, false) => method,
        ("predict" | "predict_proba", _, true) => "predict_leaf",
        ("predict" | "predict_proba", true, false) => "predict_raw",
        (method, ..) => return evaluator.fail(call.place, format!("`{method}` is not asked for raw scores or leaves")),
    };
    let method = match count {
        None if start == 0 => method.to_owned(),
        None | Some(usize::MAX) => format!("{method}[{start}:]"),
        Some(count) => format!("{method}[{start}:{}]", start.saturating_add(count)),
    };
    Ok((features, method))
}

/// An array of numbers as the Python package has it: integers become float32.
pub(super) fn numbers(evaluator: &mut Evaluator<'_, '_>, array: &Array, place: Place) -> Result<Array, Stop> {
    let array = evaluator.materialise(array, place)?;
    match array.dtype(&evaluator.graph) {
        dtype if dtype.is_integer() && dtype != DType::Bool && dtype.bits() > 16 => {
            Ok(Array::whole(evaluator.cast(array.tensor, DType::F32, place)?))
        }
        _ => Ok(array),
    }
}
