//! `KNNImputer`: missing numbers are means over the nearest training rows.

use ekiben_runtime::DType;
use ekiben_runtime::ops::knn_impute::{KnnImpute, NeighbourWeights};
use ekiben_runtime::ops::select::Select;

use super::imputers::Missing;
use super::{Estimator, Family, Features, Method, cast, inconsistent, unsupported, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `KNNImputer`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.impute._knn.KNNImputer"],
    carried: &[],
    decode: |item| Ok(Box::new(KnnImputer::decode(item)?)),
};

/// Fills missing values from the nearest training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct KnnImputer {
    /// Columns.
    pub features: usize,
    /// The training rows, row by row, NaN for missing values.
    pub known: Vec<f64>,
    /// What counts as missing.
    pub missing: Missing,
    /// Rows that a value is filled from, at most.
    pub neighbours: u32,
    /// How much each of them counts.
    pub weights: NeighbourWeights,
    /// Columns that some training row has.
    pub valid: Vec<usize>,
    /// Columns that none has become 0; they are left out otherwise.
    pub keeps_empty: bool,
    /// Columns whose missing values are told by a further column each, 1 where missing.
    pub indicators: Vec<usize>,
}

impl KnnImputer {
    fn decode(item: &Item<'_>) -> Result<KnnImputer, FrontendError> {
        let (metric, weights) = (item.get("metric")?, item.get("weights")?);
        if metric.as_str() != Ok("nan_euclidean") {
            return Err(unsupported(&metric, "a metric that is a function; use \"nan_euclidean\""));
        }
        let weights = match weights.as_str() {
            Ok("uniform") if version(item)? < (1, 6) => NeighbourWeights::EqualWithUndefined,
            Ok("uniform") => NeighbourWeights::Equal,
            Ok("distance") => NeighbourWeights::InverseDistance,
            _ => return Err(unsupported(&weights, "weights that are a function; use \"uniform\" or \"distance\"")),
        };
        let fit = item.get("_fit_X")?;
        let array = fit.array()?;
        let &[rows, features] = array.shape() else {
            return Err(fit.wrong("an array of two dimensions").into());
        };
        let mask = item.get("_mask_fit_X")?.array()?.bools()?;
        let mut known = array.f64s()?;
        if rows == 0 || features == 0 || mask.len() != known.len() {
            return Err(inconsistent(&fit, "training rows and their mask differ"));
        }
        for (value, &missing) in known.iter_mut().zip(&mask) {
            if missing {
                *value = f64::NAN;
            }
        }
        let has = |column: &usize| known.iter().skip(*column).step_by(features).any(|value| !value.is_nan());
        let valid: Vec<usize> = (0..features).filter(has).collect();
        if valid.is_empty() {
            return Err(unsupported(item, "an imputer that gives no columns"));
        }
        let neighbours = u32::try_from(item.get("n_neighbors")?.as_usize()?).ok().filter(|&count| count > 0);
        let keeps_empty = match item.find("keep_empty_features")? {
            Some(flag) => flag.as_bool()?,
            None => false,
        };
        let indicators = match item.find("indicator_")? {
            Some(indicator) if !indicator.is_none() => super::imputers::indicated(&indicator, features)?,
            _ => Vec::new(),
        };
        Ok(KnnImputer {
            features,
            known,
            missing: Missing::decode(&item.get("missing_values")?)?,
            neighbours: neighbours.ok_or_else(|| inconsistent(item, "no neighbours"))?,
            weights,
            valid,
            keeps_empty,
            indicators,
        })
    }
}

impl Estimator for KnnImputer {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        let columns = if self.keeps_empty { self.features } else { self.valid.len() };
        Some(columns + self.indicators.len())
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let x = cast(graph, path, x, DType::F64)?;
        let mask = self.missing.mask(graph, path, x)?;
        let mut asked = x;
        if self.missing != Missing::Nan {
            let name = format!("{path}/missing_values");
            let nan = graph.add_constant(&name, DType::F64, &[1], &[f64::NAN])?;
            asked = graph.add(&name, Select, &[mask, nan, x])?;
        }
        let name = format!("{path}/_fit_X");
        let dims = [self.known.len() / self.features, self.features];
        let known = graph.add_constant(&name, DType::F64, &dims, &self.known)?;
        let impute = KnnImpute { neighbours: self.neighbours, weights: self.weights };
        let mut filled = graph.add(&name, impute, &[asked, known])?;
        if self.valid.len() < self.features {
            if self.keeps_empty {
                let flags: Vec<u8> = (0..self.features).map(|column| u8::from(self.valid.contains(&column))).collect();
                let name = format!("{path}/keep_empty_features");
                let flags = graph.add_constant(&name, DType::Bool, &[self.features], &flags)?;
                let zero = graph.add_constant(&name, DType::F64, &[1], &[0.0])?;
                filled = graph.add(&name, Select, &[flags, filled, zero])?;
            } else {
                filled = super::features::take(graph, path, filled, &self.valid)?;
            }
        }
        if self.indicators.is_empty() {
            return Ok(vec![filled]);
        }
        let told = super::features::take(graph, path, mask, &self.indicators)?;
        let told = cast(graph, path, told, DType::F64)?;
        Ok(Features::join(graph, path, vec![Features::of(filled), Features::of(told)])?.tensors())
    }
}
