//! Linear regression of every kind: `x · coefᵀ + intercept`, and the inverse of a link where the model has one.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers_or_one};
use super::formula::Formula;
use super::{Estimator, Family, Features, Method, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Linear regression.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.linear_model._base.LinearRegression",
        "sklearn.linear_model._ridge.Ridge",
        "sklearn.linear_model._ridge.RidgeCV",
        "sklearn.linear_model._coordinate_descent.Lasso",
        "sklearn.linear_model._coordinate_descent.LassoCV",
        "sklearn.linear_model._coordinate_descent.ElasticNet",
        "sklearn.linear_model._coordinate_descent.ElasticNetCV",
        "sklearn.linear_model._coordinate_descent.MultiTaskLasso",
        "sklearn.linear_model._coordinate_descent.MultiTaskLassoCV",
        "sklearn.linear_model._coordinate_descent.MultiTaskElasticNet",
        "sklearn.linear_model._coordinate_descent.MultiTaskElasticNetCV",
        "sklearn.linear_model._least_angle.Lars",
        "sklearn.linear_model._least_angle.LarsCV",
        "sklearn.linear_model._least_angle.LassoLars",
        "sklearn.linear_model._least_angle.LassoLarsCV",
        "sklearn.linear_model._least_angle.LassoLarsIC",
        "sklearn.linear_model._omp.OrthogonalMatchingPursuit",
        "sklearn.linear_model._omp.OrthogonalMatchingPursuitCV",
        "sklearn.linear_model._bayes.BayesianRidge",
        "sklearn.linear_model._bayes.ARDRegression",
        "sklearn.linear_model._huber.HuberRegressor",
        "sklearn.linear_model._theil_sen.TheilSenRegressor",
        "sklearn.linear_model._quantile.QuantileRegressor",
        "sklearn.linear_model._stochastic_gradient.SGDRegressor",
        "sklearn.linear_model._passive_aggressive.PassiveAggressiveRegressor",
        "sklearn.svm._classes.LinearSVR",
        POISSON,
        GAMMA,
        TWEEDIE,
        GENERALISED,
    ],
    carried: &[
        "sklearn.linear_model._sgd_fast.SquaredLoss",
        "sklearn.linear_model._sgd_fast.Huber",
        "sklearn.linear_model._sgd_fast.EpsilonInsensitive",
        "sklearn.linear_model._sgd_fast.SquaredEpsilonInsensitive",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss._loss.CyHuberLoss",
        "sklearn._loss._loss.CyHalfPoissonLoss",
        "sklearn._loss._loss.CyHalfGammaLoss",
        "sklearn._loss._loss.CyHalfTweedieLoss",
        "sklearn._loss._loss.CyHalfTweedieLossIdentity",
        "_loss.CyHalfTweedieLossIdentity",
        "_loss.__pyx_unpickle_CyHalfTweedieLossIdentity",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfSquaredError",
        "sklearn._loss._loss.__pyx_unpickle_CyHuberLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfPoissonLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfGammaLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfTweedieLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfTweedieLossIdentity",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn._loss.loss.HalfTweedieLossIdentity",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.glm_distribution.TweedieDistribution",
        "sklearn._loss.glm_distribution.PoissonDistribution",
        "sklearn._loss.glm_distribution.GammaDistribution",
        "sklearn._loss.glm_distribution.DistributionBoundary",
        "sklearn.linear_model._glm.link.IdentityLink",
        "sklearn.linear_model._glm.link.LogLink",
    ],
    decode: |item| Ok(Box::new(LinearRegression::decode(item)?)),
};

const POISSON: &str = "sklearn.linear_model._glm.glm.PoissonRegressor";
const GAMMA: &str = "sklearn.linear_model._glm.glm.GammaRegressor";
const TWEEDIE: &str = "sklearn.linear_model._glm.glm.TweedieRegressor";
const GENERALISED: &str = "sklearn.linear_model._glm.glm.GeneralizedLinearRegressor";

/// `RANSACRegressor`: what it answers is what its estimator answers.
pub(super) const RANSAC: Family = Family {
    classes: &["sklearn.linear_model._ransac.RANSACRegressor"],
    carried: &[],
    decode: |item| Ok(Box::new(Ransac::decode(item)?)),
};

/// A linear regression.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearRegression {
    /// A row of coefficients for each target.
    pub coefficients: Matrix,
    /// One for each target.
    pub intercepts: Vec<f64>,
    /// The answer is `[N]`, not `[N, targets]`.
    pub flat: bool,
    /// The answer is e to the power of the linear one.
    pub is_log: bool,
}

impl LinearRegression {
    fn decode(item: &Item<'_>) -> Result<LinearRegression, FrontendError> {
        let coef = item.get("coef_")?;
        let coefficients = Matrix::decode_rows(&coef)?;
        let flat = coef.array().is_ok_and(|array| array.shape().len() == 1);
        Ok(LinearRegression {
            intercepts: numbers_or_one(&item.get("intercept_")?, coefficients.rows)?,
            coefficients,
            flat,
            is_log: is_log(item)?,
        })
    }
}

/// Whether a generalised linear model has the logarithm as its link.
fn is_log(item: &Item<'_>) -> Result<bool, FrontendError> {
    let class = item.class()?;
    match class {
        POISSON | GAMMA => return Ok(true),
        TWEEDIE | GENERALISED => {}
        _ => return Ok(false),
    }
    let Some(link) = item.find("link")? else { return Ok(false) };
    match link.as_str()? {
        "log" => Ok(true),
        "identity" => Ok(false),
        "auto" if class == TWEEDIE => Ok(item.get("power")?.as_f64()? > 0.0),
        other => Err(unsupported(item, format!("link={other:?}; use \"log\" or \"identity\""))),
    }
}

impl Estimator for LinearRegression {
    fn features(&self) -> usize {
        self.coefficients.columns
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
        let mut y = f.product(x, "coef_", &self.coefficients, Some(&self.intercepts))?;
        if self.is_log {
            y = f.unary(UnaryKind::Exp, y)?;
        }
        Ok(vec![if self.flat { f.flat(y)? } else { y }])
    }
}

/// A regressor fitted to the samples that are no outliers.
#[derive(Debug)]
pub struct Ransac {
    /// The regressor.
    pub estimator: Box<dyn Estimator>,
    /// Where in the file it is.
    pub path: String,
}

impl Ransac {
    fn decode(item: &Item<'_>) -> Result<Ransac, FrontendError> {
        let inner = item.get("estimator_")?;
        let estimator = super::decode(&inner)?;
        if !estimator.methods().contains(&Method::Predict) {
            return Err(inconsistent(&inner, "it does not predict"));
        }
        Ok(Ransac { estimator, path: inner.path() })
    }
}

impl Estimator for Ransac {
    fn features(&self) -> usize {
        self.estimator.features()
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        _path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        self.estimator.lower(graph, &self.path, method, x)
    }
}

/// `PLSRegression`, `PLSCanonical`, `CCA` and `PLSSVD`.
pub(super) const PLS: Family = Family {
    classes: &[
        "sklearn.cross_decomposition._pls.PLSRegression",
        "sklearn.cross_decomposition._pls.PLSCanonical",
        "sklearn.cross_decomposition._pls.CCA",
        "sklearn.cross_decomposition._pls.PLSSVD",
        "sklearn.cross_decomposition._pls_.PLSRegression",
        "sklearn.cross_decomposition._pls_.PLSCanonical",
        "sklearn.cross_decomposition._cca.CCA",
        "sklearn.cross_decomposition._pls.PLS",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(PartialLeastSquares::decode(item)?)),
};

/// Partial least squares: columns are centred, divided by `scale`, and multiplied.
#[derive(Debug, Clone, PartialEq)]
pub struct PartialLeastSquares {
    /// Taken off each column.
    pub mean: Vec<f64>,
    /// Each column is divided by it.
    pub scale: Vec<f64>,
    /// A row of factors for each component that `transform` gives.
    pub rotations: Matrix,
    /// `predict`, where there is one.
    pub regression: Option<PlsRegression>,
}

/// What partial least squares predict.
#[derive(Debug, Clone, PartialEq)]
pub struct PlsRegression {
    /// A row of coefficients for each target.
    pub coefficients: Matrix,
    /// One for each target.
    pub intercepts: Vec<f64>,
    /// The coefficients are for columns that are divided by the scale; before scikit-learn 1.5.
    pub scaled: bool,
    /// The answer is `[N]`, not `[N, targets]`.
    pub flat: bool,
}

impl PartialLeastSquares {
    fn decode(item: &Item<'_>) -> Result<PartialLeastSquares, FrontendError> {
        let named = |new: &str, old: &str| match item.find(new)? {
            Some(found) => Ok::<_, FrontendError>(found),
            None => Ok(item.get(old)?),
        };
        let has_predict = !item.class()?.ends_with("SVD");
        let rotations = match item.find("x_rotations_")? {
            Some(rotations) if has_predict => Matrix::decode(&rotations)?,
            _ => Matrix::decode(&item.get("x_weights_")?)?,
        };
        let features = rotations.rows;
        let column = |values: Vec<f64>| match values.len() {
            length if length == features => Ok(values),
            length => Err(inconsistent(item, format!("{features} columns with {length} means or scales"))),
        };
        let mean = column(named("_x_mean", "x_mean_")?.array()?.f64s()?)?;
        let scale = column(named("_x_std", "x_std_")?.array()?.f64s()?)?;
        let regression = if has_predict { Some(PlsRegression::decode(item, features, &named)?) } else { None };
        Ok(PartialLeastSquares { mean, scale, rotations: rotations.transposed(), regression })
    }
}

impl PlsRegression {
    fn decode<'d>(
        item: &Item<'d>,
        features: usize,
        named: &dyn Fn(&str, &str) -> Result<Item<'d>, FrontendError>,
    ) -> Result<PlsRegression, FrontendError> {
        let version = super::version(item)?;
        // Until 1.0 `coef_` held a column for each target; 1.1 and 1.2 keep that as a property, and rows under another name.
        let coefficients = match item.find("_coef_")? {
            Some(coefficients) => Matrix::decode(&coefficients)?,
            None if version < (1, 1) => Matrix::decode(&item.get("coef_")?)?.transposed(),
            None => Matrix::decode(&item.get("coef_")?)?,
        };
        let targets = coefficients.rows;
        let coefficients = coefficients.sized(item, targets, features)?;
        let intercept = match item.find("intercept_")? {
            Some(intercept) => intercept,
            None => named("_y_mean", "y_mean_")?,
        };
        let flat = match item.find("_predict_1d")? {
            Some(flat) => flat.as_bool()?,
            None => false,
        };
        if flat && targets != 1 {
            return Err(inconsistent(item, format!("one target expected, {targets} found")));
        }
        let intercepts = numbers_or_one(&intercept, targets)?;
        Ok(PlsRegression { coefficients, intercepts, scaled: version < (1, 5), flat })
    }
}

impl Estimator for PartialLeastSquares {
    fn features(&self) -> usize {
        self.mean.len()
    }

    fn methods(&self) -> &'static [Method] {
        if self.regression.is_some() { &[Method::Predict, Method::Transform] } else { &[Method::Transform] }
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.rotations.rows)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        let centred = f.with(BinaryKind::Sub, x, "_x_mean", &self.mean)?;
        let scaled = f.with(BinaryKind::Div, centred, "_x_std", &self.scale)?;
        let (Some(regression), Method::Predict) = (&self.regression, method) else {
            return Ok(vec![f.product(scaled, "x_rotations_", &self.rotations, None)?]);
        };
        let x = if regression.scaled { scaled } else { centred };
        let y = f.product(x, "coef_", &regression.coefficients, Some(&regression.intercepts))?;
        Ok(vec![if regression.flat { f.flat(y)? } else { y }])
    }
}
