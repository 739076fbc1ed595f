//! numpy: arrays, their types, and functions of each element.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::storage_cast::is_stored_only;
use ekiben_runtime::ops::unary::UnaryKind;

use super::{Function, Method, Property};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Index, Kind, Place, Stop, Value, floating};
use ekiben_runtime::ops::arg_reduce::ArgReduce;

pub(super) const CONSTANTS: &[(&str, f64)] = &[
    ("numpy.pi", std::f64::consts::PI),
    ("numpy.e", std::f64::consts::E),
    ("numpy.nan", f64::NAN),
    ("numpy.NaN", f64::NAN),
    ("numpy.NAN", f64::NAN),
    ("numpy.inf", f64::INFINITY),
    ("math.nan", f64::NAN),
    ("math.inf", f64::INFINITY),
    ("math.pi", std::f64::consts::PI),
    ("math.e", std::f64::consts::E),
];

pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("numpy.array", array),
    ("numpy.asarray", array),
    ("numpy.ascontiguousarray", array),
    ("numpy.float32", |evaluator, call| scalar(evaluator, call, DType::F32)),
    ("numpy.float64", |evaluator, call| scalar(evaluator, call, DType::F64)),
    ("numpy.int64", |evaluator, call| scalar(evaluator, call, DType::I64)),
    ("numpy.exp", |evaluator, call| each(evaluator, call, UnaryKind::Exp)),
    ("numpy.expm1", |evaluator, call| each(evaluator, call, UnaryKind::Expm1)),
    ("numpy.log", |evaluator, call| each(evaluator, call, UnaryKind::Log)),
    ("numpy.log1p", |evaluator, call| each(evaluator, call, UnaryKind::Log1p)),
    ("numpy.sqrt", |evaluator, call| each(evaluator, call, UnaryKind::Sqrt)),
    ("numpy.tanh", |evaluator, call| each(evaluator, call, UnaryKind::Tanh)),
    ("numpy.sin", |evaluator, call| each(evaluator, call, UnaryKind::Sin)),
    ("numpy.cos", |evaluator, call| each(evaluator, call, UnaryKind::Cos)),
    ("numpy.minimum", |evaluator, call| pair(evaluator, call, BinaryKind::Min)),
    ("numpy.maximum", |evaluator, call| pair(evaluator, call, BinaryKind::Max)),
    ("numpy.clip", clip),
    ("numpy.argmax", |evaluator, call| arg_function(evaluator, call, false)),
    ("numpy.argmin", |evaluator, call| arg_function(evaluator, call, true)),
];

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Array, "astype", astype),
    (Kind::Array, "tolist", tolist),
    (Kind::Array, "item", item),
    (Kind::Array, "copy", copy),
    (Kind::Array, "clip", clip_method),
    (Kind::Array, "argmax", |evaluator, value, call| arg_method(evaluator, value, call, false)),
    (Kind::Array, "argmin", |evaluator, value, call| arg_method(evaluator, value, call, true)),
];

pub(super) const PROPERTIES: &[(Kind, &str, Property)] = &[(Kind::Array, "ndim", ndim), (Kind::Array, "shape", shape)];

/// The element type that a `dtype` argument names.
pub(super) fn dtype<'a>(evaluator: &Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Result<DType, Stop> {
    let name = match value {
        Value::Text(text) => text.to_string(),
        Value::Path(path) => match path.strip_prefix("numpy.").or(path.strip_prefix("builtins.")) {
            Some(name) => name.to_owned(),
            None => return evaluator.fail(place, format!("`{path}` is not known as the type of an array")),
        },
        other => return evaluator.fail(place, format!("{} is not known as the type of an array", other.describe())),
    };
    let full = match name.trim_start_matches(['<', '=']) {
        "float" | "double" | "float_" | "f8" | "d" => "float64",
        "single" | "f4" | "f" => "float32",
        "half" | "f2" | "e" => "float16",
        "int" | "int_" | "i8" | "l" => "int64",
        "i4" | "i" | "intc" => "int32",
        "i2" | "h" => "int16",
        "i1" | "b" | "byte" => "int8",
        "u1" | "B" | "ubyte" => "uint8",
        "bool_" | "?" => "bool",
        other => other,
    };
    let known = DType::from_name(full).filter(|dtype| dtype.is_float() || dtype.is_integer() || *dtype == DType::Bool);
    match known.filter(|&dtype| dtype != DType::BF16 && !is_stored_only(dtype)) {
        Some(dtype) => Ok(dtype),
        None => evaluator.fail(place, format!("the array type `{name}` is not compiled")),
    }
}

/// An array with elements of another type.
pub(super) fn converted<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    array: &Array,
    to: &Value<'a>,
    place: Place,
) -> Result<Array, Stop> {
    let to = dtype(evaluator, to, place)?;
    if matches!(array.dtype(&evaluator.graph), DType::Category | DType::Text) {
        return evaluator.fail(place, "texts are not converted to numbers");
    }
    let tensor = evaluator.cast(array.tensor, to, place)?;
    Ok(Array { python: false, assumed: false, ..array.with_tensor(tensor) })
}

/// The array that numpy makes of a value.
fn array_of<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Result<Array, Stop> {
    match value {
        Value::Array(array) => {
            let array = evaluator.widened(array, place)?;
            Ok(Array { python: false, ..array })
        }
        Value::Frame(frame) => evaluator.frame_array(frame, place),
        other => evaluator.fail(place, format!("an array of {} is not compiled", other.describe())),
    }
}

fn array<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value, dtype] = call.bind(evaluator, ["a", "dtype"])?;
    let Some(value) = value else {
        return evaluator.fail(call.place, "an array of nothing is not compiled");
    };
    let array = array_of(evaluator, &value, call.at(0))?;
    match dtype {
        None | Some(Value::None) => Ok(Value::Array(array)),
        Some(dtype) => converted(evaluator, &array, &dtype, call.place).map(Value::Array),
    }
}

/// `numpy.float32(x)` and the like.
fn scalar<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, to: DType) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    match value {
        Some(Value::Array(array)) => {
            let tensor = evaluator.cast(array.tensor, to, call.place)?;
            Ok(Value::Array(Array { python: false, assumed: false, ..array.with_tensor(tensor) }))
        }
        _ => evaluator.fail(call.place, "a numpy number is compiled only of an array. Write the number itself"),
    }
}

/// A function of each element, in floats.
fn each<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: UnaryKind) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    match value {
        Some(Value::Frame(frame)) => evaluator
            .map_frame(&frame, call.place, |evaluator, array| element_wise(evaluator, &array, kind, call.place)),
        Some(Value::Array(array)) => element_wise(evaluator, &array, kind, call.place).map(Value::Array),
        _ => evaluator.fail(call.place, "this function is compiled only of arrays and frames"),
    }
}

fn element_wise(
    evaluator: &mut Evaluator<'_, '_>,
    array: &Array,
    kind: UnaryKind,
    place: Place,
) -> Result<Array, Stop> {
    let array = evaluator.computed(array, place)?;
    let to = floating(array.dtype(&evaluator.graph));
    let tensor = evaluator.cast(array.tensor, to, place)?;
    evaluator.map(&Array { python: false, ..array.with_tensor(tensor) }, kind, place)
}

fn pair<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: BinaryKind) -> Evaluated<'a> {
    match call.bind(evaluator, ["x1", "x2"])? {
        [Some(left), Some(right)] => evaluator.combine(kind, &left, &right, call.place).map(Value::Array),
        _ => evaluator.fail(call.place, "two arguments are needed"),
    }
}

fn clip<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["a", "a_min", "a_max"])? {
        [Some(value), low, high] => clipped(evaluator, value, low, high, call),
        _ => evaluator.fail(call.place, "`clip` needs an array"),
    }
}

fn clip_method<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [low, high] = call.bind(evaluator, ["min", "max"])?;
    clipped(evaluator, value.clone(), low, high, call)
}

fn clipped<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    mut value: Value<'a>,
    low: Option<Value<'a>>,
    high: Option<Value<'a>>,
    call: &Call<'a>,
) -> Evaluated<'a> {
    for (kind, bound) in [(BinaryKind::Max, low), (BinaryKind::Min, high)] {
        match bound {
            None | Some(Value::None) => {}
            Some(bound) => value = evaluator.combine(kind, &value, &bound, call.place).map(Value::Array)?,
        }
    }
    Ok(value)
}

fn arg_function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, smallest: bool) -> Evaluated<'a> {
    match call.bind(evaluator, ["a", "axis"])? {
        [Some(value), axis] => arg(evaluator, &value, axis, smallest, call),
        _ => evaluator.fail(call.place, "an array is needed"),
    }
}

fn arg_method<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    call: &Call<'a>,
    smallest: bool,
) -> Evaluated<'a> {
    let [axis] = call.bind(evaluator, ["axis"])?;
    arg(evaluator, value, axis, smallest, call)
}

/// Positions of the largest or smallest elements along an axis: numpy's integers have 64 bits, and the first of equals counts.
fn arg<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    axis: Option<Value<'a>>,
    smallest: bool,
    call: &Call<'a>,
) -> Evaluated<'a> {
    let array = array_of(evaluator, value, call.place)?;
    let axes = array.axes(&evaluator.graph);
    let chosen = match axis {
        // Without an axis numpy flattens, which one axis is already.
        None | Some(Value::None) if axes.len() == 1 => axes.first(),
        Some(Value::Int(axis)) => {
            let counted = if axis < 0 { axis + axes.len() as i64 } else { axis };
            usize::try_from(counted).ok().and_then(|axis| axes.get(axis))
        }
        _ => None,
    };
    let Some(&axis) = chosen else {
        return evaluator.fail(call.place, "this is compiled along one axis that is there. Write `axis=1`");
    };
    if array.indices.get(axis + 1..).is_some_and(|rest| rest.iter().any(|index| *index != Index::All)) {
        return evaluator.fail(call.place, "this is not compiled of a part of an array");
    }
    let Ok(axis) = u8::try_from(axis) else {
        return evaluator.fail(call.place, "this axis is not compiled");
    };
    let op = ArgReduce { axis, smallest, last: false, keep: false, wide: true };
    let added = evaluator.graph.add("argmax", op, &[array.tensor]);
    let tensor = evaluator.added(added, call.place)?;
    let indices = array.indices.iter().copied().take(axis.into()).collect();
    Ok(Value::Array(Array { indices, assumed: false, ..array.with_tensor(tensor) }))
}

/// The array that a method belongs to.
fn receiver<'v>(evaluator: &Evaluator<'_, '_>, value: &'v Value<'_>, place: Place) -> Result<&'v Array, Stop> {
    match value {
        Value::Array(array) => Ok(array),
        other => evaluator.fail(place, format!("{} is no array", other.describe())),
    }
}

fn astype<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    // Whether numpy copies does not change the answer.
    let [dtype, _] = call.bind(evaluator, ["dtype", "copy"])?;
    let array = receiver(evaluator, value, call.place)?;
    match dtype {
        Some(dtype) => converted(evaluator, array, &dtype, call.place).map(Value::Array),
        None => evaluator.fail(call.place, "`astype` needs a type"),
    }
}

fn tolist<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    let array = receiver(evaluator, value, call.place)?;
    Ok(Value::Array(Array { python: true, ..array.clone() }))
}

fn item<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    let array = receiver(evaluator, value, call.place)?;
    if !array.axes(&evaluator.graph).is_empty() {
        return evaluator.fail(call.place, "`item` is compiled only of one element");
    }
    Ok(Value::Array(Array { python: true, ..array.clone() }))
}

fn copy<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    Ok(value.clone())
}

fn ndim<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    let array = receiver(evaluator, value, place)?;
    if array.assumed {
        return evaluator.fail(place, "how many axes this has depends on the request");
    }
    Ok(Value::Int(array.axes(&evaluator.graph).len() as i64))
}

fn shape<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    let array = receiver(evaluator, value, place)?;
    let extents = array.axes(&evaluator.graph).into_iter().map(|axis| array.extent(&evaluator.graph, axis));
    let lengths: Vec<Value<'a>> =
        extents.filter(|(_, batched)| !batched).map(|(length, _)| Value::Int(length as i64)).collect();
    if array.assumed || lengths.len() != array.axes(&evaluator.graph).len() {
        return evaluator.fail(place, "this shape depends on the request");
    }
    Ok(Value::Tuple(lengths.into()))
}
