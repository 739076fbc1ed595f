//! Class labels: what a classifier answers with.

use super::SklearnError;
use crate::frontend::pickle::{Item, Kind};

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
    pub(super) fn decode(item: &Item<'_>) -> Result<Labels, SklearnError> {
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
    fn decode_objects(objects: &[Item<'_>], item: &Item<'_>) -> Result<Labels, SklearnError> {
        if let Ok(labels) = objects.iter().map(|o| o.as_str().map(str::to_owned)).collect() {
            return Ok(Labels::Text(labels));
        }
        if let Ok(labels) = objects.iter().map(Item::as_bool).collect() {
            return Ok(Labels::Bool(labels));
        }
        match objects.iter().map(Item::as_i64).collect() {
            Ok(labels) => Ok(Labels::Int(labels)),
            Err(_) => Err(SklearnError::unsupported(
                item,
                "class labels that are neither all text, all booleans nor all integers",
            )),
        }
    }

    /// Decodes the `classes_` of a model of `outputs` outputs: an array, or a list of arrays where there are several.
    pub(super) fn decode_outputs(item: &Item<'_>, outputs: usize) -> Result<Vec<Labels>, SklearnError> {
        if outputs == 1 {
            return Ok(vec![Labels::decode(item)?]);
        }
        let labels: Result<Vec<Labels>, SklearnError> = item.items()?.iter().map(Labels::decode).collect();
        let labels = labels?;
        if labels.len() != outputs {
            return Err(SklearnError::inconsistent(
                item,
                format!("{} sets of labels for {outputs} outputs", labels.len()),
            ));
        }
        Ok(labels)
    }
}
