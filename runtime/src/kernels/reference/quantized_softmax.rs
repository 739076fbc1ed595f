//! Softmax of int8 rows in integers, to int8 with scale 1/256 and zero point -128.
//!
//! Fixed-point numbers are written `Qm`: an i32 with `m` bits before the binary point and 31 - m after it. The formulas are
//! gemmlowp's and TFLite's reference kernel's.

use super::fixed_point::{Factor, high_mul, rounding_shift, saturating_shift};

/// The most elements of a row: their exponentials are summed in Q12.
pub const MAX_ROW: usize = 4095;

/// 1 in Q0, nearly.
const ONE: i32 = i32::MAX;

/// exp(-2^k) in Q0 for k from -2 to 4.
const EXP_OF_MINUS_POWERS: [i32; 7] =
    [1_672_461_947, 1_302_514_674, 790_015_084, 290_630_308, 39_332_535, 720_401, 242];

/// exp of a Q0 number from -1/4 (included) to 0: a Taylor expansion around -1/8.
fn exp_of_small(a: i32) -> i32 {
    const EXP_OF_MINUS_EIGHTH: i32 = 1_895_147_668;
    const THIRD: i32 = 715_827_883;
    let x = a.wrapping_add(1 << 28);
    let x2 = high_mul(x, x);
    let x3 = high_mul(x2, x);
    let x4 = high_mul(x2, x2);
    let higher = high_mul(rounding_shift(x4, 2).wrapping_add(x3), THIRD).wrapping_add(x2);
    let sum = x.wrapping_add(rounding_shift(higher, 1));
    EXP_OF_MINUS_EIGHTH.wrapping_add(high_mul(EXP_OF_MINUS_EIGHTH, sum))
}

/// exp of a Q5 number that is not positive, in Q0.
pub(super) fn exp_of_negative(a: i32) -> i32 {
    const FRACTION: u32 = 26;
    const QUARTER: i32 = 1 << (FRACTION - 2);
    if a == 0 {
        return ONE;
    }
    let small = (a & (QUARTER - 1)) - QUARTER;
    let rest = small.wrapping_sub(a);
    let exp = exp_of_small(saturating_shift(small, 5));
    EXP_OF_MINUS_POWERS
        .iter()
        .enumerate()
        .fold(exp, |exp, (bit, &factor)| if rest & (QUARTER << bit) == 0 { exp } else { high_mul(exp, factor) })
}

/// 1 / (1 + a) of a Q0 number from 0 to 1, in Q0: three steps of Newton's iteration in Q2 for 2 / (1 + a).
pub(super) fn reciprocal_of_one_plus(a: i32) -> i32 {
    const FORTY_EIGHT_17THS: i32 = 1_515_870_810;
    const MINUS_THIRTY_TWO_17THS: i32 = -1_010_580_540;
    let half_denominator = ((i64::from(a) + i64::from(ONE) + 1) / 2) as i32;
    let mut x = FORTY_EIGHT_17THS.wrapping_add(high_mul(half_denominator, MINUS_THIRTY_TWO_17THS));
    for _ in 0..3 {
        let error = (1i32 << 29).wrapping_sub(high_mul(half_denominator, x));
        x = x.wrapping_add(saturating_shift(high_mul(x, error), 2));
    }
    saturating_shift(x, 1)
}

/// Normalises each row of `columns` elements in its place. `factor` turns a difference of stored values into Q5 and its shift is not negative;
/// differences below `lowest` count as minus infinity.
pub fn softmax(factor: Factor, lowest: i32, columns: usize, rows: &mut [i8]) {
    if columns == 0 {
        return;
    }
    for row in rows.chunks_exact_mut(columns) {
        let max = i32::from(row.iter().copied().max().unwrap_or_default());
        let exp = |x: i8| {
            let difference = i32::from(x) - max;
            let scaled = high_mul(difference.wrapping_shl(factor.shift.clamp(0, 31) as u32), factor.multiplier);
            (difference >= lowest).then(|| exp_of_negative(scaled))
        };
        let sum = row.iter().filter_map(|&x| exp(x)).fold(0i32, |sum, exp| sum.wrapping_add(rounding_shift(exp, 12)));
        let headroom = sum.leading_zeros();
        let fraction = ((sum as u32).checked_shl(headroom).unwrap_or(0)).wrapping_sub(1 << 31) as i32;
        let reciprocal = reciprocal_of_one_plus(fraction);
        let shift = (12 + 31 - 8u32).saturating_sub(headroom);
        for slot in row {
            let exp = exp(*slot).unwrap_or(0);
            let value = rounding_shift(high_mul(reciprocal, exp), shift);
            *slot = value.saturating_add(i8::MIN.into()).clamp(i8::MIN.into(), i8::MAX.into()) as i8;
        }
    }
}
