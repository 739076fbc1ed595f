//! Selection by index where each element, or each part, has its own indices.

use super::broadcast::Walk;
use super::indices::{Indices, Outside};
use crate::tensor::{Dims, MAX_RANK};

/// Distances between neighbours along each axis of a tensor of `dims`, 0 along `axis`.
pub(super) fn strides_without(dims: &Dims, axis: usize) -> [usize; MAX_RANK] {
    let mut strides = [0; MAX_RANK];
    for (other, stride) in strides.iter_mut().enumerate().take(dims.len()) {
        *stride = if other == axis { 0 } else { dims.inner(other) };
    }
    strides
}

/// `output[i, …] = data[i, …]` with the position on `axis` replaced by `indices[i, …]`; `output` has the shape `dims` of the indices, and
/// elements of `width` bytes.
pub fn gather_elements(
    width: usize,
    axis: usize,
    (data, data_dims): (&[u8], &Dims),
    (indices, dims): (Indices<'_>, &Dims),
    output: &mut [u8],
) -> Result<(), Outside> {
    let (length, inner) = (data_dims.at(axis), data_dims.inner(axis));
    let walk = Walk::strided(dims, strides_without(data_dims, axis));
    let mut slots = output.chunks_exact_mut(width.max(1));
    let mut result = Ok(());
    let mut position = 0usize;
    walk.for_each(indices.len(), |[at, _, _]| {
        let place = indices.place(position, length);
        position += 1;
        let start = place.map(|place| at.wrapping_add(place.wrapping_mul(inner)).wrapping_mul(width));
        let element = start.and_then(|start| data.get(start..start.checked_add(width)?));
        match (slots.next(), element) {
            (Some(slot), Some(element)) => slot.copy_from_slice(element),
            _ => result = Err(Outside),
        }
    });
    result
}

/// A tensor taken as parts of equal length along its leading axes.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    /// Lengths of the axes that a tuple of indices names.
    pub lengths: &'a [usize],
    /// What lies at each of their places, in bytes or elements.
    pub block: usize,
}

impl Parts<'_> {
    /// Start of the block that the `number`th tuple of `indices` names.
    pub fn start(&self, indices: &Indices<'_>, number: usize) -> Option<usize> {
        let first = number.checked_mul(self.lengths.len())?;
        let places = self.lengths.iter().enumerate();
        let part = places.map(|(column, &length)| Some((indices.place(first.checked_add(column)?, length)?, length)));
        let part = part.into_iter().try_fold(0usize, |part, place| {
            let (place, length) = place?;
            part.checked_mul(length)?.checked_add(place)
        })?;
        part.checked_mul(self.block)
    }

    /// Size of all blocks.
    pub fn size(&self) -> usize {
        self.lengths.iter().fold(self.block, |size, &length| size.saturating_mul(length))
    }
}

/// Fills `output` with the blocks that tuples of indices name: each of `groups` parts of `data` has as many tuples as the others.
pub fn gather_nd(
    parts: Parts<'_>,
    groups: usize,
    data: &[u8],
    indices: Indices<'_>,
    output: &mut [u8],
) -> Result<(), Outside> {
    if parts.block == 0 {
        return Ok(());
    }
    let tuples = (output.len() / parts.block).checked_div(groups).unwrap_or(0);
    for (number, slot) in output.chunks_exact_mut(parts.block).enumerate() {
        let group = number.checked_div(tuples).unwrap_or(0).saturating_mul(parts.size());
        let start = parts.start(&indices, number).and_then(|start| start.checked_add(group)).ok_or(Outside)?;
        let end = start.saturating_add(parts.block);
        slot.copy_from_slice(data.get(start..end).ok_or(Outside)?);
    }
    Ok(())
}
