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

/// Combines two tensors by the numbers that their integers stand for. `out` holds tensor number `held`, 0 or 1; `walk` broadcasts the
/// other one. `reals` and `signed` say what the integers of both are.
pub fn binary(
    kind: BinaryKind,
    held: usize,
    (reals, signed): ([Real; 2], [bool; 2]),
    place: Place,
    other: &[u8],
    out: &mut [u8],
    walk: &Walk,
) {
    let number = |real: Real, signed: bool, byte: u8| if signed { real.of(byte as i8) } else { real.of(byte) };
    walk.zip(out, other, |out, other| {
        let [a, b] = if held == 1 { [other, *out] } else { [*out, other] };
        let (a, b) = (number(reals[0], signed[0], a), number(reals[1], signed[1], b));
        *out = place.store(f32::combine(kind, a, b));
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
