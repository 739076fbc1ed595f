//! Arithmetic on pairs of elements.

use super::broadcast::Walk;
use super::float::Float;
use super::integer::Narrow;

/// How two elements are combined. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BinaryKind {
    /// a + b.
    Add = 0,
    /// a - b.
    Sub = 1,
    /// a * b.
    Mul = 2,
    /// a / b; integers truncate, and give 0 for b = 0.
    Div = 3,
    /// The smaller; NaN if either is.
    Min = 4,
    /// The larger; NaN if either is.
    Max = 5,
    /// a to the power of b; for integers, 0 for a negative b unless a is 1 or -1.
    Pow = 6,
    /// Remainder with the sign of a (C's fmod and %); integers give 0 for b = 0.
    Rem = 7,
    /// Remainder with the sign of b (Python's %); integers give 0 for b = 0.
    Mod = 8,
    /// a for a >= 0, a * b below: a rectifier whose slope is a tensor. NaN stays.
    PRelu = 9,
    /// Bitwise and, of integers; floats and the kinds after this one give a.
    And = 10,
    /// Bitwise or.
    Or = 11,
    /// Bitwise exclusive or.
    Xor = 12,
    /// a shifted left by b bits; 0 where b is negative or not less than the bits of the type.
    ShiftLeft = 13,
    /// a shifted right by b bits, with copies of the sign; nothing but those where b is negative or not less than the bits of the
    /// type.
    ShiftRight = 14,
}

impl BinaryKind {
    const ALL: [Self; 15] = [
        Self::Add,
        Self::Sub,
        Self::Mul,
        Self::Div,
        Self::Min,
        Self::Max,
        Self::Pow,
        Self::Rem,
        Self::Mod,
        Self::PRelu,
        Self::And,
        Self::Or,
        Self::Xor,
        Self::ShiftLeft,
        Self::ShiftRight,
    ];

    /// True for the combinations of bits, which floats do not have.
    pub const fn is_bitwise(self) -> bool {
        matches!(self, Self::And | Self::Or | Self::Xor | Self::ShiftLeft | Self::ShiftRight)
    }

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The combination with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// A number that [`binary`] computes with.
pub trait Number: Copy {
    /// The combination of two numbers.
    fn combine(kind: BinaryKind, a: Self, b: Self) -> Self;
}

macro_rules! float_number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn combine(kind: BinaryKind, a: Self, b: Self) -> Self {
                match kind {
                    BinaryKind::Add => a + b,
                    BinaryKind::Sub => a - b,
                    BinaryKind::Mul => a * b,
                    BinaryKind::Div => a / b,
                    BinaryKind::Min => if a < b || a.is_nan() { a } else { b },
                    BinaryKind::Max => if a > b || a.is_nan() { a } else { b },
                    BinaryKind::Pow => Float::pow(a, b),
                    BinaryKind::Rem => Float::rem(a, b),
                    BinaryKind::Mod => {
                        let remainder = Float::rem(a, b);
                        if remainder == 0.0 {
                            return if b < 0.0 { -0.0 } else { 0.0 };
                        }
                        if (remainder < 0.0) != (b < 0.0) { remainder + b } else { remainder }
                    }
                    BinaryKind::PRelu => if a < 0.0 { a * b } else { a },
                    _ => a,
                }
            }
        }
    )*};
}
float_number!(f32, f64);

macro_rules! integer_number {
    ($($type:ty, $signed:literal;)*) => {$(
        impl Number for $type {
            fn combine(kind: BinaryKind, a: Self, b: Self) -> Self {
                #[allow(unused_comparisons, reason = "the same formulas hold for types without a sign")]
                let (a_below, b_below) = (a < 0, b < 0);
                let bits = || if b_below { None } else { u32::try_from(b).ok() };
                match kind {
                    BinaryKind::Add => a.wrapping_add(b),
                    BinaryKind::Sub => a.wrapping_sub(b),
                    BinaryKind::Mul => a.wrapping_mul(b),
                    BinaryKind::Div => if b == 0 { 0 } else { a.wrapping_div(b) },
                    BinaryKind::Min => a.min(b),
                    BinaryKind::Max => a.max(b),
                    BinaryKind::Pow if b_below => match a {
                        1 => 1,
                        _ if a_below && a.wrapping_add(1) == 0 => if b % 2 == 0 { 1 } else { a },
                        _ => 0,
                    },
                    BinaryKind::Pow => power(b as u64, 1, a, Self::wrapping_mul),
                    BinaryKind::Rem => if b == 0 { 0 } else { a.wrapping_rem(b) },
                    BinaryKind::Mod => {
                        let remainder = if b == 0 { 0 } else { a.wrapping_rem(b) };
                        let crosses = $signed && remainder != 0 && (remainder ^ b) >> (Self::BITS - 1) != 0;
                        if crosses { remainder.wrapping_add(b) } else { remainder }
                    }
                    BinaryKind::PRelu => if a_below { a.wrapping_mul(b) } else { a },
                    BinaryKind::And => a & b,
                    BinaryKind::Or => a | b,
                    BinaryKind::Xor => a ^ b,
                    BinaryKind::ShiftLeft => bits().and_then(|bits| a.checked_shl(bits)).unwrap_or(0),
                    BinaryKind::ShiftRight => {
                        bits().and_then(|bits| a.checked_shr(bits)).unwrap_or(if a_below { Self::MAX ^ Self::MIN } else { 0 })
                    }
                }
            }
        }
    )*};
}
integer_number!(i32, true; i64, true; u64, false;);

/// `one` times `base` to the power of `exponent`.
fn power<T: Copy>(mut exponent: u64, one: T, mut base: T, multiply: impl Fn(T, T) -> T) -> T {
    let mut product = one;
    while exponent > 0 {
        if exponent & 1 == 1 {
            product = multiply(product, base);
        }
        base = multiply(base, base);
        exponent >>= 1;
    }
    product
}

/// `out[i] = combine(out[i], other[walk])`, or `combine(other[walk], out[i])` when `swapped`.
pub fn binary<T: Number>(kind: BinaryKind, swapped: bool, other: &[T], out: &mut [T], walk: &Walk) {
    walk.zip(out, other, |out, other| {
        let (a, b) = if swapped { (other, *out) } else { (*out, other) };
        *out = T::combine(kind, a, b);
    });
}

/// As [`binary`] for integers of one, two or four bytes: computed as `i64`, of which the lowest bytes are kept.
pub fn binary_narrow(kind: BinaryKind, swapped: bool, narrow: Narrow, other: &[u8], out: &mut [u8], walk: &Walk) {
    let elements = out.len() / narrow.width.max(1);
    let mut at = 0;
    walk.for_each(elements, |[at_other, ..]| {
        if let (Some(held), Some(other)) = (narrow.get(out, at), narrow.get(other, at_other)) {
            let (a, b) = if swapped { (other, held) } else { (held, other) };
            narrow.put(out, at, i64::combine(kind, a, b));
        }
        at += 1;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_wrap_and_are_total() {
        let kinds = (0..15).map(|code| BinaryKind::from_code(code).unwrap());
        for kind in kinds {
            for a in [i32::MIN, -7, -1, 0, 1, 7, i32::MAX] {
                for b in [i32::MIN, -7, -1, 0, 1, 7, 31, 32, i32::MAX] {
                    let narrow = i64::combine(kind, a.into(), b.into()) as i32;
                    assert_eq!(i32::combine(kind, a, b), narrow, "{kind:?} {a} {b}");
                }
            }
        }
    }

    #[test]
    fn powers_of_integers() {
        let power = |a: i32, b: i32| i32::combine(BinaryKind::Pow, a, b);
        assert_eq!(
            [power(3, 4), power(-1, -3), power(-1, -4), power(2, -1), power(1, -9), power(-1, i32::MAX)],
            [81, -1, 1, 0, 1, -1]
        );
        assert_eq!(u64::combine(BinaryKind::Pow, 10, 19), 10_000_000_000_000_000_000);
    }

    #[test]
    fn remainders_take_a_sign() {
        let (floor, truncate) = (BinaryKind::Mod, BinaryKind::Rem);
        assert_eq!(
            [i64::combine(floor, -4, 3), i64::combine(floor, 4, -3), i64::combine(truncate, -4, 3)],
            [2, -2, -1]
        );
        assert_eq!(f32::combine(floor, 1.0, f32::NEG_INFINITY), f32::NEG_INFINITY);
        assert!(f32::combine(floor, 0.0, -2.0).is_sign_negative());
    }
}
