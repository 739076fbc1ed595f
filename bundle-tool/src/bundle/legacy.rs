//! Bentos of BentoML 1.x whose service has runners (`spec: 1`): their APIs, each with one descriptor in and one out.
//!
//! The manifest has the classes of the descriptors. Routes and the types of JSON are in `apis/openapi.yaml`; arguments of descriptors
//! are only in the source.

use serde::Deserialize;
use serde_json::Value;

use super::api::{ApiDecl, Interface, Parameter, ValueSchema};
use super::error::BundleError;
use super::files::Files;
use super::{schema, yaml};

/// The description of the routes.
const OPENAPI: &str = "apis/openapi.yaml";
/// References to types in types.
const MAX_DEPTH: usize = 16;
/// Types that one request may be made of.
const MAX_TYPES: usize = 10_000;

/// An API as the manifest lists it.
#[derive(Deserialize)]
pub(super) struct Listed {
    name: String,
    input_type: String,
    output_type: String,
}

/// The APIs of a service with runners.
///
/// # Errors
/// Types of JSON that refer to others without end.
pub(super) fn apis(files: &Files, listed: Vec<Listed>) -> Result<Vec<ApiDecl>, BundleError> {
    let openapi = if files.contains(OPENAPI) { yaml::read(files, OPENAPI)? } else { Value::Null };
    let mut apis = Vec::new();
    for mut api in listed {
        for class in [&mut api.input_type, &mut api.output_type] {
            // What `File(…)` makes.
            if class == "BytesIOFile" {
                *class = "File".to_owned();
            }
        }
        let described = described(&openapi, &api.name);
        let body = described.and_then(|(_, post)| post.pointer("/requestBody/content/application~1json/schema"));
        let declared = match body.filter(|_| api.input_type == "JSON") {
            Some(schema) => resolved(&openapi, schema, 0, &mut 0).map_err(|problem| BundleError::Key {
                file: files.describe(OPENAPI),
                key: format!("the request of {}", api.name),
                problem,
            })?,
            None => Value::Null,
        };
        let input = descriptor(&api.input_type, &declared);
        let route = described.map_or(api.name.as_str(), |(route, _)| route);
        let docs = described.and_then(|(_, post)| post.get("description")).and_then(Value::as_str);
        apis.push(ApiDecl {
            route: route.trim_start_matches('/').to_owned(),
            docs: docs.map(str::to_owned),
            interface: Interface::Runners {
                input: Parameter { name: String::new(), schema: input, required: true, default: None, declared },
                output: descriptor(&api.output_type, &Value::Null),
                classes: (api.input_type, api.output_type),
                fixed_shape: false,
            },
            name: api.name,
        });
    }
    Ok(apis)
}

/// The route of an API and what is said about its `POST`.
fn described<'v>(openapi: &'v Value, name: &str) -> Option<(&'v str, &'v Value)> {
    let paths = openapi.get("paths")?.as_object()?;
    paths.iter().find_map(|(route, methods)| {
        let post = methods.get("post")?;
        let id = post.get("x-bentoml-name").or(post.get("operationId"))?.as_str()?;
        let is_it = id == name || id.rsplit("__").next() == Some(name);
        is_it.then_some((route.as_str(), post))
    })
}

/// The type that a descriptor's class means.
fn descriptor(class: &str, declared: &Value) -> ValueSchema {
    match class {
        "NumpyNdarray" => ValueSchema::Tensor { format: "numpy-array".to_owned(), dtype: None, shape: None },
        "PandasDataFrame" => ValueSchema::Dataframe { orient: "records".to_owned(), columns: None },
        "PandasSeries" => ValueSchema::Series,
        "Text" => ValueSchema::Text,
        "Image" => ValueSchema::File { format: Some("image".to_owned()), content_type: None, pil: true },
        "File" => ValueSchema::File { format: None, content_type: None, pil: false },
        "JSON" if declared.get("properties").is_some() => schema::value(declared),
        _ => ValueSchema::Any,
    }
}

/// A type with the types that it refers to in their places.
fn resolved(openapi: &Value, declared: &Value, depth: usize, count: &mut usize) -> Result<Value, String> {
    *count += 1;
    if depth > MAX_DEPTH || *count > MAX_TYPES {
        return Err("refers to types without end, or to too many".to_owned());
    }
    if let Some(Value::String(reference)) = declared.get("$ref") {
        let found = reference.strip_prefix('#').and_then(|pointer| openapi.pointer(pointer));
        let found = found.ok_or_else(|| format!("refers to {reference:?}, which is not there"))?;
        return resolved(openapi, found, depth + 1, count);
    }
    Ok(match declared {
        Value::Object(members) => {
            let inner = |(name, value): (&String, &Value)| {
                resolved(openapi, value, depth + 1, count).map(|value| (name.clone(), value))
            };
            Value::Object(members.iter().map(inner).collect::<Result<_, _>>()?)
        }
        Value::Array(items) => {
            let items = items.iter().map(|item| resolved(openapi, item, depth + 1, count));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        other => other.clone(),
    })
}
