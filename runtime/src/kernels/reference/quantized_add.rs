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

/// `clip(factor * (a.factor * ((x - a.zero) << 20) + b.factor * ((y - b.zero) << 20)) + zero)`, with `walk` broadcasting x and y.
pub fn add(addends: [Addend; 2], factor: Factor, target: Target, inputs: [&[i8]; 2], out: &mut [i8], walk: &Walk) {
    let [a, b] = addends;
    let [x, y] = inputs;
    let sum = |x: i8, y: i8| target.store(factor.apply(a.scaled(x).wrapping_add(b.scaled(y))));
    if x.len() == out.len() && y.len() == out.len() {
        for ((out, &x), &y) in out.iter_mut().zip(x).zip(y) {
            *out = sum(x, y);
        }
        return;
    }
    let elements = out.len();
    let mut slots = out.iter_mut();
    walk.for_each(elements, |[at_x, at_y, _]| {
        if let (Some(out), Some(&x), Some(&y)) = (slots.next(), x.get(at_x), y.get(at_y)) {
            *out = sum(x, y);
        }
    });
}
