//! Forests by blocks of rows, and several walks at a time.
//!
//! *Blocks*: 256 rows are turned into columns together, column by column. A tree of narrow nodes is then not walked but scanned: each row
//! has the number of the leaf that it would reach if it went left from here on, 0 to begin with. Splits are taken in their order. A split
//! is on a row's path exactly if its own first leaf is the row's; where the row goes right there, its leaf is the first on the right. That
//! is a handful of instructions on vectors of bytes for each split, without a branch.
//!
//! *Wide forests* are large: each tree is walked for as many rows as have room for their ranks, while it is in a near cache.

use crate::kernels::reference::forest::{
    Aggregate, Columns, Combination, Feature, Forest, GroupKind, GroupWord, Leaves, Node, Rank, Trees, Value,
    rank_among, walk,
};

/// Rows of a block.
const ROWS: usize = 256;

/// With fewer rows than this, a walk for each takes less time than a block.
const LEAST_ROWS: usize = 24;

/// Trees that a row is led through before their values are combined.
pub(in crate::kernels) const TREES: usize = 64;

/// Ranks of wide forests that are kept for several rows.
const WIDE_RANKS: usize = 1 << 14;

/// A block's ranks in one column, less 128: vectors of bytes compare with a sign.
type Column = [i8; ROWS];

/// Up to [`ROWS`] rows and where their values go.
struct Block<'a, F: Feature, V> {
    columns: &'a Columns<'a, F>,
    trees: Trees<'a, u32>,
    combination: &'a Combination<'a, V>,
    features: usize,
    x: &'a [F],
    /// Room for the columns.
    ranks: &'a mut [Column],
    out: &'a mut [V],
}

/// Leads a row through up to [`TREES`] trees, from the given one on: gives the number of the leaf that it reaches in each.
pub(in crate::kernels) type Walks = fn(&Trees<'_, u32>, usize, &[u8], &mut [u8; TREES]);

/// [`Walks`] one after the other.
#[inline(always)]
pub(in crate::kernels) fn walk_each(trees: &Trees<'_, u32>, first: usize, ranks: &[u8], leaves: &mut [u8; TREES]) {
    for (tree, leaf) in (first..trees.len()).zip(leaves) {
        *leaf = walk(trees.splits(tree), ranks).unwrap_or_default() as u8;
    }
}

/// [`Forest::run`] with the processor's basic instructions.
pub(in crate::kernels) fn run<F: Feature, N: Node, V: Value>(
    forest: &Forest<'_, F, N, V>,
    features: usize,
    x: &[F],
    columns: &mut [N::Rank],
    seen: &mut [u8],
    out: &mut [V],
) {
    run_with(forest, walk_each, features, x, columns, seen, out);
}

/// [`Forest::run`] with `walks` for single rows, compiled for what its caller is compiled for.
#[inline(always)]
pub(in crate::kernels) fn run_with<F: Feature, N: Node, V: Value>(
    forest: &Forest<'_, F, N, V>,
    walks: Walks,
    features: usize,
    x: &[F],
    columns: &mut [N::Rank],
    seen: &mut [u8],
    out: &mut [V],
) {
    let combination = &forest.combination;
    let (features, targets) = (features.max(1), combination.targets.max(1));
    let narrow = N::narrow(forest.trees.nodes).map(|nodes| Trees { starts: forest.trees.starts, nodes });
    let in_order = matches!(combination.aggregate, Aggregate::Sum | Aggregate::Each);
    let mut done = 0;
    if in_order && out.len() / targets >= LEAST_ROWS {
        done = match narrow {
            Some(trees) if forest.columns.count <= 32 => {
                run_blocks::<32, F, V>(&forest.columns, trees, combination, features, x, out)
            }
            Some(trees) => run_blocks::<256, F, V>(&forest.columns, trees, combination, features, x, out),
            None => run_wide(forest, features, x, out),
        };
    }
    for (row, out) in x.chunks_exact(features).zip(out.chunks_exact_mut(targets)).skip(done) {
        forest.columns.fill_with(row, columns, rank_in_windows);
        combination.begin(out);
        seen.fill(0);
        let Some(trees) = narrow else {
            for tree in 0..forest.trees.len() {
                let leaf = walk(forest.trees.splits(tree), columns).unwrap_or_default();
                combination.add(tree, forest.trees.first_leaf(tree) + leaf, seen, out);
            }
            continue;
        };
        let mut leaves = [0; TREES];
        for first in (0..trees.len()).step_by(TREES) {
            walks(&trees, first, bytemuck::cast_slice(columns), &mut leaves);
            let reached = (first..trees.len()).zip(&leaves);
            match (combination.leaves, &mut *out) {
                (Leaves::Single { values, targets: None }, [out]) if combination.aggregate == Aggregate::Sum => {
                    for (tree, &leaf) in reached {
                        let value = values.get(trees.first_leaf(tree) + usize::from(leaf));
                        *out = out.plus(value.copied().unwrap_or_default());
                    }
                }
                (_, out) => {
                    for (tree, &leaf) in reached {
                        combination.add(tree, trees.first_leaf(tree) + usize::from(leaf), seen, out);
                    }
                }
            }
        }
    }
}

/// [`rank_among`] by halves down to 32 keys, all of which are then compared.
#[inline(always)]
fn rank_in_windows<K: Ord + Copy>(keys: &[K], key: K) -> usize {
    const WINDOW: usize = 32;
    let Some(last) = keys.len().checked_sub(WINDOW) else { return rank_among(keys, key) };
    let (mut base, mut left) = (0, keys.len());
    while left > WINDOW {
        let half = left / 2;
        let below = keys.get(base + half).is_some_and(|&other| other < key);
        base = core::hint::select_unpredictable(below, base + half, base);
        left -= half;
    }
    // What is before the window is below the key: moving it to the left takes nothing away.
    let start = base.min(last);
    let window = keys.get(start..).and_then(|keys| keys.first_chunk::<WINDOW>());
    start + window.map_or(0, |window| window.iter().map(|&other| usize::from(other < key)).sum())
}

/// Runs whole blocks, and a last one if enough rows are left for it; returns the number of rows.
#[inline(always)]
fn run_blocks<const COLUMNS: usize, F: Feature, V: Value>(
    columns: &Columns<'_, F>,
    trees: Trees<'_, u32>,
    combination: &Combination<'_, V>,
    features: usize,
    x: &[F],
    out: &mut [V],
) -> usize {
    let mut ranks = [[0; ROWS]; COLUMNS];
    let targets = combination.targets.max(1);
    let mut done = 0;
    for (x, out) in x.chunks(features.saturating_mul(ROWS)).zip(out.chunks_mut(targets.saturating_mul(ROWS))) {
        let rows = out.len() / targets;
        if rows < LEAST_ROWS {
            break;
        }
        run_block(Block { columns, trees, combination, features, x, ranks: &mut ranks, out });
        done += rows;
    }
    done
}

#[inline(always)]
fn run_block<F: Feature, V: Value>(block: Block<'_, F, V>) {
    let Block { columns, trees, combination, features, x, ranks, out } = block;
    fill(columns, features, x, ranks);
    let targets = combination.targets.max(1);
    for out in out.chunks_exact_mut(targets) {
        combination.begin(out);
    }
    let mut leaves = [0; ROWS];
    for tree in 0..trees.len() {
        let splits = trees.splits(tree);
        scan(splits, ranks, &mut leaves);
        let first = trees.first_leaf(tree);
        match combination.leaves {
            Leaves::Single { values, targets: of_tree } if combination.aggregate == Aggregate::Sum => {
                let mut table = [V::default(); 256];
                let values = values.get(first..first + splits.len() + 1).unwrap_or_default();
                for (to, &value) in table.iter_mut().zip(values) {
                    *to = value;
                }
                let target = of_tree.and_then(|of_tree| of_tree.get(tree)).map_or(0, |&target| target as usize);
                if targets == 1 {
                    for (out, &leaf) in out.iter_mut().zip(&leaves) {
                        *out = out.plus(table[usize::from(leaf)]);
                    }
                } else {
                    for (out, &leaf) in out.chunks_exact_mut(targets).zip(&leaves) {
                        if let Some(out) = out.get_mut(target) {
                            *out = out.plus(table[usize::from(leaf)]);
                        }
                    }
                }
            }
            Leaves::Dense { values, rows } if combination.aggregate == Aggregate::Sum && (2..=4).contains(&targets) => {
                match targets {
                    2 => add_rows::<2, V>(values, rows, first, &leaves, out),
                    3 => add_rows::<3, V>(values, rows, first, &leaves, out),
                    _ => add_rows::<4, V>(values, rows, first, &leaves, out),
                }
            }
            _ => {
                for (out, &leaf) in out.chunks_exact_mut(targets).zip(&leaves) {
                    combination.add(tree, first + usize::from(leaf), &mut [], out);
                }
            }
        }
    }
}

/// Adds the values of the leaves that rows reach, in a tree with the given first leaf, to few targets.
#[inline(always)]
fn add_rows<const TARGETS: usize, V: Value>(
    values: &[V],
    rows: Option<&[u16]>,
    first: usize,
    leaves: &[u8; ROWS],
    out: &mut [V],
) {
    let values = values.as_chunks::<TARGETS>().0;
    let rows = rows.map(|rows| rows.get(first..).unwrap_or_default());
    for (out, &leaf) in out.as_chunks_mut::<TARGETS>().0.iter_mut().zip(leaves) {
        let row = match rows {
            Some(rows) => rows.get(usize::from(leaf)).map_or(usize::MAX, |&row| row.into()),
            None => first + usize::from(leaf),
        };
        let Some(values) = values.get(row) else { continue };
        *out = core::array::from_fn(|target| out[target].plus(values[target]));
    }
}

/// The leaf of a tree that each row reaches.
#[inline(always)]
fn scan(splits: &[u32], ranks: &[Column], leaves: &mut [u8; ROWS]) {
    let mut reached = [0u8; ROWS];
    for &split in splits {
        let [column, rank, first, right] = split.to_le_bytes();
        let Some(column) = ranks.get(usize::from(column)) else { continue };
        let rank = (rank ^ 0x80) as i8;
        for (reached, &x) in reached.iter_mut().zip(column) {
            // 255 is no leaf, so where a row stays left nothing is equal.
            let before = if rank > x { 255 } else { first };
            *reached = if *reached == before { right } else { *reached };
        }
    }
    *leaves = reached;
}

/// The columns of a block, of as many rows as `x` has.
#[inline(always)]
fn fill<F: Feature>(columns: &Columns<'_, F>, features: usize, x: &[F], mut ranks: &mut [Column]) {
    for group in columns.groups {
        let Some((out, rest)) = core::mem::take(&mut ranks).split_at_mut_checked(group[3] as usize) else { return };
        ranks = rest;
        let Some(word) = GroupWord::unpack(group[0]) else { continue };
        let feature = word.feature as usize;
        let values = x.get(feature..).unwrap_or_default().iter().step_by(features).take(ROWS);
        match word.kind {
            GroupKind::Ranks => {
                let (mut keys, mut missing, mut any_missing) = ([F::LEAST; ROWS], [false; ROWS], false);
                for ((to, missing), &value) in keys.iter_mut().zip(&mut missing).zip(values) {
                    let key = Columns::present_key(word, value);
                    *missing = key.is_none();
                    any_missing |= *missing;
                    *to = key.unwrap_or(F::LEAST);
                }
                for (thresholds, out) in columns.keys_of(group).chunks(<u8 as Rank>::MAX as usize).zip(out) {
                    rank_all::<F>(thresholds, &keys, out);
                    if any_missing && word.nan_is_right {
                        for (out, _) in out.iter_mut().zip(&missing).filter(|(_, missing)| **missing) {
                            *out = below_zero(thresholds.len());
                        }
                    }
                }
            }
            GroupKind::Sets => {
                for (row, &value) in values.enumerate() {
                    let bits = columns.set_bits(word, group, value);
                    for (column, out) in out.iter_mut().enumerate() {
                        let byte = bits.get(column / 8).copied().unwrap_or(0);
                        if let Some(out) = out.get_mut(row) {
                            *out = below_zero((byte >> (column % 8) & 1).into());
                        }
                    }
                }
            }
            GroupKind::Equal => {
                out.as_flattened_mut().fill(below_zero(0));
                let keys = columns.keys_of(group);
                for (row, &value) in values.enumerate() {
                    match Columns::present_key(word, value) {
                        Some(key) => {
                            let found = keys.binary_search(&key).ok().and_then(|at| out.get_mut(at)?.get_mut(row));
                            if let Some(out) = found {
                                *out = below_zero(1);
                            }
                        }
                        None if word.nan_is_right => {
                            for out in out.iter_mut().filter_map(|column| column.get_mut(row)) {
                                *out = below_zero(1);
                            }
                        }
                        None => {}
                    }
                }
            }
        }
    }
}

/// A rank as a block has it.
#[inline(always)]
fn below_zero(rank: usize) -> i8 {
    (rank as u8 ^ 0x80) as i8
}

/// How many of up to 255 thresholds are below each key.
#[inline(always)]
fn rank_all<F: Feature>(thresholds: &[F::Key], keys: &[F::Key; ROWS], out: &mut Column) {
    let mut table = [F::MOST; 256];
    for (to, &threshold) in table.iter_mut().zip(thresholds) {
        *to = threshold;
    }
    let first = (thresholds.len() + 1).next_power_of_two() / 2;
    let mut ranks = [0u32; ROWS];
    let mut step = first as u32;
    while step > 0 {
        for (rank, &key) in ranks.iter_mut().zip(keys) {
            let below = table[((*rank + step - 1) & 255) as usize] < key;
            *rank += if below { step } else { 0 };
        }
        step /= 2;
    }
    for (out, &rank) in out.iter_mut().zip(&ranks) {
        *out = below_zero(rank as usize);
    }
}

/// Tree by tree for some rows at a time, where ranks of several fit; returns the number of rows.
fn run_wide<F: Feature, N: Node, V: Value>(
    forest: &Forest<'_, F, N, V>,
    features: usize,
    x: &[F],
    out: &mut [V],
) -> usize {
    let (width, targets) = (forest.columns.count.max(1), forest.combination.targets.max(1));
    let together = (WIDE_RANKS / width).min(ROWS);
    if together < 2 {
        return 0;
    }
    let mut ranks = [N::Rank::default(); WIDE_RANKS];
    for (x, out) in x.chunks(features * together).zip(out.chunks_mut(targets * together)) {
        let rows = x.chunks_exact(features).zip(out.chunks_exact_mut(targets));
        for ((row, out), ranks) in rows.zip(ranks.chunks_exact_mut(width)) {
            forest.columns.fill(row, ranks);
            forest.combination.begin(out);
        }
        for tree in 0..forest.trees.len() {
            let (splits, first_leaf) = (forest.trees.splits(tree), forest.trees.first_leaf(tree));
            for (out, ranks) in out.chunks_exact_mut(targets).zip(ranks.chunks_exact(width)) {
                let leaf = walk(splits, ranks).unwrap_or_default();
                forest.combination.add(tree, first_leaf + leaf, &mut [], out);
            }
        }
    }
    out.len() / targets
}
