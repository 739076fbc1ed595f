//! ONNX models: the default domain's float operators and `ai.onnx.ml`, lowered node by node.
//!
//! A file is decoded by [`wire`] and [`tract_onnx::pb`], tensors by [`tensor`], attributes by [`attributes`]: each attribute of a node is
//! honoured or refused by name. [`lowering`] walks over the nodes and collects everything that stands in the way. Integers that depend on
//! the batch (what `Shape` gives, and what is computed from it) are [`count::Count`]s and never reach the graph. Nodes over constants
//! are computed at once. Tensors keep ONNX's layout; convolutions and pools stand between transposes.
//!
//! The first axis of an input, where its length is not stated, is the batch.

mod attributes;
mod call;
mod count;
mod lowering;
mod operators;
mod tensor;
#[cfg(test)]
mod tests;
mod wire;

use ekiben_runtime::{DType, Shape, TensorSpec};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto, ValueInfoProto};

use super::{Blocker, FrontendError, Key, Model, ModelInput, NamedTensor};
use crate::graph::{Graph, TensorId};

/// Versions of the two operator sets that a model imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opsets {
    default: i64,
    ml: i64,
}

/// Versions of the default operator set that are read. Before 7 broadcasting was another.
const DEFAULT_OPSETS: std::ops::RangeInclusive<i64> = 7..=25;
/// Versions of `ai.onnx.ml` that are read.
const ML_OPSETS: std::ops::RangeInclusive<i64> = 1..=5;

/// A decoded model.
pub struct OnnxModel {
    graph: GraphProto,
    opsets: Opsets,
    inputs: Vec<ModelInput>,
}

/// Reads a model file.
///
/// # Errors
/// [`FrontendError::Malformed`] when it is not ONNX; [`FrontendError::Unsupported`] with every input that cannot be compiled, and then
/// also every unknown operator.
pub fn open(bytes: &[u8]) -> Result<Box<dyn Model>, FrontendError> {
    Ok(Box::new(OnnxModel::read(bytes)?))
}

impl OnnxModel {
    fn read(bytes: &[u8]) -> Result<Self, FrontendError> {
        let model = wire::decode(bytes)?;
        let opsets = opsets(&model)?;
        let graph = model.graph.ok_or_else(|| FrontendError::malformed("model", "it has no graph"))?;
        let mut blockers = Vec::new();
        let mut inputs = Vec::new();
        for input in &graph.input {
            if graph.initializer.iter().any(|initializer| initializer.name == input.name) {
                continue;
            }
            match input_spec(input) {
                Ok(spec) => inputs.push(ModelInput { name: input.name.clone(), spec }),
                Err(reason) => {
                    let (node, operator) = (input.name.clone(), "input".to_owned());
                    blockers.push(Blocker { node, operator, reason });
                }
            }
        }
        if !blockers.is_empty() {
            blockers.extend(operators::unknown(&graph.node));
            return Err(FrontendError::Unsupported(blockers));
        }
        Ok(Self { graph, opsets, inputs })
    }
}

/// The versions of the operator sets; a domain may be listed twice with the same version.
fn opsets(model: &ModelProto) -> Result<Opsets, FrontendError> {
    let mut opsets = Opsets { default: 0, ml: 0 };
    for import in &model.opset_import {
        let slot = match import.domain.as_str() {
            "" | "ai.onnx" => &mut opsets.default,
            "ai.onnx.ml" => &mut opsets.ml,
            _ => continue,
        };
        *slot = (*slot).max(import.version);
    }
    for (version, range, name) in [(opsets.default, DEFAULT_OPSETS, "ai.onnx"), (opsets.ml, ML_OPSETS, "ai.onnx.ml")] {
        if version != 0 && !range.contains(&version) {
            let reason = format!(
                "version {version} of the operator set is not supported, {} to {} are. Convert the model with onnx.version_converter",
                range.start(),
                range.end()
            );
            return Err(FrontendError::unsupported("model", name, reason));
        }
    }
    Ok(opsets)
}

/// Type and shape of an input: an unstated first length is the batch, any other must be stated.
fn input_spec(input: &ValueInfoProto) -> Result<TensorSpec, String> {
    let Some(TypeValue::TensorType(tensor)) = input.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Err("it is not a tensor".to_owned());
    };
    let dtype = match tensor::dtype(tensor.elem_type) {
        // Texts enter as categories: positions among those that the model knows, see `lowering`.
        Ok(DType::Text) => DType::Category,
        Ok(dtype) => dtype,
        Err(reason) => return Err(reason),
    };
    let shape = tensor.shape.as_ref().ok_or("its number of axes is not stated; it must be")?;
    let mut dims = Vec::new();
    let mut batch = None;
    for (axis, dim) in shape.dim.iter().enumerate() {
        match &dim.value {
            Some(Dimension::DimValue(length)) if *length > 0 => dims.push(*length as usize),
            Some(Dimension::DimValue(0)) => return Err(format!("axis {axis} has length 0")),
            _ if axis == 0 => {
                batch = Some(0);
                dims.push(1);
            }
            value => {
                let name = match value {
                    Some(Dimension::DimParam(name)) if !name.is_empty() => format!(" ({name:?})"),
                    _ => String::new(),
                };
                return Err(format!(
                    "the length of axis {axis}{name} is not stated. Only the first axis, the batch, may be free: the shape must be given"
                ));
            }
        }
    }
    let shape = Shape::new(&dims, batch).map_err(|error| error.to_string())?;
    Ok(TensorSpec::new(dtype, shape))
}

impl Model for OnnxModel {
    fn inputs(&self) -> Vec<ModelInput> {
        self.inputs.clone()
    }

    fn methods(&self) -> &[&'static str] {
        &["run"]
    }

    fn call(&self, graph: &mut Graph, method: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
        if method != "run" {
            return Err(FrontendError::unsupported("model", method, "an ONNX model has the method `run` only"));
        }
        lowering::lower(&self.graph, self.opsets, graph, &self.inputs, inputs)
    }

    fn keys(&self, output: &str) -> Option<Vec<Key>> {
        let writes = |node: &&NodeProto| node.output.first().is_some_and(|name| name == output);
        let mut node = self.graph.node.iter().find(writes)?;
        // Each step goes to a node before this one, of which there are no more than nodes.
        for _ in 0..self.graph.node.len() {
            if node.op_type != "Identity" {
                break;
            }
            let source = node.input.first()?;
            node = self.graph.node.iter().find(|node| node.output.first() == Some(source))?;
        }
        (operators::is_ml(node) && node.op_type == "ZipMap").then(|| operators::zip_map_keys(node))
    }
}
