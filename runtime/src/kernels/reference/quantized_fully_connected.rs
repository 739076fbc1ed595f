//! Matrix product of int8 rows with int8 weights.

use super::quantized_conv2d::{Requantize, dot};

/// `out[row, u] = clip(factor[u] * (sum over k of (input[row, k] - zero) * weights[u, k] + bias[u]) + target zero)`.
///
/// Rows have `columns` elements; sums wrap; the product with the factor is rounded once.
pub fn fully_connected(
    columns: usize,
    (input, zero): (&[i8], i8),
    weights: &[i8],
    requantize: Requantize<'_>,
    out: &mut [i8],
) {
    let units = weights.len().checked_div(columns).unwrap_or(0);
    if units == 0 {
        return;
    }
    for (row, out) in input.chunks_exact(columns).zip(out.chunks_exact_mut(units)) {
        for (unit, (out, weights)) in out.iter_mut().zip(weights.chunks_exact(columns)).enumerate() {
            *out = requantize.store_exactly(unit, dot(0, row, zero, weights));
        }
    }
}
