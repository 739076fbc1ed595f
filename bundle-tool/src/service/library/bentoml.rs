//! BentoML: references to models, and what loads them.

use std::rc::Rc;

use super::Function;
use crate::python::Framework;
use crate::service::evaluate::{Call, Evaluated, Evaluator, Place, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("bentoml.models.BentoModel", reference),
    ("bentoml.models.get", reference),
    ("bentoml.sklearn.get", reference),
    ("bentoml.onnx.get", reference),
    ("bentoml.picklable_model.get", reference),
    ("bentoml.xgboost.get", reference),
    ("bentoml.lightgbm.get", reference),
    ("bentoml.catboost.get", reference),
    ("bentoml.depends", depends),
    ("asyncio.gather", gather),
    ("bentoml.sklearn.load_model", load_estimator),
    ("bentoml.picklable_model.load_model", load_estimator),
    ("bentoml.xgboost.load_model", load_estimator),
    ("bentoml.lightgbm.load_model", load_estimator),
    ("bentoml.catboost.load_model", load_estimator),
    ("bentoml.onnx.load_model", load_session),
    ("bentoml.keras.get", reference),
    ("bentoml.pytorch.get", reference),
    ("bentoml.torchscript.get", reference),
    ("bentoml.tensorflow.get", reference),
    ("bentoml.fastai.get", reference),
    ("bentoml.pytorch.load_model", |evaluator, call| load_network(evaluator, call, Framework::Torch)),
    ("bentoml.torchscript.load_model", |evaluator, call| load_network(evaluator, call, Framework::Torch)),
    ("bentoml.tensorflow.load_model", |evaluator, call| load_network(evaluator, call, Framework::Tensorflow)),
    ("bentoml.keras.load_model", |evaluator, call| load_network(evaluator, call, Framework::Tensorflow)),
    ("bentoml.fastai.load_model", |evaluator, call| load_network(evaluator, call, Framework::Fastai)),
];

/// Artifact classes of BentoML 0.13, and whether each gives an ONNX Runtime session.
const ARTIFACTS: &[(&str, bool)] = &[
    ("SklearnModelArtifact", false),
    ("PickleArtifact", false),
    ("XgboostModelArtifact", false),
    ("LightGBMModelArtifact", false),
    ("CatBoostModelArtifact", false),
    ("CatboostModelArtifact", false),
    ("H2oModelArtifact", false),
    ("OnnxModelArtifact", true),
];

/// `self.artifacts.name`.
pub(in crate::service) fn artifact<'a>(evaluator: &mut Evaluator<'_, 'a>, name: &str, place: Place) -> Evaluated<'a> {
    let Some(artifact) = evaluator.class.artifacts.iter().find(|artifact| artifact.name == name) else {
        return evaluator.fail(place, format!("the service declares no artifact `{name}`"));
    };
    let class = artifact.class.clone();
    let other_backend =
        artifact.options.iter().any(|(name, value)| name == "backend" && value.as_text() != Some("onnxruntime"));
    if let Some(value) = evaluator.data(name, place)? {
        return Ok(value);
    }
    let loaded = evaluator.bundle.model(name).and_then(Framework::of);
    // A Keras model is called as TensorFlow's networks are, and read as data.
    let loaded = loaded.or((class == "KerasModelArtifact").then_some(Framework::Tensorflow));
    if let Some(framework) = loaded {
        return Ok(Value::Network(name.into(), framework));
    }
    let Some((_, session)) = ARTIFACTS.iter().find(|(known, _)| *known == class) else {
        return evaluator.fail(place, format!("an artifact of the class {class} is not compiled"));
    };
    if *session && other_backend {
        return evaluator.fail(place, "an ONNX artifact is compiled only with the backend onnxruntime");
    }
    Ok(if *session { Value::Session(name.into()) } else { Value::Estimator(name.into()) })
}

/// The tag of the model that a tag or reference means.
fn model<'a>(evaluator: &Evaluator<'_, 'a>, value: Option<Value<'a>>, place: Place) -> Result<std::rc::Rc<str>, Stop> {
    let tag = match value {
        Some(Value::Reference(name)) => return Ok(name),
        Some(Value::Text(tag)) => tag,
        _ => return evaluator.fail(place, "a model is named by a text like \"name:version\", or a reference to one"),
    };
    let name = tag.strip_suffix(":latest").unwrap_or(&tag);
    match evaluator.bundle.model(name) {
        Some(model) => Ok(model.tag().into()),
        None => evaluator.fail(place, format!("the bento has no model `{tag}`")),
    }
}

fn reference<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [tag] = call.bind(evaluator, ["tag"])?;
    model(evaluator, tag, call.place).map(Value::Reference)
}

/// `bentoml.depends(Class)`: the other service's methods are evaluated where they are called.
fn depends<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match (&call.positional[..], &call.keywords[..]) {
        ([(Value::Class(module, class), _)], []) | ([], [("on", Value::Class(module, class), _)]) => {
            evaluator.depends(*module, class, call.place)
        }
        _ => {
            evaluator.fail(call.place, "`depends` is compiled with a service class of the bento; others are not in it")
        }
    }
}

/// `asyncio.gather(a, b)`: nothing waits, so all are computed one after the other.
fn gather<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    if let Some((name, _, place)) = call.keywords.iter().find(|(name, ..)| *name != "return_exceptions") {
        return evaluator.fail(*place, format!("the argument `{name}` is not compiled here"));
    }
    let mut values = Vec::new();
    for (value, place) in &call.positional {
        match value {
            Value::Awaitable(value) => values.push((**value).clone()),
            other => return evaluator.fail(*place, format!("{} is not to be awaited", other.describe())),
        }
    }
    Ok(Value::Awaitable(Rc::new(Value::List(values.into()))))
}

fn load_estimator<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [tag] = call.bind(evaluator, ["bento_model"])?;
    let tag = model(evaluator, tag, call.place)?;
    Ok(evaluator.data(&tag, call.place)?.unwrap_or(Value::Estimator(tag)))
}

fn load_session<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    // Where ONNX Runtime would run the model does not matter here.
    let [tag, _] = call.bind(evaluator, ["bento_model", "providers"])?;
    model(evaluator, tag, call.place).map(Value::Session)
}

fn load_network<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, framework: Framework) -> Evaluated<'a> {
    // Where the framework would run the model does not matter here.
    let [tag, ..] =
        call.bind(evaluator, ["bento_model", "device_id", "weights_only", "map_location", "device_name"])?;
    model(evaluator, tag, call.place).map(|name| Value::Network(name, framework))
}
