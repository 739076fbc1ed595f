//! What estimators are lowered from: a matrix, or the columns of a table; and what they need the columns to be.

use std::fmt;

use ekiben_runtime::DType;
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::slice::Slice;

use super::{cast, with_columns};
use crate::frontend::FrontendError;
use crate::graph::{Graph, TensorId};

/// The samples that an estimator is asked about.
#[derive(Clone, Debug, PartialEq)]
pub enum Features {
    /// Numbers side by side.
    Matrix {
        /// `[N, columns]`, any numeric type.
        tensor: TensorId,
        /// Names of the columns; empty where they have none.
        names: Vec<String>,
    },
    /// Columns of several types.
    Columns(Vec<Column>),
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name, for messages; `x3` where it has none.
    pub name: String,
    /// `[N]` of numbers or categories (the text `""` stands for a missing value), or `[N, bytes]` of text.
    pub tensor: TensorId,
}

/// What an estimator needs a column to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Need {
    /// Anything: the column is not read.
    Nothing,
    /// A number; NaN where it is missing.
    Number,
    /// One of these texts, `""` where it is missing; any other text is an unknown category.
    Category(Vec<String>),
    /// Free text.
    Text,
}

/// What an estimator needs its columns to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Needs {
    /// All are numbers.
    Numbers,
    /// One need for each column.
    Columns(Vec<Need>),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Need::Nothing => "anything",
            Need::Number => "numbers",
            Need::Category(_) => "texts of a known list",
            Need::Text => "free text",
        })
    }
}

impl Need {
    /// What serves both this need and `other`.
    ///
    /// # Errors
    /// Needs that no column can serve together.
    pub fn and(self, other: Need, path: &str) -> Result<Need, FrontendError> {
        match (self, other) {
            (Need::Nothing, other) | (other, Need::Nothing) => Ok(other),
            (Need::Category(mut texts), Need::Category(more)) => {
                let known: std::collections::HashSet<String> = texts.iter().cloned().collect();
                texts.extend(more.into_iter().filter(|text| !known.contains(text)));
                Ok(Need::Category(texts))
            }
            (one, other) if one == other => Ok(one),
            (one, other) => {
                let reason = format!("a column is read as {one} and as {other}; give each reader a column of its own");
                Err(FrontendError::unsupported(path, "column", reason))
            }
        }
    }
}

impl Needs {
    /// The need of column number `index`.
    pub fn of(&self, index: usize) -> Need {
        match self {
            Needs::Numbers => Need::Number,
            Needs::Columns(needs) => needs.get(index).cloned().unwrap_or(Need::Nothing),
        }
    }

    /// One need for each column; all numbers become [`Needs::Numbers`].
    pub fn columns(needs: Vec<Need>) -> Needs {
        if needs.iter().all(|need| *need == Need::Number) { Needs::Numbers } else { Needs::Columns(needs) }
    }

    /// What serves these needs and `other`: those of several estimators that are asked about the same columns.
    ///
    /// # Errors
    /// As [`Need::and`].
    pub fn and(self, other: Needs, path: &str) -> Result<Needs, FrontendError> {
        match (self, other) {
            (Needs::Numbers, Needs::Numbers) => Ok(Needs::Numbers),
            (Needs::Columns(needs), other) | (other, Needs::Columns(needs)) => {
                let both = needs.into_iter().enumerate().map(|(index, need)| need.and(other.of(index), path));
                Ok(Needs::columns(both.collect::<Result<_, _>>()?))
            }
        }
    }
}

impl Features {
    /// A matrix `[N, columns]` whose columns have no names.
    pub fn of(tensor: TensorId) -> Features {
        Features::Matrix { tensor, names: Vec::new() }
    }

    /// Number of columns.
    pub fn count(&self, graph: &Graph) -> usize {
        match self {
            Features::Matrix { tensor, .. } => graph.shape(*tensor).factor(1).unwrap_or(0),
            Features::Columns(columns) => columns.len(),
        }
    }

    /// Name of column number `index`; `x3` where it has none.
    pub fn name(&self, index: usize) -> String {
        let name = match self {
            Features::Matrix { names, .. } => names.get(index),
            Features::Columns(columns) => columns.get(index).map(|column| &column.name),
        };
        name.cloned().unwrap_or_else(|| format!("x{index}"))
    }

    /// The columns as numbers side by side, `[N, columns]`; of several types, in float64.
    ///
    /// # Errors
    /// A column of texts, which is named; no columns at all.
    pub fn matrix(&self, graph: &mut Graph, path: &str) -> Result<TensorId, FrontendError> {
        let columns = match self {
            Features::Matrix { tensor, .. } => return Ok(*tensor),
            Features::Columns(columns) => columns,
        };
        for column in columns {
            if matches!(graph.spec(column.tensor).dtype, DType::Category | DType::Text) {
                let reason = format!(
                    "the column {:?} holds text, and this takes numbers. Encode it first, as with OneHotEncoder",
                    column.name
                );
                return Err(FrontendError::unsupported(path, "column", reason));
            }
        }
        let Some(first) = columns.first() else {
            return Err(FrontendError::malformed(path, "there are no columns to take"));
        };
        let dtype = graph.spec(first.tensor).dtype;
        let is_same = columns.iter().all(|column| graph.spec(column.tensor).dtype == dtype);
        let dtype = if is_same { dtype } else { DType::F64 };
        let mut parts = Vec::with_capacity(columns.len());
        for column in columns {
            let part = cast(graph, path, column.tensor, dtype)?;
            parts.push(with_columns(graph, path, part, &[1])?);
        }
        match parts.as_slice() {
            &[part] => Ok(part),
            parts => Ok(graph.add(&format!("{path}/columns"), Concat { axis: 1 }, parts)?),
        }
    }

    /// Column number `index`: `[N]` of numbers or categories, or `[N, bytes]` of text.
    ///
    /// # Errors
    /// A column that is not there.
    pub fn column(&self, graph: &mut Graph, path: &str, index: usize) -> Result<TensorId, FrontendError> {
        if index >= self.count(graph) {
            let reason = format!("column {index} of {} is taken", self.count(graph));
            return Err(FrontendError::malformed(path, reason));
        }
        match self {
            Features::Columns(columns) => Ok(columns[index].tensor),
            Features::Matrix { tensor, .. } => {
                let column = take(graph, path, *tensor, &[index])?;
                with_columns(graph, path, column, &[])
            }
        }
    }

    /// The columns at `positions`, in that order; a table without columns for none.
    ///
    /// # Errors
    /// Columns that are not there.
    pub fn select(&self, graph: &mut Graph, path: &str, positions: &[usize]) -> Result<Features, FrontendError> {
        let count = self.count(graph);
        if let Some(position) = positions.iter().find(|position| **position >= count) {
            return Err(FrontendError::malformed(path, format!("column {position} of {count} is taken")));
        }
        Ok(match self {
            _ if positions.is_empty() => Features::Columns(Vec::new()),
            Features::Matrix { tensor, names } => {
                let names = positions.iter().filter_map(|&position| names.get(position).cloned()).collect();
                Features::Matrix { tensor: take(graph, path, *tensor, positions)?, names }
            }
            Features::Columns(columns) => {
                Features::Columns(positions.iter().map(|&position| columns[position].clone()).collect())
            }
        })
    }

    /// The columns of all `parts` side by side: a matrix where all are numbers (of several types: in float64), else a table.
    ///
    /// # Errors
    /// What the graph refuses.
    pub fn join(graph: &mut Graph, path: &str, parts: Vec<Features>) -> Result<Features, FrontendError> {
        let parts: Vec<Features> = parts.into_iter().filter(|part| part.count(graph) > 0).collect();
        let all_matrices = parts.iter().all(|part| matches!(part, Features::Matrix { .. }));
        if !all_matrices {
            let mut columns = Vec::new();
            for part in parts {
                for index in 0..part.count(graph) {
                    let name = part.name(index);
                    columns.push(Column { name, tensor: part.column(graph, path, index)? });
                }
            }
            return Features::Columns(columns).gathered(graph, path);
        }
        let tensors: Vec<TensorId> =
            parts.iter().map(|part| part.matrix(graph, path)).collect::<Result<_, FrontendError>>()?;
        let Some(&first) = tensors.first() else {
            return Err(FrontendError::malformed(path, "there are no columns to join"));
        };
        if tensors.len() == 1 {
            return Ok(Features::of(first));
        }
        let dtype = graph.spec(first).dtype;
        let is_same = tensors.iter().all(|&tensor| graph.spec(tensor).dtype == dtype);
        let dtype = if is_same { dtype } else { DType::F64 };
        let tensors = tensors.iter().map(|&tensor| cast(graph, path, tensor, dtype)).collect::<Result<Vec<_>, _>>()?;
        Ok(Features::of(graph.add(&format!("{path}/join"), Concat { axis: 1 }, &tensors)?))
    }

    /// A table of nothing but numbers becomes a matrix; another one stays as it is.
    pub(super) fn gathered(self, graph: &mut Graph, path: &str) -> Result<Features, FrontendError> {
        let Features::Columns(columns) = &self else { return Ok(self) };
        let is_text = |column: &Column| matches!(graph.spec(column.tensor).dtype, DType::Category | DType::Text);
        if columns.is_empty() || columns.iter().any(is_text) {
            return Ok(self);
        }
        let names = columns.iter().map(|column| column.name.clone()).collect();
        Ok(Features::Matrix { tensor: self.matrix(graph, path)?, names })
    }

    /// The tensors: one matrix, or one for each column.
    pub fn tensors(&self) -> Vec<TensorId> {
        match self {
            Features::Matrix { tensor, .. } => vec![*tensor],
            Features::Columns(columns) => columns.iter().map(|column| column.tensor).collect(),
        }
    }
}

/// The columns of `x`, `[N, columns]`, at `positions`, which are inside.
pub(super) fn take(graph: &mut Graph, path: &str, x: TensorId, positions: &[usize]) -> Result<TensorId, FrontendError> {
    let shape = graph.shape(x);
    let (rows, width) = (shape.factor(0).unwrap_or(0), shape.factor(1).unwrap_or(0));
    let is_run = positions.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let narrow = |values: Vec<usize>| {
        let values = values.into_iter().map(i32::try_from).collect::<Result<Vec<i32>, _>>();
        values.map_err(|error| FrontendError::malformed(path, error))
    };
    match positions.first() {
        Some(0) if is_run && positions.len() == width => Ok(x),
        Some(&start) if is_run => {
            let table = narrow(vec![0, start, 1, 1, rows, positions.len()])?;
            let table = graph.add_constant(&format!("{path}/columns"), DType::I32, &[3, 2], &table)?;
            Ok(graph.add(&format!("{path}/slice"), Slice, &[x, table])?)
        }
        Some(_) => {
            let indices = narrow(positions.to_vec())?;
            let name = format!("{path}/columns");
            let indices = graph.add_constant(&name, DType::I32, &[positions.len()], &indices)?;
            Ok(graph.add(&name, Gather { axis: 1 }, &[x, indices])?)
        }
        None => Err(FrontendError::malformed(path, "no columns are taken")),
    }
}
