//! Determinants.

use super::float::Float;

/// The determinant of the `n` x `n` matrix in `matrix`, which is overwritten (zero for a slice of another length): Gaussian elimination, the row with the largest
/// absolute value in the column (the first of equals) as pivot, and the product of the pivots from the first one on.
pub fn determinant<F: Float>(n: usize, matrix: &mut [F]) -> F {
    if n.checked_mul(n) != Some(matrix.len()) {
        return F::ZERO;
    }
    let mut product = F::ONE;
    for column in 0..n {
        let at = |row: usize, column: usize| row.wrapping_mul(n).wrapping_add(column);
        let mut pivot = (column, F::ZERO);
        for row in column..n {
            let Some(&value) = matrix.get(at(row, column)) else { return F::ZERO };
            // NaN becomes the pivot, and so the result.
            if row == column || value.abs() > pivot.1.abs() || value.is_nan() {
                pivot = (row, value);
            }
        }
        product = product * pivot.1;
        if pivot.1 == F::ZERO {
            return F::ZERO;
        }
        if pivot.0 != column {
            product = -product;
            for other in column..n {
                matrix.swap(at(pivot.0, other), at(column, other));
            }
        }
        for row in column.saturating_add(1)..n {
            let Some((above, below)) = matrix.split_at_mut_checked(row.wrapping_mul(n)) else { return F::ZERO };
            let (Some(above), Some(below)) = (above.get(at(column, column)..at(column, n)), below.get_mut(column..n))
            else {
                return F::ZERO;
            };
            let Some(&first) = below.first() else { return F::ZERO };
            let factor = first / pivot.1;
            for (below, &above) in below.iter_mut().zip(above) {
                *below = *below - factor * above;
            }
        }
    }
    product
}
