//! Columns of a model that was trained on a pandas frame: LightGBM replaces a column of categories by their numbers.

use ekiben_runtime::DType;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::lookup::Lookup;

use super::text::Booster;
use crate::frontend::FrontendError;
use crate::frontend::sklearn::{self, Features, Need};
use crate::graph::{Graph, TensorId};

/// What a column of the frame holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Column {
    /// Numbers as they are.
    Number,
    /// Texts, each replaced by its position here; any other is missing.
    Texts(Vec<String>),
    /// Numbers, each replaced by its position here; any other is missing.
    Numbers(Vec<f64>),
}

/// The columns of a model of `features` features. `pandas` is the list that the Python package appends: the categories of each
/// column of categories, in the order of the columns. Which columns these are is told by the parameter `categorical_feature`, a list of
/// indices, or by the `infos` of the features: those of a category list its numbers, `3:1:2`, not a range.
///
/// `None` where no column has categories: all are numbers.
pub(super) fn columns(
    pandas: Option<&str>,
    parameter: Option<&str>,
    infos: &str,
    features: usize,
) -> Result<Option<Vec<Column>>, FrontendError> {
    const PATH: &str = "pandas_categorical";
    let lists = match pandas.map(str::trim) {
        None | Some("" | "null") => return Ok(None),
        Some(text) => serde_json::from_str::<Vec<Vec<serde_json::Value>>>(text)
            .map_err(|error| FrontendError::malformed(PATH, error))?,
    };
    if lists.is_empty() {
        return Ok(None);
    }
    let stated: Option<Vec<usize>> =
        parameter.and_then(|list| list.split(',').map(|i| i.trim().parse().ok()).collect());
    let informed: Vec<usize> = infos
        .split_ascii_whitespace()
        .enumerate()
        .filter(|(_, info)| *info != "none" && !info.starts_with('['))
        .map(|(index, _)| index)
        .collect();
    let found = [stated.unwrap_or_default(), informed].into_iter().find(|found| found.len() == lists.len());
    let Some(mut places) = found.filter(|found| found.iter().all(|place| *place < features)) else {
        let reason = "the file does not tell which columns hold its categories (ordered categories, or categorical_feature was \
            given by hand); train on numbers in place of pandas categories";
        return Err(FrontendError::unsupported(PATH, format!("{} columns of categories", lists.len()), reason));
    };
    places.sort_unstable();
    places.dedup();
    if places.len() != lists.len() {
        return Err(FrontendError::malformed(PATH, "a column is named twice"));
    }
    let mut columns = vec![Column::Number; features];
    for (place, list) in places.into_iter().zip(lists) {
        columns[place] = column(place, &list)?;
    }
    Ok(Some(columns))
}

fn column(place: usize, list: &[serde_json::Value]) -> Result<Column, FrontendError> {
    let path = format!("pandas_categorical, column {place}");
    if let Some(texts) = list.iter().map(|item| item.as_str().map(str::to_owned)).collect::<Option<Vec<String>>>() {
        let mut sorted: Vec<&String> = texts.iter().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(FrontendError::malformed(path, "a category is there twice"));
        }
        return Ok(Column::Texts(texts));
    }
    let number = |item: &serde_json::Value| item.as_bool().map(|item| f64::from(u8::from(item))).or(item.as_f64());
    match list.iter().map(number).collect::<Option<Vec<f64>>>() {
        Some(numbers) => Ok(Column::Numbers(numbers)),
        None => {
            let reason = "categories that are neither all texts nor all numbers; train with one type of category";
            Err(FrontendError::unsupported(path, "pandas_categorical", reason))
        }
    }
}

impl Booster {
    /// What each column has to be; `None` where all are numbers as they are.
    pub fn needs(&self) -> Option<Vec<Need>> {
        let need = |column: &Column| match column {
            Column::Texts(texts) => Need::Category(texts.clone()),
            Column::Number | Column::Numbers(_) => Need::Number,
        };
        self.columns.as_ref().map(|columns| columns.iter().map(need).collect())
    }
}

/// The matrix `[N, features]` of the columns of a table, float64, categories replaced by their numbers. A tensor of categories that has no table yet is
/// given that of its column.
///
/// # Errors
/// Columns of another number or type.
pub fn matrix(
    graph: &mut Graph,
    path: &str,
    booster: &Booster,
    tensors: &[TensorId],
) -> Result<TensorId, FrontendError> {
    let kinds = booster.columns.as_deref().unwrap_or_default();
    if kinds.len() != tensors.len() {
        let reason = format!("{} columns, it takes {}", tensors.len(), kinds.len());
        return Err(FrontendError::malformed(path, reason));
    }
    let mut columns = Vec::with_capacity(kinds.len());
    for (index, (kind, &tensor)) in kinds.iter().zip(tensors).enumerate() {
        let name = booster.name(index);
        let path = format!("{path}/{name}");
        let tensor = match kind {
            Column::Number => tensor,
            Column::Texts(texts) => text_codes(graph, &path, texts, tensor)?,
            Column::Numbers(numbers) => number_codes(graph, &path, numbers, tensor)?,
        };
        columns.push(sklearn::Column { name, tensor: to_f64(graph, &path, tensor)? });
    }
    Features::Columns(columns).matrix(graph, path)
}

fn to_f64(graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
    if graph.spec(x).dtype == DType::F64 { Ok(x) } else { Ok(graph.add(path, Cast { to: DType::F64 }, &[x])?) }
}

/// The position of each category among `texts`, NaN for any other.
fn text_codes(graph: &mut Graph, path: &str, texts: &[String], x: TensorId) -> Result<TensorId, FrontendError> {
    if graph.spec(x).table.is_none() {
        let table = graph.add_table(texts.to_vec());
        graph.set_table(x, table);
    }
    let table = graph.spec(x).table.and_then(|table| graph.tables().get(table as usize)).cloned();
    let table = table.ok_or_else(|| FrontendError::malformed(path, "categories without a list of their texts"))?;
    let positions: std::collections::HashMap<&String, usize> =
        texts.iter().enumerate().map(|(position, text)| (text, position)).collect();
    let keys: Vec<u32> = (0..table.len().max(1) as u32).collect();
    let code = |text: &String| positions.get(text).map_or(f64::NAN, |&position| position as f64);
    let mut codes: Vec<f64> = table.iter().map(code).collect();
    codes.resize(keys.len() + 1, f64::NAN);
    let keys = graph.add_constant(path, DType::U32, &[keys.len()], &keys)?;
    looked_up(graph, path, keys, &codes, x)
}

/// The position of each number among `numbers`, NaN for any other.
fn number_codes(graph: &mut Graph, path: &str, numbers: &[f64], x: TensorId) -> Result<TensorId, FrontendError> {
    let mut order: Vec<usize> = (0..numbers.len()).collect();
    order.sort_by(|&a, &b| numbers[a].total_cmp(&numbers[b]));
    order.dedup_by(|a, b| numbers[*a] == numbers[*b]);
    let keys: Vec<f64> = order.iter().map(|&position| numbers[position]).collect();
    let mut codes: Vec<f64> = order.iter().map(|&position| position as f64).collect();
    codes.push(f64::NAN);
    let x = to_f64(graph, path, x)?;
    let keys = graph.add_constant(path, DType::F64, &[keys.len()], &keys)?;
    looked_up(graph, path, keys, &codes, x)
}

/// The code at the position of each element of `x` among `keys`; the last one where it is none of them.
fn looked_up(
    graph: &mut Graph,
    path: &str,
    keys: TensorId,
    codes: &[f64],
    x: TensorId,
) -> Result<TensorId, FrontendError> {
    let position = graph.add(path, Lookup, &[x, keys])?;
    let codes = graph.add_constant(path, DType::F64, &[codes.len()], codes)?;
    Ok(graph.add(path, Gather { axis: 0 }, &[codes, position])?)
}
