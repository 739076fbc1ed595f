//! Nodes that need no step: what they make already lies where their inputs do, or can be put there by whoever makes those.

use ekiben_runtime::artifact::MEMORY_ALIGNMENT;
use ekiben_runtime::ops::unary::UnaryKind;
use ekiben_runtime::{Op, Shape};

use crate::graph::{Graph, Node, TensorId, i32_values};

/// A tensor and parts of it: each part has the bytes of the whole from its offset on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    pub(super) whole: TensorId,
    /// Tensors with their offsets, in bytes for each row of the batch (or in all, for tensors that do not depend on it).
    pub(super) parts: Vec<(TensorId, u64)>,
}

/// The view that a node stands for; `None` when its elements move.
pub(super) fn view(graph: &Graph, node: &Node) -> Option<View> {
    let (&input, &output) = (node.inputs.first()?.as_ref()?, node.outputs.first()?);
    let view = match node.op {
        Op::Concat(op) => parts_of_concat(graph, node, op.axis.into())?,
        Op::Slice(_) => {
            let table = i32_values(graph.tensor(node.inputs.get(1).copied()??))?;
            let width = graph.spec(input).dtype.bits() / 8;
            View { whole: input, parts: vec![(output, slice_start(&graph.shape(input), &table)?.checked_mul(width)?)] }
        }
        _ => keeps_elements(graph, node, input, output).then(|| View { whole: input, parts: vec![(output, 0)] })?,
    };
    // A state changes after the run, while what shows its elements must stay.
    let is_free = |id: TensorId| graph.tensor(id).constant.is_none() && !graph.is_state(id);
    let is_placed = |id: TensorId| is_free(id) && graph.spec(id).bytes() != Some(0);
    let is_aligned = |offset: u64| offset.is_multiple_of(MEMORY_ALIGNMENT as u64);
    let sound = is_placed(view.whole) && view.parts.iter().all(|&(id, offset)| is_placed(id) && is_aligned(offset));
    sound.then_some(view)
}

/// True for operators whose output has the input's elements in the input's order.
fn keeps_elements(graph: &Graph, node: &Node, input: TensorId, output: TensorId) -> bool {
    let (from, to) = (graph.spec(input), graph.spec(output));
    match node.op {
        Op::Reshape(_) => true,
        Op::Cast(op) => op.to == from.dtype,
        Op::Unary(op) => op.kind == UnaryKind::Identity,
        Op::Expand(_) => {
            from.shape.elements() == to.shape.elements() && from.shape.is_batched() == to.shape.is_batched()
        }
        Op::Transpose(op) => {
            let moved = op.perm.axes(from.shape.rank());
            moved.iter().filter(|&&axis| !is_unit(&from.shape, axis)).is_sorted()
        }
        _ => false,
    }
}

/// True when an axis has one element whatever the batch.
fn is_unit(shape: &Shape, axis: usize) -> bool {
    shape.factor(axis) == Some(1) && !shape.is_batch(axis)
}

/// Product of the factors from `axis` on.
fn inner(shape: &Shape, axis: usize) -> Option<u64> {
    shape.factors().iter().skip(axis).try_fold(1u64, |product, &dim| product.checked_mul(dim.into()))
}

/// The element where a slice without gaps begins. `table` holds starts, steps and lengths.
fn slice_start(shape: &Shape, table: &[i32]) -> Option<u64> {
    let rank = shape.rank();
    let (starts, rest) = table.split_at_checked(rank)?;
    let (steps, lengths) = rest.split_at_checked(rank)?;
    let is_whole = |axis: usize| starts[axis] == 0 && shape.factor(axis) == usize::try_from(lengths[axis]).ok();
    let last = (0..rank).rev().find(|&axis| !is_whole(axis)).unwrap_or(0);
    let is_one = |axis: usize| lengths[axis] == 1 && !shape.is_batch(axis);
    let gapless = (0..rank).all(|axis| match axis {
        axis if axis < last => is_one(axis),
        _ => steps[axis] == 1 || lengths[axis] == 1,
    });
    let start = |axis: usize| inner(shape, axis + 1)?.checked_mul(starts[axis].try_into().ok()?);
    let start = (0..rank).try_fold(0u64, |sum, axis| sum.checked_add(start(axis)?))?;
    gapless.then_some(start)
}

/// The parts of what a join along its outermost axis (but for axes of one element) makes.
fn parts_of_concat(graph: &Graph, node: &Node, axis: usize) -> Option<View> {
    let whole = *node.outputs.first()?;
    let shape = graph.shape(whole);
    if shape.is_batch(axis) || !(0..axis).all(|before| is_unit(&shape, before)) {
        return None;
    }
    let mut offset = 0u64;
    let part = |&input: &Option<TensorId>| {
        let id = input?;
        let at = offset;
        offset = offset.checked_add(graph.spec(id).bytes()?)?;
        Some((id, at))
    };
    let parts = node.inputs.iter().map(part).collect::<Option<Vec<_>>>()?;
    Some(View { whole, parts })
}
