//! Functions of 8-bit integers that stand for real numbers, computed in f32 number by number: `quantize(f(dequantize(x), …))`.

use super::binary::{BinaryKind, Number};
use super::broadcast::Walk;
use super::linear::{Byte, Target};

/// What stored integers stand for: `scale * (stored - zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Real {
    /// Real value of one step.
    pub scale: f32,
    /// Stored value of real zero.
    pub zero: i16,
}

impl Real {
    /// The number that a stored integer stands for.
    pub fn of<X: Byte>(self, stored: X) -> f32 {
        f32::from(stored.wide().wrapping_sub(self.zero)) * self.scale
    }
}

/// Where numbers go: divided by the scale, then stored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// Real value of one step.
    pub scale: f32,
    /// Zero point and bounds.
    pub target: Target,
}

impl Place {
    /// The stored byte of a number.
    pub fn store(&self, number: f32) -> u8 {
        self.target.store(number / self.scale)
    }
}

/// `out[i] = combine(a[walk], b[walk])` on the numbers that the integers stand for.
pub fn binary<A: Byte, B: Byte>(
    kind: BinaryKind,
    (a, real_a): (&[A], Real),
    (b, real_b): (&[B], Real),
    place: Place,
    out: &mut [u8],
    walk: &Walk,
) {
    let elements = out.len();
    let mut slots = out.iter_mut();
    walk.for_each(elements, |[at_a, at_b, _]| {
        if let (Some(out), Some(&a), Some(&b)) = (slots.next(), a.get(at_a), b.get(at_b)) {
            *out = place.store(f32::combine(kind, real_a.of(a), real_b.of(b)));
        }
    });
}

/// Softmax along an axis of `length` with `inner` elements after it, as [`super::softmax::softmax`] computes it; exponentials
/// are computed twice, so that no scratch memory is needed.
pub fn softmax<X: Byte>(x: &[X], real: Real, [length, inner]: [usize; 2], place: Place, out: &mut [u8]) {
    let part = length.saturating_mul(inner);
    if part == 0 {
        return;
    }
    for (x, out) in x.chunks_exact(part).zip(out.chunks_exact_mut(part)) {
        for offset in 0..inner {
            let column = || x.iter().skip(offset).step_by(inner).map(|&x| real.of(x));
            let largest = column().fold(f32::NEG_INFINITY, |largest, x| if x > largest { x } else { largest });
            let sum = column().fold(0.0, |sum: f32, x| sum + libm::expf(x - largest));
            for (out, x) in out.iter_mut().skip(offset).step_by(inner).zip(column()) {
                *out = place.store(libm::expf(x - largest) / sum);
            }
        }
    }
}
