//! Functions of each element.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::logic::LogicKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::super::sound::computed_audio;
use super::super::{Function, Method};
use crate::audio;
use crate::graph::Graph;
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, Place, Stop, Value, floating};

pub(in crate::service::library) const FUNCTIONS: &[(&str, Function)] = &[
    ("numpy.exp", |evaluator, call| each(evaluator, call, UnaryKind::Exp)),
    ("numpy.exp2", |evaluator, call| each(evaluator, call, UnaryKind::Exp2)),
    ("numpy.expm1", |evaluator, call| each(evaluator, call, UnaryKind::Expm1)),
    ("numpy.log", |evaluator, call| each(evaluator, call, UnaryKind::Log)),
    ("numpy.log2", |evaluator, call| each(evaluator, call, UnaryKind::Log2)),
    ("numpy.log10", |evaluator, call| each(evaluator, call, UnaryKind::Log10)),
    ("numpy.log1p", |evaluator, call| each(evaluator, call, UnaryKind::Log1p)),
    ("numpy.sqrt", |evaluator, call| each(evaluator, call, UnaryKind::Sqrt)),
    ("numpy.cbrt", |evaluator, call| each(evaluator, call, UnaryKind::Cbrt)),
    ("numpy.tanh", |evaluator, call| each(evaluator, call, UnaryKind::Tanh)),
    ("numpy.sin", |evaluator, call| each(evaluator, call, UnaryKind::Sin)),
    ("numpy.cos", |evaluator, call| each(evaluator, call, UnaryKind::Cos)),
    ("numpy.tan", |evaluator, call| each(evaluator, call, UnaryKind::Tan)),
    ("numpy.arcsin", |evaluator, call| each(evaluator, call, UnaryKind::Asin)),
    ("numpy.arccos", |evaluator, call| each(evaluator, call, UnaryKind::Acos)),
    ("numpy.arctan", |evaluator, call| each(evaluator, call, UnaryKind::Atan)),
    ("numpy.sinh", |evaluator, call| each(evaluator, call, UnaryKind::Sinh)),
    ("numpy.cosh", |evaluator, call| each(evaluator, call, UnaryKind::Cosh)),
    ("numpy.floor", |evaluator, call| each(evaluator, call, UnaryKind::Floor)),
    ("numpy.ceil", |evaluator, call| each(evaluator, call, UnaryKind::Ceil)),
    ("numpy.rint", |evaluator, call| each(evaluator, call, UnaryKind::Round)),
    ("numpy.reciprocal", |evaluator, call| each(evaluator, call, UnaryKind::Reciprocal)),
    ("scipy.special.expit", |evaluator, call| each(evaluator, call, UnaryKind::Sigmoid)),
    ("math.exp", |evaluator, call| each(evaluator, call, UnaryKind::Exp)),
    ("math.log1p", |evaluator, call| each(evaluator, call, UnaryKind::Log1p)),
    ("math.expm1", |evaluator, call| each(evaluator, call, UnaryKind::Expm1)),
    ("math.sqrt", |evaluator, call| each(evaluator, call, UnaryKind::Sqrt)),
    ("math.log", |evaluator, call| each(evaluator, call, UnaryKind::Log)),
    ("math.log10", |evaluator, call| each(evaluator, call, UnaryKind::Log10)),
    ("math.log2", |evaluator, call| each(evaluator, call, UnaryKind::Log2)),
    ("math.sin", |evaluator, call| each(evaluator, call, UnaryKind::Sin)),
    ("math.cos", |evaluator, call| each(evaluator, call, UnaryKind::Cos)),
    ("math.tanh", |evaluator, call| each(evaluator, call, UnaryKind::Tanh)),
    ("numpy.abs", absolute),
    ("numpy.absolute", absolute),
    ("numpy.fabs", absolute),
    ("builtins.abs", absolute),
    ("numpy.square", square),
    ("numpy.negative", |evaluator, call| with(evaluator, call, BinaryKind::Mul, Value::Int(-1))),
    ("numpy.degrees", |evaluator, call| {
        with(evaluator, call, BinaryKind::Mul, Value::Float(180.0 / std::f64::consts::PI))
    }),
    ("numpy.radians", |evaluator, call| {
        with(evaluator, call, BinaryKind::Mul, Value::Float(std::f64::consts::PI / 180.0))
    }),
    ("numpy.deg2rad", |evaluator, call| {
        with(evaluator, call, BinaryKind::Mul, Value::Float(std::f64::consts::PI / 180.0))
    }),
    ("numpy.rad2deg", |evaluator, call| {
        with(evaluator, call, BinaryKind::Mul, Value::Float(180.0 / std::f64::consts::PI))
    }),
    ("numpy.add", |evaluator, call| pair(evaluator, call, BinaryKind::Add)),
    ("numpy.subtract", |evaluator, call| pair(evaluator, call, BinaryKind::Sub)),
    ("numpy.multiply", |evaluator, call| pair(evaluator, call, BinaryKind::Mul)),
    ("numpy.divide", |evaluator, call| pair(evaluator, call, BinaryKind::Div)),
    ("numpy.true_divide", |evaluator, call| pair(evaluator, call, BinaryKind::Div)),
    ("numpy.power", |evaluator, call| pair(evaluator, call, BinaryKind::Pow)),
    ("numpy.mod", |evaluator, call| pair(evaluator, call, BinaryKind::Mod)),
    ("numpy.remainder", |evaluator, call| pair(evaluator, call, BinaryKind::Mod)),
    ("numpy.minimum", |evaluator, call| pair(evaluator, call, BinaryKind::Min)),
    ("numpy.maximum", |evaluator, call| pair(evaluator, call, BinaryKind::Max)),
    ("numpy.equal", |evaluator, call| compared(evaluator, call, CompareKind::Equal)),
    ("numpy.not_equal", |evaluator, call| compared(evaluator, call, CompareKind::NotEqual)),
    ("numpy.less", |evaluator, call| compared(evaluator, call, CompareKind::Less)),
    ("numpy.less_equal", |evaluator, call| compared(evaluator, call, CompareKind::LessOrEqual)),
    ("numpy.greater", |evaluator, call| compared(evaluator, call, CompareKind::Greater)),
    ("numpy.greater_equal", |evaluator, call| compared(evaluator, call, CompareKind::GreaterOrEqual)),
    ("numpy.logical_and", |evaluator, call| logical(evaluator, call, LogicKind::And)),
    ("numpy.logical_or", |evaluator, call| logical(evaluator, call, LogicKind::Or)),
    ("numpy.logical_xor", |evaluator, call| logical(evaluator, call, LogicKind::Xor)),
    ("numpy.logical_not", not),
    ("numpy.isnan", |evaluator, call| missing(evaluator, call, true)),
    ("math.isnan", |evaluator, call| missing(evaluator, call, true)),
    ("pandas.isna", |evaluator, call| missing(evaluator, call, true)),
    ("pandas.isnull", |evaluator, call| missing(evaluator, call, true)),
    ("pandas.notna", |evaluator, call| missing(evaluator, call, false)),
    ("pandas.notnull", |evaluator, call| missing(evaluator, call, false)),
    ("numpy.isfinite", finite),
    ("numpy.nan_to_num", nan_to_num),
    ("numpy.round", round_function),
    ("numpy.around", round_function),
    ("numpy.where", choose),
    ("numpy.clip", clip),
];

pub(in crate::service::library) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Array, "clip", clip_method),
    (Kind::Array, "round", round_method),
    (Kind::Frame, "clip", clip_method),
    (Kind::Frame, "round", round_method),
    (Kind::Frame, "abs", abs_method),
    (Kind::Array, "abs", abs_method),
];

/// A value whose arrays are changed one by one: itself, or a frame's.
pub(in crate::service::library) fn per_array<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    place: Place,
    change: impl FnOnce(&mut Evaluator<'_, 'a>, Array) -> Result<Array, Stop>,
) -> Evaluated<'a> {
    match value {
        Value::Frame(frame) => evaluator.map_frame(&frame.clone(), place, change),
        other => {
            let array = evaluator.operand(other, place)?;
            change(evaluator, array).map(Value::Array)
        }
    }
}

/// A function of each element, in floats.
pub(in crate::service::library) fn each<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    call: &Call<'a>,
    kind: UnaryKind,
) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    match value {
        Some(Value::Int(value)) => constant(kind, value as f64, evaluator, call),
        Some(Value::Float(value)) => constant(kind, value, evaluator, call),
        Some(value @ (Value::Frame(_) | Value::Array(_) | Value::List(_))) => {
            per_array(evaluator, &value, call.place, |evaluator, array| {
                element_wise(evaluator, &array, kind, call.place)
            })
        }
        _ => evaluator.fail(call.place, "this function is compiled only of arrays and frames"),
    }
}

/// A function of a constant, where Rust's is the one of Python's `math`.
fn constant<'a>(kind: UnaryKind, x: f64, evaluator: &Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let value = match kind {
        UnaryKind::Exp => x.exp(),
        UnaryKind::Log if x > 0.0 => x.ln(),
        UnaryKind::Log2 if x > 0.0 => x.log2(),
        UnaryKind::Log10 if x > 0.0 => x.log10(),
        UnaryKind::Log1p if x > -1.0 => x.ln_1p(),
        UnaryKind::Expm1 => x.exp_m1(),
        UnaryKind::Sqrt if x >= 0.0 => x.sqrt(),
        UnaryKind::Sin => x.sin(),
        UnaryKind::Cos => x.cos(),
        UnaryKind::Tanh => x.tanh(),
        UnaryKind::Floor => x.floor(),
        UnaryKind::Ceil => x.ceil(),
        _ => return evaluator.fail(call.place, "this function of a constant is not compiled. Write its value"),
    };
    Ok(Value::Float(value))
}

fn element_wise(
    evaluator: &mut Evaluator<'_, '_>,
    array: &Array,
    kind: UnaryKind,
    place: Place,
) -> Result<Array, Stop> {
    let array = evaluator.computed(array, place)?;
    let dtype = array.dtype(&evaluator.graph);
    if dtype.is_integer() && dtype.bits() < 32 {
        return evaluator
            .fail(place, format!("numpy computes this of {dtype} in half precision. Convert with `astype`"));
    }
    let tensor = evaluator.cast(array.tensor, floating(dtype), place)?;
    let array = evaluator.map(&array.with_tensor(tensor), kind, place)?;
    Ok(Array { assumed: false, ..array })
}

pub(in crate::service::library) fn absolute<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    match value {
        Some(Value::Int(value)) => Ok(Value::Int(value.saturating_abs())),
        Some(Value::Float(value)) => Ok(Value::Float(value.abs())),
        Some(Value::Complex(array)) => {
            let magnitude = |graph: &mut Graph| audio::magnitude(graph, array.tensor);
            let tensor = computed_audio(evaluator, call.place, magnitude)?;
            Ok(Value::Array(array.with_tensor(tensor)))
        }
        Some(value) => abs_of(evaluator, &value, call.place),
        None => evaluator.fail(call.place, "an array is needed"),
    }
}

fn abs_method<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    call.none(evaluator)?;
    abs_of(evaluator, value, call.place)
}

fn abs_of<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    per_array(evaluator, value, place, |evaluator, array| {
        let array = evaluator.computed(&array, place)?;
        if array.dtype(&evaluator.graph).is_float() {
            return evaluator.map(&array, UnaryKind::Abs, place);
        }
        let negative = evaluator.combine(BinaryKind::Mul, &Value::Array(array.clone()), &Value::Int(-1), place)?;
        evaluator.combine(BinaryKind::Max, &Value::Array(array), &Value::Array(negative), place)
    })
}

pub(in crate::service::library) fn square<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    let Some(value) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    per_array(evaluator, &value, call.place, |evaluator, array| {
        let value = Value::Array(array);
        evaluator.combine(BinaryKind::Mul, &value, &value, call.place)
    })
}

/// A function that is arithmetic with a constant.
fn with<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: BinaryKind, number: Value<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    match value {
        Some(value @ (Value::Array(_) | Value::Frame(_))) => {
            per_array(evaluator, &value, call.place, |evaluator, array| {
                evaluator.combine(kind, &Value::Array(array), &number, call.place)
            })
        }
        _ => evaluator.fail(call.place, "an array is needed"),
    }
}

fn pair<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: BinaryKind) -> Evaluated<'a> {
    match call.bind(evaluator, ["x1", "x2"])? {
        [Some(left), Some(right)] => combined(evaluator, kind, &left, &right, call.place),
        _ => evaluator.fail(call.place, "two arguments are needed"),
    }
}

fn combined<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    kind: BinaryKind,
    left: &Value<'a>,
    right: &Value<'a>,
    place: Place,
) -> Evaluated<'a> {
    match (left, right) {
        (Value::Frame(frame), other) => evaluator.map_frame(&frame.clone(), place, |evaluator, array| {
            evaluator.combine(kind, &Value::Array(array), other, place)
        }),
        (left, right) => {
            let list = |evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>| match value {
                Value::List(_) => evaluator.constant_array(value, place).map(Value::Array),
                other => Ok(other.clone()),
            };
            let (left, right) = (list(evaluator, left)?, list(evaluator, right)?);
            evaluator.combine(kind, &left, &right, place).map(Value::Array)
        }
    }
}

fn compared<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: CompareKind) -> Evaluated<'a> {
    match call.bind(evaluator, ["x1", "x2"])? {
        [Some(left), Some(right)] => evaluator.compared(kind, &left, &right, call.place).map(Value::Array),
        _ => evaluator.fail(call.place, "two arguments are needed"),
    }
}

fn logical<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: LogicKind) -> Evaluated<'a> {
    match call.bind(evaluator, ["x1", "x2"])? {
        [Some(left), Some(right)] => {
            let (left, right) = (evaluator.operand(&left, call.at(0))?, evaluator.operand(&right, call.at(1))?);
            evaluator.logical(kind, &left, &right, call.place).map(Value::Array)
        }
        _ => evaluator.fail(call.place, "two arguments are needed"),
    }
}

fn not<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    let Some(value) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    let array = evaluator.operand(&value, call.place)?;
    evaluator.negated(&array, call.place).map(Value::Array)
}

/// Whether elements are NaN, or are not.
fn missing<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, wanted: bool) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    match value {
        Some(Value::Float(value)) => Ok(Value::Bool(value.is_nan() == wanted)),
        Some(Value::None) => Ok(Value::Bool(wanted)),
        Some(Value::Int(_) | Value::Bool(_) | Value::Text(_)) => Ok(Value::Bool(!wanted)),
        Some(value) => nan(evaluator, &value, wanted, call.place),
        None => evaluator.fail(call.place, "an array is needed"),
    }
}

/// Whether each element is NaN, or is not: only NaN differs from itself.
pub(in crate::service::library) fn nan<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    wanted: bool,
    place: Place,
) -> Evaluated<'a> {
    let kind = if wanted { CompareKind::NotEqual } else { CompareKind::Equal };
    per_array(evaluator, value, place, |evaluator, array| {
        if matches!(array.dtype(&evaluator.graph), DType::Category | DType::Text) {
            return evaluator.fail(place, "whether a text is missing is not compiled");
        }
        let value = Value::Array(array);
        evaluator.compared(kind, &value, &value, place)
    })
}

fn finite<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["x"])?;
    let Some(value @ (Value::Array(_) | Value::Frame(_))) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    per_array(evaluator, &value, call.place, |evaluator, array| {
        // The difference from itself is zero for all but NaN and the infinities.
        let value = Value::Array(array);
        let rest = evaluator.combine(BinaryKind::Sub, &value, &value, call.place)?;
        evaluator.compared(CompareKind::Equal, &Value::Array(rest), &Value::Int(0), call.place)
    })
}

fn nan_to_num<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value, _, nan, high, low] = call.bind(evaluator, ["x", "copy", "nan", "posinf", "neginf"])?;
    let Some(value @ (Value::Array(_) | Value::Frame(_))) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    per_array(evaluator, &value, call.place, |evaluator, array| {
        let dtype = array.dtype(&evaluator.graph);
        if !dtype.is_float() {
            return Ok(array);
        }
        let largest = if dtype == DType::F32 { f64::from(f32::MAX) } else { f64::MAX };
        let filled = filled(evaluator, &array, &nan.unwrap_or(Value::Float(0.0)), call.place)?;
        let mut result = Value::Array(filled);
        for (edge, with) in [
            (f64::INFINITY, high.unwrap_or(Value::Float(largest))),
            (f64::NEG_INFINITY, low.unwrap_or(Value::Float(-largest))),
        ] {
            let there = evaluator.compared(CompareKind::Equal, &result, &Value::Float(edge), call.place)?;
            result = Value::Array(evaluator.selected(&there, &with, &result, call.place)?);
        }
        match result {
            Value::Array(array) => Ok(array),
            _ => evaluator.fail(call.place, "an array is needed"),
        }
    })
}

/// An array with `with` for NaN. Of integers nothing is missing.
pub(in crate::service::library) fn filled<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    array: &Array,
    with: &Value<'a>,
    place: Place,
) -> Result<Array, Stop> {
    if !array.dtype(&evaluator.graph).is_float() {
        return Ok(array.clone());
    }
    let value = Value::Array(array.clone());
    let missing = evaluator.compared(CompareKind::NotEqual, &value, &value, place)?;
    evaluator.selected(&missing, with, &value, place)
}

fn round_function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value, decimals] = call.bind(evaluator, ["a", "decimals"])?;
    let Some(value @ (Value::Array(_) | Value::Frame(_))) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    rounded(evaluator, &value, decimals, call)
}

pub(in crate::service::library) fn round_method<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    call: &Call<'a>,
) -> Evaluated<'a> {
    let [decimals] = call.bind(evaluator, ["decimals"])?;
    rounded(evaluator, value, decimals, call)
}

/// numpy's rounding: times a power of ten, to the nearest integer (ties to even), over the power of ten.
fn rounded<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    decimals: Option<Value<'a>>,
    call: &Call<'a>,
) -> Evaluated<'a> {
    let decimals = match decimals {
        None | Some(Value::None) => 0,
        Some(Value::Int(decimals @ 0..=15)) => decimals as i32,
        _ => return evaluator.fail(call.place, "rounding is compiled to 0 to 15 constant decimals"),
    };
    per_array(evaluator, value, call.place, |evaluator, array| {
        let array = evaluator.computed(&array, call.place)?;
        if array.dtype(&evaluator.graph).is_integer() {
            return Ok(array);
        }
        let power = Value::Float(10f64.powi(decimals));
        let mut array = array;
        if decimals > 0 {
            array = evaluator.combine(BinaryKind::Mul, &Value::Array(array), &power, call.place)?;
        }
        let whole = evaluator.map(&array, UnaryKind::Round, call.place)?;
        if decimals == 0 {
            return Ok(whole);
        }
        evaluator.combine(BinaryKind::Div, &Value::Array(whole), &power, call.place)
    })
}

/// `numpy.where(condition, x, y)`.
fn choose<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["condition", "x", "y"])? {
        [Some(condition), Some(x), Some(y)] => {
            let condition = evaluator.operand(&condition, call.at(0))?;
            let condition = evaluator.truths(&condition, call.at(0))?;
            let array = evaluator.selected(&condition, &x, &y, call.place)?;
            Ok(Value::Array(Array { python: false, ..array }))
        }
        _ => evaluator
            .fail(call.place, "positions where a condition holds depend on the request. Give `where` three arguments"),
    }
}

fn clip<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["a", "a_min", "a_max"])? {
        [Some(value), low, high] => clipped(evaluator, value, low, high, call),
        _ => evaluator.fail(call.place, "`clip` needs an array"),
    }
}

fn clip_method<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let names = if call.keywords.iter().any(|(name, ..)| matches!(*name, "lower" | "upper")) {
        ["lower", "upper"]
    } else {
        ["min", "max"]
    };
    let [low, high] = call.bind(evaluator, names)?;
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
            Some(bound) => value = combined(evaluator, kind, &value, &bound, call.place)?,
        }
    }
    Ok(value)
}
