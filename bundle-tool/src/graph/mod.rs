//! The compiler's only intermediate representation: a graph of tensors and nodes.
//!
//! Nodes hold the runtime's own operators ([`ekiben_runtime::Op`]), and every node passes its operator's shape rule when it is added,
//! so a graph is executable at any time: see [`evaluate()`]. Nodes stand in an order in which they can run.

mod evaluate;

use std::collections::HashMap;
use std::rc::Rc;

use ekiben_runtime::bytes::u32_at;
use ekiben_runtime::ops::{Inputs, Op, OpError, OperandSpec, Outputs};
use ekiben_runtime::tensor::Element;
use ekiben_runtime::{DType, Shape, TensorSpec};

pub(crate) use evaluate::run_node;
pub use evaluate::{AlignedBytes, EvaluateError, evaluate};

/// A tensor of a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TensorId(usize);

impl TensorId {
    /// Position among the graph's tensors.
    pub fn index(self) -> usize {
        self.0
    }
}

/// A value that nodes read and write.
#[derive(Clone, Debug)]
pub struct Tensor {
    /// Name in the source, for messages and for inputs and outputs.
    pub name: String,
    /// Type and shape. A category's `table` indexes the graph's tables.
    pub spec: TensorSpec,
    /// The elements, in C order, where the tensor is a constant. Aligned to 16 bytes.
    pub constant: Option<Rc<AlignedBytes>>,
}

/// One application of an operator.
#[derive(Clone, Debug)]
pub struct Node {
    /// Name in the source, for messages.
    pub name: String,
    /// Operator with its attributes.
    pub op: Op,
    /// Inputs; `None` for an absent optional one.
    pub inputs: Vec<Option<TensorId>>,
    /// Outputs.
    pub outputs: Vec<TensorId>,
}

/// Why a node cannot be added.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("node {node:?} ({operator}): {error}")]
pub struct GraphError {
    /// Name of the node.
    pub node: String,
    /// Name of the runtime's operator.
    pub operator: &'static str,
    /// Why its operands do not fit.
    pub error: OpError,
}

/// Tensors, nodes in an order in which they can run, inputs and outputs.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    tensors: Vec<Tensor>,
    nodes: Vec<Node>,
    inputs: Vec<TensorId>,
    outputs: Vec<TensorId>,
    states: Vec<State>,
    tables: Vec<Vec<String>>,
}

/// What a run leaves for the next one.
#[derive(Clone, Debug)]
pub struct State {
    /// The tensor that holds it while nodes run.
    pub tensor: TensorId,
    /// The tensor that it is taken from afterwards, of its type and shape.
    pub next: TensorId,
    /// The elements that it starts from.
    pub initial: Rc<AlignedBytes>,
}

impl Graph {
    /// An empty graph.
    pub fn new() -> Self {
        Self::default()
    }

    /// All tensors, by [`TensorId::index`].
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// All nodes, in order.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Inputs, in order.
    pub fn inputs(&self) -> &[TensorId] {
        &self.inputs
    }

    /// Outputs, in order.
    pub fn outputs(&self) -> &[TensorId] {
        &self.outputs
    }

    /// What a run leaves for the next one.
    pub fn states(&self) -> &[State] {
        &self.states
    }

    /// True for a tensor that holds a state.
    pub fn is_state(&self, id: TensorId) -> bool {
        self.states.iter().any(|state| state.tensor == id)
    }

    /// Tensors that are there before the first node: inputs and states.
    pub fn sources(&self) -> impl Iterator<Item = TensorId> + '_ {
        self.inputs.iter().copied().chain(self.states.iter().map(|state| state.tensor))
    }

    /// Tensors that are read after the last node: outputs, and what states are taken from.
    pub fn results(&self) -> impl Iterator<Item = TensorId> + '_ {
        self.outputs.iter().copied().chain(self.states.iter().map(|state| state.next))
    }

    /// Lists of strings that category tensors index.
    pub fn tables(&self) -> &[Vec<String>] {
        &self.tables
    }

    /// The tensor with this id.
    pub fn tensor(&self, id: TensorId) -> &Tensor {
        &self.tensors[id.0]
    }

    /// Type and shape of a tensor.
    pub fn spec(&self, id: TensorId) -> TensorSpec {
        self.tensors[id.0].spec
    }

    /// Shape of a tensor.
    pub fn shape(&self, id: TensorId) -> Shape {
        self.tensors[id.0].spec.shape
    }

    /// Renames a tensor.
    pub fn rename(&mut self, id: TensorId, name: &str) {
        self.tensors[id.0].name = name.to_owned();
    }

    /// States how a tensor's integers stand for real numbers.
    pub fn set_quantization(&mut self, id: TensorId, quantization: ekiben_runtime::tensor::Quantization) {
        self.tensors[id.0].spec.quantization = Some(quantization);
    }

    /// States which list of strings a category tensor's values index.
    pub fn set_table(&mut self, id: TensorId, table: u32) {
        self.tensors[id.0].spec.table = Some(table);
    }

    fn push(&mut self, name: &str, spec: TensorSpec, constant: Option<Rc<AlignedBytes>>) -> TensorId {
        self.tensors.push(Tensor { name: name.to_owned(), spec, constant });
        TensorId(self.tensors.len() - 1)
    }

    /// Adds an input.
    pub fn add_input(&mut self, name: &str, spec: TensorSpec) -> TensorId {
        let id = self.push(name, spec, None);
        self.inputs.push(id);
        id
    }

    /// Adds a state that starts from `initial`, the elements' bytes in C order. It stays as it is until [`Graph::set_next`] says what
    /// it is taken from.
    ///
    /// # Errors
    /// As [`Graph::add_constant_bytes`].
    pub fn add_state(
        &mut self,
        name: &str,
        spec: TensorSpec,
        initial: Rc<AlignedBytes>,
    ) -> Result<TensorId, ConstantError> {
        let given = initial.as_slice().len();
        if spec.shape.is_batched() || spec.bytes() != Some(given as u64) {
            return Err(ConstantError { name: name.to_owned(), shape: spec.shape, given });
        }
        let tensor = self.push(name, spec, None);
        self.states.push(State { tensor, next: tensor, initial });
        Ok(tensor)
    }

    /// States what a state is taken from after a run. A tensor that holds a state is copied first: it changes then.
    ///
    /// # Errors
    /// [`GraphError`] when `next` has another type or shape.
    pub fn set_next(&mut self, state: TensorId, next: TensorId) -> Result<(), GraphError> {
        let spec = self.spec(state);
        let next = if self.is_state(next) || self.shape(next) != spec.shape || self.spec(next).dtype != spec.dtype {
            self.add_declared("next state", ekiben_runtime::ops::reshape::Reshape, &[next], spec)?
        } else {
            next
        };
        for known in self.states.iter_mut().filter(|known| known.tensor == state) {
            known.next = next;
        }
        Ok(())
    }

    /// Adds a constant from its elements' bytes in C order.
    ///
    /// # Errors
    /// The bytes handed back when the spec is batched or needs another number of bytes.
    pub fn add_constant_bytes(
        &mut self,
        name: &str,
        spec: TensorSpec,
        bytes: &[u8],
    ) -> Result<TensorId, ConstantError> {
        let needed = spec.bytes().filter(|_| !spec.shape.is_batched());
        if needed != Some(bytes.len() as u64) {
            return Err(ConstantError { name: name.to_owned(), shape: spec.shape, given: bytes.len() });
        }
        Ok(self.push(name, spec, Some(Rc::new(AlignedBytes::from(bytes)))))
    }

    /// Adds a constant whose bytes another graph may share.
    ///
    /// # Errors
    /// As [`Graph::add_constant_bytes`].
    pub fn add_shared_constant(
        &mut self,
        name: &str,
        spec: TensorSpec,
        bytes: Rc<AlignedBytes>,
    ) -> Result<TensorId, ConstantError> {
        let needed = spec.bytes().filter(|_| !spec.shape.is_batched());
        let given = bytes.as_slice().len();
        if needed != Some(given as u64) {
            return Err(ConstantError { name: name.to_owned(), shape: spec.shape, given });
        }
        Ok(self.push(name, spec, Some(bytes)))
    }

    /// Adds a constant of type `dtype`, whose elements are stored as `T`.
    ///
    /// # Errors
    /// [`ConstantError`] when `dims` do not account for `elements`, or `dtype` is not stored as `T`.
    pub fn add_constant<T: Element>(
        &mut self,
        name: &str,
        dtype: DType,
        dims: &[usize],
        elements: &[T],
    ) -> Result<TensorId, ConstantError> {
        let bytes = bytemuck::cast_slice::<T, u8>(elements);
        let error = |shape| ConstantError { name: name.to_owned(), shape, given: bytes.len() };
        let shape = Shape::fixed(dims).map_err(|_| error(Shape::scalar()))?;
        if !T::stores(dtype) {
            return Err(error(shape));
        }
        self.add_constant_bytes(name, TensorSpec::new(dtype, shape), bytes)
    }

    /// Adds a constant of texts: positions in a table of them.
    ///
    /// # Errors
    /// As [`Graph::add_constant`].
    pub fn add_texts(&mut self, name: &str, dims: &[usize], texts: Vec<String>) -> Result<TensorId, ConstantError> {
        let mut table: Vec<String> = Vec::new();
        let mut positions = HashMap::new();
        let mut ids = Vec::new();
        for text in texts {
            let id = *positions.entry(text).or_insert_with_key(|text| {
                table.push(text.clone());
                table.len() as u32 - 1
            });
            ids.push(id);
        }
        let id = self.add_constant(name, DType::Category, dims, &ids)?;
        let table = self.add_table(table);
        self.set_table(id, table);
        Ok(id)
    }

    /// Adds a list of strings for category tensors; an equal list is shared.
    pub fn add_table(&mut self, strings: Vec<String>) -> u32 {
        let index = self.tables.iter().position(|table| *table == strings).unwrap_or_else(|| {
            self.tables.push(strings);
            self.tables.len() - 1
        });
        index as u32
    }

    /// Adds a node whose one output's type and shape follow from its inputs.
    ///
    /// # Errors
    /// [`GraphError`] when the operator refuses the inputs.
    pub fn add(&mut self, name: &str, op: impl Into<Op>, inputs: &[TensorId]) -> Result<TensorId, GraphError> {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.add_node(name, op, &inputs, &[]).map(|outputs| outputs[0])
    }

    /// Adds a node whose one output is declared, for operators whose inputs do not tell its type and shape.
    ///
    /// # Errors
    /// [`GraphError`] when the operator refuses the inputs or the declaration.
    pub fn add_declared(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
        declared: TensorSpec,
    ) -> Result<TensorId, GraphError> {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        self.add_node(name, op, &inputs, &[declared]).map(|outputs| outputs[0])
    }

    /// Adds a node. `declared` gives the outputs' types and shapes to operators that need them, and their number; it may
    /// be empty for an operator of one output.
    ///
    /// # Errors
    /// [`GraphError`] when the operator refuses the inputs or a declaration.
    pub fn add_node(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
        declared: &[TensorSpec],
    ) -> Result<Vec<TensorId>, GraphError> {
        let op = op.into();
        let mut stated = StatedOutputs { declared, specs: Vec::new() };
        let error = |error| GraphError { node: name.to_owned(), operator: op.name(), error };
        op.infer(&NodeInputs { graph: self, inputs }, &mut stated).map_err(error)?;
        let outputs = stated.specs.into_iter().map(|spec| self.push(name, spec, None)).collect::<Vec<_>>();
        self.nodes.push(Node { name: name.to_owned(), op, inputs: inputs.to_vec(), outputs: outputs.clone() });
        Ok(outputs)
    }

    /// The node that writes a tensor.
    pub fn producer(&self, id: TensorId) -> Option<&Node> {
        self.nodes.iter().rev().find(|node| node.outputs.contains(&id))
    }

    /// Adds an output.
    pub fn add_output(&mut self, id: TensorId) {
        self.outputs.push(id);
    }

    /// The inputs of a node as its operator's rules see them.
    pub fn node_inputs<'a>(&'a self, node: &'a Node) -> NodeInputs<'a> {
        NodeInputs { graph: self, inputs: &node.inputs }
    }
}

/// A constant whose bytes do not fit its shape.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("constant {name:?} of shape {shape} has {given} bytes")]
pub struct ConstantError {
    /// Name of the constant.
    pub name: String,
    /// Its shape.
    pub shape: Shape,
    /// Bytes given.
    pub given: usize,
}

/// A node's inputs while shapes are worked out: every constant's values can be seen.
pub struct NodeInputs<'a> {
    graph: &'a Graph,
    inputs: &'a [Option<TensorId>],
}

impl Inputs for NodeInputs<'_> {
    fn len(&self) -> usize {
        self.inputs.len()
    }

    fn get(&self, index: usize) -> Option<OperandSpec<'_>> {
        let tensor = self.graph.tensor(self.inputs.get(index).copied().flatten()?);
        Some(OperandSpec { spec: tensor.spec, constant: tensor.constant.as_deref().map(AlignedBytes::as_slice) })
    }
}

struct StatedOutputs<'a> {
    declared: &'a [TensorSpec],
    specs: Vec<TensorSpec>,
}

impl Outputs for StatedOutputs<'_> {
    fn len(&self) -> usize {
        self.declared.len().max(1)
    }

    fn declared(&self, index: usize) -> Option<TensorSpec> {
        self.declared.get(index).copied()
    }

    fn put(&mut self, index: usize, spec: TensorSpec) -> Result<(), OpError> {
        use ekiben_runtime::ops::Problem;
        let error = |problem| OpError::output(index, problem, "the type and shape that the operator makes");
        if index != self.specs.len() {
            return Err(error(Problem::Missing));
        }
        let spec = match self.declared(index) {
            None => spec,
            Some(declared) if (declared.dtype, declared.shape) != (spec.dtype, spec.shape) => {
                return Err(error(Problem::Declared));
            }
            Some(declared) => TensorSpec { table: spec.table, ..declared },
        };
        self.specs.push(spec);
        Ok(())
    }
}

/// The elements of a constant `i32` tensor, `None` for any other.
pub fn i32_values(tensor: &Tensor) -> Option<Vec<i32>> {
    let bytes = tensor.constant.as_ref()?.as_slice();
    (tensor.spec.dtype == DType::I32).then_some(())?;
    (0..bytes.len() / 4).map(|index| u32_at(bytes, index).map(|bits| bits as i32)).collect()
}
