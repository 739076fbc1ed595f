//! Files of the bento that a service opens itself: those of its models, and those beside its modules.

use std::rc::Rc;

use super::{Function, Method, Property};
use crate::bundle::{ModelFile, ModelFormat};
use crate::python::Framework;
use crate::service::data;
use crate::service::evaluate::{Call, Evaluated, Evaluator, Kind, Place, Stop, Value};

/// The most bytes of a file whose contents become constants.
const DATA_LIMIT: u64 = 16 << 20;

/// A path in the bento, or the file there while it is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct Stored {
    root: Root,
    /// Relative to the root, without `.` and `..`; empty for the root itself.
    path: Rc<str>,
    /// Whether it is an open file.
    is_open: bool,
}

/// What a path is relative to.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Root {
    /// The folder of a model, by its name.
    Model(Rc<str>),
    /// The folder that the service's modules are in, which is where it is served from.
    Sources,
}

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("builtins.open", open),
    ("os.path.join", join),
    ("os.path.dirname", |evaluator, call| one(evaluator, call, |stored| stored.parent())),
    ("os.path.abspath", |evaluator, call| one(evaluator, call, |stored| Some(stored.clone()))),
    ("os.path.realpath", |evaluator, call| one(evaluator, call, |stored| Some(stored.clone()))),
    ("pathlib.Path", join),
    ("json.load", |evaluator, call| {
        let [file] = call.bind(evaluator, ["fp"])?;
        json(evaluator, file, call.at(0))
    }),
    ("json.loads", |evaluator, call| {
        let [text] = call.bind(evaluator, ["s"])?;
        json(evaluator, text, call.at(0))
    }),
    ("joblib.load", |evaluator, call| pickled(evaluator, call, ["filename", "mmap_mode"])),
    ("pickle.load", |evaluator, call| pickled(evaluator, call, ["file", "encoding"])),
    ("cloudpickle.load", |evaluator, call| pickled(evaluator, call, ["file", "encoding"])),
    ("onnxruntime.InferenceSession", |evaluator, call| {
        // Where and how fast ONNX Runtime would run the model does not matter here.
        let [path, ..] = call.bind(evaluator, ["path_or_bytes", "sess_options", "providers", "provider_options"])?;
        loaded(evaluator, path, call.at(0)).map(Value::Session)
    }),
    ("xgboost.Booster", |evaluator, call| {
        let [_, _, path] = call.bind(evaluator, ["params", "cache", "model_file"])?;
        loaded(evaluator, path, call.place).map(Value::Estimator)
    }),
    ("lightgbm.Booster", |evaluator, call| {
        let [_, _, path] = call.bind(evaluator, ["params", "train_set", "model_file"])?;
        loaded(evaluator, path, call.place).map(Value::Estimator)
    }),
    ("keras.models.load_model", keras),
    ("keras.saving.load_model", keras),
    ("tensorflow.keras.models.load_model", keras),
    ("torch.jit.load", |evaluator, call| network(evaluator, call, Framework::Torch)),
    ("torch.load", |evaluator, call| network(evaluator, call, Framework::Torch)),
];

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Reference, "path_of", path_of),
    (Kind::Stored, "joinpath", |evaluator, value, call| {
        let call = Call { positional: [&[(value.clone(), call.place)], &call.positional[..]].concat(), ..call.clone() };
        join(evaluator, &call)
    }),
    (Kind::Stored, "resolve", same),
    (Kind::Stored, "absolute", same),
    (Kind::Stored, "open", |evaluator, value, call| {
        let call = Call { positional: [&[(value.clone(), call.place)], &call.positional[..]].concat(), ..call.clone() };
        open(evaluator, &call)
    }),
    (Kind::Stored, "read", read),
    (Kind::Stored, "read_text", read),
    (Kind::Stored, "readlines", |evaluator, value, call| {
        call.none(evaluator)?;
        lines(evaluator, value, call.place).map(|lines| Value::List(lines.into()))
    }),
    (Kind::Stored, "close", |evaluator, _, call| call.none(evaluator).map(|()| Value::None)),
];

pub(super) const PROPERTIES: &[(Kind, &str, Property)] = &[
    (Kind::Reference, "path", |evaluator, value, place| match value {
        Value::Reference(model) => Ok(Stored::model(model).value()),
        other => evaluator.fail(place, format!("{} has no path", other.describe())),
    }),
    (Kind::Stored, "parent", |evaluator, value, place| match value {
        Value::Stored(stored) => up(evaluator, stored, place),
        other => evaluator.fail(place, format!("{} has no parent", other.describe())),
    }),
];

impl Stored {
    fn model(model: &Rc<str>) -> Self {
        Self { root: Root::Model(model.clone()), path: "".into(), is_open: false }
    }

    /// A module of the service, `__file__` there.
    pub(in crate::service) fn module(path: &str) -> Self {
        Self { root: Root::Sources, path: path.into(), is_open: false }
    }

    /// A path that a text is: relative to where the service is served from.
    fn of_text(text: &str) -> Option<Self> {
        Self { root: Root::Sources, path: "".into(), is_open: false }.joined(text)
    }

    /// The path `part` below this one; `None` where it leads out of the bento.
    fn joined(&self, part: &str) -> Option<Self> {
        if part.starts_with('/') || part.contains(['\\', '\0']) {
            return None;
        }
        let mut parts: Vec<&str> = self.path.split('/').filter(|part| !part.is_empty()).collect();
        for part in part.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        Some(Self { path: parts.join("/").into(), ..self.clone() })
    }

    fn parent(&self) -> Option<Self> {
        if self.path.is_empty() { None } else { self.joined("..") }
    }

    pub(in crate::service) fn value<'a>(self) -> Value<'a> {
        Value::Stored(Rc::new(self))
    }
}

/// The path that a value is.
fn path_in(value: &Value<'_>) -> Option<Stored> {
    match value {
        Value::Stored(stored) => Some((**stored).clone()),
        Value::Text(text) => Stored::of_text(text),
        _ => None,
    }
}

fn path_of<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [item] = call.bind(evaluator, ["item"])?;
    match (value, item) {
        (Value::Reference(model), Some(Value::Text(item))) => match Stored::model(model).joined(&item) {
            Some(stored) => Ok(stored.value()),
            None => outside(evaluator, call.at(0)),
        },
        _ => evaluator.fail(call.place, "`path_of` takes the name of a file"),
    }
}

fn outside<T>(evaluator: &Evaluator<'_, '_>, place: Place) -> Result<T, Stop> {
    evaluator.fail(place, "this path leads out of the bento, where nothing is read")
}

fn up<'a>(evaluator: &Evaluator<'_, 'a>, stored: &Stored, place: Place) -> Evaluated<'a> {
    match stored.parent() {
        Some(parent) => Ok(parent.value()),
        None => outside(evaluator, place),
    }
}

fn same<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator).map(|()| value.clone())
}

/// What a function makes of its only argument, a path.
fn one<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    call: &Call<'a>,
    change: impl Fn(&Stored) -> Option<Stored>,
) -> Evaluated<'a> {
    let [path] = call.bind(evaluator, ["path"])?;
    match path.as_ref().and_then(path_in).map(|path| change(&path)) {
        Some(Some(path)) => Ok(path.value()),
        Some(None) => outside(evaluator, call.at(0)),
        None => evaluator.fail(call.at(0), "this is no path in the bento"),
    }
}

/// Paths put together, the first of which may be one of the bento's. Texts alone stay one.
fn join<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    if let Some((name, _, place)) = call.keywords.first() {
        return evaluator.fail(*place, format!("the argument `{name}` is not compiled here"));
    }
    let mut path: Option<Stored> = None;
    for (part, place) in &call.positional {
        let joined = match (&path, part) {
            (None, part) => path_in(part),
            (Some(path), Value::Text(text)) => path.joined(text),
            (Some(_), _) => None,
        };
        match joined {
            Some(joined) => path = Some(joined),
            None => return outside(evaluator, *place),
        }
    }
    match path {
        Some(path) => Ok(path.value()),
        None => evaluator.fail(call.place, "a path needs parts"),
    }
}

/// `path / "name"`.
pub(in crate::service) fn below<'a>(
    evaluator: &Evaluator<'_, 'a>,
    path: &Stored,
    part: &str,
    place: Place,
) -> Evaluated<'a> {
    match path.joined(part) {
        Some(path) => Ok(path.value()),
        None => outside(evaluator, place),
    }
}

fn open<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [path, mode, ..] = call.bind(evaluator, ["file", "mode", "buffering", "encoding", "errors", "newline"])?;
    let reads = match mode {
        None => true,
        Some(Value::Text(mode)) => mode.chars().all(|letter| "rbt".contains(letter)),
        Some(_) => false,
    };
    match path.as_ref().and_then(path_in) {
        Some(_) if !reads => evaluator.fail(call.place, "a service that is compiled writes no files"),
        Some(stored) => Ok(Stored { is_open: true, ..stored }.value()),
        None => outside(evaluator, call.at(0)),
    }
}

/// The contents of a file.
fn contents(evaluator: &Evaluator<'_, '_>, stored: &Stored, place: Place) -> Result<Vec<u8>, Stop> {
    let bundle = evaluator.bundle;
    let read = match &stored.root {
        Root::Sources => bundle.read_beside_sources(&stored.path, DATA_LIMIT),
        Root::Model(model) => match bundle.model(model) {
            Some(file) => file.read_beside(&stored.path),
            None => return evaluator.missing_model(model, place),
        },
    };
    match read {
        Ok(bytes) if bytes.len() as u64 <= DATA_LIMIT => Ok(bytes),
        Ok(_) => evaluator.fail(place, format!("files of more than {} MiB become no constants", DATA_LIMIT >> 20)),
        Err(error) => evaluator.fail(place, error.to_string()),
    }
}

/// The contents of a file of text, with every line's end as `\n`.
fn text_of(evaluator: &Evaluator<'_, '_>, value: &Value<'_>, place: Place) -> Result<String, Stop> {
    let Value::Stored(stored) = value else {
        return evaluator.fail(place, format!("{} is no file", value.describe()));
    };
    match String::from_utf8(contents(evaluator, stored, place)?) {
        Ok(text) => Ok(text.replace("\r\n", "\n").replace('\r', "\n")),
        Err(_) => evaluator.fail(place, "this file is not UTF-8 text"),
    }
}

fn read<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.bind(evaluator, ["encoding"])?;
    text_of(evaluator, value, call.place).map(|text| Value::Text(text.into()))
}

/// The lines of a file, with their ends, as a loop over it gives them.
pub(in crate::service) fn lines<'a>(
    evaluator: &Evaluator<'_, 'a>,
    file: &Value<'a>,
    place: Place,
) -> Result<Vec<Value<'a>>, Stop> {
    let text = text_of(evaluator, file, place)?;
    Ok(text.split_inclusive('\n').map(|line| Value::Text(line.into())).collect())
}

fn json<'a>(evaluator: &mut Evaluator<'_, 'a>, value: Option<Value<'a>>, place: Place) -> Evaluated<'a> {
    let text = match value {
        Some(Value::Text(text)) => text.to_string(),
        Some(file @ Value::Stored(_)) => text_of(evaluator, &file, place)?,
        _ => return evaluator.fail(place, "JSON is read of files of the bento and of texts that are known here"),
    };
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(&text);
    let value = match parsed.map_err(|error| error.to_string()).and_then(|value| data::of_json(&value)) {
        Ok(value) => value,
        Err(problem) => return evaluator.fail(place, problem),
    };
    evaluator.charge_value(&value, place)?;
    Ok(value)
}

/// The model whose file is loaded.
fn loaded(evaluator: &Evaluator<'_, '_>, path: Option<Value<'_>>, place: Place) -> Result<Rc<str>, Stop> {
    let Some(stored) = path.as_ref().and_then(path_in) else {
        return evaluator.fail(place, "a model is loaded from a file of the bento's models");
    };
    let Root::Model(model) = &stored.root else {
        let problem =
            "a model that lies beside the service's code is not compiled. Save it with `bentoml.models.create`";
        return evaluator.fail(place, problem);
    };
    let Some(file) = evaluator.bundle.model(model) else {
        return evaluator.missing_model(model, place);
    };
    // A Keras model may be the folder itself.
    if is_main(file, &stored.path) || stored.path.is_empty() && file.format == ModelFormat::Hdf5 {
        return Ok(model.clone());
    }
    let problem = format!(
        "`{}` is not the file that is compiled of the model `{model}`: {}. Save each model file as a model of its own",
        stored.path,
        main_name(file)
    );
    evaluator.fail(place, problem)
}

fn main_name(file: &ModelFile) -> &str {
    file.main.rsplit('/').next().unwrap_or(&file.main)
}

fn is_main(file: &ModelFile, path: &str) -> bool {
    main_name(file) == path
}

/// A pickle: the model's, or plain data beside it.
fn pickled<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, names: [&str; 2]) -> Evaluated<'a> {
    let [path, _] = call.bind(evaluator, names)?;
    let place = call.at(0);
    let Some(stored) = path.as_ref().and_then(path_in) else {
        return evaluator.fail(place, "a pickle is loaded from a file of the bento");
    };
    let main = match &stored.root {
        Root::Model(model) => evaluator.bundle.model(model).is_some_and(|file| is_main(file, &stored.path)),
        Root::Sources => false,
    };
    if main {
        let model = loaded(evaluator, path, place)?;
        return Ok(evaluator.data(&model, place)?.unwrap_or(Value::Estimator(model)));
    }
    let bytes = contents(evaluator, &stored, place)?;
    match data::of_pickle(&bytes) {
        Ok(value) => {
            evaluator.charge_value(&value, place)?;
            Ok(value)
        }
        // What is no plain data is a model.
        Err(_) => loaded(evaluator, path, place).map(Value::Estimator),
    }
}

fn keras<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    // What a model is trained with does not matter here; `safe_mode` refuses code, which is never run.
    let [path, ..] = call.bind(evaluator, ["filepath", "custom_objects", "compile", "safe_mode"])?;
    loaded(evaluator, path, call.at(0)).map(|model| Value::Network(model, Framework::Tensorflow))
}

fn network<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, framework: Framework) -> Evaluated<'a> {
    let [path, ..] = call.bind(evaluator, ["f", "map_location", "weights_only"])?;
    loaded(evaluator, path, call.at(0)).map(|model| Value::Network(model, framework))
}
