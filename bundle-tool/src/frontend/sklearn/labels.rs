//! Class labels: what a classifier answers with.

use std::collections::HashMap;

use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::lookup::Lookup;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::{cast, inconsistent, unsupported};
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

    /// The number of the class whose label `item` is.
    pub(super) fn position_of(&self, item: &Item<'_>) -> Result<usize, FrontendError> {
        let position = match self {
            Labels::Bool(labels) => {
                let label = item.as_bool()?;
                labels.iter().position(|&known| known == label)
            }
            Labels::Int(labels) => {
                let label = item.as_i64()?;
                labels.iter().position(|&known| known == label)
            }
            Labels::Float(labels) => {
                let label = item.as_f64()?;
                labels.iter().position(|&known| known == label)
            }
            Labels::Text(labels) => {
                let label = item.as_str()?;
                labels.iter().position(|known| known == label)
            }
        };
        position.ok_or_else(|| inconsistent(item, "a label that is not among the classes"))
    }

    /// The number of each of these labels among `others`; `None` where one is not there.
    pub(super) fn positions_in(&self, others: &Labels) -> Option<Vec<usize>> {
        fn positions<T: PartialEq>(labels: &[T], others: &[T]) -> Option<Vec<usize>> {
            labels.iter().map(|label| others.iter().position(|other| other == label)).collect()
        }
        match (self, others) {
            (Labels::Bool(labels), Labels::Bool(others)) => positions(labels, others),
            (Labels::Int(labels), Labels::Int(others)) => positions(labels, others),
            (Labels::Float(labels), Labels::Float(others)) => positions(labels, others),
            (Labels::Text(labels), Labels::Text(others)) => positions(labels, others),
            _ => None,
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
pub(in crate::frontend) fn pick(
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

/// The numbers of the classes whose labels are `predicted`, `[N]` of a classifier: i32 `[N]`, [`Labels::count`] for a label that is not
/// among `labels`.
pub(super) fn indices(
    graph: &mut Graph,
    path: &str,
    labels: &Labels,
    predicted: TensorId,
) -> Result<TensorId, FrontendError> {
    let name = format!("{path}/classes_");
    let spec = graph.spec(predicted);
    let (predicted, keys) = match labels {
        Labels::Text(labels) => {
            let table = spec.table.and_then(|table| graph.tables().get(table as usize));
            let Some(table) = table.filter(|_| spec.dtype == DType::Category) else {
                return Err(FrontendError::malformed(path, "labels that are texts, and predictions that are not"));
            };
            let position = |text: &String| labels.iter().position(|label| label == text).unwrap_or(labels.len()) as i32;
            let positions: Vec<i32> = table.iter().map(position).collect();
            let codes: Vec<u32> = (0..positions.len() as u32).collect();
            let codes = graph.add_constant(&name, DType::U32, &[codes.len()], &codes)?;
            let positions = graph.add_constant(&name, DType::I32, &[positions.len()], &positions)?;
            let codes = graph.add(&format!("{path}/codes"), Lookup, &[predicted, codes])?;
            return Ok(graph.add(&format!("{path}/indices"), Gather { axis: 0 }, &[positions, codes])?);
        }
        Labels::Bool(labels) => {
            let labels: Vec<i32> = labels.iter().map(|&label| label.into()).collect();
            let keys = graph.add_constant(&name, DType::I32, &[labels.len()], &labels)?;
            (cast(graph, path, predicted, DType::I32)?, keys)
        }
        Labels::Int(labels) => {
            let keys = graph.add_constant(&name, DType::I64, &[labels.len()], labels)?;
            (cast(graph, path, predicted, DType::I64)?, keys)
        }
        Labels::Float(labels) => {
            let keys = graph.add_constant(&name, DType::F64, &[labels.len()], labels)?;
            (cast(graph, path, predicted, DType::F64)?, keys)
        }
    };
    Ok(graph.add(&format!("{path}/indices"), Lookup, &[predicted, keys])?)
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
