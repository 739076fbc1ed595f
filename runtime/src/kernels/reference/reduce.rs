//! Reductions.

use super::binary::{BinaryKind, Number};
use super::broadcast::Walk;
use super::float::Float;
use super::integer::Narrow;

/// How the elements of a part become one. The discriminant is the code in an artifact. Elements are taken in C order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ReduceKind {
    /// Sum.
    Sum = 0,
    /// Product.
    Prod = 1,
    /// Smallest; NaN if any is.
    Min = 2,
    /// Largest; NaN if any is.
    Max = 3,
    /// Sum over the number of elements; floats only.
    Mean = 4,
    /// Sum of absolute values; floats only.
    L1 = 5,
    /// Square root of the sum of squares; floats only.
    L2 = 6,
    /// Sum of squares; floats only.
    SumSquare = 7,
}

impl ReduceKind {
    const ALL: [Self; 8] =
        [Self::Sum, Self::Prod, Self::Min, Self::Max, Self::Mean, Self::L1, Self::L2, Self::SumSquare];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reduction with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// True when the reduction is defined for integers.
    pub const fn takes_integers(self) -> bool {
        matches!(self, Self::Sum | Self::Prod | Self::Min | Self::Max)
    }

    fn combination(self) -> BinaryKind {
        match self {
            Self::Sum | Self::Mean | Self::L1 | Self::L2 | Self::SumSquare => BinaryKind::Add,
            Self::Prod => BinaryKind::Mul,
            Self::Min => BinaryKind::Min,
            Self::Max => BinaryKind::Max,
        }
    }
}

/// Combines each element, after `before`, into the element of `out` that `walk` over `x` names. `out` holds what to start from.
fn accumulate<T: Number>(kind: BinaryKind, x: &[T], out: &mut [T], walk: &Walk, before: impl Fn(T) -> T) {
    let mut elements = x.iter();
    walk.for_each(x.len(), |[at, _, _]| {
        if let (Some(out), Some(&x)) = (out.get_mut(at), elements.next()) {
            *out = T::combine(kind, *out, before(x));
        }
    });
}

/// Reduces `x` to `out`; `walk` goes over `x` and gives positions in `out`, and `count` elements of `x` meet in each of them.
pub fn reduce_float<F: Float + Number>(kind: ReduceKind, x: &[F], out: &mut [F], walk: &Walk, count: usize) {
    out.fill(match kind {
        ReduceKind::Prod => F::ONE,
        ReduceKind::Min => -F::NEG_INFINITY,
        ReduceKind::Max => F::NEG_INFINITY,
        _ => F::ZERO,
    });
    let combination = kind.combination();
    match kind {
        ReduceKind::L1 => accumulate(combination, x, out, walk, Float::abs),
        ReduceKind::L2 | ReduceKind::SumSquare => accumulate(combination, x, out, walk, |x| x * x),
        _ => accumulate(combination, x, out, walk, |x| x),
    }
    match kind {
        ReduceKind::Mean => {
            let count = F::from_f64(count as f64);
            out.iter_mut().for_each(|out| *out = *out / count);
        }
        ReduceKind::L2 => out.iter_mut().for_each(|out| *out = Float::sqrt(*out)),
        _ => {}
    }
}

/// As [`reduce_float`], for the reductions that integers have; `bounds` are the type's smallest and largest value.
pub fn reduce_integer<T: Number + From<u8>>(kind: ReduceKind, x: &[T], out: &mut [T], walk: &Walk, bounds: [T; 2]) {
    out.fill(match kind {
        ReduceKind::Prod => T::from(1),
        ReduceKind::Min => bounds[1],
        ReduceKind::Max => bounds[0],
        _ => T::from(0),
    });
    accumulate(kind.combination(), x, out, walk, |x| x);
}

/// As [`reduce_integer`] for integers of one, two or four bytes.
pub fn reduce_narrow(kind: ReduceKind, narrow: Narrow, x: &[u8], out: &mut [u8], walk: &Walk) {
    let [least, most] = narrow.bounds();
    let start = match kind {
        ReduceKind::Prod => 1,
        ReduceKind::Min => most,
        ReduceKind::Max => least,
        _ => 0,
    };
    let width = narrow.width.max(1);
    (0..out.len() / width).for_each(|index| narrow.put(out, index, start));
    let mut at_x = 0;
    walk.for_each(x.len() / width, |[at, _, _]| {
        if let (Some(sum), Some(x)) = (narrow.get(out, at), narrow.get(x, at_x)) {
            narrow.put(out, at, i64::combine(kind.combination(), sum, x));
        }
        at_x += 1;
    });
}

/// Index of the largest (or smallest) element along an axis of `length`, for each position before and after it (`inner` of
/// them after): the first of equals, or the last. `x` gives the `elements` elements. NaN is never larger or smaller.
pub fn arg_extreme<T: PartialOrd>(
    (smallest, last): (bool, bool),
    x: impl Fn(usize) -> Option<T>,
    elements: usize,
    length: usize,
    inner: usize,
    mut put: impl FnMut(i64),
) {
    let part = length.saturating_mul(inner);
    if part == 0 {
        return;
    }
    for start in (0..elements / part).map(|index| index * part) {
        for offset in start..start + inner {
            let Some(mut best) = x(offset) else { return };
            let mut at = 0;
            for index in 1..length {
                let Some(element) = x(offset + index * inner) else { return };
                let better = if smallest { element < best } else { element > best };
                if better || (last && element == best) {
                    (best, at) = (element, index);
                }
            }
            put(at as i64);
        }
    }
}
