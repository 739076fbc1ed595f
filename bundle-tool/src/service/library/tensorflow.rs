//! TensorFlow: tensors, which are numpy's arrays here, and functions under TensorFlow's names.

use ekiben_runtime::ops::unary::UnaryKind;

use super::numpy::create::softmax_of;
use super::numpy::{array_of, converted};
use super::{Function, Method};
use crate::service::evaluate::{Call, Evaluated, Evaluator, Kind, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("tensorflow.constant", constant),
    ("tensorflow.convert_to_tensor", constant),
    ("tensorflow.cast", cast),
    ("tensorflow.nn.softmax", softmax),
    ("tensorflow.nn.sigmoid", |evaluator, call| each(evaluator, call, UnaryKind::Sigmoid)),
    ("tensorflow.sigmoid", |evaluator, call| each(evaluator, call, UnaryKind::Sigmoid)),
    ("tensorflow.math.sigmoid", |evaluator, call| each(evaluator, call, UnaryKind::Sigmoid)),
    ("tensorflow.nn.relu", |evaluator, call| each(evaluator, call, UnaryKind::Relu)),
    ("tensorflow.argmax", argmax),
    ("tensorflow.math.argmax", argmax),
    ("tensorflow.reduce_mean", |evaluator, call| as_numpy(evaluator, call, "numpy.mean")),
    ("tensorflow.reduce_max", |evaluator, call| as_numpy(evaluator, call, "numpy.max")),
    ("tensorflow.reduce_min", |evaluator, call| as_numpy(evaluator, call, "numpy.min")),
    ("tensorflow.reduce_sum", |evaluator, call| as_numpy(evaluator, call, "numpy.sum")),
    ("tensorflow.expand_dims", |evaluator, call| as_numpy(evaluator, call, "numpy.expand_dims")),
    ("tensorflow.squeeze", |evaluator, call| as_numpy(evaluator, call, "numpy.squeeze")),
    ("tensorflow.reshape", |evaluator, call| as_numpy(evaluator, call, "numpy.reshape")),
    ("tensorflow.concat", |evaluator, call| as_numpy(evaluator, call, "numpy.concatenate")),
];

/// `x.numpy()`: tensors are numpy's arrays here.
pub(super) const METHODS: &[(Kind, &str, Method)] =
    &[(Kind::Array, "numpy", |evaluator, value, call| call.none(evaluator).map(|()| value.clone()))];

/// A function of numpy's by its full path.
fn as_numpy<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, name: &str) -> Evaluated<'a> {
    let keyword = |name: &'a str| match name {
        "input" | "input_tensor" | "tensor" => "a",
        "values" => "arrays",
        other => other,
    };
    let call = Call {
        place: call.place,
        positional: call.positional.clone(),
        keywords: call.keywords.iter().map(|(name, value, place)| (keyword(name), value.clone(), *place)).collect(),
    };
    match super::function(name) {
        Some(function) => function(evaluator, &call),
        None => evaluator.fail(call.place, "this function is not compiled"),
    }
}

/// `tf.constant(value, dtype)`: Python's floats become float32, its integers int32.
fn constant<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [Some(value), to, ..] = call.bind(evaluator, ["value", "dtype", "name"])? else {
        return evaluator.fail(call.place, "a tensor of nothing is not compiled");
    };
    let python = !matches!(&value, Value::Array(array) if !array.python) && !matches!(value, Value::Frame(_));
    let array = array_of(evaluator, &value, call.place)?;
    let own = if array.dtype(&evaluator.graph).is_float() { "float32" } else { "int32" };
    let to = match to {
        None | Some(Value::None) if python => Value::Text(own.into()),
        None | Some(Value::None) => return Ok(Value::Array(array)),
        Some(to) => to,
    };
    converted(evaluator, &array, &to, call.place).map(Value::Array)
}

fn cast<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["x", "dtype"])? {
        [Some(value), Some(to)] => {
            let array = array_of(evaluator, &value, call.at(0))?;
            converted(evaluator, &array, &to, call.place).map(Value::Array)
        }
        _ => evaluator.fail(call.place, "`cast` takes a tensor and a type"),
    }
}

fn softmax<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["logits", "axis"])? {
        [Some(Value::Array(array)), axis] => {
            let axis = axis.unwrap_or(Value::Int(-1));
            softmax_of(evaluator, &array, Some(&axis), false, call.place).map(Value::Array)
        }
        _ => evaluator.fail(call.place, "a tensor is needed"),
    }
}

fn each<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: UnaryKind) -> Evaluated<'a> {
    match call.bind(evaluator, ["x"])? {
        [Some(Value::Array(array))] if array.dtype(&evaluator.graph).is_float() => {
            evaluator.map(&array, kind, call.place).map(Value::Array)
        }
        _ => evaluator.fail(call.place, "a tensor of floats is needed"),
    }
}

/// `tf.argmax(x, axis)`: along the first axis where none is named, unlike numpy.
fn argmax<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["input", "axis"])? {
        [Some(value), axis] => {
            let positional = vec![(value, call.place), (axis.unwrap_or(Value::Int(0)), call.place)];
            as_numpy(evaluator, &Call { place: call.place, positional, keywords: Vec::new() }, "numpy.argmax")
        }
        _ => evaluator.fail(call.place, "a tensor is needed"),
    }
}
