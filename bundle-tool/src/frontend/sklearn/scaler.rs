//! Scalers: columns shifted and scaled, one operation rounded after the other.
//!
//! Integers become float64 first. Float32 stays float32: numpy computes each operation in float64 and rounds, as it does in place.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::{Estimator, Family, Features, Method, cast, version};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `StandardScaler`.
pub(super) const STANDARD: Family = Family {
    classes: &["sklearn.preprocessing._data.StandardScaler"],
    carried: &[],
    decode: |item| Ok(Box::new(StandardScaler::decode(item)?)),
};

/// `MinMaxScaler`.
pub(super) const MIN_MAX: Family = Family {
    classes: &["sklearn.preprocessing._data.MinMaxScaler"],
    carried: &[],
    decode: |item| Ok(Box::new(MinMaxScaler::decode(item)?)),
};

/// `(x - mean) / scale`.
#[derive(Debug, Clone, PartialEq)]
pub struct StandardScaler {
    /// Columns of the input.
    pub features: usize,
    /// Subtracted from each column; `None` for `with_mean=False`.
    pub mean: Option<Vec<f64>>,
    /// Each column is divided by it; `None` for `with_std=False`.
    pub scale: Option<Vec<f64>>,
    /// For float32 input, mean and scale are rounded to float32 first: scikit-learn does from 1.8 on.
    pub narrows: bool,
}

/// `x * scale + min`, then clipped.
#[derive(Debug, Clone, PartialEq)]
pub struct MinMaxScaler {
    /// Columns of the input.
    pub features: usize,
    /// Each column is multiplied by it.
    pub scale: Vec<f64>,
    /// Added to each column.
    pub min: Vec<f64>,
    /// The range to clip to, for `clip=True`.
    pub clip: Option<(f64, f64)>,
}

/// A one-dimensional array of `features` numbers.
fn column_values(item: &Item<'_>, features: usize) -> Result<Vec<f64>, FrontendError> {
    let array = item.array()?;
    if array.shape() != [features] {
        return Err(item.wrong(&format!("an array of {features} numbers")).into());
    }
    Ok(array.f64s()?)
}

impl StandardScaler {
    fn decode(item: &Item<'_>) -> Result<StandardScaler, FrontendError> {
        let features = item.get("n_features_in_")?.as_usize()?;
        let optional = |flag: &str, name: &str| {
            if !item.get(flag)?.as_bool()? {
                return Ok(None);
            }
            column_values(&item.get(name)?, features).map(Some)
        };
        Ok(StandardScaler {
            features,
            mean: optional("with_mean", "mean_")?,
            scale: optional("with_std", "scale_")?,
            narrows: version(item)? >= (1, 8),
        })
    }
}

impl MinMaxScaler {
    fn decode(item: &Item<'_>) -> Result<MinMaxScaler, FrontendError> {
        let features = item.get("n_features_in_")?.as_usize()?;
        let clip = match item.find("clip")? {
            Some(clip) if clip.as_bool()? => {
                let range = item.get("feature_range")?;
                Some((range.at(0)?.as_f64()?, range.at(1)?.as_f64()?))
            }
            _ => None,
        };
        Ok(MinMaxScaler {
            features,
            scale: column_values(&item.get("scale_")?, features)?,
            min: column_values(&item.get("min_")?, features)?,
            clip,
        })
    }
}

/// `x kind values`, column by column.
fn columnwise(
    graph: &mut Graph,
    path: &str,
    (kind, attribute): (BinaryKind, &str),
    x: TensorId,
    values: &[f64],
) -> Result<TensorId, FrontendError> {
    let rounded = if graph.spec(x).dtype == DType::F32 { DType::F32 } else { DType::F64 };
    let x = cast(graph, path, x, DType::F64)?;
    let name = format!("{path}/{attribute}");
    let values = graph.add_constant(&name, DType::F64, &[values.len()], values)?;
    let result = graph.add(&name, Binary { kind }, &[x, values])?;
    cast(graph, path, result, rounded)
}

impl Estimator for StandardScaler {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.features)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let is_narrow = graph.spec(x).dtype == DType::F32;
        let parameter = |values: &[f64]| -> Vec<f64> {
            let narrows = self.narrows && is_narrow;
            values.iter().map(|&value| if narrows { f64::from(value as f32) } else { value }).collect()
        };
        let mut x = if is_narrow { x } else { cast(graph, path, x, DType::F64)? };
        if let Some(mean) = &self.mean {
            x = columnwise(graph, path, (BinaryKind::Sub, "mean_"), x, &parameter(mean))?;
        }
        if let Some(scale) = &self.scale {
            x = columnwise(graph, path, (BinaryKind::Div, "scale_"), x, &parameter(scale))?;
        }
        Ok(vec![x])
    }
}

impl Estimator for MinMaxScaler {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.features)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let scaled = columnwise(graph, path, (BinaryKind::Mul, "scale_"), x, &self.scale)?;
        let shifted = columnwise(graph, path, (BinaryKind::Add, "min_"), scaled, &self.min)?;
        let Some((alpha, beta)) = self.clip else { return Ok(vec![shifted]) };
        Ok(vec![graph.add(&format!("{path}/clip"), Unary { kind: UnaryKind::Clip, alpha, beta }, &[shifted])?])
    }
}
