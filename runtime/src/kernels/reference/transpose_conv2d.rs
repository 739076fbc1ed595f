//! Transposed convolution of images: each input pixel adds its filters to a window of the result.
//!
//! The result is worked out pixel by pixel, so no memory is needed beside it.

use super::window::Image;

/// How an axis of the result is laid out: input place `i` adds to the places from `i * stride - before` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransposedAxis {
    /// Distance of the windows of neighbouring places.
    pub stride: u32,
    /// Places of the first window that lie before the result.
    pub before: u32,
}

impl TransposedAxis {
    /// The input places, of `length`, that add to place `at` of the result, rising, each with its place in the filter of `taps`.
    fn sources(self, at: usize, taps: usize, length: usize) -> impl Iterator<Item = (usize, usize)> {
        let stride = (self.stride as usize).max(1);
        let shifted = at.saturating_add(self.before as usize);
        let first = shifted.saturating_add(1).saturating_sub(taps).div_ceil(stride);
        let end = (shifted / stride).saturating_add(1).min(length);
        (first..end).map(move |place| (place, shifted.saturating_sub(place.saturating_mul(stride))))
    }
}

/// The lengths of a transposed convolution.
#[derive(Clone, Copy, Debug)]
pub struct Transposed {
    /// Rows and columns.
    pub axes: [TransposedAxis; 2],
    /// Height and width of the filters.
    pub kernel: [usize; 2],
    /// An image of the input.
    pub input: Image,
    /// An image of the result.
    pub output: Image,
}

/// Sums, for each element of the result, over the input rows that reach it, then columns, both rising: `add` gets the sum so far (at first
/// `zero`), a pixel's channels and the weights for them; `store` gets the channel and the whole sum. Filters are `[O, KH, KW, C]`.
pub fn transpose_conv2d<T, W, A: Copy, O>(
    shape: &Transposed,
    input: &[T],
    filters: &[W],
    out: &mut [O],
    zero: A,
    add: impl Fn(A, &[T], &[W]) -> A,
    store: impl Fn(usize, A) -> O,
) {
    let Transposed { axes: [rows, columns], kernel: [taps_y, taps_x], input: from, output: to } = *shape;
    let channels = from.channels.max(1);
    let image = from.height.saturating_mul(from.width).saturating_mul(channels);
    let pixels = to.height.saturating_mul(to.width).saturating_mul(to.channels);
    let filter = taps_y.saturating_mul(taps_x).saturating_mul(channels);
    if image == 0 || pixels == 0 || filter == 0 {
        return;
    }
    let part = |at: usize| at * channels..at * channels + channels;
    for (out, input) in out.chunks_exact_mut(pixels).zip(input.chunks_exact(image)) {
        for (number, pixel) in out.chunks_exact_mut(to.channels).enumerate() {
            let (at_y, at_x) = (number / to.width, number % to.width);
            for ((channel, out), filter) in pixel.iter_mut().enumerate().zip(filters.chunks_exact(filter)) {
                let mut sum = zero;
                for (y, tap_y) in rows.sources(at_y, taps_y, from.height) {
                    for (x, tap_x) in columns.sources(at_x, taps_x, from.width) {
                        let pixel = input.get(part(y * from.width + x)).unwrap_or_default();
                        let weights = filter.get(part(tap_y * taps_x + tap_x)).unwrap_or_default();
                        sum = add(sum, pixel, weights);
                    }
                }
                *out = store(channel, sum);
            }
        }
    }
}
