//! Indices as vectors of which one element is set.

use super::indices::{Indices, place};

/// Fills `output`, `[outer, depth, inner]` elements of `width` bytes, from indices `[outer, inner]`: `on` where the position on the middle
/// axis is the index (a negative one counts from the end), `off` elsewhere. An index outside the axis sets none.
pub fn one_hot(
    (depth, inner, width): (usize, usize, usize),
    indices: Indices<'_>,
    (off, on): (&[u8], &[u8]),
    output: &mut [u8],
) {
    let part = depth.saturating_mul(inner).saturating_mul(width);
    if part == 0 || off.len() != width || on.len() != width {
        return;
    }
    output.chunks_exact_mut(width).for_each(|slot| slot.copy_from_slice(off));
    for (outer, part) in output.chunks_exact_mut(part).enumerate() {
        for column in 0..inner {
            let index = indices.get(outer.wrapping_mul(inner).wrapping_add(column));
            let Some(place) = index.and_then(|index| place(index, depth)) else { continue };
            let at = place.wrapping_mul(inner).wrapping_add(column).wrapping_mul(width);
            if let Some(slot) = part.get_mut(at..at.saturating_add(width)) {
                slot.copy_from_slice(on);
            }
        }
    }
}
