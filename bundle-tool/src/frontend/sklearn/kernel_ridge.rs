//! Kernel ridge regression.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::pairwise_distance::Metric;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::Matrix;
use super::formula::Formula;
use super::{Distance, Estimator, Family, Features, Method, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `KernelRidge`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.kernel_ridge.KernelRidge"],
    carried: &[],
    decode: |item| Ok(Box::new(KernelRidge::decode(item)?)),
};

/// A kernel of two rows, as `sklearn.metrics.pairwise` has it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum PairwiseKernel {
    /// `x · y`.
    Linear,
    /// `(gamma x · y + coef0)` to the power of the degree.
    Polynomial {
        /// Factor.
        gamma: f64,
        /// Added.
        coef0: f64,
        /// Power.
        degree: f64,
    },
    /// `exp(-gamma |x - y|²)`, the square being `|x|² - 2 x · y + |y|²`.
    Gaussian {
        /// Factor.
        gamma: f64,
    },
    /// `exp(-gamma` times the sum of the absolute differences`)`.
    Laplacian {
        /// Factor.
        gamma: f64,
    },
    /// `tanh(gamma x · y + coef0)`.
    Sigmoid {
        /// Factor.
        gamma: f64,
        /// Added.
        coef0: f64,
    },
    /// The cosine of the angle.
    Cosine,
}

/// `k(x, samples) · weightsᵀ`.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelRidge {
    /// The kernel.
    pub kernel: PairwiseKernel,
    /// The training samples.
    pub samples: Matrix,
    /// A row of weights for each target.
    pub weights: Matrix,
    /// The answer is `[N]`, not `[N, targets]`.
    pub flat: bool,
}

impl KernelRidge {
    fn decode(item: &Item<'_>) -> Result<KernelRidge, FrontendError> {
        let samples = Matrix::decode(&item.get("X_fit_")?)?;
        let attribute = item.get("dual_coef_")?;
        let flat = attribute.array()?.shape().len() == 1;
        let weights = Matrix::decode_rows(&attribute)?;
        let weights = if flat { weights } else { weights.transposed() };
        let targets = weights.rows;
        let weights = weights.sized(&attribute, targets, samples.rows)?;
        let kernel = PairwiseKernel::decode(item, samples.columns, |name| {
            let parameter = item.get(name)?;
            Ok(if parameter.is_none() { None } else { Some(parameter.as_f64()?) })
        })?;
        Ok(KernelRidge { kernel, samples, weights, flat })
    }
}

impl PairwiseKernel {
    /// The kernel named by the attribute `kernel` of `item`; where `parameter` has none, gamma is `1 / features`, coef0 is 1 and the degree 3.
    pub(super) fn decode(
        item: &Item<'_>,
        features: usize,
        parameter: impl Fn(&str) -> Result<Option<f64>, FrontendError>,
    ) -> Result<PairwiseKernel, FrontendError> {
        let or = |name: &str, default: f64| Ok::<f64, FrontendError>(parameter(name)?.unwrap_or(default));
        let gamma = || or("gamma", 1.0 / features as f64);
        let coef0 = || or("coef0", 1.0);
        let attribute = item.get("kernel")?;
        Ok(match attribute.as_str() {
            Ok("linear") => PairwiseKernel::Linear,
            Ok("poly" | "polynomial") => {
                PairwiseKernel::Polynomial { gamma: gamma()?, coef0: coef0()?, degree: or("degree", 3.0)? }
            }
            Ok("rbf") => PairwiseKernel::Gaussian { gamma: gamma()? },
            Ok("laplacian") => PairwiseKernel::Laplacian { gamma: gamma()? },
            Ok("sigmoid") => PairwiseKernel::Sigmoid { gamma: gamma()?, coef0: coef0()? },
            Ok("cosine") => PairwiseKernel::Cosine,
            other => {
                let other = other.unwrap_or("a function");
                let known = "\"linear\", \"poly\", \"rbf\", \"laplacian\", \"sigmoid\" or \"cosine\"";
                return Err(unsupported(item, format!("kernel={other:?}; use {known}")));
            }
        })
    }

    /// The kernel of each row of `x` and each of `samples`: `[N, samples]`.
    pub(super) fn lower(self, f: &mut Formula<'_>, x: TensorId, samples: &Matrix) -> Result<TensorId, FrontendError> {
        let name = "X_fit_";
        let affine = |f: &mut Formula<'_>, gamma, coef0| {
            let products = f.product(x, name, samples, None)?;
            let scaled = f.scalar(BinaryKind::Mul, products, gamma)?;
            f.scalar(BinaryKind::Add, scaled, coef0)
        };
        let fall = |f: &mut Formula<'_>, distances: TensorId, gamma: f64| {
            let scaled = f.scalar(BinaryKind::Mul, distances, -gamma)?;
            f.unary(UnaryKind::Exp, scaled)
        };
        match self {
            PairwiseKernel::Linear => f.product(x, name, samples, None),
            PairwiseKernel::Polynomial { gamma, coef0, degree } => {
                let base = affine(f, gamma, coef0)?;
                match degree {
                    1.0 => Ok(base),
                    2.0 => f.unary(UnaryKind::Square, base),
                    _ => f.scalar(BinaryKind::Pow, base, degree),
                }
            }
            PairwiseKernel::Gaussian { gamma } => {
                let squares = f.expanded_distances(x, name, samples)?;
                fall(f, squares, gamma)
            }
            PairwiseKernel::Laplacian { gamma } => {
                let distances = f.distances(Metric::Manhattan, 0.0, x, name, samples)?;
                fall(f, distances, gamma)
            }
            PairwiseKernel::Sigmoid { gamma, coef0 } => {
                let scaled = affine(f, gamma, coef0)?;
                f.unary(UnaryKind::Tanh, scaled)
            }
            PairwiseKernel::Cosine => {
                let distances = Distance::Cosine.reduced(f, x, samples)?;
                let negated = f.unary(UnaryKind::Neg, distances)?;
                f.scalar(BinaryKind::Add, negated, 1.0)
            }
        }
    }
}

impl Estimator for KernelRidge {
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
        let kernels = self.kernel.lower(&mut f, x, &self.samples)?;
        let y = f.product(kernels, "dual_coef_", &self.weights, None)?;
        Ok(vec![if self.flat { f.flat(y)? } else { y }])
    }
}
