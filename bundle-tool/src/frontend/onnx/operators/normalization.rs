//! Normalisations and softmax.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::layer_norm::LayerNorm;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::super::call::{Call, Lowered, Refusal, one};
use super::shape::flattened;
use crate::graph::TensorId;

/// `[C]` as `[C, 1, …]`, to line up with the second axis of a tensor of `rank` axes.
fn per_channel(call: &mut Call<'_>, values: TensorId, rank: usize) -> Result<TensorId, Refusal> {
    let shape = call.shape(values);
    let (&[channels], false) = (shape.factors(), shape.is_batched()) else {
        return Err("it needs a value for each channel".into());
    };
    let mut dims = vec![1; rank.saturating_sub(1).max(1)];
    dims[0] = channels as usize;
    call.reshape_to(values, &dims, None)
}

/// Scales by `scale / sqrt(variance + epsilon)` and shifts so that the mean goes to the bias.
pub(super) fn batch(call: &mut Call<'_>) -> Lowered {
    call.attributes.ignore(&["momentum"]);
    call.at_most_outputs(1)?;
    if call.attributes.flag("training_mode", false)? {
        return Err("training_mode=1 asks for training".into());
    }
    if call.attributes.has("spatial") && !call.attributes.flag("spatial", true)? {
        return Err("attribute spatial must be 1".into());
    }
    let epsilon = call.attributes.float("epsilon")?.unwrap_or(1e-5);
    let x = call.tensor(0)?;
    let rank = call.shape(x).rank();
    let [scale, bias, mean, variance] = [call.tensor(1)?, call.tensor(2)?, call.tensor(3)?, call.tensor(4)?];
    let variance = call.add(Unary { kind: UnaryKind::Affine, alpha: 1.0, beta: epsilon.into() }, &[variance])?;
    let deviation = call.add(Unary::of(UnaryKind::Sqrt), &[variance])?;
    let factor = call.add(Binary { kind: BinaryKind::Div }, &[scale, deviation])?;
    let shifted = call.add(Binary { kind: BinaryKind::Mul }, &[mean, factor])?;
    let shift = call.add(Binary { kind: BinaryKind::Sub }, &[bias, shifted])?;
    let factor = per_channel(call, factor, rank)?;
    let shift = per_channel(call, shift, rank)?;
    let scaled = call.add(Binary { kind: BinaryKind::Mul }, &[x, factor])?;
    one(call.add(Binary { kind: BinaryKind::Add }, &[scaled, shift])?)
}

/// As [`batch`], with mean and variance of each image's own channel.
pub(super) fn instance(call: &mut Call<'_>) -> Lowered {
    let epsilon = call.attributes.float("epsilon")?.unwrap_or(1e-5);
    let (x, scale, bias) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let rank = call.shape(x).rank();
    let axes = (2..rank).fold(0, |axes, axis| axes | 1u8 << axis);
    let mean_of = Reduce { kind: ReduceKind::Mean, axes, keep: true };
    let mean = call.add(mean_of, &[x])?;
    let centred = call.add(Binary { kind: BinaryKind::Sub }, &[x, mean])?;
    let square = call.add(Unary::of(UnaryKind::Square), &[centred])?;
    let variance = call.add(mean_of, &[square])?;
    let variance = call.add(Unary { kind: UnaryKind::Affine, alpha: 1.0, beta: epsilon.into() }, &[variance])?;
    let deviation = call.add(Unary::of(UnaryKind::Sqrt), &[variance])?;
    let normal = call.add(Binary { kind: BinaryKind::Div }, &[centred, deviation])?;
    let (scale, bias) = (per_channel(call, scale, rank)?, per_channel(call, bias, rank)?);
    let scaled = call.add(Binary { kind: BinaryKind::Mul }, &[normal, scale])?;
    one(call.add(Binary { kind: BinaryKind::Add }, &[scaled, bias])?)
}

pub(super) fn layer(call: &mut Call<'_>) -> Lowered {
    call.at_most_outputs(1)?;
    if call.attributes.int("stash_type")?.unwrap_or(1) != 1 {
        return Err("attribute stash_type must be 1".into());
    }
    let epsilon = call.attributes.float("epsilon")?.unwrap_or(1e-5).into();
    let x = call.tensor(0)?;
    let rank = call.shape(x).rank();
    let axis = call.axis(call.attributes.int("axis")?.unwrap_or(-1), rank)?;
    let mut inputs = vec![x, call.tensor(1)?];
    inputs.extend(call.optional(2)?);
    one(call.add(LayerNorm { axes: (rank - axis) as u8, epsilon }, &inputs)?)
}

/// `x` over its L1 or L2 norm along an axis; 0 where the norm is 0.
pub(super) fn lp(call: &mut Call<'_>) -> Lowered {
    let kind = match call.attributes.int("p")?.unwrap_or(2) {
        1 => ReduceKind::L1,
        2 => ReduceKind::L2,
        other => return Err(Refusal(format!("attribute p is {other}"))),
    };
    let x = call.tensor(0)?;
    let axis = call.axis(call.attributes.int("axis")?.unwrap_or(-1), call.shape(x).rank())?;
    let norm = call.add(Reduce { kind, axes: 1u8 << axis, keep: true }, &[x])?;
    let (zero, unit) = (call.floats_like(x, &[], &[0.0])?, call.floats_like(x, &[], &[1.0])?);
    let empty = call.add(Compare { kind: CompareKind::Equal }, &[norm, zero])?;
    let norm = call.add(Select, &[empty, unit, norm])?;
    one(call.add(Binary { kind: BinaryKind::Div }, &[x, norm])?)
}

fn shares(call: &mut Call<'_>, log: bool) -> Lowered {
    let x = call.tensor(0)?;
    let shape = call.shape(x);
    let rank = shape.rank();
    let stated = call.attributes.int("axis")?;
    if call.version >= 13 {
        let axis = call.axis(stated.unwrap_or(-1), rank)? as u8;
        return one(call.add(Softmax { axis, log }, &[x])?);
    }
    // Before version 13 the axes from `axis` on are one.
    let axis = call.axis(stated.unwrap_or(1), rank)?;
    let matrix = flattened(call, x, axis)?;
    let result = call.add(Softmax { axis: 1, log }, &[matrix])?;
    one(call.reshape(result, shape)?)
}

pub(super) fn softmax(call: &mut Call<'_>) -> Lowered {
    shares(call, false)
}

pub(super) fn log_softmax(call: &mut Call<'_>) -> Lowered {
    shares(call, true)
}
