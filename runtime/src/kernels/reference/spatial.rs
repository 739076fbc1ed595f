//! Windows over any number of axes, for kernels that have no special form for two.
//!
//! Forward, a tap sees the input position `output * stride - before + tap * dilation`. Transposed, it sees the position `input` with
//! `input * stride = output + before - tap * dilation`, if there is one: the sum that a forward window would scatter, gathered.

use super::coded::coded;
use super::window::WindowAxis;
use crate::tensor::MAX_RANK;

/// The most axes that a window slides over: all but the batch and the channels.
pub const MAX_SPATIAL: usize = MAX_RANK - 2;

/// Lengths of a few axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    lengths: [usize; MAX_SPATIAL],
    axes: usize,
}

impl Lengths {
    /// The lengths in this order; axes after the first [`MAX_SPATIAL`] are left out.
    pub fn new(lengths: impl IntoIterator<Item = usize>) -> Self {
        let mut all = Self { lengths: [1; MAX_SPATIAL], axes: 0 };
        for (slot, length) in all.lengths.iter_mut().zip(lengths) {
            *slot = length;
            all.axes += 1;
        }
        all
    }

    /// Number of positions.
    pub fn positions(&self) -> usize {
        self.iter().fold(1, |product, &length| product.saturating_mul(length))
    }

    /// Calls `visit` with each position, in C order.
    pub fn for_each(&self, mut visit: impl FnMut(&[usize])) {
        let mut position = [0; MAX_SPATIAL];
        for _ in 0..self.positions() {
            visit(position.get(..self.axes).unwrap_or_default());
            for (at, &length) in position.iter_mut().zip(self.iter()).rev() {
                *at += 1;
                if *at < length {
                    break;
                }
                *at = 0;
            }
        }
    }
}

impl core::ops::Deref for Lengths {
    type Target = [usize];
    fn deref(&self) -> &[usize] {
        self.lengths.get(..self.axes).unwrap_or_default()
    }
}

coded! {
    /// Which of the two sums a window stands for. The discriminant is the code in an artifact.
    Direction {
        /// From the window's elements to one.
        Forward = 0,
        /// From one element to the window's.
        Transposed = 1,
    }
}

impl Direction {
    /// The input position that `tap` sees from output position `position`, before it is compared with the input's length.
    fn seen(self, axis: &WindowAxis, position: usize, tap: usize) -> Option<usize> {
        let (stride, before) = (axis.stride as usize, axis.before as usize);
        let reach = tap.checked_mul(axis.dilation as usize)?;
        match self {
            Self::Forward => position.checked_mul(stride)?.checked_add(reach)?.checked_sub(before),
            Self::Transposed => {
                let start = position.checked_add(before)?.checked_sub(reach)?;
                (start.checked_rem(stride)? == 0).then(|| start / stride)
            }
        }
    }
}

/// A window, its kernel's lengths, and the lengths of what it turns into one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sweep {
    /// Which sum it is.
    pub direction: Direction,
    /// How it moves along each axis.
    pub axes: [WindowAxis; MAX_SPATIAL],
    /// The input's axes.
    pub input: Lengths,
    /// Taps along each axis.
    pub kernel: Lengths,
    /// The output's axes.
    pub output: Lengths,
}

impl Sweep {
    /// Calls `visit` with the number of each tap that sees an input position from `position`, and that position's number.
    pub fn for_each_tap(&self, position: &[usize], mut visit: impl FnMut(usize, usize)) {
        let mut first = [0; MAX_SPATIAL];
        let axes = self.axes.iter().zip(self.kernel.iter()).zip(self.input.iter()).zip(position);
        let counts = Lengths::new(axes.zip(&mut first).map(|((((axis, &kernel), &length), &at), first)| {
            if self.direction == Direction::Transposed {
                return kernel;
            }
            let taps = axis.taps(at, length, kernel);
            *first = taps.first;
            taps.count
        }));
        counts.for_each(|taps| {
            let (mut number, mut at) = (0usize, 0usize);
            for (axis, (((window, &length), &kernel), &position)) in
                self.axes.iter().zip(self.input.iter()).zip(self.kernel.iter()).zip(position).enumerate()
            {
                let tap = taps.get(axis).copied().unwrap_or(0).saturating_add(first.get(axis).copied().unwrap_or(0));
                let seen = self.direction.seen(window, position, tap).filter(|&seen| seen < length);
                let Some(seen) = seen else { return };
                at = at.saturating_mul(length).saturating_add(seen);
                number = number.saturating_mul(kernel).saturating_add(tap);
            }
            visit(number, at);
        });
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;

    #[test]
    fn transposed_windows_see_what_forward_windows_show() {
        for (stride, dilation, before) in [(1, 1, 0), (2, 1, 1), (3, 2, 2), (2, 3, 0)] {
            let axis = WindowAxis { stride, dilation, before, after: 0 };
            let (small, large, taps) = (5, 11, 3);
            let pairs = |direction, input: usize, output: usize| {
                let sweep = Sweep {
                    direction,
                    axes: [axis; MAX_SPATIAL],
                    input: Lengths::new([input]),
                    kernel: Lengths::new([taps]),
                    output: Lengths::new([output]),
                };
                let mut pairs = Vec::new();
                sweep.output.for_each(|at| sweep.for_each_tap(at, |tap, seen| pairs.push((tap, seen, at[0]))));
                pairs
            };
            let mut forward = pairs(Direction::Forward, large, small);
            let mut back: Vec<_> =
                pairs(Direction::Transposed, small, large).into_iter().map(|(tap, seen, at)| (tap, at, seen)).collect();
            forward.sort_unstable();
            back.sort_unstable();
            assert_eq!(forward, back);
        }
    }

    #[test]
    fn positions_come_in_c_order() {
        let mut all = Vec::new();
        Lengths::new([2, 1, 3]).for_each(|at| all.push([at[0], at[1], at[2]]));
        assert_eq!(all, [[0, 0, 0], [0, 0, 1], [0, 0, 2], [1, 0, 0], [1, 0, 1], [1, 0, 2]]);
        Lengths::new([2, 0]).for_each(|_| panic!());
    }
}
