//! Columns that are products of columns.

use super::float::Float;

/// For each row of `x` and of `out`: column `c` of `out` is its column `terms[c][0]`, which comes earlier, times column `terms[c][1]` of `x`. A
/// negative number stands for the factor 1, by which nothing is multiplied.
pub fn products<F: Float>(features: usize, terms: &[[i32; 2]], x: &[F], out: &mut [F]) {
    if terms.is_empty() {
        return;
    }
    for (row, out) in out.chunks_exact_mut(terms.len()).enumerate() {
        let x = x.get(row.saturating_mul(features)..).unwrap_or_default();
        for (column, &[left, right]) in terms.iter().enumerate() {
            let (earlier, rest) = out.split_at_mut(column);
            let left = usize::try_from(left).ok().and_then(|left| earlier.get(left)).copied();
            let right = usize::try_from(right).ok().and_then(|right| x.get(right)).copied();
            let product = match (left, right) {
                (Some(left), Some(right)) => left * right,
                (one, other) => one.or(other).unwrap_or(F::ONE),
            };
            if let Some(slot) = rest.first_mut() {
                *slot = product;
            }
        }
    }
}
