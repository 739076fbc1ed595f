//! Searches for parameters and other estimators that answer through the one that they fitted.

use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::lowering::At;
use super::members::{self, Member};
use super::{Estimator, Family, Features, Labels, Method, Needs, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Searches, and wrappers that hand everything on: they decode as the estimator inside.
pub(super) const WRAPPERS: Family = Family {
    classes: &[
        "sklearn.frozen._frozen.FrozenEstimator",
        "sklearn.model_selection._search.GridSearchCV",
        "sklearn.model_selection._search.RandomizedSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingGridSearchCV",
        "sklearn.model_selection._search_successive_halving.HalvingRandomSearchCV",
        "sklearn.semi_supervised._self_training.SelfTrainingClassifier",
    ],
    carried: TRAINING,
    decode: |item| {
        // What scikit-learn fitted; estimators that were given only are without an answer.
        for attribute in ["best_estimator_", "estimator_", "base_estimator_"] {
            if let Some(inner) = item.find(attribute)? {
                return super::decode(&inner);
            }
        }
        match item.class()? {
            "sklearn.frozen._frozen.FrozenEstimator" => super::decode(&item.get("estimator")?),
            _ => Err(unsupported(
                item,
                "a search without a best estimator; search with refit=True, or save the estimator",
            )),
        }
    },
};

/// Classifiers of two classes whose threshold was moved.
pub(super) const THRESHOLDS: Family = Family {
    classes: &[
        "sklearn.model_selection._classification_threshold.FixedThresholdClassifier",
        "sklearn.model_selection._classification_threshold.TunedThresholdClassifierCV",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(Threshold::decode(item)?)),
};

/// What searches keep of their training: measures, ways to split samples, distributions of parameters. None of it is ever called.
const TRAINING: &[&str] = &[
    "__builtin__.getattr",
    "builtins.getattr",
    "numpy.ma.MaskedArray",
    "numpy.ma.core.MaskedArray",
    "numpy.ma.core._mareconstruct",
    "numpy.vectorize",
    "scipy.stats._continuous_distns.beta_gen",
    "scipy.stats._continuous_distns.expon_gen",
    "scipy.stats._continuous_distns.gamma_gen",
    "scipy.stats._continuous_distns.lognorm_gen",
    "scipy.stats._continuous_distns.loguniform_gen",
    "scipy.stats._continuous_distns.norm_gen",
    "scipy.stats._continuous_distns.reciprocal_gen",
    "scipy.stats._continuous_distns.triang_gen",
    "scipy.stats._continuous_distns.truncnorm_gen",
    "scipy.stats._continuous_distns.uniform_gen",
    "scipy.stats._discrete_distns.binom_gen",
    "scipy.stats._discrete_distns.geom_gen",
    "scipy.stats._discrete_distns.poisson_gen",
    "scipy.stats._discrete_distns.randint_gen",
    "scipy.stats._distn_infrastructure.rv_continuous_frozen",
    "scipy.stats._distn_infrastructure.rv_discrete_frozen",
    "scipy.stats._distn_infrastructure.rv_frozen",
    "sklearn.metrics._classification.accuracy_score",
    "sklearn.metrics._classification.balanced_accuracy_score",
    "sklearn.metrics._classification.brier_score_loss",
    "sklearn.metrics._classification.d2_brier_score",
    "sklearn.metrics._classification.d2_log_loss_score",
    "sklearn.metrics._classification.f1_score",
    "sklearn.metrics._classification.jaccard_score",
    "sklearn.metrics._classification.log_loss",
    "sklearn.metrics._classification.matthews_corrcoef",
    "sklearn.metrics._classification.precision_score",
    "sklearn.metrics._classification.recall_score",
    "sklearn.metrics._ranking.average_precision_score",
    "sklearn.metrics._ranking.roc_auc_score",
    "sklearn.metrics._ranking.top_k_accuracy_score",
    "sklearn.metrics._regression.d2_absolute_error_score",
    "sklearn.metrics._regression.explained_variance_score",
    "sklearn.metrics._regression.max_error",
    "sklearn.metrics._regression.mean_absolute_error",
    "sklearn.metrics._regression.mean_absolute_percentage_error",
    "sklearn.metrics._regression.mean_gamma_deviance",
    "sklearn.metrics._regression.mean_poisson_deviance",
    "sklearn.metrics._regression.mean_squared_error",
    "sklearn.metrics._regression.mean_squared_log_error",
    "sklearn.metrics._regression.median_absolute_error",
    "sklearn.metrics._regression.r2_score",
    "sklearn.metrics._regression.root_mean_squared_error",
    "sklearn.metrics._regression.root_mean_squared_log_error",
    "sklearn.metrics._scorer._CurveScorer",
    "sklearn.metrics._scorer._MultimetricScorer",
    "sklearn.metrics._scorer._PassthroughScorer",
    "sklearn.metrics._scorer._PredictScorer",
    "sklearn.metrics._scorer._ProbaScorer",
    "sklearn.metrics._scorer._Scorer",
    "sklearn.metrics._scorer._ThresholdScorer",
    "sklearn.metrics._scorer._passthrough_scorer",
    "sklearn.metrics._scorer.negative_likelihood_ratio",
    "sklearn.metrics._scorer.positive_likelihood_ratio",
    "sklearn.metrics.cluster._supervised.adjusted_mutual_info_score",
    "sklearn.metrics.cluster._supervised.adjusted_rand_score",
    "sklearn.metrics.cluster._supervised.completeness_score",
    "sklearn.metrics.cluster._supervised.fowlkes_mallows_score",
    "sklearn.metrics.cluster._supervised.homogeneity_score",
    "sklearn.metrics.cluster._supervised.mutual_info_score",
    "sklearn.metrics.cluster._supervised.normalized_mutual_info_score",
    "sklearn.metrics.cluster._supervised.rand_score",
    "sklearn.metrics.cluster._supervised.v_measure_score",
    "sklearn.model_selection._search_successive_halving._refit_callable",
    "sklearn.model_selection._split.GroupKFold",
    "sklearn.model_selection._split.GroupShuffleSplit",
    "sklearn.model_selection._split.KFold",
    "sklearn.model_selection._split.LeaveOneGroupOut",
    "sklearn.model_selection._split.LeaveOneOut",
    "sklearn.model_selection._split.LeavePGroupsOut",
    "sklearn.model_selection._split.LeavePOut",
    "sklearn.model_selection._split.PredefinedSplit",
    "sklearn.model_selection._split.RepeatedKFold",
    "sklearn.model_selection._split.RepeatedStratifiedKFold",
    "sklearn.model_selection._split.ShuffleSplit",
    "sklearn.model_selection._split.StratifiedGroupKFold",
    "sklearn.model_selection._split.StratifiedKFold",
    "sklearn.model_selection._split.StratifiedShuffleSplit",
    "sklearn.model_selection._split.TimeSeriesSplit",
    "sklearn.model_selection._split._CVIterableWrapper",
    "sklearn.utils._metadata_requests.MetadataRequest",
    "sklearn.utils._metadata_requests.MethodMetadataRequest",
    "sklearn.utils._metadata_requests.MethodMapping",
    "sklearn.utils._metadata_requests.MethodPair",
    "sklearn.utils._metadata_requests.MetadataRouter",
    "sklearn.utils._metadata_requests.RouterMappingPair",
];

/// A classifier of two classes that predicts one of them where its score reaches a threshold.
#[derive(Debug)]
pub(super) struct Threshold {
    /// The classifier.
    pub member: Member,
    /// Its classes.
    pub labels: Labels,
    /// What is compared: `predict_proba` or `decision_function`.
    pub method: Method,
    /// What the score has to reach.
    pub threshold: f64,
    /// The class whose score it is.
    pub positive: usize,
}

impl Threshold {
    fn decode(item: &Item<'_>) -> Result<Threshold, FrontendError> {
        let inner = item.find("estimator_")?.map_or_else(|| item.get("estimator"), Ok)?;
        let member = Member::decode(&inner)?;
        let labels = match members::classes(&inner)? {
            Some(labels) if labels.count() == 2 => labels,
            _ => return Err(inconsistent(&inner, "not a classifier of two classes")),
        };
        let wanted = item.get("response_method")?;
        let known = [Method::PredictProba, Method::DecisionFunction];
        let wanted = wanted.as_str()?;
        let fits = |method: &Method| (wanted == "auto" || wanted == method.name()) && member.offers(*method);
        let Some(method) = known.into_iter().find(fits) else {
            return Err(unsupported(item, format!("response_method={wanted:?}, which its estimator does not have")));
        };
        let threshold = match item.find("best_threshold_")? {
            Some(threshold) => threshold.as_f64()?,
            None => match item.get("threshold")? {
                auto if auto.as_str() == Ok("auto") && method == Method::PredictProba => 0.5,
                auto if auto.as_str() == Ok("auto") => 0.0,
                threshold => threshold.as_f64()?,
            },
        };
        let positive = match item.find("pos_label")?.filter(|label| !label.is_none()) {
            None => 1,
            Some(label) => labels.position_of(&label)?,
        };
        Ok(Threshold { member, labels, method, threshold, positive })
    }
}

impl Estimator for Threshold {
    fn features(&self) -> usize {
        self.member.estimator.features()
    }

    fn methods(&self) -> &'static [Method] {
        self.member.estimator.methods()
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        if method != Method::Predict {
            return self.member.estimator.lower(graph, &self.member.path, method, x);
        }
        let score = self.member.answer(graph, self.method, x)?;
        let mut at = At { graph, path };
        let score = at.numbers(score)?;
        let score = match (self.method, self.positive) {
            (Method::PredictProba, class) => at.column(score, class)?,
            (_, 0) => at.unary(UnaryKind::Neg, score)?,
            _ => score,
        };
        // The second class where its score reaches the threshold, or that of the first one does not.
        let kind = if self.positive == 1 { CompareKind::GreaterOrEqual } else { CompareKind::Less };
        let second = at.compare(kind, score, self.threshold)?;
        Ok(vec![at.second_where(&self.labels, second)?])
    }

    fn needs(&self, _path: &str, after: &Needs) -> Result<Needs, FrontendError> {
        self.member.estimator.needs(&self.member.path, after)
    }
}
