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
    let scratch = Scratches::new(graph)?;
    let given: Vec<usize> = (0..graph.nodes().len()).collect();
    let other = order::order(graph, |position, in_place| scratch.bytes(position, in_place));
    let other = other.filter(|other| *other != given);
    let mut best: Option<ArenaPlan> = None;
    for order in std::iter::once(given).chain(other) {
        let planning = Planning { graph, lives: lives(graph, &order)?, order, scratch: &scratch };
        for liberties in [(true, true), (false, true), (false, false)] {
            let plan = planning.plan(liberties)?;
            let done = plan.extent == plan.lower_bound;
            if best.as_ref().is_none_or(|best| is_smaller(plan.extent, best.extent)) {
                best = Some(plan);
            }
            if done {
                break;
            }
        }
    }
    Ok(best.unwrap_or_default())
}

/// Bytes for one row.
fn for_one(extent: Extent) -> u64 {
    extent.fixed.saturating_add(extent.per_row)
}

/// True when `a` takes less than `b` for one row, and loses no more than that with any further row.
fn is_smaller(a: Extent, b: Extent) -> bool {
    let gain = for_one(b).saturating_sub(for_one(a));
    gain > 0 && a.per_row.saturating_sub(b.per_row) <= gain
}

/// What plans for one order of the nodes are made from.
struct Planning<'a> {
    graph: &'a Graph,
    order: Vec<usize>,
    lives: Vec<Life>,
    scratch: &'a Scratches,
}

impl Planning<'_> {
    /// The best plan with these liberties (joins made part by part, steps in place). Nodes that need more scratch in place than
    /// otherwise work so only where that makes the arena smaller.
    fn plan(&self, (concat, in_place): (bool, bool)) -> Result<ArenaPlan, PlanError> {
        let costly = |node: usize| self.scratch.bytes(node, true) > self.scratch.bytes(node, false);
        let costly: Vec<bool> = (0..self.order.len()).map(costly).collect();
        let (plain, live) = self.attempt(Liberties { concat, in_place, apart: &costly })?;
        if !in_place || !costly.contains(&true) {
            return Ok(plain);
        }
        let (all, _) = self.attempt(Liberties { concat, in_place, apart: &vec![false; costly.len()] })?;
        if !is_smaller(all.extent, plain.extent) {
            return Ok(plain);
        }
        let mut apart = costly;
        for (time, &node) in self.order.iter().enumerate() {
            apart[node] &= live.get(time).is_none_or(|&live| live <= for_one(all.extent));
        }
        let (some, _) = self.attempt(Liberties { concat, in_place, apart: &apart })?;
        Ok(if is_smaller(all.extent, some.extent) { all } else { some })
    }

    /// A plan, with scratch memory that does not depend on the batch in either part of the arena, and the bytes in use at each
    /// position.
    fn attempt(&self, liberties: Liberties<'_>) -> Result<(ArenaPlan, Vec<u64>), PlanError> {
        let first = self.attempt_with(liberties, false)?;
        let moves = first.0.scratch.values().any(|spec| !spec.shape.is_batched()) && first.0.extent.per_row > 0;
        if !moves {
            return Ok(first);
        }
        let second = self.attempt_with(liberties, true)?;
        Ok(if is_smaller(second.0.extent, first.0.extent) { second } else { first })
    }

    fn attempt_with(&self, liberties: Liberties<'_>, batched: bool) -> Result<(ArenaPlan, Vec<u64>), PlanError> {
        let mut clusters = Clusters::new(self.graph, &self.order, &self.lives, liberties);
        let mut plan = ArenaPlan::default();
        for (time, &node) in self.order.iter().enumerate() {
            if clusters.elided[node] {
                continue;
            }
            let in_place = clusters.in_place[node];
            plan.steps.push(PlannedStep { node, in_place });
            if let Some(spec) = self.scratch.spec(node, in_place, batched) {
                plan.scratch.insert(node, spec);
                clusters.add(&life(self.graph, Occupant::Scratch(node), (time, time), &spec)?);
            }
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
            let per_row = u32::try_from(offset).map_err(|_| too_large(self.graph, occupant))?;
            plan.places.insert(occupant, Placement { offset: plan.extent.fixed, per_row });
        }
        let all: Vec<_> = fixed.into_iter().chain(batched).collect();
        Ok((plan, place::live(&all)))
    }
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

/// The scratch tensors of all nodes that need one, by position and whether the node works in place.
struct Scratches {
    specs: BTreeMap<(usize, bool), TensorSpec>,
}

impl Scratches {
    fn new(graph: &Graph) -> Result<Self, PlanError> {
        let mut specs = BTreeMap::new();
        for (position, node) in graph.nodes().iter().enumerate() {
            let inputs = graph.node_inputs(node);
            for (in_place, scratch) in [(false, node.op.scratch(&inputs)), (true, node.op.in_place_scratch(&inputs))] {
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
                specs.insert((position, in_place), TensorSpec::new(DType::U8, shape));
            }
        }
        Ok(Self { specs })
    }

    /// The tensor of a node; `batched` gives one that does not depend on the batch to every row.
    fn spec(&self, position: usize, in_place: bool, batched: bool) -> Option<TensorSpec> {
        let spec = *self.specs.get(&(position, in_place))?;
        let length = spec.shape.factor(0)?;
        let shape = Shape::new(&[length], (batched || spec.shape.is_batched()).then_some(0)).ok()?;
        Some(TensorSpec::new(DType::U8, shape))
    }

    fn bytes(&self, position: usize, in_place: bool) -> u64 {
        self.specs.get(&(position, in_place)).and_then(TensorSpec::bytes).unwrap_or(0)
    }
}

fn life(graph: &Graph, occupant: Occupant, span: (usize, usize), spec: &TensorSpec) -> Result<Life, PlanError> {
    let bytes = spec.bytes().and_then(align).filter(|&bytes| bytes <= MAX_BYTES);
    let bytes = bytes.ok_or_else(|| too_large(graph, occupant))?;
    Ok(Life { occupant, first: span.0, last: span.1, bytes, batched: spec.shape.is_batched() })
}

/// Sizes and lives of the tensors, in positions of `order`. Inputs live from the start, outputs to the end; a result that nothing reads
/// lives at its own step.
fn lives(graph: &Graph, order: &[usize]) -> Result<Vec<Life>, PlanError> {
    let end = order.len();
    let mut spans: BTreeMap<TensorId, (usize, usize)> = graph.sources().map(|id| (id, (0, 0))).collect();
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
    }
    // States are there from one run to the next: nothing else may ever have their places.
    for id in graph.results().chain(graph.states().iter().map(|state| state.tensor)) {
        if let Some(span) = spans.get_mut(&id) {
            span.1 = end;
        }
    }
    let tensors = spans.into_iter().filter(|(id, _)| graph.tensor(*id).constant.is_none());
    tensors.map(|(id, span)| life(graph, Occupant::Tensor(id), span, &graph.spec(id))).collect()
}

/// More than any memory, and so little that sums of many of them do not overflow.
const MAX_BYTES: u64 = 1 << 44;

fn align(bytes: u64) -> Option<u64> {
    ekiben_runtime::bytes::round_up(bytes, MEMORY_ALIGNMENT as u64)
}

#[cfg(test)]
mod tests;
