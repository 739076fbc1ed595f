//! Axes: reshaping, transposing, joining, taking parts.

use super::super::super::evaluate::{Evaluated, Evaluator, Stop, Value};
use super::super::document::Data;
use super::super::step::{Arguments, place_of};
use super::{Operator, of};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("reshape", &["of", "shape"], reshape),
    Operator::new("flatten", &["of"], flatten),
    Operator::new("transpose", &["of", "axes"], transpose),
    Operator::new("expand_dims", &["of", "axis"], |evaluator, arguments| {
        let array = arguments.array(evaluator, "of")?;
        let axis = arguments.integer(evaluator, "axis")?.unwrap_or(0);
        arguments.call(evaluator, "numpy.expand_dims", vec![Value::Array(array), Value::Int(axis)], Vec::new())
    }),
    Operator::new("squeeze", &["of", "axis"], |evaluator, arguments| {
        let array = arguments.array(evaluator, "of")?;
        let axis = arguments.integer(evaluator, "axis")?.map_or(Value::None, Value::Int);
        arguments.call(evaluator, "numpy.squeeze", vec![Value::Array(array), axis], Vec::new())
    }),
    Operator::new("concat", &["of", "axis"], |evaluator, arguments| joined(evaluator, arguments, "numpy.concatenate")),
    Operator::new("stack", &["of", "axis"], |evaluator, arguments| joined(evaluator, arguments, "numpy.stack")),
    Operator::new("slice", &["of", "axis", "start", "stop", "step"], slice),
    Operator::new("pick", &["of", "axis", "at"], pick),
    Operator::new("sort", &["of", "axis"], |evaluator, arguments| sorted(evaluator, arguments, "numpy.sort")),
    Operator::new("argsort", &["of", "axis"], |evaluator, arguments| sorted(evaluator, arguments, "numpy.argsort")),
    Operator::new("values", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.asarray")),
];

/// Integers that a key lists; the text `"N"` among them is the rows of the request.
fn integers<'a>(
    evaluator: &Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    key: &str,
) -> Result<Vec<Value<'a>>, Stop> {
    let item = arguments.needed(evaluator, key)?;
    let integer = |item: &super::super::document::Item| match &item.data {
        Data::Int(integer) => Some(Value::Int(*integer)),
        Data::Text(name) if **name == *"N" => Some(Value::Int(-1)),
        _ => None,
    };
    let listed = match &item.data {
        Data::List(items) => items.iter().map(integer).collect(),
        _ => None,
    };
    match listed {
        Some(listed) => Ok(listed),
        None => evaluator.fail(place_of(item), format!("`{key}` is a list of integers")),
    }
}

fn reshape<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let shape = integers(evaluator, arguments, "shape")?;
    arguments.call(evaluator, "numpy.reshape", vec![Value::Array(array), Value::Tuple(shape.into())], Vec::new())
}

/// All axes but the rows as one.
fn flatten<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let axes = array.axes(&evaluator.graph);
    let lengths: Vec<(usize, bool)> = axes.iter().map(|&axis| array.extent(&evaluator.graph, axis)).collect();
    let shape = match lengths[..] {
        [(_, true), ..] => {
            let rest: usize = lengths.iter().skip(1).map(|(length, _)| length).product();
            vec![Value::Int(-1), Value::Int(rest as i64)]
        }
        _ => vec![Value::Int(-1)],
    };
    arguments.call(evaluator, "numpy.reshape", vec![Value::Array(array), Value::Tuple(shape.into())], Vec::new())
}

fn transpose<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let mut given = vec![Value::Array(array)];
    if arguments.item("axes").is_some() {
        given.push(Value::Tuple(integers(evaluator, arguments, "axes")?.into()));
    }
    arguments.call(evaluator, "numpy.transpose", given, Vec::new())
}

fn joined<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>, path: &str) -> Evaluated<'a> {
    let mut parts = Vec::new();
    for value in arguments.values(evaluator, "of")? {
        let array = evaluator.operand(&value, arguments.at("of"))?;
        parts.push(Value::Array(evaluator.led(&array, arguments.at("of"))?));
    }
    let axis = arguments.integer(evaluator, "axis")?.unwrap_or(-1);
    let rank = match &parts[..] {
        [Value::Array(first), ..] => first.axes(&evaluator.graph).len() as i64 + i64::from(path == "numpy.stack"),
        _ => return evaluator.fail(arguments.at("of"), "there is nothing to put together"),
    };
    let axis = if axis < 0 { axis + rank } else { axis };
    arguments.call(evaluator, path, vec![Value::List(parts.into())], vec![("axis", Value::Int(axis))])
}

/// Subscripts of all axes before `axis`.
fn whole_before<'a>(axis: usize) -> Vec<Value<'a>> {
    vec![Value::Slice(None, None, 1); axis]
}

fn slice<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let axis = arguments.axis(evaluator, "axis", array.axes(&evaluator.graph).len(), -1)?;
    let [start, stop, step] = ["start", "stop", "step"].map(|key| arguments.integer(evaluator, key));
    let mut indices = whole_before(axis);
    indices.push(Value::Slice(start?, stop?, step?.unwrap_or(1)));
    evaluator.part(&array, &indices, arguments.place())
}

fn pick<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let axis = arguments.axis(evaluator, "axis", array.axes(&evaluator.graph).len(), -1)?;
    let item = arguments.needed(evaluator, "at")?;
    let mut indices = whole_before(axis);
    indices.push(match &item.data {
        Data::Int(at) => Value::Int(*at),
        _ => Value::List(integers(evaluator, arguments, "at")?.into()),
    });
    let part = evaluator.part(&array, &indices, place_of(item))?;
    match part {
        Value::Array(part) => evaluator.led(&part, place_of(item)).map(Value::Array),
        other => Ok(other),
    }
}

fn sorted<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>, path: &str) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let axis = arguments.integer(evaluator, "axis")?.unwrap_or(-1);
    arguments.call(evaluator, path, vec![Value::Array(array)], vec![("axis", Value::Int(axis))])
}
