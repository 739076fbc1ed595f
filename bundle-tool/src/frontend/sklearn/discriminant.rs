//! Linear and quadratic discriminant analysis.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::reduce::ReduceKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers, numbers_or_one, vector};
use super::formula::Formula;
use super::{Estimator, Family, Features, Labels, Method, inconsistent, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `LinearDiscriminantAnalysis`.
pub(super) const LINEAR: Family = Family {
    classes: &["sklearn.discriminant_analysis.LinearDiscriminantAnalysis"],
    carried: &[],
    decode: |item| Ok(Box::new(LinearDiscriminant::decode(item)?)),
};

/// `QuadraticDiscriminantAnalysis`.
pub(super) const QUADRATIC: Family = Family {
    classes: &["sklearn.discriminant_analysis.QuadraticDiscriminantAnalysis"],
    carried: &[],
    decode: |item| Ok(Box::new(QuadraticDiscriminant::decode(item)?)),
};

/// Linear discriminant analysis: a linear classifier, and a projection.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearDiscriminant {
    /// A row of coefficients for each score: one for two classes.
    pub coefficients: Matrix,
    /// One for each row.
    pub intercepts: Vec<f64>,
    /// The labels.
    pub labels: Labels,
    /// What `transform` does, for the solvers that have it.
    pub projection: Option<Projection>,
    /// The logarithm of a probability of 0 is that of the smallest normal number, from scikit-learn 0.24 on; before, minus infinity.
    pub finite_logs: bool,
}

/// `(x - mean) · scalingsᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub struct Projection {
    /// Taken off each column, for the solver "svd".
    pub mean: Option<Vec<f64>>,
    /// A row of factors for each column that comes out.
    pub scalings: Matrix,
}

/// Stands for a probability of 0 when its logarithm is taken: numpy's `smallest_normal`.
const SMALLEST: f64 = f64::MIN_POSITIVE;

impl LinearDiscriminant {
    fn decode(item: &Item<'_>) -> Result<LinearDiscriminant, FrontendError> {
        let labels = Labels::decode(&item.get("classes_")?)?;
        let coefficients = Matrix::decode_rows(&item.get("coef_")?)?;
        let expected = if labels.count() == 2 { 1 } else { labels.count() };
        if labels.count() < 2 || coefficients.rows != expected {
            let rows = coefficients.rows;
            return Err(inconsistent(item, format!("{rows} rows of coefficients and {} classes", labels.count())));
        }
        let intercepts = numbers_or_one(&item.get("intercept_")?, expected)?;
        let solver = item.get("solver")?;
        let projection = match solver.as_str()? {
            "lsqr" => None,
            solver @ ("svd" | "eigen") => Some(Projection::decode(item, coefficients.columns, solver == "svd")?),
            other => return Err(unsupported(item, format!("solver={other:?}"))),
        };
        Ok(LinearDiscriminant { coefficients, intercepts, labels, projection, finite_logs: version(item)? >= (0, 24) })
    }
}

impl Projection {
    fn decode(item: &Item<'_>, features: usize, centred: bool) -> Result<Projection, FrontendError> {
        let attribute = item.get("scalings_")?;
        let scalings = Matrix::decode(&attribute)?.transposed();
        let kept = item.get("_max_components")?.as_usize()?.min(scalings.rows);
        if scalings.columns != features || kept == 0 {
            return Err(inconsistent(&attribute, format!("{kept} components of {} columns", scalings.columns)));
        }
        let values = scalings.values.into_iter().take(kept * features).collect();
        let mean = if centred { Some(numbers(&item.get("xbar_")?, features)?) } else { None };
        Ok(Projection { mean, scalings: Matrix::new(kept, features, values) })
    }
}

impl Estimator for LinearDiscriminant {
    fn features(&self) -> usize {
        self.coefficients.columns
    }

    fn methods(&self) -> &'static [Method] {
        const ALL: &[Method] = &[
            Method::Predict,
            Method::PredictProba,
            Method::PredictLogProba,
            Method::DecisionFunction,
            Method::Transform,
        ];
        if self.projection.is_some() { ALL } else { &ALL[..4] }
    }

    fn transformed(&self) -> Option<usize> {
        self.projection.as_ref().map(|projection| projection.scalings.rows)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        if let (Some(projection), Method::Transform) = (&self.projection, method) {
            let x = match &projection.mean {
                Some(mean) => f.with(BinaryKind::Sub, x, "xbar_", mean)?,
                None => x,
            };
            return Ok(vec![f.product(x, "scalings_", &projection.scalings, None)?]);
        }
        let scores = f.product(x, "coef_", &self.coefficients, Some(&self.intercepts))?;
        let is_single = self.coefficients.rows == 1;
        Ok(vec![match method {
            Method::DecisionFunction if is_single => f.flat(scores)?,
            Method::DecisionFunction => scores,
            Method::PredictProba => self.shares(&mut f, scores)?,
            Method::PredictLogProba => {
                let mut shares = self.shares(&mut f, scores)?;
                if self.finite_logs {
                    let zero = f.compare(CompareKind::Equal, shares, 0.0)?;
                    let least = f.constant("smallest_normal", &[1], &[SMALLEST])?;
                    shares = f.select(zero, least, shares)?;
                }
                f.unary(UnaryKind::Log, shares)?
            }
            _ if is_single => f.label_above(&self.labels, scores, 0.0)?,
            _ => f.label_of_largest(&self.labels, scores)?,
        }])
    }
}

impl LinearDiscriminant {
    fn shares(&self, f: &mut Formula<'_>, scores: TensorId) -> Result<TensorId, FrontendError> {
        if self.coefficients.rows > 1 {
            return f.softmax(scores);
        }
        let shares = f.unary(UnaryKind::Sigmoid, scores)?;
        f.complemented(shares)
    }
}

/// Quadratic discriminant analysis: a score for each class,
/// `-(sum of ((x - mean) · axes)² + log_scale) / 2 + log_prior`.
#[derive(Debug, Clone, PartialEq)]
pub struct QuadraticDiscriminant {
    /// The classes' densities, in the order of the labels.
    pub classes: Vec<Density>,
    /// `ln` of the classes' shares.
    pub log_priors: Vec<f64>,
    /// The labels.
    pub labels: Labels,
    /// Logarithms of probabilities are computed first and probabilities from them: from scikit-learn 1.6 on.
    pub logs_first: bool,
}

/// A normal distribution.
#[derive(Debug, Clone, PartialEq)]
pub struct Density {
    /// Its mean.
    pub mean: Vec<f64>,
    /// A row for each axis, divided by the standard deviation along it.
    pub axes: Matrix,
    /// Sum of the logarithms of the variances.
    pub log_scale: f64,
}

impl QuadraticDiscriminant {
    fn decode(item: &Item<'_>) -> Result<QuadraticDiscriminant, FrontendError> {
        let labels = Labels::decode(&item.get("classes_")?)?;
        let means = Matrix::decode(&item.get("means_")?)?;
        let count = labels.count();
        let (rotations, scalings) = (item.get("rotations_")?.items()?, item.get("scalings_")?.items()?);
        if count < 2 || means.rows != count || rotations.len() != count || scalings.len() != count {
            let (means, rotations) = (means.rows, rotations.len());
            return Err(inconsistent(item, format!("{count} classes, {means} means and {rotations} rotations")));
        }
        let density = |((rotation, scaling), mean): ((&Item<'_>, &Item<'_>), &[f64])| {
            let (axes, scales) = (Matrix::decode(rotation)?.transposed(), vector(scaling)?);
            let mut axes = axes.sized(rotation, scales.len(), mean.len())?;
            for (axis, scale) in axes.values.chunks_exact_mut(mean.len()).zip(&scales) {
                let factor = libm::pow(*scale, -0.5);
                axis.iter_mut().for_each(|x| *x *= factor);
            }
            let log_scale = scales.iter().map(|&scale| libm::log(scale)).sum();
            Ok(Density { mean: mean.to_vec(), axes, log_scale })
        };
        let classes = rotations.iter().zip(&scalings).zip(means.row_slices()).map(density);
        let priors = numbers(&item.get("priors_")?, count)?;
        Ok(QuadraticDiscriminant {
            classes: classes.collect::<Result<_, FrontendError>>()?,
            log_priors: priors.into_iter().map(libm::log).collect(),
            labels,
            logs_first: version(item)? >= (1, 6),
        })
    }
}

impl Estimator for QuadraticDiscriminant {
    fn features(&self) -> usize {
        self.classes.first().map_or(0, |class| class.mean.len())
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict, Method::PredictProba, Method::PredictLogProba, Method::DecisionFunction]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        let mut norms = Vec::with_capacity(self.classes.len());
        for class in &self.classes {
            let centred = f.with(BinaryKind::Sub, x, "means_", &class.mean)?;
            let along = f.product(centred, "rotations_", &class.axes, None)?;
            norms.push(f.reduce(ReduceKind::SumSquare, along, 1, true)?);
        }
        let norms = f.join(&norms)?;
        let scales: Vec<f64> = self.classes.iter().map(|class| class.log_scale).collect();
        let sums = f.with(BinaryKind::Add, norms, "scalings_", &scales)?;
        let halves = f.scalar(BinaryKind::Mul, sums, -0.5)?;
        let scores = f.with(BinaryKind::Add, halves, "priors_", &self.log_priors)?;
        Ok(vec![posterior(&mut f, &self.labels, method, scores, self.logs_first)?])
    }
}

/// What a classifier answers whose `scores`, one for each label, are logarithms of probabilities but for a constant. `decision_function` of two labels is
/// the difference of their scores.
pub(super) fn posterior(
    f: &mut Formula<'_>,
    labels: &Labels,
    method: Method,
    scores: TensorId,
    logs_first: bool,
) -> Result<TensorId, FrontendError> {
    match method {
        Method::Predict => return f.label_of_largest(labels, scores),
        Method::DecisionFunction if labels.count() == 2 => {
            let (first, second) = (f.column(scores, 0)?, f.column(scores, 1)?);
            let difference = f.sub(second, first)?;
            return f.flat(difference);
        }
        Method::DecisionFunction => return Ok(scores),
        _ => {}
    }
    let largest = f.reduce(ReduceKind::Max, scores, 1, true)?;
    let shifted = f.sub(scores, largest)?;
    let likelihoods = f.unary(UnaryKind::Exp, shifted)?;
    let sum = f.reduce(ReduceKind::Sum, likelihoods, 1, true)?;
    match (logs_first, method) {
        (false, _) => {
            let shares = f.div(likelihoods, sum)?;
            if method == Method::PredictProba { Ok(shares) } else { f.unary(UnaryKind::Log, shares) }
        }
        (true, _) => {
            let log = f.unary(UnaryKind::Log, sum)?;
            let logs = f.sub(shifted, log)?;
            if method == Method::PredictProba { f.unary(UnaryKind::Exp, logs) } else { Ok(logs) }
        }
    }
}
