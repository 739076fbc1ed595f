//! Nearest centroids.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::{Matrix, numbers};
use super::formula::Formula;
use super::{Distance, Estimator, Family, Features, Labels, Method, discriminant, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `NearestCentroid`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.neighbors._nearest_centroid.NearestCentroid"],
    carried: &[],
    decode: |item| Ok(Box::new(NearestCentroid::decode(item)?)),
};

/// A classifier by the nearest of the classes' centres.
#[derive(Debug, Clone, PartialEq)]
pub struct NearestCentroid {
    /// The centre of each class.
    pub centroids: Matrix,
    /// How far rows are apart.
    pub distance: Distance,
    /// The squares of Euclidean distances are compared, not the distances; from scikit-learn 1.3 on.
    pub squares: bool,
    /// The labels.
    pub labels: Labels,
    /// Shares of the classes and what columns are divided by, from scikit-learn 1.6 on.
    pub scores: Option<CentroidScores>,
}

/// Scores by the distance: `-distance² + 2 ln(share)`.
#[derive(Debug, Clone, PartialEq)]
pub struct CentroidScores {
    /// Twice the logarithm of each class's share.
    pub log_priors: Vec<f64>,
    /// What columns are divided by.
    pub deviations: Vec<f64>,
    /// `predict` is by the scores, since the shares differ.
    pub predicts: bool,
}

impl NearestCentroid {
    fn decode(item: &Item<'_>) -> Result<NearestCentroid, FrontendError> {
        let labels = Labels::decode(&item.get("classes_")?)?;
        let attribute = item.get("centroids_")?;
        let centroids = Matrix::decode(&attribute)?;
        let columns = centroids.columns;
        let centroids = centroids.sized(&attribute, labels.count(), columns)?;
        let metric = item.get("metric")?;
        let distance = Distance::decode(item, &metric, true, || Ok(2.0))?;
        let scores = match (item.find("class_prior_")?, item.find("within_class_std_dev_")?) {
            (Some(priors), Some(deviations)) => {
                let priors = numbers(&priors, labels.count())?;
                let even = 1.0 / labels.count() as f64;
                // numpy's isclose with its default tolerances.
                let is_even = |prior: &f64| (prior - even).abs() <= 1e-8 + 1e-5 * even.abs();
                let deviations = numbers(&deviations, columns)?;
                let deviations = deviations.into_iter().map(|x| if x == 0.0 { 1.0 } else { x });
                Some(CentroidScores {
                    predicts: !priors.iter().all(is_even),
                    log_priors: priors.into_iter().map(|prior| 2.0 * libm::log(prior)).collect(),
                    deviations: deviations.collect(),
                })
            }
            _ => None,
        };
        let squares = version(item)? >= (1, 3);
        Ok(NearestCentroid { centroids, distance, squares, labels, scores })
    }

    /// A score for each class.
    fn scores(&self, f: &mut Formula<'_>, x: TensorId, scores: &CentroidScores) -> Result<TensorId, FrontendError> {
        let x = f.with(BinaryKind::Div, x, "within_class_std_dev_", &scores.deviations)?;
        let mut centroids = self.centroids.clone();
        for row in centroids.values.chunks_exact_mut(self.centroids.columns) {
            row.iter_mut().zip(&scores.deviations).for_each(|(x, deviation)| *x /= deviation);
        }
        let reduced = self.distance.reduced(f, x, &centroids)?;
        let distances = self.distance.restored(f, reduced)?;
        let squares = f.unary(UnaryKind::Square, distances)?;
        let negated = f.unary(UnaryKind::Neg, squares)?;
        f.with(BinaryKind::Add, negated, "class_prior_", &scores.log_priors)
    }
}

impl Estimator for NearestCentroid {
    fn features(&self) -> usize {
        self.centroids.columns
    }

    fn methods(&self) -> &'static [Method] {
        let is_euclidean = matches!(self.distance, Distance::Euclidean { .. });
        if self.scores.is_some() && is_euclidean {
            &[Method::Predict, Method::PredictProba, Method::PredictLogProba, Method::DecisionFunction]
        } else {
            &[Method::Predict]
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
        if let Some(scores) = self.scores.as_ref().filter(|scores| method != Method::Predict || scores.predicts) {
            let scores = self.scores(&mut f, x, scores)?;
            return Ok(vec![discriminant::posterior(&mut f, &self.labels, method, scores, true)?]);
        }
        let mut distances = self.distance.reduced(&mut f, x, &self.centroids)?;
        if !self.squares {
            distances = self.distance.restored(&mut f, distances)?;
        }
        let index = f.smallest(distances)?;
        Ok(vec![f.pick(&self.labels, index)?])
    }
}
