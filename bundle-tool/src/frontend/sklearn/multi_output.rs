//! One estimator for each output: side by side, or in a chain where each also sees the outputs before its own.

use ekiben_runtime::DType;
use ekiben_runtime::ops::unary::UnaryKind;

use super::lowering::At;
use super::members::{self, Member, offered};
use super::{Estimator, Family, Features, Labels, Method, Need, Needs, inconsistent, labels, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// One estimator for each output.
pub(super) const SIDE_BY_SIDE: Family = Family {
    classes: &["sklearn.multioutput.MultiOutputClassifier", "sklearn.multioutput.MultiOutputRegressor"],
    carried: &[],
    decode: |item| Ok(Box::new(MultiOutput::decode(item)?)),
};

/// Chains of estimators.
pub(super) const CHAINS: Family = Family {
    classes: &["sklearn.multioutput.ClassifierChain", "sklearn.multioutput.RegressorChain"],
    carried: &[],
    decode: |item| Ok(Box::new(Chain::decode(item)?)),
};

/// Estimators side by side.
#[derive(Debug)]
pub(super) struct MultiOutput {
    /// Columns of the input.
    pub features: usize,
    /// One for each output.
    pub members: Vec<Member>,
    /// The labels of each output of a classifier.
    pub labels: Vec<Labels>,
}

impl MultiOutput {
    fn decode(item: &Item<'_>) -> Result<MultiOutput, FrontendError> {
        let list = item.get("estimators_")?;
        let members = Member::decode_all(&list)?;
        let mut known = Vec::new();
        if item.class()?.ends_with("Classifier") {
            for estimator in list.items()? {
                match members::classes(&estimator)? {
                    Some(labels) => known.push(labels),
                    None => return Err(unsupported(&estimator, "a classifier that does not say its classes")),
                }
            }
            let kind = std::mem::discriminant(&known[0]);
            if known.iter().any(|labels| std::mem::discriminant(labels) != kind) {
                return Err(unsupported(item, "outputs with labels of several types; train a model for each"));
            }
        }
        Ok(MultiOutput { features: members::features(item, &members)?, members, labels: known })
    }
}

impl Estimator for MultiOutput {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        let all = |method| self.members.iter().all(|member| member.offers(method));
        offered(!self.labels.is_empty() && all(Method::PredictProba), false, false)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let answers = self.members.iter().map(|member| member.answer(&mut *graph, method, x));
        let answers = answers.collect::<Result<Vec<_>, _>>()?;
        if method == Method::PredictProba {
            return Ok(answers);
        }
        if !matches!(self.labels.first(), Some(Labels::Text(_))) {
            return Ok(vec![At { graph, path }.side_by_side(&answers)?]);
        }
        // Texts of several outputs are picked out of one list.
        let width = self.labels.iter().map(Labels::count).max().unwrap_or(0);
        let mut indices = Vec::new();
        for ((labels, &answer), member) in self.labels.iter().zip(&answers).zip(&self.members) {
            indices.push(labels::indices(graph, &member.path, labels, answer)?);
        }
        let mut at = At { graph: &mut *graph, path };
        let indices = at.side_by_side(&indices)?;
        let starts = (0..self.labels.len()).map(|output| i32::try_from(output * width));
        let starts = starts.collect::<Result<Vec<_>, _>>().map_err(|error| FrontendError::malformed(path, error))?;
        let starts = at.constant("starts", DType::I32, &[starts.len()], &starts)?;
        let indices = at.binary(ekiben_runtime::ops::binary::BinaryKind::Add, indices, starts)?;
        Ok(vec![labels::pick(graph, path, &self.labels, width, indices)?])
    }

    fn needs(&self, path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        members::needs(&self.members, path)
    }
}

/// Estimators in a chain.
#[derive(Debug)]
pub(super) struct Chain {
    /// Columns of the input.
    pub features: usize,
    /// The estimators, in the order of the chain; each takes the columns and what those before it answered.
    pub members: Vec<Member>,
    /// For each output the number of its estimator.
    pub places: Vec<usize>,
    /// What is asked of an estimator for those after it.
    pub method: Method,
    /// Whether the estimators classify.
    pub classifies: bool,
}

impl Chain {
    fn decode(item: &Item<'_>) -> Result<Chain, FrontendError> {
        let members = Member::decode_all(&item.get("estimators_")?)?;
        let order_item = item.get("order_")?;
        let order = match order_item.is_array() {
            true => order_item.array()?.i64s()?,
            false => order_item.items()?.iter().map(Item::as_i64).collect::<Result<_, _>>()?,
        };
        let places: Option<Vec<usize>> =
            (0..members.len() as i64).map(|output| order.iter().position(|&place| place == output)).collect();
        let (Some(places), true) = (places, order.len() == members.len()) else {
            return Err(inconsistent(&order_item, "not an order of the outputs"));
        };
        let method = match item.find("chain_method_")? {
            None => Method::Predict,
            Some(name) => {
                let known = [Method::Predict, Method::PredictProba, Method::DecisionFunction];
                let found = known.into_iter().find(|method| name.as_str() == Ok(method.name()));
                found.ok_or_else(|| unsupported(&name, "another chain_method; use \"predict\""))?
            }
        };
        let Some(features) = members.first().map(|member| member.estimator.features()).filter(|&count| count > 0)
        else {
            return Err(unsupported(item, "estimators that do not say how many columns they take"));
        };
        for (index, member) in members.iter().enumerate() {
            let takes = member.estimator.features();
            if takes != 0 && takes != features + index {
                return Err(inconsistent(item, format!("{} takes {takes} columns", member.path)));
            }
        }
        Ok(Chain { features, members, places, method, classifies: item.class()?.ends_with("ClassifierChain") })
    }
}

impl Estimator for Chain {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        let all = |method| self.classifies && self.members.iter().all(|member| member.offers(method));
        offered(all(Method::PredictProba), all(Method::PredictProba), all(Method::DecisionFunction))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let asked = if method == Method::PredictLogProba { Method::PredictProba } else { method };
        let mut seen = vec![x.clone()];
        let mut answers = Vec::new();
        for member in &self.members {
            let x = Features::join(graph, &member.path, seen.clone())?;
            let mut ask = |method: Method| {
                let answer = member.answer(graph, method, &x)?;
                let mut at = At { graph: &mut *graph, path: &member.path };
                let answer = at.numbers(answer)?;
                if method == Method::PredictProba { at.column(answer, 1) } else { at.as_matrix(answer) }
            };
            let answer = ask(asked)?;
            answers.push(answer);
            seen.push(Features::of(if self.method == asked { answer } else { ask(self.method)? }));
        }
        let mut at = At { graph, path };
        let answers = at.side_by_side(&self.places.iter().map(|&place| answers[place]).collect::<Vec<_>>())?;
        Ok(vec![if method == Method::PredictLogProba { at.unary(UnaryKind::Log, answers)? } else { answers }])
    }

    fn needs(&self, path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        let mut needs = Needs::Numbers;
        for (index, member) in self.members.iter().enumerate() {
            let of_member = member.estimator.needs(&member.path, &Needs::Numbers)?;
            let of_columns =
                Needs::columns((0..self.features).map(|column| of_member.of(column)).collect::<Vec<Need>>());
            needs = if index == 0 { of_columns } else { needs.and(of_columns, path)? };
        }
        Ok(needs)
    }
}
