//! Robust covariance as a detector of outliers.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::reduce::ReduceKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, vector};
use super::formula::Formula;
use super::{Estimator, Family, Features, Method, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `EllipticEnvelope`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.covariance._elliptic_envelope.EllipticEnvelope"],
    carried: &[],
    decode: |item| Ok(Box::new(Envelope::decode(item)?)),
};

/// A detector of outliers by their Mahalanobis distance.
#[derive(Debug, Clone, PartialEq)]
pub struct Envelope {
    /// Taken off each column.
    pub location: Vec<f64>,
    /// Inverse of the covariance.
    pub precision: Matrix,
    /// Taken off the score for `decision_function`.
    pub offset: f64,
}

impl Envelope {
    fn decode(item: &Item<'_>) -> Result<Envelope, FrontendError> {
        let location = vector(&item.get("location_")?)?;
        let attribute = item.get("precision_")?;
        if attribute.is_none() {
            return Err(unsupported(item, "store_precision=False; fit with store_precision=True"));
        }
        let precision = Matrix::decode(&attribute)?.sized(&attribute, location.len(), location.len())?;
        Ok(Envelope { location, precision, offset: item.get("offset_")?.as_f64()? })
    }
}

impl Estimator for Envelope {
    fn features(&self) -> usize {
        self.location.len()
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Predict, Method::DecisionFunction, Method::ScoreSamples]
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let (mut f, x) = Formula::new(graph, path, x)?;
        let centred = f.with(BinaryKind::Sub, x, "location_", &self.location)?;
        let turned = f.product(centred, "precision_", &self.precision, None)?;
        let products = f.mul(turned, centred)?;
        let sums = f.reduce(ReduceKind::Sum, products, 1, true)?;
        let distances = f.unary(UnaryKind::Sqrt, sums)?;
        let squares = f.unary(UnaryKind::Square, distances)?;
        let scores = f.unary(UnaryKind::Neg, squares)?;
        if method == Method::ScoreSamples {
            return Ok(vec![f.flat(scores)?]);
        }
        let shifted = f.scalar(BinaryKind::Sub, scores, self.offset)?;
        if method == Method::DecisionFunction {
            return Ok(vec![f.flat(shifted)?]);
        }
        Ok(vec![f.inliers(shifted)?])
    }
}
