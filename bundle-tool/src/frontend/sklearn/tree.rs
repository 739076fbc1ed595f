//! Decision trees.
//!
//! A sample goes left where `x[feature] <= threshold`, with `x` rounded to float32 first and the threshold in float64. From
//! scikit-learn 1.3 on, NaN goes where `missing_go_to_left` says; before, trees refuse NaN.

use super::{Estimator, Family, Labels, Method, SklearnError, version};
use crate::frontend::pickle::Item;

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
    /// Whether NaN goes left.
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
}

/// Leaves' child index in the file.
const NO_CHILD: i64 = -1;

impl Tree {
    /// Decodes a `Tree` for inputs of `features` columns.
    fn decode(item: &Item<'_>, features: usize) -> Result<Tree, SklearnError> {
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
            return Err(SklearnError::inconsistent(
                item,
                format!("{} nodes with values of shape {:?}", splits.len(), values.shape()),
            ));
        }
        Ok(Tree { splits, values: values.f64s()?, outputs, width })
    }

    /// Makes fractions of the weights that scikit-learn stored in class leaves before it stored fractions. Fractions that a
    /// newer release stored stay as they are, to the bit.
    fn normalise(&mut self, stores_weights: bool) {
        for classes in self.values.chunks_exact_mut(self.width) {
            let sum: f64 = classes.iter().sum();
            let is_fraction = !stores_weights && (sum - 1.0).abs() < 1e-9;
            if !is_fraction && sum != 0.0 {
                classes.iter_mut().for_each(|weight| *weight /= sum);
            }
        }
    }
}

/// Decodes the structured array of a tree's nodes.
fn decode_splits(item: &Item<'_>, features: usize) -> Result<Vec<Option<Split>>, SklearnError> {
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
            return Err(SklearnError::inconsistent(
                item,
                format!("node {node} names a child or feature that cannot be"),
            ));
        };
        splits.push(Some(Split { feature, threshold: threshold[node], missing_left: missing_left[node], left, right }));
    }
    Ok(splits)
}

impl DecisionTree {
    /// Decodes a decision tree; the state of one inside a forest is the same.
    pub(super) fn decode(item: &Item<'_>) -> Result<DecisionTree, SklearnError> {
        let class = item.class()?;
        if !FAMILY.classes.contains(&class) {
            return Err(item.wrong("a decision tree").into());
        }
        let features = item.get("n_features_in_")?.as_usize()?;
        let mut tree = Tree::decode(&item.get("tree_")?, features)?;
        if !class.ends_with("Classifier") {
            if tree.width != 1 {
                return Err(SklearnError::inconsistent(item, "a regressor with classes"));
            }
            return Ok(DecisionTree { features, tree, leaves: Leaves::Regression });
        }
        let classes = item.get("classes_")?;
        let labels = Labels::decode_outputs(&classes, tree.outputs)?;
        if labels.iter().any(|l| l.count() > tree.width) {
            return Err(SklearnError::inconsistent(&classes, "more labels than values in a leaf"));
        }
        tree.normalise(version(item)?.0 == 0);
        Ok(DecisionTree { features, tree, leaves: Leaves::Classes(labels) })
    }
}

impl Estimator for DecisionTree {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        match self.leaves {
            Leaves::Regression => &[Method::Predict],
            Leaves::Classes(_) => &[Method::Predict, Method::PredictProba],
        }
    }
}
