//! Arrays that do not depend on the request, and products of matrices.

use ekiben_runtime::DType;
use ekiben_runtime::ops::batch_mat_mul::BatchMatMul;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::softmax::Softmax;

use super::super::{Function, Method};
use super::{array_of, dtype, receiver};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, MAX_ITEMS, Place, Stop, Value, floating};

pub(in crate::service::library) const FUNCTIONS: &[(&str, Function)] = &[
    ("numpy.zeros", |evaluator, call| full(evaluator, call, Some(0.0))),
    ("numpy.ones", |evaluator, call| full(evaluator, call, Some(1.0))),
    ("numpy.full", |evaluator, call| full(evaluator, call, None)),
    ("numpy.arange", arange),
    ("numpy.linspace", linspace),
    ("numpy.dot", product),
    ("numpy.matmul", product),
    ("scipy.special.softmax", softmax),
];

pub(in crate::service::library) const METHODS: &[(Kind, &str, Method)] = &[(Kind::Array, "dot", dot)];

fn integer(value: &Value<'_>) -> Option<usize> {
    match value {
        Value::Int(value) => usize::try_from(*value).ok(),
        _ => None,
    }
}

fn full<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, value: Option<f64>) -> Evaluated<'a> {
    let (shape, fill, to) = match value {
        Some(value) => {
            let [shape, to] = call.bind(evaluator, ["shape", "dtype"])?;
            (shape, Some(Value::Float(value)), to)
        }
        None => {
            let [shape, fill, to] = call.bind(evaluator, ["shape", "fill_value", "dtype"])?;
            (shape, fill, to)
        }
    };
    let dims: Option<Vec<usize>> = match &shape {
        Some(Value::Tuple(items) | Value::List(items)) => items.iter().map(integer).collect(),
        Some(value) => integer(value).map(|length| vec![length]),
        None => None,
    };
    let (number, own) = match fill {
        Some(Value::Float(value)) => (value, DType::F64),
        Some(Value::Int(value)) => (value as f64, DType::I64),
        _ => return evaluator.fail(call.place, "an array is filled with a constant number"),
    };
    let Some(dims) = dims.filter(|dims| dims.iter().product::<usize>() <= MAX_ITEMS * 100) else {
        return evaluator.fail(call.place, "the shape of a new array is compiled of constant integers");
    };
    let to = match to {
        None | Some(Value::None) => own,
        Some(to) => dtype(evaluator, &to, call.place)?,
    };
    let added = evaluator.graph.add_constant("full", DType::F64, &dims, &vec![number; dims.iter().product()]);
    let tensor = evaluator.constant(added, call.place)?;
    Ok(Value::Array(Array::whole(evaluator.cast(tensor, to, call.place)?)))
}

fn arange<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let (start, stop) = match call.bind(evaluator, ["start", "stop"])? {
        [Some(Value::Int(stop)), None] => (0, stop),
        [Some(Value::Int(start)), Some(Value::Int(stop))] => (start, stop),
        _ => return evaluator.fail(call.place, "`arange` is compiled with constant integers"),
    };
    if stop.saturating_sub(start) > MAX_ITEMS as i64 || stop <= start {
        return evaluator.fail(call.place, format!("a range has 1 to {MAX_ITEMS} items"));
    }
    let items: Vec<i64> = (start..stop).collect();
    let added = evaluator.graph.add_constant("range", DType::I64, &[items.len()], &items);
    Ok(Value::Array(Array::whole(evaluator.constant(added, call.place)?)))
}

fn linspace<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let number = |value: &Option<Value<'a>>| match value {
        Some(Value::Int(value)) => Some(*value as f64),
        Some(Value::Float(value)) => Some(*value),
        _ => None,
    };
    let [start, stop, count] = call.bind(evaluator, ["start", "stop", "num"])?;
    let count = count.map_or(Some(50), |count| integer(&count)).filter(|count| (2..=MAX_ITEMS).contains(count));
    let (Some(start), Some(stop), Some(count)) = (number(&start), number(&stop), count) else {
        return evaluator.fail(call.place, "`linspace` is compiled with constant numbers");
    };
    let step = (stop - start) / (count - 1) as f64;
    let mut items: Vec<f64> = (0..count).map(|at| at as f64 * step + start).collect();
    items[count - 1] = stop;
    let added = evaluator.graph.add_constant("linspace", DType::F64, &[count], &items);
    Ok(Value::Array(Array::whole(evaluator.constant(added, call.place)?)))
}

pub(in crate::service::library) fn product<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["a", "b"])? {
        [Some(left), Some(right)] => mat_mul(evaluator, &left, &right, call.place).map(Value::Array),
        _ => evaluator.fail(call.place, "two arrays are needed"),
    }
}

fn dot<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [other] = call.bind(evaluator, ["b"])?;
    match other {
        Some(other) => mat_mul(evaluator, value, &other, call.place).map(Value::Array),
        None => evaluator.fail(call.place, "two arrays are needed"),
    }
}

/// `left @ right` of arrays of one or two axes, the second not of a request's rows.
pub(in crate::service) fn mat_mul<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    left: &Value<'a>,
    right: &Value<'a>,
    place: Place,
) -> Result<Array, Stop> {
    let (a, b) = (array_of(evaluator, left, place)?, array_of(evaluator, right, place)?);
    let (a, b) = (evaluator.computed(&a, place)?, evaluator.computed(&b, place)?);
    let (mut a, mut b) = (evaluator.led(&a, place)?, evaluator.led(&b, place)?);
    let to = evaluator.common_type(&[a.clone(), b.clone()], place)?;
    if !to.is_float() {
        return evaluator.fail(place, "products of matrices of integers are not compiled. Convert with `astype`");
    }
    a.tensor = evaluator.cast(a.tensor, to, place)?;
    b.tensor = evaluator.cast(b.tensor, to, place)?;
    let assumed = a.assumed || b.assumed;
    let ranks = [a.axes(&evaluator.graph).len(), b.axes(&evaluator.graph).len()];
    if !b.indices.is_empty() || evaluator.graph.shape(b.tensor).is_batched() {
        if ranks == [2, 2] && a.indices == b.indices {
            let added = evaluator.graph.add("product", BatchMatMul, &[a.tensor, b.tensor]);
            return Ok(Array { python: false, assumed, ..a.with_tensor(evaluator.added(added, place)?) });
        }
        if ranks == [1, 1] {
            let product = evaluator.combine(
                ekiben_runtime::ops::binary::BinaryKind::Mul,
                &Value::Array(a),
                &Value::Array(b),
                place,
            )?;
            let last = evaluator.graph.shape(product.tensor).rank() - 1;
            let op = ekiben_runtime::ops::reduce::Reduce {
                kind: ekiben_runtime::ops::reduce::ReduceKind::Sum,
                axes: 1 << last,
                keep: false,
            };
            let added = evaluator.graph.add("product", op, &[product.tensor]);
            return Ok(Array { python: false, ..product.with_tensor(evaluator.added(added, place)?) });
        }
        return evaluator.fail(place, "a product with a second array of the request's rows is not compiled");
    }
    let [1 | 2, width @ (1 | 2)] = ranks else {
        return evaluator.fail(place, "products are compiled of arrays of one or two axes");
    };
    let shape = evaluator.graph.shape(b.tensor);
    if width == 1 {
        let length = shape.factor(0).unwrap_or(0);
        b.tensor = evaluator.reshaped(b.tensor, &[length, 1], None, place)?;
    }
    let alone = evaluator.graph.shape(a.tensor).rank() == 1;
    if alone {
        let length = evaluator.graph.shape(a.tensor).factor(0).unwrap_or(0);
        a.tensor = evaluator.reshaped(a.tensor, &[1, length], None, place)?;
    }
    let added = evaluator.graph.add("product", MatMul { transpose_b: false }, &[a.tensor, b.tensor]);
    let mut tensor = evaluator.added(added, place)?;
    let result = evaluator.graph.shape(tensor);
    let mut dims: Vec<usize> = result.factors().iter().map(|&factor| factor as usize).collect();
    if width == 1 {
        dims.pop();
    }
    if alone {
        dims.remove(0);
    }
    tensor = evaluator.reshaped(tensor, &dims, result.batch_axis(), place)?;
    Ok(Array { indices: a.indices, assumed, ..Array::whole(tensor) })
}

fn softmax<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value, axis] = call.bind(evaluator, ["x", "axis"])?;
    let Some(value @ Value::Array(_)) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    let array = receiver(evaluator, &value, call.place)?.clone();
    softmax_of(evaluator, &array, axis.as_ref(), false, call.place).map(Value::Array)
}

/// The softmax along one of an array's own axes, or its logarithm.
pub(in crate::service::library) fn softmax_of<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    array: &Array,
    axis: Option<&Value<'a>>,
    log: bool,
    place: Place,
) -> Result<Array, Stop> {
    let array = evaluator.computed(array, place)?;
    let array = evaluator.led(&array, place)?;
    let axes = array.axes(&evaluator.graph);
    let at = match axis {
        None | Some(Value::None) if axes.len() == 1 => Some(0),
        Some(Value::Int(axis)) if *axis < 0 => usize::try_from(axis + axes.len() as i64).ok(),
        Some(Value::Int(axis)) => usize::try_from(*axis).ok(),
        _ => None,
    };
    let axis = at.and_then(|at| axes.get(at)).and_then(|&axis| u8::try_from(axis).ok());
    let Some(axis) = axis else {
        return evaluator.fail(place, "softmax is compiled along one axis that is there. Write `axis=-1`");
    };
    let to = floating(array.dtype(&evaluator.graph));
    let tensor = evaluator.cast(array.tensor, to, place)?;
    let added = evaluator.graph.add("softmax", Softmax { axis, log }, &[tensor]);
    Ok(Array { python: false, assumed: false, ..array.with_tensor(evaluator.added(added, place)?) })
}
