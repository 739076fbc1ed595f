//! Writing at indices. `output` holds what stays.

use super::broadcast::Walk;
use super::combine::{Combination, Combine};
use super::gather_nd::{Parts, strides_without};
use super::indices::{Indices, Outside};
use crate::tensor::Dims;

/// Combines each of `updates`, of shape `dims`, into the element of `output` at the same position, the one on `axis` replaced by
/// the index. They come in C order.
pub fn scatter_elements<T: Combine>(
    kind: Combination,
    axis: usize,
    (indices, dims): (Indices<'_>, &Dims),
    updates: &[T],
    (output, output_dims): (&mut [T], &Dims),
) -> Result<(), Outside> {
    let (length, inner) = (output_dims.at(axis), output_dims.inner(axis));
    let walk = Walk::strided(dims, strides_without(output_dims, axis));
    let mut updates = updates.iter().enumerate();
    let mut result = Ok(());
    walk.for_each(indices.len(), |[at, _, _]| {
        let Some((position, &update)) = updates.next() else { return };
        let place = indices.place(position, length);
        let slot = place.and_then(|place| output.get_mut(at.wrapping_add(place.wrapping_mul(inner))));
        match slot {
            Some(slot) => *slot = slot.combine(kind, update),
            None => result = Err(Outside),
        }
    });
    result
}

/// Combines blocks of `updates` into the blocks of `output` that tuples of indices name, in their order.
pub fn scatter_nd<T: Combine>(
    kind: Combination,
    parts: Parts<'_>,
    indices: Indices<'_>,
    updates: &[T],
    output: &mut [T],
) -> Result<(), Outside> {
    if parts.block == 0 {
        return Ok(());
    }
    for (number, block) in updates.chunks_exact(parts.block).enumerate() {
        let start = parts.start(&indices, number).ok_or(Outside)?;
        let slots = output.get_mut(start..start.saturating_add(parts.block)).ok_or(Outside)?;
        for (slot, &update) in slots.iter_mut().zip(block) {
            *slot = slot.combine(kind, update);
        }
    }
    Ok(())
}

/// A cache `[batch, middle, length, block]` and what is written into it, `[batch, middle, count, block]`; blocks in bytes.
#[derive(Clone, Copy, Debug)]
pub struct CacheShape {
    /// Parts that have one start each.
    pub batch: usize,
    /// Parts of those.
    pub middle: usize,
    /// Places of the cache.
    pub length: usize,
    /// Places that are written.
    pub count: usize,
    /// Bytes at each place.
    pub block: usize,
}

/// Writes `update` into `cache` from a place on that `start` gives for each part of the batch; after the last place comes the
/// first when `circular`, and it is an error otherwise.
pub fn write_cache(
    shape: CacheShape,
    circular: bool,
    start: impl Fn(usize) -> Option<i64>,
    update: &[u8],
    cache: &mut [u8],
) -> Result<(), Outside> {
    let CacheShape { batch, middle, length, count, block } = shape;
    if length == 0 || block == 0 {
        return Ok(());
    }
    let mut blocks = update.chunks_exact(block);
    for group in 0..batch.saturating_mul(middle) {
        let start = start(group.checked_div(middle).unwrap_or(0)).and_then(|start| usize::try_from(start).ok());
        let start = start.ok_or(Outside)?;
        for step in 0..count {
            let place = start.checked_add(step).ok_or(Outside)?;
            let place = if circular { place % length } else { place };
            let at = group.wrapping_mul(length).wrapping_add(place).wrapping_mul(block);
            let slot = cache.get_mut(at..at.saturating_add(block)).filter(|_| place < length).ok_or(Outside)?;
            let Some(block) = blocks.next() else { return Ok(()) };
            slot.copy_from_slice(block);
        }
    }
    Ok(())
}
