//! Comparison of int8 tensors of different scales, as TFLite's reference kernel does it (`reference/comparisons.h`).

use super::broadcast::Walk;
use super::compare::CompareKind;
use super::fixed_point::Factor;

/// Bits by which inputs are shifted left before they are scaled.
const LEFT_SHIFT: u32 = 8;

/// What an int8 input stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Comparand {
    /// Stored value of real zero.
    pub zero: i8,
    /// The scale.
    pub factor: Factor,
}

impl Comparand {
    fn scaled(&self, value: i8) -> i32 {
        let value = i32::from(value) - i32::from(self.zero);
        self.factor.apply(value.wrapping_shl(LEFT_SHIFT))
    }
}

/// Compares `a.factor * ((x - a.zero) << 8)` with `b.factor * ((y - b.zero) << 8)`, products rounded twice as [`Factor::apply`] does,
/// with `walk` broadcasting x and y. Writes 0 or 1.
pub fn compare(kind: CompareKind, comparands: [Comparand; 2], inputs: [&[i8]; 2], out: &mut [u8], walk: &Walk) {
    let [a, b] = comparands;
    let [x, y] = inputs;
    let elements = out.len();
    let mut slots = out.iter_mut();
    walk.for_each(elements, |[at_x, at_y, _]| {
        if let (Some(out), Some(&x), Some(&y)) = (slots.next(), x.get(at_x), y.get(at_y)) {
            *out = kind.holds(a.scaled(x), b.scaled(y)).into();
        }
    });
}
