//! Projections onto components: principal and independent components, singular vectors, factors.
//!
//! The order of scikit-learn's sums is that of its BLAS; here they run upwards.

use ekiben_runtime::ops::binary::BinaryKind;

use super::attributes::{Matrix, numbers};
use super::formula::Formula;
use super::transformer::Transformer;
use super::{Family, Features, inconsistent, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `IncrementalPCA`.
pub(super) const INCREMENTAL_PCA: Family = Family {
    classes: &["sklearn.decomposition._incremental_pca.IncrementalPCA"],
    carried: &[],
    decode: |item| Ok(Box::new(Components::decode_pca(item)?)),
};

/// `TruncatedSVD`.
pub(super) const TRUNCATED_SVD: Family = Family {
    classes: &["sklearn.decomposition._truncated_svd.TruncatedSVD"],
    carried: &[],
    decode: |item| Ok(Box::new(Components::onto(Matrix::decode(&item.get("components_")?)?))),
};

/// `FastICA`.
pub(super) const FAST_ICA: Family = Family {
    classes: &["sklearn.decomposition._fastica.FastICA"],
    carried: &[],
    decode: |item| Ok(Box::new(Components::decode_ica(item)?)),
};

/// `FactorAnalysis`.
pub(super) const FACTOR_ANALYSIS: Family = Family {
    classes: &["sklearn.decomposition._factor_analysis.FactorAnalysis"],
    carried: &[],
    decode: |item| Ok(Box::new(Components::decode_factors(item)?)),
};

/// Random projections.
pub(super) const RANDOM: Family = Family {
    classes: &[
        "sklearn.random_projection.GaussianRandomProjection",
        "sklearn.random_projection.SparseRandomProjection",
    ],
    carried: &[],
    decode: |item| Ok(Box::new(Components::onto(Matrix::decode(&item.get("components_")?)?))),
};

/// Factors at most: a matrix of every two of them is inverted.
const MOST_FACTORS: usize = 1 << 10;

/// `((x - mean) · componentsᵀ - offset) / scale · rotationᵀ`, what is absent left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Components {
    /// Subtracted from each column first.
    pub mean: Option<Vec<f64>>,
    /// A row for each column of the result.
    pub components: Matrix,
    /// Subtracted from each product.
    pub offset: Option<Vec<f64>>,
    /// Each result is divided by it.
    pub scale: Option<Vec<f64>>,
    /// A second projection, square.
    pub rotation: Option<Matrix>,
}

impl Components {
    fn onto(components: Matrix) -> Components {
        Components { mean: None, components, offset: None, scale: None, rotation: None }
    }

    /// Since scikit-learn 1.5 the mean is taken off after the projection, and variances are kept from 0.
    pub(super) fn decode_pca(item: &Item<'_>) -> Result<Components, FrontendError> {
        let mut projection = Components::onto(Matrix::decode(&item.get("components_")?)?);
        let components = &projection.components;
        let is_new = version(item)? >= (1, 5);
        if let Some(mean) = item.find("mean_")?.filter(|mean| !mean.is_none()) {
            let mean = numbers(&mean, components.columns)?;
            if is_new {
                let row = Matrix { rows: 1, columns: mean.len(), values: mean };
                projection.offset = Some(row.times(&components.transposed()).values);
            } else {
                projection.mean = Some(mean);
            }
        }
        if item.get("whiten")?.as_bool()? {
            let variances = numbers(&item.get("explained_variance_")?, components.rows)?;
            let deviation = |variance: f64| {
                let deviation = variance.sqrt();
                if is_new && deviation < f64::EPSILON { f64::EPSILON } else { deviation }
            };
            projection.scale = Some(variances.into_iter().map(deviation).collect());
        }
        Ok(projection)
    }

    fn decode_ica(item: &Item<'_>) -> Result<Components, FrontendError> {
        let mut projection = Components::onto(Matrix::decode(&item.get("components_")?)?);
        let whiten = item.get("whiten")?;
        if whiten.as_str().is_ok() || whiten.as_bool()? {
            projection.mean = Some(numbers(&item.get("mean_")?, projection.components.columns)?);
        }
        Ok(projection)
    }

    /// Factors have the posterior mean `(x - mean) · Wᵀ · (I + W · componentsᵀ)⁻¹`, where `W` is `components / noise_variance`.
    fn decode_factors(item: &Item<'_>) -> Result<Components, FrontendError> {
        let components = Matrix::decode(&item.get("components_")?)?;
        if components.rows > MOST_FACTORS {
            return Err(unsupported(item, format!("{} factors; {MOST_FACTORS} at most are read", components.rows)));
        }
        let mean = numbers(&item.get("mean_")?, components.columns)?;
        let noise = numbers(&item.get("noise_variance_")?, components.columns)?;
        let weighed = components.values.chunks_exact(components.columns);
        let weighed: Vec<f64> = weighed.flat_map(|row| row.iter().zip(&noise).map(|(x, noise)| x / noise)).collect();
        let weighed = Matrix { rows: components.rows, columns: components.columns, values: weighed };
        let mut precision = weighed.times(&components.transposed());
        for factor in 0..precision.rows {
            precision.values[factor * precision.columns + factor] += 1.0;
        }
        let Some((covariance, _)) = eliminate(&precision) else {
            return Err(inconsistent(item, "factors whose precision has no inverse"));
        };
        let rotation = Some(covariance.transposed());
        Ok(Components { mean: Some(mean), rotation, ..Components::onto(weighed) })
    }
}

/// The inverse of a square matrix and the logarithm of its determinant's size, by elimination with row pivots; `None` of a singular one.
pub(super) fn eliminate(matrix: &Matrix) -> Option<(Matrix, f64)> {
    let size = matrix.rows;
    if size != matrix.columns {
        return None;
    }
    let mut left = matrix.values.clone();
    let mut right = vec![0.0; size * size];
    let mut determinant = 0.0;
    for at in 0..size {
        right[at * size + at] = 1.0;
    }
    for column in 0..size {
        let size_at = |row: &usize| left[row * size + column].abs();
        let pivot = (column..size).max_by(|a, b| size_at(a).total_cmp(&size_at(b)))?;
        if pivot != column {
            for at in 0..size {
                left.swap(column * size + at, pivot * size + at);
                right.swap(column * size + at, pivot * size + at);
            }
        }
        let divisor = left[column * size + column];
        if divisor == 0.0 || !divisor.is_finite() {
            return None;
        }
        determinant += divisor.abs().ln();
        for at in 0..size {
            left[column * size + at] /= divisor;
            right[column * size + at] /= divisor;
        }
        for row in (0..size).filter(|&row| row != column) {
            let factor = left[row * size + column];
            if factor == 0.0 {
                continue;
            }
            for at in 0..size {
                left[row * size + at] -= factor * left[column * size + at];
                right[row * size + at] -= factor * right[column * size + at];
            }
        }
    }
    Some((Matrix { rows: size, columns: size, values: right }, determinant))
}

impl Transformer for Components {
    fn width(&self) -> usize {
        self.components.columns
    }

    fn results(&self) -> usize {
        self.components.rows
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let (mut formula, mut x) = Formula::new(graph, path, &Features::of(x))?;
        if let Some(mean) = &self.mean {
            x = formula.with(BinaryKind::Sub, x, "mean_", mean)?;
        }
        x = formula.product(x, "components_", &self.components, None)?;
        if let Some(offset) = &self.offset {
            x = formula.with(BinaryKind::Sub, x, "offset", offset)?;
        }
        if let Some(scale) = &self.scale {
            x = formula.with(BinaryKind::Div, x, "scale", scale)?;
        }
        match &self.rotation {
            Some(rotation) => formula.product(x, "covariance", rotation, None),
            None => Ok(x),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverses() {
        let matrix = Matrix { rows: 2, columns: 2, values: vec![0.0, 2.0, 4.0, 1.0] };
        let (inverse, determinant) = eliminate(&matrix).unwrap();
        assert_eq!(inverse.values, [-0.125, 0.25, 0.5, 0.0]);
        assert!((determinant - 8f64.ln()).abs() < 1e-15);
        assert_eq!(eliminate(&Matrix { values: vec![1.0, 2.0, 2.0, 4.0], ..matrix }), None);
    }
}
