//! xgboost's estimators, and pickled boosters: the booster's state is read as its files are.
//!
//! Estimators predict as `Booster.inplace_predict` does, with the rounds up to the best iteration where training stopped early. Their `missing` value,
//! compared in float32, is a missing value beside NaN. What they give is float32, but labels.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use serde::Deserialize;

use super::{
    Estimator, Family, Features, Labels, Method, Needs, cast, inconsistent, labels, unsupported, with_columns,
};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::frontend::xgboost::Link;
use crate::frontend::xgboost::lower::{Way, softmax};
use crate::frontend::xgboost::model::Booster;
use crate::frontend::xgboost::{read_state, with_missing};
use crate::graph::{Graph, TensorId};

/// xgboost's classes.
pub(super) const FAMILY: Family = Family {
    classes: &[
        BOOSTER,
        "xgboost.sklearn.XGBClassifier",
        "xgboost.sklearn.XGBRegressor",
        "xgboost.sklearn.XGBRanker",
        "xgboost.sklearn.XGBRFClassifier",
        "xgboost.sklearn.XGBRFRegressor",
    ],
    carried: &[
        "xgboost.compat.XGBoostLabelEncoder",
        "xgboost.callback.EarlyStopping",
        "xgboost.callback.EvaluationMonitor",
        "xgboost.callback.LearningRateScheduler",
    ],
    decode: |item| Ok(Box::new(Xgboost::decode(item)?)),
};

const BOOSTER: &str = "xgboost.core.Booster";

/// A booster in a pickle, by itself or in an estimator.
#[derive(Clone, Debug)]
struct Xgboost {
    booster: Booster,
    way: Way,
    missing: f32,
    /// The labels of a classifier, by the number of the class.
    labels: Option<Labels>,
}

impl Xgboost {
    fn decode(item: &Item<'_>) -> Result<Xgboost, FrontendError> {
        let class = item.class()?;
        if class == BOOSTER {
            let booster = decode_booster(item)?;
            return Ok(Xgboost { booster, way: Way::default(), missing: f32::NAN, labels: None });
        }
        let Some(booster) = item.find("_Booster")?.filter(|booster| !booster.is_none()) else {
            return Err(unsupported(item, "it is not fitted"));
        };
        let booster = decode_booster(&booster)?;
        let missing = match item.find("missing")?.filter(|missing| !missing.is_none()) {
            Some(missing) => missing.as_f64()? as f32,
            None => f32::NAN,
        };
        let labels = class.ends_with("Classifier").then(|| decode_labels(item, &booster)).transpose()?;
        let to = booster.best_iteration.map(|best| best.saturating_add(1));
        Ok(Xgboost { booster, way: Way { from: 0, to, in_place: true }, missing, labels })
    }
}

/// What the attribute `scikit_learn` of a saved estimator says, as far as predictions depend on it.
#[derive(Default, Deserialize)]
struct Saved {
    n_classes_: Option<usize>,
    #[serde(rename = "_le")]
    encoder: Option<SavedEncoder>,
}

/// The encoder of a classifier's labels, until 1.7.
#[derive(Deserialize)]
struct SavedEncoder {
    classes_: SavedLabels,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SavedLabels {
    Int(Vec<i64>),
    Float(Vec<f64>),
    Text(Vec<String>),
}

/// The estimator of the class `class` that `save_model` wrote as its booster, as `load_model` gives it back.
///
/// # Errors
/// A class that is not read; labels that do not fit the booster.
pub(super) fn of_booster(class: &str, booster: Booster) -> Result<Box<dyn Estimator>, FrontendError> {
    if !FAMILY.classes.iter().any(|known| known.rsplit('.').next() == Some(class)) {
        return Err(FrontendError::unsupported("model", format!("xgboost.{}", class.escape_debug()), super::NOT_READ));
    }
    let saved = booster.wrapper.as_deref().map_or(Ok(Saved::default()), serde_json::from_str);
    let saved: Saved = saved.map_err(|error| FrontendError::malformed("attributes.scikit_learn", error))?;
    let count = saved.n_classes_.unwrap_or(booster.outputs.max(2));
    let labels = match saved.encoder.map(|encoder| encoder.classes_) {
        Some(SavedLabels::Int(labels)) => Labels::Int(labels),
        Some(SavedLabels::Float(labels)) => Labels::Float(labels),
        Some(SavedLabels::Text(labels)) => Labels::Text(labels),
        None => Labels::Int((0..booster.outputs.max(2) as i64).take(count).collect()),
    };
    if count < 2 || count > booster.outputs.max(2) || labels.count() < count {
        let reason = format!("{count} classes with {} labels, and {} outputs", labels.count(), booster.outputs);
        return Err(FrontendError::malformed("attributes.scikit_learn", reason));
    }
    let way = Way { from: 0, to: booster.best_iteration.map(|best| best.saturating_add(1)), in_place: true };
    let labels = class.ends_with("Classifier").then_some(labels);
    Ok(Box::new(Xgboost { booster, way, missing: f32::NAN, labels }))
}

/// Reads what a pickled `Booster` keeps of the library's object.
fn decode_booster(item: &Item<'_>) -> Result<Booster, FrontendError> {
    let handle = item.get("handle")?;
    if handle.is_none() {
        return Err(unsupported(item, "a booster without a model"));
    }
    read_state(handle.as_bytes()?).map_err(|error| match error {
        FrontendError::Malformed { path, reason } => {
            FrontendError::malformed(format!("{}.{path}", handle.path()), reason)
        }
        FrontendError::Unsupported(mut blockers) => {
            blockers.iter_mut().for_each(|blocker| blocker.node = format!("{}.{}", handle.path(), blocker.node));
            FrontendError::Unsupported(blockers)
        }
        error => error,
    })
}

/// The labels of a classifier: those that its encoder knows (until 1.7), else the numbers of the classes.
fn decode_labels(item: &Item<'_>, booster: &Booster) -> Result<Labels, FrontendError> {
    let count = match item.find("n_classes_")?.filter(|count| !count.is_none()) {
        Some(count) => count.as_usize()?,
        None => booster.outputs.max(2),
    };
    // Classifiers of one label have two outputs' worth of labels, those of several labels two for each.
    if count < 2 || count > booster.outputs.max(2) {
        return Err(inconsistent(item, format!("{count} classes, and a booster of {} outputs", booster.outputs)));
    }
    let Some(encoder) = item.find("_le")?.filter(|encoder| !encoder.is_none()) else {
        return Ok(Labels::Int((0..count as i64).collect()));
    };
    let labels = Labels::decode(&encoder.get("classes_")?)?;
    if labels.count() < count {
        return Err(inconsistent(&encoder, format!("{} labels of {count} classes", labels.count())));
    }
    Ok(labels)
}

impl Estimator for Xgboost {
    fn features(&self) -> usize {
        self.booster.features
    }

    fn methods(&self) -> &'static [Method] {
        match self.labels {
            Some(_) => &[Method::Predict, Method::PredictProba],
            None => &[Method::Predict],
        }
    }

    fn names(&self) -> &[String] {
        &self.booster.names
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
            let columns = (0..self.booster.features).map(|index| x.column(graph, path, index));
            let columns: Vec<TensorId> = columns.collect::<Result<_, _>>()?;
            self.booster.matrix(graph, path, &columns)?
        } else {
            x.matrix(graph, path)?
        };
        let x = with_missing(graph, path, x, self.missing)?;
        let margins = self.booster.margins(graph, path, x, self.way)?;
        if method == Method::PredictProba && self.booster.objective.link == Link::Class {
            // Releases before 1.5 never trained a classifier so; those up to 1.7 differ in what they give.
            if self.booster.version < (2, 0) {
                let reason = "predict_proba with this objective before xgboost 2; train with multi:softprob";
                return Err(FrontendError::unsupported(path, "objective multi:softmax", reason));
            }
            return Ok(vec![softmax(graph, path, margins)?]);
        }
        let values = self.booster.predictions(graph, path, margins)?;
        let Some(labels) = &self.labels else {
            return Ok(vec![values]);
        };
        Ok(vec![match method {
            Method::PredictProba => self.shares(graph, path, values)?,
            _ => self.predict(graph, path, labels, values)?,
        }])
    }
}

impl Xgboost {
    /// `[1 - p, p]` where there is one value per row, else the values as they are.
    fn shares(&self, graph: &mut Graph, path: &str, values: TensorId) -> Result<TensorId, FrontendError> {
        if self.booster.outputs > 1 {
            return Ok(values);
        }
        let second = with_columns(graph, path, values, &[1])?;
        let rest = Unary { kind: UnaryKind::Affine, alpha: -1.0, beta: 1.0 };
        let first = graph.add(&format!("{path}/rest"), rest, &[second])?;
        Ok(graph.add(&format!("{path}/shares"), Concat { axis: 1 }, &[first, second])?)
    }

    /// The labels. Of several classes, the one with the largest share; of two, the second where its share is above a half; of several
    /// labels at once, 1 or 0 in float64 for each.
    fn predict(
        &self,
        graph: &mut Graph,
        path: &str,
        labels: &Labels,
        values: TensorId,
    ) -> Result<TensorId, FrontendError> {
        if self.booster.objective.link == Link::Class {
            return cast(graph, path, values, DType::I32);
        }
        if self.booster.outputs > 1 && labels.count() != 2 {
            let largest = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false };
            let class = graph.add(&format!("{path}/argmax"), largest, &[values])?;
            return labels::pick(graph, path, std::slice::from_ref(labels), labels.count(), class);
        }
        let half = graph.add_constant(&format!("{path}/half"), DType::F32, &[], &[0.5_f32])?;
        let above = graph.add(&format!("{path}/above"), Compare { kind: CompareKind::Greater }, &[values, half])?;
        if self.booster.outputs > 1 {
            return cast(graph, path, above, DType::F64);
        }
        let class = cast(graph, path, above, DType::I32)?;
        labels::pick(graph, path, std::slice::from_ref(labels), labels.count(), class)
    }
}
