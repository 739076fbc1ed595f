//! Scalers: columns shifted and scaled, one operation rounded after the other.

use super::{Estimator, Family, Method, SklearnError};
use crate::frontend::pickle::Item;

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
fn column_values(item: &Item<'_>, features: usize) -> Result<Vec<f64>, SklearnError> {
    let array = item.array()?;
    if array.shape() != [features] {
        return Err(item.wrong(&format!("an array of {features} numbers")).into());
    }
    Ok(array.f64s()?)
}

impl StandardScaler {
    fn decode(item: &Item<'_>) -> Result<StandardScaler, SklearnError> {
        let features = item.get("n_features_in_")?.as_usize()?;
        let optional = |flag: &str, name: &str| {
            if !item.get(flag)?.as_bool()? {
                return Ok(None);
            }
            column_values(&item.get(name)?, features).map(Some)
        };
        Ok(StandardScaler { features, mean: optional("with_mean", "mean_")?, scale: optional("with_std", "scale_")? })
    }
}

impl MinMaxScaler {
    fn decode(item: &Item<'_>) -> Result<MinMaxScaler, SklearnError> {
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
}
