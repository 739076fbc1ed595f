//! One against one: a decision for each pair of classes (0, 1), (0, 2), …, (1, 2), … becomes scores of the classes.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::UnaryKind;

use super::attributes::Matrix;
use super::formula::Formula;
use crate::frontend::FrontendError;
use crate::graph::TensorId;

/// A row for each class: 1 for pairs that it is the first of, -1 for those that it is the second of, else 0.
fn signs(classes: usize) -> Matrix {
    let pairs: Vec<(usize, usize)> = (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j))).collect();
    let sign = |class: usize, (i, j): (usize, usize)| f64::from(i8::from(class == i) - i8::from(class == j));
    let mut values = Vec::with_capacity(classes * pairs.len());
    for class in 0..classes {
        values.extend(pairs.iter().map(|&pair| sign(class, pair)));
    }
    Matrix::new(classes, pairs.len(), values)
}

/// Votes for each of `classes`, given for each pair whether its first class wins (`[N, pairs]`, bool): `[N, classes]`.
pub(super) fn votes(f: &mut Formula<'_>, classes: usize, first_wins: TensorId) -> Result<TensorId, FrontendError> {
    let wins = f.cast(first_wins, DType::F64)?;
    // A win is 1 for the first class and 0 for the second; a loss the other way round.
    let signs = signs(classes);
    let losses = signs.row_slices().map(|row| row.iter().filter(|&&sign| sign < 0.0).count() as f64);
    let losses: Vec<f64> = losses.collect();
    f.product(wins, "votes", &signs, Some(&losses))
}

/// Votes, and less than a third of one by how clear the decisions are: `[N, classes]`. `values`, `[N, pairs]`, are large where the first class of a
/// pair is likely: with s the sum of a class's values, those of pairs that it is the second of taken negative, it is `votes + s / (3 (|s| + 1))`.
pub(super) fn one_vs_rest(
    f: &mut Formula<'_>,
    classes: usize,
    first_wins: TensorId,
    values: TensorId,
) -> Result<TensorId, FrontendError> {
    let votes = votes(f, classes, first_wins)?;
    let sums = f.product(values, "signs", &signs(classes), None)?;
    let sizes = f.unary(UnaryKind::Abs, sums)?;
    let sizes = f.scalar(BinaryKind::Add, sizes, 1.0)?;
    let sizes = f.scalar(BinaryKind::Mul, sizes, 3.0)?;
    let shifts = f.div(sums, sizes)?;
    f.add(votes, shifts)
}
