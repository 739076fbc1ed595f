//! PyTorch: tensors, their methods and functions. What numpy computes too is numpy's here, under PyTorch's names of arguments.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::numpy::create::softmax_of;
use super::numpy::{array_of, converted};
use super::{Function, Method, Property};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, Place, Stop, Value};

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("torch.tensor", tensor),
    ("torch.as_tensor", tensor),
    ("torch.Tensor", |evaluator, call| of_type(evaluator, call, "float32")),
    ("torch.FloatTensor", |evaluator, call| of_type(evaluator, call, "float32")),
    ("torch.LongTensor", |evaluator, call| of_type(evaluator, call, "int64")),
    ("torch.from_numpy", from_numpy),
    ("torch.softmax", |evaluator, call| softmax_function(evaluator, call, false)),
    ("torch.nn.functional.softmax", |evaluator, call| softmax_function(evaluator, call, false)),
    ("torch.log_softmax", |evaluator, call| softmax_function(evaluator, call, true)),
    ("torch.nn.functional.log_softmax", |evaluator, call| softmax_function(evaluator, call, true)),
    ("torch.sigmoid", |evaluator, call| each_function(evaluator, call, UnaryKind::Sigmoid)),
    ("torch.relu", |evaluator, call| each_function(evaluator, call, UnaryKind::Relu)),
    ("torch.nn.functional.relu", |evaluator, call| each_function(evaluator, call, UnaryKind::Relu)),
    ("torch.tanh", |evaluator, call| each_function(evaluator, call, UnaryKind::Tanh)),
    ("torch.exp", |evaluator, call| each_function(evaluator, call, UnaryKind::Exp)),
    ("torch.log", |evaluator, call| each_function(evaluator, call, UnaryKind::Log)),
    ("torch.sqrt", |evaluator, call| each_function(evaluator, call, UnaryKind::Sqrt)),
    ("torch.abs", |evaluator, call| each_function(evaluator, call, UnaryKind::Abs)),
    ("torch.argmax", |evaluator, call| numpy_function(evaluator, call, "numpy.argmax")),
    ("torch.argmin", |evaluator, call| numpy_function(evaluator, call, "numpy.argmin")),
    ("torch.sum", |evaluator, call| numpy_function(evaluator, call, "numpy.sum")),
    ("torch.mean", |evaluator, call| on_first(evaluator, call, mean)),
    ("torch.max", |evaluator, call| on_first(evaluator, call, max)),
    ("torch.min", |evaluator, call| on_first(evaluator, call, min)),
    ("torch.squeeze", |evaluator, call| on_first(evaluator, call, squeeze)),
    ("torch.unsqueeze", |evaluator, call| on_first(evaluator, call, unsqueeze)),
    ("torch.flatten", |evaluator, call| on_first(evaluator, call, flatten)),
    ("torch.reshape", |evaluator, call| on_first(evaluator, call, |e, v, c| numpy_method(e, v, c, "reshape"))),
    ("torch.clamp", |evaluator, call| on_first(evaluator, call, |e, v, c| numpy_method(e, v, c, "clip"))),
    ("torch.cat", |evaluator, call| numpy_function(evaluator, call, "numpy.concatenate")),
    ("torch.stack", |evaluator, call| numpy_function(evaluator, call, "numpy.stack")),
    ("torch.where", |evaluator, call| numpy_function(evaluator, call, "numpy.where")),
    ("torch.matmul", |evaluator, call| numpy_function(evaluator, call, "numpy.matmul")),
    ("torch.device", device),
    ("torch.cuda.is_available", |evaluator, call| call.none(evaluator).map(|()| Value::Bool(false))),
    ("torch.set_num_threads", without_effect),
    ("torch.manual_seed", without_effect),
];

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Tensor, "numpy", |_, value, _| Ok(marked(value.clone(), false))),
    (Kind::Tensor, "detach", same),
    (Kind::Tensor, "cpu", same),
    (Kind::Tensor, "clone", same),
    (Kind::Tensor, "contiguous", same),
    (Kind::Tensor, "to", to),
    (Kind::Tensor, "type", to),
    (Kind::Tensor, "float", |evaluator, value, call| typed(evaluator, value, call, "float32")),
    (Kind::Tensor, "double", |evaluator, value, call| typed(evaluator, value, call, "float64")),
    (Kind::Tensor, "long", |evaluator, value, call| typed(evaluator, value, call, "int64")),
    (Kind::Tensor, "int", |evaluator, value, call| typed(evaluator, value, call, "int32")),
    (Kind::Tensor, "tolist", |evaluator, value, call| plain(evaluator, value, call, "tolist")),
    (Kind::Tensor, "item", |evaluator, value, call| plain(evaluator, value, call, "item")),
    (Kind::Tensor, "softmax", |evaluator, value, call| softmax(evaluator, value, call, false)),
    (Kind::Tensor, "log_softmax", |evaluator, value, call| softmax(evaluator, value, call, true)),
    (Kind::Tensor, "sigmoid", |evaluator, value, call| each(evaluator, value, call, UnaryKind::Sigmoid)),
    (Kind::Tensor, "relu", |evaluator, value, call| each(evaluator, value, call, UnaryKind::Relu)),
    (Kind::Tensor, "tanh", |evaluator, value, call| each(evaluator, value, call, UnaryKind::Tanh)),
    (Kind::Tensor, "exp", |evaluator, value, call| each(evaluator, value, call, UnaryKind::Exp)),
    (Kind::Tensor, "log", |evaluator, value, call| each(evaluator, value, call, UnaryKind::Log)),
    (Kind::Tensor, "sqrt", |evaluator, value, call| each(evaluator, value, call, UnaryKind::Sqrt)),
    (Kind::Tensor, "abs", |evaluator, value, call| each(evaluator, value, call, UnaryKind::Abs)),
    (Kind::Tensor, "argmax", |evaluator, value, call| numpy_method(evaluator, value, call, "argmax")),
    (Kind::Tensor, "argmin", |evaluator, value, call| numpy_method(evaluator, value, call, "argmin")),
    (Kind::Tensor, "sum", |evaluator, value, call| numpy_method(evaluator, value, call, "sum")),
    (Kind::Tensor, "mean", mean),
    (Kind::Tensor, "max", max),
    (Kind::Tensor, "min", min),
    (Kind::Tensor, "squeeze", squeeze),
    (Kind::Tensor, "unsqueeze", unsqueeze),
    (Kind::Tensor, "flatten", flatten),
    (Kind::Tensor, "view", |evaluator, value, call| numpy_method(evaluator, value, call, "reshape")),
    (Kind::Tensor, "reshape", |evaluator, value, call| numpy_method(evaluator, value, call, "reshape")),
    (Kind::Tensor, "permute", |evaluator, value, call| numpy_method(evaluator, value, call, "transpose")),
    (Kind::Tensor, "transpose", |evaluator, value, call| numpy_method(evaluator, value, call, "swapaxes")),
    (Kind::Tensor, "clamp", |evaluator, value, call| numpy_method(evaluator, value, call, "clip")),
    (Kind::Tensor, "size", size),
    (Kind::Tensor, "dim", |evaluator, value, call| numpy_property(evaluator, value, "ndim", call.place)),
];

pub(super) const PROPERTIES: &[(Kind, &str, Property)] = &[
    (Kind::Tensor, "shape", |evaluator, value, place| numpy_property(evaluator, value, "shape", place)),
    (Kind::Tensor, "ndim", |evaluator, value, place| numpy_property(evaluator, value, "ndim", place)),
    (Kind::Tensor, "T", |evaluator, value, place| numpy_property(evaluator, value, "T", place)),
    (Kind::Tensor, "data", |_, value, _| Ok(value.clone())),
    (Kind::Tensor, "device", |_, _, _| Ok(Value::Text("cpu".into()))),
    (Kind::List, "values", |evaluator, value, place| part(evaluator, value, 0, place)),
    (Kind::List, "indices", |evaluator, value, place| part(evaluator, value, 1, place)),
];

/// The value with its arrays as PyTorch's, or as numpy's.
fn marked(value: Value<'_>, torch: bool) -> Value<'_> {
    match value {
        Value::Array(array) => Value::Array(Array { torch, python: false, ..array }),
        Value::List(items) => Value::List(items.iter().map(|item| marked(item.clone(), torch)).collect()),
        Value::Tuple(items) => Value::Tuple(items.iter().map(|item| marked(item.clone(), torch)).collect()),
        other => other,
    }
}

/// The call as numpy's functions take it: arrays as numpy's, `dim` as `axis`.
fn numpy_call<'a>(call: &Call<'a>) -> Call<'a> {
    let name = |name: &'a str| match name {
        "dim" => "axis",
        "keepdim" => "keepdims",
        "input" => "a",
        "tensors" => "arrays",
        other => other,
    };
    let argument = |value: &Value<'a>| match value {
        Value::Array(array) if !array.torch => value.clone(),
        value => marked(value.clone(), false),
    };
    Call {
        place: call.place,
        positional: call.positional.iter().map(|(value, place)| (argument(value), *place)).collect(),
        keywords: call
            .keywords
            .iter()
            .map(|(keyword, value, place)| (name(keyword), argument(value), *place))
            .collect(),
    }
}

fn numpy_function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, name: &str) -> Evaluated<'a> {
    match super::function(name) {
        Some(function) => function(evaluator, &numpy_call(call)).map(|value| marked(value, true)),
        None => evaluator.fail(call.place, "this function is not compiled"),
    }
}

fn numpy_method<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    call: &Call<'a>,
    name: &str,
) -> Evaluated<'a> {
    match super::method(Kind::Array, name) {
        Some(method) => {
            method(evaluator, &marked(value.clone(), false), &numpy_call(call)).map(|value| marked(value, true))
        }
        None => evaluator.fail(call.place, "this method is not compiled"),
    }
}

fn numpy_property<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, name: &str, place: Place) -> Evaluated<'a> {
    match super::property(Kind::Array, name) {
        Some(property) => property(evaluator, &marked(value.clone(), false), place).map(|value| marked(value, true)),
        None => evaluator.fail(place, "this attribute is not compiled"),
    }
}

/// A method of numpy's that gives Python's numbers.
fn plain<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>, name: &str) -> Evaluated<'a> {
    match super::method(Kind::Array, name) {
        Some(method) => method(evaluator, &marked(value.clone(), false), call),
        None => evaluator.fail(call.place, "this method is not compiled"),
    }
}

/// A method as a function of its first argument.
fn on_first<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, method: Method) -> Evaluated<'a> {
    match call.positional.split_first() {
        Some(((value @ Value::Array(array), _), rest)) if array.torch => {
            let rest = Call { place: call.place, positional: rest.to_vec(), keywords: call.keywords.clone() };
            method(evaluator, value, &rest)
        }
        _ => evaluator.fail(call.place, "a tensor is needed before the other arguments"),
    }
}

fn receiver<'v>(evaluator: &Evaluator<'_, '_>, value: &'v Value<'_>, place: Place) -> Result<&'v Array, Stop> {
    match value {
        Value::Array(array) => Ok(array),
        other => evaluator.fail(place, format!("{} is no tensor", other.describe())),
    }
}

/// The tensor of numbers or of an array; Python's floats become float32.
fn made<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    to: Option<&Value<'a>>,
    place: Place,
) -> Evaluated<'a> {
    let python = match value {
        Value::Array(array) => array.python,
        _ => true,
    };
    let array = match value {
        Value::Int(_) | Value::Float(_) => evaluator.operand(value, place)?,
        value => array_of(evaluator, value, place)?,
    };
    let float = Value::Text("float32".into());
    let to = match to {
        None | Some(Value::None) if python && array.dtype(&evaluator.graph) == DType::F64 => Some(&float),
        None | Some(Value::None) => None,
        Some(to) => Some(to),
    };
    let array = match to {
        Some(to) => converted(evaluator, &array, to, place)?,
        None => array,
    };
    Ok(marked(Value::Array(array), true))
}

fn tensor<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["data", "dtype", "device", "requires_grad"])? {
        [Some(data), dtype, ..] => made(evaluator, &data, dtype.as_ref(), call.place),
        _ => evaluator.fail(call.place, "a tensor of nothing is not compiled"),
    }
}

fn of_type<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, name: &str) -> Evaluated<'a> {
    match call.bind(evaluator, ["data"])? {
        [Some(data @ (Value::Array(_) | Value::List(_)))] => {
            made(evaluator, &data, Some(&Value::Text(name.into())), call.place)
        }
        _ => evaluator.fail(call.place, "this is compiled of a list or an array only"),
    }
}

fn from_numpy<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["ndarray"])? {
        [Some(Value::Array(array))] if !array.python && !array.torch => Ok(marked(Value::Array(array), true)),
        _ => evaluator.fail(call.place, "`from_numpy` takes an array of numpy"),
    }
}

fn device<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["type"])? {
        [Some(value @ Value::Text(_))] => Ok(value),
        _ => evaluator.fail(call.place, "a device is named by a constant text"),
    }
}

fn without_effect<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.bind(evaluator, ["value"]).map(|_| Value::None)
}

fn same<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator).map(|()| value.clone())
}

/// `x.to(device)`, `x.to(dtype)`.
fn to<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [first, dtype, _] = call.bind(evaluator, ["device", "dtype", "non_blocking"])?;
    let wanted = match (first, dtype) {
        (None | Some(Value::Text(_)), None) => return Ok(value.clone()),
        (Some(path @ Value::Path(_)), None) | (None | Some(Value::Text(_)), Some(path)) => path,
        _ => return evaluator.fail(call.place, "`to` takes a device or a type"),
    };
    let array = receiver(evaluator, value, call.place)?;
    converted(evaluator, array, &wanted, call.place).map(|array| marked(Value::Array(array), true))
}

fn typed<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>, name: &str) -> Evaluated<'a> {
    call.none(evaluator)?;
    let array = receiver(evaluator, value, call.place)?;
    converted(evaluator, array, &Value::Text(name.into()), call.place).map(|array| marked(Value::Array(array), true))
}

fn each<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>, kind: UnaryKind) -> Evaluated<'a> {
    call.none(evaluator)?;
    let array = receiver(evaluator, value, call.place)?;
    if !array.dtype(&evaluator.graph).is_float() {
        return evaluator.fail(call.place, "this is compiled of floats only. Convert with `float()`");
    }
    evaluator.map(array, kind, call.place).map(Value::Array)
}

fn each_function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: UnaryKind) -> Evaluated<'a> {
    match call.bind(evaluator, ["input"])? {
        [Some(value @ Value::Array(_))] => {
            each(evaluator, &value, &Call { place: call.place, positional: Vec::new(), keywords: Vec::new() }, kind)
        }
        _ => evaluator.fail(call.place, "a tensor is needed"),
    }
}

fn softmax<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>, log: bool) -> Evaluated<'a> {
    let name = if call.keywords.iter().any(|(name, ..)| *name == "axis") { "axis" } else { "dim" };
    let [axis] = call.bind(evaluator, [name])?;
    let array = receiver(evaluator, value, call.place)?;
    if axis.is_none() || !array.dtype(&evaluator.graph).is_float() {
        return evaluator.fail(call.place, "softmax is compiled of floats, along a `dim` that is written");
    }
    softmax_of(evaluator, array, axis.as_ref(), log, call.place).map(Value::Array)
}

fn softmax_function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, log: bool) -> Evaluated<'a> {
    on_first(evaluator, call, if log { |e, v, c| softmax(e, v, c, true) } else { |e, v, c| softmax(e, v, c, false) })
}

fn mean<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    if !receiver(evaluator, value, call.place)?.dtype(&evaluator.graph).is_float() {
        return evaluator.fail(call.place, "PyTorch has no mean of integers. Convert with `float()`");
    }
    numpy_method(evaluator, value, call, "mean")
}

fn max<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    extreme(evaluator, value, call, "max", "argmax")
}

fn min<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    extreme(evaluator, value, call, "min", "argmin")
}

/// The extreme of all elements; along a `dim` a pair of values and positions.
fn extreme<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    call: &Call<'a>,
    values: &str,
    positions: &str,
) -> Evaluated<'a> {
    if call.positional.is_empty() && call.keywords.is_empty() {
        return numpy_method(evaluator, value, call, values);
    }
    let [dim] = numpy_call(call).bind(evaluator, ["axis"])?;
    if !matches!(dim, Some(Value::Int(_))) {
        return evaluator.fail(call.place, "this is compiled of one tensor, along one constant `dim`");
    }
    let largest = numpy_method(evaluator, value, call, values)?;
    let places = numpy_method(evaluator, value, call, positions)?;
    Ok(Value::Tuple([largest, places].into()))
}

/// `.values` and `.indices` of what `max(dim)` gives.
fn part<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, at: usize, place: Place) -> Evaluated<'a> {
    match value {
        Value::Tuple(items) if items.len() == 2 && items.iter().all(|item| item.kind() == Kind::Tensor) => {
            Ok(items[at].clone())
        }
        other => evaluator.fail(place, format!("{} has no such attribute", other.describe())),
    }
}

fn squeeze<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [dim] = numpy_call(call).bind(evaluator, ["axis"])?;
    let array = receiver(evaluator, value, call.place)?.clone();
    // PyTorch leaves an axis that is longer than 1.
    if let Some(Value::Int(dim)) = dim {
        let axes = array.axes(&evaluator.graph);
        let at = if dim < 0 { dim + axes.len() as i64 } else { dim };
        let axis = usize::try_from(at).ok().and_then(|at| axes.get(at)).copied();
        if axis.is_some_and(|axis| matches!(array.extent(&evaluator.graph, axis), (2.., false))) {
            return Ok(value.clone());
        }
    }
    numpy_method(evaluator, value, call, "squeeze")
}

fn unsqueeze<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [dim] = numpy_call(call).bind(evaluator, ["axis"])?;
    let Some(dim) = dim else { return evaluator.fail(call.place, "`unsqueeze` needs a `dim`") };
    let positional = vec![(value.clone(), call.place), (dim, call.place)];
    numpy_function(evaluator, &Call { place: call.place, positional, keywords: Vec::new() }, "numpy.expand_dims")
}

/// `x.flatten(1)`: all axes from one on as one.
fn flatten<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let start = match call.bind(evaluator, ["start_dim", "end_dim"])? {
        [None, None | Some(Value::Int(-1))] => 0,
        [Some(Value::Int(start @ 0..)), None | Some(Value::Int(-1))] => start as usize,
        _ => return evaluator.fail(call.place, "`flatten` is compiled from a constant axis to the last"),
    };
    let array = receiver(evaluator, value, call.place)?;
    let extents: Vec<(usize, bool)> =
        array.axes(&evaluator.graph).into_iter().map(|axis| array.extent(&evaluator.graph, axis)).collect();
    let Some((kept, rest)) = extents.split_at_checked(start) else {
        return evaluator.fail(call.place, "this axis is not there");
    };
    let open = kept.iter().any(|(_, batched)| *batched);
    let last = if open { rest.iter().map(|(length, _)| *length as i64).product() } else { -1 };
    let lengths = kept.iter().map(|(length, batched)| if *batched { -1 } else { *length as i64 }).chain([last]);
    let positional = lengths.map(|length| (Value::Int(length), call.place)).collect();
    numpy_method(evaluator, value, &Call { place: call.place, positional, keywords: Vec::new() }, "reshape")
}

fn size<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let shape = numpy_property(evaluator, value, "shape", call.place)?;
    match (call.bind(evaluator, ["dim"])?, shape) {
        ([None], shape) => Ok(shape),
        ([Some(Value::Int(dim))], Value::Tuple(lengths)) => {
            let at = if dim < 0 { dim + lengths.len() as i64 } else { dim };
            match usize::try_from(at).ok().and_then(|at| lengths.get(at)) {
                Some(length) => Ok(length.clone()),
                None => evaluator.fail(call.place, "this axis is not there"),
            }
        }
        _ => evaluator.fail(call.place, "`size` is compiled of a constant axis"),
    }
}

/// The type in which PyTorch computes with two tensors, or a tensor and a number of Python: numbers decide only between integers and floats.
pub(in crate::service) fn result_type(evaluator: &Evaluator<'_, '_>, a: &Array, b: &Array, kind: BinaryKind) -> DType {
    let types = [a, b].map(|array| (array.dtype(&evaluator.graph), array.python));
    let largest = |wanted: fn(DType) -> bool| {
        let fitting = types.into_iter().filter(|(dtype, python)| !python && wanted(*dtype));
        fitting.map(|(dtype, _)| dtype).max_by_key(|dtype| dtype.bits())
    };
    let has_float = types.iter().any(|(dtype, _)| dtype.is_float());
    let float = largest(DType::is_float);
    match (float, has_float || kind == BinaryKind::Div) {
        (Some(float), _) => float,
        (None, true) => DType::F32,
        (None, false) => largest(DType::is_integer).unwrap_or(DType::I64),
    }
}

/// The element type that one of PyTorch's names stands for, as numpy calls it.
pub(super) fn numpy_name(name: &str) -> &str {
    match name {
        "float" => "float32",
        "double" => "float64",
        "half" => "float16",
        "long" => "int64",
        "int" => "int32",
        "short" => "int16",
        other => other,
    }
}
