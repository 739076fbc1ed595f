//! Logarithm of the softmax of int8 rows in integers, to int8 with scale 1/16 and zero point 127.
//!
//! Fixed-point numbers are written `Qm`: an i32 with `m` bits before the binary point and 31 - m after it. The formulas are those of
//! gemmlowp and of TFLite's reference kernel (`reference/log_softmax.h`).

use super::fixed_point::{Factor, high_mul, rounding_shift, saturating_shift};
use super::quantized_softmax::{exp_of_negative, reciprocal_of_one_plus};

/// `x * 2^exponent` of a whole number in Q6: 25 bits after the point.
fn whole_in_q6(x: i32) -> i32 {
    saturating_shift(x, 25)
}

/// The logarithm of a positive Q12 number, in Q5: its power of two, and a rational function of what is left around the fourth root of 1/2.
fn log_of_q12(z: i32) -> i32 {
    const LOG_2: i32 = 1_488_522_236;
    const ROOT_OF_HALF: i32 = 1_518_500_250;
    const FOURTH_ROOT_OF_HALF: i32 = 1_805_811_301;
    const QUARTER_IN_Q6: i32 = 1 << 23;
    // With s = 2^(1/4): 11/240 s, s/20, 2/s - s, s/4.
    const ALPHA_N: i32 = 117_049_297;
    const ALPHA_D: i32 = 127_690_142;
    const ALPHA_I: i32 = 1_057_819_769;
    const ALPHA_F: i32 = 638_450_708;
    let zeros = z.leading_zeros();
    let scaled = saturating_shift(z, zeros.saturating_sub(1));
    let remainder_a = saturating_shift(high_mul(scaled, ROOT_OF_HALF), 1);
    let power_a = whole_in_q6(12 - zeros as i32).saturating_add(QUARTER_IN_Q6);
    let headroom = high_mul(z, ROOT_OF_HALF).leading_zeros().saturating_sub(1);
    let remainder_b = saturating_shift(z, headroom);
    let power_b = whole_in_q6(12 - headroom as i32).saturating_sub(QUARTER_IN_Q6);
    let (r, power) = (remainder_a.min(remainder_b), power_a.max(power_b));
    let sum = i64::from(r) + i64::from(FOURTH_ROOT_OF_HALF);
    let mean = ((sum + if sum >= 0 { 1 } else { -1 }) / 2) as i32;
    let q = r.wrapping_sub(FOURTH_ROOT_OF_HALF).wrapping_mul(2);
    let square = high_mul(q, q);
    let numerator = high_mul(q, r).wrapping_add(high_mul(high_mul(q, square), ALPHA_N));
    let inner = ALPHA_I.wrapping_add(q).wrapping_add(high_mul(ALPHA_D, square));
    let denominator_minus_one = high_mul(mean, inner).wrapping_add(high_mul(ALPHA_F, q));
    let quotient = high_mul(rounding_shift(numerator, 6), reciprocal_of_one_plus(denominator_minus_one));
    saturating_shift(high_mul(power, LOG_2).wrapping_add(quotient), 1)
}

/// How differences are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scaling {
    /// Turns a difference of stored values into Q5.
    pub factor: Factor,
    /// Turns Q5 into a difference of stored values.
    pub reverse: Factor,
    /// Differences below count as minus infinity.
    pub lowest: i32,
}

/// Replaces each row of `columns` elements by the logarithms of its softmax.
pub fn log_softmax(scaling: Scaling, columns: usize, rows: &mut [i8]) {
    const LOWEST: i32 = i8::MIN as i32;
    const HIGHEST: i32 = i8::MAX as i32;
    if columns == 0 {
        return;
    }
    for row in rows.chunks_exact_mut(columns) {
        let max = i32::from(row.iter().copied().max().unwrap_or_default());
        let differences = row.iter().map(|&x| i32::from(x) - max).filter(|&difference| difference >= scaling.lowest);
        let exps = differences.map(|difference| rounding_shift(exp_of_negative(scaling.factor.apply(difference)), 12));
        let log_sum = log_of_q12(exps.fold(0, i32::wrapping_add));
        let least = scaling.reverse.apply(log_sum.wrapping_add(i32::MIN)).max(scaling.lowest.saturating_sub(1));
        for slot in row {
            let difference = i32::from(*slot) - max;
            let log = rounding_shift(scaling.factor.apply(difference).wrapping_sub(log_sum), 22).wrapping_add(HIGHEST);
            *slot = if difference > least { log.clamp(LOWEST, HIGHEST) as i8 } else { i8::MIN };
        }
    }
}
