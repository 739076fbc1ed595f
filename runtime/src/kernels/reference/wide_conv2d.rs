//! Convolutions and matrix products of int16 activations with int8 weights, summed in int64, as TFLite's reference kernels do it.
//!
//! Zero points are 0. Sums wrap. A sum and its bias become `clip(factor[channel] * sum)`, the product rounded by
//! [`Factor::apply_wide`] in convolutions, and by [`Factor::apply_wide_exactly`] in matrix products.

use super::fixed_point::{Factor, Factors};
use super::window::Sliding;

/// What is added to the sums.
#[derive(Clone, Copy, Debug)]
pub enum WideBias<'a> {
    /// Nothing.
    None,
    /// A number for each channel.
    Narrow(&'a [i32]),
    /// As [`WideBias::Narrow`], of 64 bits.
    Wide(&'a [i64]),
}

/// Turns sums into int16.
#[derive(Clone, Copy, Debug)]
pub struct WideRequantize<'a> {
    /// Added to the sums.
    pub bias: WideBias<'a>,
    /// Real factor of each channel.
    pub factors: Factors<'a>,
    /// Lowest and highest value.
    pub bounds: [i16; 2],
}

impl WideRequantize<'_> {
    /// The value to be stored for a channel's sum, which `multiply` scales.
    pub fn store(&self, channel: usize, sum: i64, multiply: impl Fn(Factor, i64) -> i32) -> i16 {
        let bias = match self.bias {
            WideBias::None => 0,
            WideBias::Narrow(list) => list.get(channel).copied().unwrap_or(0).into(),
            WideBias::Wide(list) => list.get(channel).copied().unwrap_or(0),
        };
        let value = multiply(self.factors.at(channel), sum.wrapping_add(bias));
        let [low, high] = self.bounds.map(i32::from);
        value.clamp(low, high.max(low)) as i16
    }
}

/// `sum + a[0] * b[0] + a[1] * b[1] + …`, as long as the shorter; wraps.
pub fn dot(sum: i64, a: &[i16], b: &[i8]) -> i64 {
    a.iter().zip(b).fold(sum, |sum, (&a, &b)| sum.wrapping_add((i32::from(a) * i32::from(b)).into()))
}

/// Convolves with filters `[outputs, kernel height, kernel width, channels / groups]`.
pub fn conv2d(
    sliding: &Sliding,
    groups: usize,
    input: &[i16],
    filters: &[i8],
    requantize: &WideRequantize<'_>,
    out: &mut [i16],
) {
    let groups = groups.max(1);
    let channels = sliding.input.channels / groups;
    let filter_elements = sliding.kernel[0].saturating_mul(sliding.kernel[1]).saturating_mul(channels);
    let per_group = sliding.output.channels / groups;
    if filter_elements == 0 || per_group == 0 {
        return;
    }
    sliding.for_each_pixel(input, out, |pixel, patch| {
        for (channel, (out, filter)) in pixel.iter_mut().zip(filters.chunks_exact(filter_elements)).enumerate() {
            let skipped = channel / per_group * channels;
            let sum = patch
                .weighted(filter, channels)
                .fold(0, |sum, (seen, filter)| dot(sum, seen.get(skipped..).unwrap_or_default(), filter));
            *out = requantize.store(channel, sum, Factor::apply_wide);
        }
    });
}

/// Multiplies rows of `columns` elements by weights `[units, columns]`.
pub fn fully_connected(
    columns: usize,
    input: &[i16],
    weights: &[i8],
    requantize: &WideRequantize<'_>,
    out: &mut [i16],
) {
    let units = weights.len().checked_div(columns).unwrap_or(0);
    if units == 0 {
        return;
    }
    for (row, out) in input.chunks_exact(columns).zip(out.chunks_exact_mut(units)) {
        for (unit, (out, weights)) in out.iter_mut().zip(weights.chunks_exact(columns)).enumerate() {
            *out = requantize.store(unit, dot(0, row, weights), Factor::apply_wide_exactly);
        }
    }
}
