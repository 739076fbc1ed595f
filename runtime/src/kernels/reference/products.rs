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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_are_made_of_earlier_ones() {
        // 1, a, b, a², ba, b².
        let terms = [[-1, -1], [-1, 0], [-1, 1], [1, 0], [2, 0], [2, 1]];
        let mut out = [0.0; 12];
        products(2, &terms, &[2.0, 3.0, f64::INFINITY, 0.0], &mut out);
        assert_eq!(out[..6], [1.0, 2.0, 3.0, 4.0, 6.0, 9.0]);
        assert!(out[10].is_nan() && out[9] == f64::INFINITY && out[11] == 0.0);
        // Whatever the table says, nothing is read or written elsewhere.
        products(2, &[[5, 9], [i32::MAX, i32::MIN]], &[1.0, 2.0], &mut out[..2]);
    }
}
