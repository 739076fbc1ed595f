//! Another size, as Pillow's `Image.resize` goes about it.

use ekiben_runtime::artifact::image::{Filter, Mode};

use super::resample::support;
use super::{Image, ImageError, byte_count};

impl Image {
    /// The image, or the part `[left, top, right, bottom]` of it, in another size `(width, height)`.
    ///
    /// Black-and-white images and palettes take the nearest pixel whatever the filter. Colours are weighted by their
    /// alpha. With `reducing_gap` the image is first reduced by whole factors, to that many times the size or more.
    /// OpenCV's filters take each channel on its own, and a part of whole pixels; `reducing_gap` is nothing to them.
    ///
    /// # Errors
    /// Where the size is zero or over the limit, or the part is empty or not within the image.
    pub fn resize(
        &self,
        size: (usize, usize),
        filter: Filter,
        part: Option<[f64; 4]>,
        reducing_gap: Option<f64>,
    ) -> Result<Self, ImageError> {
        let whole = [0.0, 0.0, self.width as f64, self.height as f64];
        let part = part.unwrap_or(whole);
        self.check_resize(size, part, reducing_gap)?;
        if is_opencv(filter) {
            return self.part_for_opencv(part)?.opencv_resize(size, filter);
        }
        if size == (self.width, self.height) && part == whole {
            return Ok(self.clone());
        }
        match (filter, self.mode) {
            (Filter::Nearest, _) | (_, Mode::Bilevel | Mode::P) => Ok(self.nearest(size, part)),
            (_, Mode::La | Mode::Rgba) => {
                let image = self.premultiplied().reduced_and_resampled(size, filter, part, reducing_gap)?;
                Ok(image.unmultiplied())
            }
            _ => self.reduced_and_resampled(size, filter, part, reducing_gap),
        }
    }

    fn check_resize(&self, size: (usize, usize), part: [f64; 4], gap: Option<f64>) -> Result<(), ImageError> {
        let (width, height) = size;
        if width == 0 || height == 0 {
            return Err(ImageError::Size { width, height, max_pixels: self.max_pixels });
        }
        byte_count(self.mode, width, height, self.max_pixels)?;
        let [left, top, right, bottom] = part;
        let within = left >= 0.0 && top >= 0.0 && right <= self.width as f64 && bottom <= self.height as f64;
        if !(within && left < right && top < bottom) {
            return Err(self.bad_part(part));
        }
        match gap {
            Some(given) if given.is_nan() || given < 1.0 => {
                Err(ImageError::Number { what: "reducing_gap", given, needed: "1 or more" })
            }
            _ => Ok(()),
        }
    }

    /// The part on its own: OpenCV cuts whole pixels out of an array before it resizes them.
    fn part_for_opencv(&self, part: [f64; 4]) -> Result<Self, ImageError> {
        if part.iter().any(|bound| bound.fract() != 0.0) {
            return Err(self.bad_part(part));
        }
        let [left, top, right, bottom] = part.map(|bound| bound as i64);
        self.crop(left, top, right, bottom)
    }

    fn reduced_and_resampled(
        &self,
        size: (usize, usize),
        filter: Filter,
        part: [f64; 4],
        gap: Option<f64>,
    ) -> Result<Self, ImageError> {
        let Some(gap) = gap else { return self.resampled(size, filter, part) };
        let [left, top, right, bottom] = part;
        let factor = |length: f64, out: usize| ((length / out as f64 / gap) as usize).max(1);
        let (fx, fy) = (factor(right - left, size.0), factor(bottom - top, size.1));
        if fx == 1 && fy == 1 {
            return self.resampled(size, filter, part);
        }
        if self.mode == Mode::I16 {
            return Err(ImageError::Mode { what: "resize with reducing_gap", mode: self.mode.name() });
        }
        let safe = self.safe_part(size, filter, part);
        let [x, y] = [safe[0] as f64, safe[1] as f64];
        let (across, down) = (fx as f64, fy as f64);
        let rest = [(left - x) / across, (top - y) / down, (right - x) / across, (bottom - y) / down];
        self.reduced(fx, fy, safe).resampled(size, filter, rest)
    }

    /// Whole bounds around a part, with what the filter sees beyond it.
    fn safe_part(&self, size: (usize, usize), filter: Filter, [left, top, right, bottom]: [f64; 4]) -> [usize; 4] {
        let margin = support(filter).unwrap_or(0.5) - 0.5;
        let (x, y) = (margin * ((right - left) / size.0 as f64), margin * ((bottom - top) / size.1 as f64));
        [
            (left - x).max(0.0) as usize,
            (top - y).max(0.0) as usize,
            self.width.min((right + x).ceil() as usize),
            self.height.min((bottom + y).ceil() as usize),
        ]
    }

    /// The pixel that lies under the middle of each pixel of the result. Pillow sums the positions up step by step, but
    /// for `I;16`, where it multiplies.
    fn nearest(&self, (width, height): (usize, usize), [left, top, right, bottom]: [f64; 4]) -> Self {
        let positions = if self.mode == Mode::I16 { multiplied } else { summed };
        // Bounds are single precision in Pillow.
        let scale = |from: f64, to: f64, out: usize| f64::from(to as f32 - from as f32) / out as f64;
        let columns = positions(f64::from(left as f32), scale(left, right, width), width, self.width);
        let rows = positions(f64::from(top as f32), scale(top, bottom, height), height, self.height);
        let size = self.pixel_bytes();
        let mut data = Vec::with_capacity(width * height * size);
        for row in rows {
            for &column in &columns {
                match row.zip(column) {
                    Some((y, x)) => {
                        let at = (y * self.width + x) * size;
                        data.extend_from_slice(&self.data[at..at + size]);
                    }
                    None => data.extend(std::iter::repeat_n(0, size)),
                }
            }
        }
        self.with_pixels(width, height, data)
    }
}

const fn is_opencv(filter: Filter) -> bool {
    matches!(filter, Filter::OpencvNearest | Filter::OpencvLinear | Filter::OpencvCubic | Filter::OpencvArea)
}

fn summed(from: f64, scale: f64, count: usize, length: usize) -> Vec<Option<usize>> {
    let mut at = from + scale * 0.5;
    let mut positions = Vec::with_capacity(count);
    for _ in 0..count {
        positions.push(within(at, length));
        at += scale;
    }
    positions
}

fn multiplied(from: f64, scale: f64, count: usize, length: usize) -> Vec<Option<usize>> {
    (0..count).map(|index| within(scale * (index as f64 + 0.5) + from, length)).collect()
}

/// The pixel at a position, where there is one.
fn within(at: f64, length: usize) -> Option<usize> {
    Some(at as usize).filter(|&position| at >= 0.0 && position < length)
}
