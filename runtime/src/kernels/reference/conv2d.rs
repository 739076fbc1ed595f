//! Convolutions in f32. Weights may be of a narrower type, and are widened one by one.

use super::window::{Patch, Sliding};

/// Filters that are summed side by side, so that one sum need not wait for another.
const BLOCK: usize = 4;

/// Bounds of a fused activation: values outside are replaced by the nearer bound, NaN stays.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Clamp {
    /// Lowest value.
    pub low: f32,
    /// Highest value, not below `low`.
    pub high: f32,
}

impl Clamp {
    /// No bounds.
    pub const NONE: Self = Self { low: f32::NEG_INFINITY, high: f32::INFINITY };
    /// 0 and above.
    pub const RELU: Self = Self { low: 0.0, high: f32::INFINITY };

    /// The value within the bounds.
    pub fn apply(self, value: f32) -> f32 {
        if value < self.low {
            self.low
        } else if value > self.high {
            self.high
        } else {
            value
        }
    }
}

/// `out[o] = clamp(sum over the taps inside the input, then channels of o's group, of input * weight, + bias[o])`.
///
/// Weights are `[outputs, kernel height, kernel width, channels / groups]`. The sum starts from zero and runs over the taps row by
/// row, then the channels upwards, without fused multiply-add; the bias is added last, padding adds nothing.
pub fn conv2d<W: Copy + Into<f32>>(
    sliding: &Sliding,
    groups: usize,
    input: &[f32],
    weights: &[W],
    bias: Option<&[f32]>,
    clamp: Clamp,
    out: &mut [f32],
) {
    let groups = groups.max(1);
    let channels = sliding.input.channels / groups;
    let filter_elements = sliding.kernel[0].saturating_mul(sliding.kernel[1]).saturating_mul(channels);
    let per_group = sliding.output.channels / groups;
    if filter_elements == 0 || per_group == 0 {
        return;
    }
    sliding.for_each_pixel(input, out, |pixel, patch| {
        let mut filters = weights.chunks_exact(filter_elements);
        if groups == 1 {
            let mut blocks = pixel.chunks_exact_mut(BLOCK);
            for (out, filters) in (&mut blocks).zip(weights.chunks_exact(filter_elements.saturating_mul(BLOCK))) {
                out.copy_from_slice(&sums_of_block(&patch, filters, filter_elements, channels));
            }
            let rest = blocks.into_remainder();
            let done = sliding.output.channels - rest.len();
            for (out, filter) in rest.iter_mut().zip(filters.skip(done)) {
                let weights = |tap: usize| filter.get(tap * channels..).unwrap_or_default();
                *out = patch.runs().fold(0.0, |sum, (tap, run)| dot(sum, run, weights(tap)));
            }
        } else {
            for (group, pixel) in pixel.chunks_exact_mut(per_group).enumerate() {
                for (out, filter) in pixel.iter_mut().zip(&mut filters) {
                    let taps = patch.weighted(filter, channels);
                    let skipped = group * channels;
                    *out =
                        taps.fold(0.0, |sum, (run, filter)| dot(sum, run.get(skipped..).unwrap_or_default(), filter));
                }
            }
        }
        finish(pixel, bias, clamp);
    });
}

/// The sums of [`BLOCK`] filters side by side, each in its own order.
fn sums_of_block<W: Copy + Into<f32>>(
    patch: &Patch<'_, f32>,
    filters: &[W],
    filter_elements: usize,
    channels: usize,
) -> [f32; BLOCK] {
    let mut sums = [0.0; BLOCK];
    let (a, rest) = filters.split_at(filter_elements.min(filters.len()));
    let (b, rest) = rest.split_at(filter_elements.min(rest.len()));
    let (c, d) = rest.split_at(filter_elements.min(rest.len()));
    for (tap, run) in patch.runs() {
        let at = |filter| <[W]>::get(filter, tap * channels..).unwrap_or_default();
        for ((((&x, a), b), c), d) in run.iter().zip(at(a)).zip(at(b)).zip(at(c)).zip(at(d)) {
            for (sum, &weight) in sums.iter_mut().zip([a, b, c, d]) {
                *sum += x * weight.into();
            }
        }
    }
    sums
}

/// As [`conv2d`] with a group for each input channel. Weights are `[kernel height, kernel width, channels * multiplier]`; output
/// channel `c * multiplier + m` reads input channel `c`.
pub fn depthwise_conv2d<W: Copy + Into<f32>>(
    sliding: &Sliding,
    input: &[f32],
    weights: &[W],
    bias: Option<&[f32]>,
    clamp: Clamp,
    out: &mut [f32],
) {
    let outputs = sliding.output.channels;
    let multiplier = outputs.checked_div(sliding.input.channels).unwrap_or(0);
    if multiplier == 0 {
        return;
    }
    sliding.for_each_pixel(input, out, |pixel, patch| {
        pixel.fill(0.0);
        for (seen, weights) in patch.weighted(weights, outputs) {
            if multiplier == 1 {
                for ((out, &x), &w) in pixel.iter_mut().zip(seen).zip(weights) {
                    *out += x * w.into();
                }
                continue;
            }
            for ((out, &x), w) in pixel.chunks_exact_mut(multiplier).zip(seen).zip(weights.chunks_exact(multiplier)) {
                for (out, &w) in out.iter_mut().zip(w) {
                    *out += x * w.into();
                }
            }
        }
        finish(pixel, bias, clamp);
    });
}

/// Adds the bias to the sums of a pixel, then applies the activation.
fn finish(pixel: &mut [f32], bias: Option<&[f32]>, clamp: Clamp) {
    if let Some(bias) = bias {
        for (out, &bias) in pixel.iter_mut().zip(bias) {
            *out += bias;
        }
    }
    for out in pixel {
        *out = clamp.apply(*out);
    }
}

/// `sum + a[0] * b[0] + a[1] * b[1] + …` in this order, as long as the shorter.
fn dot<W: Copy + Into<f32>>(sum: f32, a: &[f32], b: &[W]) -> f32 {
    a.iter().zip(b).fold(sum, |sum, (&a, &b)| sum + a * b.into())
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kernels::reference::window::{Image, Window, WindowAxis};

    /// Whole numbers, whose sums are exact in any order.
    fn whole(count: usize, step: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * step) % 11) as f32 - 5.0).collect()
    }

    fn sliding(rows: WindowAxis, columns: WindowAxis, kernel: [usize; 2], input: Image, channels: usize) -> Sliding {
        let height = rows.output_length(input.height, kernel[0]).unwrap();
        let width = columns.output_length(input.width, kernel[1]).unwrap();
        Sliding { window: Window { rows, columns }, kernel, input, output: Image { height, width, channels } }
    }

    /// The definition, element by element.
    fn expected(s: &Sliding, groups: usize, input: &[f32], weights: &[f32], bias: &[f32], clamp: Clamp) -> Vec<f32> {
        let (from, to) = (s.input, s.output);
        let channels = from.channels / groups;
        let at = |axis: WindowAxis, position: usize, tap: usize, length: usize| {
            let padded = position * axis.stride as usize + tap * axis.dilation as usize;
            padded.checked_sub(axis.before as usize).filter(|&at| at < length)
        };
        let mut out = Vec::new();
        for (y, x) in (0..to.height).flat_map(|y| (0..to.width).map(move |x| (y, x))) {
            for (o, bias) in bias.iter().enumerate() {
                let mut sum = 0.0;
                for (ky, kx) in (0..s.kernel[0]).flat_map(|ky| (0..s.kernel[1]).map(move |kx| (ky, kx))) {
                    let row = at(s.window.rows, y, ky, from.height);
                    let column = at(s.window.columns, x, kx, from.width);
                    let (Some(row), Some(column)) = (row, column) else { continue };
                    for c in 0..channels {
                        let channel = o / (to.channels / groups) * channels + c;
                        let weight = ((o * s.kernel[0] + ky) * s.kernel[1] + kx) * channels + c;
                        sum += input[(row * from.width + column) * from.channels + channel] * weights[weight];
                    }
                }
                out.push(clamp.apply(sum + bias));
            }
        }
        out
    }

    const INPUT: Image = Image { height: 5, width: 6, channels: 4 };
    const AXES: [WindowAxis; 3] = [
        WindowAxis::DENSE,
        WindowAxis { stride: 2, dilation: 1, before: 1, after: 1 },
        WindowAxis { stride: 1, dilation: 2, before: 2, after: 0 },
    ];

    #[test]
    fn convolutions_follow_the_definition() {
        let clamp = Clamp { low: -20.0, high: 30.0 };
        let input = whole(INPUT.elements(), 7);
        for (rows, columns) in AXES.into_iter().flat_map(|rows| AXES.map(|columns| (rows, columns))) {
            for groups in [1, 2, 4] {
                let s = sliding(rows, columns, [2, 3], INPUT, 8);
                let weights = whole(8 * 6 * INPUT.channels / groups, 3);
                let bias = whole(8, 5);
                let mut out = vec![0.0; s.output.elements()];
                conv2d(&s, groups, &input, &weights, Some(&bias), clamp, &mut out);
                assert_eq!(out, expected(&s, groups, &input, &weights, &bias, clamp), "{rows:?} {columns:?} {groups}");
            }
        }
    }

    #[test]
    fn depthwise_convolution_is_convolution_with_a_group_for_each_channel() {
        let input = whole(INPUT.elements(), 7);
        for (columns, multiplier) in AXES.into_iter().flat_map(|axis| [(axis, 1), (axis, 3)]) {
            let outputs = INPUT.channels * multiplier;
            let s = sliding(AXES[1], columns, [3, 2], INPUT, outputs);
            let weights = whole(6 * outputs, 3);
            let filters: Vec<f32> =
                (0..outputs).flat_map(|o| (0..6).map(move |tap| tap * outputs + o)).map(|i| weights[i]).collect();
            let mut out = vec![0.0; s.output.elements()];
            depthwise_conv2d(&s, &input, &weights, None, Clamp::RELU, &mut out);
            assert_eq!(out, expected(&s, INPUT.channels, &input, &filters, &vec![0.0; outputs], Clamp::RELU));
        }
    }
}
