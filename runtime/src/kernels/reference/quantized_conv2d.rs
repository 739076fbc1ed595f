//! Convolutions of images of 8-bit integers with int8 filters, summed in int32.
//!
//! The sum of an output is `sum over the taps inside the input, then channels, of (input - zero) * (weight - filter zero)`; it wraps, and
//! padding adds nothing. What becomes of the sums is the caller's to say: see [`Requantize`], the hybrid and the integer operators.

use super::fixed_point::{Factors, Target};
use super::linear::Byte;
use super::window::{Patch, Sliding};

/// Channels that a depthwise convolution sums at a time.
const BLOCK: usize = 16;

/// Longest filter whose window is gathered on the stack, in two bytes for each weight.
const GATHERED: usize = 640;

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
pub fn dot<X: Byte>(sum: i32, a: &[X], zero: X, b: &[i8]) -> i32 {
    let zero = zero.wide();
    a.iter().zip(b).fold(sum, |sum, (&a, &b)| {
        let a = a.wide().wrapping_sub(zero);
        sum.wrapping_add(i32::from(a).wrapping_mul(i32::from(b)))
    })
}

/// `a[0] * b[0] + a[1] * b[1] + …`, as long as the shorter; wraps.
fn dot_i16(a: &[i16], b: &[i8]) -> i32 {
    a.iter().zip(b).fold(0, |sum, (&a, &b)| sum.wrapping_add(i32::from(a).wrapping_mul(b.into())))
}

/// What a pixel sees, in the order of a filter's weights: `input - zero`, and 0 for padding.
fn gather<X: Byte>(patch: &Patch<'_, X>, zero: X, channels: usize, window: &mut [i16]) {
    let zero = zero.wide();
    window.fill(0);
    for (tap, run) in patch.runs() {
        let places = window.get_mut(tap * channels..).unwrap_or_default();
        for (place, &x) in places.iter_mut().zip(run) {
            *place = x.wide().wrapping_sub(zero);
        }
    }
}

/// The sum over all taps of `input - zero` for `channels` channels from `first` on.
fn total<X: Byte>(patch: &Patch<'_, X>, zero: X, first: usize, channels: usize) -> i32 {
    let zero = zero.wide();
    patch.pixels().fold(0, |sum, (_, seen)| {
        let seen = seen.iter().skip(first).take(channels);
        seen.fold(sum, |sum, &x| sum.wrapping_add(x.wide().wrapping_sub(zero).into()))
    })
}

/// What a filter's zero point takes off its sum, for the sum of `input - zero` that it sees.
fn excess(zeros: &[i8], channel: usize, total: impl FnOnce() -> i32) -> i32 {
    match zeros.get(channel).or(zeros.first()) {
        None | Some(0) => 0,
        Some(&zero) => total().wrapping_mul(zero.into()),
    }
}

/// The sum of a filter that sees all channels.
fn sum_of_runs<X: Byte>(patch: &Patch<'_, X>, zero: X, filter: &[i8], channels: usize) -> i32 {
    let weights = |tap: usize| filter.get(tap * channels..).unwrap_or_default();
    patch.runs().fold(0, |sum, (tap, run)| dot(sum, run, zero, weights(tap)))
}

/// The sum of a filter that sees `channels` channels, those of `group`.
fn sum_of_group<X: Byte>(patch: &Patch<'_, X>, zero: X, filter: &[i8], channels: usize, group: usize) -> i32 {
    let skipped = group * channels;
    let taps = patch.weighted(filter, channels);
    taps.fold(0, |sum, (seen, filter)| dot(sum, seen.get(skipped..).unwrap_or_default(), zero, filter))
}

/// Convolves with filters `[outputs, kernel height, kernel width, channels / groups]` and their zero points (one for each, one for
/// all, or none for 0); `store` gets each output's channel and sum.
pub fn conv2d<X: Byte, O>(
    sliding: &Sliding,
    groups: usize,
    (input, zero): (&[X], X),
    (filters, zeros): (&[i8], &[i8]),
    out: &mut [O],
    store: impl Fn(usize, i32) -> O,
) {
    conv2d_onto(sliding, groups, (input, zero), (filters, zeros), out, |out, channel, sum| *out = store(channel, sum));
}

/// As [`conv2d`], but `update` gets each output's place too, with what lay there.
pub fn conv2d_onto<X: Byte, O>(
    sliding: &Sliding,
    groups: usize,
    (input, zero): (&[X], X),
    (filters, zeros): (&[i8], &[i8]),
    out: &mut [O],
    update: impl Fn(&mut O, usize, i32),
) {
    let groups = groups.max(1);
    let channels = sliding.input.channels / groups;
    let filter_elements = sliding.kernel[0].saturating_mul(sliding.kernel[1]).saturating_mul(channels);
    let per_group = sliding.output.channels / groups;
    if filter_elements == 0 || per_group == 0 {
        return;
    }
    let filters = filters.chunks_exact(filter_elements).enumerate();
    let mut gathered = [0; GATHERED];
    sliding.for_each_pixel(input, out, |pixel, patch| {
        let outputs = pixel.iter_mut().zip(filters.clone());
        match gathered.get_mut(..filter_elements) {
            Some(window) if groups == 1 => {
                gather(&patch, zero, channels, window);
                for (out, (channel, filter)) in outputs {
                    let excess = excess(zeros, channel, || window.iter().fold(0, |sum, &x| sum + i32::from(x)));
                    update(out, channel, dot_i16(window, filter).wrapping_sub(excess));
                }
            }
            _ => {
                for (out, (channel, filter)) in outputs {
                    let group = channel / per_group;
                    let sum = match groups {
                        1 => sum_of_runs(&patch, zero, filter, channels),
                        _ => sum_of_group(&patch, zero, filter, channels, group),
                    };
                    let excess = excess(zeros, channel, || total(&patch, zero, group * channels, channels));
                    update(out, channel, sum.wrapping_sub(excess));
                }
            }
        }
    });
}

/// Convolves each channel by itself with filters `[kernel height, kernel width, channels * multiplier]` and their zero points as in
/// [`conv2d`]; output channel `c * multiplier + m` reads input channel `c`. `store` gets each output's channel and sum.
pub fn depthwise_conv2d<X: Byte, O>(
    sliding: &Sliding,
    (input, zero): (&[X], X),
    (filters, zeros): (&[i8], &[i8]),
    out: &mut [O],
    store: impl Fn(usize, i32) -> O,
) {
    let outputs = sliding.output.channels;
    let multiplier = outputs.checked_div(sliding.input.channels).unwrap_or(0);
    if multiplier == 0 {
        return;
    }
    sliding.for_each_pixel(input, out, |pixel, patch| {
        let wide = zero.wide();
        for (block, out) in pixel.chunks_mut(BLOCK).enumerate() {
            let first = block * BLOCK;
            let mut sums = [0i32; BLOCK];
            for (seen, weights) in patch.weighted(filters, outputs) {
                let weights = weights.get(first..).unwrap_or_default();
                let add = |sum: &mut i32, x: X, w: i8| {
                    let x = x.wide().wrapping_sub(wide);
                    *sum = sum.wrapping_add(i32::from(x).wrapping_mul(i32::from(w)));
                };
                if multiplier == 1 {
                    let seen = seen.get(first..).unwrap_or_default();
                    for ((sum, &x), &w) in sums.iter_mut().zip(seen).zip(weights) {
                        add(sum, x, w);
                    }
                } else {
                    for (i, (sum, &w)) in sums.iter_mut().zip(weights).enumerate() {
                        add(sum, seen.get((first + i) / multiplier).copied().unwrap_or(zero), w);
                    }
                }
            }
            for (i, (out, &sum)) in out.iter_mut().zip(&sums).enumerate() {
                let channel = first + i;
                let excess = excess(zeros, channel, || total(&patch, zero, channel / multiplier, 1));
                *out = store(channel, sum.wrapping_sub(excess));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec;
    use std::vec::Vec;

    use super::*;
    use crate::kernels::reference::conv2d::{self as float, Clamp};
    use crate::kernels::reference::window::{Image, Window, WindowAxis};

    fn bytes(count: usize, step: usize) -> Vec<i8> {
        (0..count).map(|i| (i.wrapping_mul(step) % 251) as u8 as i8).collect()
    }

    /// Values less the zero point; sums of their products are below 2^24 and exact in floats.
    fn floats(bytes: &[i8], zero: i8) -> Vec<f32> {
        bytes.iter().map(|&byte| f32::from(byte) - f32::from(zero)).collect()
    }

    fn sliding(channels: usize, outputs: usize, dilation: u32) -> Sliding {
        let rows = WindowAxis { stride: 2, dilation: 1, before: 1, after: 1 };
        let columns = WindowAxis { stride: 1, dilation, before: 2, after: 1 };
        let (height, width) = (rows.output_length(5, 3).unwrap(), columns.output_length(7, 2).unwrap());
        let input = Image { height: 5, width: 7, channels };
        let output = Image { height, width, channels: outputs };
        Sliding { window: Window { rows, columns }, kernel: [3, 2], input, output }
    }

    #[test]
    fn sums_are_those_of_floats_on_every_path() {
        // Gathered, too long to gather, and in groups.
        for (channels, groups, dilation) in [(4, 1, 1), (4, 1, 3), (110, 1, 1), (110, 1, 3), (6, 3, 1)] {
            let s = sliding(channels, 9, dilation);
            assert_eq!(6 * channels > GATHERED, channels == 110);
            let (input, filters) = (bytes(2 * s.input.elements(), 7), bytes(9 * 6 * channels / groups, 13));
            let mut expected = vec![0.0; 2 * s.output.elements()];
            float::conv2d(&s, groups, &floats(&input, 83), &floats(&filters, 0), None, Clamp::NONE, &mut expected);
            let mut sums = vec![0; expected.len()];
            conv2d(&s, groups, (&input, 83), (&filters, &[]), &mut sums, |_, sum| sum);
            assert!(sums.iter().zip(&expected).all(|(&sum, &expected)| sum as f32 == expected), "{channels} {groups}");
        }
    }

    #[test]
    fn depthwise_sums_are_those_of_floats() {
        for (channels, multiplier) in [(3, 1), (40, 1), (3, 2), (20, 3)] {
            let outputs = channels * multiplier;
            let s = sliding(channels, outputs, 2);
            let (input, filters) = (bytes(2 * s.input.elements(), 7), bytes(6 * outputs, 13));
            let mut expected = vec![0.0; 2 * s.output.elements()];
            float::depthwise_conv2d(&s, &floats(&input, -9), &floats(&filters, 0), None, Clamp::NONE, &mut expected);
            let mut sums = vec![0; expected.len()];
            depthwise_conv2d(&s, (&input, -9), (&filters, &[]), &mut sums, |_, sum| sum);
            assert!(
                sums.iter().zip(&expected).all(|(&sum, &expected)| sum as f32 == expected),
                "{channels} {multiplier}"
            );
        }
    }

    #[test]
    fn zero_points_of_filters_and_unsigned_images() {
        let unsigned = |bytes: &[i8]| bytes.iter().map(|&byte| byte as u8).collect::<Vec<_>>();
        let zeros = [3i8, -128, 0, 7, 1, 127, -1, 5, 9];
        for (channels, groups) in [(4, 1), (110, 1), (6, 3)] {
            let s = sliding(channels, 9, 1);
            let length = 6 * channels / groups;
            let (input, filters) = (unsigned(&bytes(2 * s.input.elements(), 7)), bytes(9 * length, 13));
            let real_input: Vec<f32> = input.iter().map(|&x| f32::from(x) - 200.0).collect();
            let real_filters: Vec<f32> = filters.chunks(length).zip(zeros).flat_map(|(f, z)| floats(f, z)).collect();
            let mut expected = vec![0.0; 2 * s.output.elements()];
            float::conv2d(&s, groups, &real_input, &real_filters, None, Clamp::NONE, &mut expected);
            let mut sums = vec![0; expected.len()];
            conv2d(&s, groups, (&input, 200), (&filters, &zeros), &mut sums, |_, sum| sum);
            assert!(sums.iter().zip(&expected).all(|(&sum, &expected)| sum as f32 == expected), "{channels} {groups}");
        }
        let s = sliding(3, 9, 2);
        let (input, filters) = (unsigned(&bytes(s.input.elements(), 7)), bytes(6 * 9, 13));
        let real_input: Vec<f32> = input.iter().map(|&x| f32::from(x) - 200.0).collect();
        let real_filters: Vec<f32> =
            filters.iter().enumerate().map(|(i, &f)| f32::from(f) - f32::from(zeros[i % 9])).collect();
        let mut expected = vec![0.0; s.output.elements()];
        float::depthwise_conv2d(&s, &real_input, &real_filters, None, Clamp::NONE, &mut expected);
        let mut sums = vec![0; expected.len()];
        depthwise_conv2d(&s, (&input, 200), (&filters, &zeros), &mut sums, |_, sum| sum);
        assert!(sums.iter().zip(&expected).all(|(&sum, &expected)| sum as f32 == expected));
    }
}
