//! Convolutions over one and two axes, and their transposes.

use ekiben_runtime::ops::conv_nd::{ConvNd, Direction};
use ekiben_runtime::ops::conv2d::{Clamp, Conv2d, Window, WindowAxis};
use ekiben_runtime::ops::depthwise_conv2d::DepthwiseConv2d;

use super::super::activations;
use super::super::lowering::{Site, Stop};
use crate::graph::TensorId;

/// Images that a window moves over: sequences are images of height 1.
pub(super) struct Images {
    /// `[N, H, W, C]`.
    pub(super) tensor: TensorId,
    /// Number of the axes that the layer knows.
    pub(super) axes: usize,
    pub(super) lengths: [usize; 2],
    pub(super) channels: usize,
}

/// The input of a layer over one or two axes.
pub(super) fn images(site: &mut Site<'_, '_>, x: TensorId) -> Result<Images, Stop> {
    site.channels_last()?;
    match *site.dims(x) {
        [first, steps, channels] => {
            let tensor = site.reshaped(x, &[first, 1, steps, channels])?;
            Ok(Images { tensor, axes: 1, lengths: [1, steps], channels })
        }
        [_, height, width, channels] => Ok(Images { tensor: x, axes: 2, lengths: [height, width], channels }),
        _ => Err(format!("the input has the shape {}", site.shape(x)).into()),
    }
}

impl Images {
    /// Counts of the layer's configuration for height and width, which are 1 along the height of a sequence.
    pub(super) fn counts(&self, site: &Site<'_, '_>, key: &str, usual: Option<usize>) -> Result<[usize; 2], Stop> {
        Ok(match *site.counts(key, self.axes, usual)? {
            [width] => [1, width],
            [height, width] => [height, width],
            _ => [1, 1],
        })
    }

    /// The result as the layer gives it.
    pub(super) fn given(&self, site: &mut Site<'_, '_>, result: TensorId) -> Result<TensorId, Stop> {
        match *site.dims(result) {
            [first, _, steps, channels] if self.axes == 1 => site.reshaped(result, &[first, steps, channels]),
            _ => Ok(result),
        }
    }

    /// How a kernel moves, by the layer's `padding`: with `same`, half of what the result needs beyond the input stands before it, rounded
    /// down; with `causal`, all.
    pub(super) fn window(
        &self,
        site: &Site<'_, '_>,
        kernel: [usize; 2],
        strides: [usize; 2],
        dilations: [usize; 2],
    ) -> Result<Window, Stop> {
        let padding = site.text("padding").unwrap_or("valid");
        let too_large = || Stop::from("the window is too large");
        let axis = |at: usize| {
            let span = (kernel[at] - 1).checked_mul(dilations[at]).ok_or_else(too_large)? + 1;
            let length = self.lengths[at];
            let (before, after) = match padding {
                "valid" => (0, 0),
                "same" => {
                    let last = (length.div_ceil(strides[at])).saturating_sub(1).saturating_mul(strides[at]);
                    let total = last.saturating_add(span).saturating_sub(length);
                    (total / 2, total - total / 2)
                }
                "causal" if self.axes == 1 => (span - 1, 0),
                other => return Err(format!("padding is {other:?}").into()),
            };
            let small = |value: usize| u32::try_from(value).map_err(|_| too_large());
            Ok::<_, Stop>(WindowAxis {
                stride: small(strides[at])?,
                dilation: small(dilations[at])?,
                before: small(before)?,
                after: small(after)?,
            })
        };
        Ok(Window { rows: axis(0)?, columns: axis(1)? })
    }
}

/// `[a, b]` taken as the last two axes of `[taps, a, b]`, the other way round and before the taps: `[b, taps, a]`.
fn filters_first(values: &[f32], taps: usize, a: usize, b: usize) -> Vec<f32> {
    let mut out = Vec::with_capacity(values.len());
    for last in 0..b {
        for tap in 0..taps {
            out.extend((0..a).map(|middle| values[(tap * a + middle) * b + last]));
        }
    }
    out
}

/// The lengths of a kernel as the layer stores it.
fn stored_dims(images: &Images, kernel: [usize; 2], last: [usize; 2]) -> Vec<usize> {
    kernel[2 - images.axes..].iter().copied().chain(last).collect()
}

fn bias(site: &mut Site<'_, '_>, outputs: usize) -> Result<Option<TensorId>, Stop> {
    match site.flag("use_bias", true) {
        true => site.stored("bias", &[outputs], &[outputs]).map(Some),
        false => Ok(None),
    }
}

pub(super) fn conv(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let images = images(site, x)?;
    let kernel = images.counts(site, "kernel_size", None)?;
    let (strides, dilations) =
        (images.counts(site, "strides", Some(1))?, images.counts(site, "dilation_rate", Some(1))?);
    let outputs = site.count("filters")?.ok_or("filters is not stated")?;
    let groups = site.count("groups")?.unwrap_or(1);
    if !images.channels.is_multiple_of(groups) {
        return Err(format!("{groups} groups of {} channels", images.channels).into());
    }
    let width = images.channels / groups;
    let window = images.window(site, kernel, strides, dilations)?;
    let dims = stored_dims(&images, kernel, [width, outputs]);
    let filters = site.constant("kernel", &[outputs, kernel[0], kernel[1], width], |site| {
        Ok(filters_first(site.numbers("kernel", &dims)?, kernel[0] * kernel[1], width, outputs))
    })?;
    let op = Conv2d { window, groups: groups as u32, clamp: Clamp::NONE };
    let mut inputs = vec![images.tensor, filters];
    inputs.extend(bias(site, outputs)?);
    let result = site.add(op, &inputs)?;
    let result = images.given(site, result)?;
    activations::apply(site, "activation", result)
}

/// Each channel by itself: the first half of a separable convolution, too.
fn by_channel(site: &mut Site<'_, '_>, images: &Images, bias: Option<usize>) -> Result<(TensorId, usize), Stop> {
    let kernel = images.counts(site, "kernel_size", None)?;
    let (strides, dilations) =
        (images.counts(site, "strides", Some(1))?, images.counts(site, "dilation_rate", Some(1))?);
    let multiplier = site.count("depth_multiplier")?.unwrap_or(1);
    let outputs = images.channels.checked_mul(multiplier).ok_or("too many channels")?;
    let window = images.window(site, kernel, strides, dilations)?;
    let dims = stored_dims(images, kernel, [images.channels, multiplier]);
    let filters = site.stored("depthwise_kernel", &dims, &[1, kernel[0], kernel[1], outputs])?;
    let mut inputs = vec![images.tensor, filters];
    if bias.is_some() {
        inputs.extend(self::bias(site, outputs)?);
    }
    Ok((site.add(DepthwiseConv2d { window, clamp: Clamp::NONE }, &inputs)?, outputs))
}

pub(super) fn depthwise(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let images = images(site, x)?;
    let (result, _) = by_channel(site, &images, Some(0))?;
    let result = images.given(site, result)?;
    activations::apply(site, "activation", result)
}

pub(super) fn separable(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let images = images(site, x)?;
    let (middle, channels) = by_channel(site, &images, None)?;
    let outputs = site.count("filters")?.ok_or("filters is not stated")?;
    let dims = stored_dims(&images, [1, 1], [channels, outputs]);
    let filters = site.constant("pointwise_kernel", &[outputs, 1, 1, channels], |site| {
        Ok(filters_first(site.numbers("pointwise_kernel", &dims)?, 1, channels, outputs))
    })?;
    let mut inputs = vec![middle, filters];
    inputs.extend(bias(site, outputs)?);
    let result = site.add(Conv2d { window: Window::DENSE, groups: 1, clamp: Clamp::NONE }, &inputs)?;
    let result = images.given(site, result)?;
    activations::apply(site, "activation", result)
}

/// What a transposed convolution takes away before an axis, and the axis's length.
fn transposed_axis(
    padding: &str,
    [length, kernel, stride, dilation]: [usize; 4],
    more: Option<usize>,
) -> Result<[usize; 2], Stop> {
    let span = (kernel - 1).saturating_mul(dilation).saturating_add(1);
    let full = (length - 1).saturating_mul(stride).saturating_add(span);
    let same = match padding {
        "same" => true,
        "valid" => false,
        other => return Err(format!("padding is {other:?}").into()),
    };
    let wanted = match (more, same) {
        (None, true) => length.saturating_mul(stride),
        (None, false) => length.saturating_mul(stride).saturating_add(span.saturating_sub(stride)),
        (Some(more), true) => full.saturating_add(more).saturating_sub(span / 2 * 2),
        (Some(more), false) => full.saturating_add(more),
    };
    let before = if same { full.saturating_sub(wanted) / 2 } else { 0 };
    Ok([before, wanted])
}

pub(super) fn transposed(site: &mut Site<'_, '_>, x: TensorId) -> Result<TensorId, Stop> {
    let images = images(site, x)?;
    let kernel = images.counts(site, "kernel_size", None)?;
    let (strides, dilations) =
        (images.counts(site, "strides", Some(1))?, images.counts(site, "dilation_rate", Some(1))?);
    let outputs = site.count("filters")?.ok_or("filters is not stated")?;
    let more =
        match site.value("output_padding").and_then(|value| value.as_array().cloned().or(Some(vec![value.clone()]))) {
            None => [None, None],
            Some(values) => {
                let values =
                    values.iter().map(|value| value.as_u64().map(|value| value as usize)).collect::<Option<Vec<_>>>();
                match (values.as_deref(), images.axes) {
                    (Some([more]), 1) => [Some(0), Some(*more)],
                    (Some([more]), 2) => [Some(*more); 2],
                    (Some([height, width]), 2) => [Some(*height), Some(*width)],
                    _ => return Err("output_padding is not a list of counts".into()),
                }
            }
        };
    let padding = site.text("padding").unwrap_or("valid").to_owned();
    let mut rows = [[0usize; 2]; 4];
    for axis in 0..2 {
        if images.lengths[axis] == 0 {
            return Err("an axis of no elements".into());
        }
        let numbers = [images.lengths[axis], kernel[axis], strides[axis], dilations[axis]];
        let [before, length] = transposed_axis(&padding, numbers, more[axis])?;
        for (row, value) in rows.iter_mut().zip([strides[axis], dilations[axis], before, length]) {
            row[axis] = value;
        }
    }
    let values = rows.iter().flatten().map(|&value| i32::try_from(value).map_err(|_| "the result is too large"));
    let values = values.collect::<Result<Vec<_>, _>>()?;
    let table = site.table(&[4, 2], &values)?;
    let (taps, channels) = (kernel[0] * kernel[1], images.channels);
    let dims = stored_dims(&images, kernel, [outputs, channels]);
    let filters = site.constant("kernel", &[outputs, kernel[0], kernel[1], channels], |site| {
        let stored = site.numbers("kernel", &dims)?;
        let mut out = Vec::with_capacity(stored.len());
        for output in 0..outputs {
            for tap in 0..taps {
                let at = (tap * outputs + output) * channels;
                out.extend_from_slice(&stored[at..at + channels]);
            }
        }
        Ok(out)
    })?;
    let bias = bias(site, outputs)?;
    let op = ConvNd { direction: Direction::Transposed, groups: 1, clamp: Clamp::NONE };
    let result = site.add_optional(op, &[Some(images.tensor), Some(filters), Some(table), bias])?;
    let result = images.given(site, result)?;
    activations::apply(site, "activation", result)
}
