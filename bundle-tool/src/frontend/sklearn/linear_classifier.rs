//! Linear classifiers: scores `x · coefᵀ + intercept`, and where the model has probabilities, a link to them.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers_or_one};
use super::formula::Formula;
use super::{Estimator, Family, Features, Labels, Method, inconsistent, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Linear classifiers.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.linear_model._logistic.LogisticRegression",
        "sklearn.linear_model._logistic.LogisticRegressionCV",
        "sklearn.linear_model._ridge.RidgeClassifier",
        "sklearn.linear_model._ridge.RidgeClassifierCV",
        SGD,
        "sklearn.linear_model._perceptron.Perceptron",
        "sklearn.linear_model._passive_aggressive.PassiveAggressiveClassifier",
        "sklearn.svm._classes.LinearSVC",
    ],
    carried: &[
        "sklearn.preprocessing._label.LabelBinarizer",
        "sklearn.linear_model._sgd_fast.Hinge",
        "sklearn.linear_model._sgd_fast.SquaredHinge",
        "sklearn.linear_model._sgd_fast.ModifiedHuber",
        "sklearn.linear_model._sgd_fast.Log",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfBinomialLoss",
    ],
    decode: |item| Ok(Box::new(LinearClassifier::decode(item)?)),
};

const SGD: &str = "sklearn.linear_model._stochastic_gradient.SGDClassifier";

/// How scores become probabilities. With one row of coefficients there is one score `s`, for the second of two classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Not at all.
    None,
    /// The logistic function of each score: `[1 - p, p]` for one score; for several, divided by their sum.
    Logistic {
        /// Equal shares where the sum is 0, as scikit-learn gives from 1.8 on; before, NaN.
        evens: bool,
    },
    /// Softmax of the scores; of `[-s, s]` for one score.
    Softmax,
    /// `(clip(s, -1, 1) + 1) / 2`: `[1 - p, p]` for one score; for several, divided by their sum, equal shares where it is 0.
    ModifiedHuber,
}

/// A linear classifier. The label predicted is that of the largest score (the first of equal ones); of one score, the second
/// label where it is greater than 0.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearClassifier {
    /// A row of coefficients for each score.
    pub coefficients: Matrix,
    /// One for each row.
    pub intercepts: Vec<f64>,
    /// Two labels where there is one row, else one for each row.
    pub labels: Labels,
    /// Each row is a label of its own that a sample has or has not: the answer is `[N, rows]` of 0 and 1.
    pub multilabel: bool,
    /// How scores become probabilities.
    pub link: Link,
}

impl LinearClassifier {
    fn decode(item: &Item<'_>) -> Result<LinearClassifier, FrontendError> {
        let binarizer = item.find("_label_binarizer")?;
        let (classes, multilabel) = match &binarizer {
            Some(binarizer) => {
                (binarizer.get("classes_")?, binarizer.get("y_type_")?.as_str()?.starts_with("multilabel"))
            }
            None => (item.get("classes_")?, false),
        };
        let labels = Labels::decode(&classes)?;
        let coefficients = Matrix::decode_rows(&item.get("coef_")?)?;
        let rows = coefficients.rows;
        let expected = if labels.count() == 2 && !multilabel { 1 } else { labels.count() };
        if (labels.count() < 2 && !multilabel) || rows != expected {
            return Err(inconsistent(item, format!("{rows} rows of coefficients and {} classes", labels.count())));
        }
        Ok(LinearClassifier {
            intercepts: numbers_or_one(&item.get("intercept_")?, rows)?,
            coefficients,
            multilabel,
            link: link(item, labels.count())?,
            labels,
        })
    }
}

/// The link of a model of `classes` classes.
fn link(item: &Item<'_>, classes: usize) -> Result<Link, FrontendError> {
    let version = version(item)?;
    let logistic = Link::Logistic { evens: version >= (1, 8) };
    match item.class()? {
        SGD => Ok(match item.get("loss")?.as_str()? {
            "log" | "log_loss" => logistic,
            "modified_huber" => Link::ModifiedHuber,
            _ => Link::None,
        }),
        class if !class.contains("LogisticRegression") => Ok(Link::None),
        // `multi_class` chose it until scikit-learn 1.7; since 1.8 it is gone, and the number of classes chooses.
        _ => {
            let binary = if classes <= 2 { logistic } else { Link::Softmax };
            let multi_class = if version >= (1, 8) { None } else { item.find("multi_class")? };
            let Some(multi_class) = multi_class else { return Ok(binary) };
            match multi_class.as_str()? {
                "ovr" | "warn" => Ok(logistic),
                "multinomial" => Ok(Link::Softmax),
                "auto" | "deprecated" if item.get("solver")?.as_str()? == "liblinear" => Ok(logistic),
                "auto" | "deprecated" => Ok(binary),
                other => Err(unsupported(item, format!("multi_class={other:?}; use \"ovr\" or \"multinomial\""))),
            }
        }
    }
}

impl Estimator for LinearClassifier {
    fn features(&self) -> usize {
        self.coefficients.columns
    }

    fn methods(&self) -> &'static [Method] {
        match self.link {
            Link::None => &[Method::Predict, Method::DecisionFunction],
            _ => &[Method::Predict, Method::PredictProba, Method::PredictLogProba, Method::DecisionFunction],
        }
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        let scores = f.product(x, "coef_", &self.coefficients, Some(&self.intercepts))?;
        let is_single = self.coefficients.rows == 1;
        Ok(vec![match method {
            Method::DecisionFunction if is_single => f.flat(scores)?,
            Method::DecisionFunction => scores,
            Method::PredictProba => self.shares(&mut f, scores)?,
            Method::PredictLogProba => {
                let shares = self.shares(&mut f, scores)?;
                f.unary(UnaryKind::Log, shares)?
            }
            _ if self.multilabel => {
                let above = f.compare(CompareKind::Greater, scores, 0.0)?;
                f.cast(above, DType::I64)?
            }
            _ if is_single => f.label_above(&self.labels, scores, 0.0)?,
            _ => f.label_of_largest(&self.labels, scores)?,
        }])
    }
}

impl LinearClassifier {
    /// Probabilities of the labels.
    fn shares(&self, f: &mut Formula<'_>, scores: TensorId) -> Result<TensorId, FrontendError> {
        let is_single = self.coefficients.rows == 1;
        let (shares, evens) = match self.link {
            Link::None | Link::Softmax => {
                let signs = if is_single { f.with(BinaryKind::Mul, scores, "signs", &[-1.0, 1.0])? } else { scores };
                return f.softmax(signs);
            }
            Link::Logistic { evens } => (f.unary(UnaryKind::Sigmoid, scores)?, evens),
            Link::ModifiedHuber => {
                let clipped = f.clip(scores, -1.0, 1.0)?;
                let shifted = f.scalar(BinaryKind::Add, clipped, 1.0)?;
                (f.scalar(BinaryKind::Div, shifted, 2.0)?, true)
            }
        };
        if is_single { f.complemented(shares) } else { f.normalised(shares, evens) }
    }
}

/// `SGDOneClassSVM`.
pub(super) const ONE_CLASS: Family = Family {
    classes: &["sklearn.linear_model._stochastic_gradient.SGDOneClassSVM"],
    carried: &[],
    decode: |item| Ok(Box::new(LinearDetector::decode(item)?)),
};

/// A linear detector of outliers: `x · coef`, less an offset for `decision_function`; not below 0 is an inlier.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearDetector {
    /// One row.
    pub coefficients: Matrix,
    /// Taken off.
    pub offset: f64,
}

impl LinearDetector {
    fn decode(item: &Item<'_>) -> Result<LinearDetector, FrontendError> {
        let coefficients = Matrix::decode_rows(&item.get("coef_")?)?;
        if coefficients.rows != 1 {
            return Err(inconsistent(item, format!("{} rows of coefficients, 1 expected", coefficients.rows)));
        }
        let offset = numbers_or_one(&item.get("offset_")?, 1)?;
        Ok(LinearDetector { coefficients, offset: offset[0] })
    }
}

impl Estimator for LinearDetector {
    fn features(&self) -> usize {
        self.coefficients.columns
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict, Method::DecisionFunction, Method::ScoreSamples]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        let products = f.product(x, "coef_", &self.coefficients, None)?;
        let scores = f.scalar(BinaryKind::Sub, products, self.offset)?;
        Ok(vec![match method {
            Method::DecisionFunction => f.flat(scores)?,
            Method::ScoreSamples => {
                let scores = f.scalar(BinaryKind::Add, scores, self.offset)?;
                f.flat(scores)?
            }
            _ => {
                let inliers = f.inliers(scores)?;
                f.cast(inliers, DType::I32)?
            }
        }])
    }
}
