//! Running sums and products.

use super::combine::{Combination, Combine};

/// Along an axis of `length` elements, `inner` apart: element `i` becomes the combination of the elements up to `i`, without the `i`th
/// when `exclusive`; from the end backwards when `reverse`.
pub fn cumulate<T: Combine>(
    kind: Combination,
    (exclusive, reverse): (bool, bool),
    (length, inner): (usize, usize),
    values: &mut [T],
) {
    let part = length.saturating_mul(inner);
    if part == 0 {
        return;
    }
    let start = if kind == Combination::Mul { T::ONE } else { T::ZERO };
    for part in values.chunks_exact_mut(part) {
        for offset in 0..inner {
            let mut running = start;
            for step in 0..length {
                let index = if reverse { length - 1 - step } else { step };
                let at = index.wrapping_mul(inner).wrapping_add(offset);
                let Some(value) = part.get_mut(at) else { return };
                let sum = running.combine(kind, *value);
                *value = if exclusive { running } else { sum };
                running = sum;
            }
        }
    }
}
