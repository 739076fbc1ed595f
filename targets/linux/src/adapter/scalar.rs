//! One value of a request, converted as pydantic 2 converts it in its lax mode: the conversion table of its documentation.

use ekiben_runtime::DType;
use ekiben_runtime::artifact::manifest::{Limits, Scalar, ScalarKind};
use serde_json::Value;

use super::InputBuffer;
use super::number::Number;

/// Appends a value. With `as_text`, a text stands for any value, as in a CSV file.
pub(super) fn push(declared: &Scalar, value: &Value, as_text: bool, input: &mut InputBuffer<'_>) -> Result<(), String> {
    let limits = &declared.limits;
    let is_missing = value.is_null() || as_text && value.as_str() == Some("");
    if declared.nullable && is_missing {
        return put(
            if input.spec.dtype.is_float() { Number::Float(f64::NAN) } else { Number::Integer(i64::MIN.into()) },
            input,
        );
    }
    match declared.kind {
        ScalarKind::Any => match value {
            Value::String(text) if as_text => input.push_text(text),
            Value::Number(_) | Value::Bool(_) if input.spec.dtype == DType::Category => input.push_cell(value),
            value => input.push_element(value, false),
        },
        ScalarKind::Number => {
            let number = float(value).ok_or_else(|| format!("{value} is no number"))?;
            if declared.nullable && number.is_nan() {
                return Err("NaN is not told from null here".to_owned());
            }
            in_range(number, limits)?;
            one_of(value, limits)?;
            put(Number::Float(number), input)
        }
        ScalarKind::Integer => {
            let integer = integer(value).ok_or_else(|| format!("{value} is no integer"))?;
            if declared.nullable && integer == i64::MIN {
                return Err("the least integer is not told from null here".to_owned());
            }
            in_range(integer as f64, limits)?;
            one_of(value, limits)?;
            put(Number::Integer(integer.into()), input)
        }
        ScalarKind::Boolean => {
            let truth = boolean(value).ok_or_else(|| format!("{value} is neither true nor false"))?;
            put(Number::Integer(truth.into()), input)
        }
        ScalarKind::Text => {
            let Value::String(text) = value else { return Err(format!("{value} is no text")) };
            length(text, limits)?;
            one_of(value, limits)?;
            input.push_element(value, false)
        }
    }
}

/// The number as an element of the input, whose type a model may have told.
fn put(number: Number, input: &mut InputBuffer<'_>) -> Result<(), String> {
    match input.spec.dtype {
        DType::Category | DType::Text => Err("the model takes a text here".to_owned()),
        dtype => number.push(dtype, false, &mut input.bytes),
    }
}

/// A float: a number, a truth, or a text that Python's `float` reads.
fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Bool(truth) => Some(u8::from(*truth).into()),
        Value::String(text) => {
            let text = plain(text)?;
            // Rust's reading of words has others than Python's.
            let word = text.trim_start_matches(['+', '-']).to_ascii_lowercase();
            let known = matches!(word.as_str(), "nan" | "inf" | "infinity")
                || word.starts_with(|c: char| c.is_ascii_digit() || c == '.');
            text.parse().ok().filter(|_| known)
        }
        _ => None,
    }
}

/// An integer: a number without a fraction, a truth, or a text of digits, with a fraction of zeros at most.
fn integer(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => {
            number.as_i64().or_else(|| number.as_f64().filter(|value| value.fract() == 0.0).and_then(exact))
        }
        Value::Bool(truth) => Some((*truth).into()),
        Value::String(text) => {
            let text = plain(text)?;
            let whole = match text.split_once('.') {
                Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
                Some(_) => return None,
                None => &text,
            };
            whole.parse().ok()
        }
        _ => None,
    }
}

/// An integral float that 64 bits hold.
fn exact(value: f64) -> Option<i64> {
    (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value).then_some(value as i64)
}

/// A truth: the words and numbers that pydantic takes for one.
fn boolean(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::Number(number) => match number.as_f64()? {
            0.0 => Some(false),
            1.0 => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_lowercase().as_str() {
            "0" | "off" | "f" | "false" | "n" | "no" => Some(false),
            "1" | "on" | "t" | "true" | "y" | "yes" => Some(true),
            _ => None,
        },
        _ => None,
    }
}

/// A text of a number without the space around it and the underscores between its digits.
fn plain(text: &str) -> Option<String> {
    let text = text.trim();
    let bytes = text.as_bytes();
    let digit = |at: Option<usize>| at.and_then(|at| bytes.get(at)).is_some_and(u8::is_ascii_digit);
    let misplaced = |at: usize| bytes[at] == b'_' && !(digit(at.checked_sub(1)) && digit(Some(at + 1)));
    if (0..bytes.len()).any(misplaced) {
        return None;
    }
    Some(text.replace('_', ""))
}

fn in_range(value: f64, limits: &Limits) -> Result<(), String> {
    // A comparison with NaN is false, as in pydantic.
    let holds = |limit: Option<f64>, holds: fn(f64, f64) -> bool| limit.is_none_or(|limit| holds(value, limit));
    let checks = [
        (holds(limits.minimum, |value, limit| value >= limit), "at least", limits.minimum),
        (holds(limits.maximum, |value, limit| value <= limit), "at most", limits.maximum),
        (holds(limits.exclusive_minimum, |value, limit| value > limit), "greater than", limits.exclusive_minimum),
        (holds(limits.exclusive_maximum, |value, limit| value < limit), "less than", limits.exclusive_maximum),
        (holds(limits.multiple_of, |value, step| (value / step).fract() == 0.0), "a multiple of", limits.multiple_of),
    ];
    match checks.into_iter().find(|(holds, ..)| !holds) {
        Some((_, relation, limit)) => Err(format!("{value} must be {relation} {}", limit.unwrap_or_default())),
        None => Ok(()),
    }
}

fn length(text: &str, limits: &Limits) -> Result<(), String> {
    let length = text.chars().count();
    let (least, most) = (limits.min_length.unwrap_or(0), limits.max_length.unwrap_or(u32::MAX));
    if length < least as usize || length > most as usize {
        return Err(format!("a text of {length} characters, {least} to {most} are taken"));
    }
    Ok(())
}

fn one_of(value: &Value, limits: &Limits) -> Result<(), String> {
    let known = |text: &String| serde_json::from_str::<Value>(text).is_ok_and(|known| known == *value);
    if limits.one_of.is_empty() || limits.one_of.iter().any(known) {
        return Ok(());
    }
    Err(format!("{value} is none of {}", limits.one_of.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What pydantic 2.12 takes for a `float`, an `int` and a `bool`.
    #[test]
    fn values_are_converted_as_pydantic_converts_them() {
        for (value, expected) in [
            (json!(1), Some(1.0)),
            (json!(true), Some(1.0)),
            (json!("1e3"), Some(1000.0)),
            (json!(" 1 "), Some(1.0)),
            (json!("1_000"), Some(1000.0)),
            (json!("1__0"), None),
            (json!("_1"), None),
            (json!("infinity"), Some(f64::INFINITY)),
            (json!("x"), None),
            (json!(null), None),
            (json!([1]), None),
        ] {
            assert_eq!(float(&value), expected, "{value}");
        }
        assert!(float(&json!("NaN")).is_some_and(f64::is_nan));
        for (value, expected) in [
            (json!(3), Some(3)),
            (json!(1.0), Some(1)),
            (json!(1.5), None),
            (json!("1.0"), Some(1)),
            (json!("1e3"), None),
            (json!("1_000"), Some(1000)),
            (json!(true), Some(1)),
            (json!("x"), None),
            (json!(1e300), None),
        ] {
            assert_eq!(integer(&value), expected, "{value}");
        }
        for (value, expected) in [
            (json!(true), Some(true)),
            (json!(1), Some(true)),
            (json!(1.0), Some(true)),
            (json!("yes"), Some(true)),
            (json!("Off"), Some(false)),
            (json!(2), None),
            (json!("1.0"), None),
            (json!(null), None),
        ] {
            assert_eq!(boolean(&value), expected, "{value}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits =
            Limits { minimum: Some(0.0), exclusive_maximum: Some(10.0), multiple_of: Some(0.5), ..Limits::default() };
        assert!(in_range(9.5, &limits).is_ok());
        for value in [-1.0, 10.0, 0.3, f64::NAN] {
            assert!(in_range(value, &limits).is_err(), "{value}");
        }
        let limits =
            Limits { min_length: Some(2), max_length: Some(3), one_of: vec!["\"ab\"".into()], ..Limits::default() };
        assert!(length("äöü", &limits).is_ok());
        assert!(length("a", &limits).is_err());
        assert!(one_of(&json!("ab"), &limits).is_ok());
        assert!(one_of(&json!("ac"), &limits).is_err());
    }
}
