//! Columns of tables: choosing, filling, texts as numbers.

use std::rc::Rc;

use ekiben_runtime::DType;
use ekiben_runtime::ops::compare::CompareKind;

use super::super::super::evaluate::{Array, Evaluated, Evaluator, Frame, Stop, Value};
use super::super::super::library;
use super::super::document::{Data, Item};
use super::super::input::{NUMBERS, dtype};
use super::super::step::{Arguments, place_of, stop};
use super::Operator;
use super::choice::{constants, dictionary};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("select", &["of", "columns"], select),
    Operator::new("drop", &["of", "columns"], drop_columns),
    Operator::new("rename", &["of", "columns"], rename),
    Operator::new("table", &["columns"], table),
    Operator::new("columns", &["of"], matrix),
    Operator::new("fill_missing", &["of", "value"], fill),
    Operator::new("map", &["of", "mapping", "default"], map),
    Operator::new("vocabulary", &["of", "words", "unknown", "dtype"], vocabulary),
    Operator::new("one_hot", &["of", "categories", "dtype"], one_hot),
];

/// The frame that `of` refers to.
fn frame<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Result<Rc<Frame>, Stop> {
    match arguments.value(evaluator, "of")? {
        Value::Frame(frame) => Ok(frame),
        other => {
            let problem = format!("a table is needed, and this is {}", other.describe());
            evaluator.fail(arguments.at("of"), problem)
        }
    }
}

/// Names that a key lists.
fn names<'a>(evaluator: &Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>, key: &str) -> Result<Vec<Rc<str>>, Stop> {
    let item = arguments.needed(evaluator, key)?;
    let names = item.list().and_then(|items| items.iter().map(|item| item.text().cloned()).collect());
    names.map_err(|fault| stop(evaluator, fault))
}

fn select<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let frame = frame(evaluator, arguments)?;
    let names = names(evaluator, arguments, "columns")?;
    let names = Value::List(names.into_iter().map(Value::Text).collect());
    evaluator.select(&frame, &names, arguments.at("columns"))
}

fn drop_columns<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let frame = frame(evaluator, arguments)?;
    let dropped = names(evaluator, arguments, "columns")?;
    let place = arguments.at("columns");
    let columns = library::columns(evaluator, &frame, place)?;
    let known: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(name) = dropped.iter().find(|name| !known.contains(&&***name)) {
        let problem = format!("there is no column `{name}`; the table has {}", known.join(", "));
        return evaluator.fail(place, problem);
    }
    let kept = known.iter().filter(|name| dropped.iter().all(|dropped| **dropped != ***name));
    let kept = Value::List(kept.map(|name| Value::Text((*name).into())).collect());
    evaluator.select(&frame, &kept, place)
}

/// `columns = { old = "new" }`.
fn rename<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let frame = frame(evaluator, arguments)?;
    let item = arguments.needed(evaluator, "columns")?;
    let changes = item.table().map_err(|fault| stop(evaluator, fault))?;
    let mut columns = library::columns(evaluator, &frame, arguments.place())?;
    for entry in &changes.entries {
        let to = entry.item.text().map_err(|fault| stop(evaluator, fault))?;
        let known: Vec<String> = columns.iter().map(|(name, _)| name.clone()).collect();
        match columns.iter_mut().find(|(name, _)| **name == *entry.key) {
            Some((name, _)) => *name = to.to_string(),
            None => {
                let problem = format!("there is no column `{}`; the table has {}", entry.key, known.join(", "));
                return evaluator.fail(place_of(&entry.item), problem);
            }
        }
    }
    Ok(Value::Frame(Rc::new(Frame::Columns(columns, None))))
}

/// `columns = { name = "value" }`: a table of values with one element for each row.
fn table<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let item = arguments.needed(evaluator, "columns")?;
    let declared = item.table().map_err(|fault| stop(evaluator, fault))?;
    let mut columns = Vec::new();
    for entry in &declared.entries {
        let value = arguments.reference(evaluator, &entry.item)?;
        let mut array = evaluator.operand(&value, place_of(&entry.item))?;
        if array.axes(&evaluator.graph).is_empty() {
            array = evaluator.led(&array, arguments.place())?;
            array = library::with_new_axis(evaluator, &array, 0, arguments.place())?;
        }
        columns.push((Value::Text(entry.key.clone()), Value::Array(array)));
    }
    arguments.call(evaluator, "pandas.DataFrame", vec![Value::Dict(columns.into())], Vec::new())
}

/// Columns, numbers and matrices side by side.
fn matrix<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let place = arguments.place();
    let mut parts = Vec::new();
    for value in arguments.values(evaluator, "of")? {
        let array = evaluator.operand(&value, place)?;
        let mut array = evaluator.led(&array, place)?;
        if array.axes(&evaluator.graph).is_empty() {
            array = library::with_new_axis(evaluator, &array, 0, place)?;
        }
        parts.push(Value::Array(array));
    }
    arguments.call(evaluator, "numpy.column_stack", vec![Value::List(parts.into())], Vec::new())
}

fn fill<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let value = arguments.value(evaluator, "of")?;
    let with = arguments.needed(evaluator, "value")?.constant();
    arguments.method(evaluator, &value, "fillna", vec![with])
}

/// The column of texts or integers that `of` refers to.
fn column<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Result<Array, Stop> {
    match arguments.value(evaluator, "of")? {
        Value::Array(array) => Ok(array),
        Value::Json(json) => evaluator.settle_number(&json, arguments.at("of")),
        other => {
            let problem = format!("a column is needed (`table.column`), and this is {}", other.describe());
            evaluator.fail(arguments.at("of"), problem)
        }
    }
}

/// A number for each text or integer.
fn map<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let column = column(evaluator, arguments)?;
    let mapping = arguments.needed(evaluator, "mapping")?;
    let mut items = dictionary(evaluator, arguments, mapping)?;
    if column.dtype(&evaluator.graph) != DType::Category && !column.assumed {
        items = items.into_iter().map(|(key, value)| (number_key(key), value)).collect();
    }
    let default = match arguments.constant("default") {
        Some(value) => value,
        None if items.iter().all(|(_, value)| matches!(value, Value::Text(_))) => Value::Text("".into()),
        None => Value::Float(f64::NAN),
    };
    let is_float = |value: &Value<'_>| matches!(value, Value::Float(_));
    if is_float(&default) || items.iter().any(|(_, value)| is_float(value)) {
        items = items.into_iter().map(|(key, value)| (key, float(value))).collect();
        return evaluator.looked_up(&items, &column, Some(&float(default)), arguments.place());
    }
    evaluator.looked_up(&items, &column, Some(&default), arguments.place())
}

fn float(value: Value<'_>) -> Value<'_> {
    match value {
        Value::Int(value) => Value::Float(value as f64),
        other => other,
    }
}

/// A key of a table, which TOML writes as a text, as the integer that it spells.
fn number_key(key: Value<'_>) -> Value<'_> {
    match &key {
        Value::Text(text) => text.parse().map_or(key.clone(), Value::Int),
        _ => key,
    }
}

/// Positions of texts in a list of words.
fn vocabulary<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let column = column(evaluator, arguments)?;
    let item = arguments.needed(evaluator, "words")?;
    let items: Vec<(Value<'a>, Value<'a>)> = match &item.data {
        Data::List(_) | Data::Text(_) => {
            let words = constants(evaluator, arguments, item)?;
            (0i32..).zip(words).map(|(at, word)| (word, Value::Float(f64::from(at)))).collect()
        }
        _ => dictionary(evaluator, arguments, item)?.into_iter().map(|(key, value)| (key, float(value))).collect(),
    };
    let unknown = arguments.number(evaluator, "unknown")?.unwrap_or(0.0);
    let found = evaluator.looked_up(&items, &column, Some(&Value::Float(unknown)), arguments.place())?;
    let to = arguments.item("dtype").map_or(Ok(DType::I64), |item| dtype(item, &NUMBERS));
    let to = to.map_err(|fault| stop(evaluator, fault))?;
    converted(evaluator, found, to, arguments)
}

fn converted<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: Value<'a>,
    to: DType,
    arguments: &Arguments<'_, 'a>,
) -> Evaluated<'a> {
    let array = evaluator.operand(&value, arguments.place())?;
    let tensor = evaluator.cast(array.tensor, to, arguments.place())?;
    Ok(Value::Array(Array { assumed: false, python: false, ..array.with_tensor(tensor) }))
}

/// One column for each category: 1 where it is the row's, else 0.
fn one_hot<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let column = column(evaluator, arguments)?;
    let item = arguments.needed(evaluator, "categories")?;
    let categories = constants(evaluator, arguments, item)?;
    let to = arguments.item("dtype").map_or(Ok(DType::F64), |item: &Item| dtype(item, &NUMBERS));
    let to = to.map_err(|fault| stop(evaluator, fault))?;
    if categories.is_empty() {
        return evaluator.fail(arguments.at("categories"), "`one_hot` needs one category at least");
    }
    let place = arguments.place();
    let mut columns = Vec::new();
    for category in &categories {
        let is = evaluator.compared(CompareKind::Equal, &Value::Array(column.clone()), category, place)?;
        let tensor = evaluator.cast(is.tensor, to, place)?;
        columns.push(Value::Array(Array { python: false, ..is.with_tensor(tensor) }));
    }
    let rank = column.axes(&evaluator.graph).len() as i64;
    arguments.call(evaluator, "numpy.stack", vec![Value::List(columns.into())], vec![("axis", Value::Int(rank))])
}
