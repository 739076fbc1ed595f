//! Axes: reshaping, transposing, putting arrays together.

use ekiben_runtime::ops::transpose::{Permutation, Transpose};

use super::super::{Function, Method, Property};
use super::{array_of, receiver};
use crate::service::evaluate::{Array, Call, Evaluated, Evaluator, Index, Kind, Place, Stop, Value};

pub(in crate::service::library) const FUNCTIONS: &[(&str, Function)] = &[
    ("numpy.reshape", reshape_function),
    ("numpy.ravel", |evaluator, call| of_first(evaluator, call, flat)),
    ("numpy.squeeze", squeeze_function),
    ("numpy.expand_dims", expand_function),
    ("numpy.transpose", transpose_function),
    ("numpy.atleast_2d", |evaluator, call| of_first(evaluator, call, at_least_two)),
    ("numpy.concatenate", |evaluator, call| joined(evaluator, call, Join::Concatenate)),
    ("numpy.stack", |evaluator, call| joined(evaluator, call, Join::Stack)),
    ("numpy.hstack", |evaluator, call| joined(evaluator, call, Join::Horizontal)),
    ("numpy.vstack", |evaluator, call| joined(evaluator, call, Join::Vertical)),
    ("numpy.column_stack", |evaluator, call| joined(evaluator, call, Join::Columns)),
];

pub(in crate::service::library) const METHODS: &[(Kind, &str, Method)] = &[
    (Kind::Array, "reshape", reshape_method),
    (Kind::Array, "ravel", |evaluator, value, call| plain(evaluator, value, call, flat)),
    (Kind::Array, "flatten", |evaluator, value, call| plain(evaluator, value, call, flat)),
    (Kind::Array, "squeeze", squeeze_method),
    (Kind::Array, "transpose", transpose_method),
    (Kind::Array, "swapaxes", swap_axes),
];

pub(in crate::service::library) const PROPERTIES: &[(Kind, &str, Property)] = &[(Kind::Array, "T", transposed)];

/// An array's own axes: lengths, and which of them is the batch.
#[derive(Clone, Debug)]
struct Axes {
    lead: Vec<usize>,
    own: Vec<usize>,
    /// The batch, counted from the first own axis; below zero among the leading ones.
    batch: Option<isize>,
}

fn axes_of(evaluator: &Evaluator<'_, '_>, array: &Array) -> Axes {
    let shape = evaluator.graph.shape(array.tensor);
    let mut lead: Vec<usize> = shape.factors().iter().map(|&factor| factor as usize).collect();
    let own = lead.split_off(array.indices.len());
    Axes { batch: shape.batch_axis().map(|axis| axis as isize - lead.len() as isize), lead, own }
}

/// The array with other own axes; `batch` is counted from the first of them.
fn with_axes(
    evaluator: &mut Evaluator<'_, '_>,
    array: &Array,
    own: &[usize],
    batch: Option<isize>,
    place: Place,
) -> Result<Array, Stop> {
    let lead = axes_of(evaluator, array).lead;
    let batch = batch.and_then(|axis| usize::try_from(axis + lead.len() as isize).ok());
    let dims = [lead, own.to_vec()].concat();
    let tensor = evaluator.reshaped(array.tensor, &dims, batch, place)?;
    Ok(Array { python: false, ..array.with_tensor(tensor) })
}

type Change = for<'e, 'a> fn(&mut Evaluator<'e, 'a>, Array, Place) -> Result<Array, Stop>;

fn of_first<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, change: Change) -> Evaluated<'a> {
    let [value] = call.bind(evaluator, ["a"])?;
    let Some(value) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    let array = array_of(evaluator, &value, call.at(0))?;
    let array = evaluator.led(&array, call.place)?;
    change(evaluator, array, call.place).map(Value::Array)
}

fn plain<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>, change: Change) -> Evaluated<'a> {
    call.none(evaluator)?;
    let array = receiver(evaluator, value, call.place)?.clone();
    let array = evaluator.led(&array, call.place)?;
    change(evaluator, array, call.place).map(Value::Array)
}

/// All elements on one axis.
fn flat(evaluator: &mut Evaluator<'_, '_>, array: Array, place: Place) -> Result<Array, Stop> {
    reshaped(evaluator, &array, &[-1], place)
}

fn at_least_two(evaluator: &mut Evaluator<'_, '_>, array: Array, place: Place) -> Result<Array, Stop> {
    let axes = axes_of(evaluator, &array);
    match axes.own.len() {
        0 => with_axes(evaluator, &array, &[1, 1], axes.batch, place),
        1 => {
            with_axes(evaluator, &array, &[1, axes.own[0]], axes.batch.map(|axis| axis + isize::from(axis >= 0)), place)
        }
        _ => Ok(array),
    }
}

/// Lengths that a call names: `reshape(a, b)` or `reshape((a, b))`.
fn lengths<'a>(evaluator: &Evaluator<'_, 'a>, values: &[Value<'a>], place: Place) -> Result<Vec<i64>, Stop> {
    let items = match values {
        [Value::Tuple(items) | Value::List(items)] => items.to_vec(),
        _ => values.to_vec(),
    };
    let length = |item: &Value<'a>| match item {
        Value::Int(length) => Some(*length),
        // The number of rows is what is left.
        Value::Count(1) => Some(-1),
        _ => None,
    };
    match items.iter().map(length).collect() {
        Some(lengths) => Ok(lengths),
        None => evaluator.fail(place, "a shape is compiled of constant integers"),
    }
}

fn reshape_function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value, shape, newshape] = call.bind(evaluator, ["a", "shape", "newshape"])?;
    let (Some(value), Some(shape)) = (value, shape.or(newshape)) else {
        return evaluator.fail(call.place, "an array and a shape are needed");
    };
    let array = array_of(evaluator, &value, call.at(0))?;
    let array = evaluator.led(&array, call.place)?;
    let shape = lengths(evaluator, &[shape], call.place)?;
    reshaped(evaluator, &array, &shape, call.place).map(Value::Array)
}

fn reshape_method<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    if let Some((name, _, place)) = call.keywords.first() {
        return evaluator.fail(*place, format!("the argument `{name}` is not compiled here"));
    }
    let array = receiver(evaluator, value, call.place)?.clone();
    let array = evaluator.led(&array, call.place)?;
    let values: Vec<Value<'a>> = call.positional.iter().map(|(value, _)| value.clone()).collect();
    let shape = lengths(evaluator, &values, call.place)?;
    reshaped(evaluator, &array, &shape, call.place).map(Value::Array)
}

/// numpy's reshape. The rows of a request stay on the first axis, in the length that is left open.
fn reshaped(evaluator: &mut Evaluator<'_, '_>, array: &Array, shape: &[i64], place: Place) -> Result<Array, Stop> {
    if evaluator.unsettled(array.tensor).is_some() {
        return evaluator.fail(place, "the shape of this array depends on the request. Declare it (`Shape((-1, 4))`)");
    }
    let axes = axes_of(evaluator, array);
    let total: usize = axes.own.iter().product();
    let lengths = || shape.iter().filter_map(|&length| usize::try_from(length).ok());
    // Lengths beyond all bounds fit nothing.
    let known = lengths().try_fold(1usize, usize::checked_mul).unwrap_or(0);
    let open: Vec<usize> = (0..shape.len()).filter(|&at| shape[at] < 0).collect();
    let batched = axes.batch.is_some_and(|axis| axis >= 0);
    let fits = match open.len() {
        0 => known == total && !batched,
        1 => known > 0 && total.is_multiple_of(known),
        _ => false,
    };
    if !fits {
        return evaluator
            .fail(place, "this shape does not fit the array for every number of rows. Leave the rows open with -1");
    }
    let own: Vec<usize> = shape.iter().map(|&length| usize::try_from(length).unwrap_or(total / known)).collect();
    let batch = if batched { open.first().map(|&axis| axis as isize) } else { axes.batch };
    // Elements are in the order of rows, so rows must come first in both shapes.
    let before: usize = own.iter().take(open.first().copied().unwrap_or(0)).product();
    if batched && (before != 1 || axes.own.iter().take(axes.batch.unwrap_or(0).unsigned_abs()).product::<usize>() != 1)
    {
        return evaluator.fail(place, "rows of the request are on another axis than the first");
    }
    with_axes(evaluator, array, &own, batch, place)
}

fn squeeze_function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value, axis] = call.bind(evaluator, ["a", "axis"])?;
    let Some(value) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    let array = array_of(evaluator, &value, call.at(0))?;
    squeezed(evaluator, &array, axis.as_ref(), call.place)
}

fn squeeze_method<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [axis] = call.bind(evaluator, ["axis"])?;
    let array = receiver(evaluator, value, call.place)?.clone();
    squeezed(evaluator, &array, axis.as_ref(), call.place)
}

fn squeezed<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    array: &Array,
    axis: Option<&Value<'a>>,
    place: Place,
) -> Evaluated<'a> {
    let array = evaluator.led(array, place)?;
    let axes = axes_of(evaluator, &array);
    let batch = axes.batch.and_then(|axis| usize::try_from(axis).ok());
    let removed: Vec<usize> = match axis {
        None | Some(Value::None) if batch.is_some() => {
            return evaluator.fail(
                place,
                "whether the axis of rows goes depends on their number. Name the axis: `squeeze(axis=1)`",
            );
        }
        None | Some(Value::None) => (0..axes.own.len()).filter(|&at| axes.own[at] == 1).collect(),
        Some(axis) => vec![one_axis(evaluator, axis, axes.own.len(), place)?],
    };
    if removed.iter().any(|&at| axes.own[at] != 1 || batch == Some(at)) {
        return evaluator.fail(place, "only an axis of length 1 is removed");
    }
    let own: Vec<usize> = (0..axes.own.len()).filter(|at| !removed.contains(at)).map(|at| axes.own[at]).collect();
    let batch = match batch {
        Some(at) => Some((at - removed.iter().filter(|&&other| other < at).count()) as isize),
        None => axes.batch,
    };
    with_axes(evaluator, &array, &own, batch, place).map(Value::Array)
}

fn one_axis<'a>(evaluator: &Evaluator<'_, 'a>, axis: &Value<'a>, rank: usize, place: Place) -> Result<usize, Stop> {
    let at = match axis {
        Value::Int(axis) if *axis < 0 => usize::try_from(axis + rank as i64).ok(),
        Value::Int(axis) => usize::try_from(*axis).ok(),
        _ => None,
    };
    match at.filter(|&at| at < rank) {
        Some(at) => Ok(at),
        None => evaluator.fail(place, "this axis is not there"),
    }
}

fn expand_function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    match call.bind(evaluator, ["a", "axis"])? {
        [Some(value), Some(axis)] => {
            let array = array_of(evaluator, &value, call.at(0))?;
            let array = evaluator.led(&array, call.place)?;
            let rank = axes_of(evaluator, &array).own.len();
            let at = one_axis(evaluator, &axis, rank + 1, call.place)?;
            with_new_axis(evaluator, &array, at, call.place).map(Value::Array)
        }
        _ => evaluator.fail(call.place, "an array and an axis are needed"),
    }
}

/// The array with one more axis of length 1, before its own axis `at`.
pub(in crate::service) fn with_new_axis(
    evaluator: &mut Evaluator<'_, '_>,
    array: &Array,
    at: usize,
    place: Place,
) -> Result<Array, Stop> {
    let mut axes = axes_of(evaluator, array);
    axes.own.insert(at, 1);
    let batch = axes.batch.map(|axis| axis + isize::from(axis >= at as isize));
    with_axes(evaluator, array, &axes.own, batch, place)
}

fn transpose_function<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>) -> Evaluated<'a> {
    let [value, axes] = call.bind(evaluator, ["a", "axes"])?;
    let Some(value) = value else {
        return evaluator.fail(call.place, "an array is needed");
    };
    let array = array_of(evaluator, &value, call.at(0))?;
    permuted(evaluator, &array, axes.as_ref().map(std::slice::from_ref), call.place)
}

fn transpose_method<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let array = receiver(evaluator, value, call.place)?.clone();
    let values: Vec<Value<'a>> = call.positional.iter().map(|(value, _)| value.clone()).collect();
    permuted(evaluator, &array, (!values.is_empty()).then_some(&values), call.place)
}

fn transposed<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, place: Place) -> Evaluated<'a> {
    let array = receiver(evaluator, value, place)?.clone();
    permuted(evaluator, &array, None, place)
}

fn swap_axes<'a>(evaluator: &mut Evaluator<'_, 'a>, value: &Value<'a>, call: &Call<'a>) -> Evaluated<'a> {
    let array = receiver(evaluator, value, call.place)?.clone();
    let rank = array.axes(&evaluator.graph).len();
    match call.bind(evaluator, ["axis1", "axis2"])? {
        [Some(a), Some(b)] => {
            let a = one_axis(evaluator, &a, rank, call.place)?;
            let b = one_axis(evaluator, &b, rank, call.place)?;
            let mut order: Vec<i64> = (0..rank as i64).collect();
            order.swap(a, b);
            let order: Vec<Value<'a>> = order.into_iter().map(Value::Int).collect();
            permuted(evaluator, &array, Some(&order), call.place)
        }
        _ => evaluator.fail(call.place, "two axes are needed"),
    }
}

fn permuted<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    array: &Array,
    order: Option<&[Value<'a>]>,
    place: Place,
) -> Evaluated<'a> {
    let array = evaluator.led(array, place)?;
    let (lead, rank) = (array.indices.len(), array.axes(&evaluator.graph).len());
    let order: Vec<usize> = match order {
        None => (0..rank).rev().collect(),
        Some(values) => {
            let order = lengths(evaluator, values, place)?;
            let counted = order.iter().map(|&axis| if axis < 0 { axis + rank as i64 } else { axis });
            counted.filter_map(|axis| usize::try_from(axis).ok()).collect()
        }
    };
    let all: Vec<usize> = (0..lead).chain(order.iter().map(|axis| axis + lead)).collect();
    let Some(perm) = Permutation::new(&all).filter(|_| order.len() == rank) else {
        return evaluator.fail(place, "an order names each axis once");
    };
    let added = evaluator.graph.add("transpose", Transpose { perm }, &[array.tensor]);
    Ok(Value::Array(Array { python: false, ..array.with_tensor(evaluator.added(added, place)?) }))
}

/// How arrays are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Join {
    Concatenate,
    Stack,
    Horizontal,
    Vertical,
    Columns,
}

fn joined<'a>(evaluator: &mut Evaluator<'_, 'a>, call: &Call<'a>, kind: Join) -> Evaluated<'a> {
    let [value, axis] = call.bind(evaluator, ["arrays", "axis"])?;
    let Some(items) = value.as_ref().and_then(Value::items) else {
        return joined_rows(evaluator, value.as_ref(), axis.as_ref(), call, kind);
    };
    let mut parts = Vec::new();
    for item in items {
        let array = array_of(evaluator, item, call.at(0))?;
        parts.push(evaluator.led(&array, call.place)?);
    }
    let Some(first) = parts.first() else {
        return evaluator.fail(call.at(0), "there is nothing to put together");
    };
    let rank = first.axes(&evaluator.graph).len();
    let axis = axis.unwrap_or(Value::Int(0));
    let at = match kind {
        Join::Concatenate => one_axis(evaluator, &axis, rank, call.place)?,
        Join::Stack => one_axis(evaluator, &axis, rank + 1, call.place)?,
        Join::Horizontal => usize::from(rank > 1),
        Join::Vertical => 0,
        Join::Columns => 1,
    };
    for part in &mut parts {
        let own = part.axes(&evaluator.graph).len();
        *part = match kind {
            Join::Stack => with_new_axis(evaluator, part, at, call.place)?,
            Join::Columns if own == 1 => with_new_axis(evaluator, part, 1, call.place)?,
            Join::Vertical if own == 1 => with_new_axis(evaluator, part, 0, call.place)?,
            _ => part.clone(),
        };
    }
    put_together(evaluator, &parts, at, call.place)
}

/// One array for each row of a request, put together along the rows: they are one array already.
fn joined_rows<'a>(
    evaluator: &mut Evaluator<'_, 'a>,
    value: Option<&Value<'a>>,
    axis: Option<&Value<'a>>,
    call: &Call<'a>,
    kind: Join,
) -> Evaluated<'a> {
    let Some(value @ (Value::Array(_) | Value::Rows(..))) = value else {
        return evaluator.fail(call.at(0), "a list or tuple of arrays is needed");
    };
    let array = array_of(evaluator, value, call.at(0))?;
    let axes = array.axes(&evaluator.graph);
    let first = matches!(axis, None | Some(Value::Int(0)));
    let length = axes.get(1).and_then(|&axis| evaluator.graph.shape(array.tensor).factor(axis));
    let made = match (kind, axes.len(), length) {
        (Join::Stack, 2.., _) if first => Some(array.clone()),
        (Join::Vertical, 2, _) => Some(array.clone()),
        (Join::Vertical | Join::Concatenate, 3.., Some(1)) if first => {
            axes.get(1).map(|&axis| array.with_index(axis, Index::At(0)))
        }
        _ => None,
    };
    match made {
        Some(array) => Ok(Value::Array(Array { python: false, ..array })),
        None => {
            let problem = "of arrays of the rows of a request, `stack` and `vstack` along the rows are compiled, and `concatenate` of one row each";
            evaluator.fail(call.at(0), problem)
        }
    }
}

/// Arrays of the same number of axes, one after the other along their own axis `at`.
fn put_together<'a>(evaluator: &mut Evaluator<'_, 'a>, parts: &[Array], at: usize, place: Place) -> Evaluated<'a> {
    let to = evaluator.common_type(parts, place)?;
    let Some(first) = parts.first() else {
        return evaluator.fail(place, "there is nothing to put together");
    };
    let mut tensors = Vec::new();
    for part in parts {
        if part.indices != first.indices {
            return evaluator.fail(place, "rows of different loops are not put together");
        }
        tensors.push(evaluator.cast(part.tensor, to, place)?);
    }
    let axis = first.indices.len() + at;
    if tensors.iter().any(|&tensor| evaluator.graph.shape(tensor).is_batch(axis)) && parts.len() > 1 {
        return evaluator.fail(place, "arrays are not put together along the rows of the request");
    }
    let tensor = evaluator.concatenated(&tensors, axis, place)?;
    let assumed = parts.iter().any(|part| part.assumed);
    Ok(Value::Array(Array { indices: first.indices.clone(), assumed, ..Array::whole(tensor) }))
}
