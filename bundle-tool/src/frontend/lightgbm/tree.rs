//! One tree: splits on numbers and on categories, leaves that are constants or linear functions.

use super::text::Block;
use crate::frontend::FrontendError;
use crate::frontend::forest::{Comparison, Split, Test, TreeNode};

/// LightGBM's `kZeroThreshold`, a float32: numbers up to this size are zero.
pub(super) const ZERO: f64 = 1e-35_f32 as f64;

/// The bits of `decision_type`.
const CATEGORICAL: u8 = 1;
const DEFAULT_LEFT: u8 = 2;
const MISSING: u8 = 12;
const MISSING_ZERO: u8 = 4;
const MISSING_NAN: u8 = 8;

/// Where a decision leads: a node, or a leaf.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Child {
    /// Index of a node.
    Node(usize),
    /// Index of a leaf.
    Leaf(usize),
}

/// A decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Index of the feature.
    pub feature: usize,
    /// What is asked.
    pub question: Question,
    /// Where yes leads.
    pub left: Child,
    /// Where no leads.
    pub right: Child,
}

/// What a node asks.
#[derive(Clone, Debug, PartialEq)]
pub enum Question {
    /// Whether the feature is at most the threshold.
    AtMost {
        /// The threshold.
        threshold: f64,
        /// What stands for a missing value.
        missing: Missing,
        /// Where a missing value leads.
        missing_left: bool,
    },
    /// Whether the feature, cut to an integer, is a bit of the set. NaN and what is outside of the set is not.
    OneOf(Vec<u32>),
}

/// What stands for a missing value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// Nothing does: NaN is 0.
    None,
    /// Zeros and NaN.
    Zero,
    /// NaN.
    Nan,
}

/// A leaf's linear function of some features. Where one of them is NaN, the leaf's value stands in.
#[derive(Clone, Debug, PartialEq)]
pub struct Linear {
    /// What the sum starts from.
    pub constant: f64,
    /// Features and their coefficients, in the order in which they are added.
    pub terms: Vec<(u32, f64)>,
}

/// A tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Tree {
    /// The decisions, the root first; none where there is one leaf.
    pub nodes: Vec<Node>,
    /// Value of each leaf, one at least.
    pub leaves: Vec<f64>,
    /// The linear function of each leaf, of a linear tree.
    pub linear: Option<Vec<Linear>>,
}

impl Tree {
    /// Reads a tree of a model of `features` features.
    pub(super) fn read(block: &Block<'_>, features: usize) -> Result<Tree, FrontendError> {
        let leaves: Vec<f64> = match block.number::<usize>("num_leaves")? {
            0 => return Err(FrontendError::malformed(&block.path, "a tree without leaves")),
            count => block.numbers("leaf_value", count)?,
        };
        let nodes = read_nodes(block, leaves.len() - 1, features)?;
        check_shape(&block.path, &nodes, leaves.len())?;
        let linear = match block.find("is_linear") {
            None | Some("0") => None,
            Some(_) => Some(read_linear(block, leaves.len(), features)?),
        };
        Ok(Tree { nodes, leaves, linear })
    }

    /// The nodes as the forest's builder takes them: the decisions, then the leaves, for target `target` of `targets`. Values
    /// of leaves are the pairs in `pairs`.
    pub(super) fn forest_nodes<'a>(&'a self, pairs: &'a [(u32, f64)]) -> Vec<TreeNode<'a>> {
        let count = self.nodes.len();
        let index = |child| match child {
            Child::Node(node) => node,
            Child::Leaf(leaf) => count + leaf,
        };
        let splits = self.nodes.iter().map(|node| {
            let (test, nan_is_true, zero_is_missing) = node.question.test();
            let (when_true, when_false) = (index(node.left), index(node.right));
            TreeNode::Split(Split {
                feature: node.feature as u32,
                test,
                nan_is_true,
                zero_is_missing,
                when_true,
                when_false,
            })
        });
        splits.chain(pairs.chunks(1).map(TreeNode::Sparse)).collect()
    }
}

impl Question {
    /// The test, where NaN leads, and whether zeros go with it.
    fn test(&self) -> (Test<'_>, bool, bool) {
        match self {
            Question::OneOf(set) => (Test::Member { set, outside: false, fractions: true }, false, false),
            &Question::AtMost { threshold, missing, missing_left } => {
                let nan_is_true = match missing {
                    Missing::None => 0.0 <= threshold,
                    Missing::Zero | Missing::Nan => missing_left,
                };
                let comparison = Comparison::LessOrEqual;
                let threshold = beside_zero(threshold);
                (Test::Compare { comparison, threshold }, nan_is_true, missing == Missing::Zero)
            }
        }
    }
}

/// A threshold that decides on every number as `threshold` does after numbers of at most [`ZERO`] have become zero, as LightGBM has
/// it when it takes a row apart.
fn beside_zero(threshold: f64) -> f64 {
    if (0.0..=ZERO).contains(&threshold) {
        ZERO
    } else if (-ZERO..0.0).contains(&threshold) {
        (-ZERO).next_down()
    } else {
        threshold
    }
}

fn read_nodes(block: &Block<'_>, count: usize, features: usize) -> Result<Vec<Node>, FrontendError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    let malformed = |reason: String| FrontendError::malformed(&block.path, reason);
    let split_features: Vec<usize> = block.numbers("split_feature", count)?;
    if let Some(feature) = split_features.iter().find(|feature| **feature >= features) {
        return Err(malformed(format!("a split of feature {feature}, there are {features}")));
    }
    let thresholds: Vec<f64> = block.numbers("threshold", count)?;
    let decisions: Vec<u8> = block.numbers("decision_type", count)?;
    let left: Vec<i64> = block.numbers("left_child", count)?;
    let right: Vec<i64> = block.numbers("right_child", count)?;
    let mut sets = match block.find("num_cat") {
        None | Some("0") => Vec::new(),
        Some(_) => read_sets(block)?,
    };
    let child = |child: i64| match usize::try_from(child) {
        Ok(node) if node < count => Ok(Child::Node(node)),
        Err(_) if child >= -(count as i64) - 1 => Ok(Child::Leaf(!child as usize)),
        _ => Err(malformed(format!("a decision leads to {child}"))),
    };
    let mut question = |index: usize| {
        let (threshold, decision) = (thresholds[index], decisions[index]);
        if decision & CATEGORICAL != 0 {
            // The threshold is the number of a set, which no other node has.
            let set = sets.get_mut(threshold as usize).and_then(Option::take).filter(|_| threshold >= 0.0);
            let set = set.ok_or_else(|| malformed(format!("set {threshold} is used twice or not there")))?;
            return Ok(Question::OneOf(set));
        }
        let missing = match decision & MISSING {
            0 => Missing::None,
            MISSING_ZERO => Missing::Zero,
            MISSING_NAN => Missing::Nan,
            _ => return Err(malformed(format!("the decision type {decision}"))),
        };
        Ok(Question::AtMost { threshold, missing, missing_left: decision & DEFAULT_LEFT != 0 })
    };
    let nodes = (0..count).map(|index| {
        let question = question(index)?;
        Ok(Node { feature: split_features[index], question, left: child(left[index])?, right: child(right[index])? })
    });
    nodes.collect()
}

/// The sets of categories: words `cat_boundaries[i]..cat_boundaries[i + 1]` of `cat_threshold`.
fn read_sets(block: &Block<'_>) -> Result<Vec<Option<Vec<u32>>>, FrontendError> {
    let count = block.number::<usize>("num_cat")?.saturating_add(1);
    let ends: Vec<usize> = block.numbers("cat_boundaries", count)?;
    let words: Vec<u32> = block.numbers("cat_threshold", ends.last().copied().unwrap_or(0))?;
    let sets = ends.windows(2).map(|pair| {
        let words = words.get(pair[0]..pair[1]).map(|words| Some(words.to_vec()));
        words.ok_or_else(|| FrontendError::malformed(&block.path, "cat_boundaries do not rise"))
    });
    sets.collect()
}

/// Checks that every node but the root and every leaf is reached once.
fn check_shape(path: &str, nodes: &[Node], leaves: usize) -> Result<(), FrontendError> {
    let mut seen = vec![false; nodes.len() + leaves];
    let mut open = vec![if nodes.is_empty() { Child::Leaf(0) } else { Child::Node(0) }];
    while let Some(child) = open.pop() {
        let place = match child {
            Child::Node(node) => node,
            Child::Leaf(leaf) => nodes.len() + leaf,
        };
        if std::mem::replace(&mut seen[place], true) {
            return Err(FrontendError::malformed(path, "decisions that lead to one place twice"));
        }
        if let Child::Node(node) = child {
            open.extend([nodes[node].left, nodes[node].right]);
        }
    }
    if seen.contains(&false) {
        return Err(FrontendError::malformed(path, "nodes that no decision leads to"));
    }
    Ok(())
}

fn read_linear(block: &Block<'_>, leaves: usize, features: usize) -> Result<Vec<Linear>, FrontendError> {
    let constants: Vec<f64> = block.numbers("leaf_const", leaves)?;
    let counts: Vec<usize> = block.numbers("num_features", leaves)?;
    let total = counts.iter().try_fold(0_usize, |sum, count| sum.checked_add(*count));
    let total = total.ok_or_else(|| FrontendError::malformed(&block.path, "too many linear features"))?;
    let of: Vec<u32> = block.numbers("leaf_features", total)?;
    if let Some(feature) = of.iter().find(|feature| **feature as usize >= features) {
        let reason = format!("a leaf of feature {feature}, there are {features}");
        return Err(FrontendError::malformed(&block.path, reason));
    }
    let coefficients: Vec<f64> = block.numbers("leaf_coeff", total)?;
    let mut terms = of.into_iter().zip(coefficients);
    let linear = constants.into_iter().zip(counts);
    Ok(linear.map(|(constant, count)| Linear { constant, terms: terms.by_ref().take(count).collect() }).collect())
}
