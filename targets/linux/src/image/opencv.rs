//! What OpenCV's `resize` and `cvtColor` compute of bytes: in fixed point of 11 and 15 bits, with its own idea of where
//! pixels lie.
//!
//! Cubic sums are single precision, as OpenCV's vector code has them; Intel's library, which OpenCV calls on x86,
//! differs by one in places.

use std::iter::repeat;

use ekiben_runtime::artifact::image::{Filter, Mode};

use super::colour::byte;
use super::{Image, ImageError, byte_count};

/// One in the weights of a resize.
const ONE: f32 = 2048.0;

/// Weights of pixels from a position on, which may lie outside of the image.
struct Taps<T> {
    first: i64,
    weights: Vec<T>,
}

impl Image {
    /// Another size `(width, height)` by one of OpenCV's filters, each channel on its own.
    ///
    /// # Errors
    /// Where the filter is not one of OpenCV's, values are not bytes, or the size is zero or over the limit.
    pub fn opencv_resize(&self, size: (usize, usize), filter: Filter) -> Result<Self, ImageError> {
        let (width, height) = size;
        if self.mode.value_bytes() != 1 {
            return Err(ImageError::Mode { what: "a filter of OpenCV", mode: self.mode.name() });
        }
        if [width, height, self.width, self.height].contains(&0) {
            return Err(ImageError::Size { width, height, max_pixels: self.max_pixels });
        }
        byte_count(self.mode, width, height, self.max_pixels)?;
        if size == (self.width, self.height) {
            return Ok(self.clone());
        }
        let scale = |from: usize, to: usize| 1.0 / (to as f64 / from as f64);
        let (across, down) = (scale(self.width, width), scale(self.height, height));
        let halved = whole(across) == Some(2) && whole(down) == Some(2);
        let data = match filter {
            Filter::OpencvNearest => self.opencv_nearest(size, across, down),
            Filter::OpencvArea | Filter::OpencvLinear if halved => self.opencv_blocks(size, 2, 2),
            Filter::OpencvLinear => {
                let columns = linear_taps(self.width, width, across, true);
                self.opencv_linear(&columns, &linear_taps(self.height, height, down, false))
            }
            Filter::OpencvCubic => self.opencv_cubic(&cubic_taps(width, across), &cubic_taps(height, down)),
            Filter::OpencvArea if across >= 1.0 && down >= 1.0 => match (whole(across), whole(down)) {
                (Some(x), Some(y)) => self.opencv_blocks(size, x, y),
                _ => self.opencv_area(&area_taps(self.width, width, across), &area_taps(self.height, height, down)),
            },
            Filter::OpencvArea => {
                let columns = stretched_taps(self.width, width);
                self.opencv_linear(&columns, &stretched_taps(self.height, height))
            }
            _ => return Err(ImageError::Mode { what: "OpenCV without a filter of its own", mode: self.mode.name() }),
        };
        Ok(self.with_pixels(width, height, data))
    }

    /// Gray of colours as `cvtColor` computes it, in mode `L`. `blue_first` says that blue stands where red does.
    ///
    /// # Errors
    /// Where the mode is neither `RGB` nor `RGBA`.
    pub fn opencv_gray(&self, blue_first: bool) -> Result<Self, ImageError> {
        if !matches!(self.mode, Mode::Rgb | Mode::Rgba) {
            return Err(ImageError::Mode { what: "OpenCV's gray of colours", mode: self.mode.name() });
        }
        let gray = |pixel: &[u8]| {
            let weighted = |index: usize, weight: u32| u32::from(pixel[index]) * weight;
            let (red, blue) = if blue_first { (2, 0) } else { (0, 2) };
            ((weighted(red, 9798) + weighted(1, 19235) + weighted(blue, 3735) + (1 << 14)) >> 15) as u8
        };
        Ok(self.with_mode(Mode::L, self.data.chunks_exact(self.mode.channels()).map(gray).collect()))
    }

    /// Row `y`, or the one at the bound that it is beyond.
    fn row(&self, y: i64) -> &[u8] {
        let y = y.clamp(0, self.height as i64 - 1) as usize;
        let bytes = self.width * self.mode.channels();
        &self.data[y * bytes..(y + 1) * bytes]
    }

    fn opencv_nearest(&self, (width, height): (usize, usize), across: f64, down: f64) -> Vec<u8> {
        let channels = self.mode.channels();
        let position = |at: usize, scale: f64, length: usize| ((at as f64 * scale).floor() as usize).min(length - 1);
        let columns: Vec<usize> = (0..width).map(|x| position(x, across, self.width) * channels).collect();
        let mut data = Vec::with_capacity(width * height * channels);
        for y in 0..height {
            let row = self.row(position(y, down, self.height) as i64);
            for &column in &columns {
                data.extend_from_slice(&row[column..column + channels]);
            }
        }
        data
    }

    /// The sum of weighted pixels of a row, for each column and channel.
    fn weighted_row<T: Copy, S>(
        &self,
        y: i64,
        columns: &[Taps<T>],
        zero: impl Fn() -> S,
        add: impl Fn(S, u8, T) -> S,
    ) -> Vec<S> {
        let channels = self.mode.channels();
        let row = self.row(y);
        let last = self.width as i64 - 1;
        let mut sums = Vec::with_capacity(columns.len() * channels);
        for column in columns {
            for channel in 0..channels {
                let pixels = (column.first..).map(|x| row[x.clamp(0, last) as usize * channels + channel]);
                sums.push(pixels.zip(&column.weights).fold(zero(), |sum, (pixel, &weight)| add(sum, pixel, weight)));
            }
        }
        sums
    }

    fn integer_row(&self, y: i64, columns: &[Taps<i32>]) -> Vec<i32> {
        self.weighted_row(y, columns, || 0, |sum, pixel, weight| sum + i32::from(pixel) * weight)
    }

    fn opencv_linear(&self, columns: &[Taps<i32>], rows: &[Taps<i32>]) -> Vec<u8> {
        let mut kept = Rows::default();
        let mut data = Vec::with_capacity(rows.len() * columns.len() * self.mode.channels());
        for taps in rows {
            kept.want(self, taps, columns);
            let [upper, lower] =
                [0, 1].map(|row| kept.row(taps.first + row).iter().zip(repeat(taps.weights[row as usize])));
            let part = |(&sum, weight): (&i32, i32)| (weight * (sum >> 4)) >> 16;
            data.extend(upper.zip(lower).map(|(upper, lower)| byte((part(upper) + part(lower) + 2) >> 2)));
        }
        data
    }

    fn opencv_cubic(&self, columns: &[Taps<i32>], rows: &[Taps<i32>]) -> Vec<u8> {
        let mut kept = Rows::default();
        let mut data = Vec::with_capacity(rows.len() * columns.len() * self.mode.channels());
        for taps in rows {
            kept.want(self, taps, columns);
            let weights: Vec<f32> = taps.weights.iter().map(|&weight| weight as f32 * (1.0 / (ONE * ONE))).collect();
            let rows = [0, 1, 2, 3].map(|row| kept.row(taps.first + row));
            data.extend((0..rows[0].len()).map(|x| {
                let [a, b, c, d] = [0, 1, 2, 3].map(|row| rows[row][x] as f32 * weights[row]);
                byte((a + (b + (c + d))).round_ties_even() as i32)
            }));
        }
        data
    }

    /// Means of blocks of whole pixels.
    fn opencv_blocks(&self, (width, height): (usize, usize), across: usize, down: usize) -> Vec<u8> {
        let channels = self.mode.channels();
        let reciprocal = (1.0 / (across * down) as f64) as f32;
        let mut data = Vec::with_capacity(width * height * channels);
        for y in 0..height {
            for at in 0..width * channels {
                let start = at / channels * across * channels + at % channels;
                let sum: u32 = (y * down..(y + 1) * down)
                    .flat_map(|y| self.row(y as i64)[start..].iter().step_by(channels).take(across))
                    .map(|&pixel| u32::from(pixel))
                    .sum();
                data.push(match (across, down) {
                    (2, 2) => ((sum + 2) >> 2) as u8,
                    _ => byte((sum as f32 * reciprocal).round_ties_even() as i32),
                });
            }
        }
        data
    }

    /// Means over the area that each pixel of the result covers, in single precision.
    fn opencv_area(&self, columns: &[Taps<f32>], rows: &[Taps<f32>]) -> Vec<u8> {
        let mut data = Vec::with_capacity(rows.len() * columns.len() * self.mode.channels());
        for taps in rows {
            let mut sums: Vec<f32> = Vec::new();
            for (y, &weight) in (taps.first..).zip(&taps.weights) {
                let row =
                    self.weighted_row(y, columns, || 0.0_f32, |sum, pixel, weight| sum + f32::from(pixel) * weight);
                if sums.is_empty() {
                    sums = row.into_iter().map(|value| weight * value).collect();
                } else {
                    sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += weight * value);
                }
            }
            data.extend(sums.into_iter().map(|sum| byte(sum.round_ties_even() as i32)));
        }
        data
    }
}

/// The last rows that have been weighted along their length, so that neighbours in the result share them.
#[derive(Default)]
struct Rows {
    kept: [Option<(i64, Vec<i32>)>; 4],
}

impl Rows {
    fn place(y: i64) -> usize {
        y.rem_euclid(4) as usize
    }

    /// Computes the rows that these taps need.
    fn want(&mut self, image: &Image, taps: &Taps<i32>, columns: &[Taps<i32>]) {
        for y in (taps.first..).take(taps.weights.len()) {
            let place = &mut self.kept[Self::place(y)];
            if place.as_ref().is_none_or(|(kept, _)| *kept != y) {
                *place = Some((y, image.integer_row(y, columns)));
            }
        }
    }

    fn row(&self, y: i64) -> &[i32] {
        self.kept[Self::place(y)].as_ref().map_or(&[], |(_, row)| row)
    }
}

/// A scale that is a whole number.
fn whole(scale: f64) -> Option<usize> {
    let nearest = scale.round();
    ((scale - nearest).abs() < f64::EPSILON && nearest >= 1.0).then_some(nearest as usize)
}

/// A weight in fixed point, halves to even.
fn fixed(weight: f32) -> i32 {
    (weight * ONE).round_ties_even() as i32
}

/// Where the middle of a pixel of the result lies: a pixel, and the part of the way to the next.
fn middle(at: usize, scale: f64) -> (i64, f32) {
    let position = ((at as f64 + 0.5) * scale - 0.5) as f32;
    let pixel = position.floor();
    (pixel as i64, position - pixel)
}

/// Two neighbours; along rows, what lies outside of the image has no weight.
fn linear_taps(length: usize, out: usize, scale: f64, along_rows: bool) -> Vec<Taps<i32>> {
    let last = length as i64 - 1;
    let taps = |at: usize| {
        let (mut first, mut part) = middle(at, scale);
        if along_rows && (first < 0 || first >= last) {
            first = first.clamp(0, last);
            part = 0.0;
        }
        Taps { first, weights: vec![fixed(1.0 - part), fixed(part)] }
    };
    (0..out).map(taps).collect()
}

/// Two neighbours for `INTER_AREA` where the result is larger.
fn stretched_taps(length: usize, out: usize) -> Vec<Taps<i32>> {
    let last = length as i64 - 1;
    let inverse = out as f64 / length as f64;
    let scale = 1.0 / inverse;
    let taps = |at: usize| {
        let mut first = (at as f64 * scale).floor() as i64;
        let part = ((at + 1) as f64 - (first + 1) as f64 * inverse) as f32;
        let mut part = if part <= 0.0 { 0.0 } else { part - part.floor() };
        if first >= last {
            first = last;
            part = 0.0;
        }
        Taps { first, weights: vec![fixed(1.0 - part), fixed(part)] }
    };
    (0..out).map(taps).collect()
}

fn cubic_taps(out: usize, scale: f64) -> Vec<Taps<i32>> {
    const A: f32 = -0.75;
    let near = |x: f32| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let taps = |at: usize| {
        let (pixel, x) = middle(at, scale);
        let far = ((A * (x + 1.0) - 5.0 * A) * (x + 1.0) + 8.0 * A) * (x + 1.0) - 4.0 * A;
        let (left, right) = (near(x), near(1.0 - x));
        let weights = [far, left, right, 1.0 - far - left - right];
        Taps { first: pixel - 1, weights: weights.map(fixed).to_vec() }
    };
    (0..out).map(taps).collect()
}

/// The pixels that a pixel of the result covers, each by how much of it; slivers under a thousandth are left out.
fn area_taps(length: usize, out: usize, scale: f64) -> Vec<Taps<f32>> {
    let taps = |at: usize| {
        let from = at as f64 * scale;
        let to = from + scale;
        let covered = scale.min(length as f64 - from);
        let end = (to.floor() as i64).min(length as i64 - 1);
        let start = (from.ceil() as i64).min(end);
        let mut weights = Vec::new();
        let mut first = start;
        if start as f64 - from > 1e-3 {
            first -= 1;
            weights.push(((start as f64 - from) / covered) as f32);
        }
        weights.extend((start..end).map(|_| (1.0 / covered) as f32));
        if to - end as f64 > 1e-3 {
            weights.push(((to - end as f64).min(1.0).min(covered) / covered) as f32);
        }
        Taps { first, weights }
    };
    (0..out).map(taps).collect()
}
