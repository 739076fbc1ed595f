//! Appending arithmetic on `[N, columns]` to a graph, for estimators that compute with what others answer.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::tensor::Element;

use super::{Labels, cast, features, labels, with_columns};
use crate::frontend::FrontendError;
use crate::frontend::forest::{Aggregate, Combination, Forest, TreeNode};
use crate::graph::{Graph, TensorId};
use ekiben_runtime::ops::Op;

/// A place in a model that is lowered: nodes are named by its path.
pub(super) struct At<'g> {
    /// The graph that nodes are appended to.
    pub(super) graph: &'g mut Graph,
    /// The place.
    pub(super) path: &'g str,
}

impl At<'_> {
    /// Appends a node.
    pub(super) fn add(
        &mut self,
        name: &str,
        op: impl Into<Op>,
        inputs: &[TensorId],
    ) -> Result<TensorId, FrontendError> {
        Ok(self.graph.add(&format!("{}/{name}", self.path), op, inputs)?)
    }

    /// A constant.
    pub(super) fn constant<T: Element>(
        &mut self,
        name: &str,
        dtype: DType,
        dims: &[usize],
        values: &[T],
    ) -> Result<TensorId, FrontendError> {
        Ok(self.graph.add_constant(&format!("{}/{name}", self.path), dtype, dims, values)?)
    }

    /// The constant row `values`, which goes with `[N, columns]`.
    pub(super) fn row(&mut self, values: &[f64]) -> Result<TensorId, FrontendError> {
        self.constant("row", DType::F64, &[values.len()], values)
    }

    /// `a kind b`, element by element.
    pub(super) fn binary(&mut self, kind: BinaryKind, a: TensorId, b: TensorId) -> Result<TensorId, FrontendError> {
        self.add("arithmetic", Binary { kind }, &[a, b])
    }

    /// `x kind value`, element by element.
    pub(super) fn with(&mut self, kind: BinaryKind, x: TensorId, value: f64) -> Result<TensorId, FrontendError> {
        let value = self.row(&[value])?;
        self.binary(kind, x, value)
    }

    /// A function of each element.
    pub(super) fn unary(&mut self, kind: UnaryKind, x: TensorId) -> Result<TensorId, FrontendError> {
        self.add("function", Unary::of(kind), &[x])
    }

    /// `x` in another type.
    pub(super) fn cast(&mut self, x: TensorId, to: DType) -> Result<TensorId, FrontendError> {
        cast(self.graph, self.path, x, to)
    }

    /// Numbers or booleans, in float64.
    ///
    /// # Errors
    /// Texts.
    pub(super) fn numbers(&mut self, x: TensorId) -> Result<TensorId, FrontendError> {
        if matches!(self.graph.spec(x).dtype, DType::Category | DType::Text) {
            let reason = "its labels are texts, where scikit-learn computes with numbers; train it with labels that are integers";
            return Err(FrontendError::unsupported(self.path, "predict", reason));
        }
        self.cast(x, DType::F64)
    }

    /// Columns of `x`, `[N]` being one.
    pub(super) fn width(&self, x: TensorId) -> usize {
        self.graph.shape(x).factor(1).unwrap_or(1)
    }

    /// `[N]` as `[N, 1]`; anything else stays.
    pub(super) fn as_matrix(&mut self, x: TensorId) -> Result<TensorId, FrontendError> {
        if self.graph.shape(x).rank() == 1 { with_columns(self.graph, self.path, x, &[1]) } else { Ok(x) }
    }

    /// `[N, 1]` as `[N]`; anything else stays.
    pub(super) fn as_list(&mut self, x: TensorId) -> Result<TensorId, FrontendError> {
        if self.graph.shape(x).factor(1) == Some(1) { with_columns(self.graph, self.path, x, &[]) } else { Ok(x) }
    }

    /// The columns of `x`, `[N, columns]`, at `positions`.
    pub(super) fn take(&mut self, x: TensorId, positions: &[usize]) -> Result<TensorId, FrontendError> {
        let width = self.width(x);
        if let Some(position) = positions.iter().find(|&&position| position >= width) {
            return Err(FrontendError::malformed(self.path, format!("column {position} of {width} is taken")));
        }
        features::take(self.graph, self.path, x, positions)
    }

    /// Column `position` of `x`, `[N, columns]`, as `[N, 1]`.
    pub(super) fn column(&mut self, x: TensorId, position: usize) -> Result<TensorId, FrontendError> {
        let x = self.as_matrix(x)?;
        self.take(x, &[position])
    }

    /// The columns of all `parts` side by side; `[N]` is one column.
    pub(super) fn side_by_side(&mut self, parts: &[TensorId]) -> Result<TensorId, FrontendError> {
        let parts = parts.iter().map(|&part| self.as_matrix(part)).collect::<Result<Vec<_>, _>>()?;
        match parts.as_slice() {
            &[part] => Ok(part),
            [] => Err(FrontendError::malformed(self.path, "nothing to put side by side")),
            parts => self.add("columns", Concat { axis: 1 }, parts),
        }
    }

    /// `parts` added up in order.
    pub(super) fn sum(&mut self, parts: &[TensorId]) -> Result<TensorId, FrontendError> {
        let Some((&first, rest)) = parts.split_first() else {
            return Err(FrontendError::malformed(self.path, "nothing to add up"));
        };
        rest.iter().try_fold(first, |sum, &part| self.binary(BinaryKind::Add, sum, part))
    }

    /// The sum of each row, `[N, 1]`, from the first column to the last.
    pub(super) fn sum_of_rows(&mut self, x: TensorId) -> Result<TensorId, FrontendError> {
        self.add("sum", Reduce { kind: ReduceKind::Sum, axes: 1 << 1, keep: true }, &[x])
    }

    /// The column of each row with the largest element, the first (or `last`) of equals: `[N]`.
    pub(super) fn largest(&mut self, x: TensorId, last: bool) -> Result<TensorId, FrontendError> {
        self.add("argmax", ArgReduce { axis: 1, smallest: false, last, keep: false, wide: false }, &[x])
    }

    /// `x kind value` as booleans.
    pub(super) fn compare(&mut self, kind: CompareKind, x: TensorId, value: f64) -> Result<TensorId, FrontendError> {
        let value = self.row(&[value])?;
        self.add("test", Compare { kind }, &[x, value])
    }

    /// `a` where `condition` holds, else `b`.
    pub(super) fn select(&mut self, condition: TensorId, a: TensorId, b: TensorId) -> Result<TensorId, FrontendError> {
        self.add("choice", Select, &[condition, a, b])
    }

    /// `[1 - p, p]` of the shares `p` of the second of two classes, `[N]` or `[N, 1]`.
    pub(super) fn pair(&mut self, p: TensorId) -> Result<TensorId, FrontendError> {
        // [-p, p] + [1, 0] is exact where the terms are.
        let p = self.as_matrix(p)?;
        let signs = self.row(&[-1.0, 1.0])?;
        let signed = self.binary(BinaryKind::Mul, p, signs)?;
        let rest = self.row(&[1.0, 0.0])?;
        self.binary(BinaryKind::Add, signed, rest)
    }

    /// Softmax of each row.
    pub(super) fn softmax(&mut self, x: TensorId) -> Result<TensorId, FrontendError> {
        self.add("softmax", Softmax { axis: 1, log: false }, &[x])
    }

    /// Row `indices[n]` of the constant `table`, `[rows, width]` row by row: `[N, width]`.
    pub(super) fn rows_of(
        &mut self,
        table: &[f64],
        width: usize,
        indices: TensorId,
    ) -> Result<TensorId, FrontendError> {
        let table = self.constant("table", DType::F64, &[table.len() / width.max(1), width], table)?;
        self.add("rows", Gather { axis: 0 }, &[table, indices])
    }

    /// `x · columnsᵀ` for constant `columns`, `[count, width]` row by row.
    pub(super) fn products(&mut self, x: TensorId, columns: &[f64], count: usize) -> Result<TensorId, FrontendError> {
        let matrix = self.constant("matrix", DType::F64, &[count, columns.len() / count.max(1)], columns)?;
        self.add("products", MatMul { transpose_b: true }, &[x, matrix])
    }

    /// The same `values` for each row of `x`: `[N, values]`.
    pub(super) fn everywhere(&mut self, x: TensorId, values: &[f64]) -> Result<TensorId, FrontendError> {
        let targets = u32::try_from(values.len()).map_err(|error| FrontendError::malformed(self.path, error))?;
        let mut forest = Forest::new(targets);
        forest.add_tree(self.path, &[TreeNode::Dense(values)], 0)?;
        let x = if self.graph.spec(x).dtype == DType::F32 { x } else { self.cast(x, DType::F64)? };
        let combination = Combination { aggregate: Aggregate::Sum, values: DType::F64, start: None };
        forest.lower(self.graph, &format!("{}/constant", self.path), x, combination)
    }

    /// The label that `indices`, `[N]`, name.
    pub(super) fn label(&mut self, labels: &Labels, indices: TensorId) -> Result<TensorId, FrontendError> {
        labels::pick(self.graph, self.path, std::slice::from_ref(labels), labels.count(), indices)
    }

    /// The second label where `condition` holds, `[N]` or `[N, 1]`, else the first of two.
    pub(super) fn second_where(&mut self, labels: &Labels, condition: TensorId) -> Result<TensorId, FrontendError> {
        let indices = self.cast(condition, DType::I32)?;
        let indices = self.as_list(indices)?;
        self.label(labels, indices)
    }
}

/// The sum of `values` as numpy adds up what lies together in memory: eight running sums for eight or more, halves for more than 128.
pub(super) fn numpy_sum(values: &[f64]) -> f64 {
    let count = values.len();
    if count < 8 {
        return values.iter().fold(-0.0, |sum, value| sum + value);
    }
    if count > 128 {
        let half = count / 2 - count / 2 % 8;
        return numpy_sum(&values[..half]) + numpy_sum(&values[half..]);
    }
    let (blocks, rest) = values.as_chunks::<8>();
    let mut r = [0.0; 8];
    for (index, block) in blocks.iter().enumerate() {
        r = if index == 0 { *block } else { std::array::from_fn(|lane| r[lane] + block[lane]) };
    }
    let sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    rest.iter().fold(sum, |sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::numpy_sum;

    #[test]
    fn sums_are_numpys() {
        // numpy.sum(numpy.float64([...])) of 0.1 * 1.7 ** i, and of the reciprocals of 1 to 300.
        let powers: Vec<f64> = (0..9).map(|i| 0.1 * 1.7f64.powi(i)).collect();
        let (front, last) = powers.split_at(8);
        let pairs = [front[0] + front[1], front[2] + front[3], front[4] + front[5], front[6] + front[7]];
        assert_eq!(numpy_sum(&powers), ((pairs[0] + pairs[1]) + (pairs[2] + pairs[3])) + last[0]);
        assert_eq!(numpy_sum(&powers[..7]), powers[..7].iter().sum::<f64>());
        let reciprocals: Vec<f64> = (1..=300).map(|i| 1.0 / f64::from(i)).collect();
        assert_eq!(numpy_sum(&reciprocals), RECIPROCALS);
        assert_eq!(numpy_sum(&[]), 0.0);
    }

    /// What numpy 2.4 gives.
    const RECIPROCALS: f64 = 6.282663880299504;
}
