//! Attributes of numbers: vectors, and matrices that may be sparse in the file.

use super::{inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;

/// A matrix, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Matrix {
    /// Number of rows.
    pub rows: usize,
    /// Number of columns.
    pub columns: usize,
    /// `rows * columns` elements.
    pub values: Vec<f64>,
}

/// Elements that a sparse matrix has at most once its zeros are written out.
const MOST_ELEMENTS: usize = 1 << 22;

impl Matrix {
    /// A matrix of `rows` rows.
    pub(super) fn new(rows: usize, columns: usize, values: Vec<f64>) -> Matrix {
        debug_assert_eq!(rows * columns, values.len());
        Matrix { rows, columns, values }
    }

    /// Decodes an array of two dimensions, neither of them 0, or a matrix in scipy's compressed rows.
    pub(super) fn decode(item: &Item<'_>) -> Result<Matrix, FrontendError> {
        if item.class().is_ok() {
            return Matrix::decode_sparse(item);
        }
        let array = item.array()?;
        let &[rows, columns] = array.shape() else {
            return Err(item.wrong("an array of two dimensions").into());
        };
        if rows == 0 || columns == 0 {
            return Err(item.wrong("an array that is not empty").into());
        }
        Ok(Matrix { rows, columns, values: array.f64s()? })
    }

    /// As [`Matrix::decode`]; an array of one dimension is a single row.
    pub(super) fn decode_rows(item: &Item<'_>) -> Result<Matrix, FrontendError> {
        if item.class().is_ok() || item.array()?.shape().len() != 1 {
            return Matrix::decode(item);
        }
        let values = vector(item)?;
        if values.is_empty() {
            return Err(item.wrong("an array that is not empty").into());
        }
        Ok(Matrix { rows: 1, columns: values.len(), values })
    }

    fn decode_sparse(item: &Item<'_>) -> Result<Matrix, FrontendError> {
        let class = item.class()?;
        if !matches!(class.rsplit('.').next(), Some("csr_matrix" | "csr_array")) {
            return Err(unsupported(item, "this matrix is not read; fit on numpy arrays, or call densify()"));
        }
        let shape = item.get("_shape")?;
        let (rows, columns) = (shape.at(0)?.as_usize()?, shape.at(1)?.as_usize()?);
        let data = item.get("data")?.array()?.f64s()?;
        let indices = item.get("indices")?.array()?.i64s()?;
        let starts = item.get("indptr")?.array()?.i64s()?;
        let count = rows.checked_mul(columns).filter(|&count| (1..=MOST_ELEMENTS).contains(&count));
        let Some(count) = count else {
            return Err(unsupported(item, format!("a sparse matrix of {rows} x {columns}, which is too large")));
        };
        if starts.len() != rows + 1 || indices.len() != data.len() {
            return Err(inconsistent(item, "a sparse matrix whose parts do not fit together"));
        }
        let mut values = vec![0.0; count];
        for (row, bounds) in values.chunks_exact_mut(columns).zip(starts.windows(2)) {
            let range = usize::try_from(bounds[0]).ok().zip(usize::try_from(bounds[1]).ok());
            let part = range.and_then(|(start, end)| indices.get(start..end).zip(data.get(start..end)));
            let Some((indices, data)) = part else {
                return Err(inconsistent(item, "a sparse matrix whose rows are outside its data"));
            };
            for (&column, &value) in indices.iter().zip(data) {
                let slot = usize::try_from(column).ok().and_then(|column| row.get_mut(column));
                *slot.ok_or_else(|| inconsistent(item, "a sparse matrix with an element outside it"))? += value;
            }
        }
        Ok(Matrix { rows, columns, values })
    }

    /// The matrix, which must have `rows` rows and `columns` columns.
    pub(super) fn sized(self, item: &Item<'_>, rows: usize, columns: usize) -> Result<Matrix, FrontendError> {
        if (self.rows, self.columns) == (rows, columns) {
            return Ok(self);
        }
        Err(inconsistent(item, format!("{} x {} numbers, {rows} x {columns} expected", self.rows, self.columns)))
    }

    /// Its rows.
    pub(super) fn row_slices(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.columns)
    }

    /// Row `index`.
    pub(super) fn row(&self, index: usize) -> &[f64] {
        self.values.get(index * self.columns..(index + 1) * self.columns).unwrap_or_default()
    }

    /// Rows as columns.
    pub(super) fn transposed(&self) -> Matrix {
        let values = (0..self.columns).flat_map(|column| self.row_slices().map(move |row| row[column])).collect();
        Matrix { rows: self.columns, columns: self.rows, values }
    }

    /// The sum of the squares of each row.
    pub(super) fn squared_norms(&self) -> Vec<f64> {
        self.row_slices().map(|row| row.iter().map(|x| x * x).sum()).collect()
    }

    /// `self · other`; the matrices must fit.
    pub(super) fn times(&self, other: &Matrix) -> Matrix {
        let mut values = vec![0.0; self.rows * other.columns];
        for (row, out) in self.row_slices().zip(values.chunks_exact_mut(other.columns)) {
            for (x, factors) in row.iter().zip(other.row_slices()) {
                out.iter_mut().zip(factors).for_each(|(out, y)| *out += x * y);
            }
        }
        Matrix { rows: self.rows, columns: other.columns, values }
    }
}

/// Numbers in an array of one dimension.
pub(super) fn vector(item: &Item<'_>) -> Result<Vec<f64>, FrontendError> {
    let array = item.array()?;
    if array.shape().len() != 1 {
        return Err(item.wrong("an array of one dimension").into());
    }
    Ok(array.f64s()?)
}

/// `count` numbers in an array of one dimension.
pub(super) fn numbers(item: &Item<'_>, count: usize) -> Result<Vec<f64>, FrontendError> {
    let values = vector(item)?;
    if values.len() == count { Ok(values) } else { Err(item.wrong(&format!("an array of {count} numbers")).into()) }
}

/// A number, which stands for `count` of them, or an array of `count` or of one, whatever its dimensions.
pub(super) fn numbers_or_one(item: &Item<'_>, count: usize) -> Result<Vec<f64>, FrontendError> {
    let values = if item.is_array() { item.array()?.f64s()? } else { vec![item.as_f64()?] };
    match values.as_slice() {
        &[one] => Ok(vec![one; count]),
        values if values.len() == count => Ok(values.to_vec()),
        _ => Err(item.wrong(&format!("a number, or an array of {count}")).into()),
    }
}
