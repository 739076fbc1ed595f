//! Trees as the runtime's tables: splits in preorder, leaves from left to right, values in the smallest form that holds them.

use std::collections::HashMap;

use ekiben_runtime::DType;
use ekiben_runtime::ops::forest::{Aggregate, Forest as ForestOp, NARROW_LEAVES, Rank};

use super::columns::{ColumnTable, Place, Tables, Threshold};
use super::{Combination, Forest, FrontendError, Node, Tree};
use crate::graph::{Graph, TensorId};

/// Most columns of narrow splits.
const NARROW_COLUMNS: u32 = 1 << 8;

/// Most columns and leaves of a tree of wide splits.
const WIDE_LIMIT: u64 = 1 << 24;

/// Most splits of a forest.
const MAX_SPLITS: u64 = 1 << 28;

/// What a forest is lowered to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// The trees' values, combined.
    Combined(Combination<'a>),
    /// Numbers of leaves.
    Leaves,
}

/// A split in preorder.
#[derive(Clone, Copy, Debug)]
struct Preordered {
    place: Place,
    /// Leaves of the tree to the left of all that are below.
    first_leaf: u32,
    left_leaves: u32,
}

/// Splits and leaves of all trees in their order.
#[derive(Debug, Default)]
struct Laid {
    /// First split of each tree, and the number of splits.
    starts: Vec<u32>,
    splits: Vec<Preordered>,
    /// Index of each leaf among those of the forest.
    leaves: Vec<usize>,
}

/// Adds the operator and its tables to the graph.
pub(super) fn lower(
    forest: &Forest,
    graph: &mut Graph,
    name: &str,
    x: TensorId,
    result: Wanted<'_>,
) -> Result<TensorId, FrontendError> {
    match graph.spec(x).dtype {
        DType::F64 => lower_for::<f64>(forest, graph, name, x, result, DType::I64),
        _ => lower_for::<f32>(forest, graph, name, x, result, DType::I32),
    }
}

fn lower_for<F: Threshold>(
    forest: &Forest,
    graph: &mut Graph,
    name: &str,
    x: TensorId,
    result: Wanted<'_>,
    keys: DType,
) -> Result<TensorId, FrontendError> {
    let too_large = || FrontendError::malformed(name, "more nodes or categories than an artifact holds");
    let counts = count_leaves(forest).ok_or_else(too_large)?;
    let mut columns = ColumnTable::of::<F>(forest, u8::MAX.into());
    let most_leaves = counts.iter().map(|counts| counts[0]).max().unwrap_or(1);
    let narrow = columns.count <= NARROW_COLUMNS && most_leaves <= NARROW_LEAVES as u64;
    if !narrow {
        columns = ColumnTable::of::<F>(forest, <u16 as Rank>::MAX);
    }
    if u64::from(columns.count) > WIDE_LIMIT {
        return Err(too_large());
    }
    let laid = lay::<F>(forest, &columns, &counts);
    let Tables { groups, keys: key_list, sets } = columns.tables(forest).ok_or_else(too_large)?;

    let part = |part: &str| format!("{name}/{part}");
    let groups = graph.add_constant(&part("columns"), DType::U32, &[groups.len() / 4, 4], &groups)?;
    let key_list = graph.add_constant(&part("keys"), keys, &[key_list.len()], &key_list)?;
    let sets = match sets.as_slice() {
        [] => None,
        sets => Some(graph.add_constant(&part("sets"), DType::U8, &[sets.len()], sets)?),
    };
    let trees = graph.add_constant(&part("trees"), DType::U32, &[laid.starts.len()], &laid.starts)?;
    let dims = [laid.splits.len()];
    let splits = if narrow {
        let words: Vec<u32> = laid.splits.iter().map(Preordered::narrow).collect();
        graph.add_constant(&part("splits"), DType::U32, &dims, &words)?
    } else {
        let words: Vec<u64> = laid.splits.iter().map(Preordered::wide).collect();
        graph.add_constant(&part("splits"), DType::U64, &dims, &words)?
    };
    let mut inputs = vec![Some(x), Some(groups), Some(key_list), sets, Some(trees), Some(splits)];
    let op = match result {
        Wanted::Leaves => {
            let numbers: Vec<i32> = laid.leaves.iter().map(|&leaf| forest.leaves[leaf].number as i32).collect();
            inputs.push(Some(graph.add_constant(&part("numbers"), DType::I32, &[numbers.len()], &numbers)?));
            ForestOp { aggregate: Aggregate::Each, targets: forest.trees.len() as u32, columns: columns.count }
        }
        Wanted::Combined(combination) => {
            inputs.extend(add_values(forest, &laid, graph, name, combination.values)?);
            if let Some(start) = combination.start {
                let start = float_constant(graph, &part("start"), combination.values, &[start.len()], start)?;
                inputs.resize(11, None);
                inputs.push(Some(start));
            }
            ForestOp { aggregate: combination.aggregate, targets: forest.targets, columns: columns.count }
        }
    };
    while inputs.last() == Some(&None) {
        inputs.pop();
    }
    Ok(graph.add_node(name, op, &inputs, &[])?[0])
}

/// For each tree the number of leaves below each node, a shared one counted as often as it is reached; `None` when there are too many.
fn count_leaves(forest: &Forest) -> Option<Vec<Vec<u64>>> {
    let mut total = 0u64;
    let mut all = Vec::with_capacity(forest.trees.len());
    for tree in &forest.trees {
        let mut counts = vec![1u64; tree.nodes.len()];
        for (index, node) in tree.nodes.iter().enumerate().rev() {
            if let Node::Split(split) = node {
                counts[index] = counts[split.when_true].saturating_add(counts[split.when_false]);
            }
        }
        let leaves = *counts.first()?;
        total = total.saturating_add(leaves);
        if leaves >= WIDE_LIMIT || total > MAX_SPLITS {
            return None;
        }
        all.push(counts);
    }
    Some(all)
}

fn lay<F: Threshold>(forest: &Forest, columns: &ColumnTable<F::Key>, counts: &[Vec<u64>]) -> Laid {
    let mut laid = Laid { starts: vec![0], ..Laid::default() };
    for (tree, counts) in forest.trees.iter().zip(counts) {
        lay_tree::<F>(forest, tree, columns, counts, &mut laid);
        laid.starts.push(laid.splits.len() as u32);
    }
    laid
}

fn lay_tree<F: Threshold>(
    forest: &Forest,
    tree: &Tree,
    columns: &ColumnTable<F::Key>,
    counts: &[u64],
    laid: &mut Laid,
) {
    let before = laid.leaves.len();
    let mut stack = vec![0];
    while let Some(index) = stack.pop() {
        let split = match tree.nodes[index] {
            Node::Leaf(leaf) => {
                laid.leaves.push(leaf);
                continue;
            }
            Node::Split(split) => split,
        };
        let place = columns.place::<F>(forest, &split);
        let (left, right) = match place.true_is_right {
            true => (split.when_false, split.when_true),
            false => (split.when_true, split.when_false),
        };
        let first_leaf = (laid.leaves.len() - before) as u32;
        laid.splits.push(Preordered { place, first_leaf, left_leaves: counts[left] as u32 });
        stack.extend([right, left]);
    }
}

impl Preordered {
    /// The split in four bytes.
    fn narrow(&self) -> u32 {
        let Place { column, rank, .. } = self.place;
        column | rank << 8 | self.first_leaf << 16 | (self.first_leaf + self.left_leaves) << 24
    }

    /// The split in eight bytes.
    fn wide(&self) -> u64 {
        let Place { column, rank, .. } = self.place;
        u64::from(column) | u64::from(rank) << 24 | u64::from(self.left_leaves) << 40
    }
}

/// The leaves' values as the operator's inputs 6 to 10.
fn add_values(
    forest: &Forest,
    laid: &Laid,
    graph: &mut Graph,
    name: &str,
    dtype: DType,
) -> Result<[Option<TensorId>; 5], FrontendError> {
    let part = |part: &str| format!("{name}/{part}");
    let targets = forest.targets as usize;
    let pairs = |leaf: usize| forest.leaves[leaf].start..forest.leaves[leaf].end;
    if let Some(tree_targets) = single_targets(forest, laid) {
        let values: Vec<f64> = laid.leaves.iter().map(|&leaf| forest.pair_values[pairs(leaf).start]).collect();
        let values = float_constant(graph, &part("values"), dtype, &[values.len()], &values)?;
        let of_trees = match targets {
            1 => None,
            _ => Some(graph.add_constant(&part("targets"), DType::U32, &[tree_targets.len()], &tree_targets)?),
        };
        return Ok([Some(values), of_trees, None, None, None]);
    }
    // Leaves with equal values share a row.
    let mut rows: Vec<usize> = Vec::new();
    let mut known = HashMap::new();
    let row_of: Vec<usize> = laid
        .leaves
        .iter()
        .map(|&leaf| {
            let bits: Vec<u64> = forest.pair_values[pairs(leaf)].iter().map(|value| value.to_bits()).collect();
            *known.entry((&forest.pair_targets[pairs(leaf)], bits)).or_insert_with(|| {
                rows.push(leaf);
                rows.len() - 1
            })
        })
        .collect();
    let shared: Option<Vec<u16>> = row_of.iter().map(|&row| u16::try_from(row).ok()).collect();
    let shared = shared.filter(|_| rows.len() < laid.leaves.len());
    let rows = if shared.is_some() { &rows } else { &laid.leaves };
    let row_of = match shared {
        Some(row_of) => Some(graph.add_constant(&part("rows"), DType::U16, &[row_of.len()], &row_of)?),
        None => None,
    };
    let values: Vec<f64> = rows.iter().flat_map(|&leaf| &forest.pair_values[pairs(leaf)]).copied().collect();
    let dense = rows.iter().all(|&leaf| forest.pair_targets[pairs(leaf)].iter().copied().eq(0..forest.targets));
    if dense {
        let values = float_constant(graph, &part("values"), dtype, &[rows.len(), targets], &values)?;
        return Ok([Some(values), None, row_of, None, None]);
    }
    let mut starts = vec![0u32];
    let mut pair_targets = Vec::with_capacity(values.len());
    for &leaf in rows {
        pair_targets.extend_from_slice(&forest.pair_targets[pairs(leaf)]);
        let end = u32::try_from(pair_targets.len());
        starts.push(end.map_err(|_| FrontendError::malformed(name, "more values than an artifact holds"))?);
    }
    let values = float_constant(graph, &part("values"), dtype, &[values.len()], &values)?;
    let starts = graph.add_constant(&part("starts"), DType::U32, &[starts.len()], &starts)?;
    let pair_targets = graph.add_constant(&part("targets"), DType::U32, &[pair_targets.len()], &pair_targets)?;
    Ok([Some(values), None, row_of, Some(starts), Some(pair_targets)])
}

/// The target of each tree, if all leaves of a tree have one value, for the same target.
fn single_targets(forest: &Forest, laid: &Laid) -> Option<Vec<u32>> {
    let mut targets = Vec::with_capacity(forest.trees.len());
    for (tree, bounds) in laid.starts.windows(2).enumerate() {
        let leaves = bounds[0] as usize + tree..=bounds[1] as usize + tree;
        let mut of_leaves = laid.leaves[leaves].iter().map(|&leaf| &forest.leaves[leaf]);
        let first = of_leaves.next()?;
        let target = *forest.pair_targets.get(first.start..first.end)?.first()?;
        let single = |start: usize, end: usize| end - start == 1 && forest.pair_targets[start] == target;
        if !single(first.start, first.end) || !of_leaves.all(|leaf| single(leaf.start, leaf.end)) {
            return None;
        }
        targets.push(target);
    }
    Some(targets)
}

/// Adds a constant of type f32 (values rounded to nearest) or f64.
fn float_constant(
    graph: &mut Graph,
    name: &str,
    dtype: DType,
    dims: &[usize],
    values: &[f64],
) -> Result<TensorId, FrontendError> {
    Ok(match dtype {
        DType::F64 => graph.add_constant(name, dtype, dims, values)?,
        _ => {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            graph.add_constant(name, DType::F32, dims, &values)?
        }
    })
}
