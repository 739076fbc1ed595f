//! L2 normalisation of int8 rows in integers (TFLite's `integer_ops/l2normalization.h`).

use super::fixed_point::{Factor, Stored};
use super::inverse_sqrt::inverse_sqrt;

/// Bits after the binary point of results: their scale is 1/128.
const RESULT_BITS: i32 = 7;

/// Replaces each `x` of a row of `columns` elements by `(x - zero) * 128 / sqrt(sum of (x - zero)^2)`, rounded as [`Factor::apply`] does and clipped.
/// A row of zeros stays zero.
pub fn normalise(zero: i8, columns: usize, rows: &mut [i8]) {
    if columns == 0 {
        return;
    }
    let real = |x: i8| i32::from(x) - i32::from(zero);
    for row in rows.chunks_exact_mut(columns) {
        let squares = row.iter().map(|&x| real(x) * real(x)).fold(0, i32::wrapping_add);
        let root = inverse_sqrt(squares);
        let factor = Factor { shift: root.shift.saturating_add(RESULT_BITS), ..root };
        for slot in row {
            *slot = i8::saturate(factor.apply(real(*slot)));
        }
    }
}
