//! Imputers that fill each column by itself, and the indicator of missing values.

use std::collections::HashMap;

use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::map_categories::MapCategories;
use ekiben_runtime::ops::require_known::RequireKnown;
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::categories::MISSING;
use super::features::Column;
use super::{Estimator, Family, Features, Method, Need, Needs, cast, inconsistent, unsupported, with_columns};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `SimpleImputer`.
pub(super) const SIMPLE: Family = Family {
    classes: &["sklearn.impute._base.SimpleImputer"],
    carried: &[],
    decode: |item| Ok(Box::new(SimpleImputer::decode(item)?)),
};

/// `MissingIndicator`.
pub(super) const INDICATOR: Family = Family {
    classes: &["sklearn.impute._base.MissingIndicator"],
    carried: &[],
    decode: |item| Ok(Box::new(MissingIndicator::decode(item)?)),
};

/// What counts as missing. A missing cell of a column of texts is `""`.
#[derive(Debug, Clone, PartialEq)]
pub enum Missing {
    /// NaN, None.
    Nan,
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

impl Missing {
    /// Decodes a `missing_values`.
    pub(super) fn decode(item: &Item<'_>) -> Result<Missing, FrontendError> {
        if item.is_none() {
            return Ok(Missing::Nan);
        }
        if let Ok(text) = item.as_str() {
            // A word for NaN that old releases took.
            return Ok(if text == "NaN" { Missing::Nan } else { Missing::Text(text.to_owned()) });
        }
        let number = item.as_f64()?;
        Ok(if number.is_nan() { Missing::Nan } else { Missing::Number(number) })
    }

    /// Where `x`, numbers of any shape, are missing: booleans.
    pub(super) fn mask(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let name = format!("{path}/missing");
        match self {
            Missing::Number(number) => {
                let x = cast(graph, path, x, DType::F64)?;
                let number = graph.add_constant(&name, DType::F64, &[1], &[*number])?;
                Ok(graph.add(&name, Compare { kind: CompareKind::Equal }, &[x, number])?)
            }
            _ => Ok(graph.add(&name, Compare { kind: CompareKind::NotEqual }, &[x, x])?),
        }
    }

    /// The text that is missing in a column of texts.
    fn text(&self) -> &str {
        if let Missing::Text(text) = self { text } else { MISSING }
    }
}

/// What a column is filled with.
#[derive(Debug, Clone, PartialEq)]
pub enum Fill {
    /// A column of numbers.
    Number(f64),
    /// A column of texts.
    Text(String),
    /// A column without any value in training, which is left out.
    Dropped,
}

/// Fills missing values with one value for each column.
#[derive(Debug, Clone, PartialEq)]
pub struct SimpleImputer {
    /// What counts as missing.
    pub missing: Missing,
    /// One for each column.
    pub fills: Vec<Fill>,
    /// Columns whose missing values are told by a further column each, 1 where missing.
    pub indicators: Vec<usize>,
}

/// The columns of a fitted indicator among `features`.
pub(super) fn indicated(item: &Item<'_>, features: usize) -> Result<Vec<usize>, FrontendError> {
    let positions = item.get("features_")?;
    let places = positions.array()?.i64s()?.into_iter().map(usize::try_from).collect::<Result<Vec<_>, _>>();
    match places {
        Ok(places) if places.iter().all(|&place| place < features) => Ok(places),
        _ => Err(inconsistent(&positions, "an indicator of columns that are not there")),
    }
}

impl SimpleImputer {
    fn decode(item: &Item<'_>) -> Result<SimpleImputer, FrontendError> {
        let strategy = item.get("strategy")?;
        if strategy.as_str().is_err() {
            return Err(unsupported(
                &strategy,
                "a strategy that is a function; use \"mean\", \"median\" or \"most_frequent\"",
            ));
        }
        let missing = Missing::decode(&item.get("missing_values")?)?;
        let keeps_empty = match item.find("keep_empty_features")? {
            Some(flag) => flag.as_bool()?,
            None => false,
        };
        let statistics = item.get("statistics_")?;
        let array = statistics.array()?;
        if array.shape().len() != 1 {
            return Err(statistics.wrong("a list of values").into());
        }
        let number = |value: f64| if value.is_nan() && !keeps_empty { Fill::Dropped } else { Fill::Number(value) };
        let fills: Vec<Fill> = match array.f64s() {
            Ok(values) => values.into_iter().map(number).collect(),
            Err(_) => {
                let fill = |value: &Item<'_>| match value.as_str() {
                    Ok(text) => Ok(Fill::Text(text.to_owned())),
                    Err(_) if value.is_none() => Ok(Fill::Dropped),
                    Err(_) => Ok(number(value.as_f64().or(value.as_bool().map(f64::from))?)),
                };
                array.objects()?.iter().map(fill).collect::<Result<_, FrontendError>>()?
            }
        };
        if fills.iter().all(|fill| *fill == Fill::Dropped) {
            return Err(unsupported(item, "an imputer that gives no columns"));
        }
        let indicators = match item.find("indicator_")? {
            Some(indicator) if !indicator.is_none() => indicated(&indicator, fills.len())?,
            _ => Vec::new(),
        };
        Ok(SimpleImputer { missing, fills, indicators })
    }

    /// Positions of columns that are filled with numbers, or with texts.
    fn places(&self, wanted: impl Fn(&Fill) -> bool) -> Vec<usize> {
        self.fills.iter().enumerate().filter(|(_, fill)| wanted(fill)).map(|(place, _)| place).collect()
    }

    /// Where column `place` of `x` is missing: `[N, 1]` in float64.
    fn indicator(&self, graph: &mut Graph, path: &str, x: &Features, place: usize) -> Result<Features, FrontendError> {
        let column = x.column(graph, path, place)?;
        let mask = column_mask(graph, path, &self.missing, column)?;
        let mask = cast(graph, path, mask, DType::F64)?;
        Ok(Features::of(with_columns(graph, path, mask, &[1])?))
    }
}

/// Where a column of numbers or texts is missing: `[N]` of booleans.
fn column_mask(graph: &mut Graph, path: &str, missing: &Missing, column: TensorId) -> Result<TensorId, FrontendError> {
    let spec = graph.spec(column);
    if spec.dtype != DType::Category {
        return missing.mask(graph, path, column);
    }
    let known = texts_of(graph, column);
    let flags: Vec<u8> = known.iter().map(|text| u8::from(text == missing.text())).chain([0]).collect();
    let name = format!("{path}/missing");
    let flags = graph.add_constant(&name, DType::Bool, &[flags.len()], &flags)?;
    Ok(graph.add(&name, MapCategories, &[column, flags])?)
}

/// The texts of a column of categories.
fn texts_of(graph: &Graph, column: TensorId) -> Vec<String> {
    let table = graph.spec(column).table;
    table.and_then(|table| graph.tables().get(table as usize)).cloned().unwrap_or_default()
}

/// A column of texts in which `fill` stands for what is missing.
fn filled(
    graph: &mut Graph,
    path: &str,
    missing: &Missing,
    column: TensorId,
    fill: &str,
) -> Result<TensorId, FrontendError> {
    let mut table: Vec<String> = Vec::new();
    let mut codes: HashMap<String, u32> = HashMap::new();
    let mut values = Vec::new();
    for text in texts_of(graph, column) {
        let text = if text == missing.text() { fill.to_owned() } else { text };
        let code = *codes.entry(text).or_insert_with_key(|text| {
            table.push(text.clone());
            table.len() as u32 - 1
        });
        values.push(code);
    }
    values.push(DType::UNKNOWN_CATEGORY);
    let name = format!("{path}/statistics_");
    let shape = Shape::fixed(&[values.len()]).map_err(|error| FrontendError::malformed(path, error))?;
    let table = Some(graph.add_table(table));
    let spec = TensorSpec { table, ..TensorSpec::new(DType::Category, shape) };
    let values = graph.add_constant_bytes(&name, spec, bytemuck::cast_slice(&values))?;
    Ok(graph.add(&name, MapCategories, &[column, values])?)
}

impl Estimator for SimpleImputer {
    fn features(&self) -> usize {
        self.fills.len()
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.places(|fill| *fill != Fill::Dropped).len() + self.indicators.len())
    }

    fn needs(&self, path: &str, after: &Needs) -> Result<Needs, FrontendError> {
        let mut needs = Vec::with_capacity(self.fills.len());
        let mut output = 0;
        for fill in &self.fills {
            needs.push(match fill {
                Fill::Dropped => Need::Nothing,
                Fill::Number(_) => Need::Number,
                Fill::Text(fill) => {
                    let own = vec![MISSING.to_owned(), self.missing.text().to_owned(), fill.clone()];
                    let own = Need::Category(Vec::new()).and(Need::Category(own), path)?;
                    match after.of(output) {
                        Need::Category(texts) => Need::Category(texts).and(own, path)?,
                        Need::Nothing => own,
                        need => {
                            let reason = format!(
                                "a column of texts is filled and then read as {need}; encode it, as with OneHotEncoder"
                            );
                            return Err(FrontendError::unsupported(path, "SimpleImputer", reason));
                        }
                    }
                }
            });
            output += usize::from(*fill != Fill::Dropped);
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
        Ok(self.transform(graph, path, x)?.tensors())
    }

    fn transform(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<Features, FrontendError> {
        let numbers = self.places(|fill| matches!(fill, Fill::Number(_)));
        let mut parts = Vec::new();
        if !numbers.is_empty() {
            let taken = x.select(graph, path, &numbers)?.matrix(graph, path)?;
            let dtype = graph.spec(taken).dtype;
            let narrow = dtype == DType::F32;
            let taken = if dtype.is_float() { taken } else { cast(graph, path, taken, DType::F64)? };
            let mask = self.missing.mask(graph, path, taken)?;
            let fill = |place: &usize| if let Fill::Number(fill) = self.fills[*place] { fill } else { 0.0 };
            let fills: Vec<f64> = numbers.iter().map(fill).collect();
            let name = format!("{path}/statistics_");
            let fills = graph.add_constant(&name, DType::F64, &[fills.len()], &fills)?;
            let fills = if narrow { cast(graph, path, fills, DType::F32)? } else { fills };
            parts.push(Features::of(graph.add(&name, Select, &[mask, fills, taken])?));
        }
        if numbers.len() < self.places(|fill| *fill != Fill::Dropped).len() {
            let mut columns = Vec::new();
            let filled_numbers = parts.pop();
            for (place, fill) in self.fills.iter().enumerate() {
                let tensor = match fill {
                    Fill::Dropped => continue,
                    Fill::Number(_) => {
                        let index = numbers.iter().position(|&number| number == place).unwrap_or(0);
                        let Some(matrix) = &filled_numbers else { continue };
                        matrix.column(graph, path, index)?
                    }
                    Fill::Text(fill) => {
                        let column = x.column(graph, path, place)?;
                        if graph.spec(column).dtype != DType::Category {
                            let reason = format!("the column {:?} is not one of texts, as in training", x.name(place));
                            return Err(FrontendError::unsupported(path, "SimpleImputer", reason));
                        }
                        filled(graph, path, &self.missing, column, fill)?
                    }
                };
                columns.push(Column { name: x.name(place), tensor });
            }
            parts.push(Features::Columns(columns));
        }
        for &place in &self.indicators {
            parts.push(self.indicator(graph, path, x, place)?);
        }
        Features::join(graph, path, parts)
    }
}

/// Tells where values are missing: one column of booleans for each of some columns.
#[derive(Debug, Clone, PartialEq)]
pub struct MissingIndicator {
    /// Columns of the input.
    pub features: usize,
    /// What counts as missing.
    pub missing: Missing,
    /// The columns that are told about.
    pub told: Vec<usize>,
    /// A row is refused where another column is missing.
    pub refuses_others: bool,
}

impl MissingIndicator {
    fn decode(item: &Item<'_>) -> Result<MissingIndicator, FrontendError> {
        let features = match item.find("n_features_in_")? {
            Some(features) => features.as_usize()?,
            None => item.get("_n_features")?.as_usize()?,
        };
        let chosen = item.get("features")?;
        let all = match chosen.as_str()? {
            "all" => true,
            "missing-only" => false,
            other => return Err(unsupported(&chosen, format!("features={other:?}"))),
        };
        let told = indicated(item, features)?;
        if told.is_empty() {
            return Err(unsupported(item, "an indicator that gives no columns"));
        }
        let refuses_others = !all && item.get("error_on_new")?.as_bool()?;
        Ok(MissingIndicator { features, missing: Missing::decode(&item.get("missing_values")?)?, told, refuses_others })
    }
}

impl Estimator for MissingIndicator {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.told.len())
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        if let Missing::Text(text) = &self.missing {
            return Ok(Needs::columns(vec![Need::Category(vec![text.clone()]); self.features]));
        }
        Ok(Needs::Numbers)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let mut parts = Vec::with_capacity(self.told.len());
        for &place in &self.told {
            let column = x.column(graph, path, place)?;
            let mask = column_mask(graph, path, &self.missing, column)?;
            parts.push(Features::of(with_columns(graph, path, mask, &[1])?));
        }
        let told = Features::join(graph, path, parts)?.matrix(graph, path)?;
        let others: Vec<usize> = (0..self.features).filter(|place| !self.told.contains(place)).collect();
        if !self.refuses_others || others.is_empty() {
            return Ok(vec![told]);
        }
        // What is told passes by a check of the others: the check's zeros are added.
        let mut sum = cast(graph, path, told, DType::I32)?;
        for place in others {
            let column = x.column(graph, path, place)?;
            let mask = column_mask(graph, path, &self.missing, column)?;
            let mask = cast(graph, path, mask, DType::I32)?;
            let mask = graph.add(&format!("{path}/error_on_new"), RequireKnown { limit: 1 }, &[mask])?;
            let mask = with_columns(graph, path, mask, &[1])?;
            let add = ekiben_runtime::ops::binary::Binary { kind: ekiben_runtime::ops::binary::BinaryKind::Add };
            sum = graph.add(&format!("{path}/others"), add, &[sum, mask])?;
        }
        Ok(vec![cast(graph, path, sum, DType::Bool)?])
    }
}
