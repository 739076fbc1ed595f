//! Categories and features of `ai.onnx.ml` as numbers side by side.

use ekiben_runtime::DType;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::gather_nd::GatherNd;
use ekiben_runtime::ops::lookup::Lookup;
use ekiben_runtime::ops::one_hot::OneHot;
use ekiben_runtime::ops::pad::{Pad, PadMode};
use ekiben_runtime::ops::select::Select;

use super::super::call::{Call, Lowered, Refusal, one};
use super::indexing::{Part, take};
use super::labels::{Labels, encode, sorted_keys};
use crate::graph::TensorId;

/// Each element as a row with a 1 where its category stands. With `zeros` an unknown category has none, else it ends the run.
pub(super) fn one_hot(call: &mut Call<'_>) -> Lowered {
    let zeros = call.attributes.int("zeros")?.unwrap_or(1) != 0;
    let categories =
        Labels::read(&call.attributes, ["cats_int64s", "", "cats_strings"])?.ok_or("it has no categories")?;
    let mut x = call.tensor(0)?;
    let mut nan = None;
    if matches!(categories, Labels::Ints(_)) && call.dtype(x) != DType::I64 {
        if call.dtype(x).is_float() {
            nan = Some(call.add(Compare { kind: CompareKind::NotEqual }, &[x, x])?);
        }
        x = call.add(Cast { to: DType::I64 }, &[x])?;
    }
    let count = categories.len();
    let (x, keys, order) = sorted_keys(call, x, &categories)?;
    if matches!(categories, Labels::Ints(_)) && order.len() != count {
        return Err("a category is there twice".into());
    }
    let mut position = call.add(Lookup, &[x, keys])?;
    let narrow = |place: usize| i32::try_from(place).map_err(|_| Refusal("too many categories".to_owned()));
    if let Some(nan) = nan {
        // NaN is cut to no integer that is a category.
        let unknown = call.constant(DType::I32, &[], &[narrow(order.len())?])?;
        position = call.add(Select, &[nan, unknown, position])?;
    }
    let mut places = order.iter().map(|&place| narrow(place)).collect::<Result<Vec<i32>, _>>()?;
    let place = if zeros {
        // No element is set for the place after the last.
        places.push(narrow(count)?);
        let places = call.constant(DType::I32, &[places.len()], &places)?;
        call.add(Gather { axis: 0 }, &[places, position])?
    } else {
        let places = call.constant(DType::I32, &[places.len()], &places)?;
        let tuples = with_last_axis(call, position, 1)?;
        call.add(GatherNd { batch_dims: 0 }, &[places, tuples])?
    };
    let axis = call.shape(place).rank() as u8;
    let depth = u32::try_from(count).map_err(|_| "too many categories")?;
    let values = call.constant(DType::F32, &[2], &[0.0_f32, 1.0])?;
    one(call.add(OneHot { axis, depth }, &[place, values])?)
}

/// The tensor with one more axis of length 1 at its end.
fn with_last_axis(call: &mut Call<'_>, x: TensorId, length: usize) -> Result<TensorId, Refusal> {
    let shape = call.shape(x);
    let dims: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).chain([length]).collect();
    call.reshape_to(x, &dims, shape.batch_axis())
}

/// Texts to integers, or the reverse, by two lists side by side.
pub(super) fn category_mapper(call: &mut Call<'_>) -> Lowered {
    let ints = call.attributes.ints("cats_int64s")?.unwrap_or_default().to_vec();
    let texts = call.attributes.strings("cats_strings")?.unwrap_or_default();
    let texts = Labels::Texts(texts.into_iter().map(str::to_owned).collect());
    let int = Labels::Ints(vec![call.attributes.int("default_int64")?.unwrap_or(-1)]);
    let text = Labels::Texts(vec![call.attributes.string("default_string")?.unwrap_or("_Unused").to_owned()]);
    let x = call.tensor(0)?;
    let ints = Labels::Ints(ints);
    if ints.len() != texts.len() || ints.len() == 0 {
        return Err(Refusal(format!("{} integers and {} texts", ints.len(), texts.len())));
    }
    if call.dtype(x) == DType::Category {
        encode(call, x, &texts, &ints, &int)
    } else {
        encode(call, x, &ints, &texts, &text)
    }
}

/// Inputs side by side as float32, each cut or filled with zeros to its number of features.
pub(super) fn feature_vectorizer(call: &mut Call<'_>) -> Lowered {
    let widths = call.attributes.ints("inputdimensions")?.unwrap_or_default().to_vec();
    if widths.is_empty() || widths.len() != call.inputs.len() {
        return Err(Refusal(format!("{} numbers of features for {} inputs", widths.len(), call.inputs.len())));
    }
    let mut parts = Vec::new();
    for (index, &width) in widths.iter().enumerate() {
        let width = usize::try_from(width).ok().filter(|width| *width > 0);
        let width = width.ok_or("attribute inputdimensions holds a number below 1")?;
        let x = call.tensor(index)?;
        let x = call.cast(x, DType::F32)?;
        let rows = rows_of(call, x)?;
        parts.push(fitted(call, rows, width)?);
    }
    match parts.as_slice() {
        &[part] => one(part),
        parts => one(call.add(Concat { axis: 1 }, parts)?),
    }
}

/// A list as one row; of more axes, all but the first in one.
fn rows_of(call: &mut Call<'_>, x: TensorId) -> Result<TensorId, Refusal> {
    let shape = call.shape(x);
    if shape.rank() == 2 {
        return Ok(x);
    }
    let dims: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).collect();
    match (dims.as_slice(), shape.batch_axis()) {
        ([], _) => Err("a scalar; rows of features are supported".into()),
        (&[width], None) => call.reshape_to(x, &[1, width], None),
        (&[_], Some(_)) => Err("its list is as long as the batch: give rows of features".into()),
        (_, Some(1..)) => Err("the batch on another axis than the first".into()),
        ([rows, rest @ ..], batch) => {
            let width = rest.iter().try_fold(1_usize, |product, &dim| product.checked_mul(dim));
            call.reshape_to(x, &[*rows, width.ok_or("too many features")?], batch)
        }
    }
}

/// Rows of `width` elements.
fn fitted(call: &mut Call<'_>, x: TensorId, width: usize) -> Result<TensorId, Refusal> {
    let has = call.shape(x).factor(1).unwrap_or(0);
    if has > width {
        let mut parts = Part::whole(&call.shape(x));
        parts[1] = Part { start: 0, step: 1, length: width as i64 };
        return take(call, x, &parts);
    }
    if has == width {
        return Ok(x);
    }
    let added = i32::try_from(width - has).map_err(|_| "attribute inputdimensions holds too large a number")?;
    let table = call.constant(DType::I32, &[2, 2], &[0, 0, 0, added])?;
    call.add(Pad { mode: PadMode::Constant }, &[x, table])
}
