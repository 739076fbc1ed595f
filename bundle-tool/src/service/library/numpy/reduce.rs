//! Reductions along axes.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::UnaryKind;

use super::super::{Function, Method};
use super::array_of;
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Index, Kind, Place, Stop, Value, floating};

pub(in crate::service::library) const FUNCTIONS: &[(&str, Function)] = &[
    ("numpy.argmax", |evaluator, call| arg_function(evaluator, call, false)),
    ("numpy.argmin", |evaluator, call| arg_function(evaluator, call, true)),
    ("numpy.sum", |evaluator, call| function(evaluator, call, Reduction::Sum)),
    ("numpy.mean", |evaluator, call| function(evaluator, call, Reduction::Mean)),
    ("numpy.average", |evaluator, call| function(evaluator, call, Reduction::Mean)),
    ("numpy.prod", |evaluator, call| function(evaluator, call, Reduction::Product)),
    ("numpy.max", |evaluator, call| function(evaluator, call, Reduction::Max)),
    ("numpy.amax", |evaluator, call| function(evaluator, call, Reduction::Max)),
    ("numpy.min", |evaluator, call| function(evaluator, call, Reduction::Min)),
    ("numpy.amin", |evaluator, call| function(evaluator, call, Reduction::Min)),
    ("numpy.std", |evaluator, call| function(evaluator, call, Reduction::Deviation)),
    ("numpy.var", |evaluator, call| function(evaluator, call, Reduction::Variance)),
    ("numpy.ptp", |evaluator, call| function(evaluator, call, Reduction::Range)),
    ("numpy.any", |evaluator, call| function(evaluator, call, Reduction::Any)),
    ("numpy.all", |evaluator, call| function(evaluator, call, Reduction::All)),
    ("numpy.linalg.norm", |evaluator, call| function(evaluator, call, Reduction::Norm)),
];

pub(in crate::service::library) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Array, "argmax", |evaluator, value, call| arg_method(evaluator, value, call, false)),
    (Kind::Array, "argmin", |evaluator, value, call| arg_method(evaluator, value, call, true)),
    (Kind::Array, "sum", |evaluator, value, call| method(evaluator, value, call, Reduction::Sum)),
    (Kind::Array, "mean", |evaluator, value, call| method(evaluator, value, call, Reduction::Mean)),
    (Kind::Array, "prod", |evaluator, value, call| method(evaluator, value, call, Reduction::Product)),
    (Kind::Array, "max", |evaluator, value, call| method(evaluator, value, call, Reduction::Max)),
    (Kind::Array, "min", |evaluator, value, call| method(evaluator, value, call, Reduction::Min)),
    (Kind::Array, "std", |evaluator, value, call| method(evaluator, value, call, Reduction::Deviation)),
    (Kind::Array, "var", |evaluator, value, call| method(evaluator, value, call, Reduction::Variance)),
    (Kind::Array, "any", |evaluator, value, call| method(evaluator, value, call, Reduction::Any)),
    (Kind::Array, "all", |evaluator, value, call| method(evaluator, value, call, Reduction::All)),
];

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service::library) enum Reduction {
    Sum,
    Product,
    Mean,
    Max,
    Min,
    Range,
    Variance,
    Deviation,
    Norm,
    Any,
    All,
}

/// Axes and options of a reduction.
#[derive(Clone, Copy, Debug, Default)]
struct Options {
    keep: bool,
    /// What is taken from the number of elements for a variance.
    ddof: i64,
}

fn function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: Reduction) -> Evaluated<'a> {
    let names = match kind {
        Reduction::Norm => ["x", "ord", "axis", "keepdims", "ddof"],
        _ => ["a", "axis", "dtype", "keepdims", "ddof"],
    };
    let [value, second, third, keep, ddof] = call.bind(evaluator, names)?;
    let (axis, other) = if kind == Reduction::Norm { (third, second) } else { (second, third) };
    if !matches!(other, None | Some(Value::None)) {
        return evaluator.fail(call.place, "`dtype` and `ord` are not compiled here");
    }
    let Some(value) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    let array = array_of(evaluator, &value, call.at(0))?;
    reduced(evaluator, &array, axis, [keep, ddof], kind, call)
}

fn method<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>, kind: Reduction) -> Evaluated<'a> {
    let [axis, keep, ddof] = call.bind(evaluator, ["axis", "keepdims", "ddof"])?;
    let array = array_of(evaluator, value, call.place)?;
    reduced(evaluator, &array, axis, [keep, ddof], kind, call)
}

fn reduced<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    array: &Array,
    axis: Option<Value<'a>>,
    [keep, ddof]: [Option<Value<'a>>; 2],
    kind: Reduction,
    call: &Call<'a>,
) -> Evaluated<'a> {
    let keep = match keep {
        None | Some(Value::Bool(false)) => false,
        Some(Value::Bool(true)) => true,
        Some(_) => return evaluator.fail(call.place, "`keepdims` is True or False"),
    };
    let ddof = match ddof {
        None => 0,
        Some(Value::Int(ddof)) => ddof,
        Some(_) => return evaluator.fail(call.place, "`ddof` is a constant integer"),
    };
    let array = evaluator.led(array, call.place)?;
    let axes = chosen_axes(evaluator, &array, axis.as_ref(), call.place)?;
    let result = combined(evaluator, &array, &axes, kind, Options { keep, ddof }, call.place)?;
    Ok(Value::Array(Array { python: false, ..result }))
}

/// The tensor's axes that `axis` names of the array's own: all where it names none.
pub(super) fn chosen_axes<'a>(
    evaluator: &Evaluator<'_, 'a>,
    array: &Array,
    axis: Option<&Value<'a>>,
    place: Place,
) -> Result<Vec<usize>, Stop> {
    let own = array.axes(&evaluator.graph);
    let at = |axis: &Value<'a>| match axis {
        Value::Int(axis) => {
            let counted = if *axis < 0 { axis + own.len() as i64 } else { *axis };
            usize::try_from(counted).ok().and_then(|axis| own.get(axis)).copied()
        }
        _ => None,
    };
    let axes: Option<Vec<usize>> = match axis {
        None | Some(Value::None) => Some(own.clone()),
        Some(Value::Tuple(items)) => items.iter().map(at).collect(),
        Some(axis) => at(axis).map(|axis| vec![axis]),
    };
    let Some(axes) = axes else {
        return evaluator.fail(place, "this is compiled along axes that are there. Write `axis=1`");
    };
    if axes.iter().any(|&axis| evaluator.graph.shape(array.tensor).is_batch(axis)) {
        return evaluator
            .fail(place, "one number of all rows of a request is not compiled. Write `axis=1` for one of each row");
    }
    Ok(axes)
}

fn combined<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    array: &Array,
    axes: &[usize],
    kind: Reduction,
    options: Options,
    place: Place,
) -> Result<Array, Stop> {
    let dtype = array.dtype(&evaluator.graph);
    if matches!(dtype, DType::Category | DType::Text) {
        return evaluator.fail(place, "texts are not combined");
    }
    let shape = evaluator.graph.shape(array.tensor);
    let count: usize = axes.iter().map(|&axis| shape.factor(axis).unwrap_or(1)).product();
    // numpy adds integers, and truths, in 64 bits, and computes the others' averages in them.
    let to = match kind {
        Reduction::Sum | Reduction::Product if dtype.is_float() => dtype,
        Reduction::Sum | Reduction::Product if dtype.name().starts_with('u') => DType::U64,
        Reduction::Sum | Reduction::Product => DType::I64,
        Reduction::Max | Reduction::Min | Reduction::Range => dtype,
        Reduction::Any | Reduction::All => DType::Bool,
        _ => floating(dtype),
    };
    let tensor = evaluator.cast(array.tensor, to, place)?;
    let array = array.with_tensor(tensor);
    let keep = options.keep;
    let reduce = |evaluator: &mut Evaluator<'_, 'a>, array: &Array, kind, keep| {
        reduce_node(evaluator, array, axes, kind, keep, place)
    };
    match kind {
        Reduction::Sum => reduce(evaluator, &array, ReduceKind::Sum, keep),
        Reduction::Product => reduce(evaluator, &array, ReduceKind::Prod, keep),
        Reduction::Mean => reduce(evaluator, &array, ReduceKind::Mean, keep),
        Reduction::Max | Reduction::Any => reduce(evaluator, &array, ReduceKind::Max, keep),
        Reduction::Min | Reduction::All => reduce(evaluator, &array, ReduceKind::Min, keep),
        Reduction::Norm => reduce(evaluator, &array, ReduceKind::L2, keep),
        Reduction::Range => {
            let high = reduce(evaluator, &array, ReduceKind::Max, keep)?;
            let low = reduce(evaluator, &array, ReduceKind::Min, keep)?;
            evaluator.combine(BinaryKind::Sub, &Value::Array(high), &Value::Array(low), place)
        }
        Reduction::Variance | Reduction::Deviation => {
            let rest = count as i64 - options.ddof;
            if rest <= 0 {
                return evaluator.fail(place, "the variance of too few elements is not a number");
            }
            let mean = reduce(evaluator, &array, ReduceKind::Mean, true)?;
            let away = evaluator.combine(BinaryKind::Sub, &Value::Array(array), &Value::Array(mean), place)?;
            let squares = reduce(evaluator, &away, ReduceKind::SumSquare, keep)?;
            let variance = evaluator.combine(BinaryKind::Div, &Value::Array(squares), &Value::Int(rest), place)?;
            match kind {
                Reduction::Deviation => evaluator.map(&variance, UnaryKind::Sqrt, place),
                _ => Ok(variance),
            }
        }
    }
}

fn reduce_node(
    evaluator: &mut Evaluator<'_, '_>,
    array: &Array,
    axes: &[usize],
    kind: ReduceKind,
    keep: bool,
    place: Place,
) -> Result<Array, Stop> {
    if axes.is_empty() {
        return Ok(array.clone());
    }
    let bits = axes.iter().fold(0u8, |bits, &axis| bits | 1u8.checked_shl(axis as u32).unwrap_or(0));
    let added = evaluator.graph.add("reduce", Reduce { kind, axes: bits, keep }, &[array.tensor]);
    Ok(array.with_tensor(evaluator.added(added, place)?))
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
    let mut array = evaluator.led(&array, call.place)?;
    let mut axes = chosen_axes(evaluator, &array, axis.as_ref(), call.place)?;
    if axes.len() > 1 && matches!(axis, None | Some(Value::None)) {
        // Without an axis numpy flattens.
        let shape = evaluator.graph.shape(array.tensor);
        let lead: Vec<usize> = shape.factors().iter().take(axes[0]).map(|&factor| factor as usize).collect();
        let count: usize = axes.iter().map(|&axis| shape.factor(axis).unwrap_or(1)).product();
        let dims = [lead, vec![count]].concat();
        array.tensor = evaluator.reshaped(array.tensor, &dims, shape.batch_axis(), call.place)?;
        axes.truncate(1);
    }
    let [axis] = axes[..] else {
        return evaluator.fail(call.place, "this is compiled along one axis that is there. Write `axis=1`");
    };
    let Ok(axis) = u8::try_from(axis) else {
        return evaluator.fail(call.place, "this axis is not compiled");
    };
    if array.dtype(&evaluator.graph) == DType::Bool {
        let added = evaluator.graph.add("truths", Cast { to: DType::U8 }, &[array.tensor]);
        array.tensor = evaluator.added(added, call.place)?;
    }
    let op = ArgReduce { axis, smallest, last: false, keep: false, wide: true };
    let added = evaluator.graph.add("argmax", op, &[array.tensor]);
    let tensor = evaluator.added(added, call.place)?;
    let indices: Vec<Index> = array.indices.iter().copied().take(axis.into()).collect();
    Ok(Value::Array(Array { indices, assumed: false, python: false, ..array.with_tensor(tensor) }))
}
