//! pandas: frames in and out.

use std::rc::Rc;

use ekiben_runtime::DType;

use super::numpy::converted;
use super::numpy::element::{filled, nan, per_array};
use super::{Function, Method, Property};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Frame, Index, Kind, Place, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] =
    &[("pandas.DataFrame", data_frame), ("pandas.core.frame.DataFrame", data_frame)];

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Frame, "to_numpy", to_numpy),
    (Kind::Frame, "astype", astype),
    (Kind::Frame, "copy", copy),
    (Kind::Frame, "to_dict", to_dict),
    // A column is an array here.
    (Kind::Array, "to_numpy", to_numpy),
    (Kind::Array, "to_list", to_list),
    (Kind::Array, "fillna", fill_missing),
    (Kind::Frame, "fillna", fill_missing),
    (Kind::Array, "isna", |evaluator, value, call| missing(evaluator, value, call, true)),
    (Kind::Array, "isnull", |evaluator, value, call| missing(evaluator, value, call, true)),
    (Kind::Array, "notna", |evaluator, value, call| missing(evaluator, value, call, false)),
    (Kind::Array, "notnull", |evaluator, value, call| missing(evaluator, value, call, false)),
    (Kind::Array, "isin", is_in),
    (Kind::Array, "map", map),
];

pub(super) const PROPERTIES: &[(Kind, &str, Property)] =
    &[(Kind::Frame, "values", values), (Kind::Array, "values", values)];

/// The array of a frame or a column.
fn array(evaluator: &mut Evaluator<'_, '_>, value: &Value<'_>, place: Place) -> Result<Array, Stop> {
    match value {
        Value::Frame(frame) => evaluator.frame_array(frame, place),
        Value::Array(array) => Ok(array.clone()),
        other => evaluator.fail(place, format!("{} is no frame", other.describe())),
    }
}

fn values<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    array(evaluator, value, place).map(Value::Array)
}

fn to_numpy<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    // Whether pandas copies does not change the answer.
    let [dtype, _] = call.bind(evaluator, ["dtype", "copy"])?;
    let array = array(evaluator, value, call.place)?;
    match dtype {
        None | Some(Value::None) => Ok(Value::Array(array)),
        Some(dtype) => converted(evaluator, &array, &dtype, call.place).map(Value::Array),
    }
}

fn to_list<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    let array = array(evaluator, value, call.place)?;
    Ok(Value::Array(Array { python: true, ..array }))
}

fn astype<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [dtype, _] = call.bind(evaluator, ["dtype", "copy"])?;
    match (value, dtype) {
        (Value::Frame(frame), Some(dtype)) => {
            let frame = frame.clone();
            evaluator.map_frame(&frame, call.place, |evaluator, array| converted(evaluator, &array, &dtype, call.place))
        }
        _ => evaluator.fail(call.place, "`astype` needs a type"),
    }
}

/// `fillna(number)` of a column or frame, `fillna({column: number})` of a frame.
fn fill_missing<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [with] = call.bind(evaluator, ["value"])?;
    let number = |with: &Value<'a>| matches!(with, Value::Int(_) | Value::Float(_));
    let fill = |evaluator: &mut Evaluator<'_, 'a>, array: Array, with: &Value<'a>| {
        if matches!(array.dtype(&evaluator.graph), DType::Category | DType::Text) {
            return evaluator.fail(call.place, "missing texts are not filled");
        }
        filled(evaluator, &array, with, call.place)
    };
    match (value, with) {
        (Value::Frame(frame), Some(Value::Dict(items))) => {
            let mut columns = Vec::new();
            for (key, with) in items.iter() {
                let Value::Text(name) = key else {
                    return evaluator.fail(call.place, "columns are filled by their names");
                };
                let Value::Array(column) = evaluator.select(frame, key, call.place)? else {
                    return evaluator.fail(call.place, "this column is not there");
                };
                if !number(with) {
                    return evaluator.fail(call.place, "missing numbers are filled with constants");
                }
                columns.push((name.to_string(), fill(evaluator, column, with)?));
            }
            evaluator.with_columns(frame, columns, call.place)
        }
        (value, Some(with)) if number(&with) => {
            per_array(evaluator, value, call.place, |evaluator, array| fill(evaluator, array, &with))
        }
        _ => evaluator.fail(call.place, "missing numbers are filled with a constant, or a dict of them by column"),
    }
}

fn missing<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>, wanted: bool) -> Evaluated<'a> {
    call.none(evaluator)?;
    nan(evaluator, value, wanted, call.place)
}

fn is_in<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [values] = call.bind(evaluator, ["values"])?;
    match values.as_ref().and_then(Value::items) {
        Some(items) => evaluator.any_of(value, items, call.place).map(Value::Array),
        None => evaluator.fail(call.place, "`isin` is compiled with a list of constants"),
    }
}

/// `column.map({key: number})`: NaN for what is no key. Whether all were keys, and so integers stay integers, the request decides.
fn map<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [mapping] = call.bind(evaluator, ["arg"])?;
    let (Value::Array(column), Some(Value::Dict(items))) = (value, mapping) else {
        return evaluator.fail(call.place, "`map` is compiled with a dict of numbers");
    };
    let number = |(key, value): &(Value<'a>, Value<'a>)| match value {
        Value::Int(value) => Some((key.clone(), Value::Float(*value as f64))),
        Value::Float(value) => Some((key.clone(), Value::Float(*value))),
        _ => None,
    };
    let items: Option<Vec<_>> = items.iter().map(number).collect();
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return evaluator.fail(call.place, "`map` is compiled with a dict of numbers");
    };
    match evaluator.looked_up(&items, column, Some(&Value::Float(f64::NAN)), call.place)? {
        Value::Array(array) => Ok(Value::Array(Array { assumed: true, python: false, ..array })),
        other => Ok(other),
    }
}

fn copy<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.bind(evaluator, ["deep"])?;
    match value {
        // Another object, which may be changed alone.
        Value::Frame(frame) => Ok(Value::Frame(Rc::new((**frame).clone()))),
        other => Ok(other.clone()),
    }
}

/// `frame.to_dict("records")` and `frame.to_dict("list")`.
fn to_dict<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [orient] = call.bind(evaluator, ["orient"])?;
    let Value::Frame(frame) = value else {
        return evaluator.fail(call.place, "only a frame is compiled here");
    };
    let columns = columns(evaluator, frame, call.place)?;
    let list = |array: Array| Value::Array(Array { python: true, ..array });
    match orient {
        Some(Value::Text(orient)) if &*orient == "list" => {
            let items = columns.into_iter().map(|(name, array)| (Value::Text(name.into()), list(array)));
            evaluator.dict(items.collect(), call.place)
        }
        Some(Value::Text(orient)) if &*orient == "records" => {
            let Some(axis) = columns.first().and_then(|(_, array)| array.axes(&evaluator.graph).first().copied())
            else {
                return evaluator.fail(call.place, "a frame without columns is not compiled");
            };
            evaluator.loops.push(columns[0].1.extent(&evaluator.graph, axis));
            let id = evaluator.loops.len() - 1;
            let mut items = Vec::new();
            for (name, array) in columns {
                let axis = array.axes(&evaluator.graph).first().copied().unwrap_or(0);
                items.push((Value::Text(name.into()), list(array.with_index(axis, Index::Loop(id)))));
            }
            Ok(Value::Rows(id, Rc::new(evaluator.dict(items, call.place)?)))
        }
        _ => evaluator.fail(call.place, "`to_dict` is compiled with \"records\" or \"list\""),
    }
}

/// The columns of a frame by name.
pub(in crate::service) fn columns(
    evaluator: &mut Evaluator<'_, '_>,
    frame: &Frame,
    place: Place,
) -> Result<Vec<(String, Array)>, Stop> {
    match frame {
        Frame::Columns(columns, input) => {
            evaluator.note_whole_use(*input, place);
            Ok(columns.clone())
        }
        Frame::Table { array, columns, .. } => match columns {
            Some(columns) => Ok(named(array, columns)),
            None => evaluator.fail(place, "the columns of this frame depend on the request"),
        },
    }
}

/// The columns of an array of two axes.
fn named(array: &Array, names: &[String]) -> Vec<(String, Array)> {
    let column = |(at, name): (usize, &String)| (name.clone(), array.with_index(1, Index::At(at as u32)));
    names.iter().enumerate().map(column).collect()
}

fn data_frame<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [data, index, columns] = call.bind(evaluator, ["data", "index", "columns"])?;
    if !matches!(index, None | Some(Value::None)) {
        return evaluator.fail(call.place, "a frame with an index is not compiled");
    }
    let names = match &columns {
        None | Some(Value::None) => None,
        Some(columns) => match columns.texts() {
            Some(names) => Some(names.iter().map(ToString::to_string).collect::<Vec<_>>()),
            None => return evaluator.fail(call.place, "`columns` is compiled only as a list of names"),
        },
    };
    let frame = match (data, names) {
        (Some(Value::Dict(items)), names) => by_name(evaluator, &items, names, call)?,
        (Some(Value::Array(array)), names) if evaluator.open_leaf(&array).is_some() => {
            let leaf = evaluator.open_leaf(&array).unwrap_or_default();
            return evaluator.leaf_frame(leaf, false, names.is_some(), call.place);
        }
        (Some(Value::Array(array)), names) => by_position(evaluator, &array, names, call)?,
        (Some(Value::Rows(id, item)), names) => match &*item {
            Value::Json(json) => match evaluator.json_row_frame(json, names.is_some(), call.place)? {
                Value::Frame(frame) if names.is_some() => return chosen(evaluator, &frame, columns, call),
                frame => return Ok(frame),
            },
            Value::Dict(items) => {
                let free: Vec<_> =
                    items.iter().map(|(key, value)| (key.clone(), value.substitute(id, Index::All))).collect();
                by_name(evaluator, &free, names, call)?
            }
            _ => return evaluator.fail(call.at(0), "a frame is compiled of rows that are dicts"),
        },
        (Some(Value::Frame(frame)), None) => (*frame).clone(),
        (Some(Value::Frame(frame)), Some(_)) => return chosen(evaluator, &frame, columns, call),
        (Some(data @ (Value::Json(_) | Value::List(_))), _) => return of_values(evaluator, &data, columns, call),
        _ => {
            return evaluator
                .fail(call.place, "a frame is compiled of a dict of columns, an array, or rows that are dicts");
        }
    };
    Ok(Value::Frame(Rc::new(frame)))
}

/// The columns of a frame that `columns=[…]` names.
fn chosen<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    frame: &Frame,
    columns: Option<Value<'a>>,
    call: &Call<'a>,
) -> Evaluated<'a> {
    let names = columns.unwrap_or(Value::None);
    evaluator.select(frame, &names, call.place)
}

/// A frame of a value of the request, of a list of one of them, of known dicts, or of known rows.
fn of_values<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    data: &Value<'a>,
    columns: Option<Value<'a>>,
    call: &Call<'a>,
) -> Evaluated<'a> {
    let columns = columns.filter(|columns| !matches!(columns, Value::None));
    let frame = match data {
        Value::Json(json) => evaluator.json_frame(json, columns.is_some(), call.place)?,
        Value::List(items) => match &items[..] {
            [Value::Json(json)] => evaluator.json_row_frame(json, columns.is_some(), call.place)?,
            [Value::Array(array)]
                if evaluator.open_leaf(array).is_some() && array.axes(&evaluator.graph).is_empty() =>
            {
                let leaf = evaluator.open_leaf(array).unwrap_or_default();
                return evaluator.leaf_frame(leaf, true, columns.is_some(), call.place);
            }
            [Value::Dict(first) | Value::Record(first), ..] => {
                let mut found = Vec::new();
                for (key, _) in first.iter() {
                    let cell = |item: &Value<'a>| match item {
                        Value::Dict(items) | Value::Record(items) => items
                            .iter()
                            .find(|(known, _)| known.equals(key) == Some(true))
                            .map(|(_, cell)| cell.clone()),
                        _ => None,
                    };
                    let Some(cells) = items.iter().map(cell).collect::<Option<Vec<_>>>() else {
                        return evaluator.fail(call.at(0), "these rows have different keys");
                    };
                    found.push((key.clone(), Value::List(cells.into())));
                }
                let frame = by_name(evaluator, &found, None, call)?;
                Value::Frame(Rc::new(frame))
            }
            _ => {
                let array = evaluator.operand(data, call.at(0))?;
                let names = columns.as_ref().and_then(Value::texts);
                let names = names.map(|names| names.iter().map(ToString::to_string).collect());
                return by_position(evaluator, &array, names, call).map(|frame| Value::Frame(Rc::new(frame)));
            }
        },
        other => return evaluator.fail(call.at(0), format!("a frame of {} is not compiled", other.describe())),
    };
    match (frame, columns) {
        (Value::Frame(frame), Some(columns)) => chosen(evaluator, &frame, Some(columns), call),
        (frame, _) => Ok(frame),
    }
}

/// A frame of a dict of columns, of those in `names` where it is given.
fn by_name<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    items: &[(Value<'a>, Value<'a>)],
    names: Option<Vec<String>>,
    call: &Call<'a>,
) -> Result<Frame, Stop> {
    let mut found: Vec<(String, Array)> = Vec::new();
    for (key, value) in items {
        let listed = match value {
            Value::List(_) => Value::Array(evaluator.operand(value, call.at(0))?),
            other => other.clone(),
        };
        let (Value::Text(name), Value::Array(array)) = (key, &listed) else {
            let problem = format!("a column called by {}, of {}, is not compiled", key.describe(), value.describe());
            return evaluator.fail(call.at(0), problem);
        };
        let [axis] = array.axes(&evaluator.graph)[..] else {
            return evaluator
                .fail(call.at(0), format!("the column `{name}` is not compiled: it has not one element per row"));
        };
        if let Some((_, first)) = found.first() {
            let other = first.axes(&evaluator.graph).first().map(|&axis| first.extent(&evaluator.graph, axis));
            if other != Some(array.extent(&evaluator.graph, axis)) {
                return evaluator.fail(call.at(0), format!("the column `{name}` has another number of rows"));
            }
        }
        found.push((name.to_string(), array.clone()));
    }
    let Some(names) = names else {
        return Ok(Frame::Columns(found, None));
    };
    let chosen = names.iter().map(|name| found.iter().find(|(known, _)| known == name).cloned());
    match chosen.collect() {
        Some(columns) => Ok(Frame::Columns(columns, None)),
        None => evaluator.fail(call.place, "`columns` names a column that is not there"),
    }
}

/// A frame of an array: `names` are those of the columns, else their numbers.
fn by_position(
    evaluator: &mut Evaluator<'_, '_>,
    array: &Array,
    names: Option<Vec<String>>,
    call: &Call<'_>,
) -> Result<Frame, Stop> {
    let axes = array.axes(&evaluator.graph);
    let width = match axes[..] {
        [_] => 1,
        [_, axis] => array.extent(&evaluator.graph, axis).0,
        _ => return evaluator.fail(call.at(0), "a frame is compiled of an array of one or two axes"),
    };
    let names = names.unwrap_or_else(|| (0..width).map(|at| at.to_string()).collect());
    if names.len() != width {
        return evaluator.fail(call.place, format!("{} names for {width} columns", names.len()));
    }
    let column = |at: usize| axes.get(1).map_or(array.clone(), |&axis| array.with_index(axis, Index::At(at as u32)));
    Ok(Frame::Columns(names.into_iter().enumerate().map(|(at, name)| (name, column(at))).collect(), None))
}
