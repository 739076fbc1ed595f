//! Estimators inside other ones.

use super::{Estimator, Features, Labels, Method, Needs, inconsistent};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// An estimator inside another one.
#[derive(Debug)]
pub(super) struct Member {
    /// Where in the file it is, for messages: `estimators_[0]`.
    pub path: String,
    /// The estimator.
    pub estimator: Box<dyn Estimator>,
}

impl Member {
    /// Decodes an estimator of any family.
    pub(super) fn decode(item: &Item<'_>) -> Result<Member, FrontendError> {
        Ok(Member { path: item.path(), estimator: super::decode(item)? })
    }

    /// Decodes those of a list. What is not supported is collected over all of them, up to one that is damaged.
    pub(super) fn decode_all(items: &Item<'_>) -> Result<Vec<Member>, FrontendError> {
        let members = collect(items.items()?.iter().map(Member::decode))?;
        if members.is_empty() {
            return Err(inconsistent(items, "no estimators"));
        }
        Ok(members)
    }

    /// Whether it can be asked `method`.
    pub(super) fn offers(&self, method: Method) -> bool {
        self.estimator.methods().contains(&method)
    }

    /// What it answers where that is one tensor.
    pub(super) fn answer(&self, graph: &mut Graph, method: Method, x: &Features) -> Result<TensorId, FrontendError> {
        if !self.offers(method) {
            return Err(FrontendError::unsupported(&self.path, method.name(), "this estimator has no such method"));
        }
        match self.estimator.lower(graph, &self.path, method, x)?.as_slice() {
            &[tensor] => Ok(tensor),
            _ => Err(FrontendError::unsupported(&self.path, method.name(), "several outputs are not supported here")),
        }
    }
}

/// All values, or all blockers, up to a model that is damaged.
pub(super) fn collect<T>(results: impl Iterator<Item = Result<T, FrontendError>>) -> Result<Vec<T>, FrontendError> {
    /// So many blockers say enough.
    const MOST_BLOCKERS: usize = 64;
    let mut values = Vec::new();
    let mut blockers = Vec::new();
    for result in results {
        match result {
            Ok(value) => values.push(value),
            Err(FrontendError::Unsupported(more)) => blockers.extend(more),
            Err(error) if blockers.is_empty() => return Err(error),
            Err(_) => break,
        }
        if blockers.len() >= MOST_BLOCKERS {
            break;
        }
    }
    if blockers.is_empty() { Ok(values) } else { Err(FrontendError::Unsupported(blockers)) }
}

/// What serves all `members`, which are asked about the same columns.
pub(super) fn needs<'m>(members: impl IntoIterator<Item = &'m Member>, path: &str) -> Result<Needs, FrontendError> {
    let mut members = members.into_iter().map(|member| member.estimator.needs(&member.path, &Needs::Numbers));
    let first = members.next().unwrap_or(Ok(Needs::Numbers))?;
    members.try_fold(first, |needs, more| needs.and(more?, path))
}

/// Columns of the input of `members`, which must agree; 0 where none says.
pub(super) fn features<'m>(
    item: &Item<'_>,
    members: impl IntoIterator<Item = &'m Member>,
) -> Result<usize, FrontendError> {
    let mut features = 0;
    for member in members {
        let more = member.estimator.features();
        if features != 0 && more != 0 && more != features {
            return Err(inconsistent(item, format!("{} takes {more} columns, others {features}", member.path)));
        }
        features = features.max(more);
    }
    Ok(features)
}

/// The labels of the classifier `item`, in the order of its columns: its own attribute, or that of the estimator that answers for
/// it. `None` where the file does not say.
pub(super) fn classes(item: &Item<'_>) -> Result<Option<Labels>, FrontendError> {
    if item.class().is_err() {
        return Ok(None);
    }
    if let Some(classes) = item.find("classes_")?.filter(|classes| !classes.is_none()) {
        return Labels::decode(&classes).map(Some);
    }
    if let Some(steps) = item.find("steps")? {
        let count = steps.items()?.len();
        return match count.checked_sub(1) {
            Some(last) => classes(&steps.at(last)?.at(1)?),
            None => Ok(None),
        };
    }
    for attribute in ["best_estimator_", "estimator_", "base_estimator_", "estimator"] {
        if let Some(inner) = item.find(attribute)?.filter(|inner| !inner.is_none()) {
            return classes(&inner);
        }
    }
    // Wrappers of gradient boosting libraries keep the labels, or only their number.
    if let Some(classes) = item.find("_classes")?.filter(Item::is_array) {
        return Labels::decode(&classes).map(Some);
    }
    match item.find("n_classes_")? {
        Some(count) => Ok(Some(Labels::Int((0..count.as_i64()?.min(1 << 20)).collect()))),
        None => Ok(None),
    }
}

/// The methods of an estimator that predicts and besides answers what is true here.
pub(super) fn offered(predict_proba: bool, predict_log_proba: bool, decision_function: bool) -> &'static [Method] {
    use Method::{DecisionFunction, Predict, PredictLogProba, PredictProba};
    match (predict_proba, predict_log_proba, decision_function) {
        (false, false, false) => &[Predict],
        (true, false, false) => &[Predict, PredictProba],
        (false, true, false) => &[Predict, PredictLogProba],
        (true, true, false) => &[Predict, PredictProba, PredictLogProba],
        (false, false, true) => &[Predict, DecisionFunction],
        (true, false, true) => &[Predict, PredictProba, DecisionFunction],
        (false, true, true) => &[Predict, PredictLogProba, DecisionFunction],
        (true, true, true) => &[Predict, PredictProba, PredictLogProba, DecisionFunction],
    }
}
