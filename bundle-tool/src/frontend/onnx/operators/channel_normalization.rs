//! Normalisation of channels, of groups of them, and across them.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::group_norm::GroupNorm;
use ekiben_runtime::ops::local_response_norm::{LocalResponseNorm, Response};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Shape};

use super::super::call::{Call, Lowered, Refusal, one};
use super::layout::expand_to;
use super::window::{channels_last, channels_second, spatial_lengths};
use crate::graph::TensorId;

/// Gives each image's channels zero mean and unit variance, then scales and shifts them.
pub(super) fn instance(call: &mut Call<'_>) -> Lowered {
    let epsilon = call.attributes.float("epsilon")?.unwrap_or(1e-5).into();
    let (x, scale, bias) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let channels = call.shape(x).factor(1).ok_or("the input has no channels")?;
    let groups = u32::try_from(channels).map_err(|_| "the input has too many channels")?;
    one(call.add(GroupNorm { groups, axis: 1, epsilon }, &[x, scale, bias])?)
}

/// As [`instance`], with mean and variance of each group of channels. Before version 21 scale and bias belong to groups, not channels.
pub(super) fn group(call: &mut Call<'_>) -> Lowered {
    let epsilon = call.attributes.float("epsilon")?.unwrap_or(1e-5).into();
    let stash = call.attributes.int("stash_type")?.unwrap_or(1);
    let groups = call.attributes.int("num_groups")?.ok_or("attribute num_groups is missing")?;
    let groups = u32::try_from(groups).ok().filter(|&groups| groups > 0);
    let groups = groups.ok_or("attribute num_groups must be 1 or more")?;
    let x = call.tensor(0)?;
    let exact = match call.dtype(x) {
        DType::F64 => 11,
        _ => 1,
    };
    if stash != exact {
        return Err(Refusal(format!("attribute stash_type is {stash}; {exact} is supported for this input")));
    }
    let channels = call.shape(x).factor(1).ok_or("the input has no channels")?;
    let mut inputs = vec![x];
    for index in [1, 2] {
        let values = call.tensor(index)?;
        inputs.push(match call.version >= 21 {
            true => values,
            false => per_group(call, values, groups as usize, channels)?,
        });
    }
    one(call.add(GroupNorm { groups, axis: 1, epsilon }, &inputs)?)
}

/// Repeats a value of each group for its channels.
fn per_group(call: &mut Call<'_>, values: TensorId, groups: usize, channels: usize) -> Result<TensorId, Refusal> {
    let split = call.reshape_to(values, &[groups, 1], None)?;
    let repeated = expand_to(call, split, Shape::fixed(&[groups, channels / groups])?)?;
    call.reshape_to(repeated, &[channels], None)
}

/// Gives the elements along some axes zero mean and unit variance.
pub(super) fn mean_variance(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let rank = call.shape(x).rank();
    let stated = call.attributes.ints("axes")?.unwrap_or(&[0, 2, 3]);
    let axes = stated.iter().map(|&axis| call.axis(axis, rank)).collect::<Result<Vec<usize>, Refusal>>()?;
    let axes = axes.into_iter().fold(0, |axes, axis| axes | 1u8 << axis);
    let mean_of = Reduce { kind: ReduceKind::Mean, axes, keep: true };
    let mean = call.add(mean_of, &[x])?;
    let centred = call.add(Binary { kind: BinaryKind::Sub }, &[x, mean])?;
    let square = call.add(Unary::of(UnaryKind::Square), &[centred])?;
    let variance = call.add(mean_of, &[square])?;
    let deviation = call.add(Unary::of(UnaryKind::Sqrt), &[variance])?;
    let deviation = call.add(Unary { kind: UnaryKind::Affine, alpha: 1.0, beta: 1e-9 }, &[deviation])?;
    one(call.add(Binary { kind: BinaryKind::Div }, &[centred, deviation])?)
}

/// Divides each element by a power of the mean square of its channel's neighbours.
pub(super) fn local_response(call: &mut Call<'_>) -> Lowered {
    let size = call.attributes.int("size")?.and_then(|size| u32::try_from(size).ok()).filter(|&size| size > 0);
    let float = |name: &str, default: f32| Ok::<_, Refusal>(call.attributes.float(name)?.unwrap_or(default));
    let how = Response {
        size: size.ok_or("attribute size must be 1 or more")?,
        alpha: float("alpha", 1e-4)?,
        beta: float("beta", 0.75)?,
        bias: float("bias", 1.0)?,
    };
    let x = call.tensor(0)?;
    spatial_lengths(call, x)?;
    let last = channels_last(call, x)?;
    let result = call.add(LocalResponseNorm { how }, &[last])?;
    one(channels_second(call, result)?)
}
