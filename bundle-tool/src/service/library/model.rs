//! Methods of models with a method for each thing that they compute, as scikit-learn's estimators have.

use super::{catboost, h2o, lightgbm, xgboost};
use crate::frontend::NamedTensor;
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Value};

/// `model.method(x)`.
pub(in crate::service) fn model_method<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    receiver: &Value<'a>,
    method: &str,
    call: &Call<'a>,
) -> Evaluated<'a> {
    let Value::Estimator(name) = receiver else {
        return evaluator.fail(call.place, format!("the method `{method}` of {} is not compiled", receiver.describe()));
    };
    if h2o::is_asked(evaluator, name) {
        return h2o::predict(evaluator, name, method, call);
    }
    if evaluator.models.get(&**name).is_some_and(|model| xgboost::is_asked(model.as_ref())) {
        let (array, method) = xgboost::arguments(evaluator, method, call)?;
        let outputs = evaluator.call_model(name, &method, &[(array, call.at(0))], true, call.place)?;
        return Ok(value(&outputs));
    }
    let is_catboost = catboost::is_asked(evaluator, name);
    let is_lightgbm =
        !is_catboost && evaluator.models.get(&**name).is_some_and(|model| lightgbm::is_asked(model.as_ref()));
    let (features, method) = if is_catboost {
        catboost::arguments(evaluator, name, method, call)?
    } else if is_lightgbm {
        lightgbm::arguments(evaluator, method, call)?
    } else {
        let [features] = call.bind(evaluator, ["X"])?;
        (features, method.to_owned())
    };
    let place = call.at(0);
    if let Some(features) = features.as_ref().filter(|_| evaluator.takes_columns(name)) {
        let outputs = evaluator.call_table_model(name, &method, features, place)?;
        return Ok(value(&outputs));
    }
    let array = match features {
        Some(Value::Array(array)) if is_lightgbm => lightgbm::numbers(evaluator, &array, place)?,
        Some(Value::Array(array)) => array,
        // What a pickled booster is asked with.
        Some(Value::Matrix(array)) => array,
        Some(Value::Frame(frame)) => evaluator.frame_array(&frame, place)?,
        Some(given @ (Value::List(_) | Value::Rows(..) | Value::Json(_))) => {
            super::numpy::array_of(evaluator, &given, place)?
        }
        Some(other) => {
            return evaluator
                .fail(place, format!("a model is called with an array or a frame, not {}", other.describe()));
        }
        None => return evaluator.fail(call.place, "the model is called with nothing"),
    };
    let outputs = evaluator.call_model(name, &method, &[(array, place)], true, call.place)?;
    Ok(value(&outputs))
}

/// One output as an array, several as a list of them.
fn value<'a>(outputs: &[NamedTensor]) -> Value<'a> {
    match outputs {
        [output] => Value::Array(Array::whole(output.tensor)),
        _ => Value::List(outputs.iter().map(|output| Value::Array(Array::whole(output.tensor))).collect()),
    }
}
