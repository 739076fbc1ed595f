//! Permutation of axes.

use crate::tensor::{Dims, MAX_RANK};

/// Copies elements of `width` bytes from `input` of shape `dims` to `output`, whose axis `i` is the input's axis `perm[i]`.
pub fn transpose(width: usize, input: &[u8], dims: &Dims, perm: &[usize], output: &mut [u8]) {
    let rank = dims.len().min(perm.len());
    let mut strides = [0usize; MAX_RANK];
    let mut lengths = [1usize; MAX_RANK];
    for (position, &axis) in perm.iter().enumerate().take(rank) {
        strides[position] = dims.inner(axis).saturating_mul(width);
        lengths[position] = dims.at(axis);
    }
    let mut index = [0usize; MAX_RANK];
    let mut offset = 0usize;
    for slot in output.chunks_exact_mut(width.max(1)) {
        if let Some(element) = input.get(offset..offset.wrapping_add(width)) {
            slot.copy_from_slice(element);
        }
        for axis in (0..rank).rev() {
            index[axis] += 1;
            offset = offset.wrapping_add(strides[axis]);
            if index[axis] < lengths[axis] {
                break;
            }
            offset = offset.wrapping_sub(strides[axis].wrapping_mul(lengths[axis]));
            index[axis] = 0;
        }
    }
}
