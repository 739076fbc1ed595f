//! Functions of one quantized element that are straight on both sides of zero.

use super::fixed_point::{Factor, Stored};

/// A slope for each side of zero.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slopes {
    /// Stored value of real zero in the input.
    pub input_zero: i32,
    /// What negative values are multiplied with.
    pub negative: Factor,
    /// What other values are multiplied with.
    pub positive: Factor,
    /// Negative values are negated first.
    pub absolute: bool,
    /// Stored value of real zero in the result.
    pub zero: i32,
}

impl Slopes {
    /// The result for a stored value, before it is clipped.
    pub fn value(&self, stored: i32) -> i32 {
        let x = stored.wrapping_sub(self.input_zero);
        let scaled = match (x < 0, self.absolute) {
            (false, _) => self.positive.apply(x),
            (true, false) => self.negative.apply(x),
            (true, true) => self.negative.apply(x.wrapping_neg()),
        };
        scaled.wrapping_add(self.zero)
    }
}

/// `saturate(factor * (x - input zero) + zero)`, the factor of the side that the element is on, rounded twice.
pub fn rescale<I: Stored, O: Stored>(slopes: &Slopes, input: &[I], out: &mut [O]) {
    for (out, &x) in out.iter_mut().zip(input) {
        *out = O::saturate(slopes.value(x.into()));
    }
}
