//! ONNX Runtime: sessions, and what they say about their inputs and outputs.

use super::{Method, Property};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, Place, Stop, Value};

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Session, "run", run),
    (Kind::Session, "get_inputs", get_inputs),
    (Kind::Session, "get_outputs", get_outputs),
];

pub(super) const PROPERTIES: &[(Kind, &str, Property)] = &[(Kind::Port, "name", name)];

/// The name of a session's model.
fn session<'v>(evaluator: &Evaluator<'_, '_>, value: &'v Value<'_>, place: Place) -> Result<&'v str, Stop> {
    match value {
        Value::Session(model) => Ok(model),
        other => evaluator.fail(place, format!("{} is no session", other.describe())),
    }
}

fn name<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    match value {
        Value::Port(name) => Ok(Value::Text(name.clone())),
        other => evaluator.fail(place, format!("{} has no name", other.describe())),
    }
}

fn ports<'a>(names: Vec<String>) -> Value<'a> {
    Value::List(names.into_iter().map(|name| Value::Port(name.into())).collect())
}

/// The names of the model's inputs.
fn input_names(evaluator: &Evaluator<'_, '_>, model: &str, place: Place) -> Result<Vec<String>, Stop> {
    match evaluator.models.get(model) {
        Some(model) => Ok(model.inputs().into_iter().map(|input| input.name).collect()),
        None => evaluator.missing_model(model, place),
    }
}

fn get_inputs<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    let model = session(evaluator, value, call.place)?;
    Ok(ports(input_names(evaluator, model, call.place)?))
}

fn get_outputs<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    let model = session(evaluator, value, call.place)?;
    Ok(ports(evaluator.output_names(model, call.place)?))
}

fn run<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [wanted, feeds] = call.bind(evaluator, ["output_names", "input_feed"])?;
    let model = session(evaluator, value, call.place)?;
    let Some(Value::Dict(feeds)) = feeds else {
        return evaluator.fail(call.place, "`run` is compiled with a dict of inputs by name");
    };
    let mut given = Vec::new();
    for name in input_names(evaluator, model, call.place)? {
        let feed = feeds.iter().find(|(key, _)| matches!(key, Value::Text(key) if **key == *name));
        match feed {
            Some((_, Value::Array(array))) => given.push((array.clone(), call.at(1))),
            Some((_, other)) => {
                return evaluator.fail(call.at(1), format!("the input `{name}` is {} and no array", other.describe()));
            }
            None => return evaluator.fail(call.at(1), format!("the model's input `{name}` is not given")),
        }
    }
    if given.len() != feeds.len() {
        return evaluator.fail(call.at(1), "an input is given that the model does not have");
    }
    let outputs = evaluator.call_model(model, "run", &given, false, call.place)?;
    let chosen = match wanted {
        None | Some(Value::None) => outputs,
        Some(names) => {
            let Some(names) = names.texts() else {
                return evaluator.fail(call.at(0), "the wanted outputs are no list of names");
            };
            let mut chosen = Vec::new();
            for name in names {
                match outputs.iter().find(|output| *output.name == *name) {
                    Some(output) => chosen.push(output.clone()),
                    None => return evaluator.fail(call.at(0), format!("the model has no output `{name}`")),
                }
            }
            chosen
        }
    };
    Ok(Value::List(chosen.into_iter().map(|output| Value::Array(Array::whole(output.tensor))).collect()))
}
