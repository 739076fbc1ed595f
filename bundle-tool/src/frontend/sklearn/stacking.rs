//! Stacking: an estimator whose features are what other estimators answer.

use super::lowering::At;
use super::members::{self, Member, collect};
use super::{Estimator, Family, Features, Labels, Method, Needs, inconsistent, labels, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Stacking.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.ensemble._stacking.StackingClassifier", "sklearn.ensemble._stacking.StackingRegressor"],
    carried: &["sklearn.preprocessing._label.LabelEncoder"],
    decode: |item| Ok(Box::new(Stacking::decode(item)?)),
};

/// Stacked estimators.
#[derive(Debug)]
pub(super) struct Stacking {
    /// Columns of the input.
    pub features: usize,
    /// The estimators below, each with what it is asked. Classifiers' labels are numbers of classes.
    pub below: Vec<(Member, Method)>,
    /// The estimator above.
    pub last: Member,
    /// Whether the input itself follows what the estimators below answer.
    pub passthrough: bool,
    /// The classes of a classifier.
    pub labels: Option<Labels>,
}

impl Stacking {
    fn decode(item: &Item<'_>) -> Result<Stacking, FrontendError> {
        let estimators = item.get("estimators_")?;
        let last = item.get("final_estimator_")?;
        let decoded = collect(estimators.items()?.iter().chain(std::iter::once(&last)).map(Member::decode));
        let mut decoded = decoded?;
        let (Some(last), false) = (decoded.pop(), decoded.is_empty()) else {
            return Err(inconsistent(&estimators, "no estimators"));
        };
        let methods_item = item.get("stack_method_")?;
        let methods = methods_item.items()?;
        if methods.len() != decoded.len() {
            return Err(inconsistent(&methods_item, format!("{} methods", methods.len())));
        }
        let mut below = Vec::new();
        for (member, method) in decoded.into_iter().zip(&methods) {
            let name = method.as_str()?;
            let known = [Method::Predict, Method::PredictProba, Method::DecisionFunction];
            match known.into_iter().find(|known| known.name() == name) {
                Some(method) if member.offers(method) => below.push((member, method)),
                _ => return Err(FrontendError::unsupported(member.path, name, "this estimator has no such method")),
            }
        }
        let labels = if item.class()?.ends_with("Regressor") {
            None
        } else {
            let classes = item.get("classes_")?;
            if !classes.is_array() {
                return Err(unsupported(item, "several labels for a sample; train a model for each"));
            }
            Some(Labels::decode(&classes)?)
        };
        let features = members::features(item, below.iter().map(|(member, _)| member))?;
        let passthrough = item.get("passthrough")?.as_bool()?;
        Ok(Stacking { features, below, last, passthrough, labels })
    }

    /// The features of the estimator above.
    fn stack(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<Features, FrontendError> {
        let binary = self.labels.as_ref().is_some_and(|labels| labels.count() == 2);
        let mut parts = Vec::new();
        for (member, method) in &self.below {
            let answer = member.answer(graph, *method, x)?;
            let mut at = At { graph: &mut *graph, path: &member.path };
            let answer = at.numbers(answer)?;
            parts.push(match method {
                Method::PredictProba if binary => at.column(answer, 1)?,
                _ => answer,
            });
        }
        let stacked = Features::of(At { graph: &mut *graph, path }.side_by_side(&parts)?);
        if self.passthrough { Features::join(graph, path, vec![stacked, x.clone()]) } else { Ok(stacked) }
    }
}

impl Estimator for Stacking {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        members::offered(
            self.last.offers(Method::PredictProba),
            false,
            self.labels.is_some() && self.last.offers(Method::DecisionFunction),
        )
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let stacked = self.stack(graph, path, x)?;
        let answer = self.last.answer(graph, method, &stacked)?;
        let (Method::Predict, Some(labels)) = (method, &self.labels) else { return Ok(vec![answer]) };
        let known = Labels::Int((0..labels.count() as i64).collect());
        let indices = labels::indices(graph, path, &known, answer)?;
        Ok(vec![At { graph, path }.label(labels, indices)?])
    }

    fn needs(&self, path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        let needs = members::needs(self.below.iter().map(|(member, _)| member), path)?;
        if self.passthrough { needs.and(Needs::Numbers, path) } else { Ok(needs) }
    }
}
