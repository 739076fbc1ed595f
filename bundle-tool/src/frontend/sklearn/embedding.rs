//! Random trees as an embedding: for every leaf of every tree a column, 1 where a sample reaches it.

use super::tree::{self, Addend, DecisionTree, Tree, Values};
use super::{Estimator, Family, Features, Method, features_in, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Embeddings by random trees.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.ensemble._forest.RandomTreesEmbedding"],
    carried: &["sklearn.preprocessing._encoders.OneHotEncoder"],
    decode: |item| Ok(Box::new(Embedding::decode(item)?)),
};

/// Trees whose leaves are columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Embedding {
    /// Columns of the input.
    features: usize,
    /// The trees, and for each of their nodes its column; inner nodes have any.
    trees: Vec<(Tree, Vec<u32>)>,
    /// Columns of the output.
    columns: usize,
}

impl Embedding {
    fn decode(item: &Item<'_>) -> Result<Embedding, FrontendError> {
        let features = features_in(item)?;
        let encoder = item.get("one_hot_encoder_")?;
        let categories = encoder.get("categories_")?;
        let kept = categories.items()?;
        let estimators = item.get("estimators_")?;
        let items = estimators.items()?;
        if items.is_empty() || kept.len() != items.len() {
            return Err(inconsistent(&categories, format!("{} lists of leaves of {} trees", kept.len(), items.len())));
        }
        let (mut trees, mut columns) = (Vec::new(), 0u32);
        for (estimator, kept) in items.iter().zip(&kept) {
            let decision = DecisionTree::decode(estimator)?;
            if decision.features != features {
                return Err(inconsistent(estimator, format!("a tree of {} columns", decision.features)));
            }
            let leaves = decision.tree.splits.iter().enumerate().filter(|(_, split)| split.is_none());
            let leaves: Vec<f64> = leaves.map(|(node, _)| node as f64).collect();
            if kept.array()?.f64s()? != leaves {
                return Err(unsupported(estimator, "leaves that no sample of the training reached; train it anew"));
            }
            let mut of_nodes = Vec::with_capacity(decision.tree.splits.len());
            for split in &decision.tree.splits {
                of_nodes.push(columns);
                columns += u32::from(split.is_none());
            }
            trees.push((decision.tree, of_nodes));
        }
        Ok(Embedding { features, trees, columns: columns as usize })
    }
}

impl Estimator for Embedding {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.columns)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let trees =
            self.trees.iter().map(|(tree, columns)| Addend { tree, columns: None, values: Values::Mark(columns) });
        Ok(vec![tree::sum(graph, path, trees, self.columns, None, x)?])
    }
}
