//! Multiplication of 32-bit integers by real factors, in integers, as gemmlowp and TFLite's reference kernels do it.
//!
//! All functions wrap where TFLite's are undefined, and clamp shifts to 31 bits.

/// `a * b / 2^31`, rounded to the nearest, halves away from zero; saturates for two times `i32::MIN`.
pub fn high_mul(a: i32, b: i32) -> i32 {
    if a == i32::MIN && b == i32::MIN {
        return i32::MAX;
    }
    let product = i64::from(a) * i64::from(b);
    let nudge = if product >= 0 { 1 << 30 } else { 1 - (1 << 30) };
    ((product + nudge) / (1 << 31)) as i32
}

/// `x / 2^exponent`, rounded to the nearest, halves away from zero.
pub fn rounding_shift(x: i32, exponent: u32) -> i32 {
    let exponent = exponent.min(31);
    let mask = ((1u32 << exponent) - 1) as i32;
    let threshold = (mask >> 1) + i32::from(x < 0);
    (x >> exponent) + i32::from((x & mask) > threshold)
}

/// `x * 2^exponent`, saturated.
pub fn saturating_shift(x: i32, exponent: u32) -> i32 {
    let limit = i32::MAX >> exponent.min(31);
    if x > limit {
        i32::MAX
    } else if x < -limit {
        i32::MIN
    } else {
        x << exponent.min(31)
    }
}

/// The factor `multiplier * 2^(shift - 31)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Factor {
    /// Significand, usually from 2^30 to 2^31 - 1.
    pub multiplier: i32,
    /// Exponent, -31 to 31.
    pub shift: i32,
}

impl Factor {
    /// `x` times the factor: shifts left, multiplies ([`high_mul`]), then shifts right ([`rounding_shift`]): two roundings.
    pub fn apply(self, x: i32) -> i32 {
        let left = self.shift.clamp(0, 31) as u32;
        let right = self.shift.saturating_neg().clamp(0, 31) as u32;
        rounding_shift(high_mul(x.wrapping_shl(left), self.multiplier), right)
    }

    /// `x` times the factor, rounded once: to the nearest, halves up.
    pub fn apply_exactly(self, x: i32) -> i32 {
        let shift = 31 - self.shift.clamp(-31, 30);
        let product = i64::from(x) * i64::from(self.multiplier);
        (product.wrapping_add(1 << (shift - 1)) >> shift) as i32
    }
}

/// Multiplication of 64-bit sums, which 16-bit activations need.
impl Factor {
    /// `x` times the factor, whose multiplier is rounded to 16 bits first; rounded once, halves up.
    pub fn apply_wide(self, x: i64) -> i32 {
        let multiplier = if self.multiplier < 0x7FFF_0000 { (self.multiplier + (1 << 15)) >> 16 } else { 0x7FFF };
        let shift = 15 - self.shift.clamp(-31, 14);
        (x.wrapping_mul(multiplier.into()).wrapping_add(1 << (shift - 1)) >> shift) as i32
    }
}

/// Multiplication of 64-bit sums without loss.
impl Factor {
    /// `x` times the factor, rounded once: to the nearest, halves away from zero, and saturated.
    pub fn apply_wide_exactly(self, x: i64) -> i32 {
        let shift = 31 - self.shift.clamp(-31, 30);
        let product = i128::from(x) * i128::from(self.multiplier);
        let half = 1i128 << (shift - 1);
        let rounded = if product < 0 { -((half - product) >> shift) } else { (product + half) >> shift };
        rounded.clamp(i32::MIN.into(), i32::MAX.into()) as i32
    }
}

/// A factor for each channel, or one for all.
#[derive(Clone, Copy, Debug)]
pub struct Factors<'a> {
    /// Significands.
    pub multipliers: &'a [i32],
    /// Exponents.
    pub shifts: &'a [i32],
}

impl Factors<'_> {
    /// The factor of a channel: a list of one holds for all of them.
    pub fn at(&self, channel: usize) -> Factor {
        let pick = |list: &[i32]| list.get(channel).or(list.first()).copied().unwrap_or(0);
        Factor { multiplier: pick(self.multipliers), shift: pick(self.shifts) }
    }
}

/// Integers that quantized tensors hold.
pub trait Stored: Copy + Into<i32> {
    /// The nearest value of this type.
    fn saturate(value: i32) -> Self;
}

macro_rules! stored {
    ($($type:ty),*) => {$(
        impl Stored for $type {
            fn saturate(value: i32) -> Self {
                value.clamp(<$type>::MIN.into(), <$type>::MAX.into()) as $type
            }
        }
    )*};
}
stored!(i8, u8, i16, i32);

/// Where results of integer arithmetic go in a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<T = i8> {
    /// Stored value of real zero; added to results.
    pub zero: T,
    /// Lowest value, of a fused activation or the type.
    pub low: T,
    /// Highest value, not below `low`.
    pub high: T,
}

impl<T: Stored> Target<T> {
    /// Adds the zero point and clips.
    pub fn store(&self, value: i32) -> T {
        self.clip(value.wrapping_add(self.zero.into()))
    }

    /// Clips a value that already stands where it should.
    pub fn clip(&self, value: i32) -> T {
        let low = self.low.into();
        T::saturate(value.clamp(low, self.high.into().max(low)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_and_quotients_round_to_nearest() {
        assert_eq!(high_mul(i32::MIN, i32::MIN), i32::MAX);
        assert_eq!(high_mul(1 << 30, 3), 2, "1.5 rounds away from zero");
        assert_eq!(high_mul(-(1 << 30), 3), -1, "the nudge for negative products leaves -1.5 at -1");
        assert_eq!([5, 6, 7, -5, -6, -7, -2].map(|x| rounding_shift(x, 2)), [1, 2, 2, -1, -2, -2, -1]);
        assert_eq!(rounding_shift(i32::MAX, 31), 1);
        assert_eq!(rounding_shift(i32::MIN, 31), -1);
        assert_eq!(rounding_shift(i32::MIN, 99), -1);
        assert_eq!([1, i32::MAX, i32::MIN, -3].map(|x| saturating_shift(x, 2)), [4, i32::MAX, i32::MIN, -12]);
    }

    #[test]
    fn factors_are_total_on_any_exponent() {
        for shift in [i32::MIN, -32, -31, 0, 31, 32, i32::MAX] {
            for x in [i32::MIN, -1, 0, 1, i32::MAX] {
                Factor { multiplier: i32::MIN, shift }.apply(x);
                Factor { multiplier: i32::MAX, shift }.apply(x);
                Factor { multiplier: i32::MIN, shift }.apply_exactly(x);
            }
        }
        assert_eq!(Factor { multiplier: 1 << 30, shift: 1 }.apply(77), 77);
        assert_eq!(Factor { multiplier: 1 << 30, shift: -1 }.apply(77), 20, "77 / 4, rounded to 39 / 2, then to 20");
        assert_eq!(Factor { multiplier: 1 << 30, shift: -1 }.apply_exactly(77), 19);
        assert_eq!(Factor { multiplier: 1 << 30, shift: 0 }.apply_exactly(-3), -1);
    }
}
