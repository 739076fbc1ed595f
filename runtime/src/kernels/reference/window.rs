//! Windows that slide over images: which elements of the input each output pixel sees.
//!
//! Images are NHWC. Along one axis, output position `o` sees input positions `o * stride - before + tap * dilation` for the
//! taps of the kernel; positions outside the input are padding, which the kernels here never read.

use core::cell::Cell;
use core::ops::Range;

/// The most elements that a padded axis may have; keeps positions within 32-bit arithmetic.
pub const MAX_PADDED: u64 = i32::MAX as u64;

/// How a window moves along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowAxis {
    /// Input elements between two output positions; 1 or more.
    pub stride: u32,
    /// Input elements between two taps; 1 or more.
    pub dilation: u32,
    /// Padding before the first element.
    pub before: u32,
    /// Padding after the last element.
    pub after: u32,
}

impl WindowAxis {
    /// Steps and taps of 1, no padding.
    pub const DENSE: Self = Self { stride: 1, dilation: 1, before: 0, after: 0 };

    /// Output positions on an input of `length` for a kernel of `taps`: `(padded - span) / stride + 1`, rounded down, where
    /// `span = (taps - 1) * dilation + 1`. `None` when the window has no taps, does not fit, or the padded input has more than
    /// [`MAX_PADDED`] elements.
    pub fn output_length(&self, length: usize, taps: usize) -> Option<usize> {
        let padded = (length as u64).checked_add(self.before.into())?.checked_add(self.after.into())?;
        let span = (taps as u64).checked_sub(1)?.checked_mul(self.dilation.into())?.checked_add(1)?;
        let steps = padded.checked_sub(span).filter(|_| padded <= MAX_PADDED)?.checked_div(self.stride.into())?;
        usize::try_from(steps + 1).ok()
    }

    /// The taps that lie inside an input of `length` for output position `position`.
    pub fn taps(&self, position: usize, length: usize, taps: usize) -> Taps {
        let (before, step) = (self.before as usize, (self.dilation as usize).max(1));
        let origin = position.saturating_mul(self.stride as usize);
        let first = before.saturating_sub(origin).div_ceil(step);
        let end = length.saturating_add(before).saturating_sub(origin).div_ceil(step).min(taps);
        let start = origin.saturating_add(first.saturating_mul(step)).saturating_sub(before);
        Taps { first, count: end.saturating_sub(first), start, step }
    }
}

/// How a window moves over an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Along the height.
    pub rows: WindowAxis,
    /// Along the width.
    pub columns: WindowAxis,
}

impl Window {
    /// Steps and taps of 1, no padding.
    pub const DENSE: Self = Self { rows: WindowAxis::DENSE, columns: WindowAxis::DENSE };
}

/// Taps of a kernel that lie inside the input, along one axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Taps {
    /// The first such tap.
    pub first: usize,
    /// Their number.
    pub count: usize,
    /// Input position of the first.
    pub start: usize,
    /// Input elements between two of them.
    pub step: usize,
}

/// Lengths of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Elements of a pixel.
    pub channels: usize,
}

impl Image {
    /// Elements of a row.
    pub fn row(&self) -> usize {
        self.width.saturating_mul(self.channels)
    }

    /// Elements of an image.
    pub fn elements(&self) -> usize {
        self.height.saturating_mul(self.width).saturating_mul(self.channels)
    }
}

/// A window, its kernel's lengths, and the images that it turns into one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sliding {
    /// How the window moves.
    pub window: Window,
    /// Taps along height and width.
    pub kernel: [usize; 2],
    /// One input image.
    pub input: Image,
    /// One output image.
    pub output: Image,
}

impl Sliding {
    /// Calls `visit` with each output pixel and what it sees of the input, image by image, row by row.
    pub fn for_each_pixel<'a, I, O>(
        &self,
        input: &'a [I],
        output: &mut [O],
        mut visit: impl FnMut(&mut [O], Patch<'a, I>),
    ) {
        if self.input.elements() == 0 || self.output.elements() == 0 {
            return;
        }
        let row_elements = self.output.width * self.output.channels;
        let images = input.chunks_exact(self.input.elements());
        for (image, output) in images.zip(output.chunks_exact_mut(self.output.elements())) {
            for (y, row) in output.chunks_exact_mut(row_elements).enumerate() {
                let rows = self.window.rows.taps(y, self.input.height, self.kernel[0]);
                for (x, pixel) in row.chunks_exact_mut(self.output.channels).enumerate() {
                    let columns = self.window.columns.taps(x, self.input.width, self.kernel[1]);
                    visit(pixel, Patch { image, size: self.input, rows, columns, kernel_width: self.kernel[1] });
                }
            }
        }
    }
}

impl Sliding {
    /// Rows of the input that one row of the output sees, padding and what lies between the taps included.
    fn span(&self) -> usize {
        let dilation = self.window.rows.dilation as usize;
        self.kernel[0].saturating_sub(1).saturating_mul(dilation).saturating_add(1)
    }

    /// Elements of the band that [`Self::for_each_row_in_place`] needs; `None` where it cannot be used: the output must have the
    /// input's lengths, and windows move by one row.
    pub fn band(&self) -> Option<usize> {
        let fits = self.input == self.output
            && self.window.rows.stride == 1
            && (self.window.rows.before as usize) < self.span();
        fits.then(|| Image { height: self.span().min(self.input.height), ..self.input }.elements())
    }

    /// Lets `visit` overwrite images with its results, row by row: it gets a window over `band`, which holds the rows that the
    /// output row sees as they were, and the output row.
    pub fn for_each_row_in_place<T: Copy>(
        &self,
        images: &mut [T],
        band: &mut [T],
        mut visit: impl FnMut(&Self, &[T], &mut [T]),
    ) {
        let row = self.row();
        if self.input.elements() == 0 || self.band().is_none_or(|needed| needed > band.len()) {
            return;
        }
        for image in images.chunks_exact_mut(self.input.elements()) {
            let mut held = 0..0;
            for y in 0..self.output.height {
                let (fresh, part) = self.slide(&mut held, y, band);
                let values = image.get(fresh.start * row..fresh.end * row).unwrap_or_default();
                let places = band.get_mut((fresh.start - held.start) * row..).unwrap_or_default();
                for (place, &value) in places.iter_mut().zip(values) {
                    *place = value;
                }
                let seen = band.get(..part.input.elements()).unwrap_or_default();
                if let Some(out) = image.get_mut(y * row..(y + 1) * row) {
                    visit(&part, seen, out);
                }
            }
        }
    }

    /// Elements of a row of the input.
    pub fn row(&self) -> usize {
        self.input.row()
    }

    /// Rows of the input that must be held at once to make the output row by row: as many as a window sees, or all where a window
    /// may see none.
    pub fn rows_held(&self) -> usize {
        let padding = self.window.rows.before.max(self.window.rows.after) as usize;
        if padding < self.span() { self.span().min(self.input.height) } else { self.input.height }
    }

    /// Prepares `band`, which holds the rows `held` of an image, for the output row `y` that follows the last one: moves the rows that it
    /// sees to the front. Returns the rows that must be added behind them, and the window over all these rows. Of use where
    /// [`Self::rows_held`] are fewer than all.
    pub fn slide<T: Copy>(&self, held: &mut Range<usize>, y: usize, band: &mut [T]) -> (Range<usize>, Self) {
        let before = self.window.rows.before as usize;
        let origin = y.saturating_mul(self.window.rows.stride as usize);
        let start = origin.saturating_sub(before).min(self.input.height);
        let end = origin.saturating_add(self.span()).saturating_sub(before).clamp(start, self.input.height);
        let (kept, row) = (start.clamp(held.start, held.end), self.row());
        let cells = Cell::from_mut(band).as_slice_of_cells();
        let moved = cells.iter().take((held.end - held.start) * row).skip((kept - held.start) * row);
        for (to, from) in cells.iter().zip(moved) {
            to.set(from.get());
        }
        let fresh = held.end.max(start)..end.max(held.end);
        *held = start..fresh.end;
        let rows = WindowAxis { before: before.saturating_sub(origin) as u32, after: 0, ..self.window.rows };
        let part = Self {
            window: Window { rows, ..self.window },
            input: Image { height: held.end - held.start, ..self.input },
            output: Image { height: 1, ..self.output },
            ..*self
        };
        (fresh, part)
    }
}

/// What one output pixel sees of the input.
#[derive(Clone, Copy, Debug)]
pub struct Patch<'a, T> {
    image: &'a [T],
    size: Image,
    rows: Taps,
    columns: Taps,
    kernel_width: usize,
}

impl<'a, T> Patch<'a, T> {
    /// Number of taps inside the input.
    pub fn taps(&self) -> usize {
        self.rows.count * self.columns.count
    }

    /// Each tap inside the input, as its number in the kernel (row by row) and its pixel.
    pub fn pixels(&self) -> impl Iterator<Item = (usize, &'a [T])> + use<'a, T> {
        self.stretches(1, self.columns.count)
    }

    /// Each tap inside the input, as its pixel and its stretch of `weights`, which holds `length` elements for every tap of the
    /// kernel.
    pub fn weighted<'w, W>(
        &self,
        weights: &'w [W],
        length: usize,
    ) -> impl Iterator<Item = (&'a [T], &'w [W])> + use<'a, 'w, T, W> {
        self.pixels().map(move |(tap, pixel)| {
            let start = tap.saturating_mul(length);
            (pixel, weights.get(start..start.saturating_add(length)).unwrap_or_default())
        })
    }

    /// The taps inside the input in stretches as long as they lie side by side both in the input and in the kernel: number of
    /// the first tap, and the elements of all.
    pub fn runs(&self) -> impl Iterator<Item = (usize, &'a [T])> + use<'a, T> {
        match self.columns.step {
            1 => self.stretches(self.columns.count, 1),
            _ => self.stretches(1, self.columns.count),
        }
    }

    /// `per_row` stretches of `taps` taps each for every row.
    fn stretches(&self, taps: usize, per_row: usize) -> impl Iterator<Item = (usize, &'a [T])> + use<'a, T> {
        let Self { image, size, rows, columns, kernel_width } = *self;
        let length = taps.saturating_mul(size.channels);
        (0..rows.count).flat_map(move |y| {
            let tap = (rows.first + y) * kernel_width + columns.first;
            let start = ((rows.start + y * rows.step) * size.width + columns.start) * size.channels;
            (0..per_row).map(move |x| {
                let at = start + x * columns.step * size.channels;
                (tap + x, image.get(at..at.saturating_add(length)).unwrap_or_default())
            })
        })
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    /// The definition, position by position.
    fn expected(axis: WindowAxis, position: usize, length: usize, taps: usize) -> Vec<(usize, usize)> {
        let at = |tap: usize| {
            (position * axis.stride as usize + tap * axis.dilation as usize).checked_sub(axis.before as usize)
        };
        (0..taps).filter_map(|tap| Some((tap, at(tap).filter(|&at| at < length)?))).collect()
    }

    #[test]
    fn taps_are_those_inside_the_input() {
        let mut windows = 0;
        for (stride, dilation, before, after) in [1, 2, 3]
            .iter()
            .flat_map(|s| [1, 2, 4].map(|d| (*s, d)))
            .flat_map(|(s, d)| [(s, d, 0, 0), (s, d, 1, 2), (s, d, 5, 4)])
        {
            let axis = WindowAxis { stride, dilation, before, after };
            for (length, taps) in (1..8).flat_map(|length| (1..6).map(move |taps| (length, taps))) {
                let Some(positions) = axis.output_length(length, taps) else { continue };
                windows += positions;
                for position in 0..positions {
                    let found = axis.taps(position, length, taps);
                    let found: Vec<_> =
                        (0..found.count).map(|i| (found.first + i, found.start + i * found.step)).collect();
                    assert_eq!(found, expected(axis, position, length, taps), "{axis:?} {position} {length} {taps}");
                }
            }
        }
        assert!(windows > 1000);
    }

    #[test]
    fn an_output_has_the_positions_where_the_window_fits() {
        let axis = WindowAxis { stride: 2, dilation: 3, before: 1, after: 1 };
        assert_eq!(axis.output_length(5, 3), Some(1));
        assert_eq!(axis.output_length(4, 3), None);
        assert_eq!(axis.output_length(5, 0), None);
        assert_eq!(axis.output_length(i32::MAX as usize, 1), None);
        assert_eq!(WindowAxis { stride: 0, ..axis }.output_length(5, 3), None);
        assert_eq!(WindowAxis { dilation: u32::MAX, ..axis }.output_length(5, usize::MAX), None);
    }
}
