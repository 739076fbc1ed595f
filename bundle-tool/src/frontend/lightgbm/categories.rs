//! Columns of a model that was trained on a pandas frame: LightGBM replaces a column of categories by their numbers.

use super::text::Booster;
use crate::frontend::FrontendError;
use crate::frontend::categories::{self, Column};
use crate::frontend::sklearn::Need;
use crate::graph::{Graph, TensorId};

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
        return Column::texts(&path, texts);
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
        self.columns.as_ref().map(|columns| columns.iter().map(Column::need).collect())
    }
}

/// The matrix `[N, features]` of the columns of a table, float64, categories replaced by their numbers.
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
    categories::matrix(graph, path, kinds, |index| booster.name(index), tensors)
}
