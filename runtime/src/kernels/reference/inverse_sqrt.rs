//! One over the square root of an integer, as TFLite's reference kernels work it out.
//!
//! `Qm` stands for an i32 with `m` bits before the binary point and 31 - m after it.

use super::fixed_point::{Factor, high_mul, rounding_shift, saturating_shift};

/// `1 / sqrt(x)` as a factor; 0 counts as 1. Five steps of Newton's iteration in Q3.
pub fn inverse_sqrt(x: i32) -> Factor {
    const HALF_SQRT_2: i32 = 1_518_500_250;
    const THREE_HALVES: i32 = (1 << 28) + (1 << 27);
    if x <= 1 {
        return Factor { multiplier: i32::MAX, shift: 0 };
    }
    let (mut x, mut shift) = (x, 11);
    while x >= 1 << 29 {
        x /= 4;
        shift += 1;
    }
    let pairs = (x.leading_zeros().saturating_sub(1) / 2).saturating_sub(1);
    shift -= pairs as i32;
    x <<= 2 * pairs;
    let half = rounding_shift(x >> 1, 1);
    let mut root = 1 << 28;
    for _ in 0..5 {
        let cube = saturating_shift(high_mul(high_mul(root, root), root), 6);
        root = saturating_shift(high_mul(THREE_HALVES, root).wrapping_sub(high_mul(half, cube)), 3);
    }
    let multiplier = high_mul(root, HALF_SQRT_2);
    if shift < 0 {
        return Factor { multiplier: multiplier.wrapping_shl(shift.unsigned_abs()), shift: 0 };
    }
    Factor { multiplier, shift: -shift }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_are_near() {
        for x in (0..31).flat_map(|bits| [1 << bits, (1 << bits) + 1, i32::MAX >> bits]) {
            let Factor { multiplier, shift } = inverse_sqrt(x);
            let got = f64::from(multiplier) / f64::from(i32::MAX) * libm::pow(2.0, shift.into());
            let expected = 1.0 / libm::sqrt(f64::from(x.max(1)));
            assert!((got / expected - 1.0).abs() < 1e-4, "{x}: {got} {expected}");
        }
    }
}
