//! Columns of a model that was trained on a pandas frame: the framework replaces a column of categories by their numbers.

use std::collections::HashMap;

use ekiben_runtime::DType;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::lookup::Lookup;

use super::FrontendError;
use super::sklearn::{self, Features, Need};
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

impl Column {
    /// A column of texts.
    ///
    /// # Errors
    /// A text that is there twice; `path` names the column in messages.
    pub fn texts(path: &str, texts: Vec<String>) -> Result<Column, FrontendError> {
        let mut sorted: Vec<&String> = texts.iter().collect();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(FrontendError::malformed(path, "a category is there twice"));
        }
        Ok(Column::Texts(texts))
    }

    /// What a table's column has to be.
    pub fn need(&self) -> Need {
        match self {
            Column::Texts(texts) => Need::Category(texts.clone()),
            Column::Number | Column::Numbers(_) => Need::Number,
        }
    }
}

/// The matrix `[N, features]` of the columns of a table, float64, categories replaced by their numbers. A tensor of categories that has no table yet is
/// given that of its column. `name` names the columns in messages.
///
/// # Errors
/// Columns of another number or type.
pub fn matrix(
    graph: &mut Graph,
    path: &str,
    kinds: &[Column],
    name: impl Fn(usize) -> String,
    tensors: &[TensorId],
) -> Result<TensorId, FrontendError> {
    if kinds.len() != tensors.len() {
        let reason = format!("{} columns, it takes {}", tensors.len(), kinds.len());
        return Err(FrontendError::malformed(path, reason));
    }
    let mut columns = Vec::with_capacity(kinds.len());
    for (index, (kind, &tensor)) in kinds.iter().zip(tensors).enumerate() {
        let name = name(index);
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
    let positions: HashMap<&String, usize> =
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
