//! The JSON-schema-like types of BentoML 1.x APIs.

use serde_json::{Map, Value};

use super::api::{Parameter, ValueSchema};

/// The parameters of an API's `input`, in order, and whether the body is the only parameter's value: such a parameter is
/// positional-only, `input` is its type, and its name is not recorded (`""`).
///
/// # Errors
/// Says which part is missing or of another type.
pub(super) fn parameters(input: &Value) -> Result<(Vec<Parameter>, bool), String> {
    let object = input.as_object().ok_or("`input` is no mapping")?;
    if object.get("root_input").and_then(Value::as_bool).unwrap_or(false) {
        return Ok((vec![parameter("", input, !object.contains_key("default"))], true));
    }
    Ok((members(object)?.unwrap_or_default(), false))
}

/// The members that an object declares, in order; `None` where it declares none.
fn members(object: &Map<String, Value>) -> Result<Option<Vec<Parameter>>, String> {
    let Some(properties) = object.get("properties") else {
        return Ok(None);
    };
    let properties = properties.as_object().ok_or("`input.properties` is no mapping")?;
    let required = match object.get("required") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(names)) => names.as_slice(),
        Some(_) => return Err("`input.required` is no list".to_owned()),
    };
    let is_required = |name: &str| required.iter().any(|other| other.as_str() == Some(name));
    Ok(Some(properties.iter().map(|(name, declared)| parameter(name, declared, is_required(name))).collect()))
}

fn parameter(name: &str, declared: &Value, required: bool) -> Parameter {
    Parameter {
        name: name.to_owned(),
        schema: value(declared),
        required,
        default: declared.get("default").cloned(),
        declared: declared.clone(),
    }
}

/// The type that `declared` describes. Recursion is bounded by the depth that manifests may have.
pub(super) fn value(declared: &Value) -> ValueSchema {
    let text = |key: &str| declared.get(key).and_then(Value::as_str).map(str::to_owned);
    match declared.get("type").and_then(Value::as_str) {
        Some("tensor") => ValueSchema::Tensor {
            format: text("format").unwrap_or_else(|| "numpy-array".to_owned()),
            dtype: text("dtype"),
            shape: list(declared.get("shape"), Value::as_i64),
        },
        Some("dataframe") => ValueSchema::Dataframe {
            orient: text("orient").unwrap_or_else(|| "records".to_owned()),
            columns: list(declared.get("columns"), |name| name.as_str().map(str::to_owned)),
        },
        Some("series") => ValueSchema::Series,
        Some("file") => ValueSchema::File {
            format: text("format"),
            content_type: text("content_type"),
            pil: declared.get("pil").and_then(Value::as_bool).unwrap_or(false),
        },
        Some("number") => ValueSchema::Number,
        Some("integer") => ValueSchema::Integer,
        Some("boolean") => ValueSchema::Boolean,
        Some("string") => ValueSchema::Text,
        Some("null") => ValueSchema::Null,
        Some("object") => match declared.as_object().map(members) {
            Some(Ok(Some(members))) => ValueSchema::Object(members),
            _ => ValueSchema::Any,
        },
        Some("array") => ValueSchema::List(Box::new(declared.get("items").map_or(ValueSchema::Any, value))),
        _ => ValueSchema::Any,
    }
}

/// A list whose every item `read` understands.
fn list<T>(declared: Option<&Value>, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    declared?.as_array()?.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{parameters, value};
    use crate::bundle::ValueSchema;

    #[test]
    fn parameters_keep_order_defaults_and_constraints() {
        let input = json!({"type": "object", "required": ["z"], "properties": {
            "z": {"type": "tensor", "format": "numpy-array", "dtype": "int8", "shape": [-1, 3]},
            "a": {"type": "number", "default": 0.5, "minimum": 0}}});
        let (found, root) = parameters(&input).unwrap();
        assert!(!root);
        assert_eq!(found.iter().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["z", "a"]);
        let tensor =
            ValueSchema::Tensor { format: "numpy-array".into(), dtype: Some("int8".into()), shape: Some(vec![-1, 3]) };
        assert_eq!(found[0].schema, tensor);
        assert!(found[0].required && !found[1].required);
        assert_eq!(found[1].default, Some(json!(0.5)));
        assert_eq!(found[1].declared["minimum"], json!(0));
    }

    #[test]
    fn root_input_is_one_parameter() {
        let object = json!({"root_input": true, "type": "object", "properties": {"a": {}, "b": {"type": "integer"}}});
        let (found, root) = parameters(&object).unwrap();
        assert!(root && found.len() == 1);
        let ValueSchema::Object(members) = &found[0].schema else { panic!("{:?}", found[0].schema) };
        assert_eq!(members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(members[1].schema, ValueSchema::Integer);
        let (found, root) = parameters(&json!({"root_input": true, "type": "string"})).unwrap();
        assert!(root);
        assert_eq!(found[0].schema, ValueSchema::Text);
    }

    #[test]
    fn wrong_types_are_errors_and_unknown_types_are_any() {
        assert!(parameters(&json!([])).is_err());
        assert!(parameters(&json!({"properties": 3})).is_err());
        assert!(parameters(&json!({"properties": {}, "required": "x"})).is_err());
        assert_eq!(value(&json!({"$ref": "#/$defs/X"})), ValueSchema::Any);
        assert_eq!(value(&json!({"type": "array"})), ValueSchema::List(Box::new(ValueSchema::Any)));
    }
}
