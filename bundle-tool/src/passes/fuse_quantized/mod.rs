//! Turns DequantizeLinear, an operator on floats, QuantizeLinear into one operator on integers.
//!
//! A tensor that is dequantized, or that only moves elements of such a tensor, has a *source*: the integers, moved in the same way,
//! with their scales and zero points. Where a quantization is met, the nodes before it are looked at: one source is requantized, a function
//! of the elements of one source becomes a table of 256 bytes, and a known operator whose inputs have sources becomes its integer
//! twin; a rectifier or clip in between becomes the bounds of the result, and moves in between move the integers instead. Products of
//! sources that are not quantized again become floats from integer sums. What is not recognised stays as it is.
//!
//! Known 16-bit floats that are cast to float32 are sources too, and matrices of integers of 4 and 8 bits are remembered: products of floats
//! with them read them as they are stored.
//!
//! Rectifiers and tables are exact. The elementwise twins, softmax and the pools' largest elements are computed as the floats were, to the
//! bit. Sums of products and averages are exact in integers and rounded once, where floats are rounded at each sum and product: a
//! result may differ by one step where the float result lies at a half.

mod narrow;
mod operator;
mod product;
mod source;
mod table;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::rc::Rc;

use ekiben_runtime::kernels::reference::linear::{Target, float_at, range};
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::unary::UnaryKind;
use ekiben_runtime::tensor::Element;
use ekiben_runtime::{DType, Op, TensorSpec};

use super::rewrite::Rewrite;
use super::{PassError, remove_dead_nodes};
use crate::graph::{Graph, Node, TensorId, evaluate};
use narrow::Packed;
use source::Source;

/// Bytes that constants, scales and zero points made by the pass may take, on top of [`BUDGET_FACTOR`] times the graph's constants.
const BUDGET: u64 = 16 << 20;
/// Bytes that the pass may make for each byte of a constant.
const BUDGET_FACTOR: u64 = 4;

/// The graph with integer operators in the place of dequantized ones.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fuse_quantized(graph: &Graph) -> Result<Graph, PassError> {
    let narrow = |node: &Node| match &node.op {
        Op::LinearDequantize(_) => true,
        Op::Cast(_) => node.inputs.iter().flatten().any(|&id| {
            let tensor = graph.tensor(id);
            tensor.constant.is_some() && matches!(tensor.spec.dtype, DType::F16 | DType::BF16)
        }),
        _ => false,
    };
    if !graph.nodes().iter().any(narrow) {
        return Ok(graph.clone());
    }
    let mut pass = Pass::new(graph);
    for node in graph.nodes() {
        pass.node(node)?;
    }
    remove_dead_nodes(&pass.rewrite.finish()?)
}

/// Scale, type, zero point and bounds of a quantized result.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Quantizer {
    scale: f32,
    dtype: DType,
    target: Target,
}

struct Pass<'a> {
    rewrite: Rewrite<'a>,
    /// The node that writes each old tensor.
    producers: HashMap<TensorId, &'a Node>,
    /// How often each old tensor is read.
    readers: HashMap<TensorId, usize>,
    /// Sources of old tensors.
    sources: HashMap<TensorId, Source>,
    /// Old tensors that are matrices of known narrow integers.
    packed: HashMap<TensorId, Packed<'a>>,
    /// Bytes that may still be made.
    budget: u64,
}

impl<'a> Pass<'a> {
    fn new(graph: &'a Graph) -> Self {
        let mut readers = HashMap::new();
        let read = graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten().copied()).chain(graph.results());
        read.for_each(|id| *readers.entry(id).or_insert(0) += 1);
        let written = graph.nodes().iter().flat_map(|node| node.outputs.iter().map(move |&output| (output, node)));
        let (rewrite, producers) = (Rewrite::new(graph), written.collect());
        let constants = graph.tensors().iter().filter_map(|tensor| tensor.constant.as_deref());
        let stored = constants.map(|bytes| bytes.as_slice().len() as u64).fold(0, u64::saturating_add);
        let budget = stored.saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET);
        Self { rewrite, producers, readers, sources: HashMap::new(), packed: HashMap::new(), budget }
    }

    fn node(&mut self, node: &'a Node) -> Result<(), PassError> {
        let result = match self.fused(node) {
            // An operator on integers may refuse what its twin on floats takes, such as images without elements.
            Err(PassError::Graph(_)) => None,
            result => result?,
        };
        match result {
            None => self.rewrite.copy(node),
            Some(id) => {
                let name = self.rewrite.old.tensor(node.outputs[0]).name.clone();
                if self.rewrite.new.tensor(id).name.is_empty() {
                    self.rewrite.new.rename(id, &name);
                }
                self.rewrite.put(node.outputs[0], id);
                Ok(())
            }
        }
    }

    /// What takes the place of a node's result.
    fn fused(&mut self, node: &'a Node) -> Result<Option<TensorId>, PassError> {
        self.pack(node);
        Ok(match &node.op {
            Op::Cast(op) => {
                if let Some(source) = self.widened(node, op)? {
                    self.sources.insert(node.outputs[0], source);
                }
                None
            }
            Op::LinearDequantize(op) => {
                if let Some(source) = self.dequantized(node, op)? {
                    self.sources.insert(node.outputs[0], source);
                }
                None
            }
            Op::LinearQuantize(op) => match self.quantizer(node, op) {
                Some(quantizer) => self.quantized(node, quantizer)?,
                None => None,
            },
            Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::MatMul(_) | Op::BatchMatMul(_) => {
                match self.product(node, None)? {
                    None => self.narrow(node)?,
                    product => product,
                }
            }
            _ => self.moved(node)?,
        })
    }

    /// Takes bytes off the budget; false when there are too few.
    fn spend(&mut self, bytes: usize) -> bool {
        let left = self.budget.checked_sub(bytes as u64);
        self.budget = left.unwrap_or(self.budget);
        left.is_some()
    }

    /// The elements of an old tensor that is a constant.
    fn constant(&self, id: TensorId) -> Option<&'a [u8]> {
        self.rewrite.old.tensor(id).constant.as_deref().map(|bytes| bytes.as_slice())
    }

    /// Adds a node to the new graph. One over constants is computed at once, as long as the budget lasts.
    fn add(
        &mut self,
        node: &Node,
        op: impl Into<Op>,
        inputs: &[Option<TensorId>],
        declared: &[TensorSpec],
    ) -> Result<TensorId, PassError> {
        let op = op.into();
        let known = |id: &TensorId| self.rewrite.new.tensor(*id).constant.is_some();
        if inputs.iter().flatten().all(known)
            && let Some(id) = self.computed(node, op, inputs, declared)?
        {
            return Ok(id);
        }
        let id = self.rewrite.new.add_node(&node.name, op, inputs, declared)?[0];
        self.rewrite.new.rename(id, "");
        Ok(id)
    }

    /// The result of a node over constants, when the budget has room for it.
    fn computed(
        &mut self,
        node: &Node,
        op: Op,
        inputs: &[Option<TensorId>],
        declared: &[TensorSpec],
    ) -> Result<Option<TensorId>, PassError> {
        let mut graph = Graph::new();
        let mut constants = Vec::with_capacity(inputs.len());
        for input in inputs {
            constants.push(match input {
                None => None,
                Some(id) => {
                    let tensor = self.rewrite.new.tensor(*id);
                    let bytes = tensor.constant.clone().unwrap_or_default();
                    Some(graph.add_shared_constant(&tensor.name, tensor.spec, bytes)?)
                }
            });
        }
        let output = graph.add_node(&node.name, op, &constants, declared)?[0];
        let spec = graph.spec(output);
        let size = spec.bytes().filter(|_| !spec.shape.is_batched()).and_then(|size| usize::try_from(size).ok());
        if !size.is_some_and(|size| self.spend(size)) {
            return Ok(None);
        }
        graph.add_output(output);
        let value = evaluate(&graph, 1, &[])?.swap_remove(0);
        Ok(Some(self.rewrite.new.add_shared_constant(&node.name, spec, Rc::new(value))?))
    }

    /// Adds a constant to the new graph.
    fn list<T: Element>(
        &mut self,
        node: &Node,
        dtype: DType,
        dims: &[usize],
        values: &[T],
    ) -> Result<TensorId, PassError> {
        Ok(self.rewrite.new.add_constant(&node.name, dtype, dims, values)?)
    }

    /// The integers of a quantization, when they can be had without floats.
    fn quantized(&mut self, node: &'a Node, quantizer: Quantizer) -> Result<Option<TensorId>, PassError> {
        let Some(Some(input)) = node.inputs.first().copied() else { return Ok(None) };
        if let Some(source) = self.sources.get(&input).cloned()
            && source.whole().is_some()
        {
            return self.requantized(node, &source, quantizer);
        }
        if let Some(id) = self.table(node, input, quantizer)? {
            return Ok(Some(id));
        }
        let (core, bounded, moves) = self.peeled(input, quantizer);
        let Some(core) = core else { return Ok(None) };
        let result = match &core.op {
            Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::MatMul(_) | Op::BatchMatMul(_) => {
                self.product(core, Some(bounded))?
            }
            _ => self.operator(core, bounded)?,
        };
        let Some(mut id) = result else { return Ok(None) };
        for moving in moves.into_iter().rev() {
            let shape = self.rewrite.old.shape(moving.outputs[0]);
            let declared = TensorSpec { shape, ..self.rewrite.new.spec(id) };
            id = match moving.op {
                Op::Reshape(_) => self.add(moving, Reshape, &[Some(id)], &[declared])?,
                op => self.add(moving, op, &[Some(id)], &[])?,
            };
        }
        Ok(Some(id))
    }

    /// The node whose result `id` is but for bounds and moves that nobody else sees; the quantizer with those bounds; and the moves,
    /// the last first.
    fn peeled(&self, mut id: TensorId, mut quantizer: Quantizer) -> (Option<&'a Node>, Quantizer, Vec<&'a Node>) {
        let mut moves = Vec::new();
        loop {
            let Some(&node) = self.producers.get(&id) else { return (None, quantizer, moves) };
            let alone = self.readers.get(&id) == Some(&1);
            match (&node.op, self.bounds(node)) {
                (_, Some((low, high))) if alone => quantizer = quantizer.bounded(low, high),
                (Op::Transpose(_) | Op::Reshape(_), _) if alone => moves.push(node),
                _ => return (Some(node), quantizer, moves),
            }
            let Some(Some(input)) = node.inputs.first().copied() else { return (None, quantizer, moves) };
            id = input;
        }
    }
}

impl Pass<'_> {
    /// The bounds to which a node clips its first input.
    fn bounds(&self, node: &Node) -> Option<(f32, f32)> {
        match &node.op {
            Op::Unary(op) if op.kind == UnaryKind::Relu => Some((0.0, f32::INFINITY)),
            Op::Unary(op) if op.kind == UnaryKind::Clip && !op.alpha.is_nan() && !op.beta.is_nan() => {
                Some((op.alpha as f32, op.beta as f32))
            }
            Op::Binary(op) if matches!(op.kind, BinaryKind::Max | BinaryKind::Min) => {
                let bound = node.inputs.get(1).copied()??;
                let spec = self.rewrite.old.spec(bound);
                let scalar = spec.dtype == DType::F32 && spec.shape.elements() == Some(1);
                let same_shape = self.rewrite.old.shape(node.inputs[0]?) == self.rewrite.old.shape(node.outputs[0]);
                let bound = self.constant(bound).filter(|_| scalar && same_shape)?;
                let bound = float_at(DType::F32, bound, 0);
                match op.kind {
                    _ if bound.is_nan() => None,
                    BinaryKind::Max => Some((bound, f32::INFINITY)),
                    _ => Some((f32::NEG_INFINITY, bound)),
                }
            }
            _ => None,
        }
    }
}

impl Quantizer {
    /// The stored value of a number.
    fn store(&self, number: f32) -> i16 {
        match self.dtype {
            DType::I8 => self.target.store::<i8>(number / self.scale).into(),
            _ => self.target.store::<u8>(number / self.scale).into(),
        }
    }

    /// The quantizer after numbers have been clipped to these bounds: quantization keeps their order.
    fn bounded(self, low: f32, high: f32) -> Self {
        // As a clip does it: first from below, then from above.
        let high_value = self.store(high);
        let low_value = self.store(low).min(high_value);
        Self { target: Target { low: low_value, high: high_value, ..self.target }, ..self }
    }

    /// Without bounds but those of the type.
    fn unbounded(&self) -> bool {
        let (low, high) = range(self.dtype);
        (i32::from(self.target.low), i32::from(self.target.high)) == (low, high)
    }
}
