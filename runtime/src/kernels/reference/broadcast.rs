//! Walks tensors of different shapes in step, as numpy broadcasts them.

use crate::tensor::{Dims, MAX_RANK};

/// The most tensors walked in step.
pub const MAX_OPERANDS: usize = 3;

/// Offsets of up to three inputs for each element of an output, in the output's order.
#[derive(Clone, Debug)]
pub struct Walk {
    dims: [usize; MAX_RANK],
    strides: [[usize; MAX_RANK]; MAX_OPERANDS],
    rank: usize,
}

impl Walk {
    /// A walk over an output of `dims`; each input's axes line up from the right, those of length 1 are repeated.
    pub fn new(dims: &Dims, inputs: &[&Dims]) -> Self {
        let mut walk = Self { dims: [1; MAX_RANK], strides: [[0; MAX_RANK]; MAX_OPERANDS], rank: dims.len() };
        for (slot, &dim) in walk.dims.iter_mut().zip(dims.iter()) {
            *slot = dim;
        }
        for (strides, input) in walk.strides.iter_mut().zip(inputs) {
            let mut stride = 1usize;
            for (back, &dim) in input.iter().rev().enumerate() {
                if let Some(axis) = dims.len().checked_sub(back + 1) {
                    strides[axis] = if dim == 1 { 0 } else { stride };
                }
                stride = stride.saturating_mul(dim);
            }
        }
        walk
    }

    /// A walk over a tensor of `dims` that gives positions in another tensor, `strides[axis]` further for each step along an axis.
    pub fn strided(dims: &Dims, strides: [usize; MAX_RANK]) -> Self {
        let mut walk = Self::new(dims, &[]);
        walk.strides[0] = strides;
        walk
    }

    /// Calls `visit` with each element of an output of the walk's shape and the element of input 0 that meets it.
    pub fn zip<O, T: Copy>(&self, out: &mut [O], input: &[T], mut visit: impl FnMut(&mut O, T)) {
        if input.len() == out.len() {
            for (out, &value) in out.iter_mut().zip(input) {
                visit(out, value);
            }
            return;
        }
        let elements = out.len();
        let mut slots = out.iter_mut();
        self.for_each(elements, |[at, ..]| {
            if let (Some(out), Some(&value)) = (slots.next(), input.get(at)) {
                visit(out, value);
            }
        });
    }

    /// Calls `visit` with the inputs' offsets for each element of the output.
    pub fn for_each(&self, elements: usize, mut visit: impl FnMut([usize; MAX_OPERANDS])) {
        let mut index = [0usize; MAX_RANK];
        let mut offsets = [0usize; MAX_OPERANDS];
        for _ in 0..elements {
            visit(offsets);
            for axis in (0..self.rank).rev() {
                index[axis] += 1;
                for (offset, strides) in offsets.iter_mut().zip(&self.strides) {
                    *offset = offset.wrapping_add(strides[axis]);
                }
                if index[axis] < self.dims[axis] {
                    break;
                }
                for (offset, strides) in offsets.iter_mut().zip(&self.strides) {
                    *offset = offset.wrapping_sub(strides[axis].wrapping_mul(self.dims[axis]));
                }
                index[axis] = 0;
            }
        }
    }
}

/// `out[i] = combine(a[walk], b[walk])`.
pub fn combine<A: Copy, B: Copy, T>(
    (a, b): (&[A], &[B]),
    out: &mut [T],
    walk: &Walk,
    mut combine: impl FnMut(A, B) -> T,
) {
    if a.len() == out.len() && b.len() == out.len() {
        for ((out, &a), &b) in out.iter_mut().zip(a).zip(b) {
            *out = combine(a, b);
        }
        return;
    }
    let elements = out.len();
    let mut slots = out.iter_mut();
    walk.for_each(elements, |[at_a, at_b, _]| {
        if let (Some(out), Some(&a), Some(&b)) = (slots.next(), a.get(at_a), b.get(at_b)) {
            *out = combine(a, b);
        }
    });
}
