//! Look-up tables of a bento: artifacts that are plain data, as constants.

use std::rc::Rc;

use super::evaluate::Value;
use crate::bundle::{ModelFile, ModelFormat};
use crate::frontend::pickle::{self, AllowList, Item, Limits};

/// Lists and dicts in each other.
const MAX_DEPTH: usize = 24;

/// Whether an artifact is plain data, and no model: it is by its class, or a pickle of nothing but Python's own values.
pub(crate) fn is_data(file: &ModelFile) -> bool {
    constant(file).is_some()
}

/// The value of an artifact that is plain data; `None` where it is a model.
///
/// # Errors
/// Says what in a file that by its class is plain data is none.
pub(super) fn constant<'a>(file: &ModelFile) -> Option<Result<Value<'a>, String>> {
    let read = || file.read().map_err(|error| error.to_string());
    match file.kind.as_str() {
        "JSONArtifact" => Some(read().and_then(|bytes| {
            let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(|error| error.to_string())?;
            of_json(&value)
        })),
        "TextFileArtifact" => Some(read().and_then(|bytes| {
            std::str::from_utf8(&bytes).map(|text| Value::Text(text.into())).map_err(|error| error.to_string())
        })),
        // What `bentoml.models.create` made says nothing about its files.
        "" if file.version.is_some() && file.format == ModelFormat::Json => {
            let value = read().and_then(|bytes| serde_json::from_slice(&bytes).map_err(|error| error.to_string()));
            value.ok().filter(|value: &serde_json::Value| value.get("learner").is_none()).map(|value| of_json(&value))
        }
        "" if file.version.is_some() && file.format == ModelFormat::Unknown => {
            Some(Err("a file that is no model that is known".to_owned()))
        }
        "PickleArtifact" | "bentoml.picklable_model" | "" if file.format == ModelFormat::Pickle => {
            read().and_then(|bytes| of_pickle(&bytes)).ok().map(Ok)
        }
        _ => None,
    }
}

/// The constant that a text of JSON is.
pub(super) fn json<'a>(text: &str) -> Result<Value<'a>, String> {
    serde_json::from_str(text).map_err(|error| error.to_string()).and_then(|value| of_json(&value))
}

/// The constant that a value of JSON is.
pub(super) fn of_json<'a>(value: &serde_json::Value) -> Result<Value<'a>, String> {
    Ok(match value {
        serde_json::Value::Null => Value::None,
        serde_json::Value::Bool(truth) => Value::Bool(*truth),
        serde_json::Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Value::Int(integer),
            (None, Some(float)) => Value::Float(float),
            (None, None) => return Err(format!("{number} does not fit into 64 bits")),
        },
        serde_json::Value::String(text) => Value::Text(text.as_str().into()),
        serde_json::Value::Array(items) => Value::List(items.iter().map(of_json).collect::<Result<_, _>>()?),
        serde_json::Value::Object(members) => {
            let pair =
                |(key, value): (&String, &serde_json::Value)| Ok((Value::Text(key.as_str().into()), of_json(value)?));
            Value::Dict(members.iter().map(pair).collect::<Result<_, String>>()?)
        }
    })
}

/// The constant that a pickle of Python's own values is.
pub(super) fn of_pickle<'a>(bytes: &[u8]) -> Result<Value<'a>, String> {
    let document =
        pickle::read(bytes, &AllowList::plumbing(), &Limits::default()).map_err(|error| error.to_string())?;
    of_item(&document.root(), 0)
}

fn of_item<'a>(item: &Item<'_>, depth: usize) -> Result<Value<'a>, String> {
    if depth > MAX_DEPTH {
        return Err("values are nested too deeply".to_owned());
    }
    if item.is_none() {
        return Ok(Value::None);
    }
    if item.is_array() {
        return of_array(item);
    }
    if let Ok(truth) = item.as_bool() {
        return Ok(Value::Bool(truth));
    }
    if let Ok(integer) = item.as_i64() {
        return Ok(Value::Int(integer));
    }
    if let Ok(float) = item.as_f64() {
        return Ok(Value::Float(float));
    }
    if let Ok(text) = item.as_str() {
        return Ok(Value::Text(text.into()));
    }
    if item.class().is_ok() {
        return Err(format!("{} is no plain data", item.describe()));
    }
    if let Ok(entries) = item.entries() {
        let pair = |(key, value): &(Item<'_>, Item<'_>)| Ok((of_item(key, depth + 1)?, of_item(value, depth + 1)?));
        return Ok(Value::Dict(entries.iter().map(pair).collect::<Result<_, String>>()?));
    }
    let items = item.items().map_err(|error| error.to_string())?;
    Ok(Value::List(items.iter().map(|item| of_item(item, depth + 1)).collect::<Result<_, _>>()?))
}

/// An array as nested lists: what it is where it is indexed or looked up in.
fn of_array<'a>(item: &Item<'_>) -> Result<Value<'a>, String> {
    let array = item.array().map_err(|error| error.to_string())?;
    let mut values: Vec<Value<'a>> = if let Ok(integers) = array.i64s() {
        integers.into_iter().map(Value::Int).collect()
    } else if let Ok(floats) = array.f64s() {
        floats.into_iter().map(Value::Float).collect()
    } else {
        let texts = array.strings().map_err(|error| error.to_string())?;
        texts.into_iter().map(|text| Value::Text(Rc::from(text))).collect()
    };
    for &length in array.shape().iter().skip(1).rev() {
        if length == 0 {
            return Err("an array without elements".to_owned());
        }
        values = values.chunks(length).map(|row| Value::List(row.into())).collect();
    }
    Ok(Value::List(values.into()))
}
