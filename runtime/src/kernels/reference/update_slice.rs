//! Writing a block into a tensor.

use crate::tensor::{Dims, MAX_RANK};

/// Copies `update`, of shape `from` and elements of `width` bytes, over the block of `out`, of shape `to`, that begins at `starts`; a start is moved
/// so that the block lies inside.
pub fn update_slice(width: usize, update: &[u8], from: &Dims, starts: &[i64; MAX_RANK], out: &mut [u8], to: &Dims) {
    let rank = to.len().min(from.len());
    let start = |axis: usize| {
        let last = to.at(axis).saturating_sub(from.at(axis));
        usize::try_from(starts[axis]).unwrap_or(0).min(last)
    };
    let row_axis = rank.saturating_sub(1);
    let row = from.at(row_axis).saturating_mul(width);
    if row == 0 || from.elements() == 0 {
        return;
    }
    let mut index = [0usize; MAX_RANK];
    for block in update.chunks_exact(row) {
        let place = (0..rank).fold(0usize, |place, axis| {
            place.saturating_mul(to.at(axis)).saturating_add(start(axis)).saturating_add(index[axis])
        });
        let first = place.saturating_mul(width);
        if let Some(slot) = out.get_mut(first..first.saturating_add(row)) {
            slot.copy_from_slice(block);
        }
        for axis in (0..row_axis).rev() {
            index[axis] += 1;
            if index[axis] < from.at(axis) {
                break;
            }
            index[axis] = 0;
        }
    }
}
