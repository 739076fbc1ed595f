//! Forests of decision trees: the mean of what the trees answer, summed in the order of the trees, in float64.

use super::tree::{DecisionTree, Leaves, Tree};
use super::{Estimator, Family, Labels, Method, SklearnError};
use crate::frontend::pickle::Item;

/// Forests.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.ensemble._forest.RandomForestClassifier",
        "sklearn.ensemble._forest.RandomForestRegressor",
        "sklearn.ensemble._forest.ExtraTreesClassifier",
        "sklearn.ensemble._forest.ExtraTreesRegressor",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(Forest::decode(item)?)),
};

/// A forest. All trees have the same number of outputs and values.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    /// Columns of the input.
    pub features: usize,
    /// The trees, one at least; a classifier's values are fractions.
    pub trees: Vec<Tree>,
    /// What the mean of the values stands for.
    pub leaves: Leaves,
}

impl Forest {
    fn decode(item: &Item<'_>) -> Result<Forest, SklearnError> {
        let features = item.get("n_features_in_")?.as_usize()?;
        let outputs = item.get("n_outputs_")?.as_usize()?;
        let leaves = if item.class()?.ends_with("Classifier") {
            let classes = item.get("classes_")?;
            Leaves::Classes(Labels::decode_outputs(&classes, outputs)?)
        } else {
            Leaves::Regression
        };
        let width = match &leaves {
            Leaves::Regression => 1,
            Leaves::Classes(labels) => labels.iter().map(Labels::count).max().unwrap_or(0),
        };
        let estimators = item.get("estimators_")?;
        let mut trees = Vec::new();
        for estimator in estimators.items()? {
            let decision = DecisionTree::decode(&estimator)?;
            let tree = decision.tree;
            if (tree.outputs, tree.width, decision.features) != (outputs, width, features) {
                return Err(SklearnError::inconsistent(
                    &estimator,
                    format!(
                        "a tree of {} features, {} outputs and {} values each in a forest of {features}, {outputs} and {width}",
                        decision.features, tree.outputs, tree.width
                    ),
                ));
            }
            trees.push(tree);
        }
        if trees.is_empty() {
            return Err(SklearnError::inconsistent(&estimators, "a forest without trees"));
        }
        Ok(Forest { features, trees, leaves })
    }
}

impl Estimator for Forest {
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
