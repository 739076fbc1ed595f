//! Scalers: columns shifted and scaled, one operation rounded after the other. NaN stays.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::transformer::{Transformer, column_values, columnwise, floats, width};
use super::{Family, version};
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

/// `MaxAbsScaler`.
pub(super) const MAX_ABS: Family = Family {
    classes: &["sklearn.preprocessing._data.MaxAbsScaler"],
    carried: &[],
    decode: |item| Ok(Box::new(MaxAbsScaler::decode(item)?)),
};

/// `RobustScaler`, which is a standard scaler of other numbers.
pub(super) const ROBUST: Family = Family {
    classes: &["sklearn.preprocessing._data.RobustScaler"],
    carried: &[],
    decode: |item| Ok(Box::new(StandardScaler::decode_robust(item)?)),
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

/// `x / scale`, then clipped to -1..=1.
#[derive(Debug, Clone, PartialEq)]
pub struct MaxAbsScaler {
    /// Each column is divided by it.
    pub scale: Vec<f64>,
    /// Whether results are clipped: `clip=True`, which scikit-learn has from 1.8 on.
    pub clip: bool,
}

/// The values of `attribute` where `flag` is set.
fn optional(
    item: &Item<'_>,
    features: usize,
    (flag, attribute): (&str, &str),
) -> Result<Option<Vec<f64>>, FrontendError> {
    if !item.get(flag)?.as_bool()? {
        return Ok(None);
    }
    column_values(&item.get(attribute)?, features).map(Some)
}

impl StandardScaler {
    pub(super) fn decode(item: &Item<'_>) -> Result<StandardScaler, FrontendError> {
        let (with_mean, with_std) = (("with_mean", "mean_"), ("with_std", "scale_"));
        let known = if item.get(with_mean.0)?.as_bool()? { with_mean.1 } else { with_std.1 };
        let features = width(item, known)?;
        Ok(StandardScaler {
            features,
            mean: optional(item, features, with_mean)?,
            scale: optional(item, features, with_std)?,
            narrows: version(item)? >= (1, 8),
        })
    }

    fn decode_robust(item: &Item<'_>) -> Result<StandardScaler, FrontendError> {
        let (with_centering, with_scaling) = (("with_centering", "center_"), ("with_scaling", "scale_"));
        let known = if item.get(with_centering.0)?.as_bool()? { with_centering.1 } else { with_scaling.1 };
        let features = width(item, known)?;
        Ok(StandardScaler {
            features,
            mean: optional(item, features, with_centering)?,
            scale: optional(item, features, with_scaling)?,
            narrows: false,
        })
    }
}

impl MinMaxScaler {
    fn decode(item: &Item<'_>) -> Result<MinMaxScaler, FrontendError> {
        let features = width(item, "scale_")?;
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

impl MaxAbsScaler {
    fn decode(item: &Item<'_>) -> Result<MaxAbsScaler, FrontendError> {
        let clip = item.find("clip")?.map_or(Ok(false), |clip| clip.as_bool())?;
        Ok(MaxAbsScaler { scale: column_values(&item.get("scale_")?, width(item, "scale_")?)?, clip })
    }
}

/// `x` within `alpha..=beta`.
fn clip(graph: &mut Graph, path: &str, x: TensorId, (alpha, beta): (f64, f64)) -> Result<TensorId, FrontendError> {
    Ok(graph.add(&format!("{path}/clip"), Unary { kind: UnaryKind::Clip, alpha, beta }, &[x])?)
}

impl Transformer for StandardScaler {
    fn width(&self) -> usize {
        self.features
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let narrows = self.narrows && graph.spec(x).dtype == DType::F32;
        let parameter = |values: &[f64]| -> Vec<f64> {
            values.iter().map(|&value| if narrows { f64::from(value as f32) } else { value }).collect()
        };
        let mut x = floats(graph, path, x)?;
        if let Some(mean) = &self.mean {
            x = columnwise(graph, path, (BinaryKind::Sub, "mean_"), x, &parameter(mean))?;
        }
        if let Some(scale) = &self.scale {
            x = columnwise(graph, path, (BinaryKind::Div, "scale_"), x, &parameter(scale))?;
        }
        Ok(x)
    }

    fn invert(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let mut x = x;
        if let Some(scale) = &self.scale {
            x = columnwise(graph, path, (BinaryKind::Mul, "scale_"), x, scale)?;
        }
        if let Some(mean) = &self.mean {
            x = columnwise(graph, path, (BinaryKind::Add, "mean_"), x, mean)?;
        }
        Ok(x)
    }
}

impl Transformer for MinMaxScaler {
    fn width(&self) -> usize {
        self.features
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let scaled = columnwise(graph, path, (BinaryKind::Mul, "scale_"), x, &self.scale)?;
        let shifted = columnwise(graph, path, (BinaryKind::Add, "min_"), scaled, &self.min)?;
        match self.clip {
            Some(range) => clip(graph, path, shifted, range),
            None => Ok(shifted),
        }
    }

    fn invert(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let shifted = columnwise(graph, path, (BinaryKind::Sub, "min_"), x, &self.min)?;
        columnwise(graph, path, (BinaryKind::Div, "scale_"), shifted, &self.scale)
    }
}

impl Transformer for MaxAbsScaler {
    fn width(&self) -> usize {
        self.scale.len()
    }

    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let scaled = columnwise(graph, path, (BinaryKind::Div, "scale_"), x, &self.scale)?;
        if self.clip { clip(graph, path, scaled, (-1.0, 1.0)) } else { Ok(scaled) }
    }

    fn invert(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        columnwise(graph, path, (BinaryKind::Mul, "scale_"), x, &self.scale)
    }
}
