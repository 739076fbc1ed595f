//! Sizes by convolution, as Pillow's `resize` computes them: along rows and along columns, with filters as wide as the
//! scale.
//!
//! Bytes are weighted in fixed point of 22 bits and rounded once per direction; wider values in double precision.

use std::f64::consts::PI;

use ekiben_runtime::artifact::image::{Filter, Mode, PassOrder};

use super::reduce::rounded;
use super::{Image, ImageError, byte_count};

/// Bits of a weight behind the point.
const PRECISION: u32 = 32 - 8 - 2;

/// Half the width of a filter at a scale of one, where it is one of Pillow's that weighs.
pub(super) const fn support(filter: Filter) -> Option<f64> {
    match filter {
        Filter::Box => Some(0.5),
        Filter::Bilinear | Filter::Hamming => Some(1.0),
        Filter::Bicubic => Some(2.0),
        Filter::Lanczos => Some(3.0),
        _ => None,
    }
}

/// The filter's weight at a distance, before the weights of a pixel are made to sum to one.
fn weight(filter: Filter, x: f64) -> f64 {
    match filter {
        Filter::Box if x > -0.5 && x <= 0.5 => 1.0,
        Filter::Bilinear if x.abs() < 1.0 => 1.0 - x.abs(),
        Filter::Hamming if x == 0.0 => 1.0,
        Filter::Hamming if x.abs() < 1.0 => {
            let x = x.abs() * PI;
            // These two are single precision in Pillow.
            libm::sin(x) / x * (f64::from(0.54_f32) + f64::from(0.46_f32) * libm::cos(x))
        }
        Filter::Bicubic => bicubic(x.abs(), -0.5),
        Filter::Lanczos if (-3.0..3.0).contains(&x) => sinc(x) * sinc(x / 3.0),
        _ => 0.0,
    }
}

fn bicubic(x: f64, a: f64) -> f64 {
    if x < 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * a
    } else {
        0.0
    }
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        return 1.0;
    }
    let x = x * PI;
    libm::sin(x) / x
}

/// What one pixel of the result is made of: consecutive pixels from `first`, one weight each.
struct Taps {
    first: usize,
    weights: Vec<f64>,
}

/// The taps of each of `out` pixels over the source from `from` to `to`, which are single precision in Pillow.
fn taps(filter: Filter, source: usize, (from, to): (f64, f64), out: usize) -> Vec<Taps> {
    let scale = f64::from(to as f32 - from as f32) / out as f64;
    let from = f64::from(from as f32);
    let stretch = scale.max(1.0);
    let support = support(filter).unwrap_or(0.0) * stretch;
    let shrink = 1.0 / stretch;
    (0..out)
        .map(|position| {
            let center = from + (position as f64 + 0.5) * scale;
            let first = ((center - support + 0.5) as i64).max(0) as usize;
            let end = ((center + support + 0.5) as i64).clamp(0, source as i64) as usize;
            let mut weights: Vec<f64> =
                (first..end).map(|x| weight(filter, (x as f64 - center + 0.5) * shrink)).collect();
            let sum: f64 = weights.iter().fold(0.0, |sum, weight| sum + weight);
            if sum != 0.0 {
                weights.iter_mut().for_each(|weight| *weight /= sum);
            }
            Taps { first: first.min(source), weights }
        })
        .collect()
}

impl Image {
    /// Another size of the part `[left, top, right, bottom]`, by a filter that weighs; alpha is one more channel.
    pub(super) fn resampled(&self, size: (usize, usize), filter: Filter, part: [f64; 4]) -> Result<Self, ImageError> {
        let (width, height) = size;
        let [left, top, right, bottom] = part;
        byte_count(self.mode, width, height, self.max_pixels)?;
        let across = width != self.width || left != 0.0 || right != width as f64;
        let down = height != self.height || top != 0.0 || bottom != height as f64;
        let rows = taps(filter, self.height, (top, bottom), height);
        let columns = || taps(filter, self.width, (left, right), width);
        if across && down && self.loses_rows(size) {
            byte_count(self.mode, self.width, height, self.max_pixels)?;
            return Ok(self.down(&rows, 0).across(&columns(), 0, height));
        }
        let mut image = None;
        // Rows that no pixel of the result needs are left out; the taps count from the first that is.
        let first = if down { rows.first().map_or(0, |taps| taps.first) } else { 0 };
        let end = rows.last().map_or(0, |taps| taps.first + taps.weights.len());
        let end = if down { end } else { self.height };
        if across {
            byte_count(self.mode, width, end.saturating_sub(first), self.max_pixels)?;
            image = Some(self.across(&columns(), first, end));
        }
        if down {
            let moved = if image.is_some() { first } else { 0 };
            image = Some(image.as_ref().unwrap_or(self).down(&rows, moved));
        }
        Ok(image.unwrap_or_else(|| self.clone()))
    }

    /// Whether Pillow goes along the columns first: from release 13 on, where more than twice as many rows as columns go.
    fn loses_rows(&self, (width, height): (usize, usize)) -> bool {
        let lost = |from: usize, to: usize| from as i64 - to as i64;
        let rows = lost(self.height, height);
        self.order == PassOrder::ByShape && rows > 0 && rows > 2 * lost(self.width, width)
    }

    fn across(&self, taps: &[Taps], first: usize, end: usize) -> Self {
        let row_bytes = (self.width * self.pixel_bytes()).max(1);
        let rows = end.saturating_sub(first);
        let mut data = Vec::with_capacity(taps.len() * rows * self.pixel_bytes());
        let columns: Vec<Weights<'_>> = taps.iter().map(Weights::new).collect();
        for row in self.data.chunks_exact(row_bytes).take(end).skip(first) {
            match (self.mode.value_bytes(), self.mode.channels()) {
                (1, 1) => bytes_across::<1>(row, &columns, &mut data),
                (1, 2) => bytes_across::<2>(row, &columns, &mut data),
                (1, 3) => bytes_across::<3>(row, &columns, &mut data),
                (1, _) => bytes_across::<4>(row, &columns, &mut data),
                _ => columns.iter().for_each(|column| column.weigh(self.mode, row, column.first, 1, &mut data)),
            }
        }
        self.with_pixels(taps.len(), rows, data)
    }

    fn down(&self, taps: &[Taps], moved: usize) -> Self {
        let values = self.width * self.mode.channels();
        let mut data = Vec::with_capacity(taps.len() * self.width * self.pixel_bytes());
        let mut sums = Vec::new();
        for taps in taps {
            let row = Weights::new(taps);
            let start = row.first.saturating_sub(moved) * values;
            if self.mode.value_bytes() == 1 {
                bytes_down(self.data.get(start..).unwrap_or_default(), &row, &mut sums, values, &mut data);
            } else {
                (0..values).for_each(|value| row.weigh(self.mode, &self.data, start + value, values, &mut data));
            }
        }
        self.with_pixels(self.width, taps.len(), data)
    }
}

/// Half of a byte's unit in a sum of weighted bytes.
const HALF: i32 = 1 << (PRECISION - 1);

fn weighted(sum: i32, byte: u8, weight: i32) -> i32 {
    sum.wrapping_add(weight.wrapping_mul(byte.into()))
}

fn byte_of(sum: i32) -> u8 {
    (sum >> PRECISION).clamp(0, 255) as u8
}

/// A row of pixels of `N` bytes, each channel weighted along it.
fn bytes_across<const N: usize>(row: &[u8], columns: &[Weights<'_>], data: &mut Vec<u8>) {
    let (pixels, _) = row.as_chunks::<N>();
    for column in columns {
        let mut sums = [HALF; N];
        for (pixel, &weight) in pixels.iter().skip(column.first).zip(&column.fixed) {
            for (sum, &byte) in sums.iter_mut().zip(pixel) {
                *sum = weighted(*sum, byte, weight);
            }
        }
        data.extend(sums.map(byte_of));
    }
}

/// One row of `length` bytes, of the rows that start where `bytes` do.
fn bytes_down(bytes: &[u8], row: &Weights<'_>, sums: &mut Vec<i32>, length: usize, data: &mut Vec<u8>) {
    sums.clear();
    sums.resize(length, HALF);
    for (source, &weight) in bytes.chunks_exact(length.max(1)).zip(&row.fixed) {
        for (sum, &byte) in sums.iter_mut().zip(source) {
            *sum = weighted(*sum, byte, weight);
        }
    }
    data.extend(sums.iter().map(|&sum| byte_of(sum)));
}

/// The weights of one pixel, in both precisions.
struct Weights<'a> {
    first: usize,
    exact: &'a [f64],
    fixed: Vec<i32>,
}

impl<'a> Weights<'a> {
    fn new(taps: &'a Taps) -> Self {
        let fixed = taps.weights.iter().map(|&weight| rounded(weight * f64::from(1 << PRECISION))).collect();
        Self { first: taps.first, exact: &taps.weights, fixed }
    }

    /// The weighted sum of values of more than a byte, that start at `start` and are `stride` values apart.
    fn weigh(&self, mode: Mode, data: &[u8], start: usize, stride: usize, out: &mut Vec<u8>) {
        match mode {
            Mode::I => out.extend_from_slice(&rounded(self.sum(data, start, stride, integer)).to_le_bytes()),
            Mode::I16 => {
                let value = rounded(self.sum(data, start, stride, short_integer)).clamp(0, 0xffff);
                out.extend_from_slice(&(value as u16).to_le_bytes());
            }
            _ => out.extend_from_slice(&(self.sum(data, start, stride, float) as f32).to_le_bytes()),
        }
    }

    fn sum<const N: usize>(&self, data: &[u8], start: usize, stride: usize, number: impl Fn([u8; N]) -> f64) -> f64 {
        let (values, _) = data.as_chunks::<N>();
        let values = values.iter().skip(start).step_by(stride.max(1));
        values.zip(self.exact).fold(0.0, |sum, (&value, weight)| sum + number(value) * weight)
    }
}

fn integer(bytes: [u8; 4]) -> f64 {
    i32::from_le_bytes(bytes).into()
}

fn float(bytes: [u8; 4]) -> f64 {
    f32::from_le_bytes(bytes).into()
}

fn short_integer(bytes: [u8; 2]) -> f64 {
    u16::from_le_bytes(bytes).into()
}
