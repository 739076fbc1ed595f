//! Runners: what a service of BentoML 1.0 to 1.3 calls its models through. A runner has the methods that its model's signatures list.

use std::rc::Rc;

use super::{Method, model_method, xgboost};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, Place, Value};

pub(super) const METHODS: &[(Kind, &str, Method)] =
    &[(Kind::Reference, "to_runner", to_runner), (Kind::Runner, "run", run), (Kind::Runner, "async_run", async_run)];

/// Modules whose models have a method for each thing that they compute.
const ESTIMATORS: [&str; 5] =
    ["bentoml.sklearn", "bentoml.lightgbm", "bentoml.xgboost", "bentoml.catboost", "bentoml.picklable_model"];

fn to_runner<'a>(evaluator: &mut Evaluator<'_, 'a>, receiver: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    // How requests are put together changes no answer.
    let names = ["name", "max_batch_size", "max_latency_ms", "method_configs", "embedded"];
    call.bind(evaluator, names)?;
    match receiver {
        Value::Reference(model) => Ok(Value::Runner(model.clone())),
        other => evaluator.fail(call.place, format!("{} has no runner", other.describe())),
    }
}

/// `runner.name`: a method of the model, or `run` and `async_run` of its only one.
pub(in crate::service) fn runner_attribute<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    model: &Rc<str>,
    name: &'a str,
    place: Place,
) -> Evaluated<'a> {
    let Some(file) = evaluator.bundle.model(model) else {
        return evaluator.missing_model(model, place);
    };
    let methods = &file.methods;
    let method = |method: &str| Value::RunnerMethod(model.clone(), method.into());
    if methods.iter().any(|known| known == name) {
        return Ok(method(name));
    }
    let only = match &methods[..] {
        [only] => Some(only),
        several => several.iter().find(|name| *name == "__call__"),
    };
    match only {
        Some(only) if matches!(name, "run" | "async_run") => Ok(Value::Method(Rc::new(method(only)), name)),
        _ => {
            let problem = format!("the runner of `{model}` has no `{name}`. Its methods: {}", methods.join(", "));
            evaluator.fail(place, problem)
        }
    }
}

fn async_run<'a>(evaluator: &mut Evaluator<'_, 'a>, receiver: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    run(evaluator, receiver, call).map(|value| Value::Awaitable(Rc::new(value)))
}

/// `runner.method.run(x)`.
fn run<'a>(evaluator: &mut Evaluator<'_, 'a>, receiver: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let Value::RunnerMethod(model, method) = receiver else {
        return evaluator.fail(call.place, format!("{} is not run", receiver.describe()));
    };
    let kind = evaluator.bundle.model(model).map(|file| file.kind.clone()).unwrap_or_default();
    match kind.as_str() {
        "bentoml.onnx" => session(evaluator, model, call),
        kind if ESTIMATORS.contains(&kind) => estimator(evaluator, model, method, call),
        kind => evaluator.fail(call.place, format!("a runner of a model of {kind} is not compiled")),
    }
}

fn estimator<'a>(evaluator: &mut Evaluator<'_, 'a>, model: &Rc<str>, method: &str, call: &Call<'a>) -> Evaluated<'a> {
    let Some(loaded) = evaluator.models.get(&**model) else {
        return evaluator.missing_model(model, call.place);
    };
    if !loaded.methods().contains(&method) {
        let known = loaded.methods().join(", ");
        let problem = format!("`{method}` of the model `{model}` is not compiled. It has: {known}");
        return evaluator.fail(call.place, problem);
    }
    let mut call = call.clone();
    // The runner makes the matrix of a booster.
    if xgboost::is_asked(loaded.as_ref())
        && method == "predict"
        && let Some((data, place)) = call.positional.first_mut()
        && !matches!(data, Value::Matrix(_))
    {
        *data = xgboost::matrix(evaluator, data, *place)?;
    }
    model_method(evaluator, &Value::Estimator(model.clone()), method, &call)
}

/// A session's runner takes the inputs in order and converts them; one output is given alone.
fn session<'a>(evaluator: &mut Evaluator<'_, 'a>, model: &Rc<str>, call: &Call<'a>) -> Evaluated<'a> {
    if let Some((name, _, place)) = call.keywords.first() {
        return evaluator.fail(*place, format!("the argument `{name}` is not compiled here"));
    }
    let mut given = Vec::new();
    for (value, place) in &call.positional {
        given.push((super::array_of(evaluator, value, *place)?, *place));
    }
    let outputs = evaluator.call_model(model, "run", &given, true, call.place)?;
    let mut values: Vec<Value<'a>> =
        outputs.into_iter().map(|output| Value::Array(Array::whole(output.tensor))).collect();
    Ok(if values.len() == 1 { values.remove(0) } else { Value::Tuple(values.into()) })
}
