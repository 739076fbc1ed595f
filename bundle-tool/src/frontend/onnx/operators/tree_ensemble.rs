//! `TreeEnsemble`, the form that `ai.onnx.ml` has had since version 5: nodes of all trees in one list, leaves in another.

use std::collections::HashMap;

use ekiben_runtime::DType;

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::tensor;
use super::linear::rows;
use super::post_transform::PostTransform;
use super::trees::{aggregated, floats};
use crate::frontend::forest::{Aggregate, Combination, Comparison, Forest, Split, Test, TreeNode};

/// The number of the mode that asks whether a feature is one of several values.
const MEMBER: u8 = 6;

/// The lists of the attributes, checked to be of one length.
struct Lists<'a> {
    features: &'a [i64],
    modes: Vec<u8>,
    splits: Vec<f64>,
    when_true: &'a [i64],
    true_leaf: &'a [i64],
    when_false: &'a [i64],
    false_leaf: &'a [i64],
    missing: &'a [i64],
    /// The values of each node that asks for membership, by the node.
    members: HashMap<usize, Vec<f64>>,
    /// The target and weight of each leaf.
    leaves: Vec<(u32, f64)>,
}

impl<'a> Lists<'a> {
    fn read(call: &Call<'a>) -> Result<Self, Refusal> {
        call.attributes.ignore(&["nodes_hitrates"]);
        let ints = |name: &str| -> Result<&'a [i64], Refusal> {
            call.attributes.ints(name)?.ok_or_else(|| Refusal(format!("attribute {name} is missing")))
        };
        let stored = |name: &str| -> Result<Vec<f64>, Refusal> {
            let found = call.attributes.tensor(name)?.ok_or_else(|| Refusal(format!("attribute {name} is missing")))?;
            floats(name, found)
        };
        let modes = call.attributes.tensor("nodes_modes")?.ok_or("attribute nodes_modes is missing")?;
        let modes = tensor::read(modes)?;
        if modes.spec.dtype != DType::U8 {
            return Err(Refusal(format!("attribute nodes_modes is {}, not uint8", modes.spec.dtype)));
        }
        let members = match call.attributes.tensor("membership_values")? {
            Some(stored) => floats("membership_values", stored)?,
            None => Vec::new(),
        };
        let targets = ints("leaf_targetids")?;
        let weights = stored("leaf_weights")?;
        if targets.len() != weights.len() {
            return Err(Refusal(format!("{} leaf_targetids and {} leaf_weights", targets.len(), weights.len())));
        }
        let target =
            |target: &i64| u32::try_from(*target).map_err(|_| Refusal("a leaf has a negative target".to_owned()));
        let targets = targets.iter().map(target).collect::<Result<Vec<u32>, _>>()?;
        let lists = Self {
            features: ints("nodes_featureids")?,
            splits: stored("nodes_splits")?,
            when_true: ints("nodes_truenodeids")?,
            true_leaf: ints("nodes_trueleafs")?,
            when_false: ints("nodes_falsenodeids")?,
            false_leaf: ints("nodes_falseleafs")?,
            missing: call.attributes.ints("nodes_missing_value_tracks_true")?.unwrap_or_default(),
            members: sets(&modes.bytes, &members)?,
            modes: modes.bytes,
            leaves: targets.into_iter().zip(weights).collect(),
        };
        let count = lists.features.len();
        let lengths = [lists.modes.len(), lists.splits.len(), lists.when_true.len(), lists.true_leaf.len()];
        let more = [lists.when_false.len(), lists.false_leaf.len()];
        let missing = lists.missing.is_empty() || lists.missing.len() == count;
        if count == 0 || lengths != [count; 4] || more != [count; 2] || !missing {
            return Err("the lists that describe the nodes are not of one length, or empty".into());
        }
        Ok(lists)
    }

    /// Splits that stand for a node: one, or one for each value of a set.
    fn width(&self, node: usize) -> usize {
        self.members.get(&node).map_or(1, |values| values.len().max(1))
    }

    /// The node or leaf that a branch leads to.
    fn child(&self, ids: &[i64], leaf: &[i64], node: usize) -> Result<(bool, usize), Refusal> {
        let is_leaf = leaf[node] != 0;
        let count = if is_leaf { self.leaves.len() } else { self.features.len() };
        let id = usize::try_from(ids[node]).ok().filter(|id| *id < count);
        Ok((is_leaf, id.ok_or_else(|| Refusal(format!("node {node} leads to {}, which is not there", ids[node])))?))
    }

    /// The splits and leaves of the tree with this root. `seen` notes the nodes that a tree has, which no other one shares.
    fn tree<'t>(&'t self, root: usize, seen: &mut [bool]) -> Result<Vec<TreeNode<'t>>, Refusal> {
        let (mut open, mut order) = (vec![root], Vec::new());
        let (mut starts, mut leaves, mut next) = (HashMap::new(), HashMap::new(), 0);
        let mut used = Vec::new();
        while let Some(node) = open.pop() {
            match seen.get_mut(node) {
                Some(seen) if !*seen => *seen = true,
                Some(_) => return Err(Refusal(format!("node {node} is reached twice"))),
                None => return Err(Refusal(format!("there is no node {node}"))),
            }
            order.push(node);
            starts.insert(node, next);
            next += self.width(node);
            for (ids, leaf) in [(self.when_true, self.true_leaf), (self.when_false, self.false_leaf)] {
                match self.child(ids, leaf, node)? {
                    (false, child) => open.push(child),
                    (true, child) => {
                        leaves.entry(child).or_insert_with(|| {
                            used.push(child);
                            used.len() - 1
                        });
                    }
                }
            }
        }
        let mut nodes = Vec::with_capacity(next + used.len());
        for node in order {
            let place = |ids: &[i64], leaf: &[i64]| {
                Ok::<_, Refusal>(match self.child(ids, leaf, node)? {
                    (false, child) => starts.get(&child).copied().unwrap_or(usize::MAX),
                    (true, child) => next + leaves.get(&child).copied().unwrap_or(usize::MAX - next),
                })
            };
            let (when_true, when_false) =
                (place(self.when_true, self.true_leaf)?, place(self.when_false, self.false_leaf)?);
            let feature = u32::try_from(self.features[node]).map_err(|_| "a feature has a negative index")?;
            let missing = self.missing.get(node) == Some(&1);
            let mut split = |comparison, threshold, nan_is_true, when_false| {
                let test = Test::Compare { comparison, threshold };
                let zero_is_missing = false;
                nodes.push(TreeNode::Split(Split {
                    feature,
                    test,
                    nan_is_true,
                    zero_is_missing,
                    when_true,
                    when_false,
                }));
            };
            match self.members.get(&node).map(Vec::as_slice) {
                // Nothing equals NaN.
                Some([]) => split(Comparison::Equal, f64::NAN, missing, when_false),
                Some(values) => {
                    let start = starts.get(&node).copied().unwrap_or_default();
                    for (index, &value) in values.iter().enumerate() {
                        let next = if index + 1 == values.len() { when_false } else { start + index + 1 };
                        split(Comparison::Equal, value, missing, next);
                    }
                }
                None => {
                    let comparison = comparison(self.modes[node])?;
                    // NaN differs from everything.
                    let nan_is_true = missing || comparison == Comparison::NotEqual;
                    split(comparison, self.splits[node], nan_is_true, when_false);
                }
            }
        }
        nodes.extend(used.iter().map(|&leaf| TreeNode::Sparse(std::slice::from_ref(&self.leaves[leaf]))));
        Ok(nodes)
    }
}

fn comparison(mode: u8) -> Result<Comparison, Refusal> {
    Ok(match mode {
        0 => Comparison::LessOrEqual,
        1 => Comparison::Less,
        2 => Comparison::GreaterOrEqual,
        3 => Comparison::Greater,
        4 => Comparison::Equal,
        5 => Comparison::NotEqual,
        other => return Err(Refusal(format!("nodes of mode {other} are not supported"))),
    })
}

/// The sets of the nodes that ask for membership, in the order of the nodes; NaN ends each set.
fn sets(modes: &[u8], values: &[f64]) -> Result<HashMap<usize, Vec<f64>>, Refusal> {
    let nodes = modes.iter().enumerate().filter(|(_, mode)| **mode == MEMBER).map(|(node, _)| node);
    let mut ended: Vec<&[f64]> = values.split(|value| value.is_nan()).collect();
    // What follows the last NaN is a set of its own only if there is something.
    if ended.last().is_some_and(|last| last.is_empty()) {
        ended.pop();
    }
    let nodes: Vec<usize> = nodes.collect();
    if nodes.len() != ended.len() {
        return Err(Refusal(format!("{} sets of members for {} nodes", ended.len(), nodes.len())));
    }
    Ok(nodes.into_iter().zip(ended).map(|(node, set)| (node, set.to_vec())).collect())
}

pub(super) fn lower(call: &mut Call<'_>) -> Lowered {
    let targets = call.attributes.int("n_targets")?.unwrap_or(1);
    let targets = u32::try_from(targets).ok().filter(|&targets| targets > 0);
    let targets = targets.ok_or("attribute n_targets must be 1 or more")?;
    // The specification gives 1 to SOFTMAX and 2 to LOGISTIC, ONNX Runtime the other way round.
    let transform = match call.attributes.int("post_transform")?.unwrap_or(0) {
        0 => PostTransform::None,
        1 => PostTransform::Logistic,
        2 => PostTransform::Softmax,
        3 => PostTransform::SoftmaxZero,
        4 => PostTransform::Probit,
        other => return Err(Refusal(format!("attribute post_transform is {other}"))),
    };
    let (aggregate, average) = match call.attributes.int("aggregate_function")?.unwrap_or(1) {
        0 => (Aggregate::Sum, true),
        1 => (Aggregate::Sum, false),
        2 => (Aggregate::Min, false),
        3 => (Aggregate::Max, false),
        other => return Err(Refusal(format!("attribute aggregate_function is {other}"))),
    };
    let lists = Lists::read(call)?;
    let roots = call.attributes.ints("tree_roots")?.ok_or("attribute tree_roots is missing")?;
    let mut seen = vec![false; lists.features.len()];
    let mut forest = Forest::new(targets);
    for &root in roots {
        let nodes = lists.tree(usize::try_from(root).map_err(|_| "a root is negative")?, &mut seen)?;
        forest.add_tree(&format!("tree of node {root}"), &nodes, 0)?;
    }
    let x = rows(call, true)?;
    let combination = Combination { aggregate, values: call.dtype(x), start: None };
    let name = call.name.clone();
    let scores = forest.lower(call.graph, &name, x, combination)?;
    let divisor = average.then_some(roots.len());
    one(aggregated(call, scores, divisor, &[], targets, transform)?)
}
