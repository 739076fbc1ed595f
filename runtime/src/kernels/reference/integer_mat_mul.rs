//! Matrix product of 8-bit integers, summed in int32.

use super::linear::Byte;

/// `out[m, c] = store(c, sum over k of (a[m, k] - a_zero(m)) * (b[k, c] - b_zero(c)))`, or with `b[c, k]` where `transpose_b`.
///
/// `a` holds rows of `k` elements; sums wrap.
pub fn mat_mul<A: Byte, B: Byte, O>(
    (k, transpose_b): (usize, bool),
    (a, a_zero): (&[A], &dyn Fn(usize) -> i16),
    (b, b_zero): (&[B], &dyn Fn(usize) -> i16),
    out: &mut [O],
    store: &dyn Fn(usize, i32) -> O,
) {
    let columns = b.len().checked_div(k).unwrap_or(0);
    if columns == 0 {
        return;
    }
    for (position, (row, out)) in a.chunks_exact(k).zip(out.chunks_exact_mut(columns)).enumerate() {
        let a_zero = a_zero(position);
        for (column, out) in out.iter_mut().enumerate() {
            let b_zero = b_zero(column);
            let add = |sum: i32, (&x, &w): (&A, &B)| {
                let (x, w) = (x.wide().wrapping_sub(a_zero), w.wide().wrapping_sub(b_zero));
                sum.wrapping_add(i32::from(x).wrapping_mul(w.into()))
            };
            let sum = match transpose_b {
                true => row.iter().zip(b.get(column * k..).unwrap_or_default()).fold(0, add),
                false => row.iter().zip(b.iter().skip(column).step_by(columns)).fold(0, add),
            };
            *out = store(column, sum);
        }
    }
}
