//! Samples of images at any places.
//!
//! Formulas: the operator `GridSample` of ONNX 1.23 and its reference implementation.

use super::coded::coded;
use super::resize::cubic_weight;
use super::spatial::{Lengths, MAX_SPATIAL};

/// Keys' coefficient of bicubic samples.
const CUBIC: f32 = -0.75;

coded! {
    /// How elements between those of the image are made. The discriminant is the code in an artifact.
    SampleMode {
        /// The nearest element, of two the even one.
        Nearest = 0,
        /// Straight lines between two.
        Linear = 1,
        /// Keys' cubic through four, with a = -0.75.
        Cubic = 2,
    }
}

coded! {
    /// What stands outside an image. The discriminant is the code in an artifact.
    SamplePadding {
        /// Zeros.
        Zeros = 0,
        /// The nearest element.
        Border = 1,
        /// The image's mirror image.
        Reflection = 2,
    }
}

/// How images are sampled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sampling {
    /// How elements are made.
    pub mode: SampleMode,
    /// What stands outside.
    pub padding: SamplePadding,
    /// -1 and 1 are the centers of the first and the last element, not their outer edges.
    pub align_corners: bool,
}

/// The elements that one coordinate falls between: `count` of them from `first` on, `fraction` of the way from the one at the coordinate's
/// left to the next.
#[derive(Clone, Copy, Debug)]
struct Between {
    first: i64,
    count: usize,
    fraction: f32,
}

impl Sampling {
    /// The lowest and the highest coordinate of an axis.
    fn borders(&self, length: usize) -> (f32, f32) {
        if self.align_corners { (0.0, length as f32 - 1.0) } else { (-0.5, length as f32 - 0.5) }
    }

    /// The elements that coordinate `at`, from -1 to 1, falls between.
    fn between(&self, at: f32, length: usize) -> Between {
        let size = length as f32;
        let mut x = if self.align_corners { (at + 1.0) / 2.0 * (size - 1.0) } else { ((at + 1.0) * size - 1.0) / 2.0 };
        if self.mode == SampleMode::Nearest {
            x = libm::rintf(x);
        }
        let (low, high) = self.borders(length);
        if x < low || x > high {
            x = match self.padding {
                SamplePadding::Zeros => x,
                SamplePadding::Border => x.clamp(0.0, (size - 1.0).max(0.0)),
                SamplePadding::Reflection => reflected(x, low, high),
            };
        }
        let floor = libm::floorf(x);
        let (first, fraction) = (floor as i64, x - floor);
        match self.mode {
            SampleMode::Nearest => Between { first: x as i64, count: 1, fraction: 0.0 },
            SampleMode::Linear => Between { first, count: 2, fraction },
            SampleMode::Cubic => Between { first: first.saturating_sub(1), count: 4, fraction },
        }
    }

    fn weight(&self, between: &Between, tap: usize) -> f32 {
        match (self.mode, tap) {
            (SampleMode::Nearest, _) => 1.0,
            (SampleMode::Linear, 0) => 1.0 - between.fraction,
            (SampleMode::Linear, _) => between.fraction,
            (SampleMode::Cubic, _) => cubic_weight(libm::fabsf(tap as f32 - 1.0 - between.fraction), CUBIC),
        }
    }

    /// The element at position `at` of an axis; `None` for a zero outside it.
    fn element(&self, at: i64, length: usize) -> Option<usize> {
        let last = (length as i64).checked_sub(1).filter(|&last| last >= 0)?;
        if (0..=last).contains(&at) {
            return Some(at as usize);
        }
        match self.padding {
            SamplePadding::Zeros => None,
            SamplePadding::Border => Some(at.clamp(0, last) as usize),
            SamplePadding::Reflection => {
                let (low, high) = self.borders(length);
                Some((reflected(at as f32, low, high) as i64).clamp(0, last) as usize)
            }
        }
    }
}

/// `x` mirrored at the borders until it lies between them.
fn reflected(x: f32, low: f32, high: f32) -> f32 {
    let range = high - low;
    let outside = if x < low { low - x } else { x - high };
    if outside <= 0.0 || range <= 0.0 {
        return if range > 0.0 { x } else { low };
    }
    let times = libm::truncf(outside / range);
    let rest = outside - times * range;
    let from_low = (x < low) == (libm::fmodf(times, 2.0) == 0.0);
    if from_low { low + rest } else { high - rest }
}

/// Samples images `[n, lengths…, channels]` at the places `[n, positions…, axes]`, whose coordinates stand in the reverse order of the axes:
/// `out[n, p, c] = sum over the neighbours, in C order, of weight * image[n, q, c]`.
pub fn grid_sample(how: &Sampling, lengths: &Lengths, channels: usize, image: &[f32], grid: &[f32], out: &mut [f32]) {
    let axes = lengths.len();
    let elements = lengths.positions().saturating_mul(channels);
    let images = image.len().checked_div(elements).unwrap_or(0);
    let samples = grid.len().checked_div(axes.saturating_mul(images)).unwrap_or(0).saturating_mul(channels);
    if samples == 0 {
        return;
    }
    let grids = grid.chunks_exact(samples / channels * axes);
    for ((image, places), out) in image.chunks_exact(elements).zip(grids).zip(out.chunks_exact_mut(samples)) {
        for (place, pixel) in places.chunks_exact(axes).zip(out.chunks_exact_mut(channels)) {
            let mut between = [Between { first: 0, count: 1, fraction: 0.0 }; MAX_SPATIAL];
            for ((between, &at), &length) in between.iter_mut().zip(place.iter().rev()).zip(lengths.iter()) {
                *between = how.between(at, length);
            }
            pixel.fill(0.0);
            Lengths::new(between.iter().take(axes).map(|between| between.count)).for_each(|taps| {
                let (mut weight, mut at) = (1.0, Some(0usize));
                for ((between, &tap), &length) in between.iter().zip(taps).zip(lengths.iter()) {
                    weight *= how.weight(between, tap);
                    let element = how.element(between.first.saturating_add(tap as i64), length);
                    at = at.and_then(|at| Some(at.saturating_mul(length).saturating_add(element?)));
                }
                let Some(at) = at else { return };
                let seen = image.get(at.saturating_mul(channels)..).unwrap_or_default();
                for (out, &x) in pixel.iter_mut().zip(seen) {
                    *out += weight * x;
                }
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrored_coordinates_lie_inside() {
        for (x, expected) in [(-1.0, 0.0), (-0.75, -0.25), (3.0, 2.0), (3.5, 1.5), (-4.5, 1.5), (6.5, 0.5)] {
            assert_eq!(reflected(x, -0.5, 2.5), expected, "{x}");
        }
        assert_eq!(reflected(7.0, 0.0, 0.0), 0.0);
    }

    #[test]
    fn any_coordinate_is_taken() {
        for padding in [SamplePadding::Zeros, SamplePadding::Border, SamplePadding::Reflection] {
            for mode in [SampleMode::Nearest, SampleMode::Linear, SampleMode::Cubic] {
                let how = Sampling { mode, padding, align_corners: padding == SamplePadding::Border };
                let grid = [f32::NAN, 0.0, f32::INFINITY, -1e30, 1.0, -1.0];
                let mut out = [0.0; 3];
                grid_sample(&how, &Lengths::new([2, 2]), 1, &[1.0, 2.0, 3.0, 4.0], &grid, &mut out);
            }
        }
    }
}
