//! A graph that is written anew from another, node by node.

use std::collections::HashMap;

use ekiben_runtime::Op;
use ekiben_runtime::ops::reshape::Reshape;

use super::PassError;
use crate::graph::{Graph, Node, TensorId};

/// The new graph, and where the old one's tensors went.
pub(super) struct Rewrite<'a> {
    pub(super) old: &'a Graph,
    pub(super) new: Graph,
    tensors: HashMap<TensorId, TensorId>,
}

impl<'a> Rewrite<'a> {
    /// A new graph with the old one's inputs, states and tables.
    pub(super) fn new(old: &'a Graph) -> Self {
        let mut rewrite = Self { old, new: Graph::new(), tensors: HashMap::new() };
        for table in old.tables() {
            rewrite.new.add_table(table.clone());
        }
        for &input in old.inputs() {
            let id = rewrite.new.add_input(&old.tensor(input).name, old.spec(input));
            rewrite.tensors.insert(input, id);
        }
        for state in old.states() {
            let (name, spec) = (&old.tensor(state.tensor).name, old.spec(state.tensor));
            // The initial elements were accepted for this shape when the old graph got the state.
            if let Ok(id) = rewrite.new.add_state(name, spec, state.initial.clone()) {
                rewrite.tensors.insert(state.tensor, id);
            }
        }
        rewrite
    }

    /// The new tensor for one whose node was written, an input or a constant. Constants are carried over when first asked for.
    pub(super) fn tensor(&mut self, old: TensorId) -> Result<TensorId, PassError> {
        if let Some(&id) = self.tensors.get(&old) {
            return Ok(id);
        }
        let tensor = self.old.tensor(old);
        let bytes = tensor.constant.clone().unwrap_or_default();
        let id = self.new.add_shared_constant(&tensor.name, tensor.spec, bytes)?;
        self.tensors.insert(old, id);
        Ok(id)
    }

    /// States what an old tensor has become.
    pub(super) fn put(&mut self, old: TensorId, new: TensorId) {
        self.tensors.insert(old, new);
    }

    /// Writes a node as it is.
    pub(super) fn copy(&mut self, node: &Node) -> Result<(), PassError> {
        let inputs = node.inputs.iter().map(|input| input.map(|id| self.tensor(id)).transpose());
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        self.write(node, node.op, &inputs)
    }

    /// Writes a node with other attributes and inputs, and the outputs that it had.
    pub(super) fn write(&mut self, node: &Node, op: Op, inputs: &[Option<TensorId>]) -> Result<(), PassError> {
        let declared: Vec<_> = node.outputs.iter().map(|&output| self.old.spec(output)).collect();
        let outputs = self.new.add_node(&node.name, op, inputs, &declared)?;
        for (&old, new) in node.outputs.iter().zip(outputs) {
            let name = self.old.tensor(old).name.clone();
            self.new.rename(new, &name);
            self.put(old, new);
        }
        Ok(())
    }

    /// The new graph, with the old one's outputs under their names. Where another input or output already gives its name to a tensor,
    /// the output is a copy.
    pub(super) fn finish(mut self) -> Result<Graph, PassError> {
        for &output in self.old.outputs() {
            let mut id = self.tensor(output)?;
            let name = &self.old.tensor(output).name;
            if self.new.tensor(id).name != *name {
                if self.new.inputs().contains(&id) || self.new.outputs().contains(&id) {
                    id = self.new.add_declared(name, Reshape, &[id], self.old.spec(output))?;
                }
                self.new.rename(id, name);
            }
            self.new.add_output(id);
        }
        for state in self.old.states() {
            let (state, next) = (self.tensor(state.tensor)?, self.tensor(state.next)?);
            if state != next {
                self.new.set_next(state, next)?;
            }
        }
        Ok(self.new)
    }
}
