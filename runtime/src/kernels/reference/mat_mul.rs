//! Matrix product.

use super::float::Float;

/// `out[m, c] = sum over k of a[m, k] * b[k, c]` (or `b[c, k]` with `transpose_b`), then `+ bias[c]`.
///
/// The sum starts from zero and runs upwards in k, without fused multiply-add. `a` holds rows of `k` elements.
pub fn mat_mul<F: Float>(k: usize, transpose_b: bool, a: &[F], b: &[F], bias: Option<&[F]>, out: &mut [F]) {
    if k == 0 {
        return out.fill(F::ZERO);
    }
    let columns = b.len() / k;
    if columns == 0 {
        return;
    }
    for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(columns)) {
        if transpose_b {
            for (out, column) in out.iter_mut().zip(b.chunks_exact(k)) {
                *out = row.iter().zip(column).fold(F::ZERO, |sum, (&x, &w)| sum + x * w);
            }
        } else {
            out.fill(F::ZERO);
            for (&x, weights) in row.iter().zip(b.chunks_exact(columns)) {
                for (out, &w) in out.iter_mut().zip(weights) {
                    *out = *out + x * w;
                }
            }
        }
        if let Some(bias) = bias {
            for (out, &bias) in out.iter_mut().zip(bias) {
                *out = *out + bias;
            }
        }
    }
}
