//! Functions of one element, arithmetic, and casts.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::super::count::Counts;
use super::super::tensor;
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
        "Relu" => |call| {
            let x = call.tensor(0)?;
            if !call.dtype(x).is_float() {
                let zero = integer_like(call, x, 0)?;
                return one(call.add(Binary { kind: BinaryKind::Max }, &[x, zero])?);
            }
            function(call, Unary::of(UnaryKind::Relu))
        },
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
        "Sign" => unary!(Sign),
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
        "Neg" => negate,
        "Abs" => absolute,
        "Clip" => clip,
        "PRelu" => |call| combine(call, BinaryKind::PRelu),
        "Add" => |call| arithmetic(call, BinaryKind::Add),
        "Sub" => |call| arithmetic(call, BinaryKind::Sub),
        "Mul" => |call| arithmetic(call, BinaryKind::Mul),
        "Div" => |call| arithmetic(call, BinaryKind::Div),
        "Mod" => modulo,
        "Pow" => power,
        "Min" => |call| fold(call, BinaryKind::Min).and_then(one),
        "Max" => |call| fold(call, BinaryKind::Max).and_then(one),
        "Sum" => |call| fold(call, BinaryKind::Add).and_then(one),
        "Mean" => mean,
        "Identity" => |call| Ok(vec![call.inputs.first().cloned().flatten().ok_or("input 0 is missing")?]),
        "Dropout" => dropout,
        "Cast" => cast,
        "CastLike" => cast_like,
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

/// An integer scalar of the type of `like`.
fn integer_like(call: &mut Call<'_>, like: TensorId, value: i32) -> Result<TensorId, Refusal> {
    match call.dtype(like) {
        DType::I32 => call.constant(DType::I32, &[], &[value]),
        DType::I64 => call.constant(DType::I64, &[], &[i64::from(value)]),
        other => Err(Refusal(format!("elements of type {other} are not supported here"))),
    }
}

/// `max(0, x) + min(0, alpha * (exp(x / alpha) - 1))`.
fn celu(call: &mut Call<'_>) -> Lowered {
    let alpha = f64::from(call.attributes.float("alpha")?.unwrap_or(1.0));
    let x = call.tensor(0)?;
    let scaled = call.add(Unary { kind: UnaryKind::Affine, alpha: 1.0 / alpha, beta: 0.0 }, &[x])?;
    let below = call.add(Unary::of(UnaryKind::Expm1), &[scaled])?;
    let below = call.add(Unary { kind: UnaryKind::Affine, alpha, beta: 0.0 }, &[below])?;
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

fn negate(call: &mut Call<'_>) -> Lowered {
    if call.has_counts() {
        let counts = Counts::zip(&[&call.counts(0)?], |values| values[0].negate())?;
        return Ok(vec![call.put_counts(counts)?]);
    }
    let x = call.tensor(0)?;
    if call.dtype(x).is_float() {
        return function(call, Unary::of(UnaryKind::Neg));
    }
    let zero = integer_like(call, x, 0)?;
    one(call.add(Binary { kind: BinaryKind::Sub }, &[zero, x])?)
}

fn absolute(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    if call.dtype(x).is_float() {
        return function(call, Unary::of(UnaryKind::Abs));
    }
    let zero = integer_like(call, x, 0)?;
    let negative = call.add(Binary { kind: BinaryKind::Sub }, &[zero, x])?;
    one(call.add(Binary { kind: BinaryKind::Max }, &[x, negative])?)
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

fn combine(call: &mut Call<'_>, kind: BinaryKind) -> Lowered {
    let inputs = [call.tensor(0)?, call.tensor(1)?];
    one(call.add(Binary { kind }, &inputs)?)
}

fn arithmetic(call: &mut Call<'_>, kind: BinaryKind) -> Lowered {
    if !call.has_counts() {
        return combine(call, kind);
    }
    let (a, b) = (call.counts(0)?, call.counts(1)?);
    let counts = Counts::zip(&[&a, &b], |values| match kind {
        BinaryKind::Add => values[0].add(values[1]),
        BinaryKind::Sub => values[0].add(values[1].negate()?),
        BinaryKind::Mul => values[0].multiply(values[1]),
        _ => values[0].divide(values[1]),
    })?;
    Ok(vec![call.put_counts(counts)?])
}

fn modulo(call: &mut Call<'_>) -> Lowered {
    let truncated = call.attributes.flag("fmod", false)?;
    let x = call.tensor(0)?;
    if !truncated && call.dtype(x).is_float() {
        return Err("floats need fmod=1".into());
    }
    combine(call, if truncated { BinaryKind::Rem } else { BinaryKind::Mod })
}

fn power(call: &mut Call<'_>) -> Lowered {
    let (base, mut exponent) = (call.tensor(0)?, call.tensor(1)?);
    let (to, from) = (call.dtype(base), call.dtype(exponent));
    if to != from {
        exponent = call.add(Cast { to }, &[exponent])?;
    }
    if call.shape(exponent).elements() == Some(1) && call.shape(exponent).rank() <= call.shape(base).rank() {
        let value = call.constant_floats(exponent).and_then(|values| values.first().copied());
        if value == Some(2.0) {
            return one(call.add(Unary::of(UnaryKind::Square), &[base])?);
        }
    }
    one(call.add(Binary { kind: BinaryKind::Pow }, &[base, exponent])?)
}

/// Combines any number of inputs from left to right.
fn fold(call: &mut Call<'_>, kind: BinaryKind) -> Result<TensorId, Refusal> {
    let mut result = call.tensor(0)?;
    for index in 1..call.inputs.len() {
        let next = call.tensor(index)?;
        result = call.add(Binary { kind }, &[result, next])?;
    }
    Ok(result)
}

fn mean(call: &mut Call<'_>) -> Lowered {
    let sum = fold(call, BinaryKind::Add)?;
    let count = call.floats_like(sum, &[], &[call.inputs.len() as f64])?;
    one(call.add(Binary { kind: BinaryKind::Div }, &[sum, count])?)
}

/// Nothing is dropped when a model is used.
fn dropout(call: &mut Call<'_>) -> Lowered {
    call.attributes.ignore(&["ratio", "seed"]);
    call.at_most_outputs(1)?;
    if call.attributes.has("is_test") && !call.attributes.flag("is_test", true)? {
        return Err("is_test=0 asks for training".into());
    }
    if call.has(2) && call.integers(2)?.first() != Some(&0) {
        return Err("training_mode asks for training".into());
    }
    one(call.tensor(0)?)
}

fn cast(call: &mut Call<'_>) -> Lowered {
    call.attributes.ignore(&["saturate", "round_mode"]);
    let to = call.attributes.int("to")?.ok_or("attribute to is missing")?;
    let to = tensor::dtype(i32::try_from(to).unwrap_or(-1))?;
    cast_to(call, to)
}

fn cast_like(call: &mut Call<'_>) -> Lowered {
    call.attributes.ignore(&["saturate", "round_mode"]);
    let like = call.tensor(1)?;
    let to = call.dtype(like);
    cast_to(call, to)
}

fn cast_to(call: &mut Call<'_>, to: DType) -> Lowered {
    if call.has_counts() {
        return match to {
            DType::I64 | DType::I32 => Ok(vec![Value::Counts(call.counts(0)?)]),
            other => Err(Refusal(format!("integers that depend on the batch cannot become {other}"))),
        };
    }
    let x = call.tensor(0)?;
    let from = call.dtype(x);
    if from == to {
        return one(x);
    }
    if to == DType::Text || from == DType::Category {
        return Err("casts from and to text are not supported".into());
    }
    one(call.add(Cast { to }, &[x])?)
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
