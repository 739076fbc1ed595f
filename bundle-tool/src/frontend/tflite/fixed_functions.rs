//! HARD_SWISH of 8-bit integers in fixed point of 16 bits, as TFLite's reference kernel works it out.

use ekiben_runtime::kernels::reference::fixed_point::{Factor, rounding_shift};
use ekiben_runtime::tensor::Quantization;

use super::quantization::factor;

/// What the function depends on.
#[derive(Clone, Copy, Debug)]
pub(super) struct HardSwish {
    source: Quantization,
    target: Quantization,
    /// From the input's scale to the result's: 16 bits, and the bits to shift right.
    output: (i16, u32),
    /// From the input's scale to one where 3 is 2^15: 16 bits, and the bits to shift left.
    reluish: (i16, i32),
}

impl HardSwish {
    /// `None` where TFLite does not take the scales.
    pub(super) fn new(source: Quantization, target: Quantization) -> Option<Self> {
        let fine = 1.0 / 128.0 * source.scale;
        let output = factor(f64::from(fine / target.scale)).filter(|factor| factor.shift <= 0)?;
        let reluish = factor(f64::from(fine / (3.0 / 32768.0)))?;
        Some(Self {
            source,
            target,
            output: (narrow(output), output.shift.unsigned_abs()),
            reluish: (narrow(reluish), reluish.shift),
        })
    }

    /// The result for a stored value, before it is clipped.
    pub(super) fn value(&self, stored: i32) -> i32 {
        let fine = ((stored - self.source.zero_point) * (1 << 7)) as i16;
        let scaled = rounding_high_mul(fine, self.output.0);
        let (multiplier, shift) = self.reluish;
        let mut gate = fine;
        if shift > 0 {
            gate = saturating_left(gate, shift as u32 - 1);
        }
        gate = rounding_high_mul(gate, multiplier);
        if shift > 0 {
            gate = saturating_left(gate, 1);
        } else {
            gate = rounding_shift(gate.into(), shift.unsigned_abs()) as i16;
        }
        // From -1 to 1 to 0 to 1.
        let gate = (i32::from(gate) + (1 << 15)) >> 1;
        let product = (gate * i32::from(scaled)) / (1 << 15);
        rounding_shift(product, self.output.1) + self.target.zero_point
    }
}

/// The multiplier in 16 bits.
fn narrow(factor: Factor) -> i16 {
    (factor.multiplier.saturating_add(1 << 15) >> 16).min(i16::MAX.into()) as i16
}

/// `a * b / 2^15`, rounded to the nearest.
fn rounding_high_mul(a: i16, b: i16) -> i16 {
    if a == i16::MIN && b == i16::MIN {
        return i16::MAX;
    }
    let product = i32::from(a) * i32::from(b);
    let nudge = if product >= 0 { 1 << 14 } else { 1 - (1 << 14) };
    ((product + nudge) / (1 << 15)) as i16
}

fn saturating_left(x: i16, shift: u32) -> i16 {
    let shifted = i64::from(x) << shift.min(31);
    shifted.clamp(i16::MIN.into(), i16::MAX.into()) as i16
}
