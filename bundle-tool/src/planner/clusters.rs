//! Tensors that lie at fixed distances from each other: views with what they are views of, and results written over inputs.

use std::collections::HashMap;

use ekiben_runtime::ops::InPlace;

use super::views::view;
use super::{Life, Occupant};
use crate::graph::{Graph, Node, TensorId};

/// Bytes `start..start + bytes` of a cluster, in use at positions `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rect {
    pub(super) start: i64,
    pub(super) bytes: u64,
    pub(super) first: usize,
    pub(super) last: usize,
}

impl Rect {
    pub(super) fn end(&self) -> i64 {
        self.start.saturating_add_unsigned(self.bytes)
    }

    /// True when both are in use at one position.
    pub(super) fn meets(&self, other: &Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }

    fn overlaps(&self, other: &Self) -> bool {
        self.start < other.end() && other.start < self.end()
    }

    fn has_place_of(&self, other: &Self) -> bool {
        (self.start, self.bytes) == (other.start, other.bytes)
    }

    fn moved(self, by: i64) -> Self {
        Self { start: self.start.saturating_add(by), ..self }
    }
}

/// Occupants that move together.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) rects: Vec<Rect>,
    /// Occupants with their starts.
    pub(super) members: Vec<(Occupant, i64)>,
    pub(super) batched: bool,
}

impl Cluster {
    /// Adds what another cluster holds, moved by `by`; bytes in use one after the other become one rectangle.
    fn absorb(&mut self, other: Cluster, by: i64) {
        self.members.extend(other.members.into_iter().map(|(occupant, start)| (occupant, start.saturating_add(by))));
        for rect in other.rects {
            let rect = rect.moved(by);
            match self.rects.iter_mut().find(|known| known.has_place_of(&rect) && known.meets(&rect)) {
                Some(known) => {
                    (known.first, known.last) = (known.first.min(rect.first), known.last.max(rect.last));
                }
                None => self.rects.push(rect),
            }
        }
    }
}

/// What was decided for a graph whose nodes run in some order.
pub(super) struct Clusters {
    /// Those that were joined to others are empty.
    clusters: Vec<Cluster>,
    /// Each tensor's cluster, and its start there.
    home: HashMap<TensorId, (usize, i64)>,
    lives: HashMap<TensorId, Life>,
    /// By node: no step is needed.
    pub(super) elided: Vec<bool>,
    /// By node: an input lies in the place of an output.
    pub(super) in_place: Vec<bool>,
}

/// Which liberties [`Clusters::new`] takes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Liberties<'a> {
    /// Joins are written part by part.
    pub(super) concat: bool,
    /// Results are written over inputs.
    pub(super) in_place: bool,
    /// By node: no result of it is.
    pub(super) apart: &'a [bool],
}

impl Clusters {
    /// Clusters of occupants with these lives; positions count in `order`.
    pub(super) fn new(graph: &Graph, order: &[usize], lives: &[Life], liberties: Liberties<'_>) -> Self {
        let mut clusters = Self {
            clusters: Vec::with_capacity(lives.len()),
            home: HashMap::new(),
            lives: HashMap::new(),
            elided: vec![false; graph.nodes().len()],
            in_place: vec![false; graph.nodes().len()],
        };
        lives.iter().for_each(|life| clusters.add(life));
        for &position in order {
            clusters.elided[position] = clusters.elide(graph, &graph.nodes()[position], liberties);
        }
        if liberties.in_place {
            for (time, &position) in order.iter().enumerate() {
                let node = &graph.nodes()[position];
                if !clusters.elided[position] && !liberties.apart[position] {
                    let allowed = node.op.in_place(&graph.node_inputs(node));
                    clusters.in_place[position] = clusters.overwrite(graph, node, time, allowed);
                }
            }
        }
        clusters
    }

    /// Adds an occupant, in a cluster of its own.
    pub(super) fn add(&mut self, life: &Life) {
        let rect = Rect { start: 0, bytes: life.bytes, first: life.first, last: life.last };
        if let Occupant::Tensor(id) = life.occupant {
            self.home.insert(id, (self.clusters.len(), 0));
            self.lives.insert(id, *life);
        }
        let members = vec![(life.occupant, 0)];
        self.clusters.push(Cluster { rects: vec![rect], members, batched: life.batched });
    }

    /// The clusters, those that are left.
    pub(super) fn into_clusters(self) -> impl Iterator<Item = Cluster> {
        self.clusters.into_iter().filter(|cluster| !cluster.members.is_empty())
    }

    /// A tensor's rectangle in its cluster, and the cluster.
    fn rect(&self, id: TensorId) -> Option<(usize, Rect)> {
        let &(home, start) = self.home.get(&id)?;
        let life = self.lives.get(&id)?;
        Some((home, Rect { start, bytes: life.bytes, first: life.first, last: life.last }))
    }

    /// Joins a view with what it is a view of; false when the node is none, or the places contradict others.
    fn elide(&mut self, graph: &Graph, node: &Node, liberties: Liberties<'_>) -> bool {
        let Some(view) = view(graph, node) else { return false };
        if view.parts.len() > 1 && !liberties.concat {
            return false;
        }
        let Some((home, whole)) = self.rect(view.whole) else { return false };
        // Where each cluster goes, in the whole's frame, and the bytes that it shares with the whole.
        let mut moves: Vec<(usize, i64, Vec<Rect>)> = vec![(home, 0, Vec::new())];
        for &(id, offset) in &view.parts {
            let Some((part, rect)) = self.rect(id) else { return false };
            let by = whole.start.saturating_add_unsigned(offset).saturating_sub(rect.start);
            match moves.iter_mut().find(|(known, ..)| *known == part) {
                Some((_, known, _)) if *known != by => return false,
                Some((.., shared)) => shared.push(rect.moved(by)),
                None => moves.push((part, by, vec![rect.moved(by)])),
            }
        }
        let batched = self.clusters[home].batched;
        let fits = moves.iter().enumerate().all(|(index, (a, by_a, _))| {
            let rest = moves.iter().skip(index + 1);
            self.clusters[*a].batched == batched
                && rest.into_iter().all(|(b, by_b, shared)| {
                    // Only the whole's cluster may hold what another holds: the same values.
                    let shared: &[Rect] = if index == 0 { shared } else { &[] };
                    self.are_apart((*a, *by_a), (*b, *by_b), |a, b| {
                        let (start, end) = (a.start.max(b.start), a.end().min(b.end()));
                        shared.iter().any(|shared| shared.start <= start && end <= shared.end())
                    })
                })
        });
        if fits {
            moves.iter().skip(1).for_each(|&(cluster, by, _)| self.join(home, cluster, by));
        }
        fits
    }

    /// Puts outputs into the places of inputs that are not read later, as far as the operator allows it.
    fn overwrite(&mut self, graph: &Graph, node: &Node, time: usize, allowed: InPlace) -> bool {
        let mut any = false;
        let mut done = [false; 8];
        for &(input, output) in allowed {
            let slot = done.get_mut(usize::from(output));
            let operands = node.inputs.get(usize::from(input)).copied().flatten();
            let operands = operands.zip(node.outputs.get(usize::from(output)).copied());
            let (Some(done @ false), Some((x, y))) = (slot, operands) else { continue };
            *done = self.overwrite_with(graph, node, time, x, y);
            any |= *done;
        }
        any
    }

    fn overwrite_with(&mut self, graph: &Graph, node: &Node, time: usize, x: TensorId, y: TensorId) -> bool {
        let (Some((from, old)), Some((to, new))) = (self.rect(x), self.rect(y)) else { return false };
        let same_size = graph.spec(x).bytes() == graph.spec(y).bytes() && graph.spec(x).bytes() != Some(0);
        if !same_size || from == to || self.clusters[from].batched != self.clusters[to].batched {
            return false;
        }
        // Another input that shows the same bytes would be read while they change.
        let reads = |id: &&TensorId| self.rect(**id).is_some_and(|(home, rect)| home == from && rect.overlaps(&old));
        if node.inputs.iter().flatten().filter(reads).count() != 1 {
            return false;
        }
        let by = old.start.saturating_sub(new.start);
        let new = new.moved(by);
        let fits = self.are_apart((from, 0), (to, by), |a, b| {
            a.has_place_of(&old) && b.has_place_of(&new) && a.last <= time && b.first >= time
        });
        if fits {
            self.join(from, to, by);
        }
        fits
    }

    /// True when no bytes are in use by both clusters at one position, but where `shared` says that they may.
    fn are_apart(&self, a: (usize, i64), b: (usize, i64), shared: impl Fn(&Rect, &Rect) -> bool) -> bool {
        let rects = |(cluster, by): (usize, i64)| self.clusters[cluster].rects.iter().map(move |rect| rect.moved(by));
        rects(a).all(|a| rects(b).all(|b| !a.overlaps(&b) || !a.meets(&b) || shared(&a, &b)))
    }

    fn join(&mut self, into: usize, from: usize, by: i64) {
        let from = &mut self.clusters[from];
        let taken = Cluster { rects: Vec::new(), members: Vec::new(), batched: from.batched };
        let taken = std::mem::replace(from, taken);
        for (occupant, start) in &taken.members {
            if let Occupant::Tensor(id) = occupant {
                self.home.insert(*id, (into, start.saturating_add(by)));
            }
        }
        self.clusters[into].absorb(taken, by);
    }
}
