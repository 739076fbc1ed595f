//! Arithmetic on two quantized tensors of different scales, as TFLite's reference kernels do it.

use super::broadcast::Walk;
use super::fixed_point::{Factor, Stored, Target};

/// How two elements are combined. `x` and `y` stand for the stored values less their zero points, `s` for the left shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuantizedBinaryKind {
    /// `factor * (factors[0] * (x << s) + factors[1] * (y << s))`.
    Add,
    /// `factor * (x * y)`.
    Multiply,
    /// `factor * (factors[0] * (x << s) - factors[1] * (y << s))^2`.
    SquaredDifference,
    /// `factors[0] * x` where x is not negative, else `factor * (x * y)`.
    PRelu,
}

impl QuantizedBinaryKind {
    const ALL: [Self; 4] = [Self::Add, Self::Multiply, Self::SquaredDifference, Self::PRelu];

    /// Code in an artifact.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Everything that the arithmetic depends on. Sums and products wrap; factors round twice ([`Factor::apply`]).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Arithmetic {
    /// The combination.
    pub kind: QuantizedBinaryKind,
    /// Bits by which the elements are shifted left before they are scaled, up to 31.
    pub left_shift: u8,
    /// Stored values of real zero.
    pub zeros: [i16; 2],
    /// What the elements are scaled with.
    pub factors: [Factor; 2],
    /// What the result is scaled with.
    pub factor: Factor,
    /// Zero point and bounds of the result.
    pub target: Target<i16>,
}

impl Arithmetic {
    fn value(&self, x: i32, y: i32) -> i32 {
        let [x, y] = [x - i32::from(self.zeros[0]), y - i32::from(self.zeros[1])];
        let shift = u32::from(self.left_shift).min(31);
        let scaled = || [self.factors[0].apply(x.wrapping_shl(shift)), self.factors[1].apply(y.wrapping_shl(shift))];
        match self.kind {
            QuantizedBinaryKind::Add => {
                let [x, y] = scaled();
                self.factor.apply(x.wrapping_add(y))
            }
            QuantizedBinaryKind::SquaredDifference => {
                let [x, y] = scaled();
                let difference = x.wrapping_sub(y);
                self.factor.apply(difference.wrapping_mul(difference))
            }
            QuantizedBinaryKind::PRelu if x >= 0 => self.factors[0].apply(x),
            QuantizedBinaryKind::Multiply | QuantizedBinaryKind::PRelu => self.factor.apply(x.wrapping_mul(y)),
        }
    }
}

/// Combines `out` with `other` in the place of the former, in the other order when `swapped`; `walk` broadcasts `other`.
pub fn binary<T: Stored>(arithmetic: &Arithmetic, swapped: bool, other: &[T], out: &mut [T], walk: &Walk) {
    walk.zip(out, other, |out, other| {
        let (x, y) = if swapped { (other, *out) } else { (*out, other) };
        let value = arithmetic.value(x.into(), y.into());
        *out = T::saturate(arithmetic.target.store(value).into());
    });
}
