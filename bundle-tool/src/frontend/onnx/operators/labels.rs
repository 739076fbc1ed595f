//! Class labels: tables of them, encoders between kinds of them, and maps from them to scores.

use std::collections::HashMap;

use ekiben_runtime::kernels::reference::cast::cast;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::lookup::Lookup;
use ekiben_runtime::{DType, Shape, TensorSpec};
use tract_onnx::pb::NodeProto;

use super::super::attributes::Attributes;
use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::super::tensor;
use crate::frontend::Key;
use crate::graph::TensorId;

/// Values of one kind, in a table.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Labels {
    Ints(Vec<i64>),
    Floats(Vec<f32>),
    Doubles(Vec<f64>),
    Texts(Vec<String>),
}

impl Labels {
    /// The attributes with these names, of which one is there at most.
    pub(super) fn read(attributes: &Attributes<'_>, [ints, floats, texts]: [&str; 3]) -> Result<Option<Self>, Refusal> {
        let ints = attributes.ints(ints)?.filter(|list| !list.is_empty());
        let floats = if floats.is_empty() { None } else { attributes.floats(floats)?.filter(|list| !list.is_empty()) };
        let texts = attributes.strings(texts)?.filter(|list| !list.is_empty());
        match (ints, floats, texts) {
            (None, None, None) => Ok(None),
            (Some(list), None, None) => Ok(Some(Self::Ints(list.to_vec()))),
            (None, Some(list), None) => Ok(Some(Self::Floats(list.to_vec()))),
            (None, None, Some(list)) => Ok(Some(Self::Texts(list.into_iter().map(str::to_owned).collect()))),
            _ => Err("it has labels of two kinds".into()),
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ints(list) => list.len(),
            Self::Floats(list) => list.len(),
            Self::Doubles(list) => list.len(),
            Self::Texts(list) => list.len(),
        }
    }

    /// A constant `[len]`: numbers, or categories of a table.
    fn constant(&self, call: &mut Call<'_>) -> Result<TensorId, Refusal> {
        match self {
            Self::Ints(list) => call.constant(DType::I64, &[list.len()], list),
            Self::Floats(list) => call.constant(DType::F32, &[list.len()], list),
            Self::Doubles(list) => call.constant(DType::F64, &[list.len()], list),
            Self::Texts(list) => {
                let table = call.graph.add_table(list.clone());
                let shape = Shape::fixed(&[list.len()])?;
                let spec = TensorSpec { table: Some(table), ..TensorSpec::new(DType::Category, shape) };
                let positions: Vec<u32> = (0..list.len() as u32).collect();
                let name = call.name.clone();
                Ok(call.graph.add_constant_bytes(&name, spec, bytemuck::cast_slice(&positions))?)
            }
        }
    }

    /// The labels at `indices` (i32 or i64), in their shape.
    pub(super) fn pick(&self, call: &mut Call<'_>, indices: TensorId) -> Result<TensorId, Refusal> {
        let table = self.constant(call)?;
        call.add(Gather { axis: 0 }, &[table, indices])
    }

    /// The labels at the positions `order`, then `default`.
    fn reordered(&self, order: &[usize], default: &Self) -> Result<Self, Refusal> {
        fn pick<T: Clone>(list: &[T], order: &[usize], default: &[T]) -> Vec<T> {
            order.iter().filter_map(|&position| list.get(position)).chain(default.first()).cloned().collect()
        }
        Ok(match (self, default) {
            (Self::Ints(list), Self::Ints(default)) => Self::Ints(pick(list, order, default)),
            (Self::Floats(list), Self::Floats(default)) => Self::Floats(pick(list, order, default)),
            (Self::Doubles(list), Self::Doubles(default)) => Self::Doubles(pick(list, order, default)),
            (Self::Texts(list), Self::Texts(default)) => Self::Texts(pick(list, order, default)),
            _ => return Err("the default is of another kind than the values".into()),
        })
    }
}

/// Class labels of a classifier.
pub(super) fn classes(call: &Call<'_>, ints: &str) -> Result<Labels, Refusal> {
    let labels = Labels::read(&call.attributes, [ints, "", "classlabels_strings"])?;
    labels.ok_or_else(|| "it has no class labels".into())
}

/// A list in a tensor attribute, and its element type: integers of any width, floats or texts.
fn tensor_labels(call: &Call<'_>, name: &str) -> Result<Option<(Labels, DType)>, Refusal> {
    let Some(stored) = call.attributes.tensor(name)? else { return Ok(None) };
    if let Some(texts) = tensor::texts(stored) {
        return Ok(Some((Labels::Texts(texts?.1), DType::Category)));
    }
    let constant = tensor::read(stored)?;
    let dtype = constant.spec.dtype;
    let count = constant.bytes.len() / (dtype.bits() as usize / 8).max(1);
    let wide = |to: DType, bytes: &mut [u8]| cast(dtype, &constant.bytes, to, bytes);
    let labels = match dtype {
        DType::I16 | DType::I32 | DType::I64 => {
            let mut list = vec![0_i64; count];
            wide(DType::I64, bytemuck::cast_slice_mut(&mut list));
            Labels::Ints(list)
        }
        DType::F32 => {
            let mut list = vec![0.0_f32; count];
            wide(DType::F32, bytemuck::cast_slice_mut(&mut list));
            Labels::Floats(list)
        }
        DType::F64 => {
            let mut list = vec![0.0_f64; count];
            wide(DType::F64, bytemuck::cast_slice_mut(&mut list));
            Labels::Doubles(list)
        }
        other => return Err(Refusal(format!("attribute {name} of type {other} is not supported"))),
    };
    Ok(Some((labels, dtype)))
}

/// The value for elements that are no key.
fn default(call: &Call<'_>, values: &Labels) -> Result<Labels, Refusal> {
    let stated = tensor_labels(call, "default_tensor")?.map(|(labels, _)| labels);
    let int = call.attributes.int("default_int64")?.unwrap_or(-1);
    let float = call.attributes.float("default_float")?.unwrap_or(-0.0);
    let text = call.attributes.string("default_string")?.unwrap_or("_Unused").to_owned();
    Ok(stated.unwrap_or(match values {
        Labels::Ints(_) => Labels::Ints(vec![int]),
        Labels::Floats(_) => Labels::Floats(vec![float]),
        Labels::Doubles(_) => Labels::Doubles(vec![float.into()]),
        Labels::Texts(_) => Labels::Texts(vec![text]),
    }))
}

/// Maps keys to values. Version 1 has one list: texts of which the positions are the other kind.
pub(super) fn encoder(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let (keys, values, dtype) = if let Some(classes) = call.attributes.strings("classes_strings")? {
        let texts = Labels::Texts(classes.iter().map(|&text| text.to_owned()).collect());
        let positions = Labels::Ints((0..classes.len() as i64).collect());
        let (keys, values) = if call.dtype(x) == DType::Category { (texts, positions) } else { (positions, texts) };
        (keys, values, DType::I64)
    } else {
        let keys = Labels::read(&call.attributes, ["keys_int64s", "keys_floats", "keys_strings"])?;
        let values = Labels::read(&call.attributes, ["values_int64s", "values_floats", "values_strings"])?;
        let keys = keys.or(tensor_labels(call, "keys_tensor")?.map(|(keys, _)| keys)).ok_or("it has no keys")?;
        let stored = tensor_labels(call, "values_tensor")?;
        let dtype = stored.as_ref().map_or(DType::I64, |(_, dtype)| *dtype);
        (keys, values.or(stored.map(|(values, _)| values)).ok_or("it has no values")?, dtype)
    };
    let default = default(call, &values)?;
    let encoded = encode(call, x, &keys, &values, &default)?;
    match (values, encoded.as_slice()) {
        (Labels::Ints(_), &[Value::Tensor(encoded)]) => one(call.cast(encoded, dtype)?),
        (_, _) => Ok(encoded),
    }
}

/// The value beside the key that equals each element, `default` where there is none.
pub(super) fn encode(call: &mut Call<'_>, x: TensorId, keys: &Labels, values: &Labels, default: &Labels) -> Lowered {
    if keys.len() != values.len() {
        return Err(Refusal(format!("{} keys and {} values", keys.len(), values.len())));
    }
    let (x, keys, order) = sorted_keys(call, x, keys)?;
    let positions = call.add(Lookup, &[x, keys])?;
    one(values.reordered(&order, default)?.pick(call, positions)?)
}

/// The input in the keys' type, the keys in rising order, and where they stood. The first of equal keys counts.
pub(super) fn sorted_keys(
    call: &mut Call<'_>,
    x: TensorId,
    keys: &Labels,
) -> Result<(TensorId, TensorId, Vec<usize>), Refusal> {
    let dtype = call.dtype(x);
    let mut order: Vec<usize> = (0..keys.len()).collect();
    let (x, keys) = match keys {
        Labels::Ints(list) => {
            order.sort_by_key(|&position| list[position]);
            order.dedup_by_key(|position| list[*position]);
            let x = if dtype.is_integer() { call.cast(x, DType::I64)? } else { x };
            let sorted: Vec<i64> = order.iter().map(|&position| list[position]).collect();
            (x, call.constant(DType::I64, &[sorted.len()], &sorted)?)
        }
        Labels::Floats(list) => {
            // Adding 0 turns -0 into 0; all NaN are one key, the largest.
            let key = |position: usize| if list[position].is_nan() { f32::NAN } else { list[position] + 0.0 };
            // Before version 4 NaN is no key.
            order.retain(|&position| call.version >= 4 || !list[position].is_nan());
            order.sort_by(|&a, &b| key(a).total_cmp(&key(b)));
            order.dedup_by(|a, b| key(*a).to_bits() == key(*b).to_bits());
            let sorted: Vec<f32> = order.iter().map(|&position| key(position)).collect();
            (x, call.constant(DType::F32, &[sorted.len()], &sorted)?)
        }
        Labels::Doubles(list) => {
            let key = |position: usize| if list[position].is_nan() { f64::NAN } else { list[position] + 0.0 };
            order.sort_by(|&a, &b| key(a).total_cmp(&key(b)));
            order.dedup_by(|a, b| key(*a).to_bits() == key(*b).to_bits());
            let sorted: Vec<f64> = order.iter().map(|&position| key(position)).collect();
            (x, call.constant(DType::F64, &[sorted.len()], &sorted)?)
        }
        Labels::Texts(list) => {
            let table = call
                .graph
                .spec(x)
                .table
                .ok_or_else(|| Refusal(format!("keys of text for an input of type {dtype}")))?;
            let strings = call.graph.tables().get(table as usize).cloned().unwrap_or_default();
            let mut places = HashMap::new();
            for (place, text) in strings.iter().enumerate() {
                places.entry(text).or_insert(place);
            }
            let category = |position: usize| places.get(&list[position]).copied();
            order.retain(|&position| category(position).is_some());
            order.sort_by_key(|&position| category(position));
            order.dedup_by_key(|position| category(*position));
            let sorted: Vec<u32> =
                order.iter().filter_map(|&position| category(position)).map(|at| at as u32).collect();
            (x, call.constant(DType::U32, &[sorted.len()], &sorted)?)
        }
    };
    Ok((x, keys, order))
}

/// The labels of a `ZipMap`.
pub(in super::super) fn zip_map_keys(node: &NodeProto) -> Vec<Key> {
    let attributes = node.attribute.iter().filter(|attribute| attribute.name.starts_with("classlabels_"));
    let keys = attributes.flat_map(|attribute| {
        let ints = attribute.ints.iter().map(|&label| Key::Int(label));
        ints.chain(attribute.strings.iter().map(|label| Key::Text(String::from_utf8_lossy(label).into_owned())))
    });
    keys.collect()
}

/// Scores stay a matrix; what its columns stand for is told by [`crate::frontend::Model::keys`].
pub(super) fn zip_map(call: &mut Call<'_>) -> Lowered {
    let labels = classes(call, "classlabels_int64s")?;
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    match shape.factors().last() {
        Some(&last) if last as usize == labels.len() => one(x),
        _ => Err(Refusal(format!("{} labels for scores of shape {shape}", labels.len()))),
    }
}
