//! Resampling of axes: nearest, linear and cubic, in any of ONNX's coordinate systems.
//!
//! Formulas: the operator `Resize` of ONNX 1.23. Coordinates are worked out in the order and the precision of ONNX Runtime, since a tie between two
//! neighbours is decided by their last bits.

use super::coded::coded;
use super::float::Float;
use crate::tensor::{Dims, MAX_RANK};

coded! {
    /// How elements between those of the input are made. The discriminant is the code in an artifact.
    Interpolation {
        /// One neighbour's value.
        Nearest = 0,
        /// Straight lines between two neighbours.
        Linear = 1,
        /// Keys' cubic through four neighbours.
        Cubic = 2,
    }
}

coded! {
    /// Where in the input position `o` of the output lies; `s` is the scale, `in` and `out` are the lengths. The discriminant is the code in
    /// an artifact.
    Coordinates {
        /// `(o + 0.5) / s - 0.5`
        HalfPixel = 0,
        /// `o / s`
        Asymmetric = 1,
        /// As `HalfPixel`, but 0 where `out` is 1.
        PytorchHalfPixel = 2,
        /// `(o + 0.5) / s`
        TfHalfPixelForNearest = 3,
        /// `o * (in - 1) / (out - 1)`, 0 where `out` is 1.
        AlignCorners = 4,
        /// `start * (in - 1) + o * (end - start) * (in - 1) / (out - 1)`, the middle of start and end where `out` is 1.
        TfCropAndResize = 5,
        /// `in / 2 * (1 - out / (s * in)) + (o + 0.5) / s - 0.5`
        HalfPixelSymmetric = 6,
    }
}

coded! {
    /// Which neighbour is the nearest. The discriminant is the code in an artifact.
    Nearest {
        /// The closer one, the lower of two.
        RoundPreferFloor = 0,
        /// The closer one; of two the one farther from zero.
        RoundPreferCeil = 1,
        /// The lower one.
        Floor = 2,
        /// The upper one.
        Ceil = 3,
        /// The upper one where the axis shrinks, else the one towards zero: `Resize` of operator set 10.
        Simple = 4,
    }
}

/// How a tensor is resampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// How elements are made.
    pub interpolation: Interpolation,
    /// Where they lie.
    pub coordinates: Coordinates,
    /// Which neighbour is taken, for [`Interpolation::Nearest`].
    pub nearest: Nearest,
    /// The filter is stretched where an axis shrinks.
    pub antialias: bool,
    /// Neighbours outside the input have no weight, else the nearest element's value.
    pub exclude_outside: bool,
    /// Keys' coefficient a.
    pub cubic: f32,
    /// Value of positions outside the input, for [`Coordinates::TfCropAndResize`].
    pub extrapolation: f32,
}

/// One axis: lengths, scale, and the part of the input that is cropped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizeAxis {
    /// Length of the input.
    pub input: usize,
    /// Length of the output.
    pub output: usize,
    /// Output elements for each of the input; above 0.
    pub scale: f32,
    /// Start and end of the part, where 0 and 1 are the ends of the axis.
    pub roi: [f32; 2],
}

impl ResizeAxis {
    /// An axis that stays.
    pub const fn unchanged(length: usize) -> Self {
        Self { input: length, output: length, scale: 1.0, roi: [0.0, 1.0] }
    }

    /// True when each element is its own nearest neighbour.
    pub fn is_unchanged(&self) -> bool {
        *self == Self::unchanged(self.input)
    }
}

/// The neighbours of one output position along one axis: `count` of them from `first` on, which may lie outside.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Neighbours {
    first: i64,
    count: usize,
    /// Position in the input.
    center: f32,
    /// 1, or the scale where the filter is stretched.
    squeeze: f32,
    /// What weights are divided by.
    sum: f32,
    /// False when the position has the extrapolation value.
    inside: bool,
}

impl Neighbours {
    const ONE: Self = Self { first: 0, count: 1, center: 0.0, squeeze: 1.0, sum: 1.0, inside: true };

    fn at(first: i64) -> Self {
        Self { first, ..Self::ONE }
    }
}

impl Resampling {
    /// Position in the input of output position `at`.
    fn center(&self, axis: &ResizeAxis, at: usize) -> f32 {
        let (o, scale, [start, end]) = (at as f32, axis.scale, axis.roi);
        let (input, output) = (axis.input as f32, axis.output as f32);
        match self.coordinates {
            Coordinates::HalfPixel => (o + 0.5) / scale - 0.5,
            Coordinates::Asymmetric => o / scale,
            Coordinates::PytorchHalfPixel if axis.output > 1 => (o + 0.5) / scale - 0.5,
            Coordinates::PytorchHalfPixel => 0.0,
            Coordinates::TfHalfPixelForNearest => (o + 0.5) / scale,
            Coordinates::AlignCorners if axis.output > 1 => o * (input - 1.0) / (output - 1.0),
            Coordinates::AlignCorners => 0.0,
            Coordinates::TfCropAndResize if axis.output > 1 => {
                start * (input - 1.0) + (o * (end - start) * (input - 1.0)) / (output - 1.0)
            }
            Coordinates::TfCropAndResize => 0.5 * (start + end) * (input - 1.0),
            Coordinates::HalfPixelSymmetric => {
                let adjustment = output / (scale * input);
                let offset = f64::from(input / 2.0 * (1.0 - adjustment));
                (offset + (f64::from(o) + 0.5) / f64::from(scale) - 0.5) as f32
            }
        }
    }

    /// The neighbour that [`Interpolation::Nearest`] takes.
    fn nearest(&self, axis: &ResizeAxis, center: f32) -> i64 {
        let towards_zero = center as i64;
        let taken = match self.nearest {
            Nearest::RoundPreferFloor if center == towards_zero as f32 + 0.5 => center - 0.5,
            Nearest::RoundPreferFloor | Nearest::RoundPreferCeil => libm::roundf(center),
            Nearest::Floor => libm::floorf(center),
            Nearest::Ceil => libm::ceilf(center),
            Nearest::Simple if axis.scale < 1.0 => libm::ceilf(center),
            Nearest::Simple => libm::truncf(center),
        };
        (taken as i64).clamp(0, (axis.input as i64).saturating_sub(1))
    }

    fn neighbours(&self, axis: &ResizeAxis, at: usize) -> Neighbours {
        if axis.is_unchanged() {
            return Neighbours::at(at as i64);
        }
        let center = self.center(axis, at);
        let last = axis.input as f32 - 1.0;
        let inside = self.coordinates != Coordinates::TfCropAndResize || (center >= 0.0 && center <= last);
        if self.interpolation == Interpolation::Nearest {
            return Neighbours { inside, ..Neighbours::at(self.nearest(axis, center)) };
        }
        let squeeze = if self.antialias && axis.scale < 1.0 { axis.scale } else { 1.0 };
        let support = if self.interpolation == Interpolation::Cubic { 2.0 } else { 1.0 };
        let reach = (-libm::floorf(-support / squeeze)) as i64;
        let first = (libm::floorf(center) as i64).saturating_sub(reach).saturating_add(1);
        let count = usize::try_from(reach.saturating_mul(2)).unwrap_or(0);
        let mut neighbours = Neighbours { first, count, center, squeeze, sum: 1.0, inside };
        if self.antialias || self.exclude_outside {
            let sum = (0..count).fold(0.0, |sum, tap| sum + self.weight(axis, &neighbours, tap));
            neighbours.sum = if sum == 0.0 { 1.0 } else { sum };
        }
        neighbours
    }

    /// The weight of one of an axis's neighbours.
    fn weight(&self, axis: &ResizeAxis, neighbours: &Neighbours, tap: usize) -> f32 {
        if neighbours.count == 1 {
            return 1.0;
        }
        let at = neighbours.first.saturating_add(tap as i64);
        if self.exclude_outside && (at < 0 || at >= axis.input as i64) {
            return 0.0;
        }
        let distance = libm::fabsf((at as f32 - neighbours.center) * neighbours.squeeze);
        let weight = match self.interpolation {
            Interpolation::Cubic => cubic_weight(distance, self.cubic),
            _ if distance < 1.0 => 1.0 - distance,
            _ => 0.0,
        };
        weight / neighbours.sum
    }
}

/// Keys' kernel with coefficient `a` at a distance of 0 or more.
pub fn cubic_weight(distance: f32, a: f32) -> f32 {
    let x = distance;
    if x <= 1.0 {
        ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a
    } else {
        0.0
    }
}

/// The axes of a tensor that change, the elements that stand together in one step of the last of them, and walks over both.
struct Walker {
    axes: [ResizeAxis; MAX_RANK],
    neighbours: [Neighbours; MAX_RANK],
    rank: usize,
    /// Elements after the last axis that changes.
    block: usize,
}

impl Walker {
    fn new(axes: &[ResizeAxis; MAX_RANK], rank: usize) -> Self {
        let axis = |axis: usize| axes.get(axis).copied().unwrap_or(ResizeAxis::unchanged(1));
        let (mut kept, mut block) = (rank.min(MAX_RANK), 1usize);
        while kept > 0 && axis(kept - 1).is_unchanged() {
            block = block.saturating_mul(axis(kept - 1).input);
            kept -= 1;
        }
        Self { axes: *axes, neighbours: [Neighbours::ONE; MAX_RANK], rank: kept, block }
    }

    /// Calls `visit` with each block of the output, the walker's neighbours being that block's.
    fn for_each_block<T>(&mut self, how: &Resampling, out: &mut [T], mut visit: impl FnMut(&Self, &mut [T])) {
        if self.block == 0 {
            return;
        }
        let mut position = [0usize; MAX_RANK];
        // Axes from this one on have moved.
        let mut moved = 0;
        for block in out.chunks_exact_mut(self.block) {
            let axes = self.neighbours.iter_mut().zip(&self.axes).zip(&position);
            for ((neighbours, axis), &at) in axes.take(self.rank).skip(moved) {
                *neighbours = how.neighbours(axis, at);
            }
            visit(self, block);
            moved = self.rank;
            while moved > 0 {
                moved -= 1;
                position[moved] += 1;
                if position[moved] < self.axes[moved].output {
                    break;
                }
                position[moved] = 0;
            }
        }
    }

    /// Calls `visit` with the weight and the first element of each block of the input that the current one is made of.
    fn for_each_source(&self, how: &Resampling, mut visit: impl FnMut(f32, usize)) {
        let mut taps = [0usize; MAX_RANK];
        loop {
            let (mut weight, mut at) = (1.0, 0usize);
            for ((axis, neighbours), &tap) in self.axes.iter().zip(&self.neighbours).zip(&taps).take(self.rank) {
                weight *= how.weight(axis, neighbours, tap);
                let position = neighbours.first.saturating_add(tap as i64).max(0) as usize;
                at = at.saturating_mul(axis.input).saturating_add(position.min(axis.input.saturating_sub(1)));
            }
            visit(weight, at.saturating_mul(self.block));
            let mut axis = self.rank;
            loop {
                let Some(previous) = axis.checked_sub(1) else { return };
                axis = previous;
                taps[axis] += 1;
                if taps[axis] < self.neighbours[axis].count {
                    break;
                }
                taps[axis] = 0;
            }
        }
    }

    fn is_inside(&self) -> bool {
        self.neighbours.iter().take(self.rank).all(|neighbours| neighbours.inside)
    }
}

/// `out = sum over the neighbours, in C order, of weight * input`; a neighbour's weight is the product of its axes' weights.
pub fn resize<F: Float>(how: &Resampling, axes: &[ResizeAxis; MAX_RANK], rank: usize, input: &[F], out: &mut [F]) {
    Walker::new(axes, rank).for_each_block(how, out, |walker, block| {
        if !walker.is_inside() {
            block.fill(F::from_f64(how.extrapolation.into()));
            return;
        }
        block.fill(F::ZERO);
        walker.for_each_source(how, |weight, at| {
            let weight = F::from_f64(weight.into());
            for (out, &x) in block.iter_mut().zip(input.get(at..).unwrap_or_default()) {
                *out = *out + weight * x;
            }
        });
    });
}

/// As [`resize`] for [`Interpolation::Nearest`], for elements of any type of `width` bytes; positions outside become zeros.
pub fn resize_nearest(
    how: &Resampling,
    axes: &[ResizeAxis; MAX_RANK],
    dims: &Dims,
    width: usize,
    input: &[u8],
    out: &mut [u8],
) {
    let mut walker = Walker::new(axes, dims.len());
    walker.block = walker.block.saturating_mul(width);
    walker.for_each_block(how, out, |walker, block| {
        if !walker.is_inside() {
            block.fill(0);
            return;
        }
        walker.for_each_source(how, |_, at| {
            if let Some(source) = input.get(at..at.saturating_add(block.len())) {
                block.copy_from_slice(source);
            }
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOW: Resampling = Resampling {
        interpolation: Interpolation::Linear,
        coordinates: Coordinates::HalfPixel,
        nearest: Nearest::RoundPreferFloor,
        antialias: false,
        exclude_outside: false,
        cubic: -0.75,
        extrapolation: 9.0,
    };

    fn resized<const N: usize>(how: &Resampling, input: &[f32], scale: f32, roi: [f32; 2]) -> [f32; N] {
        let mut axes = [ResizeAxis::unchanged(1); MAX_RANK];
        axes[0] = ResizeAxis { input: input.len(), output: N, scale, roi };
        let mut out = [0.0; N];
        resize(how, &axes, 1, input, &mut out);
        out
    }

    #[test]
    fn one_axis_in_every_interpolation() {
        let x = [1.0, 2.0, 4.0];
        assert_eq!(resized(&HOW, &x, 2.0, [0.0, 1.0]), [1.0, 1.25, 1.75, 2.5, 3.5, 4.0]);
        let nearest = Resampling { interpolation: Interpolation::Nearest, ..HOW };
        assert_eq!(resized(&nearest, &x, 2.0, [0.0, 1.0]), [1.0, 1.0, 2.0, 2.0, 4.0, 4.0]);
        let corners = Resampling { coordinates: Coordinates::AlignCorners, ..HOW };
        assert_eq!(resized(&corners, &x, 5.0 / 3.0, [0.0, 1.0]), [1.0, 1.5, 2.0, 3.0, 4.0]);
        let cubic = Resampling { interpolation: Interpolation::Cubic, ..corners };
        assert_eq!(resized(&cubic, &x, 1.0, [0.0, 1.0]), x);
        let cropped = Resampling { coordinates: Coordinates::TfCropAndResize, ..HOW };
        assert_eq!(resized(&cropped, &x, 1.0, [-0.5, 0.5]), [9.0, 1.0, 2.0]);
        let smooth = Resampling { antialias: true, ..HOW };
        assert_eq!(resized(&smooth, &[1.0, 3.0, 5.0, 7.0], 0.5, [0.0, 1.0]), [2.25, 5.75]);
    }

    #[test]
    fn any_numbers_are_taken() {
        for coordinates in (0..=6).filter_map(Coordinates::from_code) {
            for roi in [[f32::NAN, 1.0], [f32::NEG_INFINITY, f32::INFINITY], [-1e30, 1e30]] {
                for interpolation in [Interpolation::Nearest, Interpolation::Linear, Interpolation::Cubic] {
                    let how = Resampling { coordinates, interpolation, exclude_outside: true, antialias: true, ..HOW };
                    resized::<2>(&how, &[1.0, f32::NAN, 3.0, f32::INFINITY], 0.5, roi);
                }
            }
        }
    }
}
