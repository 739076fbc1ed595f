//! TensorFlow Lite models, through the flatbuffer types of `tract-tflite`.
//!
//! Operators are lowered straight to the runtime's, whose integer results equal LiteRT's reference kernels bit for bit. The file is
//! untrusted: the flatbuffer is verified first (at most a million tables, 64 deep), then everything that the verifier does not know:
//! indices, shapes against buffers, quantization, options, and that each tensor has one source. What the file's parts refer to, taken
//! together, may be four times the file (parts can share), the graph's constants [`lower::CONSTANT_FACTOR`] times the file and a
//! mebibyte; no tensor may take more than [`lower::MAX_TENSOR_BYTES`] per row.
//!
//! A model whose inputs all have a leading dimension of 1 (or a free one) is lowered with the batch there, if every operator keeps rows
//! apart; else with the shapes that it states.

mod file;
mod fixed_functions;
mod lower;
mod options;
mod quantization;
#[cfg(test)]
mod tests;

use ekiben_runtime::{Shape, TensorSpec};

use self::file::File;
use super::{FrontendError, Model, ModelInput, NamedTensor};
use crate::graph::{Graph, TensorId};

/// Opens a TFLite file; see [`TfliteModel::open`].
pub(super) fn open(bytes: &[u8]) -> Result<Box<dyn Model>, FrontendError> {
    Ok(Box::new(TfliteModel::open(bytes)?))
}

/// A TFLite model that can be lowered.
#[derive(Debug)]
pub struct TfliteModel {
    file: File,
    inputs: Vec<ModelInput>,
}

impl TfliteModel {
    /// Reads a model and finds out whether it can be batched.
    ///
    /// # Errors
    /// [`FrontendError::Malformed`] names the damaged part; [`FrontendError::Unsupported`] lists all operators that are not translated.
    pub fn open(bytes: &[u8]) -> Result<Self, FrontendError> {
        let file = File::parse(bytes)?;
        let mut model = Self { inputs: model_inputs(&file, !file.has_state())?, file };
        let batched = model.inputs.iter().any(|input| input.spec.shape.is_batched());
        if batched && model.lower_alone().is_ok() {
            return Ok(model);
        }
        model.inputs = model_inputs(&model.file, false)?;
        model.lower_alone()?;
        Ok(model)
    }

    /// Lowers the model to a graph of its own.
    fn lower_alone(&self) -> Result<(), FrontendError> {
        let mut graph = Graph::new();
        let inputs: Vec<_> = self.inputs.iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
        lower::lower(&self.file, &mut graph, &inputs).map(|_| ())
    }
}

/// The model's inputs, with the batch on each first axis of length 1 where `batched`.
fn model_inputs(file: &File, batched: bool) -> Result<Vec<ModelInput>, FrontendError> {
    let batchable = file.inputs.iter().all(|&index| file.tensors[index].shape.first() == Some(&1));
    let batch_axis = (batched && batchable).then_some(0);
    let input = |&index: &usize| {
        let tensor = &file.tensors[index];
        let shape =
            Shape::new(&tensor.shape, batch_axis).map_err(|error| FrontendError::malformed(tensor.place(), error))?;
        let quantization = tensor.quantization.as_ref().and_then(|quantization| quantization.per_tensor());
        let spec = TensorSpec { quantization, ..TensorSpec::new(tensor.known_dtype()?, shape) };
        Ok(ModelInput::new(file.public_name(index), spec))
    };
    file.inputs.iter().map(input).collect()
}

impl Model for TfliteModel {
    fn inputs(&self) -> Vec<ModelInput> {
        self.inputs.clone()
    }

    fn methods(&self) -> &[&'static str] {
        &["run"]
    }

    fn call(&self, graph: &mut Graph, method: &str, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
        if method != "run" {
            return Err(FrontendError::unsupported("model", method, "a TFLite model has one method, run"));
        }
        if inputs.len() != self.inputs.len() {
            let reason = format!("the model has {} inputs, {} are given", self.inputs.len(), inputs.len());
            return Err(FrontendError::unsupported("model", method, reason));
        }
        for (input, &given) in self.inputs.iter().zip(inputs) {
            let given = graph.spec(given);
            if (given.dtype, given.shape) != (input.spec.dtype, input.spec.shape) {
                let (needed, spec) = (input.spec, &input.name);
                let reason =
                    format!("{} {} is needed, {} {} is given", needed.dtype, needed.shape, given.dtype, given.shape);
                return Err(FrontendError::unsupported(format!("input {spec:?}"), method, reason));
            }
        }
        lower::lower(&self.file, graph, inputs)
    }
}
