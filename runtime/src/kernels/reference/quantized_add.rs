//! Sum of two int8 tensors of different scales.

use super::broadcast::Walk;
use super::fixed_point::{Factor, Target};

/// Bits by which inputs are shifted left before they are scaled.
pub const LEFT_SHIFT: u32 = 20;

/// An addend: its zero point and its factor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addend {
    /// Stored value of real zero.
    pub zero: i8,
    /// Scale over twice the larger scale of both inputs.
    pub factor: Factor,
}

impl Addend {
    fn scaled(&self, value: i8) -> i32 {
        let value = i32::from(value) - i32::from(self.zero);
        self.factor.apply(value.wrapping_shl(LEFT_SHIFT))
    }
}

/// How two tensors are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sum {
    /// How each addend is scaled.
    pub addends: [Addend; 2],
    /// How the sum is scaled.
    pub factor: Factor,
    /// Zero point and bounds of the result.
    pub target: Target,
}

impl Sum {
    /// `clip(factor * (a.factor * ((x - a.zero) << 20) + b.factor * ((y - b.zero) << 20)) + zero)`.
    pub fn of(&self, x: i8, y: i8) -> i8 {
        let [a, b] = &self.addends;
        self.target.store(self.factor.apply(a.scaled(x).wrapping_add(b.scaled(y))))
    }
}

/// Puts the sums of `out` and `other` into `out`; `walk` broadcasts `other`.
pub fn add(sum: &Sum, other: &[i8], out: &mut [i8], walk: &Walk) {
    walk.zip(out, other, |out, other| *out = sum.of(*out, other));
}
