//! Functions of one element.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::call::{Call, Lowered, Refusal, one};
use super::super::count::Counts;
use super::Lower;
use crate::graph::TensorId;

/// How an elementwise operator is lowered.
pub(super) fn find(name: &str) -> Option<Lower> {
    macro_rules! unary {
        ($kind:ident) => {
            |call| function(call, Unary::of(UnaryKind::$kind))
        };
    }
    Some(match name {
        "Sigmoid" => unary!(Sigmoid),
        "Tanh" => unary!(Tanh),
        "Softplus" => unary!(Softplus),
        "Softsign" => unary!(Softsign),
        "Exp" => unary!(Exp),
        "Log" => unary!(Log),
        "Sqrt" => unary!(Sqrt),
        "Reciprocal" => unary!(Reciprocal),
        "Floor" => unary!(Floor),
        "Ceil" => unary!(Ceil),
        "Round" => unary!(Round),
        "Erf" => unary!(Erf),
        "Sin" => unary!(Sin),
        "Cos" => unary!(Cos),
        "Tan" => unary!(Tan),
        "Asin" => unary!(Asin),
        "Acos" => unary!(Acos),
        "Atan" => unary!(Atan),
        "Sinh" => unary!(Sinh),
        "Cosh" => unary!(Cosh),
        "Asinh" => unary!(Asinh),
        "Acosh" => unary!(Acosh),
        "Atanh" => unary!(Atanh),
        "LeakyRelu" => |call| with_parameters(call, UnaryKind::LeakyRelu, ("alpha", 0.01), None),
        "Elu" => |call| with_parameters(call, UnaryKind::Elu, ("alpha", 1.0), None),
        "Selu" => |call| with_parameters(call, UnaryKind::Selu, ("alpha", 1.673_263_2), Some(("gamma", 1.050_701))),
        "HardSigmoid" => |call| with_parameters(call, UnaryKind::HardSigmoid, ("alpha", 0.2), Some(("beta", 0.5))),
        "HardSwish" => {
            |call| function(call, Unary { kind: UnaryKind::HardSwish, alpha: f64::from(1.0f32 / 6.0), beta: 0.5 })
        }
        "Swish" => |call| {
            let alpha = call.attributes.float("alpha")?.unwrap_or(1.0);
            function(call, swish(alpha))
        },
        "ThresholdedRelu" => |call| with_parameters(call, UnaryKind::ThresholdedRelu, ("alpha", 1.0), None),
        "Celu" => celu,
        "Mish" => mish,
        "Gelu" => gelu,
        "Shrink" => shrink,
        "Relu" => relu,
        "Neg" => negate,
        "Abs" => absolute,
        "Sign" => sign,
        "Clip" => clip,
        _ => return None,
    })
}

fn function(call: &mut Call<'_>, op: Unary) -> Lowered {
    let x = call.tensor(0)?;
    one(call.add(op, &[x])?)
}

fn with_parameters(
    call: &mut Call<'_>,
    kind: UnaryKind,
    (alpha, default): (&str, f32),
    beta: Option<(&str, f32)>,
) -> Lowered {
    let alpha = call.attributes.float(alpha)?.unwrap_or(default).into();
    let beta = match beta {
        Some((name, default)) => call.attributes.float(name)?.unwrap_or(default).into(),
        None => 0.0,
    };
    function(call, Unary { kind, alpha, beta })
}

/// `alpha * x + beta`.
fn affine(call: &mut Call<'_>, x: TensorId, alpha: f64, beta: f64) -> Result<TensorId, Refusal> {
    call.add(Unary { kind: UnaryKind::Affine, alpha, beta }, &[x])
}

/// The smaller or the larger of each element of an integer tensor and a number.
fn bounded(call: &mut Call<'_>, kind: BinaryKind, x: TensorId, bound: f64) -> Result<TensorId, Refusal> {
    let bound = call.scalar(call.dtype(x), bound)?;
    call.add(Binary { kind }, &[x, bound])
}

/// `0 - x` for integers.
fn opposite(call: &mut Call<'_>, x: TensorId) -> Result<TensorId, Refusal> {
    let zero = call.scalar(call.dtype(x), 0.0)?;
    call.add(Binary { kind: BinaryKind::Sub }, &[zero, x])
}

fn relu(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    match call.dtype(x).is_integer() {
        true => one(bounded(call, BinaryKind::Max, x, 0.0)?),
        false => function(call, Unary::of(UnaryKind::Relu)),
    }
}

/// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`.
fn celu(call: &mut Call<'_>) -> Lowered {
    let alpha = f64::from(call.attributes.float("alpha")?.unwrap_or(1.0));
    let x = call.tensor(0)?;
    let scaled = affine(call, x, 1.0 / alpha, 0.0)?;
    let below = call.add(Unary::of(UnaryKind::Expm1), &[scaled])?;
    let below = affine(call, below, alpha, 0.0)?;
    let below = call.add(Unary { kind: UnaryKind::Clip, alpha: f64::NEG_INFINITY, beta: 0.0 }, &[below])?;
    let above = call.add(Unary::of(UnaryKind::Relu), &[x])?;
    one(call.add(Binary { kind: BinaryKind::Add }, &[above, below])?)
}

/// `x * tanh(softplus(x))`.
fn mish(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let softplus = call.add(Unary::of(UnaryKind::Softplus), &[x])?;
    let tanh = call.add(Unary::of(UnaryKind::Tanh), &[softplus])?;
    one(call.add(Binary { kind: BinaryKind::Mul }, &[x, tanh])?)
}

fn gelu(call: &mut Call<'_>) -> Lowered {
    match call.attributes.string("approximate")?.unwrap_or("none") {
        "none" => function(call, Unary::of(UnaryKind::Gelu)),
        "tanh" => function(call, Unary::of(UnaryKind::GeluTanh)),
        other => Err(Refusal(format!("attribute approximate is {other:?}"))),
    }
}

/// `x + bias` below `-lambd`, `x - bias` above `lambd`, 0 between; NaN gives 0.
fn shrink(call: &mut Call<'_>) -> Lowered {
    let lambda = f64::from(call.attributes.float("lambd")?.unwrap_or(0.5));
    let bias = f64::from(call.attributes.float("bias")?.unwrap_or(0.0));
    let given = call.tensor(0)?;
    let dtype = call.dtype(given);
    // Integers meet fractions: they are compared and moved as f64, and truncated at the end.
    let x = if dtype.is_integer() { call.cast(given, DType::F64)? } else { given };
    let zero = call.scalar(call.dtype(x), 0.0)?;
    let mut result = zero;
    for (kind, bound, shift) in [(CompareKind::Greater, lambda, -bias), (CompareKind::Less, -lambda, bias)] {
        let bound = call.scalar(call.dtype(x), bound)?;
        let outside = call.add(Compare { kind }, &[x, bound])?;
        let moved = affine(call, x, 1.0, shift)?;
        result = call.add(Select, &[outside, moved, result])?;
    }
    one(call.cast(result, dtype)?)
}

fn negate(call: &mut Call<'_>) -> Lowered {
    if call.has_counts() {
        let counts = Counts::zip(&[&call.counts(0)?], |values| values[0].negate())?;
        return Ok(vec![call.put_counts(counts)?]);
    }
    let x = call.tensor(0)?;
    match call.dtype(x).is_integer() {
        true => one(opposite(call, x)?),
        false => function(call, Unary::of(UnaryKind::Neg)),
    }
}

fn absolute(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    if !call.dtype(x).is_integer() {
        return function(call, Unary::of(UnaryKind::Abs));
    }
    if is_unsigned(call, x) {
        return one(x);
    }
    let negative = opposite(call, x)?;
    one(call.add(Binary { kind: BinaryKind::Max }, &[x, negative])?)
}

fn is_unsigned(call: &Call<'_>, x: TensorId) -> bool {
    matches!(call.dtype(x), DType::U8 | DType::U16 | DType::U32 | DType::U64)
}

fn sign(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    if !call.dtype(x).is_integer() {
        return function(call, Unary::of(UnaryKind::Sign));
    }
    let result = bounded(call, BinaryKind::Min, x, 1.0)?;
    one(if is_unsigned(call, x) { result } else { bounded(call, BinaryKind::Max, result, -1.0)? })
}

fn clip(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let attributes = [call.attributes.float("min")?, call.attributes.float("max")?];
    let bounds = [call.optional(1)?, call.optional(2)?];
    let known = [0, 1].map(|side| match bounds[side] {
        Some(id) => call.constant_floats(id).and_then(|values| values.first().copied()),
        None => Some(attributes[side].map_or([f64::NEG_INFINITY, f64::INFINITY][side], f64::from)),
    });
    if let ([Some(alpha), Some(beta)], true) = (known, call.dtype(x).is_float()) {
        return function(call, Unary { kind: UnaryKind::Clip, alpha, beta });
    }
    let mut result = x;
    for (bound, kind) in bounds.into_iter().zip([BinaryKind::Max, BinaryKind::Min]) {
        if let Some(bound) = bound {
            result = call.add(Binary { kind }, &[result, bound])?;
        }
    }
    one(result)
}

/// `a * sigmoid(alpha * a) * b`.
pub(super) fn swish_gate(call: &mut Call<'_>) -> Lowered {
    let alpha = call.attributes.float("alpha")?.unwrap_or(1.0);
    let (a, b) = (call.tensor(0)?, call.tensor(1)?);
    if call.shape(a) != call.shape(b) {
        return Err("its inputs must have the same shape".into());
    }
    let swish = call.add(swish(alpha), &[a])?;
    one(call.add(Binary { kind: BinaryKind::Mul }, &[swish, b])?)
}

/// `x * sigmoid(alpha * x)`.
pub(super) fn swish(alpha: f32) -> Unary {
    match alpha {
        1.0 => Unary::of(UnaryKind::Silu),
        _ => Unary { kind: UnaryKind::Swish, alpha: alpha.into(), beta: 0.0 },
    }
}
