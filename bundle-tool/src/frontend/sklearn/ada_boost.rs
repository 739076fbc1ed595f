//! AdaBoost: the votes of weighted estimators, or the weighted median of what regressors answer.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::cumulate::{Combination, Cumulate};
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::gather_elements::GatherElements;
use ekiben_runtime::ops::top_k::TopK;
use ekiben_runtime::ops::unary::UnaryKind;

use super::lowering::{At, numpy_sum};
use super::members::{self, Member, offered};
use super::tree::{self, Addend, Leaves, Values};
use super::{Estimator, Family, Features, Labels, Method, Needs, inconsistent, labels, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// AdaBoost.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.ensemble._weight_boosting.AdaBoostClassifier",
        "sklearn.ensemble._weight_boosting.AdaBoostRegressor",
        "imblearn.ensemble._weight_boosting.RUSBoostClassifier",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(AdaBoost::decode(item)?)),
};

/// Weighted estimators.
#[derive(Debug)]
pub(super) struct AdaBoost {
    /// The estimators.
    pub members: Vec<Member>,
    /// One for each estimator.
    pub weights: Vec<f64>,
    /// The sum of all weights in the file.
    pub total: f64,
    /// How they answer together.
    pub vote: Vote,
}

/// How weighted estimators answer together.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Vote {
    /// The weighted median of values.
    Median,
    /// `SAMME`: each gives its weight to the label that it predicts and, where `symmetric`, `-1 / (classes - 1)` of it to the others.
    Labels {
        /// The classes.
        labels: Labels,
        /// Whether others lose weight.
        symmetric: bool,
    },
    /// `SAMME.R`: centred logarithms of shares.
    Shares(Labels),
}

impl AdaBoost {
    fn decode(item: &Item<'_>) -> Result<AdaBoost, FrontendError> {
        let list = item.get("estimators_")?;
        let members = Member::decode_all(&list)?;
        let weights_item = item.get("estimator_weights_")?;
        let mut weights = weights_item.array()?.f64s()?;
        let total = numpy_sum(&weights);
        if weights.len() < members.len() {
            return Err(inconsistent(&weights_item, format!("{} weights", weights.len())));
        }
        weights.truncate(members.len());
        let vote = if item.class()?.ends_with("Regressor") {
            Vote::Median
        } else {
            let labels = Labels::decode(&item.get("classes_")?)?;
            if labels.count() < 2 {
                return Err(unsupported(item, "a classifier of one class; train it with two at least"));
            }
            // The release is that of the trees inside where the class itself is imbalanced-learn's.
            let version = super::version(item).or_else(|_| super::version(&list.at(0)?))?;
            let algorithm = item.find("algorithm")?;
            // "deprecated" is what the releases that drop the choice have, and mean SAMME by it.
            let is_real = match algorithm.as_ref().map(|algorithm| algorithm.as_str()).transpose()? {
                Some("SAMME.R") => true,
                Some("SAMME" | "deprecated") | None => false,
                Some(other) => return Err(unsupported(item, format!("algorithm={other:?}; use \"SAMME\""))),
            };
            for (index, estimator) in list.items()?.iter().enumerate() {
                if members::classes(estimator)?.is_some_and(|classes| classes != labels) {
                    return Err(unsupported(
                        estimator,
                        format!("estimator {index} knows other classes than the ensemble; train it on more samples"),
                    ));
                }
            }
            if is_real { Vote::Shares(labels) } else { Vote::Labels { labels, symmetric: version >= (1, 3) } }
        };
        Ok(AdaBoost { members, weights, total, vote })
    }

    /// What each estimator says of each class, all added up: `[N, classes]`.
    fn votes(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let (Vote::Labels { labels, .. } | Vote::Shares(labels)) = &self.vote else {
            return Err(FrontendError::malformed(path, "a regressor has no votes"));
        };
        let classes = labels.count();
        let trees: Option<Vec<Addend<'_>>> =
            self.members.iter().enumerate().map(|(i, m)| self.addend(i, m, classes)).collect();
        if let Some(trees) = trees {
            let x = x.matrix(graph, path)?;
            return tree::sum(graph, path, trees.into_iter(), classes, None, x);
        }
        let mut votes = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            votes.push(if let Vote::Shares(_) = self.vote {
                let shares = member.answer(graph, Method::PredictProba, x)?;
                let mut at = At { graph, path: &member.path };
                // The smallest share is that of the type of the shares.
                let least =
                    if at.graph.spec(shares).dtype == DType::F32 { f64::from(f32::EPSILON) } else { f64::EPSILON };
                let shares = at.numbers(shares)?;
                let shares = at.with(BinaryKind::Max, shares, least)?;
                let logarithms = at.unary(UnaryKind::Log, shares)?;
                let sum = at.sum_of_rows(logarithms)?;
                let mean = at.with(BinaryKind::Mul, sum, 1.0 / classes as f64)?;
                let centred = at.binary(BinaryKind::Sub, logarithms, mean)?;
                at.with(BinaryKind::Mul, centred, (classes - 1) as f64)?
            } else {
                let predicted = member.answer(graph, Method::Predict, x)?;
                let indices = labels::indices(graph, &member.path, labels, predicted)?;
                let table: Vec<f64> = (0..classes).flat_map(|class| self.vote_for(index, class, classes)).collect();
                At { graph, path: &member.path }.rows_of(&table, classes, indices)?
            });
        }
        At { graph, path }.sum(&votes)
    }

    /// What estimator number `index` says of each of `classes` when it predicts `class`.
    fn vote_for(&self, index: usize, class: usize, classes: usize) -> Vec<f64> {
        let weight = self.weights[index];
        let other = match self.vote {
            Vote::Labels { symmetric: true, .. } => -1.0 / (classes - 1) as f64 * weight,
            _ => 0.0,
        };
        (0..classes).map(|c| if c == class { weight } else { other }).collect()
    }

    /// What estimator number `index` says, as the leaves of a tree; `None` if it is none.
    fn addend<'t>(&self, index: usize, member: &'t Member, classes: usize) -> Option<Addend<'t>> {
        let decision = member.estimator.tree()?;
        let tree = &decision.tree;
        if !matches!(&decision.leaves, Leaves::Classes(labels) if labels.len() == 1) || tree.width != classes {
            return None;
        }
        let values: Vec<f64> = if let Vote::Shares(_) = self.vote {
            let of_node = |shares: &[f64]| {
                let logarithms: Vec<f64> = shares.iter().map(|share| share.max(f64::EPSILON).ln()).collect();
                let mean = 1.0 / classes as f64 * numpy_sum(&logarithms);
                logarithms.into_iter().map(|l| (classes - 1) as f64 * (l - mean)).collect::<Vec<f64>>()
            };
            tree.values.chunks_exact(classes).flat_map(of_node).collect()
        } else {
            decision.winners.iter().flat_map(|&class| self.vote_for(index, class, classes)).collect()
        };
        Some(Addend::all(tree, values))
    }

    /// `decision_function`: `[N]` for two classes, else `[N, classes]`.
    fn decision(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let votes = self.votes(graph, path, x)?;
        let mut at = At { graph, path };
        let votes = at.with(BinaryKind::Div, votes, self.total)?;
        if at.width(votes) != 2 {
            return Ok(votes);
        }
        let signs = at.row(&[-1.0, 1.0])?;
        let signed = at.binary(BinaryKind::Mul, votes, signs)?;
        let sum = at.sum_of_rows(signed)?;
        at.as_list(sum)
    }

    /// The median of the answers, each as often as its weight says: `[N]`.
    fn median(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let count = self.members.len();
        let trees: Option<Vec<Addend<'_>>> = self.members.iter().enumerate().map(regression_addend).collect();
        let answers = match trees {
            Some(trees) => {
                let x = x.matrix(graph, path)?;
                tree::sum(graph, path, trees.into_iter(), count, None, x)?
            }
            None => {
                let answers = self.members.iter().map(|member| {
                    let answer = member.answer(graph, Method::Predict, x)?;
                    At { graph: &mut *graph, path }.numbers(answer)
                });
                let answers = answers.collect::<Result<Vec<_>, _>>()?;
                At { graph, path }.side_by_side(&answers)?
            }
        };
        let k = u32::try_from(count).map_err(|error| FrontendError::malformed(path, error))?;
        let sort = TopK { axis: 1, k, largest: false };
        let sorted = graph.add_node(&format!("{path}/sorted"), sort, &[Some(answers)], &[])?;
        let &[values, order] = sorted.as_slice() else {
            return Err(FrontendError::malformed(path, "sorting gives values and indices"));
        };
        let mut at = At { graph, path };
        let weights = at.row(&self.weights)?;
        let weights = at.add("weights", Gather { axis: 0 }, &[weights, order])?;
        let cumulate = Cumulate { kind: Combination::Add, exclusive: false, reverse: false, axis: 1 };
        let running = at.add("running", cumulate, &[weights])?;
        let total = at.column(running, count - 1)?;
        let half = at.with(BinaryKind::Mul, total, 0.5)?;
        let enough = at.add("enough", Compare { kind: CompareKind::GreaterOrEqual }, &[running, half])?;
        let enough = at.cast(enough, DType::I32)?;
        let index = at.largest(enough, false)?;
        let index = at.as_matrix(index)?;
        let median = at.add("median", GatherElements { axis: 1 }, &[values, index])?;
        at.as_list(median)
    }
}

/// Estimator number `index` as a tree that answers in its own column; `None` if it is none.
fn regression_addend((index, member): (usize, &Member)) -> Option<Addend<'_>> {
    let decision = member.estimator.tree()?;
    if decision.leaves != Leaves::Regression || decision.tree.outputs != 1 {
        return None;
    }
    let values = Values::One(u32::try_from(index).ok()?, decision.tree.values.as_slice().into());
    Some(Addend { tree: &decision.tree, columns: None, values })
}

impl Estimator for AdaBoost {
    fn features(&self) -> usize {
        self.members.first().map_or(0, |member| member.estimator.features())
    }

    fn methods(&self) -> &'static [Method] {
        let classifies = self.vote != Vote::Median;
        offered(classifies, classifies, classifies)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (Vote::Labels { labels, .. } | Vote::Shares(labels)) = &self.vote else {
            return Ok(vec![self.median(graph, path, x)?]);
        };
        let decision = self.decision(graph, path, x)?;
        let mut at = At { graph, path };
        let binary = labels.count() == 2;
        Ok(vec![match method {
            Method::DecisionFunction => decision,
            Method::Predict if binary => {
                let second = at.compare(CompareKind::Greater, decision, 0.0)?;
                at.second_where(labels, second)?
            }
            Method::Predict => {
                let index = at.largest(decision, false)?;
                at.label(labels, index)?
            }
            _ => {
                let scores = if binary {
                    let decision = at.as_matrix(decision)?;
                    let signs = at.row(&[-1.0, 1.0])?;
                    let both = at.binary(BinaryKind::Mul, decision, signs)?;
                    at.with(BinaryKind::Div, both, 2.0)?
                } else {
                    at.with(BinaryKind::Div, decision, (labels.count() - 1) as f64)?
                };
                let shares = at.softmax(scores)?;
                if method == Method::PredictLogProba { at.unary(UnaryKind::Log, shares)? } else { shares }
            }
        }])
    }

    fn needs(&self, path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        members::needs(&self.members, path)
    }
}
