//! Decision trees.
//!
//! A sample goes left where `x[feature] <= threshold`, with `x` rounded to float32 first and the threshold in float64.
//! Files of releases before 1.3 do not say where NaN goes.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::slice::Slice;

use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::lowering::numpy_sum;
use super::{Estimator, Family, Features, Labels, Method, cast, inconsistent, labels, version, with_columns};
use crate::frontend::FrontendError;
use crate::frontend::forest::{self, Aggregate, Combination, Comparison, Test, TreeNode};
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Decision trees of their own.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.tree._classes.DecisionTreeClassifier",
        "sklearn.tree._classes.DecisionTreeRegressor",
        "sklearn.tree._classes.ExtraTreeClassifier",
        "sklearn.tree._classes.ExtraTreeRegressor",
    ],
    carried: &["sklearn.tree._tree.Tree"],
    decode: |item| Ok(Box::new(DecisionTree::decode(item)?)),
};

/// A test at an inner node. Children have larger indices than their parent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Split {
    /// Column of the input.
    pub feature: usize,
    /// Float32 values up to this one go left.
    pub threshold: f64,
    /// Whether NaN goes left; false where the file does not say.
    pub missing_left: bool,
    /// Node for samples that go left.
    pub left: usize,
    /// Node for the others.
    pub right: usize,
}

/// The nodes of one tree; node 0 is the root.
#[derive(Debug, Clone, PartialEq)]
pub struct Tree {
    /// The test of each node, `None` for a leaf.
    pub splits: Vec<Option<Split>>,
    /// For each node `outputs * width` numbers: what a leaf answers.
    pub values: Vec<f64>,
    /// Outputs.
    pub outputs: usize,
    /// Numbers per output: 1 for regression, the largest number of classes for classification.
    pub width: usize,
}

/// What the numbers in a leaf stand for.
#[derive(Debug, Clone, PartialEq)]
pub enum Leaves {
    /// The predicted values.
    Regression,
    /// The probabilities of the classes with these labels, for each output.
    Classes(Vec<Labels>),
}

/// A tree that is an estimator of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct DecisionTree {
    /// Columns of the input.
    pub features: usize,
    /// The nodes; a classifier's values are fractions that add up to 1.
    pub tree: Tree,
    /// What the values stand for.
    pub leaves: Leaves,
    /// For each node and output of a classifier the class it predicts: the first of the largest values as the file has them.
    /// Weights that differ may be equal as fractions, so the fractions do not tell.
    pub winners: Vec<usize>,
}

/// Leaves' child index in the file.
const NO_CHILD: i64 = -1;

impl Tree {
    /// Decodes a `Tree` for inputs of `features` columns.
    fn decode(item: &Item<'_>, features: usize) -> Result<Tree, FrontendError> {
        if item.class()? != "sklearn.tree._tree.Tree" {
            return Err(item.wrong("the nodes of a tree").into());
        }
        let values_item = item.get("values")?;
        let values = values_item.array()?;
        let &[count, outputs, width] = values.shape() else {
            return Err(values_item.wrong("an array of three dimensions").into());
        };
        let splits = decode_splits(&item.get("nodes")?, features)?;
        if splits.is_empty() || splits.len() != count || outputs == 0 || width == 0 {
            return Err(inconsistent(
                item,
                format!("{} nodes with values of shape {:?}", splits.len(), values.shape()),
            ));
        }
        Ok(Tree { splits, values: values.f64s()?, outputs, width })
    }

    /// For each node and output the class with the largest value, the first of equals.
    fn winners(&self, labels: &[Labels]) -> Vec<usize> {
        let outputs = self.values.chunks_exact(self.width).zip(labels.iter().cycle());
        outputs.map(|(values, labels)| first_largest(&values[..labels.count()])).collect()
    }

    /// Makes fractions of the weights that scikit-learn stored in class leaves before it stored fractions. Fractions that a
    /// newer release stored stay as they are, to the bit. `labels` are those of each output.
    fn normalise(&mut self, labels: &[Labels], stores_weights: bool) {
        for (classes, labels) in self.values.chunks_exact_mut(self.width).zip(labels.iter().cycle()) {
            let classes = &mut classes[..labels.count()];
            let sum = numpy_sum(classes);
            let is_fraction = !stores_weights && (sum - 1.0).abs() < 1e-9;
            if !is_fraction && sum != 0.0 {
                classes.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
    }
}

/// Decodes the structured array of a tree's nodes.
fn decode_splits(item: &Item<'_>, features: usize) -> Result<Vec<Option<Split>>, FrontendError> {
    let nodes = item.array()?;
    let left = nodes.field("left_child")?.i64s()?;
    let right = nodes.field("right_child")?.i64s()?;
    let feature = nodes.field("feature")?.i64s()?;
    let threshold = nodes.field("threshold")?.f64s()?;
    let missing_left = match nodes.find_field("missing_go_to_left") {
        Some(field) => field.bools()?,
        None => vec![false; left.len()],
    };
    let mut splits = Vec::with_capacity(left.len());
    for node in 0..left.len() {
        if left[node] == NO_CHILD {
            splits.push(None);
            continue;
        }
        let child = |index: i64| {
            let index = usize::try_from(index).ok();
            index.filter(|&i| i > node && i < left.len())
        };
        let column = usize::try_from(feature[node]).ok().filter(|&f| f < features);
        let (Some(left), Some(right), Some(feature)) = (child(left[node]), child(right[node]), column) else {
            return Err(inconsistent(item, format!("node {node} names a child or feature that cannot be")));
        };
        splits.push(Some(Split { feature, threshold: threshold[node], missing_left: missing_left[node], left, right }));
    }
    Ok(splits)
}

impl DecisionTree {
    /// Decodes a decision tree; the state of one inside a forest is the same.
    pub(super) fn decode(item: &Item<'_>) -> Result<DecisionTree, FrontendError> {
        let class = item.class()?;
        if !FAMILY.classes.contains(&class) {
            return Err(item.wrong("a decision tree").into());
        }
        let features = super::features_in(item)?;
        let mut tree = Tree::decode(&item.get("tree_")?, features)?;
        if !class.ends_with("Classifier") {
            if tree.width != 1 {
                return Err(inconsistent(item, "a regressor with classes"));
            }
            return Ok(DecisionTree { features, tree, leaves: Leaves::Regression, winners: Vec::new() });
        }
        let classes = item.get("classes_")?;
        let labels = Labels::decode_outputs(&classes, tree.outputs)?;
        if labels.iter().any(|l| l.count() > tree.width) {
            return Err(inconsistent(&classes, "more labels than values in a leaf"));
        }
        let winners = tree.winners(&labels);
        tree.normalise(&labels, version(item)? < (1, 3));
        Ok(DecisionTree { features, tree, leaves: Leaves::Classes(labels), winners })
    }
}

/// Index of the largest value, the first of equals.
fn first_largest(values: &[f64]) -> usize {
    (0..values.len()).fold(0, |best, index| if values[index] > values[best] { index } else { best })
}

impl Leaves {
    /// What can be asked of trees with such leaves.
    pub(super) fn methods(&self) -> &'static [Method] {
        match self {
            Leaves::Regression => &[Method::Predict],
            Leaves::Classes(_) => &[Method::Predict, Method::PredictProba, Method::PredictLogProba],
        }
    }

    /// The columns that the values of a leaf stand for; columns of no class hold minus infinity, so that they never win.
    fn columns<'v>(&self, values: &'v [f64], width: usize) -> std::borrow::Cow<'v, [f64]> {
        let Leaves::Classes(labels) = self else { return values.into() };
        if labels.iter().all(|labels| labels.count() == width) {
            return values.into();
        }
        let mut columns = values.to_vec();
        for (columns, labels) in columns.chunks_exact_mut(width).zip(labels.iter().cycle()) {
            columns[labels.count()..].fill(f64::NEG_INFINITY);
        }
        columns.into()
    }

    /// The class of each output with the largest of `values`, `[N, outputs * width]`: `[N]`, or `[N, outputs]`.
    pub(super) fn predict(
        &self,
        graph: &mut Graph,
        path: &str,
        width: usize,
        values: TensorId,
    ) -> Result<TensorId, FrontendError> {
        let labels = match self {
            Leaves::Regression => return answers(graph, path, values),
            Leaves::Classes(labels) => labels,
        };
        let argmax = |axis| ArgReduce { axis, smallest: false, last: false, keep: false, wide: false };
        let name = format!("{path}/argmax");
        if let [_] = labels.as_slice() {
            let indices = graph.add(&name, argmax(1), &[values])?;
            return labels::pick(graph, path, labels, width, indices);
        }
        let outputs = labels.len();
        let values = with_columns(graph, path, values, &[outputs, width])?;
        let classes = graph.add(&name, argmax(2), &[values])?;
        let offsets = (0..outputs).map(|output| i32::try_from(output * width));
        let offsets =
            offsets.collect::<Result<Vec<i32>, _>>().map_err(|error| FrontendError::malformed(path, error))?;
        let offsets = graph.add_constant(&format!("{path}/offsets"), DType::I32, &[outputs], &offsets)?;
        let indices = graph.add(&format!("{path}/indices"), Binary { kind: BinaryKind::Add }, &[classes, offsets])?;
        labels::pick(graph, path, labels, width, indices)
    }

    /// The shares of the classes of each output out of `values`, `[N, outputs * width]`, or their logarithms.
    pub(super) fn shares(
        &self,
        graph: &mut Graph,
        path: &str,
        width: usize,
        values: TensorId,
        method: Method,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let Leaves::Classes(labels) = self else { return Ok(vec![values]) };
        let columns = graph.shape(values).factor(1).unwrap_or(0);
        let mut shares = Vec::with_capacity(labels.len());
        for (output, labels) in labels.iter().enumerate() {
            let count = labels.count();
            let share = if count == columns { values } else { slice(graph, path, values, output * width, count)? };
            shares.push(match method {
                Method::PredictLogProba => graph.add(&format!("{path}/log"), Unary::of(UnaryKind::Log), &[share])?,
                _ => share,
            });
        }
        Ok(shares)
    }
}

/// What a regressor of one or several outputs predicts: `[N]` or `[N, outputs]`.
fn answers(graph: &mut Graph, path: &str, values: TensorId) -> Result<TensorId, FrontendError> {
    match graph.shape(values).factor(1) {
        Some(1) => with_columns(graph, path, values, &[]),
        _ => Ok(values),
    }
}

/// `count` columns of `x`, from `start` on.
fn slice(graph: &mut Graph, path: &str, x: TensorId, start: usize, count: usize) -> Result<TensorId, FrontendError> {
    let rows = graph.shape(x).factor(0).unwrap_or(0);
    let table = [0, start, 1, 1, rows, count].into_iter().map(i32::try_from);
    let table = table.collect::<Result<Vec<i32>, _>>().map_err(|error| FrontendError::malformed(path, error))?;
    let table = graph.add_constant(&format!("{path}/columns"), DType::I32, &[3, 2], &table)?;
    Ok(graph.add(&format!("{path}/slice"), Slice, &[x, table])?)
}

/// What a tree adds to the sums of a forest.
pub(super) struct Addend<'t> {
    /// Its nodes.
    pub(super) tree: &'t Tree,
    /// The columns of the forest's input that its features are; `None` where they are the same.
    pub(super) columns: Option<&'t [usize]>,
    /// What each node adds.
    pub(super) values: Values<'t>,
}

/// The numbers of a tree's nodes.
pub(super) enum Values<'t> {
    /// As many as there are targets for every node, node by node.
    All(std::borrow::Cow<'t, [f64]>),
    /// One for every node, for this target.
    One(u32, std::borrow::Cow<'t, [f64]>),
    /// 1 for every node, each for a target of its own.
    Mark(&'t [u32]),
}

impl<'t> Addend<'t> {
    /// A tree that adds `values`, as many as there are targets for every node, and reads all columns.
    pub(super) fn all(tree: &'t Tree, values: impl Into<std::borrow::Cow<'t, [f64]>>) -> Addend<'t> {
        Addend { tree, columns: None, values: Values::All(values.into()) }
    }
}

/// `start` (zeros when absent) and the sum over `trees`, in their order, of the numbers of the leaf that each reaches: `[N, targets]` in
/// float64. The trees decide on float32.
pub(super) fn sum<'t>(
    graph: &mut Graph,
    path: &str,
    trees: impl Iterator<Item = Addend<'t>>,
    targets: usize,
    start: Option<&[f64]>,
    x: TensorId,
) -> Result<TensorId, FrontendError> {
    let count = u32::try_from(targets).map_err(|error| FrontendError::malformed(path, error))?;
    let mut forest = forest::Forest::new(count);
    let mut pairs = Vec::new();
    for (index, Addend { tree, columns, values }) in trees.enumerate() {
        let path = format!("{path}.estimators_[{index}].tree_");
        pairs.clear();
        match &values {
            Values::All(_) => {}
            Values::One(target, values) => pairs.extend(values.iter().map(|&value| (*target, value))),
            Values::Mark(targets) => pairs.extend(targets.iter().map(|&target| (target, 1.0))),
        }
        let leaf = |node: usize| match &values {
            Values::All(values) => {
                TreeNode::Dense(values.get(node * targets..(node + 1) * targets).unwrap_or_default())
            }
            Values::One(_, values) if targets == 1 => TreeNode::Dense(values.get(node..=node).unwrap_or_default()),
            Values::One(..) | Values::Mark(_) => TreeNode::Sparse(pairs.get(node..=node).unwrap_or_default()),
        };
        let mut nodes = Vec::with_capacity(tree.splits.len());
        for (node, split) in tree.splits.iter().enumerate() {
            nodes.push(match (split, columns) {
                (None, _) => leaf(node),
                (Some(split), None) => TreeNode::Split(split.lowered()),
                (Some(split), Some(columns)) => match columns.get(split.feature) {
                    Some(&feature) => TreeNode::Split(Split { feature, ..*split }.lowered()),
                    None => return Err(FrontendError::malformed(path, format!("no column {}", split.feature))),
                },
            });
        }
        forest.add_tree(&path, &nodes, 0)?;
    }
    let x = cast(graph, path, x, DType::F32)?;
    let combination = Combination { aggregate: Aggregate::Sum, values: DType::F64, start };
    forest.lower(graph, &format!("{path}/trees"), x, combination)
}

impl Split {
    fn lowered(&self) -> forest::Split<'static> {
        forest::Split {
            feature: u32::try_from(self.feature).unwrap_or(u32::MAX),
            test: Test::Compare { comparison: Comparison::LessOrEqual, threshold: self.threshold },
            nan_is_true: self.missing_left,
            zero_is_missing: false,
            when_true: self.left,
            when_false: self.right,
        }
    }
}

impl Tree {
    /// Numbers of every node.
    pub(super) fn targets(&self) -> usize {
        self.outputs * self.width
    }

    /// The numbers of every node as `leaves` read them.
    pub(super) fn columns(&self, leaves: &Leaves) -> std::borrow::Cow<'_, [f64]> {
        leaves.columns(&self.values, self.width)
    }
}

impl Estimator for DecisionTree {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        self.leaves.methods()
    }

    fn tree(&self) -> Option<&DecisionTree> {
        Some(self)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let tree = &self.tree;
        let (Leaves::Classes(labels), Method::Predict) = (&self.leaves, method) else {
            let addend = Addend::all(tree, tree.columns(&self.leaves));
            let values = sum(graph, path, std::iter::once(addend), tree.targets(), None, x)?;
            return match self.leaves {
                Leaves::Regression => Ok(vec![answers(graph, path, values)?]),
                Leaves::Classes(_) => self.leaves.shares(graph, path, tree.width, values, method),
            };
        };
        // The leaves hold indices of labels, which float64 has exactly.
        let outputs = labels.len();
        let winners = self.winners.iter().enumerate();
        let indices: Vec<f64> = winners.map(|(at, &class)| (at % outputs * tree.width + class) as f64).collect();
        let indices = sum(graph, path, std::iter::once(Addend::all(tree, indices)), outputs, None, x)?;
        let indices = answers(graph, path, indices)?;
        let indices = cast(graph, path, indices, DType::I32)?;
        Ok(vec![labels::pick(graph, path, labels, tree.width, indices)?])
    }
}
