//! CatBoost's estimators: the state of one holds its `.cbm` file.

use super::{Estimator, Family, Features, Item, Method, Need, Needs, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::catboost::{Answer, Booster, Columns};
use crate::graph::{Graph, TensorId};

/// CatBoost's classes.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "catboost.core.CatBoost",
        "catboost.core.CatBoostClassifier",
        "catboost.core.CatBoostRegressor",
        "catboost.core.CatBoostRanker",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(Catboost::decode(item)?)),
};

/// An estimator.
#[derive(Debug)]
struct Catboost {
    booster: Booster,
    /// Names of the columns; empty where they are only numbers.
    names: Vec<String>,
    /// What `predict` answers.
    prediction: Answer,
    methods: &'static [Method],
}

impl Catboost {
    fn decode(item: &Item<'_>) -> Result<Self, FrontendError> {
        let Some(model) = item.find("__model")? else {
            return Err(unsupported(item, "it is not fitted; fit it before it is saved"));
        };
        let booster = Booster::read(model.as_bytes()?)?;
        let class = item.class()?;
        let (prediction, methods): (_, &'static [Method]) = match class.rsplit('.').next() {
            Some("CatBoostClassifier") if !booster.has_classes() => {
                return Err(inconsistent(item, "a classifier without classes"));
            }
            Some("CatBoostClassifier") => {
                (Answer::Prediction, &[Method::Predict, Method::PredictProba, Method::PredictLogProba])
            }
            Some("CatBoostRegressor") if !booster.has_classes() => (Answer::Prediction, &[Method::Predict]),
            _ => (Answer::Raw, &[Method::Predict]),
        };
        Ok(Self { names: booster.names(), booster, prediction, methods })
    }
}

impl Estimator for Catboost {
    fn features(&self) -> usize {
        self.booster.columns().len()
    }

    fn methods(&self) -> &'static [Method] {
        self.methods
    }

    fn names(&self) -> &[String] {
        &self.names
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        let need = |&(_, is_category): &(String, bool)| if is_category { Need::Text } else { Need::Number };
        Ok(Needs::columns(self.booster.columns().iter().map(need).collect()))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let answer = match method {
            Method::PredictProba => Answer::Probability,
            Method::PredictLogProba => Answer::LogProbability,
            _ => self.prediction,
        };
        let columns = match x {
            Features::Columns(_) if self.booster.has_categories() => Columns::Table(x.tensors()),
            _ => Columns::Matrix(x.matrix(graph, path)?),
        };
        Ok(vec![self.booster.lower(graph, path, answer, &columns)?])
    }
}
