//! Support vector machines of `ai.onnx.ml`, as ONNX Runtime computes them: in float32, decisions of pairs of classes summed in float64.

use ekiben_runtime::DType;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::pairwise_coupling::PairwiseCoupling;
use ekiben_runtime::ops::pairwise_distance::{Metric, PairwiseDistance};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::labels::{Labels, classes};
use super::linear::rows;
use super::post_transform::{PostTransform, SecondClass};
use crate::graph::TensorId;

/// The function of two rows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kernel {
    /// `x · y`.
    Linear,
    /// `(gamma x · y + coef0)` to the power of `degree`.
    Poly { gamma: f32, coef0: f32, degree: f32 },
    /// `exp(-gamma |x - y|²)`.
    Rbf { gamma: f32 },
    /// `tanh(gamma x · y + coef0)`.
    Sigmoid { gamma: f32, coef0: f32 },
}

impl Kernel {
    fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        let (gamma, coef0, degree) = match call.attributes.floats("kernel_params")?.unwrap_or_default() {
            [] => (0.0, 0.0, 0.0),
            &[gamma, coef0, degree, ..] => (gamma, coef0, degree),
            other => return Err(Refusal(format!("attribute kernel_params has {} numbers, 3 are needed", other.len()))),
        };
        Ok(match call.attributes.string("kernel_type")?.unwrap_or("LINEAR") {
            "LINEAR" => Self::Linear,
            "POLY" => Self::Poly { gamma, coef0, degree },
            "RBF" => Self::Rbf { gamma },
            "SIGMOID" => Self::Sigmoid { gamma, coef0 },
            other => return Err(Refusal(format!("attribute kernel_type is {other:?}"))),
        })
    }

    /// The kernel of each row of `x` with each of the `vectors`, which are `count` rows: `[N, count]`.
    fn lower(self, call: &mut Call<'_>, x: TensorId, vectors: &[f32], count: usize) -> Result<TensorId, Refusal> {
        let width = call.shape(x).factor(1).unwrap_or(0);
        if count == 0 || count.checked_mul(width) != Some(vectors.len()) {
            let reason = format!("{} numbers for {count} vectors of {width} features", vectors.len());
            return Err(Refusal(reason));
        }
        // Side by side, all vectors are summed at once, each in the same order.
        let columns = (0..width).flat_map(|column| vectors.iter().skip(column).step_by(width).copied());
        let vectors = call.constant(DType::F32, &[width, count], &columns.collect::<Vec<f32>>())?;
        let affine = |alpha: f32, beta: f32| Unary { kind: UnaryKind::Affine, alpha: alpha.into(), beta: beta.into() };
        let product = |call: &mut Call<'_>| call.add(MatMul { transpose_b: false }, &[x, vectors]);
        match self {
            Self::Linear => product(call),
            Self::Rbf { gamma } => {
                let metric = PairwiseDistance { metric: Metric::SquaredEuclidean, p: 0.0 };
                let distance = call.add(metric, &[x, vectors])?;
                let scaled = call.add(affine(-gamma, 0.0), &[distance])?;
                call.add(Unary::of(UnaryKind::Exp), &[scaled])
            }
            Self::Sigmoid { gamma, coef0 } => {
                let product = product(call)?;
                let scaled = call.add(affine(gamma, coef0), &[product])?;
                call.add(Unary::of(UnaryKind::Tanh), &[scaled])
            }
            Self::Poly { gamma, coef0, degree } => {
                let product = product(call)?;
                let scaled = call.add(affine(gamma, coef0), &[product])?;
                let multiply = Binary { kind: BinaryKind::Mul };
                if degree == 2.0 || degree == 3.0 {
                    let square = call.add(multiply, &[scaled, scaled])?;
                    return if degree == 2.0 { Ok(square) } else { call.add(multiply, &[square, scaled]) };
                }
                let degree = call.constant(DType::F32, &[], &[degree])?;
                call.add(Binary { kind: BinaryKind::Pow }, &[scaled, degree])
            }
        }
    }
}

/// Numbers that must be there.
fn numbers<'a>(call: &Call<'a>, name: &str) -> Result<&'a [f32], Refusal> {
    let numbers = call.attributes.floats(name)?.filter(|numbers| !numbers.is_empty());
    numbers.ok_or_else(|| Refusal(format!("attribute {name} is missing")))
}

pub(super) fn regressor(call: &mut Call<'_>) -> Lowered {
    // ONNX Runtime does not apply it.
    call.attributes.ignore(&["post_transform"]);
    let kernel = Kernel::read(call)?;
    let count = call.attributes.int("n_supports")?.unwrap_or(0);
    let one_class = call.attributes.int("one_class")?.unwrap_or(0) != 0;
    let (coefficients, rho) = (numbers(call, "coefficients")?, numbers(call, "rho")?[0]);
    let vectors = call.attributes.floats("support_vectors")?.unwrap_or_default();
    let x = rows(call, false)?;
    let (features, weights) = match usize::try_from(count).unwrap_or(0) {
        // Coefficients of the features themselves.
        0 => (x, coefficients),
        count => (kernel.lower(call, x, vectors, count)?, coefficients),
    };
    if call.shape(features).factor(1) != Some(weights.len()) {
        return Err(Refusal(format!("{} coefficients for {}", weights.len(), call.shape(features))));
    }
    let weights = call.constant(DType::F32, &[1, weights.len()], weights)?;
    let rho = call.constant(DType::F32, &[1], &[rho])?;
    let mut scores = call.add(MatMul { transpose_b: true }, &[features, weights, rho])?;
    if one_class {
        let zero = call.constant(DType::F32, &[], &[0.0_f32])?;
        let (inside, outside) =
            (call.constant(DType::F32, &[], &[1.0_f32])?, call.constant(DType::F32, &[], &[-1.0_f32])?);
        let above = call.add(Compare { kind: CompareKind::Greater }, &[scores, zero])?;
        scores = call.add(Select, &[above, inside, outside])?;
    }
    one(scores)
}

pub(super) fn classifier(call: &mut Call<'_>) -> Lowered {
    let labels = classes(call, "classlabels_ints")?;
    let kernel = Kernel::read(call)?;
    let transform = PostTransform::read(call)?;
    let per_class = call.attributes.ints("vectors_per_class")?.unwrap_or_default();
    let vectors = call.attributes.floats("support_vectors")?.unwrap_or_default();
    let (coefficients, rho) = (numbers(call, "coefficients")?, numbers(call, "rho")?);
    let proba = call.attributes.floats("prob_a")?.unwrap_or_default();
    let probb = call.attributes.floats("prob_b")?.unwrap_or_default();
    let x = rows(call, false)?;
    let per_class = per_class.iter().map(|&count| usize::try_from(count)).collect::<Result<Vec<_>, _>>();
    let per_class = per_class.map_err(|_| "attribute vectors_per_class holds a negative number")?;
    let count = per_class.iter().try_fold(0_usize, |sum, &count| sum.checked_add(count)).ok_or("too many vectors")?;
    if labels.len() < 2 {
        return Err("a classifier of one class is not supported".into());
    }
    if count == 0 {
        return linear(call, x, &labels, coefficients, rho[0], transform);
    }
    let pairs = Pairs::new(&labels, &per_class, count)?;
    if rho.len() != pairs.count() || coefficients.len() != (labels.len() - 1) * count {
        return Err(Refusal(format!("{} numbers in rho and {} coefficients", rho.len(), coefficients.len())));
    }
    let kernels = kernel.lower(call, x, vectors, count)?;
    let decisions = pairs.decisions(call, kernels, coefficients, rho)?;
    let best = pairs.votes(call, decisions)?;
    let label = labels.pick(call, best)?;
    let decisions = call.add(Cast { to: DType::F32 }, &[decisions])?;
    let scores = if !proba.is_empty() {
        if [proba.len(), probb.len()] != [pairs.count(); 2] {
            return Err(Refusal(format!("{} and {} numbers in prob_a and prob_b", proba.len(), probb.len())));
        }
        let shares = pairs.shares(call, decisions, proba, probb)?;
        transform.apply(call, shares)?
    } else if labels.len() > 2 {
        transform.apply(call, decisions)?
    } else {
        match transform {
            PostTransform::None => SecondClass::Negative.apply(call, decisions)?,
            PostTransform::Logistic => SecondClass::Logistic.apply(call, decisions)?,
            PostTransform::Probit => return Err("PROBIT of one score for two classes is not supported".into()),
            _ => SecondClass::Complement.apply(call, decisions)?,
        }
    };
    Ok(vec![Value::Tensor(label), Value::Tensor(scores)])
}

/// Without support vectors: a row of coefficients for each class.
fn linear(
    call: &mut Call<'_>,
    x: TensorId,
    labels: &Labels,
    coefficients: &[f32],
    rho: f32,
    transform: PostTransform,
) -> Lowered {
    let scores = Kernel::Linear.lower(call, x, coefficients, labels.len())?;
    let rho = call.constant(DType::F32, &[], &[rho])?;
    let scores = call.add(Binary { kind: BinaryKind::Add }, &[scores, rho])?;
    let argmax = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false };
    let mut best = call.add(argmax, &[scores])?;
    if labels.len() == 2 {
        // Of two classes the second is the answer where the largest score passes a bound.
        let positive = coefficients.iter().all(|&value| value >= 0.0);
        let largest = ekiben_runtime::ops::reduce::Reduce {
            kind: ekiben_runtime::ops::reduce::ReduceKind::Max,
            axes: 1 << 1,
            keep: false,
        };
        let largest = call.add(largest, &[scores])?;
        let bound = call.constant(DType::F32, &[], &[if positive { 0.5_f32 } else { 0.0 }])?;
        let kind = if positive { CompareKind::GreaterOrEqual } else { CompareKind::Greater };
        let above = call.add(Compare { kind }, &[largest, bound])?;
        let second = call.constant(DType::I32, &[], &[1_i32])?;
        best = call.add(Select, &[above, second, best])?;
    }
    let label = labels.pick(call, best)?;
    let scores = transform.apply(call, scores)?;
    Ok(vec![Value::Tensor(label), Value::Tensor(scores)])
}

/// The pairs of classes: (0, 1), (0, 2), …, (1, 2), …
struct Pairs {
    pairs: Vec<(usize, usize)>,
    classes: usize,
    /// The vectors of each class.
    vectors: Vec<std::ops::Range<usize>>,
    count: usize,
}

impl Pairs {
    /// The most classes: a vote is a product of a matrix of classes and pairs.
    const MOST: usize = 512;

    fn new(labels: &Labels, per_class: &[usize], count: usize) -> Result<Self, Refusal> {
        let classes = labels.len();
        if per_class.len() != classes || classes > Self::MOST {
            return Err(Refusal(format!("{} numbers of vectors for {classes} classes", per_class.len())));
        }
        let pairs = (0..classes).flat_map(|i| (i + 1..classes).map(move |j| (i, j))).collect();
        let mut start = 0;
        let vectors = per_class.iter().map(|&length| {
            start += length;
            start - length..start
        });
        Ok(Self { pairs, classes, vectors: vectors.collect(), count })
    }

    fn count(&self) -> usize {
        self.pairs.len()
    }

    /// The decision of each pair: above 0 for its first class. `[N, pairs]` in float64.
    fn decisions(
        &self,
        call: &mut Call<'_>,
        kernels: TensorId,
        coefficients: &[f32],
        rho: &[f32],
    ) -> Result<TensorId, Refusal> {
        let size = self.count().checked_mul(self.count).ok_or("too many vectors")?;
        call.spend(size as u64 * 8)?;
        let mut weights = vec![0.0; size];
        for (row, &(i, j)) in weights.chunks_exact_mut(self.count.max(1)).zip(&self.pairs) {
            for (class, line) in [(i, j - 1), (j, i)] {
                for vector in self.vectors[class].clone() {
                    row[vector] = f64::from(coefficients[line * self.count + vector]);
                }
            }
        }
        let weights = call.constant(DType::F64, &[self.count(), self.count], &weights)?;
        let rho: Vec<f64> = rho.iter().map(|&rho| rho.into()).collect();
        let rho = call.constant(DType::F64, &[rho.len()], &rho)?;
        let kernels = call.add(Cast { to: DType::F64 }, &[kernels])?;
        call.add(MatMul { transpose_b: true }, &[kernels, weights, rho])
    }

    /// The class with the most votes, the first of equals.
    fn votes(&self, call: &mut Call<'_>, decisions: TensorId) -> Result<TensorId, Refusal> {
        let zero = call.constant(DType::F64, &[], &[0.0_f64])?;
        let above = call.add(Compare { kind: CompareKind::Greater }, &[decisions, zero])?;
        let above = call.add(Cast { to: DType::F32 }, &[above])?;
        call.spend((self.classes * self.count()) as u64 * 4)?;
        let mut weights = vec![0.0_f32; self.classes * self.count()];
        let mut otherwise = vec![0.0_f32; self.classes];
        for (pair, &(i, j)) in self.pairs.iter().enumerate() {
            weights[i * self.count() + pair] = 1.0;
            weights[j * self.count() + pair] = -1.0;
            otherwise[j] += 1.0;
        }
        let weights = call.constant(DType::F32, &[self.classes, self.count()], &weights)?;
        let otherwise = call.constant(DType::F32, &[self.classes], &otherwise)?;
        let votes = call.add(MatMul { transpose_b: true }, &[above, weights, otherwise])?;
        let argmax = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false };
        call.add(argmax, &[votes])
    }

    /// Shares of the classes: logistic functions of the decisions, coupled.
    fn shares(
        &self,
        call: &mut Call<'_>,
        decisions: TensorId,
        proba: &[f32],
        probb: &[f32],
    ) -> Result<TensorId, Refusal> {
        let (a, b) =
            (call.constant(DType::F32, &[proba.len()], proba)?, call.constant(DType::F32, &[probb.len()], probb)?);
        let scaled = call.add(Binary { kind: BinaryKind::Mul }, &[decisions, a])?;
        let scaled = call.add(Binary { kind: BinaryKind::Add }, &[scaled, b])?;
        let logistic = call.add(Unary::of(UnaryKind::Sigmoid), &[scaled])?;
        let share = call.add(Unary { kind: UnaryKind::Affine, alpha: -1.0, beta: 1.0 }, &[logistic])?;
        // Shares keep off 0 and 1.
        let least = call.constant(DType::F32, &[], &[1e-7_f32])?;
        let most = call.constant(DType::F32, &[], &[1.0_f32 - 1e-7])?;
        let share = call.add(Binary { kind: BinaryKind::Max }, &[share, least])?;
        let share = call.add(Binary { kind: BinaryKind::Min }, &[share, most])?;
        let share = call.add(Cast { to: DType::F64 }, &[share])?;
        let classes = u16::try_from(self.classes).map_err(|_| "too many classes")?;
        let coupled = call.add(PairwiseCoupling { classes }, &[share])?;
        call.add(Cast { to: DType::F32 }, &[coupled])
    }
}
