//! CatBoost: the arguments of `predict` and its like.

use super::Function;
use crate::bundle::ModelFormat;
use crate::service::evaluate::{Call, Evaluated, Evaluator, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[("catboost.Pool", pool)];

/// Arguments that change no answer.
const NO_MATTER: &[&str] = &["thread_count", "verbose", "task_type"];

/// Classes of CatBoost that do more than give the trees' sums.
const CLASSES: &[&str] = &["CatBoostClassifier", "CatBoostRegressor"];

/// Whether a model is a file of CatBoost's.
pub(super) fn is_asked(evaluator: &Evaluator<'_, '_>, name: &str) -> bool {
    evaluator.bundle.model(name).is_some_and(|model| model.format == ModelFormat::Catboost)
}

/// A pool of data is the data.
fn pool<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [data, _, _] = call.bind(evaluator, ["data", "label", "cat_features"])?;
    match data {
        Some(data) => Ok(data),
        None => evaluator.fail(call.place, "a pool is made of nothing"),
    }
}

/// Whether the model is loaded as the class `CatBoost`, whose `predict` gives the trees' sums: so does BentoML 0.13 unless the artifact says
/// `model_type`, and 1.x where a model of that class was saved.
fn is_plain(evaluator: &Evaluator<'_, '_>, name: &str) -> bool {
    let saved = evaluator.bundle.model(name).and_then(|model| model.options.get("training_class_name")?.as_str());
    if let Some(class) = saved {
        return !CLASSES.contains(&class);
    }
    let artifact = evaluator.class.artifacts.iter().find(|artifact| artifact.name == name);
    artifact.is_some_and(|artifact| {
        let kind = artifact.options.iter().find(|(option, _)| option == "model_type");
        !matches!(kind.and_then(|(_, kind)| kind.as_text()), Some("classifier" | "regressor"))
    })
}

/// The features, and the method of the model's front-end that the arguments choose.
pub(super) fn arguments<'a>(
    evaluator: &Evaluator<'_, 'a>,
    name: &str,
    method: &str,
    call: &Call<'a>,
) -> Result<(Option<Value<'a>>, String), Stop> {
    let mut features = call.positional.first().map(|(value, _)| value.clone());
    let mut kind = match call.positional.get(1) {
        Some((value, place)) if method == "predict" => Some((value, *place)),
        Some((_, place)) => {
            return evaluator.fail(*place, "arguments after the first are compiled by their names only");
        }
        None => None,
    };
    for (name, value, place) in &call.keywords {
        match (*name, value) {
            ("data" | "X", value) if features.is_none() => features = Some(value.clone()),
            ("prediction_type", value) if method == "predict" => kind = Some((value, *place)),
            ("ntree_start" | "ntree_end", Value::Int(0)) => {}
            (name, _) if NO_MATTER.contains(&name) => {}
            (name, _) => {
                return evaluator.fail(*place, format!("the argument `{name}` with this value is not compiled here"));
            }
        }
    }
    let method = match (method, kind) {
        ("predict", None | Some((Value::None, _))) if is_plain(evaluator, name) => "predict_raw",
        (method, None | Some((Value::None, _))) => method,
        (_, Some((Value::Text(kind), place))) => match &**kind {
            "RawFormulaVal" => "predict_raw",
            "Probability" => "predict_proba",
            "LogProbability" => "predict_log_proba",
            "Class" => "predict",
            other => {
                return evaluator.fail(place, format!("the prediction_type {other:?} is not compiled"));
            }
        },
        (_, Some((_, place))) => return evaluator.fail(place, "the prediction_type is no text"),
    };
    Ok((features, method.to_owned()))
}
