//! Decision trees of any source format on their way to the runtime's [`ekiben_runtime::ops::forest::Forest`].
//!
//! A front-end adds trees as it reads them, in the order in which their values are combined, and lowers them once. What the
//! source compares becomes ranks in `columns`, trees become tables in `layout`.

mod columns;
mod layout;

use std::collections::HashMap;

use ekiben_runtime::DType;
pub use ekiben_runtime::ops::forest::Aggregate;
use ekiben_runtime::ops::forest::GroupWord;

use super::FrontendError;
use crate::graph::{Graph, TensorId};

/// How a feature is compared with a threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// feature <= threshold.
    LessOrEqual,
    /// feature < threshold.
    Less,
    /// feature >= threshold.
    GreaterOrEqual,
    /// feature > threshold.
    Greater,
    /// feature == threshold.
    Equal,
    /// feature != threshold.
    NotEqual,
}

/// What is asked of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test<'a> {
    /// feature comparison threshold.
    Compare {
        /// The comparison.
        comparison: Comparison,
        /// The threshold as the source has it. Every decision is kept where features are f32.
        threshold: f64,
    },
    /// Whether the feature's integer part (towards 0) is a category in a set.
    Member {
        /// Words of a bit set: bit `c % 32` of word `c / 32` is set where category `c` is in.
        set: &'a [u32],
        /// What holds for values below 0 and past the words.
        outside: bool,
        /// True where values between -1 and 0 are category 0 (LightGBM), false where they are below 0 (XGBoost, scikit-learn).
        fractions: bool,
    },
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split<'a> {
    /// Index of the feature.
    pub feature: u32,
    /// What is asked of it, unless it is missing.
    pub test: Test<'a>,
    /// True when NaN goes where the test holds.
    pub nan_is_true: bool,
    /// True when values no further than 1e-35 (as f32) from 0 go where NaN goes, as LightGBM has it.
    pub zero_is_missing: bool,
    /// Index among the tree's nodes where the test holds.
    pub when_true: usize,
    /// Index among the tree's nodes where it does not.
    pub when_false: usize,
}

/// A node of one tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TreeNode<'a> {
    /// A decision.
    Split(Split<'a>),
    /// A leaf with one value per target.
    Dense(&'a [f64]),
    /// A leaf with values for some targets.
    Sparse(&'a [(u32, f64)]),
}

/// What a forest's trees are combined to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Combination<'a> {
    /// How.
    pub aggregate: Aggregate,
    /// Type in which values are stored and combined: f32 or f64.
    pub values: DType,
    /// What sums start from, one value per target; zeros when absent.
    pub start: Option<&'a [f64]>,
}

/// Trees over the same features, which give values for the same targets.
#[derive(Clone, Debug)]
pub struct Forest {
    targets: u32,
    trees: Vec<Tree>,
    sets: Vec<Vec<u32>>,
    set_numbers: HashMap<Vec<u32>, usize>,
    leaves: Vec<Leaf>,
    pair_targets: Vec<u32>,
    pair_values: Vec<f64>,
}

/// A tree: nodes that can be reached, each before its children.
#[derive(Clone, Debug)]
struct Tree {
    nodes: Vec<Node>,
}

/// A node of a stored tree.
#[derive(Clone, Copy, Debug)]
enum Node {
    Split(StoredSplit),
    /// Index among the forest's leaves.
    Leaf(usize),
}

/// A split of a stored tree, whose children are indices into the tree.
#[derive(Clone, Copy, Debug)]
struct StoredSplit {
    feature: u32,
    test: StoredTest,
    nan_is_true: bool,
    zero_is_missing: bool,
    when_true: usize,
    when_false: usize,
}

/// [`Test`] with the index of a set among the forest's.
#[derive(Clone, Copy, Debug)]
enum StoredTest {
    Compare { comparison: Comparison, threshold: f64 },
    Member { set: usize, outside: bool, fractions: bool },
}

/// A stored leaf.
#[derive(Clone, Copy, Debug)]
struct Leaf {
    /// Its number among the leaves of the tree's nodes as they were given.
    number: u32,
    /// Its first pair.
    start: usize,
    /// One past its last pair.
    end: usize,
}

/// How far the walk over a tree has come with a node.
#[derive(Clone, Copy, PartialEq)]
enum Visit {
    New,
    Open,
    Done,
}

impl Forest {
    /// A forest without trees for `targets` values per row.
    pub fn new(targets: u32) -> Self {
        Self {
            targets,
            trees: Vec::new(),
            sets: Vec::new(),
            set_numbers: HashMap::new(),
            leaves: Vec::new(),
            pair_targets: Vec::new(),
            pair_values: Vec::new(),
        }
    }

    /// Adds the tree whose root is `nodes[root]`; nodes that cannot be reached are left out. Nodes may be shared; the artifact holds them
    /// once for each way that leads to them. `path` names the tree in messages.
    ///
    /// # Errors
    /// [`FrontendError::Malformed`] when a child is not a node, a node is below itself, or a leaf does not fit the targets.
    pub fn add_tree(&mut self, path: &str, nodes: &[TreeNode<'_>], root: usize) -> Result<(), FrontendError> {
        let order = topological_order(path, nodes, root)?;
        let is_leaf = nodes.iter().map(|node| !matches!(node, TreeNode::Split(_)));
        let numbers: Vec<u32> =
            is_leaf.scan(0, |leaves, is_leaf| Some(std::mem::replace(leaves, *leaves + u32::from(is_leaf)))).collect();
        let mut positions = vec![0; nodes.len()];
        for (position, &index) in order.iter().enumerate() {
            positions[index] = position;
        }
        let mut stored = Vec::with_capacity(order.len());
        for &index in &order {
            let leaf = match nodes[index] {
                TreeNode::Split(split) => {
                    stored.push(Node::Split(self.store_split(path, index, split, &positions)?));
                    continue;
                }
                TreeNode::Dense(values) if values.len() != self.targets as usize => {
                    let reason = format!("leaf {index} has {} values for {} targets", values.len(), self.targets);
                    return Err(FrontendError::malformed(path, reason));
                }
                TreeNode::Dense(values) => {
                    let pairs = values.iter().enumerate().map(|(target, &value)| (target as u32, value));
                    self.store_leaf(path, numbers[index], pairs)?
                }
                TreeNode::Sparse(pairs) => self.store_leaf(path, numbers[index], pairs.iter().copied())?,
            };
            stored.push(Node::Leaf(leaf));
        }
        self.trees.push(Tree { nodes: stored });
        Ok(())
    }

    fn store_split(
        &mut self,
        path: &str,
        index: usize,
        split: Split<'_>,
        positions: &[usize],
    ) -> Result<StoredSplit, FrontendError> {
        if split.feature >= GroupWord::MAX_FEATURES {
            return Err(FrontendError::malformed(path, format!("node {index} reads feature {}", split.feature)));
        }
        let test = match split.test {
            Test::Compare { comparison, threshold } => StoredTest::Compare { comparison, threshold },
            Test::Member { set, outside, fractions } => {
                StoredTest::Member { set: self.store_set(path, set)?, outside, fractions }
            }
        };
        Ok(StoredSplit {
            feature: split.feature,
            test,
            nan_is_true: split.nan_is_true,
            zero_is_missing: split.zero_is_missing,
            when_true: positions[split.when_true],
            when_false: positions[split.when_false],
        })
    }

    /// Number of a set of categories; equal sets are stored once.
    fn store_set(&mut self, path: &str, set: &[u32]) -> Result<usize, FrontendError> {
        if let Some(&number) = self.set_numbers.get(set) {
            return Ok(number);
        }
        if set.len() > columns::MAX_SET_WORDS {
            return Err(FrontendError::malformed(
                path,
                format!("a set of {} categories", set.len().saturating_mul(32)),
            ));
        }
        self.set_numbers.insert(set.to_vec(), self.sets.len());
        self.sets.push(set.to_vec());
        Ok(self.sets.len() - 1)
    }

    /// Stores a leaf and returns its index.
    fn store_leaf(
        &mut self,
        path: &str,
        number: u32,
        pairs: impl Iterator<Item = (u32, f64)>,
    ) -> Result<usize, FrontendError> {
        let start = self.pair_targets.len();
        for (target, value) in pairs {
            if target >= self.targets {
                let reason = format!("a leaf speaks of target {target}, there are {}", self.targets);
                return Err(FrontendError::malformed(path, reason));
            }
            self.pair_targets.push(target);
            self.pair_values.push(value);
        }
        self.leaves.push(Leaf { number, start, end: self.pair_targets.len() });
        Ok(self.leaves.len() - 1)
    }

    /// Adds the ensemble to `graph`, reading features from the last axis of `x` (f32 or f64). The result has the targets
    /// on its last axis.
    ///
    /// # Errors
    /// [`FrontendError`] when there are more nodes than an artifact holds, or the graph refuses the tables.
    pub fn lower(
        &self,
        graph: &mut Graph,
        name: &str,
        x: TensorId,
        combination: Combination<'_>,
    ) -> Result<TensorId, FrontendError> {
        layout::lower(self, graph, name, x, layout::Wanted::Combined(combination))
    }

    /// Adds to `graph` the number of the leaf that each tree reaches, reading features from the last axis of `x` (f32 or f64): i32
    /// with the trees on the last axis. Leaves are numbered from 0 in the order of the tree's nodes as they were given.
    ///
    /// # Errors
    /// [`FrontendError`] when there is no tree, or as [`Self::lower`].
    pub fn lower_leaves(&self, graph: &mut Graph, name: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        if self.trees.is_empty() {
            return Err(FrontendError::malformed(name, "no trees"));
        }
        layout::lower(self, graph, name, x, layout::Wanted::Leaves)
    }
}

/// The reachable nodes, each before its children and, unless shared, right before where the comparison holds.
fn topological_order(path: &str, nodes: &[TreeNode<'_>], root: usize) -> Result<Vec<usize>, FrontendError> {
    let mut visits = vec![Visit::New; nodes.len()];
    let mut finished = Vec::with_capacity(nodes.len());
    let mut stack = vec![root];
    while let Some(&index) = stack.last() {
        let (Some(node), Some(visit)) = (nodes.get(index), visits.get_mut(index)) else {
            return Err(FrontendError::malformed(path, format!("node {index} is not there")));
        };
        match (*visit, node) {
            (Visit::New, TreeNode::Split(split)) => {
                *visit = Visit::Open;
                for child in [split.when_true, split.when_false] {
                    match visits.get(child) {
                        Some(Visit::Open) => {
                            return Err(FrontendError::malformed(path, format!("node {child} is below itself")));
                        }
                        Some(Visit::Done) => {}
                        Some(Visit::New) | None => stack.push(child),
                    }
                }
            }
            (Visit::Done, _) => {
                stack.pop();
            }
            (Visit::New | Visit::Open, _) => {
                *visit = Visit::Done;
                finished.push(index);
                stack.pop();
            }
        }
    }
    finished.reverse();
    Ok(finished)
}

#[cfg(test)]
mod tests;
