//! Runs a graph node by node on the host, with the runtime's kernels and no plan: what passes are tested against, and what
//! constant folding uses.

use std::cell::Cell;
use std::collections::HashMap;

use ekiben_runtime::ops::{OpError, Operands, Problem};
use ekiben_runtime::tensor::{View, ViewMut};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::{Graph, Node, TensorId};

/// Bytes that start at a multiple of 16.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct AlignedBytes {
    blocks: Vec<u128>,
    length: usize,
}

impl AlignedBytes {
    /// `length` zero bytes.
    pub fn zeroed(length: usize) -> Self {
        Self { blocks: vec![0; length.div_ceil(size_of::<u128>())], length }
    }

    /// The bytes.
    pub fn as_slice(&self) -> &[u8] {
        &bytemuck::cast_slice(&self.blocks)[..self.length]
    }

    /// The bytes, to be changed.
    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut bytemuck::cast_slice_mut(&mut self.blocks)[..self.length]
    }
}

impl From<&[u8]> for AlignedBytes {
    fn from(bytes: &[u8]) -> Self {
        let mut aligned = Self::zeroed(bytes.len());
        aligned.as_mut_slice().copy_from_slice(bytes);
        aligned
    }
}

impl std::fmt::Debug for AlignedBytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.length)
    }
}

/// Why a graph cannot be run.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvaluateError {
    /// The inputs given are not those of the graph.
    #[error("input {index} has {given} bytes, {needed} are needed for {rows} rows")]
    Input {
        /// Index of the input.
        index: usize,
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
        /// Rows of the batch.
        rows: usize,
    },
    /// A tensor is too large for this machine.
    #[error("tensor {name:?} is too large for {rows} rows")]
    TooLarge {
        /// Name of the tensor.
        name: String,
        /// Rows of the batch.
        rows: usize,
    },
    /// A node failed.
    #[error("node {node:?}: {error}")]
    Node {
        /// Name of the node.
        node: String,
        /// Why.
        error: OpError,
    },
}

/// Runs the graph on a batch of `rows`, states as they start, and returns the outputs' bytes. `inputs` are the elements of each input, in C order.
///
/// # Errors
/// [`EvaluateError`] when the inputs do not fit or a tensor is too large.
pub fn evaluate(graph: &Graph, rows: usize, inputs: &[&[u8]]) -> Result<Vec<AlignedBytes>, EvaluateError> {
    let mut values: HashMap<TensorId, AlignedBytes> = HashMap::new();
    for (index, &id) in graph.inputs().iter().enumerate() {
        let needed = tensor_bytes(graph, id, rows)?;
        let given = inputs.get(index).copied().unwrap_or_default();
        if given.len() != needed {
            return Err(EvaluateError::Input { index, needed, given: given.len(), rows });
        }
        values.insert(id, given.into());
    }
    values.extend(graph.states().iter().map(|state| (state.tensor, AlignedBytes::clone(&state.initial))));
    let last_readers = last_readers(graph);
    for (position, node) in graph.nodes().iter().enumerate() {
        for (id, bytes) in node.outputs.iter().zip(run_node(graph, node, rows, &values)?) {
            values.insert(*id, bytes);
        }
        for id in node.inputs.iter().flatten().chain(&node.outputs) {
            if last_readers.get(id).is_none_or(|&last| last <= position) {
                values.remove(id);
            }
        }
    }
    let value = |id: &TensorId| match &graph.tensor(*id).constant {
        Some(constant) => AlignedBytes::clone(constant),
        None => values.get(id).cloned().unwrap_or_default(),
    };
    Ok(graph.outputs().iter().map(value).collect())
}

/// Position of the last node that reads each tensor; outputs are read after the last node.
fn last_readers(graph: &Graph) -> HashMap<TensorId, usize> {
    let mut last = HashMap::new();
    for (position, node) in graph.nodes().iter().enumerate() {
        last.extend(node.inputs.iter().flatten().map(|&id| (id, position)));
    }
    last.extend(graph.outputs().iter().map(|&id| (id, graph.nodes().len())));
    last
}

/// Runs one node on the values of its inputs.
pub(crate) fn run_node(
    graph: &Graph,
    node: &Node,
    rows: usize,
    values: &HashMap<TensorId, AlignedBytes>,
) -> Result<Vec<AlignedBytes>, EvaluateError> {
    let failed = |error| EvaluateError::Node { node: node.name.clone(), error };
    let outputs = node.outputs.iter().map(|&id| Ok(AlignedBytes::zeroed(tensor_bytes(graph, id, rows)?)));
    let outputs = outputs.collect::<Result<Vec<_>, EvaluateError>>()?;
    let scratch = node.op.scratch(&graph.node_inputs(node)).map_err(failed)?;
    let scratch = scratch.per_row.saturating_mul(rows as u64).saturating_add(scratch.fixed);
    let too_large = || EvaluateError::TooLarge { name: node.name.clone(), rows };
    let scratch = usize::try_from(scratch).ok().filter(|&bytes| bytes < isize::MAX as usize).ok_or_else(too_large)?;
    let mut outputs = outputs;
    let mut scratch = AlignedBytes::zeroed(scratch);
    let operands = NodeOperands {
        graph,
        node,
        rows,
        values,
        outputs: outputs.iter_mut().map(|bytes| Cell::new(Some(bytes.as_mut_slice()))).collect(),
        scratch: Cell::new(Some(scratch.as_mut_slice())),
    };
    node.op.run(&operands).map_err(failed)?;
    Ok(outputs)
}

/// The operands of a node that runs: each writable slice is handed out once.
struct NodeOperands<'a> {
    graph: &'a Graph,
    node: &'a Node,
    rows: usize,
    values: &'a HashMap<TensorId, AlignedBytes>,
    outputs: Vec<Cell<Option<&'a mut [u8]>>>,
    scratch: Cell<Option<&'a mut [u8]>>,
}

impl Operands for NodeOperands<'_> {
    fn inputs(&self) -> usize {
        self.node.inputs.len()
    }

    fn outputs(&self) -> usize {
        self.node.outputs.len()
    }

    fn optional(&self, index: usize) -> Result<Option<View<'_>>, OpError> {
        let Some(id) = self.node.inputs.get(index).copied().flatten() else { return Ok(None) };
        let tensor = self.graph.tensor(id);
        let bytes = tensor.constant.as_deref().or_else(|| self.values.get(&id));
        let bytes = bytes.ok_or(OpError::input(index, Problem::Missing, "a value"))?.as_slice();
        Ok(Some(View { spec: tensor.spec, dims: tensor.spec.shape.resolve(self.rows), bytes }))
    }

    fn is_in_place(&self, _input: usize, _output: usize) -> bool {
        false
    }

    fn dtype(&self, index: usize) -> Option<DType> {
        let id = self.node.inputs.get(index).copied().flatten()?;
        Some(self.graph.spec(id).dtype)
    }

    fn output(&self, index: usize) -> Result<ViewMut<'_>, OpError> {
        let missing = OpError::output(index, Problem::Missing, "an output here");
        let id = self.node.outputs.get(index).ok_or(missing)?;
        let bytes = self.outputs.get(index).and_then(Cell::take).ok_or(missing)?;
        let spec = self.graph.spec(*id);
        Ok(ViewMut { spec, dims: spec.shape.resolve(self.rows), bytes })
    }

    fn scratch(&self) -> Result<ViewMut<'_>, OpError> {
        let bytes = self.scratch.take().ok_or(OpError::output(self.outputs(), Problem::Missing, "scratch memory"))?;
        let shape = Shape::fixed(&[bytes.len()]).unwrap_or(Shape::scalar());
        Ok(ViewMut { spec: TensorSpec::new(DType::U8, shape), dims: shape.resolve(1), bytes })
    }
}

fn tensor_bytes(graph: &Graph, id: TensorId, rows: usize) -> Result<usize, EvaluateError> {
    let tensor = graph.tensor(id);
    let rows_of_tensor = if tensor.spec.shape.is_batched() { rows as u64 } else { 1 };
    let elements = tensor.spec.shape.elements().and_then(|elements| elements.checked_mul(rows_of_tensor));
    let bytes = elements.and_then(|elements| tensor.spec.dtype.bytes(elements));
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok()).filter(|&bytes| bytes < isize::MAX as usize);
    bytes.ok_or_else(|| EvaluateError::TooLarge { name: tensor.name.clone(), rows })
}
