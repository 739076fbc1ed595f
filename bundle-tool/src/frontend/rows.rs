//! Rows of the batch are independent: which of them meet in a batch changes no result.
//!
//! Their numbers, which exporters write as `Range` up to the batch size, may therefore only be indices: `x[arange(N), i]` pairs each row with its
//! own. Other indices may not be places on the batch's axis.

use std::collections::HashSet;

use ekiben_runtime::Op;
use ekiben_runtime::ops::binary::BinaryKind;

use crate::graph::{Graph, Node, TensorId};

/// True for a node that makes indices of indices.
fn passes_on(node: &Node) -> bool {
    match &node.op {
        Op::Reshape(_) | Op::Expand(_) | Op::Concat(_) | Op::Cast(_) | Op::Transpose(_) | Op::Slice(_) => true,
        Op::Binary(op) => matches!(op.kind, BinaryKind::Add | BinaryKind::Mul | BinaryKind::Max),
        _ => false,
    }
}

/// True when a node takes input 1 as indices.
fn indexes(node: &Node) -> bool {
    matches!(node.op, Op::Gather(_) | Op::GatherNd(_) | Op::ScatterNd(_))
}

/// Nodes that are looked through for where indices come from.
const MAX_NODES: usize = 1 << 14;

/// True for an operator that takes from, or writes into, the batch's axis at indices that are not made of the numbers of its rows.
pub(super) fn mixes(graph: &Graph, op: &Op, inputs: &[Option<TensorId>]) -> bool {
    let &[Some(data), Some(indices), ..] = inputs else { return false };
    let tuple = graph.shape(indices).factors().last().copied().unwrap_or(0) as usize;
    let (first, count) = match op {
        Op::Gather(op) => (usize::from(op.axis), 1),
        Op::GatherNd(op) => (usize::from(op.batch_dims), tuple),
        Op::ScatterNd(_) => (0, tuple),
        _ => return false,
    };
    let axes = first..first.saturating_add(count);
    graph.shape(data).batch_axis().is_some_and(|axis| axes.contains(&axis)) && !number(graph, indices)
}

/// Why an operator that [`mixes`] rows is refused.
pub(super) const MIXES: &str =
    "it takes from the batch, whose rows are independent, by indices: give the model a fixed batch";

/// True when indices are made of the numbers of rows, by one of the last [`MAX_NODES`] nodes.
fn number(graph: &Graph, indices: TensorId) -> bool {
    let mut reached = HashSet::from([indices]);
    for node in graph.nodes().iter().rev().take(MAX_NODES) {
        if !node.outputs.iter().any(|output| reached.contains(output)) {
            continue;
        }
        match node.op {
            Op::RowNumbers(_) => return true,
            _ if passes_on(node) => reached.extend(node.inputs.iter().flatten()),
            _ => {}
        }
    }
    false
}

/// The name of a node that makes something else than indices of the numbers of rows, or of a result that is made of them. Nodes that
/// no result needs do not count.
pub(super) fn misuse(graph: &Graph, results: &[TensorId]) -> Option<String> {
    let mut needed: HashSet<TensorId> = results.iter().copied().collect();
    for node in graph.nodes().iter().rev() {
        if node.outputs.iter().any(|output| needed.contains(output)) {
            needed.extend(node.inputs.iter().flatten());
        }
    }
    let mut numbers: HashSet<TensorId> = HashSet::new();
    for node in graph.nodes().iter().filter(|node| node.outputs.iter().any(|output| needed.contains(output))) {
        let read = |input: &Option<TensorId>| input.is_some_and(|input| numbers.contains(&input));
        let index = usize::from(indexes(node));
        let only_index = indexes(node) && node.inputs.iter().enumerate().all(|(at, input)| at == index || !read(input));
        if matches!(node.op, Op::RowNumbers(_)) || (passes_on(node) && node.inputs.iter().any(read)) {
            numbers.extend(&node.outputs);
        } else if node.inputs.iter().any(read) && !only_index {
            return Some(node.name.clone());
        }
    }
    let result = results.iter().find(|result| numbers.contains(result))?;
    Some(graph.tensor(*result).name.clone())
}
