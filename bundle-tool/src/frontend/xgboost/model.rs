//! A model as plain data, whatever file it was in.

use std::collections::BTreeMap;

use super::objective::Objective;
use crate::frontend::FrontendError;
use crate::frontend::categories::{self, Column};
use crate::frontend::sklearn::Need;
use crate::graph::{Graph, TensorId};

/// The most values per row. A file that declares more is damaged.
pub(crate) const MAX_OUTPUTS: usize = 1 << 16;
/// One more than the most features.
pub(crate) const MAX_FEATURES: usize = 1 << 24;

/// A trained booster.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Booster {
    /// Major and minor number of the xgboost that wrote it; zeros before 1.0.
    pub(crate) version: (u32, u32),
    /// What it was trained for.
    pub(crate) objective: Objective,
    /// Columns of the input.
    pub(crate) features: usize,
    /// Their names; none where the file has none.
    pub(crate) names: Vec<String>,
    /// What the columns of the frame hold that it was trained on, where some have categories (since 3.1).
    pub(crate) columns: Option<Vec<Column>>,
    /// Values per row before the objective's link.
    pub(crate) outputs: usize,
    /// What each output starts from, before the link: one value per output.
    pub(crate) base: Vec<f32>,
    /// Whether it is a `dart`: trees have weights.
    pub(crate) dart: bool,
    /// What is added to it.
    pub(crate) parts: Parts,
    /// The last round that counts for scikit-learn's wrapper, where training stopped early.
    pub(crate) best_iteration: Option<usize>,
    /// The file's attribute `scikit_learn`: what the wrapper's `save_model` keeps of itself.
    pub(crate) wrapper: Option<String>,
}

/// What a booster adds up.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Parts {
    /// `gbtree` and `dart`.
    Trees(Vec<Tree>),
    /// `gblinear`: for each feature a weight per output, then a bias per output.
    Linear(Vec<f32>),
}

/// One tree.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Tree {
    /// The output that it adds to; of a tree with vector leaves, not used.
    pub(crate) group: u32,
    /// The boosting round that made it.
    pub(crate) round: usize,
    /// What `dart` multiplies its leaves by.
    pub(crate) weight: f32,
    /// Values of a leaf: 1, or the booster's outputs.
    pub(crate) width: usize,
    /// The node where a split holds; -1 for a leaf.
    pub(crate) left: Vec<i32>,
    /// The node where it does not.
    pub(crate) right: Vec<i32>,
    /// Feature of a split.
    pub(crate) feature: Vec<u32>,
    /// Threshold of a split.
    pub(crate) threshold: Vec<f32>,
    /// Whether a missing value goes left.
    pub(crate) default_left: Vec<bool>,
    /// `width` values for each node; those of leaves count.
    pub(crate) values: Vec<f32>,
    /// Splits by category: the categories that go right, bit `c` of the words for category `c`, by node.
    pub(crate) members: BTreeMap<usize, Vec<u32>>,
}

impl Tree {
    /// Checks that the lists have one element per node and the values fit.
    pub(crate) fn check(&self, path: &str) -> Result<(), FrontendError> {
        let nodes = self.left.len();
        let lists = [self.right.len(), self.feature.len(), self.threshold.len(), self.default_left.len()];
        if nodes == 0 || lists != [nodes; 4] || Some(self.values.len()) != nodes.checked_mul(self.width) {
            let reason = format!("{nodes} nodes, lists of {lists:?} and {} values of leaves", self.values.len());
            return Err(FrontendError::malformed(path, reason));
        }
        Ok(())
    }
}

impl Booster {
    /// Name of a column.
    pub(crate) fn name(&self, index: usize) -> String {
        self.names.get(index).cloned().unwrap_or_else(|| format!("f{index}"))
    }

    /// What each column of a table has to be; `None` where all are numbers as they are.
    pub(crate) fn needs(&self) -> Option<Vec<Need>> {
        self.columns.as_ref().map(|columns| columns.iter().map(Column::need).collect())
    }

    /// The matrix of the columns of a table, categories replaced by their numbers; a category that was not there in training is
    /// missing.
    pub(crate) fn matrix(
        &self,
        graph: &mut Graph,
        path: &str,
        columns: &[TensorId],
    ) -> Result<TensorId, FrontendError> {
        let kinds = self.columns.as_deref().unwrap_or_default();
        categories::matrix(graph, path, kinds, |index| self.name(index), columns)
    }

    /// Says how many trees of each output are in a round, for files that do not.
    pub(crate) fn set_parallel_trees(&mut self, parallel: usize) {
        if let Parts::Trees(trees) = &mut self.parts {
            let per_round = parallel.max(1).saturating_mul(self.outputs);
            trees.iter_mut().enumerate().for_each(|(index, tree)| tree.round = index / per_round);
        }
    }

    /// Checks what later code relies on.
    pub(crate) fn check(&self) -> Result<(), FrontendError> {
        let malformed = |reason: String| Err(FrontendError::malformed("learner_model_param", reason));
        if self.features == 0 || self.features >= MAX_FEATURES {
            return malformed(format!("{} features", self.features));
        }
        if self.outputs == 0 || self.outputs > MAX_OUTPUTS || self.base.len() != self.outputs {
            return malformed(format!("{} outputs, {} of them with a base score", self.outputs, self.base.len()));
        }
        if self.columns.as_ref().is_some_and(|columns| columns.len() != self.features) {
            return malformed(format!("categories of other than {} features", self.features));
        }
        if !self.names.is_empty() && self.names.len() != self.features {
            return malformed(format!("{} names for {} features", self.names.len(), self.features));
        }
        match &self.parts {
            Parts::Trees(trees) => trees.iter().enumerate().try_for_each(|(index, tree)| {
                let path = format!("trees[{index}]");
                tree.check(&path)?;
                if (tree.width == 1 && tree.group as usize >= self.outputs)
                    || (tree.width != 1 && tree.width != self.outputs)
                {
                    let reason =
                        format!("leaves of {} values for output {} of {}", tree.width, tree.group, self.outputs);
                    return Err(FrontendError::malformed(path, reason));
                }
                Ok(())
            }),
            Parts::Linear(weights) => {
                if (self.features + 1).checked_mul(self.outputs) != Some(weights.len()) {
                    return Err(FrontendError::malformed("gblinear", format!("{} weights", weights.len())));
                }
                if !weights.iter().all(|weight| weight.is_finite()) {
                    return Err(FrontendError::malformed("gblinear", "a weight that is not finite"));
                }
                Ok(())
            }
        }
    }
}
