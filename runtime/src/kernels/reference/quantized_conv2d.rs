//! Convolutions of int8 images with int8 filters, summed in int32.
//!
//! The sum of an output is `sum over the taps inside the input, then channels, of (input - zero) * weight`; it wraps, and padding
//! adds nothing. What becomes of the sums is the caller's to say: see [`Requantize`] and the hybrid operators.

use super::fixed_point::{Factors, Target};
use super::window::Sliding;

/// Channels that a depthwise convolution sums at a time.
const BLOCK: usize = 16;

/// Turns sums into int8: `clip(factor[channel] * (sum + bias[channel]) + zero)`, the product rounded by [`Factor::apply`] in
/// convolutions and by [`Factor::apply_exactly`] in matrix products, as TFLite does.
///
/// [`Factor::apply`]: super::fixed_point::Factor::apply
/// [`Factor::apply_exactly`]: super::fixed_point::Factor::apply_exactly
#[derive(Clone, Copy, Debug)]
pub struct Requantize<'a> {
    /// Added to the sums.
    pub bias: Option<&'a [i32]>,
    /// Real factor of each channel.
    pub factors: Factors<'a>,
    /// Zero point and bounds.
    pub target: Target,
}

impl Requantize<'_> {
    fn biased(&self, channel: usize, sum: i32) -> i32 {
        sum.wrapping_add(self.bias.and_then(|bias| bias.get(channel)).copied().unwrap_or(0))
    }

    /// The value to be stored for a channel's sum, rounded twice.
    pub fn store(&self, channel: usize, sum: i32) -> i8 {
        self.target.store(self.factors.at(channel).apply(self.biased(channel, sum)))
    }

    /// The value to be stored for a channel's sum, rounded once.
    pub fn store_exactly(&self, channel: usize, sum: i32) -> i8 {
        self.target.store(self.factors.at(channel).apply_exactly(self.biased(channel, sum)))
    }
}

/// `sum + (a[0] - zero) * b[0] + (a[1] - zero) * b[1] + …`, as long as the shorter; wraps.
pub fn dot(sum: i32, a: &[i8], zero: i8, b: &[i8]) -> i32 {
    let zero = i16::from(zero);
    a.iter().zip(b).fold(sum, |sum, (&a, &b)| {
        let a = i16::from(a).wrapping_sub(zero);
        sum.wrapping_add(i32::from(a).wrapping_mul(i32::from(b)))
    })
}

/// Convolves with filters `[outputs, kernel height, kernel width, channels / groups]`; `store` gets each output's channel and sum.
pub fn conv2d<O>(
    sliding: &Sliding,
    groups: usize,
    (input, zero): (&[i8], i8),
    filters: &[i8],
    out: &mut [O],
    store: impl Fn(usize, i32) -> O,
) {
    let groups = groups.max(1);
    let channels = sliding.input.channels / groups;
    let filter_elements = sliding.kernel[0].saturating_mul(sliding.kernel[1]).saturating_mul(channels);
    let per_group = sliding.output.channels / groups;
    if filter_elements == 0 || per_group == 0 {
        return;
    }
    sliding.for_each_pixel(input, out, |pixel, patch| {
        let filters = filters.chunks_exact(filter_elements).enumerate();
        for (out, (channel, filter)) in pixel.iter_mut().zip(filters) {
            let sum = if groups == 1 {
                let weights = |tap: usize| filter.get(tap * channels..).unwrap_or_default();
                patch.runs().fold(0, |sum, (tap, run)| dot(sum, run, zero, weights(tap)))
            } else {
                let skipped = channel / per_group * channels;
                let taps = patch.weighted(filter, channels);
                taps.fold(0, |sum, (seen, filter)| dot(sum, seen.get(skipped..).unwrap_or_default(), zero, filter))
            };
            *out = store(channel, sum);
        }
    });
}

/// Convolves each channel by itself with filters `[kernel height, kernel width, channels * multiplier]`; output channel
/// `c * multiplier + m` reads input channel `c`. `store` gets each output's channel and sum.
pub fn depthwise_conv2d<O>(
    sliding: &Sliding,
    (input, zero): (&[i8], i8),
    filters: &[i8],
    out: &mut [O],
    store: impl Fn(usize, i32) -> O,
) {
    let outputs = sliding.output.channels;
    let multiplier = outputs.checked_div(sliding.input.channels).unwrap_or(0);
    if multiplier == 0 {
        return;
    }
    let zero = i16::from(zero);
    sliding.for_each_pixel(input, out, |pixel, patch| {
        for (block, out) in pixel.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            let mut sums = [0i32; BLOCK];
            for (seen, weights) in patch.weighted(filters, outputs) {
                let weights = weights.get(first..).unwrap_or_default();
                let add = |sum: &mut i32, x: i8, w: i8| {
                    let x = i16::from(x).wrapping_sub(zero);
                    *sum = sum.wrapping_add(i32::from(x).wrapping_mul(i32::from(w)));
                };
                if multiplier == 1 {
                    let seen = seen.get(first..).unwrap_or_default();
                    for ((sum, &x), &w) in sums.iter_mut().zip(seen).zip(weights) {
                        add(sum, x, w);
                    }
                } else {
                    for (i, (sum, &w)) in sums.iter_mut().zip(weights).enumerate() {
                        add(sum, seen.get((first + i) / multiplier).copied().unwrap_or_default(), w);
                    }
                }
            }
            for (i, (out, &sum)) in out.iter_mut().zip(&sums).enumerate() {
                *out = store(first + i, sum);
            }
        }
    });
}
