//! Class labels: what a classifier answers with.

use std::collections::HashMap;

use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::{inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::{Item, Kind};
use crate::graph::{Graph, TensorId};

/// The labels of the classes of one output, in the order of the model's columns.
#[derive(Debug, Clone, PartialEq)]
pub enum Labels {
    /// Booleans.
    Bool(Vec<bool>),
    /// Integers.
    Int(Vec<i64>),
    /// Floats.
    Float(Vec<f64>),
    /// Text.
    Text(Vec<String>),
}

impl Labels {
    /// Number of classes.
    pub fn count(&self) -> usize {
        match self {
            Labels::Bool(labels) => labels.len(),
            Labels::Int(labels) => labels.len(),
            Labels::Float(labels) => labels.len(),
            Labels::Text(labels) => labels.len(),
        }
    }

    /// Decodes a `classes_` array of one output.
    pub(super) fn decode(item: &Item<'_>) -> Result<Labels, FrontendError> {
        let array = item.array()?;
        let labels = match array.dtype().kind {
            Kind::Bool => Labels::Bool(array.bools()?),
            Kind::Int | Kind::UInt => Labels::Int(array.i64s()?),
            Kind::Float => Labels::Float(array.f64s()?),
            Kind::Object => Labels::decode_objects(&array.objects()?, item)?,
            _ => Labels::Text(array.strings()?),
        };
        if array.shape().len() != 1 || labels.count() == 0 {
            return Err(item.wrong("a one-dimensional array of class labels").into());
        }
        Ok(labels)
    }

    /// Objects that are all of the same plain type.
    fn decode_objects(objects: &[Item<'_>], item: &Item<'_>) -> Result<Labels, FrontendError> {
        if let Ok(labels) = objects.iter().map(|o| o.as_str().map(str::to_owned)).collect() {
            return Ok(Labels::Text(labels));
        }
        if let Ok(labels) = objects.iter().map(Item::as_bool).collect() {
            return Ok(Labels::Bool(labels));
        }
        match objects.iter().map(Item::as_i64).collect() {
            Ok(labels) => Ok(Labels::Int(labels)),
            Err(_) => Err(unsupported(
                item,
                "class labels that are neither all text, all booleans nor all integers; train with one type of label",
            )),
        }
    }

    /// Decodes the `classes_` of a model of `outputs` outputs: an array, or a list of arrays of one type where there are several.
    pub(super) fn decode_outputs(item: &Item<'_>, outputs: usize) -> Result<Vec<Labels>, FrontendError> {
        if outputs == 1 {
            return Ok(vec![Labels::decode(item)?]);
        }
        let labels: Result<Vec<Labels>, FrontendError> = item.items()?.iter().map(Labels::decode).collect();
        let labels = labels?;
        if labels.len() != outputs {
            return Err(inconsistent(item, format!("{} sets of labels for {outputs} outputs", labels.len())));
        }
        let is_same = |pair: &[Labels]| std::mem::discriminant(&pair[0]) == std::mem::discriminant(&pair[1]);
        if !labels.windows(2).all(is_same) {
            return Err(inconsistent(item, "labels of several types"));
        }
        Ok(labels)
    }
}

/// Gives the labels that `indices` name: class `c` of output `k` has index `k * width + c`. `labels` are of one type and hold at most
/// `width` each.
pub(super) fn pick(
    graph: &mut Graph,
    path: &str,
    labels: &[Labels],
    width: usize,
    indices: TensorId,
) -> Result<TensorId, FrontendError> {
    let name = format!("{path}/classes_");
    let dims = [labels.len() * width];
    let table = match labels.first() {
        Some(Labels::Bool(_)) => {
            let flat = flatten(labels, width, |l| if let Labels::Bool(l) = l { l.as_slice() } else { &[] });
            let flat: Vec<u8> = flat.into_iter().map(u8::from).collect();
            graph.add_constant(&name, DType::Bool, &dims, &flat)?
        }
        Some(Labels::Int(_)) => {
            let flat = flatten(labels, width, |l| if let Labels::Int(l) = l { l.as_slice() } else { &[] });
            graph.add_constant(&name, DType::I64, &dims, &flat)?
        }
        Some(Labels::Float(_)) => {
            let flat = flatten(labels, width, |l| if let Labels::Float(l) = l { l.as_slice() } else { &[] });
            graph.add_constant(&name, DType::F64, &dims, &flat)?
        }
        _ => {
            let flat = flatten(labels, width, |l| if let Labels::Text(l) = l { l.as_slice() } else { &[] });
            categories(graph, &name, &flat)?
        }
    };
    Ok(graph.add(&format!("{path}/labels"), Gather { axis: 0 }, &[table, indices])?)
}

/// The labels of all outputs, each output's filled up to `width` with its first one.
fn flatten<T: Clone>(labels: &[Labels], width: usize, values: impl Fn(&Labels) -> &[T]) -> Vec<T> {
    let padded = |labels| {
        let values = values(labels);
        values.iter().chain(values.first().into_iter().cycle()).take(width).cloned()
    };
    labels.iter().flat_map(padded).collect()
}

/// A constant of categories, one for each of `texts`; equal texts are one category.
fn categories(graph: &mut Graph, name: &str, texts: &[String]) -> Result<TensorId, FrontendError> {
    let mut codes: HashMap<&str, u32> = HashMap::new();
    let mut table = Vec::new();
    let mut indices = Vec::with_capacity(texts.len());
    for text in texts {
        let code = *codes.entry(text).or_insert_with(|| {
            table.push(text.clone());
            table.len() as u32 - 1
        });
        indices.push(code);
    }
    let shape = Shape::fixed(&[texts.len()]).map_err(|error| FrontendError::malformed(name, error))?;
    let table = Some(graph.add_table(table));
    let spec = TensorSpec { table, ..TensorSpec::new(DType::Category, shape) };
    Ok(graph.add_constant_bytes(name, spec, bytemuck::cast_slice(&indices))?)
}
