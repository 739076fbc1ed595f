//! Voting: what several estimators answer, averaged or counted.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::lowering::{At, numpy_sum};
use super::members::{self, Member, offered};
use super::{Estimator, Family, Features, Labels, Method, Needs, inconsistent, labels, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Voting.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.ensemble._voting.VotingClassifier", "sklearn.ensemble._voting.VotingRegressor"],
    carried: &["sklearn.utils.Bunch", "sklearn.utils._bunch.Bunch"],
    decode: |item| Ok(Box::new(Voting::decode(item)?)),
};

/// Estimators that vote.
#[derive(Debug)]
pub(super) struct Voting {
    /// Columns of the input.
    pub features: usize,
    /// The estimators. Classifiers' labels are numbers of classes.
    pub members: Vec<Member>,
    /// One for each estimator; `None` for votes that all count the same.
    pub weights: Option<Vec<f64>>,
    /// How they answer together.
    pub vote: Vote,
}

/// How estimators answer together.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Vote {
    /// The mean of values.
    Mean,
    /// The class with the largest mean of shares.
    Soft(Labels),
    /// The class that most predict, the first of equals.
    Hard(Labels),
}

impl Voting {
    fn decode(item: &Item<'_>) -> Result<Voting, FrontendError> {
        let members = Member::decode_all(&item.get("estimators_")?)?;
        let vote = if item.class()?.ends_with("Regressor") {
            Vote::Mean
        } else {
            let labels = match item.find("classes_")? {
                Some(classes) => Labels::decode(&classes)?,
                None => Labels::decode(&item.get("le_")?.get("classes_")?)?,
            };
            match item.get("voting")?.as_str()? {
                "soft" => Vote::Soft(labels),
                "hard" => Vote::Hard(labels),
                other => return Err(unsupported(item, format!("voting={other:?}; use \"soft\" or \"hard\""))),
            }
        };
        let weights = item.get("weights")?;
        let weights = if weights.is_none() { None } else { Some(decode_weights(item, &weights, members.len())?) };
        let method = if let Vote::Soft(_) = vote { Method::PredictProba } else { Method::Predict };
        if let Some(member) = members.iter().find(|member| !member.offers(method)) {
            return Err(FrontendError::unsupported(&member.path, method.name(), "this estimator has no such method"));
        }
        Ok(Voting { features: members::features(item, &members)?, members, weights, vote })
    }

    /// The mean of `answers`, which have one shape: numpy's `average`.
    fn mean(&self, at: &mut At<'_>, answers: &[TensorId]) -> Result<TensorId, FrontendError> {
        let Some(weights) = &self.weights else {
            let sum = at.sum(answers)?;
            return at.with(BinaryKind::Div, sum, answers.len() as f64);
        };
        let weighted = answers.iter().zip(weights).map(|(&answer, &weight)| at.with(BinaryKind::Mul, answer, weight));
        let weighted = weighted.collect::<Result<Vec<_>, _>>()?;
        let sum = at.sum(&weighted)?;
        at.with(BinaryKind::Div, sum, numpy_sum(weights))
    }

    /// What every estimator answers, in float64.
    fn answers(&self, graph: &mut Graph, method: Method, x: &Features) -> Result<Vec<TensorId>, FrontendError> {
        let answer = |member: &Member| {
            let answer = member.answer(graph, method, x)?;
            At { graph: &mut *graph, path: &member.path }.numbers(answer)
        };
        self.members.iter().map(answer).collect()
    }

    /// How many votes each class has, `[N, classes]`.
    fn counts(&self, graph: &mut Graph, path: &str, classes: usize, x: &Features) -> Result<TensorId, FrontendError> {
        let known = Labels::Int((0..classes as i64).collect());
        let mut votes = Vec::new();
        for (index, member) in self.members.iter().enumerate() {
            let predicted = member.answer(graph, Method::Predict, x)?;
            let indices = labels::indices(graph, &member.path, &known, predicted)?;
            let weight = self.weights.as_ref().map_or(1.0, |weights| weights[index]);
            let cell = |at: usize| if at / classes == at % classes { weight } else { 0.0 };
            let table: Vec<f64> = (0..classes * classes).map(cell).collect();
            votes.push(At { graph: &mut *graph, path: &member.path }.rows_of(&table, classes, indices)?);
        }
        At { graph, path }.sum(&votes)
    }
}

/// The weights of the estimators that were not dropped.
fn decode_weights(item: &Item<'_>, weights: &Item<'_>, count: usize) -> Result<Vec<f64>, FrontendError> {
    let given = match weights.is_array() {
        true => weights.array()?.f64s()?,
        false => weights.items()?.iter().map(Item::as_f64).collect::<Result<_, _>>()?,
    };
    let mut kept = Vec::new();
    for (estimator, weight) in item.get("estimators")?.items()?.iter().zip(given) {
        let estimator = estimator.at(1)?;
        if !estimator.is_none() && estimator.as_str() != Ok("drop") {
            kept.push(weight);
        }
    }
    match kept.len() == count {
        true => Ok(kept),
        false => Err(inconsistent(weights, format!("{} weights for {count} estimators", kept.len()))),
    }
}

impl Estimator for Voting {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        let soft = matches!(self.vote, Vote::Soft(_));
        offered(soft, false, false)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let labels = match &self.vote {
            Vote::Mean => {
                let answers = self.answers(graph, Method::Predict, x)?;
                return Ok(vec![self.mean(&mut At { graph, path }, &answers)?]);
            }
            Vote::Soft(labels) | Vote::Hard(labels) => labels,
        };
        let votes = if let Vote::Soft(_) = self.vote {
            let shares = self.answers(graph, Method::PredictProba, x)?;
            self.mean(&mut At { graph, path }, &shares)?
        } else {
            self.counts(graph, path, labels.count(), x)?
        };
        let mut at = At { graph, path };
        Ok(vec![match method {
            Method::PredictProba => votes,
            Method::PredictLogProba => at.unary(UnaryKind::Log, votes)?,
            _ => {
                let index = at.largest(votes, false)?;
                at.label(labels, index)?
            }
        }])
    }

    fn needs(&self, path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        members::needs(&self.members, path)
    }
}
