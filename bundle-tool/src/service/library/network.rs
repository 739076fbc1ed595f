//! Networks that their own framework exports: PyTorch's modules, fast.ai's learners, TensorFlow's SavedModels. They are called themselves.

use ekiben_runtime::TensorSpec;

use super::{Method, Property};
use crate::frontend::{ModelInput, NamedTensor, OutputForm};
use crate::python::Framework;
use crate::service::error::ServiceError;
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, Place, Stop, Value};

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Network, "forward", network_call),
    (Kind::Network, "__call__", network_call),
    (Kind::Network, "predict", predict),
    (Kind::Network, "eval", itself),
    (Kind::Network, "cpu", itself),
    (Kind::Network, "to", to_device),
    (Kind::Network, "requires_grad_", itself),
];

pub(super) const PROPERTIES: &[(Kind, &str, Property)] = &[
    (Kind::Network, "signatures", signatures),
    (Kind::Network, "model", module),
    (Kind::Network, "dls", module),
    (Kind::Network, "vocab", vocabulary),
];

/// Arguments of `predict` that say how Keras computes, not what.
const IGNORED: [&str; 3] = ["verbose", "batch_size", "steps"];

fn network(
    evaluator: &Evaluator<'_, '_>,
    value: &Value<'_>,
    place: Place,
) -> Result<(std::rc::Rc<str>, Framework), Stop> {
    match value {
        Value::Network(name, framework) => Ok((name.clone(), *framework)),
        other => evaluator.fail(place, format!("{} is no network", other.describe())),
    }
}

/// `network(x, …)` and `signature(name=x, …)`.
pub(in crate::service) fn network_call<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    callee: &Value<'a>,
    call: &Call<'a>,
) -> Evaluated<'a> {
    let (name, framework, signature) = match callee {
        Value::Signature(name) => (name.clone(), Framework::Tensorflow, true),
        other => {
            let (name, framework) = network(evaluator, other, call.place)?;
            (name, framework, false)
        }
    };
    let given = arguments(evaluator, &name, framework, call)?;
    let outputs = evaluator.call_model(&name, "call", &given, framework == Framework::Tensorflow, call.place)?;
    let form = evaluator.models.get(&*name).map_or(OutputForm::Positions, |model| model.form());
    let array = |output: &NamedTensor| {
        let torch = framework != Framework::Tensorflow;
        Value::Array(Array { torch, ..Array::whole(output.tensor) })
    };
    match (form, &outputs[..]) {
        (OutputForm::Single, [output]) => Ok(array(output)),
        // A SavedModel's function gives what its signature names.
        (OutputForm::Names, [output]) if framework == Framework::Tensorflow && !signature => Ok(array(output)),
        (OutputForm::Names, _) if framework == Framework::Tensorflow && !signature => {
            let problem = "this network has several outputs, whose order is not in the file. Call `model.signatures[\"serving_default\"]`, which names them";
            evaluator.fail(call.place, problem)
        }
        (OutputForm::Names, outputs) => Ok(Value::Dict(
            outputs.iter().map(|output| (Value::Text(output.name.as_str().into()), array(output))).collect(),
        )),
        (_, outputs) => Ok(Value::Tuple(outputs.iter().map(array).collect())),
    }
}

/// The arrays that a call gives, in the order of the model's inputs.
fn arguments<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    name: &str,
    framework: Framework,
    call: &Call<'a>,
) -> Result<Vec<(Array, Place)>, Stop> {
    let ignored = |name: &str| name == "training" || framework == Framework::Tensorflow && IGNORED.contains(&name);
    let keywords: Vec<_> = call.keywords.iter().filter(|(name, ..)| !ignored(name)).collect();
    let mut values: Vec<(Value<'a>, Place)> = call.positional.clone();
    if framework == Framework::Tensorflow
        && keywords.is_empty()
        && let Some(parts) = separate(evaluator, name, &values)
    {
        values = parts;
    }
    if !keywords.is_empty() {
        let Some(model) = evaluator.models.get(name) else {
            // The order is not known before the model is; there is none to mistake with one argument.
            let only = keywords.len() == 1 && values.is_empty();
            let given = if only { vec![(keywords[0].1.clone(), keywords[0].2)] } else { Vec::new() };
            return unexported(evaluator, name, framework, &given, call.place);
        };
        for input in model.inputs().iter().skip(values.len()) {
            match keywords.iter().find(|(keyword, ..)| *keyword == input.name) {
                Some((_, value, place)) => values.push((value.clone(), *place)),
                None => {
                    return evaluator.fail(call.place, format!("the network's input `{}` is not given", input.name));
                }
            }
        }
        if values.len() != call.positional.len() + keywords.len() {
            return evaluator.fail(call.place, "an argument is given that the network does not have");
        }
    }
    let mut given = Vec::new();
    for (value, place) in &values {
        match value {
            Value::Array(array) if array.torch || framework == Framework::Tensorflow => {
                given.push((array.clone(), *place))
            }
            Value::List(_) if framework == Framework::Tensorflow => {
                given.push((evaluator.constant_array(value, *place)?, *place))
            }
            Value::Frame(frame) if framework == Framework::Tensorflow => {
                given.push((evaluator.frame_array(frame, *place)?, *place))
            }
            Value::Rows(..) | Value::Json(_) if framework == Framework::Tensorflow => {
                given.push((super::numpy::array_of(evaluator, value, *place)?, *place))
            }
            other => {
                let what = if framework == Framework::Tensorflow {
                    "arrays and tensors"
                } else {
                    "tensors: `torch.from_numpy(x)`, `torch.tensor(x)`"
                };
                return evaluator
                    .fail(*place, format!("a network of {} takes {what}, not {}", framework.name(), other.describe()));
            }
        }
    }
    if !evaluator.models.contains_key(name) {
        return unexported(evaluator, name, framework, &values, call.place);
    }
    Ok(given)
}

/// The inputs of a network of several that are given as one list or one dict by the inputs' names, as Keras takes them.
fn separate<'a>(
    evaluator: &Evaluator<'_, 'a>,
    name: &str,
    values: &[(Value<'a>, Place)],
) -> Option<Vec<(Value<'a>, Place)>> {
    let [(value, place)] = values else { return None };
    let inputs = evaluator.models.get(name)?.inputs();
    if inputs.len() < 2 {
        return None;
    }
    match value {
        Value::Dict(entries) => {
            let named = |input: &ModelInput| {
                let is_it = |key: &Value<'a>| matches!(key, Value::Text(text) if **text == *input.name);
                entries.iter().find(|(key, _)| is_it(key)).map(|(_, value)| (value.clone(), *place))
            };
            inputs.iter().map(named).collect()
        }
        value => {
            let items = value.items().filter(|items| items.len() == inputs.len())?;
            Some(items.iter().map(|item| (item.clone(), *place)).collect())
        }
    }
}

/// The end at a network that is not exported yet; with what it is called with, where that is known.
fn unexported<'a, T>(
    evaluator: &mut Evaluator<'_, 'a>,
    name: &str,
    framework: Framework,
    given: &[(Value<'a>, Place)],
    place: Place,
) -> Result<T, Stop> {
    let Some(file) = evaluator.bundle.model(name) else {
        return evaluator.missing_model(name, place);
    };
    let problem = framework.refusal(file);
    let mut inputs: Option<Vec<TensorSpec>> = (!given.is_empty()).then(Vec::new);
    for (value, place) in given {
        let Value::Array(array) = value else {
            inputs = None;
            break;
        };
        let array = evaluator.materialise(array, *place)?;
        let known = evaluator.unsettled(array.tensor).is_none();
        match &mut inputs {
            Some(inputs) if known => inputs.push(evaluator.graph.spec(array.tensor)),
            _ => inputs = None,
        }
    }
    let source = evaluator.class.modules.source(place.module);
    let place = Box::new(source.place(&place.range, problem));
    Err(Stop::Error(ServiceError::Unexported { place, model: name.to_owned(), inputs }))
}

fn predict<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    match network(evaluator, value, call.place)?.1 {
        Framework::Tensorflow => network_call(evaluator, value, call),
        Framework::Fastai => evaluator.fail(
            call.place,
            "`learner.predict` runs the learner's own pre-processing, which is Python code and is not exported. Prepare the tensor in the service \
             and call `learner.model(x)`",
        ),
        Framework::Torch => evaluator.fail(call.place, "`predict` of a module is not compiled. Call the module itself"),
    }
}

fn itself<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let _ = call.bind(evaluator, ["mode"])?;
    Ok(value.clone())
}

fn to_device<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["device"])? {
        [Some(Value::Text(_))] => Ok(value.clone()),
        _ => evaluator.fail(call.place, "a network is moved to a device only: `to(\"cpu\")`"),
    }
}

fn signatures<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    match network(evaluator, value, place)? {
        (name, Framework::Tensorflow) => Ok(Value::Signature(name)),
        _ => evaluator.fail(place, "only a SavedModel of TensorFlow has signatures"),
    }
}

/// `learner.model` and `learner.dls`: the module, and what knows the vocabulary.
fn module<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    match network(evaluator, value, place)? {
        (_, Framework::Fastai) => Ok(value.clone()),
        _ => evaluator.fail(place, "only a learner of fast.ai has this attribute here"),
    }
}

fn vocabulary<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    let (name, framework) = network(evaluator, value, place)?;
    let Some(model) = evaluator.models.get(&*name) else {
        return unexported(evaluator, &name, framework, &[], place);
    };
    match model.vocabulary() {
        [] => evaluator.fail(place, "the learner has no vocabulary that its exporter could read"),
        words => Ok(Value::List(words.iter().map(|word| Value::Text(word.as_str().into())).collect())),
    }
}
