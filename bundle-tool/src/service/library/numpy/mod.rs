//! numpy: arrays and their types. Functions of each element, reductions, axes and new arrays have files of their own.

pub(super) mod create;
pub(super) mod element;
pub(super) mod reduce;
pub(super) mod shape;
pub(super) mod sort;

use std::rc::Rc;

use ekiben_runtime::DType;
use ekiben_runtime::ops::storage_cast::is_stored_only;

use super::{Function, Method, Property};

use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Index, Kind, Picture, Place, Stop, Value};

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
    ("numpy.int32", |evaluator, call| scalar(evaluator, call, DType::I32)),
];

pub(super) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Array, "astype", astype),
    (Kind::Array, "tolist", tolist),
    (Kind::Array, "item", item),
    (Kind::Array, "copy", copy),
];

pub(super) const PROPERTIES: &[(Kind, &str, Property)] =
    &[(Kind::Array, "ndim", ndim), (Kind::Array, "shape", shape_of), (Kind::Array, "size", size)];

/// The element type that a `dtype` argument names.
pub(super) fn dtype<'a>(evaluator: &Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Result<DType, Stop> {
    let name = match value {
        Value::Text(text) => text.to_string(),
        Value::Path(path) => match path.split_once('.') {
            Some(("numpy" | "builtins" | "tensorflow", name)) => name.trim_start_matches("dtypes.").to_owned(),
            Some(("torch", name)) => super::torch::numpy_name(name).to_owned(),
            _ => return evaluator.fail(place, format!("`{path}` is not known as the type of an array")),
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
pub(in crate::service) fn array_of<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    place: Place,
) -> Result<Array, Stop> {
    match value {
        Value::Array(array) => {
            let array = evaluator.widened(array, place)?;
            Ok(Array { python: false, torch: false, ..array })
        }
        Value::Frame(frame) => evaluator.frame_array(frame, place),
        Value::List(_) | Value::Tuple(_) => evaluator.constant_array(value, place),
        Value::Json(json) => evaluator.settle_number(json, place),
        Value::Rows(_, item) if matches!(&**item, Value::Json(_)) => match &**item {
            Value::Json(json) => evaluator.settle_number(json, place),
            _ => evaluator.fail(place, "an array of this is not compiled"),
        },
        Value::Rows(_, item) if matches!(&**item, Value::List(_) | Value::Tuple(_)) => rows_of(evaluator, value, place),
        other => evaluator.fail(place, format!("an array of {} is not compiled", other.describe())),
    }
}

/// The array of a list with one list of numbers for each row of a loop.
fn rows_of<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Result<Array, Stop> {
    let Value::Rows(id, item) = value else {
        return evaluator.fail(place, format!("an array of {} is not compiled", value.describe()));
    };
    let row = evaluator.constant_array(item, place)?;
    match row.indices.first() {
        Some(Index::Loop(first)) if first == id => {
            let indices = row.indices.iter().skip(1).copied();
            Ok(Array { indices: std::iter::once(Index::All).chain(indices).collect(), ..row })
        }
        _ => evaluator.fail(place, "no row of this array reads the row of the request"),
    }
}

fn array<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value, dtype] = call.bind(evaluator, ["a", "dtype"])?;
    let Some(value) = value else {
        return evaluator.fail(call.place, "an array of nothing is not compiled");
    };
    // What is done with the pixels of an image may still be a step of the adapter.
    if let (Value::Picture(picture), None | Some(Value::None)) = (&value, &dtype) {
        return Ok(Value::Picture(Rc::new(Picture { is_array: true, ..(**picture).clone() })));
    }
    let value = match value {
        Value::Picture(picture) => Value::Array(evaluator.picture_array(&picture, call.at(0))?),
        value => evaluator.with_arrays(value, call.at(0))?,
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

fn shape_of<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    let array = receiver(evaluator, value, place)?;
    if array.assumed {
        return evaluator.fail(place, "this shape depends on the request");
    }
    let extents = array.axes(&evaluator.graph).into_iter().map(|axis| array.extent(&evaluator.graph, axis));
    let lengths =
        extents.map(|(length, batched)| if batched { Value::Count(length) } else { Value::Int(length as i64) });
    Ok(Value::Tuple(lengths.collect()))
}

fn size<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    let Value::Tuple(lengths) = shape_of(evaluator, value, place)? else {
        return evaluator.fail(place, "this size depends on the request");
    };
    let mut size = 1i64;
    for length in lengths.iter() {
        match length {
            Value::Int(length) => size = size.saturating_mul(*length),
            _ => return evaluator.fail(place, "this size depends on the request"),
        }
    }
    Ok(Value::Int(size))
}
