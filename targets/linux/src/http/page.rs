//! The page at `/`, for people: what is served, and a form for each API.

use ekiben_runtime::artifact::manifest::{
    Api, Frame, Generation, InputAdapter, Parameter, ParameterKind, Scalar, ScalarKind,
};
use serde_json::{Map, Value, json};

use super::models::Model;

/// The page, with [`PLACE`] where the description of the models goes.
const PAGE: &str = include_str!("page.html");
const PLACE: &str = "__EKIBEN_MODELS__";

/// Lines of the head of the page's response: it may run its own script and ask this server, and nothing else.
pub(super) fn head() -> String {
    include_str!("page_head.txt").replace('\n', "\r\n")
}

/// The page of these models.
pub(super) fn page(models: &[Model]) -> String {
    let described: Vec<Value> = models.iter().map(model).collect();
    // What a model is called does not end the script that it stands in.
    let text = Value::from(described).to_string().replace('<', "\\u003c");
    PAGE.replace(PLACE, &text)
}

fn model(model: &Model) -> Value {
    let manifest = model.session.manifest();
    let artifact = model.session.artifact();
    let apis = manifest.apis.iter().enumerate().map(|(index, api)| {
        let (adapter, parameters) = adapter(&api.input);
        json!({
            "name": api.name,
            "route": format!("{}/{}", model.prefix, api.route),
            "description": api.description.trim(),
            "batch": api.batch,
            "arena_bytes": artifact.arena_bytes(index, 1).unwrap_or(0),
            "is_text": api.is_text,
            "task": api.wire.task,
            "stream": !api.wire.stream.is_empty(),
            "input": { "adapter": adapter, "parameters": parameters },
            "example": example(api, model),
            "content_type": if adapter == "text" { "text/plain" } else { "application/json" },
        })
    });
    json!({
        "name": manifest.name,
        "version": manifest.version,
        "generation": match manifest.generation {
            Generation::V0_13 => "0.13",
            Generation::V1 => "1.x",
            Generation::Bare => "bare",
        },
        "description": manifest.description,
        "bytes": model.bytes,
        "labels": manifest.labels,
        "provenance": manifest.provenance,
        "apis": apis.collect::<Vec<_>>(),
    })
}

fn adapter(input: &InputAdapter) -> (&'static str, Vec<Value>) {
    let all = |parameters: &[Parameter]| parameters.iter().map(parameter).collect();
    match input {
        InputAdapter::Dataframe(frame) => {
            ("dataframe", vec![json!({ "name": "table", "kind": "dataframe", "columns": columns(frame) })])
        }
        InputAdapter::Parameters(parameters) => ("parameters", all(parameters)),
        InputAdapter::Value(one) => ("value", vec![parameter(one)]),
        InputAdapter::Row(one) => ("row", vec![parameter(one)]),
        InputAdapter::Text(one) => ("text", vec![parameter(one)]),
        InputAdapter::File { parameters, .. } => ("file", all(parameters)),
    }
}

fn columns(frame: &Frame) -> Value {
    if frame.columns.is_empty() { Value::Null } else { frame.columns.clone().into() }
}

fn parameter(parameter: &Parameter) -> Value {
    let mut described = kind(&parameter.kind);
    described.insert("name".to_owned(), parameter.name.clone().into());
    if let Some(default) = parameter.default.as_ref().and_then(|text| serde_json::from_str(text).ok()) {
        described.insert("default".to_owned(), default);
    }
    described.into()
}

fn kind(kind: &ParameterKind) -> Map<String, Value> {
    let described = match kind {
        ParameterKind::Array { shape, dtype, .. } => json!({ "kind": "array", "shape": shape, "dtype": dtype }),
        ParameterKind::Dataframe(frame) => json!({ "kind": "dataframe", "columns": columns(frame) }),
        ParameterKind::Scalar(scalar) => {
            let limits = &scalar.limits;
            let allowed: Vec<Value> = limits.one_of.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            json!({ "kind": "scalar", "type": scalar_type(scalar), "minimum": limits.minimum, "maximum": limits.maximum,
                "enum": allowed })
        }
        ParameterKind::Object(members) => {
            json!({ "kind": "object", "members": members.iter().map(parameter).collect::<Vec<_>>() })
        }
        ParameterKind::Records(item) => json!({ "kind": "records", "item": self::kind(item) }),
        ParameterKind::Single(item) => return self::kind(item),
        ParameterKind::Image(_) => json!({ "kind": "image" }),
        ParameterKind::Sound(_) => json!({ "kind": "sound" }),
    };
    match described {
        Value::Object(mut members) => {
            members.retain(|_, value| !value.is_null() && value.as_array().is_none_or(|items| !items.is_empty()));
            members
        }
        _ => Map::new(),
    }
}

fn scalar_type(scalar: &Scalar) -> &'static str {
    match scalar.kind {
        ScalarKind::Any => "any",
        ScalarKind::Number => "number",
        ScalarKind::Integer => "integer",
        ScalarKind::Boolean => "boolean",
        ScalarKind::Text => "text",
    }
}

/// The text of a body that the API takes; `null` where it takes files.
fn example(api: &Api, model: &Model) -> Value {
    let artifact = model.session.artifact();
    let record = model.session.manifest().apis.iter().position(|other| other.name == api.name);
    let Some(record) = record.and_then(|index| artifact.api(index)) else { return Value::Null };
    let shape = |input: u32| artifact.api_input(&record, input as usize).map(|tensor| tensor.spec);
    let text = match &api.input {
        InputAdapter::Dataframe(frame) => example_frame(frame, &shape),
        InputAdapter::Parameters(parameters) => example_members(parameters, &shape),
        InputAdapter::Value(one) | InputAdapter::Row(one) => {
            let value = example_value(&one.kind, &shape);
            match (&api.input, &one.kind, value) {
                (InputAdapter::Row(_), ParameterKind::Records(_), Some(Value::Array(items))) => {
                    items.into_iter().next()
                }
                (_, _, value) => value,
            }
        }
        InputAdapter::Text(_) => return "a text".into(),
        InputAdapter::File { .. } => None,
    };
    text.map_or(Value::Null, |value| value.to_string().into())
}

type Specs<'s> = dyn Fn(u32) -> Option<ekiben_runtime::TensorSpec> + 's;

fn example_members(parameters: &[Parameter], specs: &Specs<'_>) -> Option<Value> {
    let member = |parameter: &Parameter| {
        let default = parameter.default.as_ref().and_then(|text| serde_json::from_str(text).ok());
        let value = default.or_else(|| example_value(&parameter.kind, specs))?;
        Some((parameter.name.clone(), value))
    };
    Some(Value::Object(parameters.iter().map(member).collect::<Option<Map<_, _>>>()?))
}

fn example_value(kind: &ParameterKind, specs: &Specs<'_>) -> Option<Value> {
    match kind {
        ParameterKind::Array { input, .. } => {
            let spec = specs(*input)?;
            let texts = usize::from(spec.dtype == ekiben_runtime::DType::Text);
            let factors = spec.shape.factors();
            let element = if texts == 1 { Value::from("a text") } else { Value::from(0) };
            let dims = &factors[..factors.len().saturating_sub(texts)];
            if dims.iter().map(|&dim| u64::from(dim)).product::<u64>() > 4096 {
                return None;
            }
            Some(dims.iter().rev().fold(element, |inner, &dim| Value::from(vec![inner; dim as usize])))
        }
        ParameterKind::Dataframe(frame) => example_frame(frame, specs),
        ParameterKind::Scalar(scalar) => Some(match (scalar.limits.one_of.first(), scalar.kind) {
            (Some(text), _) => serde_json::from_str(text).ok()?,
            (None, ScalarKind::Text) => "a text".into(),
            (None, ScalarKind::Boolean) => true.into(),
            (None, ScalarKind::Integer) => (scalar.limits.minimum.unwrap_or(1.0).ceil() as i64).into(),
            (None, _) if specs(scalar.input)?.dtype == ekiben_runtime::DType::Category => "a text".into(),
            (None, _) => scalar.limits.minimum.unwrap_or(1.0).into(),
        }),
        ParameterKind::Object(members) => example_members(members, specs),
        ParameterKind::Records(item) => Some(Value::from(vec![example_value(item, specs)?])),
        ParameterKind::Single(item) => match example_value(item, specs)? {
            Value::Array(items) => items.into_iter().next(),
            value => Some(value),
        },
        ParameterKind::Image(_) | ParameterKind::Sound(_) => None,
    }
}

/// A row of a table.
fn example_frame(frame: &Frame, specs: &Specs<'_>) -> Option<Value> {
    let cell = |position: usize| {
        let input = frame.inputs.get(position).copied().unwrap_or(frame.input);
        let is_text = specs(input)
            .is_some_and(|spec| matches!(spec.dtype, ekiben_runtime::DType::Category | ekiben_runtime::DType::Text));
        if is_text { Value::from("a text") } else { Value::from(0.0) }
    };
    if !frame.columns.is_empty() {
        let cells = frame.columns.iter().enumerate().map(|(position, name)| (name.clone(), cell(position)));
        return Some(Value::from(vec![Value::Object(cells.collect())]));
    }
    let width = match frame.inputs.len() {
        0 => specs(frame.input)?.shape.elements().filter(|&width| width <= 4096)?,
        columns => columns as u64,
    };
    Some(Value::from(vec![Value::from((0..width as usize).map(cell).collect::<Vec<_>>())]))
}
