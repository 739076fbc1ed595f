//! Estimators that answer the same for every sample.

use ekiben_runtime::DType;

use super::lowering::At;
use super::members::offered;
use super::{Estimator, Family, Features, Labels, Method, inconsistent, labels, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Estimators that answer the same for every sample.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.dummy.DummyClassifier",
        "sklearn.dummy.DummyRegressor",
        "sklearn.multiclass._ConstantPredictor",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(Dummy::decode(item)?)),
};

/// An estimator that answers the same for every sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dummy {
    /// Columns of the input; 0 where the file does not say.
    pub features: usize,
    /// What it answers.
    pub answer: Answer,
}

/// What a [`Dummy`] answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// A value for each output.
    Values(Vec<f64>),
    /// For each output the labels of the classes, the class that is predicted, and the shares of all.
    Classes(Vec<(Labels, usize, Vec<f64>)>),
    /// One number of `_ConstantPredictor`: the label predicted, the score, and the share of the second of the classes 0 and 1.
    Score(f64),
}

impl Dummy {
    pub(super) fn decode(item: &Item<'_>) -> Result<Dummy, FrontendError> {
        let features = item.find("n_features_in_")?.filter(|count| !count.is_none());
        let features = features.map_or(Ok(0), |count| count.as_usize())?;
        let class = item.class()?;
        let answer = if class.ends_with("Regressor") {
            let constant = item.get("constant_")?;
            let values = if constant.is_array() { constant.array()?.f64s()? } else { vec![constant.as_f64()?] };
            if values.is_empty() {
                return Err(inconsistent(&constant, "no values"));
            }
            Answer::Values(values)
        } else if class.ends_with("_ConstantPredictor") {
            let value = item.get("y_")?;
            let values = if value.is_array() { value.array()?.f64s()? } else { vec![value.as_f64()?] };
            match values.as_slice() {
                &[value] => Answer::Score(value),
                _ => return Err(value.wrong("one number").into()),
            }
        } else {
            Answer::Classes(decode_classes(item)?)
        };
        Ok(Dummy { features, answer })
    }
}

fn decode_classes(item: &Item<'_>) -> Result<Vec<(Labels, usize, Vec<f64>)>, FrontendError> {
    // Until scikit-learn 0.24, `strategy` had a default that was not what it did.
    let fitted = item.find("_strategy")?;
    let strategy = fitted.map_or_else(|| item.get("strategy"), Ok)?.as_str()?;
    let outputs = item.get("n_outputs_")?.as_usize()?;
    let labels = Labels::decode_outputs(&item.get("classes_")?, outputs)?;
    let priors_item = item.get("class_prior_")?;
    let priors = match outputs {
        1 => vec![priors_item.array()?.f64s()?],
        _ => priors_item.items()?.iter().map(|prior| prior.array()?.f64s()).collect::<Result<Vec<_>, _>>()?,
    };
    if priors.len() != labels.len() || priors.iter().zip(&labels).any(|(prior, l)| prior.len() != l.count()) {
        return Err(inconsistent(&priors_item, "not a share for each label"));
    }
    let mut answers = Vec::new();
    for (output, (labels, prior)) in labels.into_iter().zip(priors).enumerate() {
        let certain = |class: usize| (0..labels.count()).map(|c| f64::from(u8::from(c == class))).collect::<Vec<_>>();
        let best = (0..prior.len()).fold(0, |best, class| if prior[class] > prior[best] { class } else { best });
        answers.push(match strategy {
            "prior" => (labels, best, prior),
            "most_frequent" => {
                let shares = certain(best);
                (labels, best, shares)
            }
            "constant" => {
                let class = constant_class(&item.get("constant")?, &labels, output)?;
                let shares = certain(class);
                (labels, class, shares)
            }
            other => {
                let reason = format!(
                    "strategy={other:?} answers at random; use \"prior\", \"most_frequent\" or \"constant\" instead"
                );
                return Err(unsupported(item, reason));
            }
        });
    }
    Ok(answers)
}

/// The class whose label `constant` (or its element number `output`) is.
fn constant_class(constant: &Item<'_>, labels: &Labels, output: usize) -> Result<usize, FrontendError> {
    if constant.is_array() {
        let given = Labels::decode(constant)?;
        let positions = given.positions_in(labels);
        let at = if given.count() == 1 { 0 } else { output };
        let position = positions.and_then(|positions| positions.get(at).copied());
        return position.ok_or_else(|| inconsistent(constant, "a label that is not among the classes"));
    }
    match constant.items() {
        Ok(list) => match list.get(if list.len() == 1 { 0 } else { output }) {
            Some(given) => labels.position_of(given),
            None => Err(inconsistent(constant, "too few labels")),
        },
        Err(_) => labels.position_of(constant),
    }
}

impl Estimator for Dummy {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        match self.answer {
            Answer::Values(_) => offered(false, false, false),
            Answer::Classes(_) => offered(true, true, false),
            Answer::Score(_) => offered(true, false, true),
        }
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let mut at = At { graph, path };
        let outputs = match &self.answer {
            Answer::Values(values) => {
                let values = at.everywhere(x, values)?;
                return Ok(vec![at.as_list(values)?]);
            }
            Answer::Score(score) => {
                let shares = [1.0 - score, *score];
                let values = at.everywhere(x, if method == Method::PredictProba { &shares } else { &shares[1..] })?;
                return Ok(vec![at.as_list(values)?]);
            }
            Answer::Classes(outputs) => outputs,
        };
        if method == Method::Predict {
            let all: Vec<Labels> = outputs.iter().map(|(labels, ..)| labels.clone()).collect();
            let width = all.iter().map(Labels::count).max().unwrap_or(0);
            let indices = outputs.iter().enumerate().map(|(output, (_, class, _))| (output * width + class) as f64);
            let indices = at.everywhere(x, &indices.collect::<Vec<_>>())?;
            let indices = at.cast(indices, DType::I32)?;
            let indices = at.as_list(indices)?;
            return Ok(vec![labels::pick(at.graph, path, &all, width, indices)?]);
        }
        let mut answers = Vec::new();
        for (_, _, shares) in outputs {
            let shares: Vec<f64> = match method {
                Method::PredictLogProba => shares.iter().map(|share| share.ln()).collect(),
                _ => shares.clone(),
            };
            answers.push(at.everywhere(x, &shares)?);
        }
        Ok(answers)
    }
}
