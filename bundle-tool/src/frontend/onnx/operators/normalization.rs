//! Normalisations and softmax.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::layer_norm::LayerNorm;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use ekiben_runtime::{DType, Shape, TensorSpec};

use super::super::call::{Call, Lowered, Refusal, Value, one};
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

/// ONNX's codes of the types that a normalisation may be computed in.
const STASHES: [(i64, DType); 2] = [(1, DType::F32), (11, DType::F64)];

/// What [`normalised`] scales and shifts by, and adds to the variance.
pub(super) struct NormInputs {
    pub(super) x: TensorId,
    pub(super) scale: Option<TensorId>,
    pub(super) bias: Option<TensorId>,
    pub(super) epsilon: f64,
}

/// Normalises the axes from `axis` on in the type `stash`. The results are x's, then those wanted of the mean (not with
/// `root_mean_square`) and the reciprocal of the deviation.
pub(super) fn normalised(
    call: &mut Call<'_>,
    NormInputs { x, scale, bias, epsilon }: NormInputs,
    axis: usize,
    stash: DType,
    root_mean_square: bool,
    extra: usize,
) -> Result<Vec<TensorId>, Refusal> {
    let (shape, dtype) = (call.shape(x), call.dtype(x));
    let dims: Vec<usize> = shape.factors().iter().skip(axis).map(|&dim| dim as usize).collect();
    let part = Shape::fixed(&dims)?;
    let fused = |tensor: &TensorId| stash == dtype && call.shape(*tensor) == part;
    let (own_scale, own_bias) = (scale.filter(fused), bias.filter(fused));
    // A bias alone is added after the factor that stands outside.
    let own_bias = own_bias.filter(|_| own_scale.is_some() || scale.is_none());
    let op = LayerNorm { axes: (shape.rank() - axis) as u8, epsilon, root_mean_square };
    let wide = if stash == dtype { x } else { call.add(Cast { to: stash }, &[x])? };
    let one = (axis..shape.rank()).try_fold(shape, |shape, axis| shape.with_axis(axis, 1, false))?;
    let mut declared = vec![TensorSpec::new(stash, shape)];
    declared.resize(1 + extra, TensorSpec::new(stash, one));
    let mut results = call.add_node(op.into(), &[Some(wide), own_scale, own_bias], &declared)?;
    if stash != dtype {
        results[0] = call.add(Cast { to: dtype }, &[results[0]])?;
    }
    for (values, own, kind) in [(scale, own_scale, BinaryKind::Mul), (bias, own_bias, BinaryKind::Add)] {
        if let Some(values) = values.filter(|_| own.is_none()) {
            results[0] = call.add(Binary { kind }, &[results[0], values])?;
        }
    }
    if call.shape(results[0]) != shape {
        return Err("scale and bias do not broadcast to the input".into());
    }
    Ok(results)
}

/// The normalisation that a node's attributes `axis`, `epsilon` and `stash_type` ask for.
fn stated(call: &mut Call<'_>, root_mean_square: bool) -> Lowered {
    let code = call.attributes.int("stash_type")?.unwrap_or(1);
    let Some((_, stash)) = STASHES.into_iter().find(|&(known, _)| known == code) else {
        return Err(Refusal(format!("attribute stash_type is {code}; 1 (float32) and 11 (float64) are supported")));
    };
    let epsilon = call.attributes.float("epsilon")?.unwrap_or(1e-5).into();
    let x = call.tensor(0)?;
    let axis = call.axis(call.attributes.int("axis")?.unwrap_or(-1), call.shape(x).rank())?;
    let inputs = NormInputs { x, scale: Some(call.tensor(1)?), bias: call.optional(2)?, epsilon };
    let wanted = call.outputs.iter().rposition(|&wanted| wanted).unwrap_or(0);
    let results = normalised(call, inputs, axis, stash, root_mean_square, wanted)?;
    Ok(results.into_iter().map(Value::Tensor).collect())
}

pub(super) fn layer(call: &mut Call<'_>) -> Lowered {
    stated(call, false)
}

pub(super) fn root_mean_square(call: &mut Call<'_>) -> Lowered {
    stated(call, true)
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
