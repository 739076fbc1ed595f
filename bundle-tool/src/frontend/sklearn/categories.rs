//! Categories of a column: what encoders were trained with, and the step from a column's values to them.

use std::collections::HashMap;

use ekiben_runtime::DType;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::lookup::Lookup;
use ekiben_runtime::ops::map_categories::MapCategories;
use ekiben_runtime::ops::require_known::RequireKnown;
use ekiben_runtime::tensor::Element;

use super::features::{Features, Need};
use super::{cast, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::{Item, Kind};
use crate::graph::{Graph, TensorId};

/// Categories of a column, in the encoder's order.
#[derive(Debug, Clone, PartialEq)]
pub enum Categories {
    /// Numbers, NaN for a missing value.
    Numbers(Vec<f64>),
    /// Texts, `""` for a missing value.
    Texts(Vec<String>),
}

/// The text that stands for a missing value.
pub(super) const MISSING: &str = "";

impl Categories {
    /// Decodes an array of categories.
    pub(super) fn decode(item: &Item<'_>) -> Result<Categories, FrontendError> {
        let array = item.array()?;
        if array.shape().len() != 1 {
            return Err(item.wrong("a list of categories").into());
        }
        let categories = match array.dtype().kind {
            Kind::Bool => Categories::Numbers(array.bools()?.into_iter().map(f64::from).collect()),
            Kind::Int | Kind::UInt | Kind::Float => Categories::Numbers(array.f64s()?),
            Kind::Object => Categories::of_objects(&array.objects()?, item)?,
            _ => Categories::Texts(array.strings()?),
        };
        categories.check(item)
    }

    /// Categories of mixed objects: all texts or all numbers, and missing values among them.
    fn of_objects(objects: &[Item<'_>], item: &Item<'_>) -> Result<Categories, FrontendError> {
        let is_missing = |object: &Item<'_>| object.is_none() || object.as_f64().is_ok_and(f64::is_nan);
        let number = |object: &Item<'_>| object.as_f64().or(object.as_bool().map(f64::from)).ok();
        let text = |object: &Item<'_>| match object.as_str() {
            Ok(text) => Some(text.to_owned()),
            Err(_) => is_missing(object).then(|| MISSING.to_owned()),
        };
        let numbers: Option<Vec<f64>> =
            objects.iter().map(|object| if object.is_none() { Some(f64::NAN) } else { number(object) }).collect();
        if let Some(numbers) = numbers.filter(|numbers| !numbers.is_empty()) {
            return Ok(Categories::Numbers(numbers));
        }
        match objects.iter().map(text).collect() {
            Some(texts) => Ok(Categories::Texts(texts)),
            None => Err(unsupported(
                item,
                "a column whose categories are neither all texts nor all numbers; train with one type for each column",
            )),
        }
    }

    /// Categories are different from each other. A missing value is one category, however it is spelt.
    fn check(self, item: &Item<'_>) -> Result<Categories, FrontendError> {
        let (count, distinct) = match &self {
            Categories::Numbers(numbers) => {
                let keys: std::collections::HashSet<u64> = numbers.iter().map(|&number| key(number)).collect();
                (numbers.len(), keys.len())
            }
            Categories::Texts(texts) => {
                let keys: std::collections::HashSet<&String> = texts.iter().collect();
                (texts.len(), keys.len())
            }
        };
        if count == distinct {
            return Ok(self);
        }
        Err(unsupported(
            item,
            "categories that cannot be told apart in a table: several kinds of missing values, or a missing value and the text \"\"; \
             fill missing values with one text before training",
        ))
    }

    /// Number of categories.
    pub fn count(&self) -> usize {
        match self {
            Categories::Numbers(numbers) => numbers.len(),
            Categories::Texts(texts) => texts.len(),
        }
    }

    /// What the column has to be.
    pub(super) fn need(&self) -> Need {
        match self {
            Categories::Numbers(_) => Need::Number,
            Categories::Texts(texts) => Need::Category(texts.clone()),
        }
    }

    /// Position of the category of missing values.
    pub(super) fn missing(&self) -> Option<usize> {
        match self {
            Categories::Numbers(numbers) => numbers.iter().position(|number| number.is_nan()),
            Categories::Texts(texts) => texts.iter().position(|text| text == MISSING),
        }
    }

    /// For column number `index` of `x` the value of each row's category, `[N]` of type `dtype`: `values` holds one for each category, then one
    /// for what is none of them.
    ///
    /// # Errors
    /// A column that is not what the categories need.
    pub(super) fn map<T: Element>(
        &self,
        graph: &mut Graph,
        path: &str,
        (x, index): (&Features, usize),
        dtype: DType,
        values: &[T],
    ) -> Result<TensorId, FrontendError> {
        let column = x.column(graph, path, index)?;
        let name = format!("{path}/{}", x.name(index));
        let spec = graph.spec(column);
        let other = *values.last().ok_or_else(|| FrontendError::malformed(path, "no value for unknown categories"))?;
        let value = |category: usize| values.get(category).copied().unwrap_or(other);
        let is_text = matches!(spec.dtype, DType::Category | DType::Text);
        match (self, spec.dtype) {
            (Categories::Texts(texts), DType::Category) => {
                let positions: HashMap<&str, usize> = texts.iter().map(String::as_str).zip(0..).collect();
                let known = spec.table.and_then(|table| graph.tables().get(table as usize)).cloned();
                let known = known.unwrap_or_default();
                let values = known.iter().map(|text| positions.get(text.as_str()).map_or(other, |&at| value(at)));
                let values: Vec<T> = values.chain([other]).collect();
                let values = graph.add_constant(&name, dtype, &[values.len()], &values)?;
                Ok(graph.add(&name, MapCategories, &[column, values])?)
            }
            (Categories::Numbers(numbers), _) if !is_text => {
                let column = cast(graph, path, column, DType::F64)?;
                let mut order: Vec<usize> = (0..numbers.len()).collect();
                order.sort_by(|&a, &b| rank(numbers[a]).total_cmp(&rank(numbers[b])));
                let keys: Vec<f64> = order.iter().map(|&at| numbers[at]).collect();
                let values: Vec<T> = order.iter().map(|&at| value(at)).chain([other]).collect();
                let values = graph.add_constant(&name, dtype, &[values.len()], &values)?;
                if keys.is_empty() {
                    let reason = format!("column {:?} has no categories", x.name(index));
                    return Err(FrontendError::malformed(path, reason));
                }
                let keys = graph.add_constant(&name, DType::F64, &[keys.len()], &keys)?;
                let position = graph.add(&name, Lookup, &[column, keys])?;
                Ok(graph.add(&name, Gather { axis: 0 }, &[values, position])?)
            }
            (_, found) => {
                let needs = self.need();
                let reason = format!("the column {:?} is {found}, and its categories are {needs}", x.name(index));
                Err(FrontendError::unsupported(path, "column", reason))
            }
        }
    }

    /// For column number `index` of `x` the position of each row's category, `[N]` of i32, or `other` for what is none of them. With `other`
    /// negative a run refuses such a row.
    ///
    /// # Errors
    /// As [`Categories::map`].
    pub(super) fn codes(
        &self,
        graph: &mut Graph,
        path: &str,
        column: (&Features, usize),
        codes: &[i32],
        other: i32,
    ) -> Result<TensorId, FrontendError> {
        let values: Vec<i32> = codes.iter().copied().chain([other]).collect();
        let mapped = self.map(graph, path, column, DType::I32, &values)?;
        if other >= 0 {
            return Ok(mapped);
        }
        let limit = codes.iter().max().map_or(1, |&most| most.max(0) as u32 + 1);
        Ok(graph.add(&format!("{path}/known"), RequireKnown { limit }, &[mapped])?)
    }
}

/// Equal for equal numbers, all NaN being one.
fn key(number: f64) -> u64 {
    if number.is_nan() {
        return f64::NAN.to_bits();
    }
    // Adding 0 takes the sign off a zero.
    (number + 0.0).to_bits()
}

/// NaN after all numbers, one zero: the order of [`Lookup`].
fn rank(number: f64) -> f64 {
    if number.is_nan() { f64::NAN.abs() } else { number + 0.0 }
}

/// The element type that an attribute names: `numpy.float64`, `float`, or a `dtype`.
pub(super) fn dtype(item: &Item<'_>) -> Result<DType, FrontendError> {
    let name = match item.as_global().or(item.as_str()) {
        Ok(name) => name,
        Err(_) => item.class()?,
    };
    let short = name.rsplit('.').next().unwrap_or_default();
    let dtype = match short {
        "float" | "double" => Some(DType::F64),
        "int" => Some(DType::I64),
        "bool_" => Some(DType::Bool),
        short => DType::from_name(short).filter(|dtype| DType::WHOLE.contains(dtype)),
    };
    dtype.ok_or_else(|| unsupported(item, format!("the element type {short:?}; use float64")))
}

/// A list of `count` items that `item` holds.
pub(super) fn list<'d>(item: &Item<'d>, count: usize) -> Result<Vec<Item<'d>>, FrontendError> {
    let items = item.items()?;
    if items.len() != count {
        return Err(inconsistent(item, format!("{} entries for {count} columns", items.len())));
    }
    Ok(items)
}
