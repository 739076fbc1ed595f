//! Features by kernels: kernels with known points, random features that stand for a kernel.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::reduce::ReduceKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers, vector};
use super::formula::Formula;
use super::normalizer::features_or_any;
use super::transformer::Transformer;
use super::{Family, Features, PairwiseKernel, inconsistent, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `KernelPCA`.
pub(super) const KERNEL_PCA: Family = Family {
    classes: &["sklearn.decomposition._kernel_pca.KernelPCA"],
    carried: &[],
    decode: |item| Ok(Box::new(KernelProjection::decode_pca(item)?)),
};

/// `KernelCenterer`.
pub(super) const CENTERER: Family = Family {
    classes: &["sklearn.preprocessing._data.KernelCenterer"],
    carried: &[],
    decode: |item| Ok(Box::new(Centre::decode(item)?)),
};

/// `AdditiveChi2Sampler`.
pub(super) const ADDITIVE: Family = Family {
    classes: &["sklearn.kernel_approximation.AdditiveChi2Sampler"],
    carried: &[],
    decode: |item| Ok(Box::new(AdditiveFeatures::decode(item)?)),
};

/// `Nystroem`.
pub(super) const NYSTROEM: Family = Family {
    classes: &["sklearn.kernel_approximation.Nystroem"],
    carried: &[],
    decode: |item| Ok(Box::new(KernelProjection::decode_nystroem(item)?)),
};

/// `RBFSampler` and `SkewedChi2Sampler`.
pub(super) const SAMPLERS: Family = Family {
    classes: &["sklearn.kernel_approximation.RBFSampler", "sklearn.kernel_approximation.SkewedChi2Sampler"],
    carried: &[],
    decode: |item| Ok(Box::new(RandomFeatures::decode(item)?)),
};

/// `KernelCenterer`: kernels become those of points around the training data's mean.
#[derive(Debug, Clone, PartialEq)]
pub struct Centre {
    /// The mean of the training data's kernels with each point.
    pub rows: Vec<f64>,
    /// The mean of all of them.
    pub all: f64,
}

impl Centre {
    fn decode(item: &Item<'_>) -> Result<Centre, FrontendError> {
        let rows = vector(&item.get("K_fit_rows_")?)?;
        if rows.is_empty() {
            return Err(inconsistent(item, "no kernels"));
        }
        Ok(Centre { rows, all: item.get("K_fit_all_")?.as_f64()? })
    }

    fn lower(&self, formula: &mut Formula<'_>, kernels: TensorId) -> Result<TensorId, FrontendError> {
        let sums = formula.reduce(ReduceKind::Sum, kernels, 1, true)?;
        let means = formula.scalar(BinaryKind::Div, sums, self.rows.len() as f64)?;
        let kernels = formula.with(BinaryKind::Sub, kernels, "K_fit_rows_", &self.rows)?;
        let kernels = formula.sub(kernels, means)?;
        formula.scalar(BinaryKind::Add, kernels, self.all)
    }
}

impl Transformer for Centre {
    fn width(&self) -> usize {
        self.rows.len()
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let (mut formula, x) = Formula::new(graph, path, &Features::of(x))?;
        self.lower(&mut formula, x)
    }
}

/// Kernels with points, centred or not, projected.
#[derive(Debug, Clone, PartialEq)]
pub struct KernelProjection {
    /// The kernel.
    pub kernel: PairwiseKernel,
    /// The points.
    pub points: Matrix,
    /// What the kernels are centred by.
    pub centre: Option<Centre>,
    /// A row for each column of the result.
    pub weights: Matrix,
}

impl KernelProjection {
    /// `eigenvalues_` and `eigenvectors_` were `lambdas_` and `alphas_` before scikit-learn 1.0; newer releases have `gamma_`.
    fn decode_pca(item: &Item<'_>) -> Result<KernelProjection, FrontendError> {
        let points = item.get("X_fit_")?;
        if points.class().is_ok() {
            return Err(unsupported(&points, "fitted on a sparse matrix; fit on a numpy array"));
        }
        let points = Matrix::decode(&points)?;
        let either = |new: &str, old: &str| match item.find(new)? {
            Some(found) => Ok::<Item<'_>, FrontendError>(found),
            None => Ok(item.get(old)?),
        };
        let vectors = either("eigenvectors_", "alphas_")?;
        let matrix = Matrix::decode(&vectors)?;
        let values = numbers(&either("eigenvalues_", "lambdas_")?, matrix.columns)?;
        if matrix.rows != points.rows {
            return Err(inconsistent(&vectors, format!("{} rows for {} points", matrix.rows, points.rows)));
        }
        let scaled = matrix.values.chunks_exact(matrix.columns).flat_map(|row| {
            row.iter().zip(&values).map(|(x, value)| if *value == 0.0 { 0.0 } else { x / value.sqrt() })
        });
        let weights = Matrix { rows: matrix.rows, columns: matrix.columns, values: scaled.collect() };
        let centre = Centre::decode(&item.get("_centerer")?)?;
        if centre.rows.len() != points.rows {
            return Err(inconsistent(
                item,
                format!("means of {} kernels for {} points", centre.rows.len(), points.rows),
            ));
        }
        let kernel = PairwiseKernel::decode(item, points.columns, |name| {
            let fitted = if name == "gamma" { item.find("gamma_")? } else { None };
            let value = match fitted {
                Some(value) => value,
                None => item.get(name)?,
            };
            Ok(if value.is_none() { None } else { Some(value.as_f64()?) })
        })?;
        Ok(KernelProjection { kernel, points, centre: Some(centre), weights: weights.transposed() })
    }

    fn decode_nystroem(item: &Item<'_>) -> Result<KernelProjection, FrontendError> {
        let points = Matrix::decode(&item.get("components_")?)?;
        let normalization = item.get("normalization_")?;
        let weights = Matrix::decode(&normalization)?;
        if weights.columns != points.rows {
            return Err(inconsistent(
                &normalization,
                format!("{} columns for {} points", weights.columns, points.rows),
            ));
        }
        let kernel = PairwiseKernel::decode(item, points.columns, |name| {
            let value = item.get(name)?;
            if !value.is_none() {
                return Ok(Some(value.as_f64()?));
            }
            let parameters = item.get("kernel_params")?;
            let value = if parameters.is_none() { None } else { parameters.find(name)? };
            Ok(value.map(|value| value.as_f64()).transpose()?)
        })?;
        Ok(KernelProjection { kernel, points, centre: None, weights })
    }
}

impl Transformer for KernelProjection {
    fn width(&self) -> usize {
        self.points.columns
    }

    fn results(&self) -> usize {
        self.weights.rows
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let (mut formula, x) = Formula::new(graph, path, &Features::of(x))?;
        let mut kernels = self.kernel.lower(&mut formula, x, &self.points)?;
        if let Some(centre) = &self.centre {
            kernels = centre.lower(&mut formula, kernels)?;
        }
        formula.product(kernels, "weights", &self.weights, None)
    }
}

/// `cos(x · weights + offset) * scale`, of `ln(x + skewedness)` where there is one.
#[derive(Debug, Clone, PartialEq)]
pub struct RandomFeatures {
    /// Added to `x`, whose logarithm is then taken.
    pub skewedness: Option<f64>,
    /// A row for each column of the result.
    pub weights: Matrix,
    /// Added to the products.
    pub offset: Vec<f64>,
    /// What the cosines are multiplied by.
    pub scale: f64,
}

impl RandomFeatures {
    fn decode(item: &Item<'_>) -> Result<RandomFeatures, FrontendError> {
        let weights = Matrix::decode(&item.get("random_weights_")?)?.transposed();
        let offset = numbers(&item.get("random_offset_")?, weights.rows)?;
        let is_skewed = item.class()?.ends_with("SkewedChi2Sampler");
        let skewedness = if is_skewed { Some(item.get("skewedness")?.as_f64()?) } else { None };
        let count = item.get("n_components")?.as_usize()? as f64;
        // The formula of RBFSampler is another one since 1.2.
        let is_root_of_quotient = !is_skewed && version(item)? >= (1, 2);
        let scale = if is_root_of_quotient { (2.0 / count).sqrt() } else { 2f64.sqrt() / count.sqrt() };
        Ok(RandomFeatures { skewedness, weights, offset, scale })
    }
}

impl Transformer for RandomFeatures {
    fn width(&self) -> usize {
        self.weights.columns
    }

    fn results(&self) -> usize {
        self.weights.rows
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let (mut formula, mut x) = Formula::new(graph, path, &Features::of(x))?;
        if let Some(skewedness) = self.skewedness {
            x = formula.scalar(BinaryKind::Add, x, skewedness)?;
            x = formula.unary(UnaryKind::Log, x)?;
        }
        let projection = formula.product(x, "random_weights_", &self.weights, None)?;
        let projection = formula.with(BinaryKind::Add, projection, "random_offset_", &self.offset)?;
        let cosines = formula.unary(UnaryKind::Cos, projection)?;
        formula.scalar(BinaryKind::Mul, cosines, self.scale)
    }
}

/// Samples of the additive chi-squared kernel's spectrum: `sqrt(x L)`, then for each further step `j` the columns
/// `sqrt(2 x L / cosh(pi j L))` times cosine and sine of `j L ln x`. They are 0 where `x` is.
#[derive(Debug, Clone, PartialEq)]
pub struct AdditiveFeatures {
    /// Columns of the input.
    pub features: usize,
    /// Number of samples, the one at 0 included.
    pub steps: usize,
    /// Distance of samples, `L`.
    pub interval: f64,
}

impl AdditiveFeatures {
    fn decode(item: &Item<'_>) -> Result<AdditiveFeatures, FrontendError> {
        /// Columns of the result at most.
        const MOST_COLUMNS: usize = 1 << 18;
        let steps = item.get("sample_steps")?.as_usize()?;
        let fitted = match item.find("sample_interval_")? {
            Some(interval) => interval,
            None => item.get("sample_interval")?,
        };
        // Where the parameter is not given, the number of steps chooses.
        let interval = match (fitted.is_none(), steps) {
            (false, _) => fitted.as_f64()?,
            (true, 1) => 0.8,
            (true, 2) => 0.5,
            (true, 3) => 0.4,
            (true, _) => return Err(fitted.wrong("an interval, needed for this number of steps").into()),
        };
        let features = features_or_any(item)?;
        if features == 0 || steps == 0 {
            return Err(unsupported(
                item,
                "the file does not say how many columns it takes; scikit-learn 0.23 and newer do",
            ));
        }
        if features.saturating_mul(steps) > MOST_COLUMNS / 2 {
            return Err(unsupported(item, format!("{steps} steps of {features} columns, which is too much")));
        }
        Ok(AdditiveFeatures { features, steps, interval })
    }
}

impl Transformer for AdditiveFeatures {
    fn width(&self) -> usize {
        self.features
    }

    fn results(&self) -> usize {
        self.features.saturating_mul(2 * self.steps - 1)
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let (mut formula, x) = Formula::new(graph, path, &Features::of(x))?;
        let is_zero = formula.compare(CompareKind::Equal, x, 0.0)?;
        let zero = formula.constant("zero", &[1], &[0.0])?;
        let first = formula.scalar(BinaryKind::Mul, x, self.interval)?;
        let first = formula.unary(UnaryKind::Sqrt, first)?;
        let mut parts = vec![formula.select(is_zero, zero, first)?];
        let logarithm = formula.unary(UnaryKind::Log, x)?;
        let logarithm = formula.scalar(BinaryKind::Mul, logarithm, self.interval)?;
        let twice = formula.scalar(BinaryKind::Mul, x, 2.0)?;
        let twice = formula.scalar(BinaryKind::Mul, twice, self.interval)?;
        for step in 1..self.steps {
            let angle = std::f64::consts::PI * step as f64 * self.interval;
            let size = formula.scalar(BinaryKind::Div, twice, angle.cosh())?;
            let size = formula.unary(UnaryKind::Sqrt, size)?;
            let phase = formula.scalar(BinaryKind::Mul, logarithm, step as f64)?;
            for kind in [UnaryKind::Cos, UnaryKind::Sin] {
                let wave = formula.unary(kind, phase)?;
                let wave = formula.mul(size, wave)?;
                parts.push(formula.select(is_zero, zero, wave)?);
            }
        }
        formula.join(&parts)
    }
}
