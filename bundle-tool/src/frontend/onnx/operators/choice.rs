//! Choosing elements by their values, and marking the chosen ones.

use std::collections::{BTreeMap, HashMap};

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::one_hot::OneHot;
use ekiben_runtime::ops::top_k::TopK;

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::known;
use super::shape::flattened;
use crate::graph::TensorId;

pub(super) fn top_k(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let axis = call.axis(call.attributes.int("axis")?.unwrap_or(-1), call.shape(x).rank())? as u8;
    let largest = call.attributes.flag("largest", true)?;
    // Without it any order will do, so also this one.
    call.attributes.flag("sorted", true)?;
    let k = match call.attributes.int("k")? {
        Some(k) => Some(k),
        None => known::integer(call, 1)?,
    };
    let k = k.ok_or("input 1, k, must be known while the model is compiled: it is the length of an axis")?;
    let k = u32::try_from(k).map_err(|_| Refusal(format!("k is {k}")))?;
    let results = call.add_node(TopK { axis, k, largest }.into(), &[Some(x)], &[])?;
    Ok(results.into_iter().map(Value::Tensor).collect())
}

pub(super) fn one_hot(call: &mut Call<'_>) -> Lowered {
    let (indices, values) = (call.tensor(0)?, call.tensor(2)?);
    let indices = known::as_integers(call, indices)?;
    let depth = known::integer(call, 1)?;
    let depth =
        depth.ok_or("input 1, depth, must be known while the model is compiled: it is the length of an axis")?;
    let depth = u32::try_from(depth).map_err(|_| Refusal(format!("the depth is {depth}")))?;
    let axis = call.attributes.int("axis")?.unwrap_or(-1);
    let axis = call.axis(axis, call.shape(indices).rank() + 1)? as u8;
    one(call.add(OneHot { axis, depth }, &[indices, values])?)
}

/// 1 for the first of the largest elements along an axis, 0 for the others.
pub(super) fn hardmax(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    let stated = call.attributes.int("axis")?;
    // Before version 13 the axes from `axis` on are one.
    let (matrix, axis) = match call.version {
        13.. => (x, call.axis(stated.unwrap_or(-1), shape.rank())?),
        _ => {
            let axis = call.axis(stated.unwrap_or(1), shape.rank())?;
            (flattened(call, x, axis)?, 1)
        }
    };
    let depth = call.shape(matrix).factors()[axis];
    let arg = ArgReduce { axis: axis as u8, smallest: false, last: false, keep: false, wide: true };
    let largest = call.add(arg, &[matrix])?;
    let values = known::numbers(call, call.dtype(x), &[2], &[0.0, 1.0])?;
    let result = call.add(OneHot { axis: axis as u8, depth }, &[largest, values])?;
    one(call.reshape(result, shape)?)
}

/// The parts of an axis (of all elements, without one) for which the condition holds.
pub(super) fn compress(call: &mut Call<'_>) -> Lowered {
    let condition = call.tensor(1)?;
    known::check_size(call, condition)?;
    let condition = call.constant_integers(condition).ok_or(
        "input 1, the condition, must be known while the model is compiled: the length of the result depends on it",
    )?;
    let mut x = call.data(0)?;
    let axis = match call.attributes.int("axis")? {
        Some(axis) => call.axis(axis, call.shape(x).rank())?,
        None => {
            let shape = call.shape(x);
            let elements = shape.elements().and_then(|count| usize::try_from(count).ok()).ok_or("too many elements")?;
            x = call.reshape_to(x, &[elements], shape.batch_axis().map(|_| 0))?;
            0
        }
    };
    if condition.len() > call.shape(x).factors()[axis] as usize {
        return Err("the condition is longer than the axis".into());
    }
    let chosen: Vec<i64> = (0..).zip(&condition).filter(|&(_, &holds)| holds != 0).map(|(place, _)| place).collect();
    if chosen.is_empty() {
        return Err("the condition holds nowhere; empty tensors are not supported".into());
    }
    let indices = call.constant(DType::I64, &[chosen.len()], &chosen)?;
    let result = call.add(Gather { axis: axis as u8 }, &[x, indices])?;
    call.moved(vec![result])
}

/// The keys of an input that must be a constant.
fn known_keys(call: &Call<'_>, id: TensorId) -> Result<Vec<i128>, Refusal> {
    let reason =
        "its result is as long as the values of its input say, so the input must be known while the model is compiled";
    known::check_size(call, id)?;
    known::keys(call, id).ok_or_else(|| reason.into())
}

/// Positions of the elements that are not zero: a row for each axis.
pub(super) fn non_zero(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let keys = known_keys(call, x)?;
    let found: Vec<i64> = (0..).zip(&keys).filter(|&(_, &key)| key != 0).map(|(position, _)| position).collect();
    let dims: Vec<i64> = call.shape(x).factors().iter().map(|&dim| dim.into()).collect();
    let mut rows = Vec::with_capacity(dims.len() * found.len());
    for axis in 0..dims.len() {
        let inner: i64 = dims[axis + 1..].iter().product();
        rows.extend(found.iter().map(|position| position / inner.max(1) % dims[axis].max(1)));
    }
    one(call.constant(DType::I64, &[dims.len(), found.len()], &rows)?)
}

/// The distinct elements, or parts of an axis, of a constant.
pub(super) fn unique(call: &mut Call<'_>) -> Lowered {
    let sorted = call.attributes.flag("sorted", true)?;
    let mut x = call.tensor(0)?;
    let keys = known_keys(call, x)?;
    let axis = match call.attributes.int("axis")? {
        Some(axis) => call.axis(axis, call.shape(x).rank())?,
        None => {
            x = call.reshape_to(x, &[keys.len()], None)?;
            0
        }
    };
    let dims: Vec<usize> = call.shape(x).factors().iter().map(|&dim| dim as usize).collect();
    let length = dims[axis];
    let inner: usize = dims[axis + 1..].iter().product();
    let part = |index: usize| -> Vec<i128> {
        let starts = (0..dims[..axis].iter().product::<usize>()).map(|outer| (outer * length + index) * inner);
        starts.flat_map(|start| keys[start..start + inner].iter().copied()).collect()
    };
    let mut groups: BTreeMap<Vec<i128>, Vec<usize>> = BTreeMap::new();
    for index in 0..length {
        groups.entry(part(index)).or_default().push(index);
    }
    let mut groups: Vec<Vec<usize>> = groups.into_values().collect();
    if !sorted {
        groups.sort_by_key(|members| members[0]);
    }
    let first: Vec<i64> = groups.iter().map(|members| members[0] as i64).collect();
    let counts: Vec<i64> = groups.iter().map(|members| members.len() as i64).collect();
    let places = (0i64..).zip(&groups).flat_map(|(group, members)| members.iter().map(move |&index| (index, group)));
    let places: HashMap<usize, i64> = places.collect();
    let inverse: Vec<i64> = (0..length).map(|index| places[&index]).collect();
    let indices = call.constant(DType::I64, &[first.len()], &first)?;
    let values = call.add(Gather { axis: axis as u8 }, &[x, indices])?;
    let inverse = call.constant(DType::I64, &[length], &inverse)?;
    let counts = call.constant(DType::I64, &[counts.len()], &counts)?;
    Ok([values, indices, inverse, counts].into_iter().map(Value::Tensor).collect())
}
