//! Combinations that every element type has: sums, products and extremes.

/// How an element and another become one. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Combination {
    /// The other one.
    Replace = 0,
    /// Sum; integers wrap, booleans are or-ed.
    Add = 1,
    /// Product; integers wrap, booleans are and-ed.
    Mul = 2,
    /// The smaller; NaN if either is.
    Min = 3,
    /// The larger; NaN if either is.
    Max = 4,
}

impl Combination {
    const ALL: [Self; 5] = [Self::Replace, Self::Add, Self::Mul, Self::Min, Self::Max];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The combination with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// An element that has sums, products and an order.
pub trait Combine: Copy + PartialOrd {
    /// What a sum starts from.
    const ZERO: Self;
    /// What a product starts from.
    const ONE: Self;
    /// True where the element stands before `other` when the larger come first. NaN is larger than any number.
    fn above(self, other: Self) -> bool;
    /// The combination of two elements.
    fn combine(self, kind: Combination, other: Self) -> Self;
}

macro_rules! floats {
    ($($type:ty: $zero:expr, $one:expr;)*) => {$(
        impl Combine for $type {
            const ZERO: Self = $zero;
            const ONE: Self = $one;
            fn above(self, other: Self) -> bool {
                self > other || (self.is_nan() && !other.is_nan())
            }
            fn combine(self, kind: Combination, other: Self) -> Self {
                match kind {
                    Combination::Replace => other,
                    Combination::Add => self + other,
                    Combination::Mul => self * other,
                    Combination::Min => if self < other || self.is_nan() { self } else { other },
                    Combination::Max => if self > other || self.is_nan() { self } else { other },
                }
            }
        }
    )*};
}

floats! {
    f32: 0.0, 1.0;
    f64: 0.0, 1.0;
    half::f16: half::f16::ZERO, half::f16::ONE;
    half::bf16: half::bf16::ZERO, half::bf16::ONE;
}

macro_rules! integers {
    ($($type:ty),*) => {$(
        impl Combine for $type {
            const ZERO: Self = 0;
            const ONE: Self = 1;
            fn above(self, other: Self) -> bool {
                self > other
            }
            fn combine(self, kind: Combination, other: Self) -> Self {
                match kind {
                    Combination::Replace => other,
                    Combination::Add => self.wrapping_add(other),
                    Combination::Mul => self.wrapping_mul(other),
                    Combination::Min => self.min(other),
                    Combination::Max => self.max(other),
                }
            }
        }
    )*};
}

integers!(i8, i16, i32, i64, u8, u16, u32, u64);

/// A byte that is false when zero and true otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, bytemuck::Pod, bytemuck::Zeroable)]
#[repr(transparent)]
pub struct Truth(u8);

impl Combine for Truth {
    const ZERO: Self = Self(0);
    const ONE: Self = Self(1);

    fn above(self, other: Self) -> bool {
        self.0 != 0 && other.0 == 0
    }

    fn combine(self, kind: Combination, other: Self) -> Self {
        let (a, b) = (self.0 != 0, other.0 != 0);
        Self(u8::from(match kind {
            Combination::Replace => b,
            Combination::Add | Combination::Max => a | b,
            Combination::Mul | Combination::Min => a & b,
        }))
    }
}
