//! xgboost: `DMatrix`, and the arguments of a booster's methods.

use ekiben_runtime::DType;

use super::Function;
use crate::frontend::Model;
use crate::frontend::xgboost::with_missing;
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Place, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[("xgboost.DMatrix", d_matrix), ("xgboost.core.DMatrix", d_matrix)];

/// Arguments of `DMatrix` and of methods that change nothing for predictions, or nothing where they are absent, false or 0.
const WITHOUT_EFFECT: &[&str] = &["nthread", "silent", "feature_names", "enable_categorical", "validate_features"];
const OFF: &[&str] = &[
    "label",
    "weight",
    "base_margin",
    "feature_types",
    "group",
    "qid",
    "label_lower_bound",
    "label_upper_bound",
    "feature_weights",
    "ntree_limit",
    "pred_leaf",
    "pred_contribs",
    "approx_contribs",
    "pred_interactions",
    "training",
    "strict_shape",
];

/// Whether a model is asked with xgboost's arguments: it has margins.
pub(super) fn is_asked(model: &dyn Model) -> bool {
    model.methods().contains(&"predict_margin")
}

/// That an argument without a meaning here is not used.
fn check_unused<'a>(evaluator: &Evaluator<'_, 'a>, name: &str, value: &Value<'a>, place: Place) -> Result<(), Stop> {
    let is_off = matches!(value, Value::None | Value::Bool(false) | Value::Int(0));
    if WITHOUT_EFFECT.contains(&name) || OFF.contains(&name) && is_off {
        return Ok(());
    }
    evaluator.fail(place, format!("the argument `{name}` with this value is not compiled here"))
}

/// The float32 that a `missing` argument names; NaN where it names none.
fn missing<'a>(evaluator: &Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Result<f32, Stop> {
    match value {
        Value::None => Ok(f32::NAN),
        Value::Float(value) => Ok(*value as f32),
        Value::Int(value) => Ok(*value as f32),
        _ => evaluator.fail(place, "`missing` is not a number that is known when the service is compiled"),
    }
}

/// The numbers of an array or a frame in float32, with NaN where one is missing.
fn numbers<'a>(evaluator: &mut Evaluator<'_, 'a>, data: &Value<'a>, missing: f32, place: Place) -> Result<Array, Stop> {
    let array = match data {
        Value::Array(array) => evaluator.materialise(array, place)?,
        Value::Frame(frame) => {
            let array = evaluator.frame_array(frame, place)?;
            evaluator.materialise(&array, place)?
        }
        other => {
            return evaluator.fail(place, format!("this takes an array or a data frame, not {}", other.describe()));
        }
    };
    if matches!(array.dtype(&evaluator.graph), DType::Category | DType::Text) {
        return evaluator.fail(place, "texts are no features: xgboost refuses them, too");
    }
    match with_missing(&mut evaluator.graph, "DMatrix", array.tensor, missing) {
        Ok(tensor) => Ok(Array::whole(tensor)),
        Err(error) => evaluator.fail(place, format!("this cannot be computed: {error}")),
    }
}

/// `xgboost.DMatrix(data, missing=…)`.
fn d_matrix<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let (mut data, mut absent) = (None, f32::NAN);
    let positional = call.positional.iter().zip(["data", "label"]).map(|((value, place), name)| (name, value, *place));
    if let Some((_, place)) = call.positional.get(2) {
        return evaluator.fail(*place, "arguments after `label` are compiled by their names only");
    }
    let named = call.keywords.iter().map(|(name, value, place)| (*name, value, *place));
    for (name, value, place) in positional.chain(named) {
        match name {
            "data" => data = Some((value, place)),
            "missing" => absent = missing(evaluator, value, place)?,
            _ => check_unused(evaluator, name, value, place)?,
        }
    }
    match data {
        Some((data, place)) => numbers(evaluator, data, absent, place).map(Value::Matrix),
        None => evaluator.fail(call.place, "a `DMatrix` of nothing is not compiled"),
    }
}

/// `xgboost.DMatrix(data)`.
pub(super) fn matrix<'a>(evaluator: &mut Evaluator<'_, 'a>, data: &Value<'a>, place: Place) -> Evaluated<'a> {
    numbers(evaluator, data, f32::NAN, place).map(Value::Matrix)
}

/// The features of a call of a booster's `method`, and the method of the front-end that the arguments choose: `predict`, `predict_margin`,
/// `inplace_predict` or `inplace_predict_margin`, and the range of rounds.
pub(super) fn arguments<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    method: &str,
    call: &Call<'a>,
) -> Result<(Array, String), Stop> {
    let in_place = method == "inplace_predict";
    let order: &[&str] =
        if in_place { &["data", "iteration_range", "predict_type", "missing"] } else { &["data", "output_margin"] };
    if let Some((_, place)) = call.positional.get(order.len()) {
        return evaluator.fail(*place, "these arguments are compiled by their names only");
    }
    let positional = call.positional.iter().zip(order).map(|((value, place), name)| (*name, value, *place));
    let named = call.keywords.iter().map(|(name, value, place)| (*name, value, *place));
    let (mut data, mut absent, mut margin, mut range) = (None, f32::NAN, false, String::new());
    for (name, value, place) in positional.chain(named) {
        match (name, value) {
            ("data", value) => data = Some((value, place)),
            ("output_margin", Value::Bool(on)) if !in_place => margin = *on,
            ("predict_type", Value::Text(kind)) if in_place && matches!(&**kind, "value" | "margin") => {
                margin = &**kind == "margin";
            }
            ("missing", value) if in_place => absent = missing(evaluator, value, place)?,
            ("iteration_range", Value::Tuple(ends) | Value::List(ends)) => match ends[..] {
                [Value::Int(0), Value::Int(0)] => {}
                [Value::Int(from @ 0..), Value::Int(to)] if to > from => range = format!("[{from}:{to}]"),
                _ => return evaluator.fail(place, "`iteration_range` is not a pair of rising integers"),
            },
            (name, value) => check_unused(evaluator, name, value, place)?,
        }
    }
    let array = match data {
        Some((Value::Matrix(array), _)) if !in_place => array.clone(),
        Some((data @ (Value::Array(_) | Value::Frame(_)), place)) if in_place => {
            numbers(evaluator, data, absent, place)?
        }
        Some((other, place)) => {
            let wanted = if in_place { "an array or a data frame" } else { "a `DMatrix`" };
            return evaluator.fail(place, format!("`{method}` takes {wanted}, not {}", other.describe()));
        }
        None => return evaluator.fail(call.place, "the model is called with nothing"),
    };
    Ok((array, format!("{method}{}{range}", if margin { "_margin" } else { "" })))
}
