//! Gives clusters their offsets: no bytes twice at one time, and the end as low as can be found.

use super::clusters::{Cluster, Rect};

/// Offsets of some clusters, and the end of the highest.
#[derive(Clone, Debug, Default)]
pub(super) struct Offsets {
    /// In the order of the clusters: where byte 0 of each cluster lies.
    pub(super) bases: Vec<i64>,
    pub(super) end: u64,
}

/// Comparisons of two rectangles that a search may take, so that it ends soon on any graph.
const BUDGET: u64 = 40_000_000;

/// The largest number of bytes in use at one position: no offsets can end lower.
pub(super) fn peak(clusters: &[&Cluster]) -> u64 {
    live(clusters).into_iter().max().unwrap_or(0)
}

/// Bytes in use at each position.
pub(super) fn live(clusters: &[&Cluster]) -> Vec<u64> {
    let positions = clusters.iter().flat_map(|cluster| &cluster.rects).map(|rect| rect.last + 1).max().unwrap_or(0);
    // Changes from one position to the next, summed up at the end.
    let mut changes = vec![0i128; positions + 1];
    for cluster in clusters {
        let mut borders: Vec<usize> = cluster.rects.iter().flat_map(|rect| [rect.first, rect.last + 1]).collect();
        borders.sort_unstable();
        borders.dedup();
        for pair in borders.windows(2) {
            let bytes = i128::from(covered(&cluster.rects, pair[0]));
            changes[pair[0]] += bytes;
            changes[pair[1]] -= bytes;
        }
    }
    let mut sum = 0;
    let sums = changes.into_iter().map(|change| {
        sum += change;
        u64::try_from(sum).unwrap_or(u64::MAX)
    });
    sums.take(positions).collect()
}

/// Bytes of a cluster in use at a position, those of several rectangles counted once.
fn covered(rects: &[Rect], position: usize) -> u64 {
    let in_use = rects.iter().filter(|rect| rect.first <= position && position <= rect.last);
    let mut spans: Vec<_> = in_use.map(|rect| (rect.start, rect.end())).collect();
    spans.sort_unstable();
    let (mut sum, mut reached) = (0u64, i64::MIN);
    for (start, end) in spans {
        sum = sum.saturating_add(end.saturating_sub(start.max(reached)).max(0).unsigned_abs());
        reached = reached.max(end);
    }
    sum
}

/// Finds offsets for the clusters: several orders, each cluster at the lowest offset that is free, then orders in which the highest
/// clusters come earlier. Ends at once where `bound`, which cannot be undercut, is reached.
pub(super) fn place(clusters: &[&Cluster], bound: u64) -> Offsets {
    let mut search = Search { clusters, budget: BUDGET, best: None };
    let keys: Vec<Key> = clusters.iter().map(|cluster| key(cluster)).collect();
    let by = |compare: fn(&Key) -> (i64, i64)| {
        let mut order: Vec<usize> = (0..clusters.len()).collect();
        order.sort_by_key(|&index| (compare(&keys[index]), keys[index].first, index));
        order
    };
    let orders = [
        by(|key| (-key.height, -key.time)),
        by(|key| (key.height.saturating_mul(key.time).saturating_neg(), 0)),
        by(|key| (-key.time, -key.height)),
        by(|key| (key.first, -key.height)),
    ];
    for order in orders {
        if search.attempt(&order) <= bound {
            return search.finish();
        }
        search.raise(order, bound);
    }
    search.finish()
}

/// What clusters are ordered by.
struct Key {
    /// Bytes from its first to its last.
    height: i64,
    /// Positions from its first to its last.
    time: i64,
    first: i64,
}

fn key(cluster: &Cluster) -> Key {
    let of = |value: fn(&Rect) -> i64| cluster.rects.iter().map(value);
    let (low, high) = (of(|rect| rect.start).min().unwrap_or(0), of(Rect::end).max().unwrap_or(0));
    let first = of(|rect| rect.first as i64).min().unwrap_or(0);
    let last = of(|rect| rect.last as i64).max().unwrap_or(0);
    Key { height: high.saturating_sub(low), time: last - first + 1, first }
}

struct Search<'a> {
    clusters: &'a [&'a Cluster],
    budget: u64,
    best: Option<Offsets>,
}

impl Search<'_> {
    fn finish(self) -> Offsets {
        self.best.unwrap_or_default()
    }

    fn best_end(&self) -> u64 {
        self.best.as_ref().map_or(u64::MAX, |best| best.end)
    }

    /// Places clusters in this order, keeps the result when it is the best, and returns its end.
    fn attempt(&mut self, order: &[usize]) -> u64 {
        let mut bases = vec![0; self.clusters.len()];
        let mut placed: Vec<Rect> = Vec::new();
        let mut end = 0i64;
        for &index in order {
            let rects = &self.clusters[index].rects;
            self.budget = self.budget.saturating_sub((rects.len() * placed.len()) as u64 + 1);
            let base = lowest(rects, &placed);
            bases[index] = base;
            let moved = rects.iter().map(|rect| Rect { start: rect.start.saturating_add(base), ..*rect });
            placed.extend(moved);
            end = placed.iter().rev().take(rects.len()).map(Rect::end).fold(end, i64::max);
        }
        let end = end.max(0).unsigned_abs();
        if end < self.best_end() {
            self.best = Some(Offsets { bases, end });
        }
        end
    }

    /// Repeats an order with the cluster that ends highest moved to the front, as long as the budget lasts and something changes.
    fn raise(&mut self, mut order: Vec<usize>, bound: u64) {
        let rounds = order.len().min(64);
        for _ in 0..rounds {
            let Some(best) = &self.best else { return };
            let highest = |&&index: &&usize| {
                let ends = self.clusters[index].rects.iter().map(|rect| rect.end().saturating_add(best.bases[index]));
                ends.max()
            };
            let Some(&top) = order.iter().max_by_key(highest) else { return };
            if self.budget == 0 || order.first() == Some(&top) {
                return;
            }
            order.retain(|&index| index != top);
            order.insert(0, top);
            if self.attempt(&order) <= bound {
                return;
            }
        }
    }
}

/// The lowest base, with nothing below 0, at which `rects` meet none of `placed`.
fn lowest(rects: &[Rect], placed: &[Rect]) -> i64 {
    let mut base = rects.iter().map(|rect| rect.start.saturating_neg()).max().unwrap_or(0);
    // Bases between these, both excluded, put two rectangles onto each other.
    let mut taken: Vec<(i64, i64)> = Vec::new();
    for rect in rects {
        for other in placed.iter().filter(|other| other.meets(rect)) {
            taken.push((other.start.saturating_sub(rect.end()), other.end().saturating_sub(rect.start)));
        }
    }
    taken.sort_unstable();
    for (low, high) in taken {
        if low < base && base < high {
            base = high;
        }
    }
    base
}
