//! Sums of quantized elements over axes, rescaled.

use super::fixed_point::{Factor, Stored, Target};
use crate::tensor::{Dims, MAX_RANK};

/// Steps through some of the axes of a tensor in C order.
#[derive(Clone, Copy, Debug, Default)]
struct Odometer {
    lengths: [usize; MAX_RANK],
    strides: [usize; MAX_RANK],
    index: [usize; MAX_RANK],
    offset: usize,
}

impl Odometer {
    /// Over the axes of `dims` that `takes` tells.
    fn new(dims: &Dims, takes: impl Fn(usize) -> bool) -> Self {
        let mut odometer = Self { lengths: [1; MAX_RANK], ..Self::default() };
        let mut stride = 1usize;
        for (axis, &length) in dims.iter().enumerate().rev() {
            if takes(axis) {
                odometer.lengths[axis] = length;
                odometer.strides[axis] = stride;
            }
            stride = stride.saturating_mul(length);
        }
        odometer
    }

    fn step(&mut self) {
        for axis in (0..MAX_RANK).rev() {
            self.index[axis] += 1;
            self.offset = self.offset.wrapping_add(self.strides[axis]);
            if self.index[axis] < self.lengths[axis] {
                return;
            }
            self.offset = self.offset.wrapping_sub(self.strides[axis].wrapping_mul(self.lengths[axis]));
            self.index[axis] = 0;
        }
    }
}

/// `clip(factor * sum of (x - input zero) + zero)` over the axes that `reduces` tells, the factor rounded twice; sums wrap.
pub fn reduce<T: Stored>(
    dims: &Dims,
    reduces: impl Fn(usize) -> bool,
    (input, zero): (&[T], i16),
    (factor, target): (Factor, Target<i16>),
    out: &mut [T],
) {
    let mut outer = Odometer::new(dims, |axis| !reduces(axis));
    let inner = Odometer::new(dims, &reduces);
    let count = inner.lengths.iter().fold(1usize, |count, &length| count.saturating_mul(length));
    for out in out {
        let (mut sum, mut at) = (0i32, inner);
        for _ in 0..count {
            let x = input.get(outer.offset.wrapping_add(at.offset)).map_or(0, |&x| x.into() - i32::from(zero));
            sum = sum.wrapping_add(x);
            at.step();
        }
        *out = T::saturate(target.store(factor.apply(sum)).into());
        outer.step();
    }
}
