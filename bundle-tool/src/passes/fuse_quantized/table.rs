//! Functions of one byte.

use std::collections::HashMap;

use ekiben_runtime::ops::linear_dequantize::LinearDequantize;
use ekiben_runtime::ops::linear_quantize::LinearQuantize;
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

use super::super::PassError;
use super::source::{Source, list_of};
use super::{Pass, Quantizer};
use crate::graph::{Graph, Node, TensorId, evaluate};

/// The most nodes that a function is made of.
const MAX_NODES: usize = 64;

impl<'a> Pass<'a> {
    /// The quantized tensor `id` as a table, when it is computed element by element from one source and scalars. The entries are what
    /// the nodes themselves give for all 256 bytes.
    pub(super) fn table(
        &mut self,
        node: &Node,
        id: TensorId,
        quantizer: Quantizer,
    ) -> Result<Option<TensorId>, PassError> {
        let Some((source, nodes)) = self.function(id) else { return Ok(None) };
        let Some((scale, zero)) = source.bytes() else { return Ok(None) };
        let mut graph = Graph::new();
        let bytes: Vec<u8> = (0..=255).collect();
        let scalar = |dtype| TensorSpec::new(dtype, Shape::scalar());
        let all = graph.add_constant_bytes("x", TensorSpec::new(source.dtype, list_of(256)), &bytes)?;
        let scale = graph.add_constant("scale", DType::F32, &[], &[scale])?;
        let zero = graph.add_constant_bytes("zero", scalar(source.dtype), &[zero as u8])?;
        let op = LinearDequantize { dtype: DType::F32, axis: 0, block: 0 };
        let numbers = graph.add("numbers", op, &[all, scale, zero])?;
        let mut values: HashMap<TensorId, TensorId> = HashMap::new();
        for node in nodes {
            let mut inputs = Vec::with_capacity(node.inputs.len());
            for &input in node.inputs.iter().flatten() {
                let spec = self.rewrite.old.spec(input);
                inputs.push(match (values.get(&input), self.constant(input)) {
                    (Some(&value), _) => value,
                    (None, Some(bytes)) => graph.add_constant_bytes("scalar", scalar(spec.dtype), bytes)?,
                    (None, None) => numbers,
                });
            }
            values.insert(node.outputs[0], graph.add(&node.name, node.op, &inputs)?);
        }
        let (step, dtype) = (quantizer.scale, quantizer.dtype);
        let step = graph.add_constant("step", DType::F32, &[], &[step])?;
        let zero = graph.add_constant_bytes("zero", scalar(dtype), &[quantizer.target.zero as u8])?;
        let op = LinearQuantize { dtype, precision: DType::F32, axis: 0, block: 0 };
        let Some(&result) = values.get(&id) else { return Ok(None) };
        let stored = graph.add("stored", op, &[result, step, zero])?;
        graph.add_output(stored);
        let table = evaluate(&graph, 1, &[])?.swap_remove(0);
        self.mapped(node, source.tensor, dtype, table.as_slice()).map(Some)
    }

    /// The source that `id` is a function of, and the nodes of the function in their order.
    fn function(&self, id: TensorId) -> Option<(Source, Vec<&'a Node>)> {
        let shape = self.rewrite.old.shape(id);
        let mut found: Option<&Source> = None;
        let (mut nodes, mut open): (Vec<&'a Node>, Vec<TensorId>) = (Vec::new(), vec![id]);
        while let Some(id) = open.pop() {
            let spec = self.rewrite.old.spec(id);
            if self.constant(id).is_some() {
                // One number, in an expression of floats.
                if spec.shape.elements() != Some(1) || spec.dtype != DType::F32 {
                    return None;
                }
                continue;
            }
            if spec.shape != shape || spec.dtype != DType::F32 {
                return None;
            }
            if let Some(source) = self.sources.get(&id) {
                if found.is_some_and(|found| found != source) {
                    return None;
                }
                found = Some(source);
                continue;
            }
            let node = *self.producers.get(&id)?;
            if !matches!(node.op, Op::Unary(_) | Op::Binary(_)) || nodes.len() == MAX_NODES {
                return None;
            }
            if !nodes.iter().any(|known| std::ptr::eq(*known, node)) {
                nodes.push(node);
                open.extend(node.inputs.iter().flatten());
            }
        }
        // Outputs are numbered in the order in which their nodes were added.
        nodes.sort_by_key(|node| node.outputs[0].index());
        found.cloned().map(|source| (source, nodes))
    }
}
