//! Convolutions over one or two axes.

use ekiben_runtime::ops::conv2d::{Clamp, Conv2d, Window};
use ekiben_runtime::ops::depthwise_conv2d::DepthwiseConv2d;

use super::super::call::{Call, Lowered, Refusal, one};
use super::window::{channels_first, images, kernel_shape, sliding};
use crate::graph::TensorId;

/// A convolution's operands in our layout.
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

/// Reads the attributes of a convolution of `x` with `filters`.
pub(super) fn convolution(call: &mut Call<'_>, x: TensorId, filters: TensorId) -> Result<Convolution, Refusal> {
    let channels = call.shape(x).factor(1).ok_or("the input has no channels")?;
    let images = images(call, x)?;
    let dims: Vec<usize> = call.shape(filters).factors().iter().map(|&dim| dim as usize).collect();
    let (&[count, per_group], kernel) = dims.split_first_chunk::<2>().ok_or("the filters have no channels")?;
    if call.shape(filters).is_batched() {
        return Err("the filters depend on the batch".into());
    }
    if kernel_shape(call)?.is_some_and(|stated| stated != kernel) {
        return Err("attribute kernel_shape is not the filters' shape".into());
    }
    let window = sliding(call, &images.lengths, kernel)?.window;
    let groups = call.attributes.int("group")?.unwrap_or(1);
    let groups = u32::try_from(groups).ok().filter(|&groups| groups > 0);
    let groups = groups.ok_or("attribute group must be 1 or more")?;
    if per_group.checked_mul(groups as usize) != Some(channels) {
        return Err(Refusal(format!("{groups} groups of {per_group} channels on an input of {channels}")));
    }
    // [O, C / groups, KH, KW], with a height of 1 for one axis.
    let filters = match kernel {
        &[taps] => call.reshape_to(filters, &[count, per_group, 1, taps], None)?,
        _ => filters,
    };
    let depthwise = groups > 1 && per_group == 1;
    let filters = call.transpose(filters, if depthwise { &[1, 2, 3, 0] } else { &[0, 2, 3, 1] })?;
    Ok(Convolution { images: images.tensor, filters, window, groups, depthwise, spatial: images.lengths.len() })
}

pub(super) fn conv(call: &mut Call<'_>) -> Lowered {
    let (x, filters, bias) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
    let Convolution { images, filters, window, groups, depthwise, spatial } = convolution(call, x, filters)?;
    let clamp = Clamp::NONE;
    let mut inputs = vec![images, filters];
    inputs.extend(bias);
    let result = if depthwise {
        call.add(DepthwiseConv2d { window, clamp }, &inputs)?
    } else {
        call.add(Conv2d { window, groups, clamp }, &inputs)?
    };
    one(channels_first(call, result, spatial)?)
}
