//! Methods of texts that are known when the service is compiled.

use super::Method;
use crate::service::evaluate::{Call, Evaluated, Evaluator, Kind, Stop, Value};

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Text, "lower", |evaluator, value, call| case(evaluator, value, call, str::to_lowercase)),
    (Kind::Text, "title", |evaluator, value, call| case(evaluator, value, call, titled)),
    (Kind::Text, "capitalize", |evaluator, value, call| case(evaluator, value, call, capitalized)),
    (Kind::Text, "split", split),
    (Kind::Text, "splitlines", lines),
    (Kind::Text, "strip", strip),
    (Kind::Text, "join", join),
    (Kind::Text, "replace", replace),
    (Kind::Text, "startswith", |evaluator, value, call| {
        affix(evaluator, value, call, |text, part| text.starts_with(part))
    }),
    (Kind::Text, "endswith", |evaluator, value, call| affix(evaluator, value, call, |text, part| text.ends_with(part))),
    (Kind::Text, "upper", |evaluator, value, call| case(evaluator, value, call, str::to_uppercase)),
];

fn case<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    call: &Call<'a>,
    change: fn(&str) -> String,
) -> Evaluated<'a> {
    call.none(evaluator)?;
    match value {
        Value::Text(text) => Ok(Value::Text(change(text).into())),
        other => evaluator.fail(call.place, format!("{} has no case", other.describe())),
    }
}

/// Python's `title`: letters after anything else than a letter are capitals.
fn titled(text: &str) -> String {
    let mut inside = false;
    let letter = |letter: char| {
        let mapped = if inside { letter.to_lowercase().collect::<String>() } else { letter.to_uppercase().collect() };
        inside = letter.is_alphabetic();
        mapped
    };
    text.chars().map(letter).collect()
}

/// Python's `capitalize`.
fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| first.to_uppercase().chain(letters.as_str().to_lowercase().chars()).collect())
}

/// The text of a receiver that is known.
fn known<'v>(evaluator: &Evaluator<'_, '_>, value: &'v Value<'_>, call: &Call<'_>) -> Result<&'v str, Stop> {
    match value {
        Value::Text(text) => Ok(text),
        other => evaluator.fail(call.place, format!("{} is no text that is known here", other.describe())),
    }
}

fn texts<'a>(parts: impl Iterator<Item = String>) -> Value<'a> {
    Value::List(parts.map(|part| Value::Text(part.into())).collect())
}

/// `text.split(separator)`; without one, between runs of white space.
fn split<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [separator] = call.bind(evaluator, ["sep"])?;
    let text = known(evaluator, value, call)?;
    match separator {
        None | Some(Value::None) => Ok(texts(text.split_whitespace().map(str::to_owned))),
        Some(Value::Text(separator)) if !separator.is_empty() => Ok(texts(text.split(&*separator).map(str::to_owned))),
        _ => evaluator.fail(call.place, "a text is split at a text"),
    }
}

/// `text.splitlines()`.
fn lines<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    Ok(texts(known(evaluator, value, call)?.lines().map(str::to_owned)))
}

/// `text.strip()`.
fn strip<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    Ok(Value::Text(known(evaluator, value, call)?.trim().into()))
}

/// `text.join(texts)`.
fn join<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [parts] = call.bind(evaluator, ["iterable"])?;
    let text = known(evaluator, value, call)?;
    match parts.as_ref().and_then(Value::texts) {
        Some(parts) => Ok(Value::Text(parts.iter().map(|part| &**part).collect::<Vec<_>>().join(text).into())),
        None => evaluator.fail(call.place, "texts that depend on the request are not joined"),
    }
}

/// `text.replace(old, new)`.
fn replace<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let parts = call.bind(evaluator, ["old", "new"])?;
    let text = known(evaluator, value, call)?;
    match parts {
        [Some(Value::Text(old)), Some(Value::Text(new))] => Ok(Value::Text(text.replace(&*old, &new).into())),
        _ => evaluator.fail(call.place, "a known text is replaced by another"),
    }
}

fn affix<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    call: &Call<'a>,
    has: fn(&str, &str) -> bool,
) -> Evaluated<'a> {
    let [part] = call.bind(evaluator, ["part"])?;
    let text = known(evaluator, value, call)?;
    match part {
        Some(Value::Text(part)) => Ok(Value::Bool(has(text, &part))),
        _ => evaluator.fail(call.place, "a text is looked for that is not known here"),
    }
}
