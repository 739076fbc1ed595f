//! Formulas as numpy writes them: one node for each operation on float64 tensors.

use std::fmt;

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::pairwise_distance::{Metric, PairwiseDistance};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::slice::Slice;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::attributes::Matrix;
use super::{Features, Labels, cast, labels, with_columns};
use crate::frontend::FrontendError;
use crate::graph::{Graph, TensorId};

/// Appends arithmetic to a graph. Tensors are float64 `[N, …]` unless a method says otherwise; two of them broadcast as in numpy.
pub(super) struct Formula<'g> {
    graph: &'g mut Graph,
    path: &'g str,
}

impl fmt::Debug for Formula<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Formula({})", self.path)
    }
}

/// Columns of a product that are worth being side by side.
const MANY_COLUMNS: usize = 4;

type Built = Result<TensorId, FrontendError>;

impl<'g> Formula<'g> {
    /// A formula of the estimator at `path`, and its input `x` as a matrix of float64.
    pub(super) fn new(
        graph: &'g mut Graph,
        path: &'g str,
        x: &Features,
    ) -> Result<(Formula<'g>, TensorId), FrontendError> {
        let x = x.matrix(graph, path)?;
        let x = cast(graph, path, x, DType::F64)?;
        Ok((Formula { graph, path }, x))
    }

    /// The graph, and the estimator's path.
    pub(super) fn parts(&mut self) -> (&mut Graph, &'g str) {
        (self.graph, self.path)
    }

    fn name(&self, name: &str) -> String {
        format!("{}/{name}", self.path)
    }

    /// A constant of shape `dims`.
    pub(super) fn constant(&mut self, name: &str, dims: &[usize], values: &[f64]) -> Built {
        Ok(self.graph.add_constant(&self.name(name), DType::F64, dims, values)?)
    }

    /// A constant matrix.
    pub(super) fn matrix(&mut self, name: &str, matrix: &Matrix) -> Built {
        self.constant(name, &[matrix.rows, matrix.columns], &matrix.values)
    }

    /// Number of columns of a matrix.
    pub(super) fn columns(&self, x: TensorId) -> usize {
        self.graph.shape(x).factor(1).unwrap_or(0)
    }

    /// `a kind b`.
    pub(super) fn binary(&mut self, kind: BinaryKind, a: TensorId, b: TensorId) -> Built {
        Ok(self.graph.add(&self.name(&format!("{kind:?}").to_lowercase()), Binary { kind }, &[a, b])?)
    }

    /// `a + b`.
    pub(super) fn add(&mut self, a: TensorId, b: TensorId) -> Built {
        self.binary(BinaryKind::Add, a, b)
    }

    /// `a - b`.
    pub(super) fn sub(&mut self, a: TensorId, b: TensorId) -> Built {
        self.binary(BinaryKind::Sub, a, b)
    }

    /// `a * b`.
    pub(super) fn mul(&mut self, a: TensorId, b: TensorId) -> Built {
        self.binary(BinaryKind::Mul, a, b)
    }

    /// `a / b`.
    pub(super) fn div(&mut self, a: TensorId, b: TensorId) -> Built {
        self.binary(BinaryKind::Div, a, b)
    }

    /// `x kind values`, `values` being one number for each of `x`'s last axis.
    pub(super) fn with(&mut self, kind: BinaryKind, x: TensorId, name: &str, values: &[f64]) -> Built {
        let values = self.constant(name, &[values.len()], values)?;
        self.binary(kind, x, values)
    }

    /// `x kind value`.
    pub(super) fn scalar(&mut self, kind: BinaryKind, x: TensorId, value: f64) -> Built {
        self.with(kind, x, "scalar", &[value])
    }

    /// A function of each element that has no parameters.
    pub(super) fn unary(&mut self, kind: UnaryKind, x: TensorId) -> Built {
        Ok(self.graph.add(&self.name(&format!("{kind:?}").to_lowercase()), Unary::of(kind), &[x])?)
    }

    /// `x` within `low..=high`.
    pub(super) fn clip(&mut self, x: TensorId, low: f64, high: f64) -> Built {
        Ok(self.graph.add(&self.name("clip"), Unary { kind: UnaryKind::Clip, alpha: low, beta: high }, &[x])?)
    }

    /// `x · weightsᵀ + bias`: a column for each row of `weights`.
    pub(super) fn product(&mut self, x: TensorId, name: &str, weights: &Matrix, bias: Option<&[f64]>) -> Built {
        // Side by side, many columns are summed at once, each in the same order.
        let transpose_b = weights.rows < MANY_COLUMNS;
        let weights = if transpose_b { self.matrix(name, weights)? } else { self.matrix(name, &weights.transposed())? };
        let mut inputs = vec![x, weights];
        if let Some(bias) = bias {
            inputs.push(self.constant("bias", &[bias.len()], bias)?);
        }
        Ok(self.graph.add(&self.name("product"), MatMul { transpose_b }, &inputs)?)
    }

    /// Distances of the rows of `x` to `points`: `[N, points]`. `p` is Minkowski's exponent.
    pub(super) fn distances(&mut self, metric: Metric, p: f64, x: TensorId, name: &str, points: &Matrix) -> Built {
        let p = if metric == Metric::Minkowski { p } else { 0.0 };
        let points = self.matrix(name, &points.transposed())?;
        Ok(self.graph.add(&self.name("distances"), PairwiseDistance { metric, p }, &[x, points])?)
    }

    /// For each row of `x` and of `points` the sum of `(x - point)² / divisor`: `[N, points]`.
    pub(super) fn scaled_distances(&mut self, x: TensorId, points: &Matrix, divisors: &Matrix) -> Built {
        let points = self.matrix("points", &points.transposed())?;
        let inputs = [x, points, self.matrix("divisors", &divisors.transposed())?];
        let operator = PairwiseDistance { metric: Metric::SquaredEuclidean, p: 0.0 };
        Ok(self.graph.add(&self.name("distances"), operator, &inputs)?)
    }

    /// Squared Euclidean distances of the rows of `x` to `points` as `euclidean_distances` of scikit-learn has them:
    /// `max(-2 x·pointᵀ + |x|² + |point|², 0)`. They differ from [`Formula::distances`] where the sums cancel.
    pub(super) fn expanded_distances(&mut self, x: TensorId, name: &str, points: &Matrix) -> Built {
        let products = self.product(x, name, points, None)?;
        let products = self.scalar(BinaryKind::Mul, products, -2.0)?;
        let norms = self.reduce(ReduceKind::SumSquare, x, 1, true)?;
        let distances = self.add(products, norms)?;
        let distances = self.with(BinaryKind::Add, distances, "norms", &points.squared_norms())?;
        self.clip(distances, 0.0, f64::INFINITY)
    }

    /// Reduces `axis`, which stays with length 1 for `keep`.
    pub(super) fn reduce(&mut self, kind: ReduceKind, x: TensorId, axis: u8, keep: bool) -> Built {
        let name = self.name(&format!("{kind:?}").to_lowercase());
        Ok(self.graph.add(&name, Reduce { kind, axes: 1 << axis, keep }, &[x])?)
    }

    /// Index of the largest element of each row, the first of equals: `[N]`, int32.
    pub(super) fn largest(&mut self, x: TensorId) -> Built {
        let operator = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false };
        Ok(self.graph.add(&self.name("argmax"), operator, &[x])?)
    }

    /// Index of the smallest element of each row, the first of equals: `[N]`, int32.
    pub(super) fn smallest(&mut self, x: TensorId) -> Built {
        let operator = ArgReduce { axis: 1, smallest: true, last: false, keep: false, wide: false };
        Ok(self.graph.add(&self.name("argmin"), operator, &[x])?)
    }

    /// `x` with the lengths `dims` after its first axis.
    pub(super) fn reshape(&mut self, x: TensorId, dims: &[usize]) -> Built {
        with_columns(self.graph, self.path, x, dims)
    }

    /// `[N]` of a matrix of one column.
    pub(super) fn flat(&mut self, x: TensorId) -> Built {
        self.reshape(x, &[])
    }

    /// `count` columns of a matrix, from `start` on.
    pub(super) fn slice(&mut self, x: TensorId, start: usize, count: usize) -> Built {
        if start == 0 && count == self.columns(x) {
            return Ok(x);
        }
        let rows = self.graph.shape(x).factor(0).unwrap_or(0);
        let table = [0, start, 1, 1, rows, count].into_iter().map(i32::try_from);
        let table = table.collect::<Result<Vec<i32>, _>>();
        let table = table.map_err(|error| FrontendError::malformed(self.path, error))?;
        let table = self.graph.add_constant(&self.name("columns"), DType::I32, &[3, 2], &table)?;
        Ok(self.graph.add(&self.name("slice"), Slice, &[x, table])?)
    }

    /// Column `index` of a matrix, `[N, 1]`.
    pub(super) fn column(&mut self, x: TensorId, index: usize) -> Built {
        self.slice(x, index, 1)
    }

    /// Matrices side by side.
    pub(super) fn join(&mut self, parts: &[TensorId]) -> Built {
        match parts {
            [one] => Ok(*one),
            _ => Ok(self.graph.add(&self.name("join"), Concat { axis: 1 }, parts)?),
        }
    }

    /// `x` compared with `value`: bool.
    pub(super) fn compare(&mut self, kind: CompareKind, x: TensorId, value: f64) -> Built {
        let value = self.constant("bound", &[1], &[value])?;
        self.compare_with(kind, x, value)
    }

    /// `a` compared with `b`: bool.
    pub(super) fn compare_with(&mut self, kind: CompareKind, a: TensorId, b: TensorId) -> Built {
        Ok(self.graph.add(&self.name("compare"), Compare { kind }, &[a, b])?)
    }

    /// `a` where `condition` holds, `b` elsewhere.
    pub(super) fn select(&mut self, condition: TensorId, a: TensorId, b: TensorId) -> Built {
        Ok(self.graph.add(&self.name("select"), Select, &[condition, a, b])?)
    }

    /// The number `a` where `condition` holds, `b` elsewhere.
    pub(super) fn choose(&mut self, condition: TensorId, a: f64, b: f64) -> Built {
        let (a, b) = (self.constant("a", &[1], &[a])?, self.constant("b", &[1], &[b])?);
        self.select(condition, a, b)
    }

    /// A tensor in another type.
    pub(super) fn cast(&mut self, x: TensorId, to: DType) -> Built {
        cast(self.graph, self.path, x, to)
    }

    /// Parts of `table`'s first axis that the integers `indices` name.
    pub(super) fn gather(&mut self, table: TensorId, indices: TensorId) -> Built {
        Ok(self.graph.add(&self.name("gather"), Gather { axis: 0 }, &[table, indices])?)
    }

    /// Softmax of each row.
    pub(super) fn softmax(&mut self, x: TensorId) -> Built {
        Ok(self.graph.add(&self.name("softmax"), Softmax { axis: 1, log: false }, &[x])?)
    }

    /// `ln(sum of exp(x))` of each row, `[N, 1]`: the largest element, where it is finite, is taken out of the sum and added last.
    pub(super) fn log_sum_exp(&mut self, x: TensorId) -> Built {
        let largest = self.reduce(ReduceKind::Max, x, 1, true)?;
        let size = self.unary(UnaryKind::Abs, largest)?;
        let finite = self.compare(CompareKind::Less, size, f64::INFINITY)?;
        let zero = self.constant("zero", &[1], &[0.0])?;
        let largest = self.select(finite, largest, zero)?;
        let shifted = self.sub(x, largest)?;
        let powers = self.unary(UnaryKind::Exp, shifted)?;
        let sum = self.reduce(ReduceKind::Sum, powers, 1, true)?;
        let log = self.unary(UnaryKind::Log, sum)?;
        self.add(log, largest)
    }

    /// `[1 - p, p]` of one column `p`.
    pub(super) fn complemented(&mut self, p: TensorId) -> Built {
        let one = self.constant("one", &[1], &[1.0])?;
        let rest = self.sub(one, p)?;
        self.join(&[rest, p])
    }

    /// Rows divided by their sums. A row that adds up to 0 becomes equal shares, for `evens`.
    pub(super) fn normalised(&mut self, shares: TensorId, evens: bool) -> Built {
        let sum = self.reduce(ReduceKind::Sum, shares, 1, true)?;
        if !evens {
            return self.div(shares, sum);
        }
        let count = self.columns(shares) as f64;
        let zero = self.compare(CompareKind::Equal, sum, 0.0)?;
        let one = self.constant("one", &[1], &[1.0])?;
        let count = self.constant("count", &[1], &[count])?;
        let (shares, sum) = (self.select(zero, one, shares)?, self.select(zero, count, sum)?);
        self.div(shares, sum)
    }

    /// Rows divided by their sums; a row that adds up to 0 stays.
    pub(super) fn normalised_or_zero(&mut self, shares: TensorId) -> Built {
        let sum = self.reduce(ReduceKind::Sum, shares, 1, true)?;
        let zero = self.compare(CompareKind::Equal, sum, 0.0)?;
        let one = self.constant("one", &[1], &[1.0])?;
        let sum = self.select(zero, one, sum)?;
        self.div(shares, sum)
    }

    /// The label that each of `indices`, `[N]`, names.
    pub(super) fn pick(&mut self, labels: &Labels, indices: TensorId) -> Built {
        labels::pick(self.graph, self.path, std::slice::from_ref(labels), labels.count(), indices)
    }

    /// The label of the largest score in each row, the first of equals.
    pub(super) fn label_of_largest(&mut self, labels: &Labels, scores: TensorId) -> Built {
        let indices = self.largest(scores)?;
        self.pick(labels, indices)
    }

    /// The second label where the one score, `[N, 1]`, is greater than `bound`, else the first.
    pub(super) fn label_above(&mut self, labels: &Labels, score: TensorId, bound: f64) -> Built {
        let above = self.compare(CompareKind::Greater, score, bound)?;
        let above = self.flat(above)?;
        let indices = self.cast(above, DType::I32)?;
        self.pick(labels, indices)
    }

    /// 1 where a score, `[N, 1]`, is not below 0, else -1, as detectors of outliers answer: `[N]`, int64. NaN is an outlier.
    pub(super) fn inliers(&mut self, score: TensorId) -> Built {
        let inside = self.compare(CompareKind::GreaterOrEqual, score, 0.0)?;
        let signs = self.choose(inside, 1.0, -1.0)?;
        let signs = self.flat(signs)?;
        self.cast(signs, DType::I64)
    }
}
