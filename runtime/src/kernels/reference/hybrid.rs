//! Layers with float activations and int8 weights: inputs are quantized image by image (row by row), summed in integers, and the
//! sums scaled back.

use super::affine::{Affine, Quantizer};
use super::conv2d::Clamp;
use super::quantized_conv2d::{self, dot};
use super::window::Sliding;

/// Turns sums into floats.
#[derive(Clone, Copy, Debug)]
pub struct Rescale<'a> {
    /// Scale of each output channel's weights, or one for all.
    pub scales: &'a [f32],
    /// Added to the scaled sums.
    pub bias: Option<&'a [f32]>,
    /// Bounds of the result.
    pub clamp: Clamp,
}

impl Rescale<'_> {
    fn scale(&self, channel: usize) -> f32 {
        self.scales.get(channel).or(self.scales.first()).copied().unwrap_or(0.0)
    }

    fn bias(&self, channel: usize) -> f32 {
        self.bias.and_then(|bias| bias.get(channel)).copied().unwrap_or(0.0)
    }
}

/// Elements of scratch memory that a convolution needs.
pub fn scratch(sliding: &Sliding) -> usize {
    sliding.rows_held().saturating_mul(sliding.row())
}

/// Convolves quantized images into their part of the output.
type Convolve<'a> = dyn FnMut(&Sliding, (&[i8], Affine), &mut [f32]) + 'a;

/// Splits a batch into images and finds out how to quantize each, then calls `convolve` with windows over quantized rows of it and their part
/// of the output: row by row, the rows that a window sees being in `scratch`, or for the whole image where a window may see none.
fn for_each_part(
    sliding: &Sliding,
    input: &[f32],
    out: &mut [f32],
    band: &mut [i8],
    asymmetric: bool,
    mut convolve: impl FnMut(&Sliding, (&[i8], Affine), &mut [f32]),
) {
    let (elements, outputs) = (sliding.input.elements(), sliding.output.elements());
    if elements == 0 || outputs == 0 || band.len() < scratch(sliding) {
        return;
    }
    // Called in two places, compiled once.
    let convolve: &mut Convolve<'_> = &mut convolve;
    let (row, whole) = (sliding.row(), sliding.rows_held() == sliding.input.height);
    for (image, out) in input.chunks_exact(elements).zip(out.chunks_exact_mut(outputs)) {
        let quantizer = quantizer(asymmetric, image);
        if whole {
            quantizer.apply(image, band);
            convolve(sliding, (band.get(..elements).unwrap_or_default(), quantizer.affine), out);
            continue;
        }
        let mut held = 0..0;
        for (y, out) in out.chunks_exact_mut(sliding.output.row().max(1)).enumerate() {
            let (fresh, part) = sliding.slide(&mut held, y, band);
            let values = image.get(fresh.start * row..fresh.end * row).unwrap_or_default();
            quantizer.apply(values, band.get_mut((fresh.start - held.start) * row..).unwrap_or_default());
            convolve(&part, (band.get(..part.input.elements()).unwrap_or_default(), quantizer.affine), out);
        }
    }
}

/// With or without a zero point.
fn quantizer(asymmetric: bool, input: &[f32]) -> Quantizer {
    if asymmetric { Quantizer::asymmetric(input) } else { Quantizer::symmetric(input) }
}

/// Convolution as [`quantized_conv2d::conv2d`].
///
/// With `asymmetric` each image is quantized with a zero point and gives `clamp(sum * scale[o] * image scale + bias[o])`, multiplied from
/// the left; without, the scales are multiplied first.
pub fn conv2d(
    sliding: &Sliding,
    (groups, asymmetric): (usize, bool),
    input: &[f32],
    filters: &[i8],
    rescale: Rescale<'_>,
    out: &mut [f32],
    scratch: &mut [i8],
) {
    for_each_part(sliding, input, out, scratch, asymmetric, |part, (seen, affine), out| {
        quantized_conv2d::conv2d(part, groups, (seen, affine.zero), (filters, &[]), out, |channel, sum| {
            let (sum, scale) = (sum as f32, rescale.scale(channel));
            let value = if asymmetric { sum * scale * affine.scale } else { sum * (affine.scale * scale) };
            rescale.clamp.apply(value + rescale.bias(channel))
        });
    });
}

/// Convolution as [`quantized_conv2d::depthwise_conv2d`]: `clamp(sum * (scale[o] * image scale) + bias[o])`, each image quantized
/// asymmetrically.
pub fn depthwise_conv2d(
    sliding: &Sliding,
    input: &[f32],
    filters: &[i8],
    rescale: Rescale<'_>,
    out: &mut [f32],
    scratch: &mut [i8],
) {
    for_each_part(sliding, input, out, scratch, true, |part, (seen, affine), out| {
        quantized_conv2d::depthwise_conv2d(part, (seen, affine.zero), (filters, &[]), out, |channel, sum| {
            let value = sum as f32 * (rescale.scale(channel) * affine.scale);
            rescale.clamp.apply(value + rescale.bias(channel))
        });
    });
}

/// Rows of `columns` elements times a matrix `[units, columns]`: `clamp(bias[u] + sum * (row scale * scale[u]))`. Each row is
/// quantized into `scratch`, symmetrically unless `asymmetric`.
pub fn fully_connected(
    columns: usize,
    asymmetric: bool,
    input: &[f32],
    weights: &[i8],
    rescale: Rescale<'_>,
    out: &mut [f32],
    scratch: &mut [i8],
) {
    let units = weights.len().checked_div(columns).unwrap_or(0);
    if units == 0 || scratch.len() < columns {
        return;
    }
    let (scratch, _) = scratch.split_at_mut(columns);
    for (row, out) in input.chunks_exact(columns).zip(out.chunks_exact_mut(units)) {
        let quantizer = quantizer(asymmetric, row);
        quantizer.apply(row, scratch);
        let affine = quantizer.affine;
        for (unit, (out, weights)) in out.iter_mut().zip(weights.chunks_exact(columns)).enumerate() {
            let sum = dot(0, scratch, affine.zero, weights);
            let value = sum as f32 * (affine.scale * rescale.scale(unit));
            *out = rescale.clamp.apply(rescale.bias(unit) + value);
        }
    }
}
