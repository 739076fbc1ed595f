//! What the bento's own server answers about the service: `/docs.json`, `/schema.json`, `/metadata`.

use ekiben_runtime::artifact::manifest::Documents;
use serde_json::{Map, Value, json};

use super::files::MANIFEST_LIMIT;
use super::{Bundle, BundleError, Generation, v0_13, yaml};

/// BentoML 0.13's OpenAPI file.
const DOCS: &str = "docs.json";
/// BentoML 1.x's.
const OPENAPI: &str = "apis/openapi.yaml";
/// 0.13's environment.
const ENVIRONMENT: &str = "environment.yml";

impl Bundle {
    /// The service's documents. Those that the bento lacks are empty.
    ///
    /// # Errors
    /// A file that is there and cannot be read.
    pub(crate) fn documents(&self) -> Result<Documents, BundleError> {
        let (openapi, metadata) = match self.generation {
            Generation::Bare => return Ok(Documents::default()),
            Generation::V0_13 => (self.docs()?, self.metadata()?),
            Generation::V1 if !self.files.contains(OPENAPI) => (None, None),
            Generation::V1 => (Some(yaml::read::<Value>(&self.files, OPENAPI)?), None),
        };
        let text = |value: Option<&Value>| value.map(Value::to_string).unwrap_or_default();
        Ok(Documents {
            openapi: text(openapi.as_ref()),
            schema: text(self.schema.as_ref()),
            metadata: metadata.map(|value| text(Some(&value))).unwrap_or_default(),
        })
    }

    fn docs(&self) -> Result<Option<Value>, BundleError> {
        if !self.files.contains(DOCS) {
            return Ok(None);
        }
        let text = self.files.read_text(DOCS, MANIFEST_LIMIT)?;
        // A file that is no JSON documents nothing, and nothing else needs it.
        Ok(serde_json::from_str(&text).ok().map(sorted))
    }

    /// The manifest as protobuf's JSON, in a JSON string, as 0.13's server answers it.
    fn metadata(&self) -> Result<Option<Value>, BundleError> {
        let manifest: Value = yaml::read(&self.files, v0_13::MANIFEST)?;
        let mut environment = manifest.get("env").cloned().unwrap_or_default();
        let conda = environment.pointer_mut("/conda_env").filter(|_| self.files.contains(ENVIRONMENT));
        if let Some(conda) = conda {
            *conda = self.files.read_text(ENVIRONMENT, MANIFEST_LIMIT)?.into();
        }
        let at = |pointer: &str| manifest.pointer(pointer).cloned().unwrap_or_default();
        let created = at("/metadata/created_at");
        let created = created.as_str().map(|time| format!("{}Z", time.replace(' ', "T")));
        let described = json!({
            "name": at("/metadata/service_name"),
            "version": at("/metadata/service_version"),
            "created_at": created,
            "env": environment,
            "artifacts": at("/artifacts"),
            "apis": at("/apis"),
        });
        let pretty = serde_json::to_string_pretty(&camel(described));
        Ok(pretty.ok().map(Value::String))
    }
}

/// A value with the keys of all objects sorted.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().map(|(key, value)| (key, sorted(value))).collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(sorted).collect()),
        other => other,
    }
}

/// Keys in protobuf's JSON spelling, without members that are not there. What a user named (columns of dtypes, metadata) stays as it is.
fn camel(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(members.into_iter().filter_map(member).collect::<Map<_, _>>()),
        Value::Array(items) => Value::Array(items.into_iter().map(camel).collect()),
        other => other,
    }
}

fn member((key, value): (String, Value)) -> Option<(String, Value)> {
    let named_by_user = matches!(key.as_str(), "metadata" | "input_config" | "output_config");
    let mut spelt = String::new();
    let mut words = key.split('_');
    spelt.push_str(words.next()?);
    for word in words {
        let mut letters = word.chars();
        spelt.extend(letters.next().map(|first| first.to_ascii_uppercase()));
        spelt.push_str(letters.as_str());
    }
    match value {
        Value::Null => None,
        value if named_by_user => Some((spelt, value)),
        value => Some((spelt, camel(value))),
    }
}
