//! Regions of images at one size.
//!
//! Formulas: the operator `RoiAlign` of ONNX 1.23 and its reference implementation. Of the maximum's four neighbours the
//! largest *weighted* one counts, as there and in ONNX Runtime.

use core::ops::Range;

use super::window::Image;

/// The most samples along one side of a cell; a float counts them exactly.
const MAX_SAMPLES: f32 = (1 << 23) as f32;

/// How regions are pooled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Regions {
    /// The largest of the samples instead of their average.
    pub max: bool,
    /// Coordinates are shifted by half a pixel; else a region is one pixel at least.
    pub half_pixel: bool,
    /// Samples along each side of a cell; 0 for as many as the cell is long, rounded up.
    pub samples: u32,
    /// Factor of the regions' coordinates.
    pub scale: f32,
    /// Height and width of a pooled region, in cells.
    pub cells: [usize; 2],
}

/// The cells of a region along one axis.
#[derive(Clone, Copy)]
struct Side {
    start: f32,
    /// Length of a cell.
    cell: f32,
    /// Samples of a cell.
    samples: f32,
}

impl Side {
    fn new(how: &Regions, start: f32, end: f32, cells: usize) -> Self {
        let offset = if how.half_pixel { 0.5 } else { 0.0 };
        let start = start * how.scale - offset;
        let length = end * how.scale - offset - start;
        let length = if how.half_pixel || length >= 1.0 { length } else { 1.0 };
        let cell = length / cells as f32;
        let samples = if how.samples > 0 { how.samples as f32 } else { libm::ceilf(cell) };
        Self { start, cell, samples: if samples > 0.0 { samples } else { 0.0 } }
    }

    fn place(&self, cell: usize, sample: u32) -> f32 {
        self.start + cell as f32 * self.cell + (sample as f32 + 0.5) * self.cell / self.samples
    }

    /// The samples of a cell that may lie on an axis of `length` elements, of the first [`MAX_SAMPLES`]. There are never more than a few for
    /// each element, unless the operator's attribute asks for them.
    fn near(&self, cell: usize, length: usize) -> Range<u32> {
        let step = self.cell / self.samples;
        let base = self.start + cell as f32 * self.cell;
        // A region that is turned round has cells of negative length.
        let (one, other) = ((-1.0 - base) / step, (length as f32 - base) / step);
        let first = libm::floorf(if one < other { one } else { other }) - 2.0;
        let end = libm::ceilf(if one < other { other } else { one }) + 2.0;
        let samples = self.samples.min(MAX_SAMPLES);
        if first < end { first.max(0.0) as u32..end.min(samples) as u32 } else { 0..0 }
    }
}

/// `b` where it is larger, else `a`: zeros of either sign are equal, which [`f32::max`] leaves to the machine.
fn larger(a: f32, b: f32) -> f32 {
    if b > a { b } else { a }
}

/// Where a coordinate falls on an axis: the lower and the upper element, and the weight of the upper one. `None` outside.
fn neighbours(at: f32, length: usize) -> Option<(usize, usize, f32)> {
    if !(at >= -1.0 && at <= length as f32) {
        return None;
    }
    let at = larger(0.0, at);
    let (low, last) = (at as usize, length.saturating_sub(1));
    if low >= last { Some((last, last, 0.0)) } else { Some((low, low + 1, at - low as f32)) }
}

/// Pools regions `[x1, y1, x2, y2]` of the images that `images` names: `out` is `[regions, cells…, channels]`. A number outside is taken as
/// the nearest.
pub fn roi_align(how: &Regions, size: &Image, input: &[f32], regions: &[f32], images: &[i64], out: &mut [f32]) {
    let [rows, columns] = how.cells;
    let result = rows.saturating_mul(columns).saturating_mul(size.channels);
    let elements = size.elements();
    let Some(last) = input.len().checked_div(elements).and_then(|images| images.checked_sub(1)) else { return };
    if result == 0 {
        return;
    }
    for ((region, &image), out) in regions.chunks_exact(4).zip(images).zip(out.chunks_exact_mut(result)) {
        let image = usize::try_from(image.max(0)).unwrap_or(last).min(last);
        let image = input.chunks_exact(elements).nth(image).unwrap_or_default();
        let &[x1, y1, x2, y2] = region else { continue };
        let sides = [Side::new(how, y1, y2, rows), Side::new(how, x1, x2, columns)];
        for (cell, pixel) in out.chunks_exact_mut(size.channels).enumerate() {
            pool_cell(how, size, image, &sides, [cell / columns, cell % columns], pixel);
        }
    }
}

fn pool_cell(how: &Regions, size: &Image, image: &[f32], sides: &[Side; 2], cell: [usize; 2], out: &mut [f32]) {
    let [rows, columns] = sides;
    let count = rows.samples * columns.samples;
    out.fill(if how.max && count > 0.0 { f32::NEG_INFINITY } else { 0.0 });
    let mut seen = 0.0;
    for iy in rows.near(cell[0], size.height) {
        let y = neighbours(rows.place(cell[0], iy), size.height);
        for ix in columns.near(cell[1], size.width) {
            if let (Some(y), Some(x)) = (y, neighbours(columns.place(cell[1], ix), size.width)) {
                add_sample(how.max, size, image, y, x, out);
                seen += 1.0;
            }
        }
    }
    for out in out {
        if how.max {
            // Samples outside the image are zeros.
            *out = if seen < count { larger(*out, 0.0) } else { *out };
        } else {
            *out /= count.max(1.0);
        }
    }
}

/// Takes a sample between four pixels.
fn add_sample(
    max: bool,
    size: &Image,
    image: &[f32],
    (y_low, y_high, ly): (usize, usize, f32),
    (x_low, x_high, lx): (usize, usize, f32),
    out: &mut [f32],
) {
    let (hy, hx) = (1.0 - ly, 1.0 - lx);
    let pixel = |y: usize, x: usize| {
        image.get(y.saturating_mul(size.width).saturating_add(x).saturating_mul(size.channels)..).unwrap_or_default()
    };
    let (a, b, c, d) = (pixel(y_low, x_low), pixel(y_low, x_high), pixel(y_high, x_low), pixel(y_high, x_high));
    for ((((out, a), b), c), d) in out.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        let [a, b, c, d] = [hy * hx * a, hy * lx * b, ly * hx * c, ly * lx * d];
        if max {
            *out = [a, b, c, d].into_iter().fold(*out, larger);
        } else {
            *out += a + b + c + d;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_region_of_any_image_ends_soon() {
        let size = Image { height: 3, width: 2, channels: 1 };
        let image = [1.0, 2.0, 3.0, 4.0, f32::NAN, 6.0];
        for value in [0.0, -1.0, 1e9, -1e30, f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for (max, half_pixel, samples) in [(false, true, 0), (true, false, 0), (false, false, 3)] {
                let how = Regions { max, half_pixel, samples, scale: 0.5, cells: [2, 2] };
                let regions = [value, -value, 2.0, 1.0, -1.0, value, 2.0, value, value, value, value, value];
                roi_align(&how, &size, &image, &regions, &[0, -7, i64::MAX], &mut [0.0; 12]);
            }
        }
    }

    #[test]
    fn a_cell_is_the_average_of_its_samples() {
        let size = Image { height: 2, width: 2, channels: 1 };
        let how = Regions { max: false, half_pixel: false, samples: 1, scale: 1.0, cells: [1, 1] };
        let mut out = [0.0];
        roi_align(&how, &size, &[1.0, 2.0, 3.0, 6.0], &[0.0, 0.0, 1.0, 1.0], &[0], &mut out);
        assert_eq!(out, [3.0]);
    }
}
