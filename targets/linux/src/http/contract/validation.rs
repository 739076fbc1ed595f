//! What pydantic 2 says of a request that it refuses: types, messages and order as its documentation of validation errors has them.

use ekiben_runtime::artifact::manifest::{Api, InputAdapter, Limits, Parameter, ParameterKind, Scalar, ScalarKind};
use serde_json::{Value, json};

use super::{JSON, Plain};
use crate::adapter::DataError;

/// Where pydantic's errors are explained. The version is that of the release that the messages were compared with.
const URL: &str = "https://errors.pydantic.dev/2.14/v/";
/// Errors that are listed.
const MOST: usize = 100;

/// The answer to a request that `error` was found in first. `class` is what the service's schema calls the class of its input.
pub(super) fn refused(api: &Api, class: &str, body: &[u8], error: &DataError) -> Plain {
    let mut found = Found { details: Vec::new() };
    if let DataError::Json(reason) = error {
        found.add("json_invalid", &[], format!("Invalid JSON: {reason}"));
    } else if let Ok(value) = serde_json::from_slice::<Value>(if body.is_empty() { b"{}" } else { body }) {
        match &api.input {
            InputAdapter::Parameters(parameters) => found.members(parameters, &value, &mut Vec::new()),
            InputAdapter::Value(parameter) => found.value(&parameter.kind, &value, &mut Vec::new()),
            _ => {}
        }
    }
    if found.details.is_empty() {
        found.other(error);
    }
    let count = found.details.len();
    let body = json!({ "error": format!("{count} validation error for {class}"), "detail": found.details });
    Plain::new(400, JSON, body.to_string())
}

/// The errors so far.
struct Found {
    details: Vec<Value>,
}

impl Found {
    fn add(&mut self, kind: &str, place: &[Value], message: impl Into<String>) {
        if self.details.len() < MOST {
            let message: String = message.into();
            self.details.push(json!({ "type": kind, "loc": place, "msg": message, "url": format!("{URL}{kind}") }));
        }
    }

    /// An error that this walk does not find again.
    fn other(&mut self, error: &DataError) {
        if let DataError::Missing { place, .. } = error {
            let place: Vec<Value> = place.split('.').map(Value::from).collect();
            return self.add("missing", &place, "Field required");
        }
        let (place, reason) = match error {
            DataError::Body { place, reason } => (place.as_str(), reason.clone()),
            DataError::Width { place, given, needed } => {
                (place.as_str(), format!("{given} columns, the API takes {needed}"))
            }
            other => ("", other.to_string()),
        };
        let name = place.split([':', '[', '.']).next().unwrap_or_default();
        let place: Vec<Value> = if name.is_empty() { Vec::new() } else { vec![name.into()] };
        self.add("value_error", &place, format!("Value error, {reason}"));
    }

    fn members(&mut self, parameters: &[Parameter], value: &Value, place: &mut Vec<Value>) {
        let Value::Object(members) = value else {
            return self.add("model_type", place, "Input should be an object");
        };
        for parameter in parameters {
            place.push(parameter.name.as_str().into());
            match members.get(&parameter.name) {
                Some(value) => self.value(&parameter.kind, value, place),
                None if parameter.default.is_none() => self.add("missing", place, "Field required"),
                None => {}
            }
            place.pop();
        }
    }

    fn value(&mut self, kind: &ParameterKind, value: &Value, place: &mut Vec<Value>) {
        match kind {
            ParameterKind::Scalar(scalar) => self.scalar(scalar, value, place),
            ParameterKind::Object(members) => self.members(members, value, place),
            ParameterKind::Records(item) => {
                let Value::Array(items) = value else {
                    return self.add("list_type", place, "Input should be a valid array");
                };
                for (at, value) in items.iter().enumerate() {
                    place.push(at.into());
                    self.value(item, value, place);
                    place.pop();
                }
            }
            ParameterKind::Single(item) => self.value(item, value, place),
            // What is wrong with these is in the error that was found first.
            ParameterKind::Array { .. }
            | ParameterKind::Dataframe(_)
            | ParameterKind::Image(_)
            | ParameterKind::Sound(_) => {}
        }
    }

    fn scalar(&mut self, scalar: &Scalar, value: &Value, place: &[Value]) {
        if scalar.nullable && value.is_null() {
            return;
        }
        let (kind, message) = match (scalar.kind, value) {
            (ScalarKind::Any, _) => return,
            (ScalarKind::Number, Value::String(text)) if text.trim().parse::<f64>().is_err() => {
                ("float_parsing", "Input should be a valid number, unable to parse string as a number")
            }
            (ScalarKind::Number, Value::Null | Value::Array(_) | Value::Object(_)) => {
                ("float_type", "Input should be a valid number")
            }
            (ScalarKind::Integer, Value::String(text)) if text.trim().parse::<i64>().is_err() => {
                ("int_parsing", "Input should be a valid integer, unable to parse string as an integer")
            }
            (ScalarKind::Integer, Value::Number(number)) if number.as_f64().is_some_and(|n| n.fract() != 0.0) => {
                ("int_from_float", "Input should be a valid integer, got a number with a fractional part")
            }
            (ScalarKind::Integer, Value::Null | Value::Array(_) | Value::Object(_)) => {
                ("int_type", "Input should be a valid integer")
            }
            (ScalarKind::Boolean, Value::Null | Value::Array(_) | Value::Object(_)) => {
                ("bool_type", "Input should be a valid boolean")
            }
            (ScalarKind::Boolean, value) if !is_boolean(value) => {
                ("bool_parsing", "Input should be a valid boolean, unable to interpret input")
            }
            (ScalarKind::Text, value) if !value.is_string() && scalar.limits.one_of.is_empty() => {
                ("string_type", "Input should be a valid string")
            }
            _ => return self.limits(&scalar.limits, value, place),
        };
        self.add(kind, place, message);
    }

    fn limits(&mut self, limits: &Limits, value: &Value, place: &[Value]) {
        if !limits.one_of.is_empty() {
            let allowed: Vec<Value> = limits.one_of.iter().filter_map(|text| serde_json::from_str(text).ok()).collect();
            if !allowed.contains(value) {
                self.add("literal_error", place, format!("Input should be {}", listed(&allowed)));
            }
            return;
        }
        if let Value::String(text) = value {
            let length = text.chars().count();
            let letters = |count: u32| if count == 1 { "character" } else { "characters" };
            match (limits.min_length, limits.max_length) {
                (Some(least), _) if length < least as usize => {
                    let message = format!("String should have at least {least} {}", letters(least));
                    return self.add("string_too_short", place, message);
                }
                (_, Some(most)) if length > most as usize => {
                    let message = format!("String should have at most {most} {}", letters(most));
                    return self.add("string_too_long", place, message);
                }
                _ => {}
            }
        }
        let Some(number) = number(value) else { return };
        let checks = [
            (
                "multiple_of",
                "a multiple of",
                limits.multiple_of,
                limits.multiple_of.is_none_or(|m| (number / m).fract() == 0.0),
            ),
            ("less_than_equal", "less than or equal to", limits.maximum, limits.maximum.is_none_or(|m| number <= m)),
            ("less_than", "less than", limits.exclusive_maximum, limits.exclusive_maximum.is_none_or(|m| number < m)),
            (
                "greater_than_equal",
                "greater than or equal to",
                limits.minimum,
                limits.minimum.is_none_or(|m| number >= m),
            ),
            (
                "greater_than",
                "greater than",
                limits.exclusive_minimum,
                limits.exclusive_minimum.is_none_or(|m| number > m),
            ),
        ];
        if let Some((kind, relation, Some(limit), _)) = checks.into_iter().find(|(.., holds)| !holds) {
            self.add(kind, place, format!("Input should be {relation} {limit}"));
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(u8::from(*truth).into()),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    }
}

fn is_boolean(value: &Value) -> bool {
    match value {
        Value::Bool(_) => true,
        Value::Number(number) => matches!(number.as_f64(), Some(0.0 | 1.0)),
        Value::String(text) => {
            let words = ["0", "off", "f", "false", "n", "no", "1", "on", "t", "true", "y", "yes"];
            words.contains(&text.to_lowercase().as_str())
        }
        _ => false,
    }
}

/// `'a', 'b' or 'c'`.
fn listed(values: &[Value]) -> String {
    let spelt = |value: &Value| value.as_str().map_or_else(|| value.to_string(), |text| format!("'{text}'"));
    match values.split_last() {
        Some((last, [])) => spelt(last),
        Some((last, others)) => {
            format!("{} or {}", others.iter().map(spelt).collect::<Vec<_>>().join(", "), spelt(last))
        }
        None => String::new(),
    }
}
