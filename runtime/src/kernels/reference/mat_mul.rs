//! Matrix product.

use super::float::Float;

/// `out[m, c] = sum over k of a[m, k] * b[k, c]` (or `b[c, k]` with `transpose_b`), then `+ bias[c]`.
///
/// The sum starts from zero and runs upwards in k, without fused multiply-add. `a` holds rows of `k` elements; elements of `b` may be
/// of a narrower type, and are widened one by one.
pub fn mat_mul<F: Float, W: Copy + Into<F>>(
    k: usize,
    transpose_b: bool,
    a: &[F],
    b: &[W],
    bias: Option<&[F]>,
    out: &mut [F],
) {
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
                *out = row.iter().zip(column).fold(F::ZERO, |sum, (&x, &w)| sum + x * w.into());
            }
        } else {
            out.fill(F::ZERO);
            for (&x, weights) in row.iter().zip(b.chunks_exact(columns)) {
                for (out, &w) in out.iter_mut().zip(weights) {
                    *out = *out + x * w.into();
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

/// Products of pairs of matrices: `a` holds matrices of `m * k` elements, `b` of `k * c`, `out` of `m * c`. `for_each_pair` calls
/// its argument with the numbers of the two matrices, in the order of the output. Sums run as in [`mat_mul`].
pub fn batch_mat_mul<F: Float>(
    [m, k, c]: [usize; 3],
    (a, b): (&[F], &[F]),
    out: &mut [F],
    for_each_pair: impl FnOnce(&mut dyn FnMut(usize, usize)),
) {
    let (Some(a_size), Some(b_size), Some(size)) = (m.checked_mul(k), k.checked_mul(c), m.checked_mul(c)) else {
        return;
    };
    if a_size == 0 || b_size == 0 {
        return out.fill(F::ZERO);
    }
    let mut slots = out.chunks_exact_mut(size);
    for_each_pair(&mut |number_a, number_b| {
        let (a, b) = (a.chunks_exact(a_size).nth(number_a), b.chunks_exact(b_size).nth(number_b));
        if let (Some(out), Some(a), Some(b)) = (slots.next(), a, b) {
            mat_mul(k, false, a, b, None, out);
        }
    });
}
