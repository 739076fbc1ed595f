//! Principal components: the projection, and how likely rows are under the normal distribution that the components make.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::reduce::ReduceKind;

use super::attributes::{Matrix, numbers};
use super::decomposition::{Components, eliminate};
use super::formula::Formula;
use super::{Estimator, Family, Features, Method};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `PCA`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.decomposition._pca.PCA"],
    carried: &[],
    decode: |item| Ok(Box::new(Principal::decode(item)?)),
};

/// Columns at most whose likelihood is read: it takes a matrix of every two of them.
const MOST_COLUMNS: usize = 1 << 9;

/// Principal components.
#[derive(Debug, Clone, PartialEq)]
pub struct Principal {
    /// The projection.
    pub components: Components,
    /// What `score_samples` computes with; absent where the covariance has no inverse or there are too many columns.
    pub density: Option<Normal>,
}

/// A normal distribution: the logarithm of its density at `x` is `constant - d · precision · d / 2`, where `d` is `x - mean`.
#[derive(Debug, Clone, PartialEq)]
pub struct Normal {
    /// The mean.
    pub mean: Vec<f64>,
    /// The inverse of the covariance.
    pub precision: Matrix,
    /// Half the logarithm of the determinant of the precision over (2 pi) to the power of the dimensions.
    pub constant: f64,
}

impl Principal {
    fn decode(item: &Item<'_>) -> Result<Principal, FrontendError> {
        Ok(Principal { components: Components::decode_pca(item)?, density: Normal::decode(item)? })
    }
}

impl Normal {
    /// The distribution of probabilistic PCA: the covariance is that of the components, and `noise_variance_` in all directions besides.
    fn decode(item: &Item<'_>) -> Result<Option<Normal>, FrontendError> {
        let components = Matrix::decode(&item.get("components_")?)?;
        let (count, columns) = (components.rows, components.columns);
        let mean = item.find("mean_")?.filter(|mean| !mean.is_none());
        let (Some(mean), Some(noise)) = (mean, item.find("noise_variance_")?) else { return Ok(None) };
        if columns > MOST_COLUMNS || count > MOST_COLUMNS {
            return Ok(None);
        }
        let (mean, noise) = (numbers(&mean, columns)?, noise.as_f64()?);
        let variances = numbers(&item.get("explained_variance_")?, count)?;
        let whitens = item.get("whiten")?.as_bool()?;
        let scale = |row: usize| if whitens { variances[row].sqrt() } else { 1.0 };
        let scaled = components.values.iter().enumerate().map(|(at, x)| x * scale(at / columns));
        let scaled = Matrix { rows: count, columns, values: scaled.collect() };
        let excess: Vec<f64> = variances.iter().map(|&v| if v > noise { v - noise } else { 0.0 }).collect();
        let precision = if noise == 0.0 {
            let weighed = scaled.values.iter().enumerate().map(|(at, x)| x * excess[at / columns]);
            let weighed = Matrix { rows: count, columns, values: weighed.collect() };
            let covariance = weighed.transposed().times(&scaled);
            eliminate(&covariance).map(|(inverse, _)| inverse)
        } else {
            let mut inner = scaled.times(&scaled.transposed());
            inner.values.iter_mut().for_each(|x| *x /= noise);
            for (row, excess) in excess.iter().enumerate() {
                inner.values[row * count + row] += 1.0 / excess;
            }
            eliminate(&inner).map(|(inverse, _)| {
                let mut precision = scaled.transposed().times(&inverse).times(&scaled);
                precision.values.iter_mut().for_each(|x| *x /= -(noise * noise));
                precision.values.iter_mut().step_by(columns + 1).for_each(|x| *x += 1.0 / noise);
                precision
            })
        };
        let Some(precision) = precision else { return Ok(None) };
        let Some((_, determinant)) = eliminate(&precision) else { return Ok(None) };
        let constant = -0.5 * (columns as f64 * (2.0 * std::f64::consts::PI).ln() - determinant);
        Ok(Some(Normal { mean, precision, constant }))
    }
}

impl Estimator for Principal {
    fn features(&self) -> usize {
        self.components.features()
    }

    fn methods(&self) -> &'static [Method] {
        if self.density.is_some() { &[Method::Transform, Method::ScoreSamples] } else { &[Method::Transform] }
    }

    fn transformed(&self) -> Option<usize> {
        self.components.transformed()
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let density = self.density.as_ref().filter(|_| method == Method::ScoreSamples);
        let Some(Normal { mean, precision, constant }) = density else {
            return self.components.lower(graph, path, method, x);
        };
        let (mut formula, x) = Formula::new(graph, path, x)?;
        let centred = formula.with(BinaryKind::Sub, x, "mean_", mean)?;
        let weighed = formula.product(centred, "precision", &precision.transposed(), None)?;
        let squares = formula.mul(centred, weighed)?;
        let sum = formula.reduce(ReduceKind::Sum, squares, 1, true)?;
        let half = formula.scalar(BinaryKind::Mul, sum, -0.5)?;
        let score = formula.scalar(BinaryKind::Add, half, *constant)?;
        Ok(vec![formula.flat(score)?])
    }
}
