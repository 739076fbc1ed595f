//! Names of a declared API and the values that they stand for.

use std::rc::Rc;

use super::super::evaluate::{Array, Evaluated, Evaluator, Index, LoopId, Place, Stop, Value};

/// The inputs and the results of steps, in order.
#[derive(Default)]
pub(super) struct Scope<'a> {
    values: Vec<(Rc<str>, Value<'a>)>,
    /// Loops over the rows of inputs that are lists of objects: here each of their values is of all rows.
    loops: Vec<LoopId>,
}

impl<'a> Scope<'a> {
    /// Adds an input.
    pub(super) fn add_input(&mut self, name: &str, value: Value<'a>) {
        let value = match value {
            Value::Rows(id, item) => {
                self.loops.push(id);
                (*item).clone()
            }
            other => other,
        };
        let value = self.plain(value);
        self.values.push((name.into(), value));
    }

    /// Adds the result of a step; false where the name is there already.
    pub(super) fn add(&mut self, name: &Rc<str>, value: Value<'a>) -> bool {
        let free = self.values.iter().all(|(known, _)| known != name);
        let value = self.plain(value);
        self.values.push((name.clone(), value));
        free
    }

    /// All names, for messages.
    fn names(&self) -> String {
        self.values.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(", ")
    }

    /// What `reference` stands for: a name, with a dot before each part of it.
    pub(super) fn find(&self, evaluator: &mut Evaluator<'_, 'a>, reference: &str, place: Place) -> Evaluated<'a> {
        let (name, path) = match reference.split_once('.') {
            Some((name, path)) => (name, Some(path)),
            None => (reference, None),
        };
        let Some((_, value)) = self.values.iter().rev().find(|(known, _)| **known == *name) else {
            return evaluator.fail(place, format!("there is no value `{name}` here; there are {}", self.names()));
        };
        let mut value = value.clone();
        let mut rest = path;
        while let Some(path) = rest {
            (value, rest) = part(evaluator, &value, path, place)?;
            value = self.plain(value);
        }
        Ok(value)
    }

    /// A value without Python's difference between lists and arrays, and of all rows.
    fn plain(&self, value: Value<'a>) -> Value<'a> {
        let mut value = value;
        if !matches!(value, Value::Json(_)) {
            for &id in &self.loops {
                value = value.substitute(id, Index::All);
            }
        }
        numpy(value)
    }
}

/// Arrays of a value as numpy's.
fn numpy(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Array(array) => Value::Array(Array { python: false, torch: false, ..array }),
        Value::Dict(items) => Value::Dict(members(&items)),
        Value::Record(items) => Value::Record(members(&items)),
        Value::List(items) | Value::Tuple(items) => Value::List(items.iter().map(|item| numpy(item.clone())).collect()),
        other => other,
    }
}

fn members<'a>(items: &[(Value<'a>, Value<'a>)]) -> Rc<[(Value<'a>, Value<'a>)]> {
    items.iter().map(|(key, value)| (key.clone(), numpy(value.clone()))).collect()
}

/// The part of a value at the beginning of `path`, and what is left of the path. A name may have dots in it.
fn part<'a, 'p>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    path: &'p str,
    place: Place,
) -> Result<(Value<'a>, Option<&'p str>), Stop> {
    let (first, rest) = match path.split_once('.') {
        Some((first, rest)) => (first, Some(rest)),
        None => (path, None),
    };
    match value {
        Value::Frame(frame) => {
            let column = evaluator.select(&frame.clone(), &Value::Text(path.into()), place)?;
            Ok((column, None))
        }
        Value::Dict(items) | Value::Record(items) => {
            let find = |name: &str| {
                let found = items.iter().find(|(key, _)| matches!(key, Value::Text(key) if **key == *name));
                found.map(|(_, value)| value.clone())
            };
            if let Some(value) = find(path) {
                return Ok((value, None));
            }
            if let Some(value) = find(first) {
                return Ok((value, rest));
            }
            let known: Vec<String> = items.iter().filter_map(|(key, _)| key_name(key)).collect();
            evaluator.fail(place, format!("there is no part `{first}` of this value; it has {}", known.join(", ")))
        }
        Value::List(items) | Value::Tuple(items) => match first.parse().ok().and_then(|at: usize| items.get(at)) {
            Some(item) => Ok((item.clone(), rest)),
            None => evaluator.fail(place, format!("there is no part `{first}` among {}, from 0 on", items.len())),
        },
        Value::Json(json) => Ok((evaluator.json_member(&json.clone(), &first.into(), None, place)?, rest)),
        Value::Array(array) if first.bytes().all(|letter| letter.is_ascii_digit()) => {
            position(evaluator, array, first, place).map(|part| (part, rest))
        }
        Value::Array(array) => match evaluator.open_leaf(array) {
            Some(leaf) => evaluator.settle_object(leaf, &first.into(), place),
            None => evaluator.fail(place, format!("this value has no part `{first}`: it is an array")),
        },
        other => evaluator.fail(place, format!("this value has no part `{first}`: it is {}", other.describe())),
    }
}

/// The part of an array at a position of its first axis that is not the rows of the request.
fn position<'a>(evaluator: &mut Evaluator<'_, 'a>, array: &Array, at: &str, place: Place) -> Evaluated<'a> {
    let axes = array.axes(&evaluator.graph);
    let own = axes.into_iter().find(|&axis| !array.extent(&evaluator.graph, axis).1);
    let length = own.map_or(0, |axis| array.extent(&evaluator.graph, axis).0);
    match (own, at.parse::<u32>()) {
        (Some(axis), Ok(at)) if (at as usize) < length => Ok(Value::Array(array.with_index(axis, Index::At(at)))),
        _ => evaluator.fail(place, format!("there is no position {at} among {length}, from 0 on")),
    }
}

fn key_name(key: &Value<'_>) -> Option<String> {
    match key {
        Value::Text(text) => Some(text.to_string()),
        Value::Int(value) => Some(value.to_string()),
        _ => None,
    }
}
