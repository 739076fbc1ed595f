//! Arithmetic on pairs of elements.

use super::broadcast::Walk;
use super::float::Float;

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
}

impl BinaryKind {
    const ALL: [Self; 10] = [
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
    ];

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
                        if remainder != 0.0 && (remainder < 0.0) != (b < 0.0) { remainder + b } else { remainder }
                    }
                    BinaryKind::PRelu => if a < 0.0 { a * b } else { a },
                }
            }
        }
    )*};
}
float_number!(f32, f64);

macro_rules! integer_number {
    ($($type:ty),*) => {$(
        impl Number for $type {
            fn combine(kind: BinaryKind, a: Self, b: Self) -> Self {
                match kind {
                    BinaryKind::Add => a.wrapping_add(b),
                    BinaryKind::Sub => a.wrapping_sub(b),
                    BinaryKind::Mul => a.wrapping_mul(b),
                    BinaryKind::Div => if b == 0 { 0 } else { a.wrapping_div(b) },
                    BinaryKind::Min => a.min(b),
                    BinaryKind::Max => a.max(b),
                    BinaryKind::Pow => match u32::try_from(b) {
                        Ok(exponent) => a.wrapping_pow(exponent),
                        Err(_) if b > 0 => 0,
                        Err(_) => match a { 1 => 1, -1 => if b % 2 == 0 { 1 } else { -1 }, _ => 0 },
                    },
                    BinaryKind::Rem => if b == 0 { 0 } else { a.wrapping_rem(b) },
                    BinaryKind::Mod => {
                        let remainder = if b == 0 { 0 } else { a.wrapping_rem(b) };
                        if remainder != 0 && (remainder < 0) != (b < 0) { remainder + b } else { remainder }
                    }
                    BinaryKind::PRelu => if a < 0 { a.wrapping_mul(b) } else { a },
                }
            }
        }
    )*};
}
integer_number!(i32, i64);

/// `out[i] = combine(out[i], other[walk])`, or `combine(other[walk], out[i])` when `swapped`.
pub fn binary<T: Number>(kind: BinaryKind, swapped: bool, other: &[T], out: &mut [T], walk: &Walk) {
    walk.zip(out, other, |out, other| {
        let (a, b) = if swapped { (other, *out) } else { (*out, other) };
        *out = T::combine(kind, a, b);
    });
}
