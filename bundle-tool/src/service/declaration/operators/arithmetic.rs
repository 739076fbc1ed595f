//! Numbers: scaling, functions of each element, arithmetic of two values, and one number along an axis.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;

use super::super::super::evaluate::{Array, Evaluated, Evaluator, Place, Stop, Value, floating};
use super::super::document::Data;
use super::super::input::{NUMBERS, dtype};
use super::super::step::{Arguments, stop};
use super::{Operator, of};

pub(super) const OPERATORS: &[Operator] = &[
    Operator::new("scale", &["of", "mean", "std"], scale),
    Operator::new("min_max", &["of", "min", "max"], min_max),
    Operator::new("clip", &["of", "min", "max"], clip),
    Operator::new("round", &["of", "decimals"], |evaluator, arguments| {
        let value = arguments.value(evaluator, "of")?;
        let decimals = arguments.integer(evaluator, "decimals")?.unwrap_or(0);
        arguments.call(evaluator, "numpy.round", vec![value, Value::Int(decimals)], Vec::new())
    }),
    Operator::new("cast", &["of", "dtype"], cast),
];

/// Functions of each element.
pub(super) const ELEMENTS: &[Operator] = &[
    Operator::new("exp", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.exp")),
    Operator::new("expm1", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.expm1")),
    Operator::new("log", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.log")),
    Operator::new("log2", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.log2")),
    Operator::new("log10", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.log10")),
    Operator::new("log1p", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.log1p")),
    Operator::new("sqrt", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.sqrt")),
    Operator::new("square", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.square")),
    Operator::new("abs", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.abs")),
    Operator::new("negative", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.negative")),
    Operator::new("reciprocal", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.reciprocal")),
    Operator::new("floor", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.floor")),
    Operator::new("ceil", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.ceil")),
    Operator::new("sin", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.sin")),
    Operator::new("cos", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.cos")),
    Operator::new("tan", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.tan")),
    Operator::new("tanh", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.tanh")),
    Operator::new("sigmoid", &["of"], |evaluator, arguments| of(evaluator, arguments, "scipy.special.expit")),
    Operator::new("is_missing", &["of"], |evaluator, arguments| of(evaluator, arguments, "pandas.isna")),
    Operator::new("not", &["of"], |evaluator, arguments| of(evaluator, arguments, "numpy.logical_not")),
];

/// Arithmetic and comparisons of two values.
pub(super) const PAIRS: &[Operator] = &[
    Operator::new("add", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.add")),
    Operator::new("subtract", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.subtract")),
    Operator::new("multiply", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.multiply")),
    Operator::new("divide", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.divide")),
    Operator::new("power", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.power")),
    Operator::new("mod", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.mod")),
    Operator::new("minimum", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.minimum")),
    Operator::new("maximum", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.maximum")),
    Operator::new("equal", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.equal")),
    Operator::new("not_equal", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.not_equal")),
    Operator::new("less", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.less")),
    Operator::new("less_equal", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.less_equal")),
    Operator::new("greater", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.greater")),
    Operator::new("greater_equal", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.greater_equal")),
    Operator::new("and", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.logical_and")),
    Operator::new("or", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.logical_or")),
    Operator::new("matmul", PAIR, |evaluator, arguments| pair(evaluator, arguments, "numpy.matmul")),
];

const PAIR: &[&str] = &["of", "with", "value"];

/// One number along an axis.
pub(super) const ALONG: &[Operator] = &[
    Operator::new("sum", AXIS, |evaluator, arguments| along(evaluator, arguments, "numpy.sum")),
    Operator::new("mean", AXIS, |evaluator, arguments| along(evaluator, arguments, "numpy.mean")),
    Operator::new("max", AXIS, |evaluator, arguments| along(evaluator, arguments, "numpy.max")),
    Operator::new("min", AXIS, |evaluator, arguments| along(evaluator, arguments, "numpy.min")),
    Operator::new("std", SPREAD, |evaluator, arguments| along(evaluator, arguments, "numpy.std")),
    Operator::new("var", SPREAD, |evaluator, arguments| along(evaluator, arguments, "numpy.var")),
    Operator::new("norm", AXIS, |evaluator, arguments| along(evaluator, arguments, "numpy.linalg.norm")),
    Operator::new("any", AXIS, |evaluator, arguments| along(evaluator, arguments, "numpy.any")),
    Operator::new("all", AXIS, |evaluator, arguments| along(evaluator, arguments, "numpy.all")),
];

const AXIS: &[&str] = &["of", "axis", "keep"];
const SPREAD: &[&str] = &["of", "axis", "keep", "ddof"];

fn pair<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>, path: &str) -> Evaluated<'a> {
    let of = arguments.needed(evaluator, "of")?;
    let left = match &of.data {
        Data::Text(_) => arguments.reference(evaluator, of)?,
        // One minus a value: the constant comes first.
        _ => of.constant(),
    };
    let (right, _) = arguments.other(evaluator)?;
    arguments.call(evaluator, path, vec![left, right], Vec::new())
}

fn along<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>, path: &str) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let axis = arguments.integer(evaluator, "axis")?.unwrap_or(-1);
    let mut named = vec![("axis", Value::Int(axis))];
    if let Some(keep) = arguments.flag(evaluator, "keep")? {
        named.push(("keepdims", Value::Bool(keep)));
    }
    if let Some(ddof) = arguments.integer(evaluator, "ddof")? {
        named.push(("ddof", Value::Int(ddof)));
    }
    arguments.call(evaluator, path, vec![Value::Array(array)], named)
}

/// Numbers as floats: float32 stays, everything else has 64 bits.
pub(super) fn floats<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    key: &str,
) -> Result<Array, Stop> {
    let array = arguments.array(evaluator, key)?;
    let dtype = array.dtype(&evaluator.graph);
    if matches!(dtype, DType::Category | DType::Text) {
        return evaluator.fail(arguments.at(key), "these are texts, and numbers are needed");
    }
    let tensor = evaluator.cast(array.tensor, floating(dtype), arguments.at(key))?;
    Ok(Array { assumed: false, ..array.with_tensor(tensor) })
}

/// A constant number, or a list of as many as the last axis of `like` has, in its type.
pub(super) fn numbers<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    arguments: &Arguments<'_, 'a>,
    key: &str,
    like: &Array,
) -> Result<Value<'a>, Stop> {
    let item = arguments.needed(evaluator, key)?;
    let place = arguments.at(key);
    let constant = item.constant();
    match &constant {
        Value::Int(_) | Value::Float(_) => {}
        Value::List(items) if items.iter().all(|item| matches!(item, Value::Int(_) | Value::Float(_))) => {
            let axes = like.axes(&evaluator.graph);
            let (length, _) = axes.last().map_or((1, false), |&axis| like.extent(&evaluator.graph, axis));
            if items.len() != length {
                let problem = format!("`{key}` has {} numbers, and the last axis of `of` has {length}", items.len());
                return evaluator.fail(place, problem);
            }
        }
        _ => return evaluator.fail(place, format!("`{key}` is a number or a list of numbers")),
    }
    let array = evaluator.operand(&constant, place)?;
    let tensor = evaluator.cast(array.tensor, like.dtype(&evaluator.graph), place)?;
    Ok(Value::Array(Array { python: false, ..array.with_tensor(tensor) }))
}

/// Two arrays combined in the type of the first.
pub(super) fn combined<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    kind: BinaryKind,
    left: &Array,
    right: &Value<'a>,
    place: Place,
) -> Result<Array, Stop> {
    evaluator.combine(kind, &Value::Array(left.clone()), right, place)
}

/// `(x - mean) / std`.
fn scale<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = floats(evaluator, arguments, "of")?;
    let mean = numbers(evaluator, arguments, "mean", &array)?;
    let deviation = numbers(evaluator, arguments, "std", &array)?;
    let place = arguments.place();
    let centred = combined(evaluator, BinaryKind::Sub, &array, &mean, place)?;
    combined(evaluator, BinaryKind::Div, &centred, &deviation, place).map(Value::Array)
}

/// `(x - min) / (max - min)`.
fn min_max<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = floats(evaluator, arguments, "of")?;
    let low = numbers(evaluator, arguments, "min", &array)?;
    let high = numbers(evaluator, arguments, "max", &array)?;
    let place = arguments.place();
    let above = combined(evaluator, BinaryKind::Sub, &array, &low, place)?;
    let (Value::Array(high), low) = (high, low) else {
        return evaluator.fail(place, "`max` is a number or a list of numbers");
    };
    let range = combined(evaluator, BinaryKind::Sub, &high, &low, place)?;
    combined(evaluator, BinaryKind::Div, &above, &Value::Array(range), place).map(Value::Array)
}

fn clip<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let value = arguments.value(evaluator, "of")?;
    let bound = |key: &str| arguments.constant(key).unwrap_or(Value::None);
    if arguments.item("min").is_none() && arguments.item("max").is_none() {
        return evaluator.fail(arguments.place(), "`clip` needs `min`, `max` or both");
    }
    arguments.call(evaluator, "numpy.clip", vec![value, bound("min"), bound("max")], Vec::new())
}

fn cast<'a>(evaluator: &mut Evaluator<'_, 'a>, arguments: &Arguments<'_, 'a>) -> Evaluated<'a> {
    let array = arguments.array(evaluator, "of")?;
    let item = arguments.needed(evaluator, "dtype")?;
    let known = [&NUMBERS[..], &[DType::Bool]].concat();
    let to = dtype(item, &known).map_err(|fault| stop(evaluator, fault))?;
    if matches!(array.dtype(&evaluator.graph), DType::Category | DType::Text) {
        return evaluator.fail(arguments.at("of"), "texts are not converted to numbers. Use `map` or `vocabulary`");
    }
    let tensor = evaluator.cast(array.tensor, to, arguments.place())?;
    Ok(Value::Array(Array { assumed: false, ..array.with_tensor(tensor) }))
}
