//! LightGBM's wrappers for scikit-learn, and its boosters in pickles.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};

use super::{Estimator, Family, Features, Labels, Method, Needs, inconsistent, labels, unsupported, with_columns};
use crate::frontend::FrontendError;
use crate::frontend::lightgbm::{self, Answer, Booster, Iterations};
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// The class of a booster by itself, which is a model but no estimator.
pub(super) const BOOSTER: &str = "lightgbm.basic.Booster";

/// The wrappers.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "lightgbm.sklearn.LGBMClassifier",
        "lightgbm.sklearn.LGBMRegressor",
        "lightgbm.sklearn.LGBMRanker",
        "lightgbm.sklearn.LGBMModel",
    ],
    carried: &[BOOSTER, "sklearn.preprocessing._label.LabelEncoder", "sklearn.preprocessing.label.LabelEncoder"],
    decode: |item| Ok(Box::new(LightgbmWrapper::decode(item)?)),
};

/// Decodes a pickled booster: its state holds the text of the model, and the best iteration if training stopped early.
///
/// # Errors
/// Those of [`lightgbm::read`], and attributes that are not what they should be.
pub(super) fn booster(item: &Item<'_>) -> Result<Booster, FrontendError> {
    let text = match item.find("_handle")? {
        Some(text) => text,
        None => item.get("handle")?,
    };
    let mut booster = lightgbm::read(text.as_str()?.as_bytes())?;
    if let Some(best) = item.find("best_iteration")?.filter(|best| !best.is_none()) {
        booster.best_iteration = usize::try_from(best.as_i64()?).ok().filter(|best| *best > 0);
    }
    Ok(booster)
}

/// A fitted wrapper.
#[derive(Debug, Clone, PartialEq)]
pub struct LightgbmWrapper {
    /// What it wraps.
    pub booster: Booster,
    /// The labels of a classifier, two at least. The booster has one score for two of them, unless its objective is one of several
    /// classes, else one score for each.
    pub labels: Option<Labels>,
}

impl LightgbmWrapper {
    fn decode(item: &Item<'_>) -> Result<LightgbmWrapper, FrontendError> {
        let inner = item.get("_Booster")?;
        if inner.is_none() {
            return Err(unsupported(item, "it is not fitted"));
        }
        if inner.class()? != BOOSTER {
            return Err(inner.wrong("a booster").into());
        }
        let booster = booster(&inner)?;
        if !item.class()?.ends_with("Classifier") {
            return Ok(LightgbmWrapper { booster, labels: None });
        }
        let labels = Labels::decode(&item.get("_classes")?)?;
        let count = labels.count();
        if count < 2 {
            return Err(unsupported(item, "a classifier of one class"));
        }
        if booster.per_iteration != count && (booster.per_iteration, count) != (1, 2) {
            let reason = format!("{} scores for {count} classes", booster.per_iteration);
            return Err(inconsistent(item, reason));
        }
        Ok(LightgbmWrapper { booster, labels: Some(labels) })
    }

    fn shares(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let answer = self.booster.lower(graph, path, Answer::Prediction, x, Iterations::default())?;
        if self.booster.per_iteration > 1 {
            return Ok(answer);
        }
        // [1 - p, p] = p * [-1, 1] + [1, 0], exactly.
        let column = with_columns(graph, path, answer, &[1])?;
        let signs = graph.add_constant(&format!("{path}/signs"), DType::F64, &[2], &[-1.0, 1.0])?;
        let rest = graph.add_constant(&format!("{path}/rest"), DType::F64, &[2], &[1.0, 0.0])?;
        let signed = graph.add(&format!("{path}/both"), Binary { kind: BinaryKind::Mul }, &[column, signs])?;
        Ok(graph.add(&format!("{path}/shares"), Binary { kind: BinaryKind::Add }, &[signed, rest])?)
    }
}

impl Estimator for LightgbmWrapper {
    fn features(&self) -> usize {
        self.booster.features
    }

    fn methods(&self) -> &'static [Method] {
        match self.labels {
            Some(_) => &[Method::Predict, Method::PredictProba, Method::PredictRaw],
            None => &[Method::Predict, Method::PredictRaw],
        }
    }

    fn names(&self) -> &[String] {
        &self.booster.feature_names
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        Ok(self.booster.needs().map_or(Needs::Numbers, Needs::columns))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = if self.booster.columns.is_some() {
            let count = self.booster.features;
            let columns = (0..count).map(|index| x.column(graph, path, index)).collect::<Result<Vec<_>, _>>()?;
            lightgbm::matrix(graph, path, &self.booster, &columns)?
        } else {
            x.matrix(graph, path)?
        };
        Ok(vec![match (method, &self.labels) {
            (Method::PredictRaw, _) => self.booster.lower(graph, path, Answer::Raw, x, Iterations::default())?,
            (Method::PredictProba, _) => self.shares(graph, path, x)?,
            (_, None) => self.booster.lower(graph, path, Answer::Prediction, x, Iterations::default())?,
            (_, Some(labels)) => {
                let shares = self.shares(graph, path, x)?;
                let argmax = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false };
                let indices = graph.add(&format!("{path}/argmax"), argmax, &[shares])?;
                labels::pick(graph, path, std::slice::from_ref(labels), labels.count(), indices)?
            }
        }])
    }
}
