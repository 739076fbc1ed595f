//! Product of two int8 matrices, summed in int32.

/// `out[m, c] = store(sum over k of (a[m, k] - a_zero) * (b[k, c] - b_zero))`; the sum wraps. `a` holds rows of `k` elements, each with as
/// many results as `b` has columns.
pub fn mat_mul<O>(
    k: usize,
    (a, a_zero): (&[i8], i8),
    (b, b_zero): (&[i8], i8),
    out: &mut [O],
    store: impl Fn(i32) -> O,
) {
    let columns = b.len().checked_div(k).unwrap_or(0);
    if columns == 0 {
        return;
    }
    let (a_zero, b_zero) = (i32::from(a_zero), i32::from(b_zero));
    for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(columns)) {
        for (column, out) in out.iter_mut().enumerate() {
            let weights = b.iter().skip(column).step_by(columns);
            let products = row.iter().zip(weights).map(|(&x, &w)| (i32::from(x) - a_zero) * (i32::from(w) - b_zero));
            *out = store(products.fold(0, i32::wrapping_add));
        }
    }
}
