//! Convolutions, their transposes, and convolutions whose taps move.

use ekiben_runtime::DType;
use ekiben_runtime::ops::col2im::Col2Im;
use ekiben_runtime::ops::conv_nd::{ConvNd, Direction};
use ekiben_runtime::ops::conv2d::{Clamp, Conv2d, Window};
use ekiben_runtime::ops::deform_conv::DeformConv;
use ekiben_runtime::ops::depthwise_conv2d::DepthwiseConv2d;

use super::super::call::{Call, Lowered, Refusal, one};
use super::window::{
    channels_first, channels_last, channels_second, images, kernel_shape, list, moves, numbers, rows, spatial_lengths,
    steps, table, window2d,
};
use crate::graph::TensorId;

/// What filters of ONNX are: the first two lengths, and the kernel.
fn filter_lengths(call: &Call<'_>, filters: TensorId) -> Result<([usize; 2], Vec<usize>), Refusal> {
    if call.shape(filters).is_batched() {
        return Err("the filters depend on the batch".into());
    }
    let dims: Vec<usize> = call.shape(filters).factors().iter().map(|&dim| dim as usize).collect();
    let (&first, kernel) = dims.split_first_chunk::<2>().ok_or("the filters have no channels")?;
    if kernel_shape(call)?.is_some_and(|stated| stated != kernel) {
        return Err("attribute kernel_shape is not the filters' shape".into());
    }
    Ok((first, kernel.to_vec()))
}

/// A positive attribute, 1 where it is absent.
fn count(call: &Call<'_>, name: &str) -> Result<u32, Refusal> {
    let value = call.attributes.int(name)?.unwrap_or(1);
    let value = u32::try_from(value).ok().filter(|&value| value > 0);
    value.ok_or_else(|| Refusal(format!("attribute {name} must be 1 or more")))
}

/// Reads `group` and checks it against the channels of the input and those that a filter sees.
fn groups(call: &Call<'_>, x: TensorId, per_group: usize) -> Result<u32, Refusal> {
    let groups = count(call, "group")?;
    let channels = call.shape(x).factor(1).ok_or("the input has no channels")?;
    if per_group.checked_mul(groups as usize) != Some(channels) {
        return Err(Refusal(format!("{groups} groups of {per_group} channels on an input of {channels}")));
    }
    Ok(groups)
}

/// The operands, in our layout, of a convolution over one or two axes.
pub(super) struct Convolution {
    /// `[N, H, W, C]`.
    pub(super) images: TensorId,
    /// `[O, KH, KW, C / groups]`, or `[1, KH, KW, O]` where `depthwise`.
    pub(super) filters: TensorId,
    pub(super) window: Window,
    pub(super) groups: u32,
    /// Each channel is convolved by itself.
    pub(super) depthwise: bool,
    /// Number of spatial axes in ONNX's layout.
    pub(super) spatial: usize,
}

/// Reads the attributes of a convolution of `x` with `filters` over one or two axes.
pub(super) fn convolution(call: &mut Call<'_>, x: TensorId, filters: TensorId) -> Result<Convolution, Refusal> {
    let ([_, per_group], kernel) = filter_lengths(call, filters)?;
    let groups = groups(call, x, per_group)?;
    let lengths = spatial_lengths(call, x)?;
    let window = window2d(&moves(call, &lengths, &kernel, false)?)?;
    let images = images(call, x)?;
    let depthwise = groups > 1 && per_group == 1;
    let filters = image_filters(call, filters, depthwise)?;
    Ok(Convolution { images: images.tensor, filters, window, groups, depthwise, spatial: lengths.len() })
}

pub(super) fn conv(call: &mut Call<'_>) -> Lowered {
    let (x, filters, bias) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
    let dtype = call.dtype(x);
    if call.shape(x).rank() > 4 || !matches!(dtype, DType::F32 | DType::F16 | DType::BF16) {
        return conv_nd(call, x, filters, bias);
    }
    // 16-bit floats are summed in float32, filters as they are stored.
    let x = call.widened(x)?;
    let bias = bias.map(|bias| call.widened(bias)).transpose()?;
    let Convolution { images, filters, window, groups, depthwise, spatial } = convolution(call, x, filters)?;
    let clamp = Clamp::NONE;
    let mut inputs = vec![images, filters];
    inputs.extend(bias);
    let result = if depthwise {
        call.add(DepthwiseConv2d { window, clamp }, &inputs)?
    } else {
        call.add(Conv2d { window, groups, clamp }, &inputs)?
    };
    let result = call.cast(result, dtype)?;
    one(channels_first(call, result, spatial)?)
}

/// Filters `[O, C / groups, taps…]` over one or two axes as our operators take them, with a height of 1 for one axis.
fn image_filters(call: &mut Call<'_>, filters: TensorId, depthwise: bool) -> Result<TensorId, Refusal> {
    let filters = match *call.shape(filters).factors() {
        [count, per_group, taps] => {
            call.reshape_to(filters, &[count as usize, per_group as usize, 1, taps as usize], None)?
        }
        _ => filters,
    };
    call.transpose(filters, if depthwise { &[1, 2, 3, 0] } else { &[0, 2, 3, 1] })
}

/// A convolution over any number of axes.
fn conv_nd(call: &mut Call<'_>, x: TensorId, filters: TensorId, bias: Option<TensorId>) -> Lowered {
    let ([_, per_group], kernel) = filter_lengths(call, filters)?;
    let groups = groups(call, x, per_group)?;
    let lengths = spatial_lengths(call, x)?;
    let [strides, dilations, before, after, _] = rows(&moves(call, &lengths, &kernel, false)?);
    let table = table(call, &[&strides, &dilations, &before, &after])?;
    let (x, filters) = (channels_last(call, x)?, channels_last(call, filters)?);
    let op = ConvNd { direction: Direction::Forward, groups, clamp: Clamp::NONE };
    let result = call.add_node(op.into(), &[Some(x), Some(filters), Some(table), bias], &[])?[0];
    one(channels_second(call, result)?)
}

pub(super) fn conv_transpose(call: &mut Call<'_>) -> Lowered {
    let (x, filters, bias) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
    let ([channels, outputs], kernel) = filter_lengths(call, filters)?;
    let groups = count(call, "group")?;
    if call.shape(x).factor(1) != Some(channels) || channels == 0 || !channels.is_multiple_of(groups as usize) {
        return Err(Refusal(format!(
            "{groups} groups of filters for {channels} channels, which the input does not have"
        )));
    }
    let lengths = spatial_lengths(call, x)?;
    if kernel.len() != lengths.len() || kernel.contains(&0) {
        return Err(Refusal(format!("a kernel of {kernel:?} on {} axes", lengths.len())));
    }
    let (strides, dilations) = steps(call, lengths.len())?;
    let (before, after) = transposed_lengths(call, &lengths, &kernel, &strides, &dilations)?;
    let filters = transposed_filters(call, filters, [groups as usize, channels, outputs], &kernel)?;
    let table = table(call, &[&strides, &dilations, &before, &after])?;
    let x = channels_last(call, x)?;
    let op = ConvNd { direction: Direction::Transposed, groups, clamp: Clamp::NONE };
    let result = call.add_node(op.into(), &[Some(x), Some(filters), Some(table), bias], &[])?[0];
    one(channels_second(call, result)?)
}

/// Filters `[C, O / groups, taps…]` as `[O, taps…, C / groups]`.
fn transposed_filters(
    call: &mut Call<'_>,
    filters: TensorId,
    [groups, channels, outputs]: [usize; 3],
    kernel: &[usize],
) -> Result<TensorId, Refusal> {
    let axes = kernel.len();
    if groups == 1 {
        let order: Vec<usize> = (1..axes + 2).chain([0]).collect();
        return call.transpose(filters, &order);
    }
    let split = [&[groups, channels / groups, outputs], kernel].concat();
    let split = call.reshape_to(filters, &split, None)?;
    let order: Vec<usize> = [0].into_iter().chain(2..axes + 3).chain([1]).collect();
    let moved = call.transpose(split, &order)?;
    let joined = [&[groups * outputs], kernel, &[channels / groups]].concat();
    call.reshape_to(moved, &joined, None)
}

/// What is taken away before each axis of a transposed convolution, and the axis's length: from `output_shape`, `auto_pad` or `pads`. Where
/// a stated shape is longer than the result, zeros (and the bias) follow, as in ONNX Runtime.
fn transposed_lengths(
    call: &Call<'_>,
    lengths: &[usize],
    kernel: &[usize],
    strides: &[u32],
    dilations: &[u32],
) -> Result<(Vec<u32>, Vec<u32>), Refusal> {
    let axes = lengths.len();
    let pads = list(call, "pads", 2 * axes, 0)?;
    let more = list(call, "output_padding", axes, 0)?;
    let auto = call.attributes.string("auto_pad")?.unwrap_or("NOTSET");
    if !["NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"].contains(&auto) {
        return Err(Refusal(format!("attribute auto_pad is {auto:?}")));
    }
    let stated = call.attributes.ints("output_shape")?;
    if stated.is_some_and(|stated| stated.len() != axes && stated.len() != axes + 2) {
        return Err(Refusal(format!("attribute output_shape is {:?}", stated.unwrap_or_default())));
    }
    let stated = stated.map(|stated| &stated[stated.len() - axes..]);
    let (mut before, mut after) = (Vec::new(), Vec::new());
    for axis in 0..axes {
        let stride = i64::from(strides[axis]);
        let span = (kernel[axis] as i64 - 1).saturating_mul(dilations[axis].into()).saturating_add(1);
        let full = (lengths[axis] as i64 - 1).saturating_mul(stride).saturating_add(span);
        let full = full.saturating_add(more[axis].into());
        let wanted = match stated {
            Some(stated) => Some(stated[axis]),
            None if auto.starts_with("SAME") => Some(stride.saturating_mul(lengths[axis] as i64)),
            None => None,
        };
        if stated.is_none() && wanted.is_some_and(|wanted| wanted > full) {
            return Err(
                "attribute auto_pad is SAME with a kernel that is shorter than the stride, where the specification and ONNX \
                 Runtime differ in the length of the result: state pads and output_padding"
                    .into(),
            );
        }
        let (start, length) = match wanted {
            Some(wanted) => {
                let total = full.saturating_sub(wanted).max(0);
                (if auto == "SAME_UPPER" { total / 2 } else { total - total / 2 }, wanted)
            }
            None if auto == "VALID" => (0, full),
            None => (pads[axis].into(), full - i64::from(pads[axis]) - i64::from(pads[axes + axis])),
        };
        let length = u32::try_from(length).ok().filter(|&length| length > 0);
        before.push(u32::try_from(start).map_err(|_| "a pad is too large")?);
        after.push(length.ok_or_else(|| Refusal(format!("axis {axis} of the result has no elements")))?);
    }
    Ok((before, after))
}

pub(super) fn deform_conv(call: &mut Call<'_>) -> Lowered {
    let (x, filters, offsets) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let (bias, mask) = (call.optional(3)?, call.optional(4)?);
    let ([_, per_group], kernel) = filter_lengths(call, filters)?;
    let groups = groups(call, x, per_group)?;
    let offset_groups = count(call, "offset_group")?;
    let lengths = spatial_lengths(call, x)?;
    if lengths.len() != 2 {
        return Err(Refusal(format!("{} spatial axes; two are supported", lengths.len())));
    }
    let window = window2d(&moves(call, &lengths, &kernel, false)?)?;
    let mask = mask.map(|mask| channels_last(call, mask)).transpose()?;
    let inputs = [x, filters, offsets].map(|input| channels_last(call, input).map(Some));
    let [x, filters, offsets] = inputs;
    let op = DeformConv { window, groups, offset_groups };
    let result = call.add_node(op.into(), &[x?, filters?, offsets?, mask, bias], &[])?[0];
    one(channels_second(call, result)?)
}

pub(super) fn col2im(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let lengths = |index: usize| -> Result<Vec<u32>, Refusal> {
        let values = call.integers(index)?;
        let lengths: Option<Vec<usize>> = values.iter().map(|&value| usize::try_from(value).ok()).collect();
        numbers(&lengths.ok_or_else(|| Refusal(format!("input {index} is {values:?}")))?)
    };
    let (image, block) = (lengths(1)?, lengths(2)?);
    let axes = image.len();
    if block.len() != axes {
        return Err(Refusal(format!("a block of {} axes in an image of {axes}", block.len())));
    }
    let (strides, dilations) = steps(call, axes)?;
    let pads = list(call, "pads", 2 * axes, 0)?;
    let (before, after) = pads.split_at(axes);
    let table = table(call, &[&strides, &dilations, before, after, &image, &block])?;
    one(call.add(Col2Im, &[x, table])?)
}
