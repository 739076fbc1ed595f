//! Covariance functions of Gaussian processes: `sklearn.gaussian_process.kernels`.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::pairwise_distance::Metric;
use ekiben_runtime::ops::reduce::ReduceKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers_or_one};
use super::formula::Formula;
use super::unsupported;
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::TensorId;

/// The classes that [`Covariance::decode`] reads.
pub(super) const CLASSES: &[&str] = &[
    "sklearn.gaussian_process.kernels.ConstantKernel",
    "sklearn.gaussian_process.kernels.WhiteKernel",
    "sklearn.gaussian_process.kernels.RBF",
    "sklearn.gaussian_process.kernels.Matern",
    "sklearn.gaussian_process.kernels.RationalQuadratic",
    "sklearn.gaussian_process.kernels.ExpSineSquared",
    "sklearn.gaussian_process.kernels.DotProduct",
    "sklearn.gaussian_process.kernels.Sum",
    "sklearn.gaussian_process.kernels.Product",
    "sklearn.gaussian_process.kernels.Exponentiation",
];

/// A covariance function of two rows x and y.
#[derive(Debug, Clone, PartialEq)]
pub enum Covariance {
    /// A number.
    Constant(f64),
    /// A number where both are the same sample, which a new sample and a training sample are not; else 0.
    White(f64),
    /// A function of the distance d of x and y, their columns divided by the length scales.
    Stationary(Vec<f64>, Profile),
    /// `(1 + |x - y|² / (2 alpha length²))` to the power of `-alpha`.
    RationalQuadratic {
        /// Power.
        alpha: f64,
        /// Length scale.
        length: f64,
    },
    /// `exp(-2 (sin(pi |x - y| / period) / length)²)`.
    ExpSineSquared {
        /// Length scale.
        length: f64,
        /// Period.
        period: f64,
    },
    /// `x · y + sigma²`.
    DotProduct(f64),
    /// The sum of two.
    Sum(Box<[Covariance; 2]>),
    /// The product of two.
    Product(Box<[Covariance; 2]>),
    /// To the power of a number.
    Power(Box<Covariance>, f64),
}

/// How a covariance falls with the distance d.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// `exp(-d² / 2)`, of the squared distance.
    Gaussian,
    /// Matérn, nu = 1/2: `exp(-d)`.
    Half,
    /// Matérn, nu = 3/2: `(1 + k) exp(-k)` with `k = sqrt(3) d`.
    ThreeHalves,
    /// Matérn, nu = 5/2: `(1 + k + k² / 3) exp(-k)` with `k = sqrt(5) d`.
    FiveHalves,
    /// Matérn, nu infinite: `exp(-d² / 2)`, of the distance.
    Smooth,
}

/// What a covariance comes to: one number, or one for each element.
#[derive(Clone, Copy)]
enum Term {
    Number(f64),
    Tensor(TensorId),
}

/// Parts of a covariance function at most.
const MOST_PARTS: usize = 16;

impl Covariance {
    /// Decodes a kernel for rows of `features` columns.
    pub(super) fn decode(item: &Item<'_>, features: usize) -> Result<Covariance, FrontendError> {
        let mut left = MOST_PARTS;
        Covariance::part(item, features, &mut left)
    }

    fn part(item: &Item<'_>, features: usize, left: &mut usize) -> Result<Covariance, FrontendError> {
        *left = left.checked_sub(1).ok_or_else(|| unsupported(item, format!("more than {MOST_PARTS} kernels")))?;
        let number = |name: &str| Ok::<f64, FrontendError>(item.get(name)?.as_f64()?);
        let lengths = || numbers_or_one(&item.get("length_scale")?, features);
        let one_length = || Ok::<f64, FrontendError>(numbers_or_one(&item.get("length_scale")?, 1)?[0]);
        let mut both = || {
            let first = Covariance::part(&item.get("k1")?, features, left)?;
            Ok::<_, FrontendError>(Box::new([first, Covariance::part(&item.get("k2")?, features, left)?]))
        };
        let class = item.class()?;
        Ok(match class.rsplit('.').next() {
            Some("ConstantKernel") => Covariance::Constant(number("constant_value")?),
            Some("WhiteKernel") => Covariance::White(number("noise_level")?),
            Some("RBF") => Covariance::Stationary(lengths()?, Profile::Gaussian),
            Some("Matern") => {
                let nu = number("nu")?;
                let profile = match nu {
                    0.5 => Profile::Half,
                    1.5 => Profile::ThreeHalves,
                    2.5 => Profile::FiveHalves,
                    f64::INFINITY => Profile::Smooth,
                    _ => return Err(unsupported(item, format!("nu={nu}; use 0.5, 1.5, 2.5 or inf"))),
                };
                Covariance::Stationary(lengths()?, profile)
            }
            Some("RationalQuadratic") => {
                Covariance::RationalQuadratic { alpha: number("alpha")?, length: one_length()? }
            }
            Some("ExpSineSquared") => {
                Covariance::ExpSineSquared { length: one_length()?, period: number("periodicity")? }
            }
            Some("DotProduct") => Covariance::DotProduct(number("sigma_0")?),
            Some("Sum") => Covariance::Sum(both()?),
            Some("Product") => Covariance::Product(both()?),
            Some("Exponentiation") => {
                let base = Covariance::part(&item.get("kernel")?, features, left)?;
                Covariance::Power(Box::new(base), number("exponent")?)
            }
            _ => return Err(unsupported(item, "this kernel is not read")),
        })
    }

    /// The covariance of each row of `x` and each of `points`: `[N, points]`.
    pub(super) fn lower(&self, f: &mut Formula<'_>, x: TensorId, points: &Matrix) -> Result<TensorId, FrontendError> {
        let term = self.term(f, x, points)?;
        let zeros = Matrix::new(points.rows, points.columns, vec![0.0; points.values.len()]);
        spread(f, term, |f| f.product(x, "zero", &zeros, None))
    }

    /// The covariance of each row of `x` and itself: `[N, 1]`.
    pub(super) fn diagonal(&self, f: &mut Formula<'_>, x: TensorId) -> Result<TensorId, FrontendError> {
        let term = self.own(f, x)?;
        let zeros = Matrix::new(1, f.columns(x), vec![0.0; f.columns(x)]);
        spread(f, term, |f| f.product(x, "zero", &zeros, None))
    }

    fn term(&self, f: &mut Formula<'_>, x: TensorId, points: &Matrix) -> Result<Term, FrontendError> {
        const NAME: &str = "X_train_";
        let euclidean = |f: &mut Formula<'_>| f.distances(Metric::Euclidean, 0.0, x, NAME, points);
        Ok(Term::Tensor(match self {
            Covariance::Constant(value) => return Ok(Term::Number(*value)),
            Covariance::White(_) => return Ok(Term::Number(0.0)),
            Covariance::Stationary(lengths, profile) => {
                let x = f.with(BinaryKind::Div, x, "length_scale", lengths)?;
                let mut points = points.clone();
                for row in points.values.chunks_exact_mut(lengths.len()) {
                    row.iter_mut().zip(lengths).for_each(|(x, length)| *x /= length);
                }
                profile.lower(f, x, &points)?
            }
            Covariance::RationalQuadratic { alpha, length } => {
                let squares = f.distances(Metric::SquaredEuclidean, 0.0, x, NAME, points)?;
                let scaled = f.scalar(BinaryKind::Div, squares, 2.0 * alpha * (length * length))?;
                let base = f.scalar(BinaryKind::Add, scaled, 1.0)?;
                f.scalar(BinaryKind::Pow, base, -alpha)?
            }
            Covariance::ExpSineSquared { length, period } => {
                let distances = euclidean(f)?;
                let angles = f.scalar(BinaryKind::Mul, distances, std::f64::consts::PI / period)?;
                let sines = f.unary(UnaryKind::Sin, angles)?;
                let scaled = f.scalar(BinaryKind::Div, sines, *length)?;
                let squares = f.unary(UnaryKind::Square, scaled)?;
                let powers = f.scalar(BinaryKind::Mul, squares, -2.0)?;
                f.unary(UnaryKind::Exp, powers)?
            }
            Covariance::DotProduct(sigma) => {
                let products = f.product(x, NAME, points, None)?;
                f.scalar(BinaryKind::Add, products, sigma * sigma)?
            }
            Covariance::Sum(parts) | Covariance::Product(parts) => {
                let (a, b) = (parts[0].term(f, x, points)?, parts[1].term(f, x, points)?);
                return combined(f, self.kind(), a, b);
            }
            Covariance::Power(base, exponent) => {
                let base = base.term(f, x, points)?;
                return raised(f, base, *exponent);
            }
        }))
    }

    fn own(&self, f: &mut Formula<'_>, x: TensorId) -> Result<Term, FrontendError> {
        Ok(match self {
            Covariance::Constant(value) | Covariance::White(value) => Term::Number(*value),
            Covariance::Stationary(..) | Covariance::RationalQuadratic { .. } | Covariance::ExpSineSquared { .. } => {
                Term::Number(1.0)
            }
            Covariance::DotProduct(sigma) => {
                let squares = f.reduce(ReduceKind::SumSquare, x, 1, true)?;
                Term::Tensor(f.scalar(BinaryKind::Add, squares, sigma * sigma)?)
            }
            Covariance::Sum(parts) | Covariance::Product(parts) => {
                let (a, b) = (parts[0].own(f, x)?, parts[1].own(f, x)?);
                combined(f, self.kind(), a, b)?
            }
            Covariance::Power(base, exponent) => {
                let base = base.own(f, x)?;
                raised(f, base, *exponent)?
            }
        })
    }

    fn kind(&self) -> BinaryKind {
        if matches!(self, Covariance::Sum(_)) { BinaryKind::Add } else { BinaryKind::Mul }
    }
}

/// A tensor of `term`: a number is added to the zeros that `zeros` gives.
fn spread(
    f: &mut Formula<'_>,
    term: Term,
    zeros: impl FnOnce(&mut Formula<'_>) -> Result<TensorId, FrontendError>,
) -> Result<TensorId, FrontendError> {
    match term {
        Term::Tensor(tensor) => Ok(tensor),
        Term::Number(number) => {
            let zeros = zeros(f)?;
            f.scalar(BinaryKind::Add, zeros, number)
        }
    }
}

/// `a kind b`, for sums and products.
fn combined(f: &mut Formula<'_>, kind: BinaryKind, a: Term, b: Term) -> Result<Term, FrontendError> {
    Ok(match (a, b) {
        (Term::Number(a), Term::Number(b)) if kind == BinaryKind::Add => Term::Number(a + b),
        (Term::Number(a), Term::Number(b)) => Term::Number(a * b),
        (Term::Tensor(tensor), Term::Number(number)) | (Term::Number(number), Term::Tensor(tensor)) => {
            Term::Tensor(f.scalar(kind, tensor, number)?)
        }
        (Term::Tensor(a), Term::Tensor(b)) => Term::Tensor(f.binary(kind, a, b)?),
    })
}

/// `base` to the power of `exponent`; a square is a product, as in numpy.
fn raised(f: &mut Formula<'_>, base: Term, exponent: f64) -> Result<Term, FrontendError> {
    Ok(match base {
        Term::Number(base) => Term::Number(libm::pow(base, exponent)),
        Term::Tensor(base) if exponent == 2.0 => Term::Tensor(f.unary(UnaryKind::Square, base)?),
        Term::Tensor(base) => Term::Tensor(f.scalar(BinaryKind::Pow, base, exponent)?),
    })
}

impl Profile {
    fn lower(self, f: &mut Formula<'_>, x: TensorId, points: &Matrix) -> Result<TensorId, FrontendError> {
        let metric = if self == Profile::Gaussian { Metric::SquaredEuclidean } else { Metric::Euclidean };
        let distances = f.distances(metric, 0.0, x, "X_train_", points)?;
        let fall = |f: &mut Formula<'_>, k: TensorId| {
            let negated = f.unary(UnaryKind::Neg, k)?;
            f.unary(UnaryKind::Exp, negated)
        };
        match self {
            Profile::Gaussian => {
                let halves = f.scalar(BinaryKind::Mul, distances, -0.5)?;
                f.unary(UnaryKind::Exp, halves)
            }
            Profile::Half => fall(f, distances),
            Profile::ThreeHalves => {
                let k = f.scalar(BinaryKind::Mul, distances, 3f64.sqrt())?;
                let factor = f.scalar(BinaryKind::Add, k, 1.0)?;
                let fallen = fall(f, k)?;
                f.mul(factor, fallen)
            }
            Profile::FiveHalves => {
                let k = f.scalar(BinaryKind::Mul, distances, 5f64.sqrt())?;
                let factor = f.scalar(BinaryKind::Add, k, 1.0)?;
                let square = f.unary(UnaryKind::Square, k)?;
                let third = f.scalar(BinaryKind::Div, square, 3.0)?;
                let factor = f.add(factor, third)?;
                let fallen = fall(f, k)?;
                f.mul(factor, fallen)
            }
            Profile::Smooth => {
                let square = f.unary(UnaryKind::Square, distances)?;
                let halves = f.scalar(BinaryKind::Div, square, 2.0)?;
                fall(f, halves)
            }
        }
    }
}
