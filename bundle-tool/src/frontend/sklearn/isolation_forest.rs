//! Isolation forests: how soon random trees tell a sample from the others.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::lowering::At;
use super::tree::{self, Addend, DecisionTree, Tree, Values};
use super::{Estimator, Family, Features, Labels, Method, features_in, inconsistent};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Isolation forests.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.ensemble._iforest.IsolationForest"],
    carried: &[],
    decode: |item| Ok(Box::new(IsolationForest::decode(item)?)),
};

/// An isolation forest.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct IsolationForest {
    /// Columns of the input.
    pub features: usize,
    /// The trees, the columns that each reads, and for each of its nodes the length of the path that it stands for.
    pub trees: Vec<(Tree, Vec<usize>, Vec<f64>)>,
    /// Depths are divided by this: the number of trees times the expected depth. 0 makes each score one half.
    pub denominator: f64,
    /// What scores are compared with.
    pub offset: f64,
}

/// The mean depth at which a search tree of `count` samples tells one of them from the others.
fn average_path_length(count: f64) -> f64 {
    const EULER_GAMMA: f64 = 0.577_215_664_901_532_9;
    if count <= 1.0 {
        0.0
    } else if count == 2.0 {
        1.0
    } else {
        2.0 * ((count - 1.0).ln() + EULER_GAMMA) - 2.0 * (count - 1.0) / count
    }
}

impl IsolationForest {
    fn decode(item: &Item<'_>) -> Result<IsolationForest, FrontendError> {
        let features = features_in(item)?;
        let estimators = item.get("estimators_")?.items()?;
        let columns = item.get("estimators_features_")?.items()?;
        if estimators.is_empty() || columns.len() != estimators.len() {
            return Err(inconsistent(item, format!("{} trees, {} sets of columns", estimators.len(), columns.len())));
        }
        // Since scikit-learn 1.3 the file has what a leaf adds.
        let stored = |attribute: &str| match item.find(attribute)? {
            Some(list) => Ok::<_, FrontendError>(Some(list.items()?)),
            None => Ok(None),
        };
        let stored = (stored("_decision_path_lengths")?, stored("_average_path_length_per_tree")?);
        let mut trees = Vec::new();
        for (index, (estimator, columns)) in estimators.iter().zip(&columns).enumerate() {
            let decision = DecisionTree::decode(estimator)?;
            let columns = decode_columns(columns, features)?;
            if columns.len() != decision.features {
                return Err(inconsistent(estimator, format!("a tree of {} columns", decision.features)));
            }
            let tree = decision.tree;
            let lengths = match &stored {
                (Some(depths), Some(averages)) => {
                    let of = |list: &[Item<'_>]| match list.get(index) {
                        Some(item) => Ok(item.array()?.f64s()?),
                        None => Err(inconsistent(item, "lengths of paths of fewer trees")),
                    };
                    of(depths)?.iter().zip(of(averages)?).map(|(depth, average)| depth + average - 1.0).collect()
                }
                _ => path_lengths(estimator, &tree)?,
            };
            if lengths.len() != tree.splits.len() {
                return Err(inconsistent(estimator, "not a length of the path to each node"));
            }
            trees.push((tree, columns, lengths));
        }
        let samples = item.find("_max_samples")?.map_or_else(|| item.get("max_samples_"), Ok)?.as_f64()?;
        let denominator = estimators.len() as f64 * average_path_length(samples);
        let offset = item.get("offset_")?.as_f64()?;
        Ok(IsolationForest { features, trees, denominator, offset })
    }

    /// The score of a sample whose depths add up to `depths`: near -1 for one that stands out.
    fn score(&self, depths: f64) -> f64 {
        let ratio = if self.denominator == 0.0 { 1.0 } else { depths / self.denominator };
        -(2f64.powf(-ratio))
    }

    /// The smallest sum of depths that is not an outlier's, as the score rises with the depths. So a label does not depend on
    /// the last bit of a power.
    fn bound(&self) -> f64 {
        let stands_out = |depths: f64| self.score(depths) - self.offset < 0.0;
        if !stands_out(0.0) {
            return 0.0;
        }
        let (mut low, mut high) = (0u64, f64::INFINITY.to_bits());
        if stands_out(f64::from_bits(high)) {
            return f64::NAN;
        }
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            *(if stands_out(f64::from_bits(middle)) { &mut low } else { &mut high }) = middle;
        }
        f64::from_bits(high)
    }
}

/// The columns that an estimator of an ensemble reads.
pub(super) fn decode_columns(item: &Item<'_>, features: usize) -> Result<Vec<usize>, FrontendError> {
    let columns = item.array()?.i64s()?;
    let columns = columns.into_iter().map(|column| usize::try_from(column).ok().filter(|&column| column < features));
    let columns: Option<Vec<usize>> = columns.collect();
    columns.ok_or_else(|| inconsistent(item, format!("a column outside the {features}")))
}

/// What each node adds: its depth, and the depth that its samples would have had further down.
fn path_lengths(estimator: &Item<'_>, tree: &Tree) -> Result<Vec<f64>, FrontendError> {
    let samples = estimator.get("tree_")?.get("nodes")?.array()?.field("n_node_samples")?.i64s()?;
    let mut depths = vec![1.0; tree.splits.len()];
    let mut lengths = Vec::with_capacity(samples.len());
    for (node, &samples) in samples.iter().enumerate().take(depths.len()) {
        if let Some(split) = tree.splits[node] {
            depths[split.left] = depths[node] + 1.0;
            depths[split.right] = depths[node] + 1.0;
        }
        lengths.push(depths[node] + average_path_length(samples as f64) - 1.0);
    }
    Ok(lengths)
}

impl Estimator for IsolationForest {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict, Method::DecisionFunction, Method::ScoreSamples]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let trees = self.trees.iter().map(|(tree, columns, lengths)| Addend {
            tree,
            columns: Some(columns),
            values: Values::One(0, lengths.into()),
        });
        let depths = tree::sum(graph, path, trees, 1, None, x)?;
        let mut at = At { graph, path };
        if method == Method::Predict {
            let inside = at.compare(CompareKind::GreaterOrEqual, depths, self.bound())?;
            return Ok(vec![at.second_where(&Labels::Int(vec![-1, 1]), inside)?]);
        }
        let ratio = match self.denominator {
            0.0 => at.everywhere(x, &[1.0])?,
            denominator => at.with(BinaryKind::Div, depths, denominator)?,
        };
        let exponent = at.unary(UnaryKind::Neg, ratio)?;
        let exponent = at.as_list(exponent)?;
        let two = at.constant("two", DType::F64, &[1], &[2.0])?;
        let power = at.binary(BinaryKind::Pow, two, exponent)?;
        let scores = at.unary(UnaryKind::Neg, power)?;
        if method == Method::ScoreSamples {
            return Ok(vec![scores]);
        }
        Ok(vec![at.with(BinaryKind::Sub, scores, self.offset)?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_divides_outliers_from_the_others() {
        let forest = |denominator, offset| IsolationForest { features: 1, trees: Vec::new(), denominator, offset };
        for offset in [-0.5, -0.4321, -0.9, -0.07] {
            let forest = forest(12.0 * average_path_length(64.0), offset);
            let bound = forest.bound();
            assert!(forest.score(bound) - offset >= 0.0 && forest.score(bound.next_down()) - offset < 0.0, "{offset}");
        }
        assert_eq!(forest(10.0, -1.0).bound(), 0.0, "nothing stands out");
        assert!(forest(10.0, 0.5).bound().is_nan(), "everything stands out");
        assert_eq!((average_path_length(1.0), average_path_length(2.0)), (0.0, 1.0));
    }
}
