//! Forests of decision trees: the mean of what the trees answer, summed in the order of the trees, in float64.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};

use super::tree::{self, Addend, DecisionTree, Leaves, Tree};
use super::{Estimator, Family, Features, Labels, Method, inconsistent};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Forests.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.ensemble._forest.RandomForestClassifier",
        "sklearn.ensemble._forest.RandomForestRegressor",
        "sklearn.ensemble._forest.ExtraTreesClassifier",
        "sklearn.ensemble._forest.ExtraTreesRegressor",
        "imblearn.ensemble._forest.BalancedRandomForestClassifier",
    ],
    carried: &["imblearn.ensemble._forest._local_parallel_build_trees"],
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
    fn decode(item: &Item<'_>) -> Result<Forest, FrontendError> {
        let features = super::features_in(item)?;
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
                return Err(inconsistent(
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
            return Err(inconsistent(&estimators, "a forest without trees"));
        }
        Ok(Forest { features, trees, leaves })
    }
}

impl Estimator for Forest {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        self.leaves.methods()
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let (targets, width) = (self.trees[0].targets(), self.trees[0].width);
        let trees = self.trees.iter().map(|tree| Addend::all(tree, tree.columns(&self.leaves)));
        let sum = tree::sum(graph, path, trees, targets, None, x)?;
        let count = [self.trees.len() as f64];
        let count = graph.add_constant(&format!("{path}/count"), DType::F64, &[1], &count)?;
        let mean = graph.add(&format!("{path}/mean"), Binary { kind: BinaryKind::Div }, &[sum, count])?;
        match method {
            Method::Predict => Ok(vec![self.leaves.predict(graph, path, width, mean)?]),
            _ => self.leaves.shares(graph, path, width, mean, method),
        }
    }
}
