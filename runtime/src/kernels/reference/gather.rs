//! Selection by index.

/// The place of `index` on an axis of `length`: a negative one counts from the end, one outside is taken as the nearest.
fn place(index: i64, length: usize) -> usize {
    let length = length as i64;
    let index = if index < 0 { index.saturating_add(length) } else { index };
    index.clamp(0, (length - 1).max(0)) as usize
}

/// Copies, for each of the outer parts of `input`, the blocks of `block` bytes that `indices` name among its `length`.
pub fn gather(
    input: &[u8],
    length: usize,
    block: usize,
    indices: impl Iterator<Item = i64> + Clone,
    output: &mut [u8],
) {
    let part = length.saturating_mul(block);
    if part == 0 {
        return;
    }
    let mut slots = output.chunks_exact_mut(block);
    for part in input.chunks_exact(part) {
        for index in indices.clone() {
            let start = place(index, length).saturating_mul(block);
            let Some(slot) = slots.next() else { return };
            if let Some(elements) = part.get(start..start.saturating_add(block)) {
                slot.copy_from_slice(elements);
            }
        }
    }
}
