//! Pooling over the last axes of a tensor, any number of them, and what undoes it.

use super::coded::coded;
use super::float::Float;
use super::spatial::{Lengths, Sweep};

coded! {
    /// What a window is reduced to, padding apart. The discriminant is the code in an artifact.
    PoolNdKind {
        /// The largest element inside the input; NaN if one is; the type's lowest value if there is none.
        Max = 0,
        /// The sum of the elements inside the input, over their number; 0 if there is none.
        Average = 1,
        /// As `Average`, but the elements of the padding count too, as zeros.
        AveragePadded = 2,
        /// The sum of |x| to the power of p, to the power of 1 / p.
        Norm = 3,
    }
}

/// Calls `visit` for each output element of each part of `input`, with the part, its number, and the element's position.
fn for_each_window<'a, T, O>(
    sweep: &Sweep,
    input: &'a [T],
    out: &mut [O],
    mut visit: impl FnMut(&mut O, (usize, &'a [T]), &[usize]),
) {
    let (part, result) = (sweep.input.positions(), sweep.output.positions());
    if part == 0 || result == 0 {
        return;
    }
    for (part, result) in input.chunks_exact(part).enumerate().zip(out.chunks_exact_mut(result)) {
        let mut result = result.iter_mut();
        sweep.output.for_each(|position| {
            if let Some(out) = result.next() {
                visit(out, part, position);
            }
        });
    }
}

/// The largest element of a window and its number in the part: the first of equals, and the first that does not equal itself (NaN).
fn largest<T: PartialOrd + Copy>(sweep: &Sweep, part: &[T], position: &[usize]) -> Option<(T, usize)> {
    let mut best: Option<(T, usize)> = None;
    sweep.for_each_tap(position, |_, at| {
        let Some(&x) = part.get(at) else { return };
        let better = match best {
            None => true,
            Some((best, _)) => x > best || (is_nan(x) && !is_nan(best)),
        };
        if better {
            best = Some((x, at));
        }
    });
    best
}

#[allow(clippy::eq_op, reason = "what makes NaN differ from all others, for any type")]
fn is_nan<T: PartialOrd>(x: T) -> bool {
    x != x
}

/// The largest element of each window; `lowest` where a window holds none.
pub fn max_pool<T: PartialOrd + Copy>(sweep: &Sweep, lowest: T, input: &[T], out: &mut [T]) {
    for_each_window(sweep, input, out, |out, (_, part), position| {
        *out = largest(sweep, part, position).map_or(lowest, |(x, _)| x);
    });
}

/// Number among all elements of the input of the largest of each window; -1 where a window holds none. With `columns_first` a part's
/// elements are numbered with its first axis fastest.
pub fn max_indices<T: PartialOrd + Copy>(sweep: &Sweep, columns_first: bool, input: &[T], out: &mut [i64]) {
    for_each_window(sweep, input, out, |out, (number, part), position| {
        *out = largest(sweep, part, position).map_or(-1, |(_, at)| {
            let at = if columns_first { column_major(&sweep.input, at) } else { at };
            number.saturating_mul(part.len()).saturating_add(at) as i64
        });
    });
}

/// The number that the `at`th position in C order has when the first axis is the fastest.
fn column_major(lengths: &Lengths, mut at: usize) -> usize {
    let mut number = 0usize;
    for &length in lengths.iter().rev() {
        number = number.saturating_mul(length).saturating_add(at.checked_rem(length).unwrap_or(0));
        at = at.checked_div(length).unwrap_or(0);
    }
    number
}

/// Averages or norms, `kind` being no maximum. Sums start from zero and run over the taps in C order. `counted` is the padding after
/// each axis that [`PoolNdKind::AveragePadded`] counts.
pub fn pool_nd<F: Float>(sweep: &Sweep, kind: PoolNdKind, counted: &[usize], p: u32, input: &[F], out: &mut [F]) {
    let (power, root) = (F::from_f64(p.into()), F::from_f64(1.0 / f64::from(p.max(1))));
    let raised = |x: F| match p {
        1 => Float::abs(x),
        2 => x * x,
        _ => Float::abs(x).pow(power),
    };
    for_each_window(sweep, input, out, |out, (_, part), position| {
        let (mut sum, mut taps) = (F::ZERO, 0);
        sweep.for_each_tap(position, |_, at| {
            let x = part.get(at).copied().unwrap_or(F::ZERO);
            sum = sum + if kind == PoolNdKind::Norm { raised(x) } else { x };
            taps += 1;
        });
        *out = match (kind, p) {
            (PoolNdKind::Norm, 1) => sum,
            (PoolNdKind::Norm, 2) => Float::sqrt(sum),
            (PoolNdKind::Norm, _) => sum.pow(root),
            (PoolNdKind::AveragePadded, _) => sum / F::from_f64(padded_taps(sweep, counted, position).max(1) as f64),
            _ => sum / F::from_f64(taps.max(1) as f64),
        };
    });
}

/// The taps of a window that lie in the input or in its counted padding.
fn padded_taps(sweep: &Sweep, counted: &[usize], position: &[usize]) -> usize {
    let mut taps = 1usize;
    for (axis, &at) in position.iter().enumerate() {
        let (Some(window), Some(&length), Some(&kernel)) =
            (sweep.axes.get(axis), sweep.input.get(axis), sweep.kernel.get(axis))
        else {
            return taps;
        };
        let after = counted.get(axis).copied().unwrap_or(0);
        let padded = length.saturating_add(window.before as usize).saturating_add(after);
        let start = at.saturating_mul(window.stride as usize);
        let inside = padded.saturating_sub(start).div_ceil((window.dilation as usize).max(1));
        taps = taps.saturating_mul(inside.min(kernel));
    }
    taps
}

/// Puts each element of `x` at the place that `indices` gives it among all elements of parts of lengths `from`, and zeros elsewhere. A part of
/// `out` has lengths `to`, of which `from` is the corner. An index outside is taken as the nearest.
pub fn max_unpool<T: bytemuck::Pod>(from: &Lengths, to: &Lengths, x: &[T], indices: &[i64], out: &mut [T]) {
    out.fill(T::zeroed());
    let (part, result) = (from.positions(), to.positions());
    let parts = out.len().checked_div(result).unwrap_or(0);
    let Some(last) = parts.saturating_mul(part).checked_sub(1) else { return };
    for (&x, &index) in x.iter().zip(indices) {
        let index = usize::try_from(index.max(0)).unwrap_or(last).min(last);
        let (number, mut at) = (index / part, index % part);
        let (mut place, mut stride) = (0usize, 1usize);
        for (&from, &to) in from.iter().zip(to.iter()).rev() {
            place = place.saturating_add((at % from.max(1)).saturating_mul(stride));
            at /= from.max(1);
            stride = stride.saturating_mul(to);
        }
        if let Some(slot) = out.get_mut(number.saturating_mul(result).saturating_add(place)) {
            *slot = x;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::spatial::{Direction, MAX_SPATIAL};
    use super::super::window::WindowAxis;
    use super::*;

    /// Windows of two that step by two over five elements, with one of padding before; the last reaches one beyond.
    fn sweep() -> Sweep {
        let axis = WindowAxis { stride: 2, dilation: 1, before: 1, after: 0 };
        let [input, kernel, output] = [5, 2, 3].map(|length| Lengths::new([length]));
        Sweep { direction: Direction::Forward, axes: [axis; MAX_SPATIAL], input, kernel, output }
    }

    #[test]
    fn windows_over_one_axis() {
        let x = [4.0, -1.0, 2.0, 8.0, f32::NAN];
        let mut out = [0.0f32; 3];
        pool_nd(&sweep(), PoolNdKind::Average, &[0], 1, &x[..4], &mut out);
        assert_eq!(out, [0.0; 3]);
        pool_nd(&sweep(), PoolNdKind::Average, &[0], 1, &x, &mut out);
        assert_eq!(out[..2], [4.0, 0.5]);
        pool_nd(&sweep(), PoolNdKind::AveragePadded, &[0], 1, &x, &mut out);
        assert_eq!(out[..2], [2.0, 0.5]);
        pool_nd(&sweep(), PoolNdKind::Norm, &[0], 1, &x, &mut out);
        assert_eq!(out[..2], [4.0, 3.0]);
        max_pool(&sweep(), f32::NEG_INFINITY, &x, &mut out);
        assert_eq!(out[..2], [4.0, 2.0]);
        assert!(out[2].is_nan());
        let mut indices = [0; 3];
        max_indices(&sweep(), false, &x, &mut indices);
        assert_eq!(indices, [0, 2, 4]);
    }

    #[test]
    fn elements_go_back_where_they_were() {
        let (from, to) = (Lengths::new([2, 2]), Lengths::new([3, 2]));
        let mut out = [9.0; 12];
        max_unpool(&from, &to, &[1.0, 2.0, 3.0], &[3, -5, i64::MAX], &mut out);
        assert_eq!(out, [2.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 3.0, 0.0, 0.0]);
        assert_eq!(column_major(&Lengths::new([2, 3]), 4), 3);
    }
}
