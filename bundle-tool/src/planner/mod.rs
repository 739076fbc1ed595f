//! Gives every tensor of a graph its place in the arena.
//!
//! A tensor that grows with the batch lies at `a + N * b`, any other at a fixed offset. Fixed tensors take the front of the
//! arena, batched ones the rest; within each part two tensors share bytes only when they are never alive together, so
//! they are disjoint for every N.

use std::collections::BTreeMap;

use ekiben_runtime::artifact::{Extent, MEMORY_ALIGNMENT};
use ekiben_runtime::{DType, Shape, TensorSpec};

use crate::graph::{Graph, TensorId};

/// A tensor, or the scratch memory of a node, that needs a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Occupant {
    /// A tensor of the graph.
    Tensor(TensorId),
    /// Scratch memory of the node at this position.
    Scratch(usize),
}

/// Where an occupant lies: `offset + per_row * N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Offset for N = 0.
    pub offset: u64,
    /// Bytes added per row.
    pub per_row: u32,
}

/// The arena of one graph.
#[derive(Clone, Debug, Default)]
pub struct ArenaPlan {
    /// Place of every tensor that is not a constant, and of every scratch.
    pub places: BTreeMap<Occupant, Placement>,
    /// Type and shape of each node's scratch tensor.
    pub scratch: BTreeMap<usize, TensorSpec>,
    /// Size of the arena.
    pub extent: Extent,
    /// The largest number of bytes alive at one step: no plan in this order can be smaller.
    pub lower_bound: Extent,
}

/// Why no plan can be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// A tensor is too large.
    #[error("tensor {name:?} of shape {shape} is too large")]
    TooLarge {
        /// Name of the tensor.
        name: String,
        /// Its shape.
        shape: Shape,
    },
    /// An operator cannot say how much scratch it needs.
    #[error("node {node:?}: {error}")]
    Scratch {
        /// Name of the node.
        node: String,
        /// Why.
        error: ekiben_runtime::ops::OpError,
    },
}

/// An occupant's life, in positions of nodes, and its size.
#[derive(Clone, Copy, Debug)]
struct Life {
    occupant: Occupant,
    first: usize,
    last: usize,
    bytes: u64,
    batched: bool,
}

/// Places all tensors of a graph whose nodes run in their order.
///
/// # Errors
/// [`PlanError`] names the tensor or node.
pub fn plan(graph: &Graph) -> Result<ArenaPlan, PlanError> {
    let mut plan = ArenaPlan::default();
    let lives = lives(graph, &mut plan)?;
    let bound = |batched| peak(lives.iter().filter(|life| life.batched == batched));
    plan.lower_bound = Extent { fixed: bound(false), per_row: bound(true) };
    let fixed = place(lives.iter().filter(|life| !life.batched), |occupant, offset| {
        plan.places.insert(occupant, Placement { offset, per_row: 0 });
    });
    let mut batched_places = Vec::new();
    let per_row = place(lives.iter().filter(|life| life.batched), |occupant, offset| {
        batched_places.push((occupant, offset));
    });
    for (occupant, offset) in batched_places {
        let per_row = u32::try_from(offset).map_err(|_| too_large(graph, occupant))?;
        plan.places.insert(occupant, Placement { offset: fixed, per_row });
    }
    plan.extent = Extent { fixed, per_row };
    Ok(plan)
}

fn too_large(graph: &Graph, occupant: Occupant) -> PlanError {
    let id = match occupant {
        Occupant::Tensor(id) => id,
        Occupant::Scratch(node) => graph.nodes()[node].outputs[0],
    };
    PlanError::TooLarge { name: graph.tensor(id).name.clone(), shape: graph.shape(id) }
}

/// Sizes and lives. Inputs live from the start, outputs to the end; a result that nothing reads lives at its own step.
fn lives(graph: &Graph, plan: &mut ArenaPlan) -> Result<Vec<Life>, PlanError> {
    let end = graph.nodes().len();
    let mut spans: BTreeMap<TensorId, (usize, usize)> = graph.inputs().iter().map(|&id| (id, (0, 0))).collect();
    for (position, node) in graph.nodes().iter().enumerate() {
        for &id in &node.outputs {
            spans.insert(id, (position, position));
        }
        for id in node.inputs.iter().flatten() {
            if let Some(span) = spans.get_mut(id) {
                span.1 = position;
            }
        }
    }
    for id in graph.outputs() {
        if let Some(span) = spans.get_mut(id) {
            span.1 = end;
        }
    }
    let mut lives = Vec::new();
    for (id, (first, last)) in spans {
        let tensor = graph.tensor(id);
        if tensor.constant.is_some() {
            continue;
        }
        let occupant = Occupant::Tensor(id);
        let bytes = tensor.spec.bytes().and_then(align).ok_or_else(|| too_large(graph, occupant))?;
        lives.push(Life { occupant, first, last, bytes, batched: tensor.spec.shape.is_batched() });
    }
    for (position, node) in graph.nodes().iter().enumerate() {
        let scratch = node.op.scratch(&graph.node_inputs(node));
        let scratch = scratch.map_err(|error| PlanError::Scratch { node: node.name.clone(), error })?;
        if (scratch.fixed, scratch.per_row) == (0, 0) {
            continue;
        }
        let batched = scratch.per_row > 0;
        let occupant = Occupant::Scratch(position);
        let too_large = || too_large(graph, occupant);
        // A batch has one row at least, so the fixed part fits into the part per row.
        let needed = scratch.fixed.checked_add(scratch.per_row).ok_or_else(too_large)?;
        let length = usize::try_from(needed).map_err(|_| too_large())?;
        let shape = Shape::new(&[length], batched.then_some(0)).map_err(|_| too_large())?;
        plan.scratch.insert(position, TensorSpec::new(DType::U8, shape));
        let bytes = align(needed).ok_or_else(too_large)?;
        lives.push(Life { occupant, first: position, last: position, bytes, batched });
    }
    Ok(lives)
}

fn align(bytes: u64) -> Option<u64> {
    ekiben_runtime::bytes::round_up(bytes, MEMORY_ALIGNMENT as u64)
}

/// The largest sum of bytes alive at one step.
fn peak<'a>(lives: impl Iterator<Item = &'a Life> + Clone) -> u64 {
    let alive = |position| {
        let alive = lives.clone().filter(|life| life.first <= position && position <= life.last);
        alive.map(|life| life.bytes).fold(0, u64::saturating_add)
    };
    lives.clone().map(|life| alive(life.first)).max().unwrap_or(0)
}

/// Places the largest occupants first, each at the lowest offset where it meets nobody alive with it; returns the end of the
/// last one.
fn place<'a>(lives: impl Iterator<Item = &'a Life>, mut put: impl FnMut(Occupant, u64)) -> u64 {
    let mut order: Vec<&Life> = lives.collect();
    order.sort_by_key(|life| (std::cmp::Reverse(life.bytes), life.first, life.occupant));
    let mut placed: Vec<(u64, &Life)> = Vec::new();
    let mut end = 0;
    for life in order {
        let mut offset = 0u64;
        for &(start, other) in &placed {
            let together = life.first <= other.last && other.first <= life.last;
            if together && start < offset.saturating_add(life.bytes) {
                offset = offset.max(start.saturating_add(other.bytes));
            }
        }
        let position = placed.partition_point(|&(start, _)| start <= offset);
        placed.insert(position, (offset, life));
        end = end.max(offset.saturating_add(life.bytes));
        put(life.occupant, offset);
    }
    end
}

#[cfg(test)]
mod tests {
    use super::*;
    use ekiben_runtime::ops::unary::{Unary, UnaryKind};

    fn chain(batch: Option<usize>) -> Graph {
        let mut graph = Graph::new();
        let shape = Shape::new(&[1, 25], batch).unwrap();
        let mut id = graph.add_input("x", TensorSpec::new(DType::F32, shape));
        for step in 0..5 {
            id = graph.add(&format!("relu {step}"), Unary::of(UnaryKind::Relu), &[id]).unwrap();
        }
        graph.add_output(id);
        graph
    }

    #[test]
    fn a_chain_needs_two_tensors_at_a_time() {
        let fixed = plan(&chain(None)).unwrap();
        assert_eq!(fixed.extent, Extent { fixed: 2 * 112, per_row: 0 });
        let batched = plan(&chain(Some(0))).unwrap();
        assert_eq!(batched.extent, Extent { fixed: 0, per_row: 2 * 112 });
        assert_eq!(batched.extent, batched.lower_bound);
    }

    #[test]
    fn tensors_alive_together_do_not_overlap() {
        let mut graph = Graph::new();
        let spec = |n| TensorSpec::new(DType::F32, Shape::new(&[1, n], Some(0)).unwrap());
        let a = graph.add_input("a", spec(7));
        let b = graph.add("b", Unary::of(UnaryKind::Relu), &[a]).unwrap();
        let c = graph.add("c", Unary::of(UnaryKind::Exp), &[a]).unwrap();
        graph.add_output(b);
        graph.add_output(c);
        graph.add_output(a);
        let plan = plan(&graph).unwrap();
        let mut starts: Vec<_> = plan.places.values().map(|place| place.per_row).collect();
        starts.sort();
        assert_eq!(starts, [0, 32, 64]);
    }
}
