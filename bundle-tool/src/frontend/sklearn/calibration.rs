//! Calibrated classifiers: what classifiers answer, made into shares by functions that were fitted for it.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::isotonic::Isotonic;
use super::lowering::At;
use super::members::{self, Member, collect, offered};
use super::{Estimator, Family, Features, Labels, Method, Needs, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Calibrated classifiers.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.calibration.CalibratedClassifierCV"],
    carried: &[
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.calibration._TemperatureScaling",
    ],
    decode: |item| Ok(Box::new(Calibrated::decode(item)?)),
};

/// The mean of calibrated classifiers.
#[derive(Debug)]
pub(super) struct Calibrated {
    /// Columns of the input.
    pub features: usize,
    /// The classes.
    pub labels: Labels,
    /// The classifiers.
    pub parts: Vec<Part>,
}

/// A classifier with its calibration.
#[derive(Debug)]
pub(super) struct Part {
    /// The classifier.
    pub member: Member,
    /// What makes shares of its answers.
    pub calibration: Calibration,
}

/// What makes shares of a classifier's answers.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Calibration {
    /// A function of each column of the answers: the class whose share it gives, and the function. Of two classes there is one column, the
    /// second class's.
    Columns(Vec<(usize, Calibrator)>),
    /// Softmax of the logarithms of shares, or of scores, times this number.
    Temperature(f64),
}

/// A function from a classifier's answer to a share.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Calibrator {
    /// The logistic function of `-(a * x + b)`.
    Sigmoid {
        /// Slope.
        a: f64,
        /// Constant.
        b: f64,
    },
    /// An isotonic regression.
    Isotonic(Isotonic),
}

impl Calibrated {
    fn decode(item: &Item<'_>) -> Result<Calibrated, FrontendError> {
        let labels = Labels::decode(&item.get("classes_")?)?;
        let classifiers = item.get("calibrated_classifiers_")?;
        let parts = collect(classifiers.items()?.iter().map(|part| Part::decode(part, &labels)))?;
        if parts.is_empty() || labels.count() < 2 {
            return Err(inconsistent(&classifiers, "no classifiers, or fewer than two classes"));
        }
        let features = members::features(item, parts.iter().map(|part| &part.member))?;
        Ok(Calibrated { features, labels, parts })
    }
}

impl Part {
    fn decode(item: &Item<'_>, labels: &Labels) -> Result<Part, FrontendError> {
        let estimator = item.find("estimator")?.map_or_else(|| item.get("base_estimator"), Ok)?;
        let member = Member::decode(&estimator)?;
        if !member.offers(Method::DecisionFunction) && !member.offers(Method::PredictProba) {
            return Err(unsupported(&estimator, "a classifier without decision_function and predict_proba"));
        }
        // scikit-learn 0.22 and 0.23 write `calibrators_`.
        let list = item.find("calibrators")?.map_or_else(|| item.get("calibrators_"), Ok)?;
        let calibrators = list.items()?;
        if item.get("method")?.as_str()? == "temperature" {
            let [scaling] = calibrators.as_slice() else {
                return Err(inconsistent(&list, format!("{} temperatures", calibrators.len())));
            };
            let calibration = Calibration::Temperature(scaling.get("beta_")?.as_f64()?);
            return Ok(Part { member, calibration });
        }
        let classes = match (labels.count(), members::classes(&estimator)?) {
            (2, _) => vec![1],
            (count, None) => (0..count).collect(),
            (count, Some(known)) => {
                let positions = known.positions_in(labels);
                positions.ok_or_else(|| inconsistent(&estimator, format!("a label outside the {count} classes")))?
            }
        };
        if calibrators.len() != classes.len() {
            return Err(inconsistent(
                &list,
                format!("{} calibrators for {} classes", calibrators.len(), classes.len()),
            ));
        }
        let calibrators = calibrators.iter().map(Calibrator::decode).collect::<Result<Vec<_>, _>>()?;
        Ok(Part { member, calibration: Calibration::Columns(classes.into_iter().zip(calibrators).collect()) })
    }

    /// The shares `[N, classes]`.
    fn shares(&self, graph: &mut Graph, classes: usize, x: &Features) -> Result<TensorId, FrontendError> {
        let scores = self.member.offers(Method::DecisionFunction);
        let method = if scores { Method::DecisionFunction } else { Method::PredictProba };
        let answer = self.member.answer(graph, method, x)?;
        let mut at = At { graph, path: &self.member.path };
        let answer = at.numbers(answer)?;
        let answer = at.as_matrix(answer)?;
        let columns = match &self.calibration {
            Calibration::Temperature(beta) => return temperature(&mut at, *beta, scores, answer),
            Calibration::Columns(columns) => columns,
        };
        let answer = if !scores && classes == 2 { at.column(answer, 1)? } else { answer };
        if at.width(answer) != columns.len() {
            let reason = format!("{} columns of {} for {} calibrators", at.width(answer), method.name(), columns.len());
            return Err(FrontendError::malformed(at.path, reason));
        }
        let mut shares = Vec::new();
        for (index, (class, calibrator)) in columns.iter().enumerate() {
            let column = at.column(answer, index)?;
            shares.push((*class, calibrator.apply(&mut at, column)?));
        }
        let shares = if let (2, [(_, share)]) = (classes, shares.as_slice()) {
            at.pair(*share)?
        } else {
            let zero = at.everywhere(answer, &[0.0])?;
            let of = |class: usize| shares.iter().find(|(c, _)| *c == class).map_or(zero, |(_, share)| *share);
            let all = at.side_by_side(&(0..classes).map(of).collect::<Vec<_>>())?;
            let sum = at.sum_of_rows(all)?;
            let shares = at.binary(BinaryKind::Div, all, sum)?;
            // Of no share at all each class gets the same.
            let something = at.compare(CompareKind::NotEqual, sum, 0.0)?;
            let same = at.row(&[1.0 / classes as f64])?;
            at.select(something, shares, same)?
        };
        // Rounding can leave a share a little above 1.
        at.with(BinaryKind::Min, shares, 1.0)
    }
}

/// Softmax of `beta` times the logits that `answer` is, or that are made of it.
fn temperature(at: &mut At<'_>, beta: f64, scores: bool, answer: TensorId) -> Result<TensorId, FrontendError> {
    /// What scikit-learn adds to shares before it takes logarithms.
    const LEAST: f64 = 1e-12;
    let logits = if scores && at.width(answer) == 1 {
        let signs = at.row(&[-1.0, 1.0])?;
        at.binary(BinaryKind::Mul, answer, signs)?
    } else if scores {
        answer
    } else {
        let shares = at.with(BinaryKind::Add, answer, LEAST)?;
        at.unary(UnaryKind::Log, shares)?
    };
    let logits = at.with(BinaryKind::Mul, logits, beta)?;
    at.softmax(logits)
}

impl Calibrator {
    fn decode(item: &Item<'_>) -> Result<Calibrator, FrontendError> {
        match item.class()? {
            "sklearn.calibration._SigmoidCalibration" => {
                Ok(Calibrator::Sigmoid { a: item.get("a_")?.as_f64()?, b: item.get("b_")?.as_f64()? })
            }
            "sklearn.isotonic.IsotonicRegression" => Isotonic::decode(item).map(Calibrator::Isotonic),
            _ => Err(unsupported(item, "a calibrator of another kind; use \"sigmoid\" or \"isotonic\"")),
        }
    }

    /// The share of each element of `x`, `[N, 1]`.
    fn apply(&self, at: &mut At<'_>, x: TensorId) -> Result<TensorId, FrontendError> {
        match self {
            Calibrator::Isotonic(isotonic) => isotonic.apply(at, x),
            Calibrator::Sigmoid { a, b } => {
                let x = at.with(BinaryKind::Mul, x, *a)?;
                let x = at.with(BinaryKind::Add, x, *b)?;
                let x = at.unary(UnaryKind::Neg, x)?;
                at.unary(UnaryKind::Sigmoid, x)
            }
        }
    }
}

impl Estimator for Calibrated {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        offered(true, false, false)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let classes = self.labels.count();
        let shares = self.parts.iter().map(|part| part.shares(&mut *graph, classes, x));
        let shares = shares.collect::<Result<Vec<_>, _>>()?;
        let mut at = At { graph, path };
        let sum = at.sum(&shares)?;
        let mean = at.with(BinaryKind::Div, sum, shares.len() as f64)?;
        if method == Method::PredictProba {
            return Ok(vec![mean]);
        }
        let index = at.largest(mean, false)?;
        Ok(vec![at.label(&self.labels, index)?])
    }

    fn needs(&self, path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        members::needs(self.parts.iter().map(|part| &part.member), path)
    }
}
