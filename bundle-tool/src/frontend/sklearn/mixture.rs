//! Mixtures of normal distributions.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::reduce::ReduceKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers, numbers_or_one, vector};
use super::formula::Formula;
use super::{Estimator, Family, Features, Method, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Mixtures of normal distributions.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.mixture._gaussian_mixture.GaussianMixture", BAYESIAN],
    carried: &[],
    decode: |item| Ok(Box::new(Mixture::decode(item)?)),
};

const BAYESIAN: &str = "sklearn.mixture._bayesian_mixture.BayesianGaussianMixture";

/// A mixture: the logarithm of a component's density, its weight taken in, is `-(constant + distance) / 2 + terms[0] + terms[1] + …`.
#[derive(Debug, Clone, PartialEq)]
pub struct Mixture {
    /// Means of the components.
    pub means: Matrix,
    /// Cholesky factors of the precisions.
    pub precisions: Precisions,
    /// Added to each component, one after the other.
    pub terms: Vec<Vec<f64>>,
}

/// Factors whose products with their transposes are the inverses of the covariances.
#[derive(Debug, Clone, PartialEq)]
pub enum Precisions {
    /// One for each component.
    Full(Vec<Matrix>),
    /// One for all.
    Tied(Matrix),
    /// A row of diagonal elements for each component.
    Diagonal(Matrix),
    /// A number for each component.
    Spherical(Vec<f64>),
}

impl Mixture {
    fn decode(item: &Item<'_>) -> Result<Mixture, FrontendError> {
        let means = Matrix::decode(&item.get("means_")?)?;
        let precisions = Precisions::decode(item, means.rows, means.columns)?;
        let mut terms = vec![precisions.log_determinants(means.rows, means.columns)];
        if item.class()? == BAYESIAN {
            terms.extend(bayesian_terms(item, means.rows, means.columns)?);
        } else {
            terms.push(numbers(&item.get("weights_")?, means.rows)?.into_iter().map(libm::log).collect());
        }
        Ok(Mixture { means, precisions, terms })
    }
}

impl Precisions {
    fn decode(item: &Item<'_>, count: usize, features: usize) -> Result<Precisions, FrontendError> {
        let attribute = item.get("precisions_cholesky_")?;
        match item.get("covariance_type")?.as_str()? {
            "full" => {
                let array = attribute.array()?;
                if array.shape() != [count, features, features] {
                    let message = format!("factors of shape {:?} for {count} components", array.shape());
                    return Err(inconsistent(&attribute, message));
                }
                let values = array.f64s()?;
                let matrices = values.chunks_exact(features * features);
                let matrices = matrices.map(|values| Matrix::new(features, features, values.to_vec()));
                Ok(Precisions::Full(matrices.collect()))
            }
            "tied" => Ok(Precisions::Tied(Matrix::decode(&attribute)?.sized(&attribute, features, features)?)),
            "diag" => Ok(Precisions::Diagonal(Matrix::decode(&attribute)?.sized(&attribute, count, features)?)),
            "spherical" => Ok(Precisions::Spherical(numbers(&attribute, count)?)),
            other => Err(unsupported(item, format!("covariance_type={other:?}"))),
        }
    }

    /// Half the logarithm of the determinant of each component's precision.
    fn log_determinants(&self, count: usize, features: usize) -> Vec<f64> {
        let diagonal = |matrix: &Matrix| matrix.values.iter().step_by(features + 1).map(|&x| libm::log(x)).sum();
        match self {
            Precisions::Full(matrices) => matrices.iter().map(diagonal).collect(),
            Precisions::Tied(matrix) => vec![diagonal(matrix); count],
            Precisions::Diagonal(rows) => {
                rows.row_slices().map(|row| row.iter().map(|&x| libm::log(x)).sum()).collect()
            }
            Precisions::Spherical(factors) => factors.iter().map(|&x| features as f64 * libm::log(x)).collect(),
        }
    }

    /// Squared distances of `x` to the means in units of the deviations: `[N, components]`.
    fn distances(&self, f: &mut Formula<'_>, x: TensorId, means: &Matrix) -> Result<TensorId, FrontendError> {
        let (count, features) = (means.rows, means.columns);
        let row = |k: usize| Matrix::new(1, features, means.row(k).to_vec());
        match self {
            Precisions::Full(matrices) => {
                let axes = matrices.iter().flat_map(|matrix| matrix.transposed().values).collect();
                let centres = matrices.iter().enumerate().flat_map(|(k, matrix)| row(k).times(matrix).values);
                let centres: Vec<f64> = centres.collect();
                let along =
                    f.product(x, "precisions_cholesky_", &Matrix::new(count * features, features, axes), None)?;
                let along = f.with(BinaryKind::Sub, along, "means_", &centres)?;
                let along = f.reshape(along, &[count, features])?;
                f.reduce(ReduceKind::SumSquare, along, 2, false)
            }
            Precisions::Tied(matrix) => {
                let along = f.product(x, "precisions_cholesky_", &matrix.transposed(), None)?;
                let along = f.reshape(along, &[1, features])?;
                let centres = f.matrix("means_", &means.times(matrix))?;
                let along = f.sub(along, centres)?;
                f.reduce(ReduceKind::SumSquare, along, 2, false)
            }
            Precisions::Diagonal(factors) => {
                let precisions: Vec<f64> = factors.values.iter().map(|x| x * x).collect();
                let squares = means.values.iter().zip(&precisions).map(|(mean, precision)| mean * mean * precision);
                let squares: Vec<f64> = squares.collect();
                let sums = squares.chunks_exact(features).map(|row| row.iter().sum());
                let weights = means.values.iter().zip(&precisions).map(|(mean, precision)| mean * precision);
                let weights = Matrix::new(count, features, weights.collect());
                let precisions = Matrix::new(count, features, precisions);
                let own = f.unary(UnaryKind::Square, x)?;
                let own = f.product(own, "precisions_", &precisions, None)?;
                completed_square(f, x, &sums.collect::<Vec<f64>>(), &weights, own)
            }
            Precisions::Spherical(factors) => {
                let precisions: Vec<f64> = factors.iter().map(|x| x * x).collect();
                let sums = means.squared_norms().into_iter().zip(&precisions).map(|(norm, precision)| norm * precision);
                let weights = means.row_slices().zip(&precisions);
                let weights = weights.flat_map(|(row, precision)| row.iter().map(move |mean| mean * precision));
                let weights = Matrix::new(count, features, weights.collect());
                let own = f.reduce(ReduceKind::SumSquare, x, 1, true)?;
                let own = f.with(BinaryKind::Mul, own, "precisions_", &precisions)?;
                completed_square(f, x, &sums.collect::<Vec<f64>>(), &weights, own)
            }
        }
    }
}

/// `sums - 2 x · weightsᵀ + own`.
fn completed_square(
    f: &mut Formula<'_>,
    x: TensorId,
    sums: &[f64],
    weights: &Matrix,
    own: TensorId,
) -> Result<TensorId, FrontendError> {
    let mixed = f.product(x, "means_", weights, None)?;
    let mixed = f.scalar(BinaryKind::Mul, mixed, -2.0)?;
    let rest = f.with(BinaryKind::Add, mixed, "sums", sums)?;
    f.add(rest, own)
}

/// The terms of a variational mixture: expectations of logarithms under its posterior.
fn bayesian_terms(item: &Item<'_>, count: usize, features: usize) -> Result<Vec<Vec<f64>>, FrontendError> {
    let freedom = numbers_or_one(&item.get("degrees_of_freedom_")?, count)?;
    let precision = numbers_or_one(&item.get("mean_precision_")?, count)?;
    let features = features as f64;
    let normed = freedom.iter().map(|&freedom| -(0.5 * features * libm::log(freedom))).collect();
    let spread = freedom.iter().zip(&precision).map(|(&freedom, precision)| {
        let sum = (0..features as usize).fold(0.0, |sum, axis| sum + digamma(0.5 * (freedom - axis as f64)));
        0.5 * (features * std::f64::consts::LN_2 + sum - features / precision)
    });
    let concentration = item.get("weight_concentration_")?;
    let kind = item.get("weight_concentration_prior_type")?;
    let weights = match kind.as_str()? {
        "dirichlet_process" => {
            let (a, b) = (numbers(&concentration.at(0)?, count)?, numbers(&concentration.at(1)?, count)?);
            let mut before = 0.0;
            let weight = |(&a, &b): (&f64, &f64)| {
                let whole = digamma(a + b);
                let log = digamma(a) - whole + before;
                before += digamma(b) - whole;
                log
            };
            a.iter().zip(&b).map(weight).collect()
        }
        "dirichlet_distribution" => {
            let values = vector(&concentration)?;
            let whole = digamma(values.iter().sum());
            numbers(&concentration, count)?.iter().map(|&value| digamma(value) - whole).collect()
        }
        other => return Err(unsupported(item, format!("weight_concentration_prior_type={other:?}"))),
    };
    Ok(vec![normed, spread.collect(), weights])
}

/// The derivative of the logarithm of the gamma function, for positive x; else NaN. Recurrence up to 16, then the asymptotic
/// series (Abramowitz and Stegun, 6.3.5 and 6.3.18).
fn digamma(x: f64) -> f64 {
    /// Bernoulli numbers over twice their index.
    const SERIES: [f64; 7] =
        [1.0 / 12.0, -1.0 / 120.0, 1.0 / 252.0, -1.0 / 240.0, 5.0 / 660.0, -691.0 / 32760.0, 1.0 / 12.0];
    if x.is_nan() || x <= 0.0 {
        return f64::NAN;
    }
    let (mut x, mut below) = (x, 0.0);
    while x < 16.0 {
        below += 1.0 / x;
        x += 1.0;
    }
    let square = 1.0 / (x * x);
    let series = SERIES.iter().rev().fold(0.0, |sum, term| (sum + term) * square);
    libm::log(x) - 0.5 / x - series - below
}

impl Estimator for Mixture {
    fn features(&self) -> usize {
        self.means.columns
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict, Method::PredictProba, Method::ScoreSamples]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        let distances = self.precisions.distances(&mut f, x, &self.means)?;
        let constant = self.means.columns as f64 * libm::log(2.0 * std::f64::consts::PI);
        let sums = f.scalar(BinaryKind::Add, distances, constant)?;
        let mut logs = f.scalar(BinaryKind::Mul, sums, -0.5)?;
        for term in &self.terms {
            logs = f.with(BinaryKind::Add, logs, "log_density", term)?;
        }
        if method == Method::Predict {
            let component = f.largest(logs)?;
            return Ok(vec![f.cast(component, DType::I64)?]);
        }
        let total = f.log_sum_exp(logs)?;
        if method == Method::ScoreSamples {
            return Ok(vec![f.flat(total)?]);
        }
        let shares = f.sub(logs, total)?;
        Ok(vec![f.unary(UnaryKind::Exp, shares)?])
    }
}

#[cfg(test)]
mod tests {
    use super::digamma;

    #[test]
    fn digamma_at_known_places() {
        let euler = 0.577_215_664_901_532_9;
        for (x, expected) in [
            (1.0, -euler),
            (0.5, -euler - 2.0 * std::f64::consts::LN_2),
            (2.0, 1.0 - euler),
            (10.0, 2.251_752_589_066_721),
            (1e6, 13.815_510_057_964_191),
        ] {
            assert!((digamma(x) - expected).abs() < 4e-15 * expected.abs().max(1.0), "{x}: {}", digamma(x));
        }
        assert!([0.0, -1.0, f64::NAN, f64::NEG_INFINITY].into_iter().all(|x| digamma(x).is_nan()));
    }
}
