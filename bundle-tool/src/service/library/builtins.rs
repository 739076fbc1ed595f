//! Python's builtin functions, and methods of its lists, dicts and texts.

use std::rc::Rc;

use ekiben_runtime::DType;
use ekiben_runtime::artifact::image::MeasureKind;
use ekiben_runtime::kernels::reference::round_decimals::round_decimals;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::round_decimals::{MAX_DIGITS, RoundDecimals};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use ruff_python_ast::Operator;

use super::{Function, Method};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("builtins.int", int),
    ("builtins.float", float),
    ("builtins.str", text),
    ("builtins.list", list),
    ("builtins.tuple", tuple),
    ("builtins.dict", dict),
    ("builtins.zip", zip),
    ("builtins.enumerate", enumerate),
    ("builtins.range", range),
    ("builtins.len", len),
    ("builtins.round", round),
    ("builtins.max", |evaluator, call| extreme(evaluator, call, CompareKind::Greater)),
    ("builtins.min", |evaluator, call| extreme(evaluator, call, CompareKind::Less)),
    ("builtins.sum", sum),
    ("builtins.bool", truth),
];

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Dict, "keys", keys),
    (Kind::Dict, "values", values),
    (Kind::Dict, "items", items),
    (Kind::Dict, "get", get),
    (Kind::Json, "get", json_get),
    (Kind::Record, "model_dump", model_dump),
    (Kind::Record, "dict", model_dump),
];

fn int<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    match value {
        Some(Value::Int(value)) => Ok(Value::Int(value)),
        Some(Value::Bool(value)) => Ok(Value::Int(value.into())),
        Some(Value::Float(value)) if value.abs() < 9e15 => Ok(Value::Int(value.trunc() as i64)),
        Some(Value::Array(array)) => number(evaluator, &array, DType::I64, call),
        Some(length @ Value::Length(_)) => evaluator.length_of(MeasureKind::Truncate, &[length], call.place),
        other => refused(evaluator, call, "int", other),
    }
}

fn float<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    match value {
        Some(Value::Int(value)) => Ok(Value::Float(value as f64)),
        Some(Value::Float(value)) => Ok(Value::Float(value)),
        Some(Value::Array(array)) => number(evaluator, &array, DType::F64, call),
        other => refused(evaluator, call, "float", other),
    }
}

/// An element as a Python number. Floats of fewer bits print and compute as 64-bit ones without a conversion here.
fn number<'a>(evaluator: &mut Evaluator<'_, 'a>, array: &Array, to: DType, call: &Call<'a>) -> Evaluated<'a> {
    if !array.axes(&evaluator.graph).is_empty() {
        return evaluator.fail(call.place, "only one number is converted, not an array. Use `astype`");
    }
    let dtype = array.dtype(&evaluator.graph);
    let same = if to == DType::F64 { dtype.is_float() } else { dtype.is_integer() };
    if matches!(dtype, DType::Category | DType::Text) {
        return evaluator.fail(call.place, "texts are not converted to numbers");
    }
    let tensor = if same { array.tensor } else { evaluator.cast(array.tensor, to, call.place)? };
    Ok(Value::Array(Array { python: true, assumed: false, ..array.with_tensor(tensor) }))
}

fn text<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["object"])?;
    match value {
        Some(value @ (Value::Text(_) | Value::Stored(_))) => Ok(value),
        Some(Value::Int(value)) => Ok(Value::Text(value.to_string().into())),
        Some(Value::Array(array))
            if array.axes(&evaluator.graph).is_empty()
                && matches!(array.dtype(&evaluator.graph), DType::Category | DType::Text) =>
        {
            Ok(Value::Array(Array { python: true, ..array }))
        }
        Some(value @ (Value::Array(_) | Value::Format(_))) => evaluator.as_text(value, call.place),
        other => refused(evaluator, call, "str", other),
    }
}

fn refused<'a>(evaluator: &Evaluator<'_, 'a>, call: &Call<'a>, name: &str, value: Option<Value<'a>>) -> Evaluated<'a> {
    let what = value.map_or("nothing".to_owned(), |value| value.describe());
    evaluator.fail(call.place, format!("`{name}` of {what} is not compiled"))
}

fn list<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["iterable"])?;
    match value {
        None => Ok(Value::List([].into())),
        Some(rows @ Value::Rows(..)) => Ok(rows),
        // A list of numpy's rows answers as a list of lists does.
        Some(Value::Array(array)) => Ok(Value::Array(Array { python: true, ..array })),
        Some(value) => match evaluator.known_items(&value, false, call.at(0))? {
            Some(items) => Ok(Value::List(items.into())),
            None => refused(evaluator, call, "list", Some(value)),
        },
    }
}

fn tuple<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["iterable"])?;
    let Some(value) = value else {
        return Ok(Value::Tuple([].into()));
    };
    match evaluator.known_items(&value, false, call.at(0))? {
        Some(items) => Ok(Value::Tuple(items.into())),
        None => refused(evaluator, call, "tuple", Some(value)),
    }
}

fn dict<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let mut pairs = Vec::new();
    match &call.positional[..] {
        [] => {}
        [(Value::Dict(items), _)] => pairs.extend(items.iter().cloned()),
        [(value, place)] => {
            let Some(items) = evaluator.known_items(value, true, *place)? else {
                return evaluator.fail(*place, "the keys of this dict depend on the request");
            };
            for item in items {
                match evaluator.known_items(&item, true, *place)?.as_deref() {
                    Some([key, value]) => pairs.push((key.clone(), value.clone())),
                    _ => return evaluator.fail(*place, "a dict is made of pairs"),
                }
            }
        }
        _ => return evaluator.fail(call.at(1), "`dict` takes one argument by position"),
    }
    pairs.extend(call.keywords.iter().map(|(name, value, _)| (Value::Text((*name).into()), value.clone())));
    evaluator.dict(pairs, call.place)
}

fn zip<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    if let Some((_, _, place)) = call.keywords.first() {
        return evaluator.fail(*place, "this argument of `zip` is not compiled");
    }
    Ok(Value::Zip(call.positional.iter().map(|(value, _)| value.clone()).collect()))
}

fn enumerate<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value, start] = call.bind(evaluator, ["iterable", "start"])?;
    match (value, start.unwrap_or(Value::Int(0))) {
        (Some(value), Value::Int(start)) if start.unsigned_abs() < 1 << 53 => {
            Ok(Value::Enumerate(Rc::new(value), start))
        }
        (value, _) => refused(evaluator, call, "enumerate", value),
    }
}

fn range<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [start, stop] = call.bind(evaluator, ["start", "stop"])?;
    match (start, stop) {
        (Some(Value::Int(stop)), None) => Ok(Value::Range(0, stop.max(0))),
        (Some(Value::Int(start)), Some(Value::Int(stop))) => Ok(Value::Range(start, stop.max(start))),
        (start, _) => refused(evaluator, call, "range", start),
    }
}

fn len<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["obj"])?;
    let length = match &value {
        Some(Value::List(items) | Value::Tuple(items)) => Some(items.len()),
        Some(Value::Dict(items)) => Some(items.len()),
        Some(Value::Text(text)) => Some(text.chars().count()),
        Some(Value::Range(from, to)) => usize::try_from(to - from).ok(),
        Some(Value::Array(array)) => match array.axes(&evaluator.graph).first() {
            Some(&axis) => match array.extent(&evaluator.graph, axis) {
                (length, false) => Some(length),
                (_, true) => return evaluator.fail(call.place, "the number of rows depends on the request"),
            },
            None => None,
        },
        Some(Value::Rows(..) | Value::Frame(_)) => {
            return evaluator.fail(call.place, "the number of rows depends on the request");
        }
        _ => None,
    };
    match length.and_then(|length| i64::try_from(length).ok()) {
        Some(length) => Ok(Value::Int(length)),
        None => refused(evaluator, call, "len", value),
    }
}

/// `round(number, digits)`: of Python's floats to the nearest decimal number, of numpy's as numpy does it.
fn round<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [number, digits] = call.bind(evaluator, ["number", "ndigits"])?;
    let digits = match digits {
        None | Some(Value::None) => None,
        Some(Value::Int(digits)) if (0..=i64::from(MAX_DIGITS)).contains(&digits) => Some(digits as u8),
        _ => return evaluator.fail(call.place, format!("`round` is compiled to 0 to {MAX_DIGITS} digits")),
    };
    let array = match number {
        Some(number @ Value::Int(_)) => return Ok(number),
        Some(length @ Value::Length(_)) if digits.is_none() => {
            return evaluator.length_of(MeasureKind::Round, &[length], call.place);
        }
        Some(Value::Float(value)) => return Ok(rounded(value, digits)),
        Some(Value::Array(array)) if array.axes(&evaluator.graph).is_empty() => array,
        other => return refused(evaluator, call, "round", other),
    };
    let dtype = array.dtype(&evaluator.graph);
    if dtype.is_integer() && !array.assumed {
        return Ok(Value::Array(array));
    }
    if !dtype.is_float() || array.assumed {
        return evaluator.fail(call.place, "whether this is a float depends on the request. Convert it with `float`");
    }
    match digits {
        Some(digits) if array.python => {
            let tensor = evaluator.cast(array.tensor, DType::F64, call.place)?;
            let added = evaluator.graph.add("round", RoundDecimals { digits }, &[tensor]);
            Ok(Value::Array(array.with_tensor(evaluator.added(added, call.place)?)))
        }
        Some(_) => {
            let places =
                Call { place: call.place, positional: call.positional[1..].to_vec(), keywords: call.keywords.clone() };
            super::numpy::element::round_method(evaluator, &Value::Array(array), &places)
        }
        None => {
            let added = evaluator.graph.add("round", Unary::of(UnaryKind::Round), &[array.tensor]);
            let tensor = evaluator.added(added, call.place)?;
            let tensor = evaluator.cast(tensor, DType::I64, call.place)?;
            Ok(Value::Array(Array { python: true, ..array.with_tensor(tensor) }))
        }
    }
}

/// The items of a list of known length, or the arguments.
fn several<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, name: &str) -> Result<Vec<Value<'a>>, Stop> {
    if let Some((_, _, place)) = call.keywords.first() {
        return evaluator.fail(*place, format!("this argument of `{name}` is not compiled"));
    }
    let items = match &call.positional[..] {
        [(items, place)] => evaluator.known_items(items, true, *place)?,
        several => Some(several.iter().map(|(value, _)| value.clone()).collect()),
    };
    match items.filter(|items| !items.is_empty()) {
        Some(items) => Ok(items),
        None => {
            evaluator.fail(call.place, format!("`{name}` of rows whose number depends on the request is not compiled"))
        }
    }
}

/// `max` and `min`: the first of the items than which no other is greater, or less.
fn extreme<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: CompareKind) -> Evaluated<'a> {
    let name = if kind == CompareKind::Greater { "max" } else { "min" };
    let items = several(evaluator, call, name)?;
    if items.iter().any(|item| matches!(item, Value::Length(_))) {
        let measure = if kind == CompareKind::Greater { MeasureKind::Max } else { MeasureKind::Min };
        return evaluator.length_of(measure, &items, call.place);
    }
    let mut items = items.into_iter();
    let mut best = items.next().unwrap_or(Value::None);
    for item in items {
        let constants = match (&item, &best) {
            (Value::Int(a), Value::Int(b)) => Some((*a as f64, *b as f64)),
            (Value::Float(a), Value::Float(b)) => Some((*a, *b)),
            _ => None,
        };
        best = match constants {
            Some((a, b)) => {
                let replaces = if kind == CompareKind::Greater { a > b } else { a < b };
                if replaces { item } else { best }
            }
            None => {
                let replaces = evaluator.compared(kind, &item, &best, call.place)?;
                evaluator.chosen(&replaces, &item, &best, call.place)?
            }
        };
    }
    Ok(best)
}

/// `sum` of a list of known length, from 0 on.
fn sum<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let mut total = Value::Int(0);
    for item in several(evaluator, call, "sum")? {
        total = evaluator.binary(Operator::Add, total, item, call.place)?;
    }
    Ok(total)
}

/// A constant rounded.
fn rounded<'a>(value: f64, digits: Option<u8>) -> Value<'a> {
    match digits {
        Some(digits) => Value::Float(round_decimals(value, digits)),
        None => Value::Int(value.round_ties_even() as i64),
    }
}

/// `bool(value)`.
fn truth<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    let value = value.unwrap_or(Value::None);
    match value.truth() {
        Some(truth) => Ok(Value::Bool(truth)),
        None => {
            let condition = evaluator.condition_of(&value, call.place)?;
            Ok(Value::Array(Array { python: true, ..condition }))
        }
    }
}

/// The pairs of a dict.
fn pairs<'v, 'a>(value: &'v Value<'a>) -> &'v [(Value<'a>, Value<'a>)] {
    match value {
        Value::Dict(items) => items,
        _ => &[],
    }
}

fn keys<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    Ok(Value::List(pairs(value).iter().map(|(key, _)| key.clone()).collect()))
}

fn values<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    Ok(Value::List(pairs(value).iter().map(|(_, item)| item.clone()).collect()))
}

fn items<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    let tuple = |(key, item): &(Value<'a>, Value<'a>)| Value::Tuple([key.clone(), item.clone()].into());
    Ok(Value::List(pairs(value).iter().map(tuple).collect()))
}

fn get<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [key, default] = call.bind(evaluator, ["key", "default"])?;
    if let (Some(Value::Array(keys)), Value::Dict(items)) = (&key, value) {
        return evaluator.looked_up(items, keys, Some(&default.unwrap_or(Value::None)), call.place);
    }
    if let (Some(Value::Format(pieces)), Value::Dict(items)) = (&key, value) {
        return evaluator.looked_up_written(items, pieces, Some(&default.unwrap_or(Value::None)), call.place);
    }
    let Some(key) = key.filter(|key| matches!(key.kind(), Kind::Constant | Kind::Text)) else {
        return evaluator.fail(call.place, "the key depends on the request");
    };
    let found = pairs(value).iter().find(|(known, _)| known.equals(&key) == Some(true));
    Ok(found.map_or(default.unwrap_or(Value::None), |(_, item)| item.clone()))
}

/// `value.get(key, default)` of an object of the request.
fn json_get<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [key, default] = call.bind(evaluator, ["key", "default"])?;
    let (Value::Json(json), Some(Value::Text(name))) = (value, key) else {
        return evaluator.fail(call.place, "a member of an object is taken by its name");
    };
    let default = match default {
        Some(Value::Int(number)) => number.into(),
        Some(Value::Float(number)) => number.into(),
        Some(Value::Bool(truth)) => truth.into(),
        Some(Value::Text(text)) => serde_json::Value::from(&*text),
        _ => return evaluator.fail(call.place, "`get` is compiled with a number, a truth or a text as the default"),
    };
    evaluator.json_member(json, &name, Some(default), call.place)
}

/// The dict of a pydantic model.
fn model_dump<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    Ok(dumped(value))
}

/// A model and the models in it as dicts.
fn dumped<'a>(value: &Value<'a>) -> Value<'a> {
    match value {
        Value::Record(items) => Value::Dict(items.iter().map(|(key, item)| (key.clone(), dumped(item))).collect()),
        other => other.clone(),
    }
}
