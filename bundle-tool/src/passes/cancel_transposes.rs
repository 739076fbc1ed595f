//! Moves transposes towards the outputs, through nodes that do not care for the order of axes, until they meet their inverses.
//!
//! A transpose is not written where it stands: its result is remembered as *pending*, that is as another tensor and an order of its
//! axes. A node that works on any order reads the other tensor and leaves its result pending; any other node makes its inputs
//! write what is left of their transposes, which is nothing when they have cancelled out.

use std::collections::HashMap;

use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

use super::PassError;
use super::move_reshape::moved_reshape;
use super::rewrite::Rewrite;
use crate::graph::{AlignedBytes, Graph, Node, TensorId, evaluate};

/// The graph with as few transposes as this pass can do with.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn cancel_transposes(graph: &Graph) -> Result<Graph, PassError> {
    let mut pass = Pass { rewrite: Rewrite::new(graph), pending: HashMap::new() };
    for node in graph.nodes() {
        pass.node(node)?;
    }
    for output in graph.results() {
        pass.settle(output)?;
    }
    pass.rewrite.finish()
}

/// A tensor that is `base` with axis `order[i]` as its axis `i`.
#[derive(Clone, Debug, PartialEq)]
struct Pending {
    base: TensorId,
    order: Vec<usize>,
}

struct Pass<'a> {
    rewrite: Rewrite<'a>,
    /// Old tensors whose transpose has not been written.
    pending: HashMap<TensorId, Pending>,
}

fn axes_of(op: &Transpose, rank: usize) -> Vec<usize> {
    (0..rank).map(|position| op.perm.axis(position)).collect()
}

fn inverse(order: &[usize]) -> Vec<usize> {
    let mut inverse = vec![0; order.len()];
    for (position, &axis) in order.iter().enumerate() {
        inverse[axis] = position;
    }
    inverse
}

impl Pass<'_> {
    fn node(&mut self, node: &Node) -> Result<(), PassError> {
        if let Op::Transpose(op) = node.op {
            return self.transpose(node, &op);
        }
        if let Some(order) = self.common_order(node)
            && self.sink(node, &order)?
        {
            return Ok(());
        }
        if let (Op::Reshape(_), Some(Some(input))) = (node.op, node.inputs.first())
            && let Some(pending) = self.pending.get(input)
            && moves_only_units(&self.rewrite.new.shape(pending.base), &pending.order)
        {
            let base = pending.base;
            return self.rewrite.write(node, node.op, &[Some(base)]);
        }
        if matches!(node.op, Op::Reshape(_)) && self.reshape(node)? {
            return Ok(());
        }
        for input in node.inputs.iter().flatten() {
            self.settle(*input)?;
        }
        self.rewrite.copy(node)
    }

    /// Writes a reshape that keeps, splits or joins axes on what its input is pending on; where axes that it joins do not stand together
    /// there, after one transpose that puts them so.
    fn reshape(&mut self, node: &Node) -> Result<bool, PassError> {
        let (Some(&Some(input)), &[output]) = (node.inputs.first(), &node.outputs[..]) else { return Ok(false) };
        let old = self.rewrite.old;
        let Some(Pending { base, order }) = self.pending.get(&input).cloned() else { return Ok(false) };
        let spec = old.spec(output);
        let moved = moved_reshape(&old.shape(input), &spec.shape, &order);
        // The input's own transpose may serve others too.
        let Some(moved) = moved.filter(|moved| moved.base != order) else { return Ok(false) };
        let mut base = base;
        if !moves_only_units(&self.rewrite.new.shape(base), &moved.base) {
            base = self.rewrite.new.add(&node.name, transpose(&moved.base), &[base])?;
        }
        let declared = TensorSpec { shape: unordered(&spec.shape, &moved.order), ..spec };
        let id = self.rewrite.new.add_declared(&node.name, node.op, &[base], declared)?;
        self.leave(output, id, moved.order);
        Ok(true)
    }

    /// States that an old tensor is a new one with its axes in another order.
    fn leave(&mut self, output: TensorId, id: TensorId, order: Vec<usize>) {
        if order.iter().enumerate().all(|(position, &axis)| position == axis) {
            self.rewrite.new.rename(id, &self.rewrite.old.tensor(output).name);
            self.rewrite.put(output, id);
        } else {
            self.pending.insert(output, Pending { base: id, order });
        }
    }

    fn transpose(&mut self, node: &Node, op: &Transpose) -> Result<(), PassError> {
        let (Some(&Some(input)), &[output]) = (node.inputs.first(), &node.outputs[..]) else {
            return self.rewrite.copy(node);
        };
        let axes = axes_of(op, self.rewrite.old.shape(input).rank());
        let (base, order) = match self.pending.get(&input) {
            Some(pending) => (pending.base, axes.iter().map(|&axis| pending.order[axis]).collect()),
            None => (self.rewrite.tensor(input)?, axes),
        };
        if order.iter().enumerate().all(|(position, &axis)| position == axis) {
            self.rewrite.put(output, base);
        } else {
            self.pending.insert(output, Pending { base, order });
        }
        Ok(())
    }

    /// The order that all pending inputs share, if there are any.
    fn common_order(&self, node: &Node) -> Option<Vec<usize>> {
        let mut orders =
            node.inputs.iter().flatten().filter_map(|id| self.pending.get(id)).map(|pending| &pending.order);
        let first = orders.next()?;
        orders.all(|order| order == first).then(|| first.clone())
    }

    /// Writes the transpose that is left of a tensor.
    fn settle(&mut self, old: TensorId) -> Result<(), PassError> {
        let Some(Pending { base, order }) = self.pending.remove(&old) else { return Ok(()) };
        let tensor = self.rewrite.old.tensor(old);
        let id = self.rewrite.new.add_node(&tensor.name, transpose(&order), &[Some(base)], &[tensor.spec])?[0];
        self.rewrite.new.rename(id, &tensor.name);
        self.rewrite.put(old, id);
        Ok(())
    }

    /// True when one scale holds for all elements of a quantized tensor, and neither it nor its zero point is pending.
    fn is_whole(&self, node: &Node) -> bool {
        let parameters = node.inputs.iter().skip(1).flatten();
        let single =
            |id: &TensorId| self.rewrite.old.shape(*id).elements() == Some(1) && !self.pending.contains_key(id);
        parameters.into_iter().all(single)
    }

    /// Writes the node on the tensors that its inputs are pending on, when it can work on them.
    fn sink(&mut self, node: &Node, order: &[usize]) -> Result<bool, PassError> {
        let &[output] = &node.outputs[..] else { return Ok(false) };
        let spec = self.rewrite.old.spec(output);
        let (op, result) = match node.op {
            Op::Unary(_) | Op::Cast(_) | Op::Binary(_) | Op::Compare(_) | Op::Logic(_) | Op::Select(_) => {
                (node.op, order.to_vec())
            }
            Op::IntegerBinary(_) | Op::ByteMap(_) => (node.op, order.to_vec()),
            Op::LinearQuantize(_) | Op::LinearDequantize(_) if self.is_whole(node) => (node.op, order.to_vec()),
            Op::Concat(mut op) => {
                op.axis = order[usize::from(op.axis)] as u8;
                (op.into(), order.to_vec())
            }
            Op::Softmax(mut op) => {
                op.axis = order[usize::from(op.axis)] as u8;
                (op.into(), order.to_vec())
            }
            Op::IntegerSoftmax(mut op) => {
                op.axis = order[usize::from(op.axis)] as u8;
                (op.into(), order.to_vec())
            }
            Op::Reduce(mut op) => {
                let reduced: Vec<bool> = (0..order.len()).map(|axis| op.axes >> axis & 1 == 1).collect();
                // Sums depend on the order of their elements.
                let bases: Vec<usize> =
                    (0..order.len()).filter(|&axis| reduced[axis]).map(|axis| order[axis]).collect();
                if !bases.is_sorted() {
                    return Ok(false);
                }
                op.axes =
                    (0..order.len()).filter(|&axis| reduced[axis]).fold(0, |axes, axis| axes | 1u8 << order[axis]);
                let kept = if op.keep { order.to_vec() } else { order_of_kept(order, &reduced) };
                (op.into(), kept)
            }
            Op::GroupNorm(mut op) if order[0] == 0 => {
                op.axis = order[usize::from(op.axis)] as u8;
                (op.into(), order.to_vec())
            }
            // These work on rows.
            Op::MatMul(_) if keeps_last(order, 1) => (node.op, order.to_vec()),
            Op::LayerNorm(op) if keeps_last(order, op.axes.into()) => (node.op, order.to_vec()),
            Op::Pad(_) | Op::Slice(_) | Op::Resize(_) => (node.op, order.to_vec()),
            _ => return Ok(false),
        };
        let broadcasts =
            matches!(node.op, Op::Binary(_) | Op::Compare(_) | Op::Logic(_) | Op::Select(_) | Op::IntegerBinary(_));
        if broadcasts && spec.shape.rank() != order.len() {
            return Ok(false);
        }
        let inputs = match op {
            Op::Pad(_) | Op::Slice(_) | Op::Resize(_) => self.base_and_constants(node, order, true)?,
            Op::GroupNorm(_) | Op::MatMul(_) | Op::LayerNorm(_) => self.base_and_constants(node, order, false)?,
            _ => self.bases(node, order, broadcasts)?,
        };
        let Some(inputs) = inputs else { return Ok(false) };
        let declared = TensorSpec { shape: unordered(&spec.shape, &result), ..spec };
        let id = self.rewrite.new.add_node(&node.name, op, &inputs, &[declared])?[0];
        self.leave(output, id, result);
        Ok(true)
    }

    /// The tensors to read in the place of the inputs: what they are pending on, and constants with their axes moved where the
    /// operator broadcasts. `None` when another input stands in the way.
    fn bases(
        &mut self,
        node: &Node,
        order: &[usize],
        broadcasts: bool,
    ) -> Result<Option<Vec<Option<TensorId>>>, PassError> {
        let old = self.rewrite.old;
        if matches!(node.op, Op::ByteMap(_) | Op::LinearQuantize(_) | Op::LinearDequantize(_)) {
            // The other inputs know no axes.
            let Some(first) = node.inputs[0].and_then(|id| self.pending.get(&id)) else { return Ok(None) };
            let mut bases = vec![Some(first.base)];
            for input in &node.inputs[1..] {
                bases.push(input.map(|id| self.rewrite.tensor(id)).transpose()?);
            }
            return Ok(Some(bases));
        }
        // A tensor whose axes but one have length 1 takes any order by a reshape.
        let units = |id: &TensorId| {
            let shape = old.shape(*id);
            shape.rank() == order.len() && moves_only_units(&shape, &inverse(order))
        };
        let known = |id: &TensorId| old.tensor(*id).constant.is_some() || units(id);
        let ready = |id: &TensorId| self.pending.contains_key(id) || (broadcasts && known(id));
        if !node.inputs.iter().flatten().all(ready) {
            return Ok(None);
        }
        let mut bases = Vec::with_capacity(node.inputs.len());
        for input in &node.inputs {
            bases.push(match input {
                None => None,
                Some(id) => match self.pending.get(id) {
                    Some(pending) => Some(pending.base),
                    None if old.tensor(*id).constant.is_some() => Some(self.moved_constant(*id, order)?),
                    None => {
                        let (base, spec) = (self.rewrite.tensor(*id)?, old.spec(*id));
                        let declared = TensorSpec { shape: unordered(&spec.shape, order), ..spec };
                        Some(self.rewrite.new.add_declared(&node.name, Reshape, &[base], declared)?)
                    }
                },
            });
        }
        Ok(Some(bases))
    }

    /// What the first input is pending on, and the inputs after it; `tables` among them have a column for each axis, in the base's order.
    /// `None` where one of them is pending too.
    fn base_and_constants(
        &mut self,
        node: &Node,
        order: &[usize],
        tables: bool,
    ) -> Result<Option<Vec<Option<TensorId>>>, PassError> {
        let Some(base) = node.inputs.first().copied().flatten().and_then(|id| self.pending.get(&id)) else {
            return Ok(None);
        };
        let mut inputs = vec![Some(base.base)];
        for input in node.inputs.iter().skip(1) {
            inputs.push(match input {
                Some(id) if self.pending.contains_key(id) => return Ok(None),
                Some(id) if tables && self.rewrite.old.shape(*id).rank() > 0 => Some(self.moved_table(*id, order)?),
                Some(id) => Some(self.rewrite.tensor(*id)?),
                None => None,
            });
        }
        Ok(Some(inputs))
    }

    /// A table of elements of four bytes, the last axis of which counts axes, with those in the base's order.
    fn moved_table(&mut self, id: TensorId, order: &[usize]) -> Result<TensorId, PassError> {
        let tensor = self.rewrite.old.tensor(id);
        let stored = tensor.constant.as_deref().map(AlignedBytes::as_slice).unwrap_or_default();
        let mut moved = stored.to_vec();
        for (row, moved) in stored.chunks(4 * order.len()).zip(moved.chunks_mut(4 * order.len())) {
            for (element, &axis) in row.chunks(4).zip(order) {
                moved[4 * axis..4 * axis + 4].copy_from_slice(element);
            }
        }
        Ok(self.rewrite.new.add_constant_bytes(&tensor.name, tensor.spec, &moved)?)
    }

    /// A constant whose transpose by `order` lines up as the constant did.
    fn moved_constant(&mut self, id: TensorId, order: &[usize]) -> Result<TensorId, PassError> {
        let tensor = self.rewrite.old.tensor(id);
        if tensor.spec.shape.elements() == Some(1) && tensor.spec.shape.rank() <= order.len() {
            return self.rewrite.tensor(id);
        }
        let mut dims = vec![1; order.len() - tensor.spec.shape.rank()];
        dims.extend(tensor.spec.shape.factors().iter().map(|&dim| dim as usize));
        let mut graph = Graph::new();
        let shape = Shape::fixed(&dims).unwrap_or(tensor.spec.shape);
        let spec = TensorSpec { shape, table: None, dtype: stored(tensor.spec.dtype), quantization: None };
        let bytes = tensor.constant.as_deref().map(AlignedBytes::as_slice).unwrap_or_default();
        let constant = graph.add_constant_bytes(&tensor.name, spec, bytes)?;
        let moved = graph.add(&tensor.name, transpose(&inverse(order)), &[constant])?;
        graph.add_output(moved);
        let value = evaluate(&graph, 1, &[])?.swap_remove(0);
        let spec = TensorSpec { shape: graph.shape(moved), ..tensor.spec };
        Ok(self.rewrite.new.add_constant_bytes(&tensor.name, spec, value.as_slice())?)
    }
}

/// A type of the same width without a table.
fn stored(dtype: DType) -> DType {
    if dtype == DType::Category { DType::U32 } else { dtype }
}

fn transpose(order: &[usize]) -> Transpose {
    // The orders here are made of permutations of at most eight axes.
    Transpose { perm: Permutation::new(order).expect("an order of axes") }
}

/// The shape whose axes in this order are `shape`.
fn unordered(shape: &Shape, order: &[usize]) -> Shape {
    let mut dims = vec![0; order.len()];
    let mut batch = None;
    for (position, &axis) in order.iter().enumerate() {
        dims[axis] = shape.factor(position).unwrap_or(1);
        if shape.is_batch(position) {
            batch = Some(axis);
        }
    }
    Shape::new(&dims, batch).unwrap_or(*shape)
}

/// The order of the axes that are left when the positions marked in `reduced` are gone.
fn order_of_kept(order: &[usize], reduced: &[bool]) -> Vec<usize> {
    let kept: Vec<usize> = order.iter().zip(reduced).filter(|&(_, &reduced)| !reduced).map(|(&axis, _)| axis).collect();
    kept.iter().map(|axis| kept.iter().filter(|other| *other < axis).count()).collect()
}

/// True when the last axes, `count` of them, stay where they are.
fn keeps_last(order: &[usize], count: usize) -> bool {
    (order.len().saturating_sub(count)..order.len()).all(|axis| order[axis] == axis)
}

/// True when axes longer than 1 keep their order, so that no element moves.
fn moves_only_units(base: &Shape, order: &[usize]) -> bool {
    let long = |axis: &usize| base.factor(*axis) != Some(1) || base.is_batch(*axis);
    let kept: Vec<usize> = order.iter().copied().filter(long).collect();
    kept.is_sorted()
}
