//! Finds an order of the nodes that keeps few bytes alive.
//!
//! The search goes over sets of nodes that have run. Such a set tells which bytes are alive, whatever the order within it, so the best
//! order is a path through these sets whose largest step is smallest. It is found exactly while the sets are few enough, as they are
//! in chains of blocks with some branches; otherwise the next node is always the one that costs least.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashSet};

use ekiben_runtime::Op;

use super::views::view;
use crate::graph::{Graph, TensorId};

/// Sets of nodes that the exact search may look at, times the nodes of the graph.
const BUDGET: usize = 4_000_000;
/// Nodes of the largest graph that is reordered.
const MAX_NODES: usize = 4096;

/// An order that may need less memory than the graph's own; `None` for a graph that is too large.
pub(super) fn order(graph: &Graph, scratch: impl Fn(usize, bool) -> u64) -> Option<Vec<usize>> {
    let nodes = graph.nodes().len();
    if !(3..=MAX_NODES).contains(&nodes) {
        return None;
    }
    let model = Model::new(graph, scratch);
    model.exact(BUDGET / nodes).or_else(|| Some(model.greedy()))
}

/// What a node does to the bytes that are alive.
#[derive(Clone, Debug, Default)]
struct Work {
    /// Blocks that it reads.
    reads: Vec<usize>,
    /// Blocks that it makes.
    makes: Vec<usize>,
    /// Bytes that are needed while it runs only: otherwise, and in place.
    scratch: [u64; 2],
    /// A block that it reads and can overwrite.
    overwrites: Vec<usize>,
    /// It joins what it reads, which can be made in the place of what it makes.
    joins: bool,
    /// It costs nothing: what it makes is part of what it reads.
    free: bool,
    /// Nodes that it waits for.
    waits: Vec<usize>,
}

/// Blocks are tensors together with their views: one number of bytes, alive until the last reader.
struct Model {
    works: Vec<Work>,
    bytes: Vec<u64>,
    readers: Vec<Vec<usize>>,
    /// Blocks that live to the end.
    kept: Vec<bool>,
    /// Bytes of the graph's inputs.
    start: u64,
}

/// Nodes that have run, one bit each, and the bytes that are alive then.
#[derive(Clone, Debug, PartialEq, Eq)]
struct State {
    done: Vec<u64>,
    count: usize,
    alive: u64,
}

impl State {
    fn has(&self, node: usize) -> bool {
        self.done[node / 64] >> (node % 64) & 1 == 1
    }
}

impl Model {
    fn new(graph: &Graph, scratch: impl Fn(usize, bool) -> u64) -> Self {
        let mut block: Vec<usize> = (0..graph.tensors().len()).collect();
        let mut works = Vec::new();
        let mut maker: Vec<Option<usize>> = vec![None; graph.tensors().len()];
        for (position, node) in graph.nodes().iter().enumerate() {
            let view = view(graph, node);
            let joins = matches!(node.op, Op::Concat(_));
            if let Some(view) = view.as_ref().filter(|_| !joins) {
                view.parts.iter().for_each(|(part, _)| block[part.index()] = block[view.whole.index()]);
            }
            let allowed = if view.is_none() { node.op.in_place(&graph.node_inputs(node)) } else { &[] };
            let same_size = |&&(input, output): &&(u8, u8)| {
                let x = node.inputs.get(usize::from(input)).copied().flatten();
                let y = node.outputs.get(usize::from(output)).copied();
                x.zip(y).is_some_and(|(x, y)| graph.spec(x).bytes() == graph.spec(y).bytes())
            };
            let overwritten =
                allowed.iter().filter(same_size).filter_map(|&(input, _)| node.inputs[usize::from(input)]);
            let variable = |id: &&TensorId| graph.tensor(**id).constant.is_none();
            let reads = || node.inputs.iter().flatten().filter(variable);
            let mut work = Work {
                reads: reads().map(|id| block[id.index()]).collect(),
                makes: node.outputs.iter().map(|id| block[id.index()]).collect(),
                scratch: [scratch(position, false), scratch(position, true)],
                overwrites: overwritten.map(|id| block[id.index()]).collect(),
                joins: joins && view.is_some(),
                free: view.is_some() && !joins,
                waits: reads().filter_map(|id| maker[id.index()]).collect(),
            };
            for list in [&mut work.reads, &mut work.waits] {
                list.sort_unstable();
                list.dedup();
            }
            node.outputs.iter().for_each(|id| maker[id.index()] = Some(position));
            works.push(work);
        }
        let mut bytes = vec![0u64; block.len()];
        let mut kept = vec![false; block.len()];
        let mut readers: Vec<Vec<usize>> = vec![Vec::new(); block.len()];
        for (tensor, &block) in graph.tensors().iter().zip(&block) {
            bytes[block] = bytes[block].max(tensor.spec.bytes().unwrap_or(u64::MAX));
        }
        graph
            .results()
            .chain(graph.states().iter().map(|state| state.tensor))
            .for_each(|id| kept[block[id.index()]] = true);
        for (position, work) in works.iter().enumerate() {
            work.reads.iter().for_each(|&block| readers[block].push(position));
        }
        let start = graph.sources().fold(0u64, |sum, id| sum.saturating_add(bytes[block[id.index()]]));
        Self { works, bytes, readers, kept, start }
    }

    /// Bytes in use while `node` runs after the nodes of `state`, and bytes alive afterwards.
    fn cost(&self, state: &State, node: usize) -> (u64, u64) {
        let work = &self.works[node];
        let sum = |blocks: &[usize]| blocks.iter().map(|&block| self.bytes[block]).fold(0, u64::saturating_add);
        let ends = |&&block: &&usize| {
            let is_done = |&reader: &usize| reader == node || state.has(reader);
            !self.kept[block] && self.readers[block].iter().all(is_done)
        };
        let dying: Vec<usize> = work.reads.iter().filter(ends).copied().collect();
        // A view that nobody reads ends with its step, as any result that nobody reads.
        let unread = |&&block: &&usize| !self.kept[block] && self.readers[block].is_empty();
        let unread: Vec<usize> = work.makes.iter().filter(unread).copied().collect();
        let made = if work.free { 0 } else { sum(&work.makes) };
        let (saved, scratch) = match work.overwrites.iter().find(|block| dying.contains(block)) {
            _ if work.joins => (sum(&dying).min(made), 0),
            Some(&block) => (self.bytes[block], work.scratch[1]),
            None => (0, work.scratch[0]),
        };
        let during = state.alive.saturating_add(made).saturating_add(scratch).saturating_sub(saved);
        let gone = sum(&dying).saturating_add(if work.free { 0 } else { sum(&unread) });
        (during, state.alive.saturating_add(made).saturating_sub(gone))
    }

    /// The state before the first node that costs anything, and the nodes before it.
    fn begin(&self) -> (State, Vec<usize>) {
        let state = State { done: vec![0; self.works.len().div_ceil(64)], count: 0, alive: self.start };
        let mut path = Vec::new();
        (self.settle(state, &mut path), path)
    }

    fn ready(&self, state: &State) -> Vec<usize> {
        let is_ready = |&node: &usize| !state.has(node) && self.works[node].waits.iter().all(|&other| state.has(other));
        (0..self.works.len()).filter(is_ready).collect()
    }

    /// Runs `node`, then what costs nothing.
    fn step(&self, state: &State, node: usize, path: &mut Vec<usize>) -> State {
        let mut next = self.run(state, node);
        path.push(node);
        next = self.settle(next, path);
        next
    }

    fn run(&self, state: &State, node: usize) -> State {
        let (_, alive) = self.cost(state, node);
        let mut next = State { count: state.count + 1, alive, done: state.done.clone() };
        next.done[node / 64] |= 1 << (node % 64);
        next
    }

    fn settle(&self, mut state: State, path: &mut Vec<usize>) -> State {
        while let Some(node) = self.ready(&state).into_iter().find(|&node| self.works[node].free) {
            state = self.run(&state, node);
            path.push(node);
        }
        state
    }

    /// The node that costs least is next, and of several the one that leaves least alive.
    fn greedy(&self) -> Vec<usize> {
        let (mut state, mut path) = self.begin();
        let cheapest = |state: &State| {
            self.ready(state).into_iter().min_by_key(|&node| {
                let (during, after) = self.cost(state, node);
                (during.max(after), after, node)
            })
        };
        while let Some(node) = cheapest(&state) {
            state = self.step(&state, node, &mut path);
        }
        path
    }

    /// The path whose largest step is smallest; `None` when more than `budget` sets would have to be looked at.
    fn exact(&self, budget: usize) -> Option<Vec<usize>> {
        let (begin, first) = self.begin();
        let mut seen: HashSet<Vec<u64>> = HashSet::new();
        // States by their peak, further ones first; each with the state it came from and the nodes between.
        let mut states = vec![(begin, usize::MAX, first)];
        let mut queue = BinaryHeap::from([(Reverse(0u64), states[0].0.count, Reverse(0usize))]);
        while let Some((Reverse(peak), _, Reverse(index))) = queue.pop() {
            let state = states[index].0.clone();
            if state.count == self.works.len() {
                return Some(trace(&states, index));
            }
            if !seen.insert(state.done.clone()) {
                continue;
            }
            if states.len() > budget {
                return None;
            }
            for node in self.ready(&state) {
                let (during, _) = self.cost(&state, node);
                let mut path = Vec::new();
                let next = self.step(&state, node, &mut path);
                if !seen.contains(&next.done) {
                    queue.push((Reverse(peak.max(during)), next.count, Reverse(states.len())));
                    states.push((next, index, path));
                }
            }
        }
        None
    }
}

/// The nodes on the way to a state.
fn trace(states: &[(State, usize, Vec<usize>)], last: usize) -> Vec<usize> {
    let mut parts = Vec::new();
    let mut index = last;
    while let Some((_, from, path)) = states.get(index) {
        parts.push(path);
        index = *from;
    }
    parts.into_iter().rev().flatten().copied().collect()
}
