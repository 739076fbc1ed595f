//! The first elements of an order.

use super::combine::Combine;

/// The column that a selection is made from: element `i` is `values[offset + i * stride]`.
#[derive(Clone, Copy, Debug)]
struct Column<'a, T> {
    values: &'a [T],
    offset: usize,
    stride: usize,
    largest: bool,
}

impl<T: Combine> Column<'_, T> {
    fn at(&self, index: i64) -> Option<T> {
        self.values.get((index as usize).wrapping_mul(self.stride).wrapping_add(self.offset)).copied()
    }

    /// True where element `a` comes before element `b`: by value, equals by index.
    fn before(&self, a: i64, b: i64) -> bool {
        let (Some(x), Some(y)) = (self.at(a), self.at(b)) else { return false };
        let (x, y) = if self.largest { (x, y) } else { (y, x) };
        x.above(y) || (!y.above(x) && a < b)
    }
}

/// Lets the entry at `root` of a heap of `size` entries, the last of the order on top, sink to its place. Entry `i` is
/// `heap[i * stride]`.
fn sink(heap: &mut [i64], stride: usize, size: usize, mut root: usize, before: impl Fn(i64, i64) -> bool) {
    let entry = |heap: &[i64], at: usize| heap.get(at.wrapping_mul(stride)).copied().unwrap_or(0);
    loop {
        let left = root.saturating_mul(2).saturating_add(1);
        let mut child = left;
        if child >= size {
            return;
        }
        let right = left.saturating_add(1);
        if right < size && before(entry(heap, left), entry(heap, right)) {
            child = right;
        }
        if !before(entry(heap, root), entry(heap, child)) {
            return;
        }
        let (a, b) = (root.wrapping_mul(stride), child.wrapping_mul(stride));
        if a < heap.len() && b < heap.len() {
            heap.swap(a, b);
        }
        root = child;
    }
}

/// Writes the first `k` of `0..count` by the order `before`, sorted, to every `stride`th of `heap`.
pub fn select(heap: &mut [i64], stride: usize, k: usize, count: usize, before: impl Fn(i64, i64) -> bool + Copy) {
    let k = k.min(count);
    if k == 0 {
        return;
    }
    for (index, slot) in heap.iter_mut().step_by(stride.max(1)).take(k).enumerate() {
        *slot = index as i64;
    }
    for root in (0..k / 2).rev() {
        sink(heap, stride, k, root, before);
    }
    for index in k as i64..count as i64 {
        match heap.first_mut() {
            Some(top) if before(index, *top) => *top = index,
            _ => continue,
        }
        sink(heap, stride, k, 0, before);
    }
    for size in (1..k).rev() {
        let last = size.wrapping_mul(stride);
        if last < heap.len() {
            heap.swap(0, last);
        }
        sink(heap, stride, size, 0, before);
    }
}

/// For each column along an axis of `length` (`inner` elements apart): the `k` largest or smallest elements in order, and their
/// indices. Of equals the one with the lower index comes first; NaN is larger than any number.
pub fn top_k<T: Combine>(
    largest: bool,
    (length, inner, k): (usize, usize, usize),
    x: &[T],
    values: &mut [T],
    indices: &mut [i64],
) {
    let (part, selected) = (length.saturating_mul(inner), k.saturating_mul(inner));
    if part == 0 || selected == 0 {
        return;
    }
    let groups = values.chunks_exact_mut(selected).zip(indices.chunks_exact_mut(selected));
    for (part, (values, indices)) in x.chunks_exact(part).zip(groups) {
        for offset in 0..inner {
            let column = Column { values: part, offset, stride: inner, largest };
            let Some(heap) = indices.get_mut(offset..) else { return };
            select(heap, inner, k, length, |a, b| column.before(a, b));
            let chosen = heap.iter().step_by(inner).take(k);
            for (slot, &index) in values.iter_mut().skip(offset).step_by(inner).zip(chosen) {
                *slot = column.at(index).unwrap_or(T::ZERO);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_keep_their_order_and_nan_is_the_largest() {
        let x = [1.0, f32::NAN, 3.0, 1.0, 3.0, -2.0, f32::NAN];
        for (largest, expected) in [(true, [1, 6, 2, 4, 0, 3, 5]), (false, [5, 0, 3, 2, 4, 1, 6])] {
            for k in 1..=7 {
                let (mut values, mut indices) = ([0.0; 7], [0; 7]);
                top_k(largest, (7, 1, k), &x, &mut values[..k], &mut indices[..k]);
                assert_eq!(indices[..k], expected[..k], "{k} of largest {largest}");
            }
        }
    }
}
