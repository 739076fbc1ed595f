//! Encoders of categories: one-hot, ordinal, and by the mean of the target.

use ekiben_runtime::DType;
use ekiben_runtime::ops::one_hot::OneHot;

use super::categories::{self, Categories, list};
use super::{Estimator, Family, Features, Method, Need, Needs, cast, inconsistent, unsupported, with_columns};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `OneHotEncoder`.
pub(super) const ONE_HOT: Family = Family {
    classes: &["sklearn.preprocessing._encoders.OneHotEncoder"],
    carried: &[],
    decode: |item| Ok(Box::new(OneHotEncoder::decode(item)?)),
};

/// `OrdinalEncoder`.
pub(super) const ORDINAL: Family = Family {
    classes: &["sklearn.preprocessing._encoders.OrdinalEncoder"],
    carried: &[],
    decode: |item| Ok(Box::new(OrdinalEncoder::decode(item)?)),
};

/// `TargetEncoder`.
pub(super) const TARGET: Family = Family {
    classes: &["sklearn.preprocessing._target_encoder.TargetEncoder"],
    carried: &[],
    decode: |item| Ok(Box::new(TargetEncoder::decode(item)?)),
};

/// The columns of one input column.
#[derive(Debug, Clone, PartialEq)]
pub struct OneHotColumn {
    /// Its categories.
    pub categories: Categories,
    /// For each category the output column that is 1; the width for none.
    pub places: Vec<i32>,
    /// Where a value that is no category goes: an output column, the width for none, -1 where the row is refused.
    pub unknown: i32,
    /// Output columns; may be 0.
    pub width: usize,
}

/// One column of zeros and ones for each category.
#[derive(Debug, Clone, PartialEq)]
pub struct OneHotEncoder {
    /// One entry for each input column.
    pub columns: Vec<OneHotColumn>,
    /// Type of the output.
    pub dtype: DType,
}

/// Categories of all columns, and for each column where infrequent categories are grouped: the first of them and the group of
/// each category.
struct Fitted {
    categories: Vec<Categories>,
    groups: Vec<Option<(usize, Vec<i32>)>>,
}

impl Fitted {
    fn decode(item: &Item<'_>) -> Result<Fitted, FrontendError> {
        let categories = item.get("categories_")?.items()?;
        let categories = categories.iter().map(Categories::decode).collect::<Result<Vec<_>, _>>()?;
        if categories.is_empty() {
            return Err(inconsistent(item, "an encoder of no columns"));
        }
        let mut groups = vec![None; categories.len()];
        let enabled = match item.find("_infrequent_enabled")? {
            Some(flag) => flag.as_bool()?,
            None => false,
        };
        if enabled {
            let mappings = list(&item.get("_default_to_infrequent_mappings")?, categories.len())?;
            let indices = list(&item.get("_infrequent_indices")?, categories.len())?;
            for (group, (mapping, indices)) in groups.iter_mut().zip(mappings.iter().zip(&indices)) {
                if mapping.is_none() || indices.is_none() {
                    continue;
                }
                let first = indices.array()?.i64s()?.first().copied().and_then(|first| usize::try_from(first).ok());
                let first = first.ok_or_else(|| inconsistent(indices, "no infrequent category"))?;
                let map = mapping.array()?.i64s()?;
                let map: Result<Vec<i32>, _> = map.into_iter().map(i32::try_from).collect();
                *group = Some((first, map.map_err(|error| inconsistent(mapping, error))?));
            }
        }
        Ok(Fitted { categories, groups })
    }
}

impl OneHotEncoder {
    fn decode(item: &Item<'_>) -> Result<OneHotEncoder, FrontendError> {
        let Fitted { categories, groups } = Fitted::decode(item)?;
        let handle_unknown = item.get("handle_unknown")?;
        let handle = handle_unknown.as_str()?;
        if !["error", "ignore", "infrequent_if_exist", "warn"].contains(&handle) {
            return Err(unsupported(
                &handle_unknown,
                format!("handle_unknown={handle:?}; use \"error\" or \"ignore\""),
            ));
        }
        // Since 1.2 the dropped positions are those after grouping.
        let drop = match item.find("_drop_idx_after_grouping")? {
            Some(drop) => Some(drop),
            None => item.find("drop_idx_")?,
        };
        let drops = match drop.filter(|drop| !drop.is_none()) {
            Some(drop) => list(&drop, categories.len())?,
            None => Vec::new(),
        };
        let mut columns = Vec::with_capacity(categories.len());
        for (index, (categories, group)) in categories.into_iter().zip(groups).enumerate() {
            let dropped = match drops.get(index) {
                Some(drop) if !drop.is_none() => Some(drop.as_i64()? as i32),
                _ => None,
            };
            let count = i32::try_from(categories.count()).map_err(|error| inconsistent(item, error))?;
            let mut places: Vec<i32> = (0..count).collect();
            let mut infrequent = None;
            if let Some((first, map)) = group {
                if map.len() != places.len() {
                    return Err(inconsistent(item, "groups of categories that are not there"));
                }
                infrequent = map.get(first).copied();
                places = map;
            }
            let width = places.iter().max().map_or(0, |&most| most.saturating_add(1));
            let width_kept = width - i32::from(dropped.is_some());
            let shifted = |place: i32| match dropped {
                Some(dropped) if place == dropped => width_kept,
                Some(dropped) if place > dropped => place - 1,
                _ => place,
            };
            if places.iter().any(|&place| place < 0 || place >= width)
                || dropped.is_some_and(|dropped| dropped < 0 || dropped >= width)
                || width > count
            {
                return Err(inconsistent(item, "places of categories that are not there"));
            }
            let unknown = match (handle, infrequent) {
                ("error", _) => -1,
                ("infrequent_if_exist" | "warn", Some(place)) => shifted(place),
                _ => width_kept,
            };
            let places = places.into_iter().map(shifted).collect();
            columns.push(OneHotColumn { categories, places, unknown, width: width_kept as usize });
        }
        let dtype = categories::dtype(&item.get("dtype")?)?;
        Ok(OneHotEncoder { columns, dtype })
    }
}

impl Estimator for OneHotEncoder {
    fn features(&self) -> usize {
        self.columns.len()
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.columns.iter().map(|column| column.width).sum())
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        Ok(Needs::columns(self.columns.iter().map(|column| column.categories.need()).collect()))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let mut parts = Vec::with_capacity(self.columns.len());
        let values = graph.add_constant(&format!("{path}/values"), DType::F64, &[2], &[0.0, 1.0])?;
        let values = cast(graph, path, values, self.dtype)?;
        for (index, column) in self.columns.iter().enumerate() {
            let places = column.categories.codes(graph, path, (x, index), &column.places, column.unknown)?;
            if column.width == 0 {
                continue;
            }
            let one_hot = OneHot { axis: 1, depth: column.width as u32 };
            let hot = graph.add(&format!("{path}/{}", x.name(index)), one_hot, &[places, values])?;
            parts.push(Features::of(hot));
        }
        if parts.is_empty() {
            return Err(FrontendError::unsupported(
                path,
                "OneHotEncoder",
                "an encoder that gives no columns; leave it out",
            ));
        }
        Ok(Features::join(graph, path, parts)?.tensors())
    }
}

/// A number for each category.
#[derive(Debug, Clone, PartialEq)]
pub struct OrdinalColumn {
    /// Its categories.
    pub categories: Categories,
    /// The number of each category.
    pub values: Vec<f64>,
    /// The number of any other value; `None` where the row is refused.
    pub unknown: Option<f64>,
}

/// A number for each category.
#[derive(Debug, Clone, PartialEq)]
pub struct OrdinalEncoder {
    /// One entry for each column.
    pub columns: Vec<OrdinalColumn>,
    /// Type of the output.
    pub dtype: DType,
}

impl OrdinalEncoder {
    fn decode(item: &Item<'_>) -> Result<OrdinalEncoder, FrontendError> {
        let Fitted { categories, groups } = Fitted::decode(item)?;
        let handle_unknown = item.get("handle_unknown")?;
        let unknown = match handle_unknown.as_str()? {
            "error" => None,
            "use_encoded_value" => Some(item.get("unknown_value")?.as_f64()?),
            other => return Err(unsupported(&handle_unknown, format!("handle_unknown={other:?}; use \"error\""))),
        };
        // Before 1.1 a missing value is a category like others.
        let missing_value = match item.find("encoded_missing_value")? {
            Some(value) => Some(value.as_f64()?),
            None => None,
        };
        let mut columns = Vec::with_capacity(categories.len());
        for (categories, group) in categories.into_iter().zip(groups) {
            let missing = categories.missing();
            let mut values: Vec<f64> = (0..categories.count()).map(|code| code as f64).collect();
            if let Some((_, map)) = group {
                // The category of missing values is last and in no group.
                for (value, place) in values.iter_mut().zip(map) {
                    *value = place.into();
                }
            }
            if let (Some(missing), Some(value)) = (missing, missing_value) {
                values[missing] = value;
            }
            columns.push(OrdinalColumn { categories, values, unknown });
        }
        let dtype = categories::dtype(&item.get("dtype")?)?;
        Ok(OrdinalEncoder { columns, dtype })
    }
}

impl Estimator for OrdinalEncoder {
    fn features(&self) -> usize {
        self.columns.len()
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.columns.len())
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        Ok(Needs::columns(self.columns.iter().map(|column| column.categories.need()).collect()))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let mut parts = Vec::with_capacity(self.columns.len());
        for (index, column) in self.columns.iter().enumerate() {
            let values = mapped(graph, path, (x, index), column)?;
            let values = with_columns(graph, path, values, &[1])?;
            parts.push(Features::of(cast(graph, path, values, self.dtype)?));
        }
        Ok(Features::join(graph, path, parts)?.tensors())
    }
}

/// The numbers of one column's categories, `[N]` in float64.
fn mapped(
    graph: &mut Graph,
    path: &str,
    (x, index): (&Features, usize),
    column: &OrdinalColumn,
) -> Result<TensorId, FrontendError> {
    if let Some(unknown) = column.unknown {
        let values: Vec<f64> = column.values.iter().copied().chain([unknown]).collect();
        return column.categories.map(graph, path, (x, index), DType::F64, &values);
    }
    let codes: Vec<i32> = (0..column.values.len() as i32).collect();
    let codes = column.categories.codes(graph, path, (x, index), &codes, -1)?;
    if column.values.iter().enumerate().all(|(code, &value)| code as f64 == value) {
        return cast(graph, path, codes, DType::F64);
    }
    let name = format!("{path}/{}", x.name(index));
    let values = graph.add_constant(&name, DType::F64, &[column.values.len()], &column.values)?;
    Ok(graph.add(&name, ekiben_runtime::ops::gather::Gather { axis: 0 }, &[values, codes])?)
}

/// A number for each category: the mean of the target, shrunk to that of all samples. Several classes give several columns.
#[derive(Debug, Clone, PartialEq)]
pub struct TargetEncoder {
    /// One entry for each output column: the input column, and its numbers.
    pub outputs: Vec<(usize, OrdinalColumn)>,
    /// Input columns.
    pub features: usize,
}

impl TargetEncoder {
    fn decode(item: &Item<'_>) -> Result<TargetEncoder, FrontendError> {
        let Fitted { categories, .. } = Fitted::decode(item)?;
        let encodings = item.get("encodings_")?.items()?;
        let mean = item.get("target_mean_")?;
        let means = if mean.is_array() { mean.array()?.f64s()? } else { vec![mean.as_f64()?] };
        let features = categories.len();
        if means.is_empty() || encodings.len() != features.saturating_mul(means.len()) {
            return Err(inconsistent(item, format!("{} encodings of {features} columns", encodings.len())));
        }
        let mut outputs = Vec::with_capacity(encodings.len());
        for (index, encoding) in encodings.iter().enumerate() {
            // All classes of a column stand together.
            let (feature, class) = (index / means.len(), index % means.len());
            let values = encoding.array()?.f64s()?;
            if values.len() != categories[feature].count() {
                return Err(inconsistent(encoding, "a number for each category is needed"));
            }
            let column = OrdinalColumn { categories: categories[feature].clone(), values, unknown: Some(means[class]) };
            outputs.push((feature, column));
        }
        Ok(TargetEncoder { outputs, features })
    }
}

impl Estimator for TargetEncoder {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.outputs.len())
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        let mut needs = vec![Need::Nothing; self.features];
        for (feature, column) in &self.outputs {
            needs[*feature] = column.categories.need();
        }
        Ok(Needs::columns(needs))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let mut parts = Vec::with_capacity(self.outputs.len());
        for (feature, column) in &self.outputs {
            let values = mapped(graph, path, (x, *feature), column)?;
            parts.push(Features::of(with_columns(graph, path, values, &[1])?));
        }
        Ok(Features::join(graph, path, parts)?.tensors())
    }
}
