//! Gaussian processes: regression, and classification by Laplace's approximation.

use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::reduce::ReduceKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers, numbers_or_one};
use super::covariance_function::{CLASSES, Covariance};
use super::formula::Formula;
use super::{Estimator, Family, Features, Labels, Method, inconsistent, pairs, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `GaussianProcessRegressor`.
pub(super) const REGRESSOR: Family = Family {
    classes: &["sklearn.gaussian_process._gpr.GaussianProcessRegressor"],
    carried: CLASSES,
    decode: |item| Ok(Box::new(ProcessRegressor::decode(item)?)),
};

/// `GaussianProcessClassifier`.
pub(super) const CLASSIFIER: Family = Family {
    classes: &["sklearn.gaussian_process._gpc.GaussianProcessClassifier"],
    carried: &[
        BINARY,
        "sklearn.multiclass.OneVsRestClassifier",
        "sklearn.multiclass.OneVsOneClassifier",
        "sklearn.preprocessing._label.LabelBinarizer",
    ],
    decode: |item| Ok(Box::new(ProcessClassifier::decode(item)?)),
};

const BINARY: &str = "sklearn.gaussian_process._gpc._BinaryGaussianProcessClassifierLaplace";

/// Regression: `scale * (k(x, samples) · weightsᵀ) + mean`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessRegressor {
    /// The covariance function.
    pub covariance: Covariance,
    /// The training samples.
    pub samples: Matrix,
    /// A row of weights for each target.
    pub weights: Matrix,
    /// Standard deviation of each target.
    pub scale: Vec<f64>,
    /// Mean of each target.
    pub mean: Vec<f64>,
    /// The answer is `[N]`, not `[N, targets]`.
    pub flat: bool,
}

impl ProcessRegressor {
    fn decode(item: &Item<'_>) -> Result<ProcessRegressor, FrontendError> {
        let Some(samples) = item.find("X_train_")? else {
            return Err(unsupported(item, "a process that was not fitted"));
        };
        let samples = Matrix::decode(&samples)?;
        let attribute = item.get("alpha_")?;
        let is_vector = attribute.array()?.shape().len() == 1;
        let weights = Matrix::decode_rows(&attribute)?;
        let weights = if is_vector { weights } else { weights.transposed() };
        let targets = weights.rows;
        let weights = weights.sized(&attribute, targets, samples.rows)?;
        let optional = |name: &str, default: f64| match item.find(name)? {
            Some(values) => numbers_or_one(&values, targets),
            None => Ok(vec![default; targets]),
        };
        Ok(ProcessRegressor {
            covariance: Covariance::decode(&item.get("kernel_")?, samples.columns)?,
            scale: optional("_y_train_std", 1.0)?,
            mean: optional("_y_train_mean", 0.0)?,
            flat: is_vector || (targets == 1 && version(item)? >= (1, 1)),
            samples,
            weights,
        })
    }
}

impl Estimator for ProcessRegressor {
    fn features(&self) -> usize {
        self.samples.columns
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        let covariances = self.covariance.lower(&mut f, x, &self.samples)?;
        let y = f.product(covariances, "alpha_", &self.weights, None)?;
        let y = f.with(BinaryKind::Mul, y, "_y_train_std", &self.scale)?;
        let y = f.with(BinaryKind::Add, y, "_y_train_mean", &self.mean)?;
        Ok(vec![if self.flat { f.flat(y)? } else { y }])
    }
}

/// A classifier: one process for two classes, else one for each class or each pair.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessClassifier {
    /// The labels.
    pub labels: Labels,
    /// The processes.
    pub processes: Vec<BinaryProcess>,
    /// How they come together.
    pub together: Together,
}

/// How several processes come together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Together {
    /// There is one, for the second of two classes.
    Single,
    /// One for each class. The label is that of the most likely.
    OneVsRest {
        /// The last of equals wins: before scikit-learn 1.8.
        last: bool,
    },
    /// One for each pair of classes, for the second of the pair.
    OneVsOne,
}

/// A process for two classes.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryProcess {
    /// The covariance function.
    pub covariance: Covariance,
    /// The training samples.
    pub samples: Matrix,
    /// A row: the class of each training sample, less its probability.
    pub residuals: Matrix,
    /// Turns covariances with the training samples into what they take from the variance: a row for each training sample.
    pub reduction: Matrix,
}

impl ProcessClassifier {
    fn decode(item: &Item<'_>) -> Result<ProcessClassifier, FrontendError> {
        let labels = Labels::decode(&item.get("classes_")?)?;
        let base = item.get("base_estimator_")?;
        let count = labels.count();
        let (together, expected) = match base.class()?.rsplit('.').next() {
            Some("OneVsRestClassifier") => (Together::OneVsRest { last: version(item)? < (1, 8) }, count),
            Some("OneVsOneClassifier") => (Together::OneVsOne, count * (count - 1) / 2),
            _ => (Together::Single, 1),
        };
        let processes = match together {
            Together::Single => vec![BinaryProcess::decode(&base)?],
            _ => base.get("estimators_")?.items()?.iter().map(BinaryProcess::decode).collect::<Result<_, _>>()?,
        };
        let features = processes.first().map(|process| process.samples.columns);
        let is_alike = processes.iter().all(|process| Some(process.samples.columns) == features);
        if count < 2 || processes.len() != expected || !is_alike || (together == Together::Single && count != 2) {
            return Err(inconsistent(item, format!("{} processes for {count} classes", processes.len())));
        }
        Ok(ProcessClassifier { labels, processes, together })
    }
}

/// Training samples of a classifier at most: the compiler inverts a matrix of so many rows.
const MOST_SAMPLES: usize = 4096;

impl BinaryProcess {
    fn decode(item: &Item<'_>) -> Result<BinaryProcess, FrontendError> {
        if item.class()? != BINARY {
            return Err(unsupported(item, "a Gaussian process of two classes is needed here"));
        }
        let samples = Matrix::decode(&item.get("X_train_")?)?;
        let count = samples.rows;
        if count > MOST_SAMPLES {
            let reason = format!("{count} training samples; at most {MOST_SAMPLES} are supported");
            return Err(unsupported(item, reason));
        }
        let (classes, probabilities) = (numbers(&item.get("y_train_")?, count)?, numbers(&item.get("pi_")?, count)?);
        let residuals = classes.iter().zip(&probabilities).map(|(class, probability)| class - probability).collect();
        let roots = numbers(&item.get("W_sr_")?, count)?;
        let attribute = item.get("L_")?;
        let lower = Matrix::decode(&attribute)?.sized(&attribute, count, count)?;
        let mut reduction = inverse_of_lower(&lower);
        for row in reduction.values.chunks_exact_mut(count) {
            row.iter_mut().zip(&roots).for_each(|(x, root)| *x *= root);
        }
        Ok(BinaryProcess {
            covariance: Covariance::decode(&item.get("kernel_")?, samples.columns)?,
            residuals: Matrix::new(1, count, residuals),
            samples,
            reduction,
        })
    }

    /// Mean of the latent function, `[N, 1]`, and the covariances that it is made of. Above 0, the second class is more likely.
    fn mean(&self, f: &mut Formula<'_>, x: TensorId) -> Result<(TensorId, TensorId), FrontendError> {
        let covariances = self.covariance.lower(f, x, &self.samples)?;
        Ok((f.product(covariances, "residuals", &self.residuals, None)?, covariances))
    }

    /// Probability of the second class, `[N, 1]`: the integral over the latent function of the logistic function, written as a
    /// sum of five error functions (Williams and Barber, Bayesian Classification with Gaussian Processes, appendix A).
    fn probability(&self, f: &mut Formula<'_>, x: TensorId) -> Result<TensorId, FrontendError> {
        const SLOPES: [f64; 5] = [0.41, 0.4, 0.37, 0.44, 0.39];
        const FACTORS: [f64; 5] = [-1854.8214151, 3516.89893646, 221.29346712, 128.12323805, -2010.49422654];
        let (mean, covariances) = self.mean(f, x)?;
        let reductions = f.product(covariances, "reduction", &self.reduction, None)?;
        let reduction = f.reduce(ReduceKind::SumSquare, reductions, 1, true)?;
        let own = self.covariance.diagonal(f, x)?;
        let variance = f.sub(own, reduction)?;
        let double = f.scalar(BinaryKind::Mul, variance, 2.0)?;
        let alpha = f.unary(UnaryKind::Reciprocal, double)?;
        let gamma = f.with(BinaryKind::Mul, mean, "lambda", &SLOPES)?;
        let sums = f.with(BinaryKind::Add, alpha, "lambda_squared", &SLOPES.map(|slope| slope * slope))?;
        let ratios = f.div(alpha, sums)?;
        let roots = f.unary(UnaryKind::Sqrt, ratios)?;
        let arguments = f.mul(gamma, roots)?;
        let errors = f.unary(UnaryKind::Erf, arguments)?;
        let pi = f.constant("pi", &[1], &[std::f64::consts::PI])?;
        let width = f.div(pi, alpha)?;
        let width = f.unary(UnaryKind::Sqrt, width)?;
        let scaled = f.mul(errors, width)?;
        let norm = f.scalar(BinaryKind::Mul, double, std::f64::consts::PI)?;
        let norm = f.unary(UnaryKind::Sqrt, norm)?;
        let norm = f.scalar(BinaryKind::Mul, norm, 2.0)?;
        let integrals = f.div(scaled, norm)?;
        let weighted = f.with(BinaryKind::Mul, integrals, "coefficients", &FACTORS)?;
        let sum = f.reduce(ReduceKind::Sum, weighted, 1, true)?;
        f.scalar(BinaryKind::Add, sum, 0.5 * FACTORS.iter().sum::<f64>())
    }
}

/// The inverse of a lower triangular matrix, by columns of forward substitution. What is above the diagonal is not looked at.
fn inverse_of_lower(lower: &Matrix) -> Matrix {
    let count = lower.rows;
    let mut inverse = vec![0.0; count * count];
    for row in 0..count {
        let factors = &lower.values[row * count..(row + 1) * count];
        let (before, rest) = inverse.split_at_mut(row * count);
        let out = &mut rest[..count];
        out[row] = 1.0;
        for (factor, known) in factors.iter().zip(before.chunks_exact(count)) {
            out.iter_mut().zip(known).for_each(|(x, known)| *x -= factor * known);
        }
        out.iter_mut().for_each(|x| *x /= factors[row]);
    }
    Matrix::new(count, count, inverse)
}

impl Estimator for ProcessClassifier {
    fn features(&self) -> usize {
        self.processes.first().map_or(0, |process| process.samples.columns)
    }

    fn methods(&self) -> &'static [Method] {
        match self.together {
            Together::OneVsOne => &[Method::Predict],
            _ => &[Method::Predict, Method::PredictProba],
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
        if let (Together::Single, Method::Predict, [process]) = (self.together, method, self.processes.as_slice()) {
            let (mean, _) = process.mean(&mut f, x)?;
            return Ok(vec![f.label_above(&self.labels, mean, 0.0)?]);
        }
        let mut probabilities = Vec::with_capacity(self.processes.len());
        for process in &self.processes {
            probabilities.push(process.probability(&mut f, x)?);
        }
        let joined = f.join(&probabilities)?;
        Ok(vec![match (self.together, method) {
            (Together::Single, _) => f.complemented(joined)?,
            (Together::OneVsRest { .. }, Method::PredictProba) => f.normalised(joined, false)?,
            (Together::OneVsRest { last }, _) => {
                let (graph, path) = f.parts();
                let operator = ArgReduce { axis: 1, smallest: false, last, keep: false, wide: false };
                let index = graph.add(&format!("{path}/argmax"), operator, &[joined])?;
                f.pick(&self.labels, index)?
            }
            (Together::OneVsOne, _) => {
                let mut means = Vec::with_capacity(self.processes.len());
                for process in &self.processes {
                    means.push(process.mean(&mut f, x)?.0);
                }
                let means = f.join(&means)?;
                let first = f.compare(CompareKind::LessOrEqual, means, 0.0)?;
                let values = f.unary(UnaryKind::Neg, joined)?;
                let scores = pairs::one_vs_rest(&mut f, self.labels.count(), first, values)?;
                f.label_of_largest(&self.labels, scores)?
            }
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn triangles_are_inverted() {
        let lower = Matrix::new(3, 3, vec![2.0, 9.0, 9.0, 1.0, 4.0, 9.0, -1.0, 3.0, 0.5]);
        let clean = Matrix::new(3, 3, vec![2.0, 0.0, 0.0, 1.0, 4.0, 0.0, -1.0, 3.0, 0.5]);
        let product = clean.times(&inverse_of_lower(&lower));
        assert_eq!(product.values, [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]);
    }
}
