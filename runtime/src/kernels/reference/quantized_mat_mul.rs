//! Product of two matrices of int8 or int16, summed in int32 or int64.

use super::fixed_point::Stored;

/// What products are summed in; sums wrap.
pub trait Sum: Copy {
    /// The empty sum.
    const ZERO: Self;

    /// The sum with another product of two integers of 17 bits.
    fn plus(self, x: i32, w: i32) -> Self;
}

impl Sum for i32 {
    const ZERO: Self = 0;

    fn plus(self, x: i32, w: i32) -> Self {
        self.wrapping_add(x.wrapping_mul(w))
    }
}

impl Sum for i64 {
    const ZERO: Self = 0;

    fn plus(self, x: i32, w: i32) -> Self {
        self.wrapping_add(Self::from(x) * Self::from(w))
    }
}

/// `out[m, c] = store(sum over k of (a[m, k] - a_zero) * (b[k, c] - b_zero))`. `a` holds rows of `k` elements, each with as many results as `b` has
/// columns.
pub fn mat_mul<T: Stored, A: Sum, O>(
    k: usize,
    (a, a_zero): (&[T], i16),
    (b, b_zero): (&[T], i16),
    out: &mut [O],
    store: impl Fn(A) -> O,
) {
    let columns = b.len().checked_div(k).unwrap_or(0);
    if columns == 0 {
        return;
    }
    let real = |x: T, zero: i16| x.into().wrapping_sub(zero.into());
    for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(columns)) {
        for (column, out) in out.iter_mut().enumerate() {
            let weights = b.iter().skip(column).step_by(columns);
            let pairs = row.iter().zip(weights);
            *out = store(pairs.fold(A::ZERO, |sum, (&x, &w)| sum.plus(real(x, a_zero), real(w, b_zero))));
        }
    }
}
