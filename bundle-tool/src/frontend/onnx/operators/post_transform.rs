//! What `ai.onnx.ml` does to scores last, as ONNX Runtime does it.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::call::{Call, Refusal};
use crate::graph::TensorId;

/// A transform.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostTransform {
    None,
    Logistic,
    Softmax,
    SoftmaxZero,
    Probit,
}

impl PostTransform {
    pub(super) fn read(call: &Call<'_>) -> Result<Self, Refusal> {
        Ok(match call.attributes.string("post_transform")?.unwrap_or("NONE") {
            "NONE" => Self::None,
            "LOGISTIC" => Self::Logistic,
            "SOFTMAX" => Self::Softmax,
            "SOFTMAX_ZERO" => Self::SoftmaxZero,
            "PROBIT" => Self::Probit,
            other => return Err(Refusal(format!("attribute post_transform is {other:?}"))),
        })
    }

    /// The transform of rows of two scores or more.
    pub(super) fn apply(self, call: &mut Call<'_>, scores: TensorId) -> Result<TensorId, Refusal> {
        let last = call.shape(scores).rank().saturating_sub(1);
        match self {
            Self::None => Ok(scores),
            Self::Logistic => call.add(Unary::of(UnaryKind::Sigmoid), &[scores]),
            Self::Softmax => call.add(Softmax { axis: last as u8, log: false }, &[scores]),
            Self::SoftmaxZero => softmax_zero(call, scores, 1u8 << last),
            Self::Probit => probit(call, scores),
        }
    }
}

/// Softmax in which a score within 1e-7 of 0 does not count: it becomes `score * exp(-largest)` over the sum of the others.
fn softmax_zero(call: &mut Call<'_>, scores: TensorId, axes: u8) -> Result<TensorId, Refusal> {
    let largest = call.add(Reduce { kind: ReduceKind::Max, axes, keep: true }, &[scores])?;
    let shifted = call.add(Binary { kind: BinaryKind::Sub }, &[scores, largest])?;
    let powers = call.add(Unary::of(UnaryKind::Exp), &[shifted])?;
    let negative = call.add(Unary::of(UnaryKind::Neg), &[largest])?;
    let factor = call.add(Unary::of(UnaryKind::Exp), &[negative])?;
    let small = call.add(Binary { kind: BinaryKind::Mul }, &[scores, factor])?;
    let size = call.add(Unary::of(UnaryKind::Abs), &[scores])?;
    let bound = call.floats_like(scores, &[], &[f64::from(1e-7f32)])?;
    let is_zero = call.add(Compare { kind: CompareKind::LessOrEqual }, &[size, bound])?;
    let zero = call.floats_like(scores, &[], &[0.0])?;
    let counted = call.add(Select, &[is_zero, zero, powers])?;
    let sum = call.add(Reduce { kind: ReduceKind::Sum, axes, keep: true }, &[counted])?;
    let values = call.add(Select, &[is_zero, small, powers])?;
    call.add(Binary { kind: BinaryKind::Div }, &[values, sum])
}

/// `sqrt(2) * erfinv(2 x - 1)` with Winitzki's approximation of the inverse error function, a = 0.147:
/// with `l = ln(1 - y^2)` and `v = 2 / (pi a) + l / 2`, `erfinv(y) = sign(y) * sqrt(sqrt(v^2 - l / a) - v)`.
fn probit(call: &mut Call<'_>, scores: TensorId) -> Result<TensorId, Refusal> {
    let affine = |alpha: f64, beta: f64| Unary { kind: UnaryKind::Affine, alpha, beta };
    let multiply = Binary { kind: BinaryKind::Mul };
    let y = call.add(affine(2.0, -1.0), &[scores])?;
    let below = call.add(affine(-1.0, 1.0), &[y])?;
    let above = call.add(affine(1.0, 1.0), &[y])?;
    let product = call.add(multiply, &[below, above])?;
    let log = call.add(Unary::of(UnaryKind::Log), &[product])?;
    let v = call.add(affine(0.5, 2.0 / (std::f64::consts::PI * 0.147)), &[log])?;
    let scaled = call.add(affine(1.0 / 0.147, 0.0), &[log])?;
    let square = call.add(Unary::of(UnaryKind::Square), &[v])?;
    let difference = call.add(Binary { kind: BinaryKind::Sub }, &[square, scaled])?;
    let root = call.add(Unary::of(UnaryKind::Sqrt), &[difference])?;
    let inner = call.add(Binary { kind: BinaryKind::Sub }, &[root, v])?;
    let size = call.add(Unary::of(UnaryKind::Sqrt), &[inner])?;
    let sign = call.add(Unary::of(UnaryKind::Sign), &[y])?;
    let inverse = call.add(multiply, &[sign, size])?;
    call.add(affine(std::f64::consts::SQRT_2, 0.0), &[inverse])
}

/// Where one score stands for two classes: what is written for both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SecondClass {
    /// `[1 - s, s]`.
    Complement,
    /// `[logistic(-s), logistic(s)]`.
    Logistic,
    /// `[-s, s]`.
    Negative,
}

impl SecondClass {
    /// Two columns from scores of one.
    pub(super) fn apply(self, call: &mut Call<'_>, score: TensorId) -> Result<TensorId, Refusal> {
        let axis = call.shape(score).rank().saturating_sub(1) as u8;
        let negative = call.add(Unary::of(UnaryKind::Neg), &[score])?;
        let (first, second) = match self {
            Self::Complement => {
                (call.add(Unary { kind: UnaryKind::Affine, alpha: 1.0, beta: 1.0 }, &[negative])?, score)
            }
            Self::Negative => (negative, score),
            Self::Logistic => {
                let sigmoid = Unary::of(UnaryKind::Sigmoid);
                (call.add(sigmoid, &[negative])?, call.add(sigmoid, &[score])?)
            }
        };
        call.add(Concat { axis }, &[first, second])
    }
}

/// 1 where a score is above `bound`, 0 elsewhere: i32, without the last axis, of which the score is the only element.
pub(super) fn is_above(call: &mut Call<'_>, score: TensorId, bound: f64) -> Result<TensorId, Refusal> {
    let bound = call.floats_like(score, &[], &[bound])?;
    let above = call.add(Compare { kind: CompareKind::Greater }, &[score, bound])?;
    let index = call.add(Cast { to: DType::I32 }, &[above])?;
    let shape = call.shape(index);
    let last = shape.rank().saturating_sub(1);
    call.add(Reduce { kind: ReduceKind::Sum, axes: 1u8 << last, keep: false }, &[index])
}
