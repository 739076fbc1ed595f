//! Softmax of int16 rows by two tables, to int16 with scale 2^-15, as TFLite's reference kernel does it.

use super::fixed_point::Factor;
use super::table::interpolated;

/// The most elements of a row: their exponentials are summed in 31 bits.
pub const MAX_ROW: usize = 65_535;

/// `exp(x - max)` in 15 bits after the point, for a difference of stored values.
fn exponential(factor: Factor, table: &[i16], difference: i32) -> i16 {
    let scaled = factor.apply(difference).saturating_add(i16::MAX.into());
    interpolated(scaled.clamp(i16::MIN.into(), i16::MAX.into()) as i16, table)
}

/// Normalises each row of `columns` elements. `factor` turns a difference of stored values into one where -65,535 stands for -10;
/// `exponentials` tabulates exp from -10 to 0, `reciprocals` 1 / (1 + x) from 0 to 1, both as [`interpolated`] reads them.
pub fn softmax(
    factor: Factor,
    exponentials: &[i16],
    reciprocals: &[i16],
    columns: usize,
    input: &[i16],
    out: &mut [i16],
) {
    if columns == 0 {
        return;
    }
    for (row, out) in input.chunks_exact(columns).zip(out.chunks_exact_mut(columns)) {
        let max = i32::from(row.iter().copied().max().unwrap_or_default());
        let mut sum = 0i32;
        for (out, &x) in out.iter_mut().zip(row) {
            *out = exponential(factor, exponentials, i32::from(x) - max);
            sum = sum.wrapping_add((*out).into());
        }
        // With one bit left of the point the sum is from 1 to 2.
        let headroom = sum.leading_zeros().clamp(1, 30);
        let fraction = ((i64::from(sum) << (headroom - 1)) + (1 << 13)) >> 14;
        let centred = fraction - ((1 << 15) + (1 << 16));
        let centred = centred.clamp(i16::MIN.into(), i16::MAX.into()) as i16;
        let reciprocal = i64::from(interpolated(centred, reciprocals));
        let shift = 31 - headroom;
        for out in out {
            let value = (i64::from(*out) * reciprocal + (1 << (shift - 1))) >> shift;
            *out = value.clamp(0, i16::MAX.into()) as i16;
        }
    }
}
