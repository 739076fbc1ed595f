//! Gives every tensor of a graph its place in the arena.
//!
//! A tensor that grows with the batch lies at `a + N * b`, any other at a fixed offset. Fixed tensors take the front of the
//! arena, batched ones the rest; within each part two tensors share bytes only when they are never alive together, so
//! they are disjoint for every N. Three exceptions hold the same bytes on purpose: views (a reshape, a part without gaps) lie in what
//! they are views of; the parts of a join are made in its place; and an operator that allows it writes a result over an input
//! that nobody reads later.

mod clusters;
mod order;
mod place;
mod views;

use std::collections::BTreeMap;

use ekiben_runtime::artifact::{Extent, MEMORY_ALIGNMENT};
use ekiben_runtime::{DType, Shape, TensorSpec};

use crate::graph::{Graph, TensorId};
use clusters::{Cluster, Clusters, Liberties};

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

/// A node that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedStep {
    /// Position of the node in the graph.
    pub node: usize,
    /// True when an input lies in the place of an output.
    pub in_place: bool,
}

/// The arena of one graph.
#[derive(Clone, Debug, Default)]
pub struct ArenaPlan {
    /// Place of every tensor that is not a constant, and of every scratch.
    pub places: BTreeMap<Occupant, Placement>,
    /// Type and shape of each node's scratch tensor.
    pub scratch: BTreeMap<usize, TensorSpec>,
    /// The nodes that need a step, in the order of their run.
    pub steps: Vec<PlannedStep>,
    /// Size of the arena.
    pub extent: Extent,
    /// The largest number of bytes in use at one step: no offsets in this order and with these views can do with less.
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

/// Orders the nodes of a graph and places all its tensors. The plan takes no more memory than the best that was found for the order
/// in which the nodes stand.
///
/// # Errors
/// [`PlanError`] names the tensor or node.
pub fn plan(graph: &Graph) -> Result<ArenaPlan, PlanError> {
    let scratch = scratch(graph)?;
    let scratch_bytes = |position: usize| scratch.get(&position).and_then(TensorSpec::bytes).unwrap_or(0);
    let given: Vec<usize> = (0..graph.nodes().len()).collect();
    let other = order::order(graph, scratch_bytes).filter(|other| *other != given);
    let mut best: Option<ArenaPlan> = None;
    for order in std::iter::once(given).chain(other) {
        let lives = lives(graph, &order, &scratch)?;
        for (concat, in_place) in [(true, true), (false, true), (false, false)] {
            let plan = attempt(graph, &order, &lives, Liberties { concat, in_place })?;
            let done = plan.extent == plan.lower_bound;
            if best.as_ref().is_none_or(|best| is_smaller(plan.extent, best.extent)) {
                best = Some(plan);
            }
            if done {
                break;
            }
        }
    }
    Ok(ArenaPlan { scratch, ..best.unwrap_or_default() })
}

/// True when `a` takes less than `b` for one row, and no more for any other number of them.
fn is_smaller(a: Extent, b: Extent) -> bool {
    let one = |extent: Extent| extent.fixed.saturating_add(extent.per_row);
    one(a) < one(b) && a.per_row <= b.per_row
}

/// A plan for one order of the nodes.
fn attempt(graph: &Graph, order: &[usize], lives: &[Life], liberties: Liberties) -> Result<ArenaPlan, PlanError> {
    let clusters = Clusters::new(graph, order, lives, liberties);
    let mut plan = ArenaPlan::default();
    for &node in order.iter().filter(|&&node| !clusters.elided[node]) {
        plan.steps.push(PlannedStep { node, in_place: clusters.in_place[node] });
    }
    let (batched, fixed): (Vec<_>, Vec<_>) = clusters.into_clusters().partition(|cluster| cluster.batched);
    let (fixed, batched): (Vec<_>, Vec<_>) = (fixed.iter().collect(), batched.iter().collect());
    plan.lower_bound = Extent { fixed: place::peak(&fixed), per_row: place::peak(&batched) };
    let offsets = place::place(&fixed, plan.lower_bound.fixed);
    plan.extent.fixed = offsets.end;
    for (occupant, offset) in starts(&fixed, &offsets) {
        plan.places.insert(occupant, Placement { offset, per_row: 0 });
    }
    let offsets = place::place(&batched, plan.lower_bound.per_row);
    plan.extent.per_row = offsets.end;
    for (occupant, offset) in starts(&batched, &offsets) {
        let per_row = u32::try_from(offset).map_err(|_| too_large(graph, occupant))?;
        plan.places.insert(occupant, Placement { offset: plan.extent.fixed, per_row });
    }
    Ok(plan)
}

/// The occupants of placed clusters, with their starts.
fn starts(clusters: &[&Cluster], offsets: &place::Offsets) -> Vec<(Occupant, u64)> {
    let placed = clusters.iter().zip(&offsets.bases);
    let start = |base: i64, start: i64| base.saturating_add(start).max(0).unsigned_abs();
    placed.flat_map(|(cluster, &base)| cluster.members.iter().map(move |&(o, s)| (o, start(base, s)))).collect()
}

fn too_large(graph: &Graph, occupant: Occupant) -> PlanError {
    let id = match occupant {
        Occupant::Tensor(id) => id,
        Occupant::Scratch(node) => graph.nodes()[node].outputs[0],
    };
    PlanError::TooLarge { name: graph.tensor(id).name.clone(), shape: graph.shape(id) }
}

/// The scratch tensors of all nodes that need one.
fn scratch(graph: &Graph) -> Result<BTreeMap<usize, TensorSpec>, PlanError> {
    let mut specs = BTreeMap::new();
    for (position, node) in graph.nodes().iter().enumerate() {
        let scratch = node.op.scratch(&graph.node_inputs(node));
        let scratch = scratch.map_err(|error| PlanError::Scratch { node: node.name.clone(), error })?;
        if (scratch.fixed, scratch.per_row) == (0, 0) {
            continue;
        }
        let batched = scratch.per_row > 0;
        let too_large = || too_large(graph, Occupant::Scratch(position));
        // A batch has one row at least, so the fixed part fits into the part per row.
        let needed = scratch.fixed.checked_add(scratch.per_row).ok_or_else(too_large)?;
        let length = usize::try_from(needed).map_err(|_| too_large())?;
        let shape = Shape::new(&[length], batched.then_some(0)).map_err(|_| too_large())?;
        specs.insert(position, TensorSpec::new(DType::U8, shape));
    }
    Ok(specs)
}

/// Sizes and lives, in positions of `order`. Inputs live from the start, outputs to the end; a result that nothing reads lives at its
/// own step.
fn lives(graph: &Graph, order: &[usize], scratch: &BTreeMap<usize, TensorSpec>) -> Result<Vec<Life>, PlanError> {
    let end = order.len();
    let mut spans: BTreeMap<TensorId, (usize, usize)> = graph.sources().map(|id| (id, (0, 0))).collect();
    let mut scratches = Vec::new();
    for (time, &position) in order.iter().enumerate() {
        let node = &graph.nodes()[position];
        for &id in &node.outputs {
            spans.insert(id, (time, time));
        }
        for id in node.inputs.iter().flatten() {
            if let Some(span) = spans.get_mut(id) {
                span.1 = time;
            }
        }
        scratches.extend(scratch.get(&position).map(|&spec| (Occupant::Scratch(position), (time, time), spec)));
    }
    // States are there from one run to the next: nothing else may ever have their places.
    for id in graph.results().chain(graph.states().iter().map(|state| state.tensor)) {
        if let Some(span) = spans.get_mut(&id) {
            span.1 = end;
        }
    }
    let tensors = spans.into_iter().filter(|(id, _)| graph.tensor(*id).constant.is_none());
    let tensors = tensors.map(|(id, span)| (Occupant::Tensor(id), span, graph.spec(id)));
    let life = |(occupant, (first, last), spec): (Occupant, (usize, usize), TensorSpec)| {
        let bytes = spec.bytes().and_then(align).filter(|&bytes| bytes <= MAX_BYTES);
        let bytes = bytes.ok_or_else(|| too_large(graph, occupant))?;
        Ok(Life { occupant, first, last, bytes, batched: spec.shape.is_batched() })
    };
    tensors.chain(scratches).map(life).collect()
}

/// More than any memory, and so little that sums of many of them do not overflow.
const MAX_BYTES: u64 = 1 << 44;

fn align(bytes: u64) -> Option<u64> {
    ekiben_runtime::bytes::round_up(bytes, MEMORY_ALIGNMENT as u64)
}

#[cfg(test)]
mod tests;
