//! Conversion between float32 and int8 or int16: `real = scale * (stored - zero)`.

use super::fixed_point::{Stored, Target};

/// `clip(round(x / scale) + zero)`, halves away from zero; NaN becomes the zero point.
pub fn quantize<T: Stored>(scale: f32, target: Target<T>, input: &[f32], out: &mut [T]) {
    for (out, &x) in out.iter_mut().zip(input) {
        let steps = libm::roundf(x / scale) as i32;
        *out = target.clip(steps.saturating_add(target.zero.into()));
    }
}

/// `scale * (x - zero)`.
pub fn dequantize(scale: f32, zero: i8, input: &[i8], out: &mut [f32]) {
    for (out, &x) in out.iter_mut().zip(input) {
        *out = scale * (i16::from(x) - i16::from(zero)) as f32;
    }
}

/// How values were quantized: `real = scale * (stored - zero)`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Affine {
    /// Real value of one step.
    pub scale: f32,
    /// Stored value of real zero.
    pub zero: i8,
}

/// The lowest and the highest value, 0 included.
pub(super) fn range(input: &[f32]) -> (f32, f32) {
    input.iter().fold((0.0, 0.0), |(low, high), &x| (if x < low { x } else { low }, if x > high { x } else { high }))
}

/// How values of a known range are quantized.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantizer {
    /// What the results stand for.
    pub affine: Affine,
    inverse: f32,
    lowest: i32,
}

impl Quantizer {
    /// To -127..=127 with zero at 0, so that the value of `input` farthest from zero becomes 127 or -127.
    pub fn symmetric(input: &[f32]) -> Self {
        let (low, high) = range(input);
        let range = if -low > high { -low } else { high };
        if range == 0.0 {
            return Self { affine: Affine { scale: 1.0, zero: 0 }, inverse: 0.0, lowest: -127 };
        }
        Self { affine: Affine { scale: range / 127.0, zero: 0 }, inverse: 127.0 / range, lowest: -127 }
    }

    /// To -128..=127 with a scale and a zero point of `input`'s own, so that its range with 0 in it is used in full.
    pub fn asymmetric(input: &[f32]) -> Self {
        let (low, high) = range(input);
        if low == high {
            return Self { affine: Affine { scale: 1.0, zero: 0 }, inverse: 0.0, lowest: -128 };
        }
        let (low, high) = (f64::from(low), f64::from(high));
        let step = (high - low) / 255.0;
        // The zero point from the end of the range with the smaller rounding error.
        let from_low = 128.0 + libm::fabs(low / step) < 127.0 + libm::fabs(high / step);
        let exact = if from_low { -128.0 - low / step } else { 127.0 - high / step };
        let zero = libm::round(exact).clamp(-128.0, 127.0) as i8;
        let scale = step as f32;
        let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
        Self { affine: Affine { scale, zero }, inverse, lowest: -128 }
    }

    /// Quantizes values.
    pub fn apply(&self, input: &[f32], out: &mut [i8]) {
        for (out, &x) in out.iter_mut().zip(input) {
            let value = libm::roundf(f32::from(self.affine.zero) + x * self.inverse) as i32;
            *out = value.clamp(self.lowest, 127) as i8;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_round_away_from_zero_and_are_clipped() {
        let target = Target { zero: 10, low: -100, high: 127 };
        let x = [0.0, 0.25, -0.25, 1.2, -1.2, 1e9, -1e9, f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
        let mut out = [0; 10];
        quantize(0.5, target, &x, &mut out);
        assert_eq!(out, [10, 11, 9, 12, 8, 127, -100, 10, 127, -100]);
        let mut back = [0.0; 10];
        dequantize(0.5, 10, &out, &mut back);
        assert_eq!(back[..5], [0.0, 0.5, -0.5, 1.0, -1.0]);
    }

    fn quantize_symmetric(input: &[f32], out: &mut [i8]) -> Affine {
        let quantizer = Quantizer::symmetric(input);
        quantizer.apply(input, out);
        quantizer.affine
    }

    fn quantize_asymmetric(input: &[f32], out: &mut [i8]) -> Affine {
        let quantizer = Quantizer::asymmetric(input);
        quantizer.apply(input, out);
        quantizer.affine
    }

    #[test]
    fn a_range_is_used_in_full() {
        let mut out = [0; 4];
        assert_eq!(quantize_symmetric(&[-2.54, 1.27, 0.0, 0.01], &mut out).zero, 0);
        assert_eq!(out, [-127, 64, 0, 1]);
        let affine = quantize_asymmetric(&[0.0, 2.55, 1.0, 0.0], &mut out);
        assert_eq!((affine.zero, out), (-128, [-128, 127, -28, -128]));
        let affine = quantize_asymmetric(&[-3.0, -1.0, -2.0, -3.0], &mut out);
        assert_eq!((affine.zero, out), (127, [-128, 42, -43, -128]));
        assert_eq!(quantize_asymmetric(&[0.0; 4], &mut out), Affine { scale: 1.0, zero: 0 });
        assert_eq!(out, [0; 4]);
    }

    #[test]
    fn any_numbers_are_quantized_without_harm() {
        let mut out = [0; 3];
        for x in [[f32::NAN, 1.0, -1.0], [f32::INFINITY, 0.0, 1.0], [f32::MAX, f32::MIN, 1.0], [1e-45, 0.0, -1e-45]] {
            quantize_symmetric(&x, &mut out);
            quantize_asymmetric(&x, &mut out);
        }
    }
}
