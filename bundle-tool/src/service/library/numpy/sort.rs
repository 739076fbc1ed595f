//! Sorting along an axis of known length.

use ekiben_runtime::ops::top_k::TopK;

use super::super::{Function, Method};
use super::array_of;
use super::reduce::chosen_axes;
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Kind, Value};

pub(in crate::service::library) const FUNCTIONS: &[(&str, Function)] = &[
    ("numpy.argsort", |evaluator, call| function(evaluator, call, true)),
    ("numpy.sort", |evaluator, call| function(evaluator, call, false)),
];

pub(in crate::service::library) const METHODS: &[(Kind, &str, Method)] =
    &[(Kind::Array, "argsort", |evaluator, value, call| {
        let [axis] = call.bind(evaluator, ["axis"])?;
        sorted(evaluator, value, axis, call, true)
    })];

fn function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, positions: bool) -> Evaluated<'a> {
    let [array, axis] = call.bind(evaluator, ["a", "axis"])?;
    match array {
        Some(array) => sorted(evaluator, &array, axis, call, positions),
        None => evaluator.fail(call.place, "an array is needed"),
    }
}

/// Elements in rising order, or their positions. Of equals the first comes first, as in numpy's stable sort; NaN comes last.
fn sorted<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: &Value<'a>,
    axis: Option<Value<'a>>,
    call: &Call<'a>,
    positions: bool,
) -> Evaluated<'a> {
    let array = array_of(evaluator, value, call.place)?;
    let array = evaluator.led(&array, call.place)?;
    let axes = chosen_axes(evaluator, &array, Some(&axis.unwrap_or(Value::Int(-1))), call.place)?;
    let [axis] = axes[..] else {
        return evaluator.fail(call.place, "an array is sorted along one axis");
    };
    let shape = evaluator.graph.shape(array.tensor);
    let (Some(length), false, Ok(place)) = (shape.factor(axis), shape.is_batch(axis), u8::try_from(axis)) else {
        return evaluator.fail(call.place, "rows of a request are not sorted. Sort along `axis=1`");
    };
    if evaluator.unsettled(array.tensor).is_some() {
        return evaluator.fail(call.place, "how long this axis is depends on the request. Declare the shape");
    }
    let op = TopK { axis: place, k: length as u32, largest: false };
    let added = evaluator.graph.add_node("sort", op, &[Some(array.tensor)], &[]);
    let outputs = match added {
        Ok(outputs) => outputs,
        Err(error) => return evaluator.fail(call.place, format!("this cannot be computed: {}", error.error)),
    };
    match outputs.get(usize::from(positions)) {
        Some(&tensor) if positions => {
            Ok(Value::Array(Array { assumed: false, python: false, ..array.with_tensor(tensor) }))
        }
        Some(&tensor) => Ok(Value::Array(Array { python: false, ..array.with_tensor(tensor) })),
        None => evaluator.fail(call.place, "this cannot be sorted"),
    }
}
