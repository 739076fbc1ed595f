//! What is compared with the oracle: the artifact of a bare model, or the graph that a service's model is lowered to.

use std::cell::RefCell;

use ekiben_runtime::session::ArenaBuffer;
use ekiben_runtime::{Artifact, Executor, TensorSpec};

use super::compare::decode;
use super::inputs::Call;
use super::oracle::Output;
use crate::compile::lower_model;
use crate::frontend::{FrontendError, Model};
use crate::graph::{Graph, evaluate};

/// A model as this project runs it.
pub(super) struct Candidate<'a> {
    graph: Graph,
    artifact: Option<Artifact<'a>>,
    arena: RefCell<ArenaBuffer>,
}

/// Why a model cannot be run.
pub(super) enum Refused {
    /// It cannot be lowered.
    Model(FrontendError),
    /// The artifact's inputs or outputs are others.
    Interface(String),
}

impl<'a> Candidate<'a> {
    /// Lowers the model; where there is an `artifact`, its only API must have the same inputs and outputs, and is what runs.
    pub(super) fn new(model: &dyn Model, artifact: Option<&Artifact<'a>>) -> Result<Self, Refused> {
        let graph = lower_model(model).map_err(Refused::Model)?.graph;
        if let Some(artifact) = artifact {
            same_interface(&graph, artifact).map_err(Refused::Interface)?;
        }
        Ok(Self { graph, artifact: artifact.copied(), arena: RefCell::default() })
    }

    /// Names of the outputs, in order.
    pub(super) fn output_names(&self) -> impl Iterator<Item = &str> {
        self.graph.outputs().iter().map(|&id| self.graph.tensor(id).name.as_str())
    }

    /// The outputs of a call, in order.
    ///
    /// # Errors
    /// What the executor or an operator says.
    pub(super) fn run(&self, call: &Call) -> Result<Vec<Output>, String> {
        let bytes = match &self.artifact {
            Some(artifact) => self.run_artifact(artifact, call)?,
            None => {
                let inputs: Vec<_> = call.inputs.iter().map(|input| input.bytes.as_slice()).collect();
                let outputs = evaluate(&self.graph, call.rows, &inputs).map_err(|error| error.to_string())?;
                outputs.iter().map(|output| output.as_slice().to_vec()).collect()
            }
        };
        let outputs = self.graph.outputs().iter().zip(&bytes);
        Ok(outputs.map(|(&id, bytes)| self.decode(&self.graph.spec(id), call.rows, bytes)).collect())
    }

    fn decode(&self, spec: &TensorSpec, rows: usize, bytes: &[u8]) -> Output {
        let table = spec.table.and_then(|table| self.graph.tables().get(table as usize));
        decode(spec, rows, bytes, table.map_or(&[], Vec::as_slice))
    }

    fn run_artifact(&self, artifact: &Artifact<'_>, call: &Call) -> Result<Vec<Vec<u8>>, String> {
        let failed = |error: ekiben_runtime::executor::Error| error.to_string();
        let needed = artifact.arena_bytes(0, call.rows).ok_or("it needs more memory than this machine can address")?;
        let mut arena = self.arena.borrow_mut();
        let mut executor = Executor::new(artifact, 0, call.rows, arena.get(needed)).map_err(failed)?;
        for (index, input) in call.inputs.iter().enumerate() {
            let view = executor.input_view(index).map_err(failed)?;
            if view.bytes.len() != input.bytes.len() {
                return Err(format!("input {index} has {} bytes, not {}", view.bytes.len(), input.bytes.len()));
            }
            view.bytes.copy_from_slice(&input.bytes);
        }
        executor.run().map_err(failed)?;
        let outputs = 0..self.graph.outputs().len();
        outputs.map(|index| executor.output_view(index).map(|view| view.bytes.to_vec()).map_err(failed)).collect()
    }
}

/// Compares types and shapes of the first API's inputs and outputs with the graph's.
fn same_interface(graph: &Graph, artifact: &Artifact<'_>) -> Result<(), String> {
    let api = artifact.api(0).ok_or("the artifact has no API")?;
    let counts = (usize::from(api.inputs), usize::from(api.outputs));
    if artifact.api_count() != 1 || counts != (graph.inputs().len(), graph.outputs().len()) {
        return Err("the artifact has other inputs or outputs".to_owned());
    }
    for (position, &id) in graph.inputs().iter().chain(graph.outputs()).enumerate() {
        let (spec, tensor) = (graph.spec(id), graph.tensor(id));
        let record = artifact.api_tensor(&api, position).ok_or("the artifact lacks a tensor")?;
        if (record.spec.dtype, record.spec.shape) != (spec.dtype, spec.shape) {
            return Err(format!(
                "{:?} is {} {} in the artifact and {} {} in the model",
                tensor.name, record.spec.dtype, record.spec.shape, spec.dtype, spec.shape
            ));
        }
    }
    Ok(())
}
