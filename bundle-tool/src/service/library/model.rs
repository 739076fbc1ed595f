//! Methods of models with a method for each thing that they compute, as scikit-learn's estimators have.

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
    let [features] = call.bind(evaluator, ["X"])?;
    let place = call.at(0);
    let array = match features {
        Some(Value::Array(array)) => array,
        Some(Value::Frame(frame)) => evaluator.frame_array(&frame, place)?,
        Some(other) => {
            return evaluator
                .fail(place, format!("a model is called with an array or a frame, not {}", other.describe()));
        }
        None => return evaluator.fail(call.place, "the model is called with nothing"),
    };
    let outputs = evaluator.call_model(name, method, &[(array, place)], true, call.place)?;
    match &outputs[..] {
        [output] => Ok(Value::Array(Array::whole(output.tensor))),
        _ => Ok(Value::List(outputs.iter().map(|output| Value::Array(Array::whole(output.tensor))).collect())),
    }
}
