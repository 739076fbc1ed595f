//! Copies of regular parts of a tensor.

use crate::tensor::{Dims, MAX_RANK};

/// Where a strided copy reads: in elements, from `base` on, `strides[axis]` further for each step along an output axis.
#[derive(Clone, Copy, Debug)]
pub struct Strides {
    /// Position of the first element.
    pub base: usize,
    /// Distance between neighbours along each output axis; 0 repeats, a negative one goes backwards.
    pub strides: [isize; MAX_RANK],
}

/// Fills `output`, of shape `dims`, with elements of `width` bytes. Elements outside `input` are left alone.
pub fn strided_copy(width: usize, input: &[u8], from: &Strides, dims: &Dims, output: &mut [u8]) {
    let mut rank = dims.len();
    let mut block = 1usize;
    // Trailing axes that lie in the input as in the output are copied as one block.
    while let Some(axis) = rank.checked_sub(1) {
        if dims.at(axis) != 1 && from.strides[axis] != block as isize {
            break;
        }
        block = block.saturating_mul(dims.at(axis));
        rank = axis;
    }
    let bytes = block.saturating_mul(width);
    if bytes == 0 {
        return;
    }
    let mut index = [0usize; MAX_RANK];
    let mut at = from.base as isize;
    for slot in output.chunks_exact_mut(bytes) {
        let start = usize::try_from(at).ok().and_then(|at| at.checked_mul(width));
        if let Some(elements) = start.and_then(|start| input.get(start..start.checked_add(bytes)?)) {
            slot.copy_from_slice(elements);
        }
        for axis in (0..rank).rev() {
            index[axis] += 1;
            at = at.wrapping_add(from.strides[axis]);
            if index[axis] < dims.at(axis) {
                break;
            }
            at = at.wrapping_sub(from.strides[axis].wrapping_mul(dims.at(axis) as isize));
            index[axis] = 0;
        }
    }
}

/// Copies blocks of `block` bytes one after the other from `input` to places `stride` bytes apart in `output`, the first at
/// `offset`. Blocks without a place are left out.
pub fn interleave(input: &[u8], block: usize, output: &mut [u8], stride: usize, offset: usize) {
    if block == 0 || stride == 0 {
        return;
    }
    for (block, place) in input.chunks_exact(block).zip(output.chunks_exact_mut(stride)) {
        if let Some(place) = place.get_mut(offset..offset.saturating_add(block.len())) {
            place.copy_from_slice(block);
        }
    }
}
