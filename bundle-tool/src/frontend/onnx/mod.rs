//! ONNX models: the default domain's float operators and `ai.onnx.ml`, lowered node by node.
//!
//! A file is decoded by [`wire`] and [`tract_onnx::pb`], tensors by [`tensor`], attributes by [`attributes`]: each attribute of a node is
//! honoured or refused by name. [`lowering`] walks over the nodes and collects everything that stands in the way. Integers that depend on
//! the batch (what `Shape` gives, and what is computed from it) are [`count::Count`]s and never reach the graph. Nodes over constants
//! are computed at once. Functions are inlined by [`functions`] before, bodies lowered by [`control`] and [`scan`]. Tensors keep ONNX's layout; convolutions and pools stand between transposes.
//!
//! Lengths of inputs that the file leaves open are the batch or given by the user: see [`inputs`].

mod attributes;
mod call;
mod control;
mod count;
mod external;
mod flexible;
mod functions;
mod inputs;
mod lowering;
mod narrow;
mod operators;
mod scan;
mod tensor;
#[cfg(test)]
mod tests;
mod wire;

use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, NodeProto};

use super::{FrontendError, Key, Model, ModelInput, NamedTensor, OpenNames, OpenOptions, ReadBeside};
use crate::graph::{Graph, TensorId};

/// Versions of the two operator sets that a model imports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Opsets {
    default: i64,
    ml: i64,
}

/// Versions of the default operator set that are read; [`operators::check_version`] says what of the first ones.
const DEFAULT_OPSETS: std::ops::RangeInclusive<i64> = 1..=28;
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
    open_with(bytes, &OpenOptions::default())
}

/// Reads a model file whose inputs' lengths, or whose weights, are not all in the file.
///
/// # Errors
/// As [`open`], and [`FrontendError::Lengths`] when the lengths given contradict the model.
pub fn open_with(bytes: &[u8], options: &OpenOptions<'_>) -> Result<Box<dyn Model>, FrontendError> {
    Ok(Box::new(OnnxModel::read_with(bytes, options)?))
}

/// Names of the inputs and of their named dimensions.
pub(super) fn open_names(bytes: &[u8]) -> Result<OpenNames, FrontendError> {
    Ok(wire::decode(bytes)?.graph.map(|graph| inputs::open_names(&graph)).unwrap_or_default())
}

/// Names of the files beside the model that hold its weights.
pub(super) fn files_beside(bytes: &[u8]) -> Result<Vec<String>, FrontendError> {
    Ok(wire::decode(bytes)?.graph.map(|mut graph| external::files(&mut graph)).unwrap_or_default())
}

/// The model with its weights from the files beside it.
pub(super) fn self_contained(bytes: &[u8], beside: &ReadBeside<'_>) -> Result<Vec<u8>, FrontendError> {
    let mut model = wire::decode(bytes)?;
    if let Some(graph) = &mut model.graph {
        external::load(graph, beside)?;
    }
    Ok(model.encode_to_vec())
}

impl OnnxModel {
    #[cfg(test)]
    fn read(bytes: &[u8]) -> Result<Self, FrontendError> {
        Self::read_with(bytes, &OpenOptions::default())
    }

    fn read_with(bytes: &[u8], options: &OpenOptions<'_>) -> Result<Self, FrontendError> {
        let mut model = wire::decode(bytes)?;
        functions::inline(&mut model, bytes)?;
        let opsets = opsets(&model)?;
        let mut graph = model.graph.ok_or_else(|| FrontendError::malformed("model", "it has no graph"))?;
        let inputs = inputs::read(&graph, &options.lengths).map_err(|error| match error {
            FrontendError::Unsupported(mut blockers) => {
                blockers.extend(operators::unknown(&graph.node));
                FrontendError::Unsupported(blockers)
            }
            other => other,
        })?;
        if let Some(beside) = options.beside {
            external::load(&mut graph, beside)?;
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
