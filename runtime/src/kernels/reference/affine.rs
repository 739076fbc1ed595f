//! Conversion between float32 and int8: `real = scale * (stored - zero)`.

use super::fixed_point::Target;

/// `clip(round(x / scale) + zero)`, halves away from zero; NaN becomes the zero point.
pub fn quantize(scale: f32, target: Target, input: &[f32], out: &mut [i8]) {
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
fn range(input: &[f32]) -> (f32, f32) {
    input.iter().fold((0.0, 0.0), |(low, high), &x| (if x < low { x } else { low }, if x > high { x } else { high }))
}

/// Quantizes values to -127..=127 with zero at 0, so that the one farthest from zero becomes 127 or -127.
pub fn quantize_symmetric(input: &[f32], out: &mut [i8]) -> Affine {
    let (low, high) = range(input);
    let range = if -low > high { -low } else { high };
    if range == 0.0 {
        out.fill(0);
        return Affine { scale: 1.0, zero: 0 };
    }
    let inverse = 127.0 / range;
    for (out, &x) in out.iter_mut().zip(input) {
        *out = (libm::roundf(x * inverse) as i32).clamp(-127, 127) as i8;
    }
    Affine { scale: range / 127.0, zero: 0 }
}

/// Quantizes values to -128..=127 with their own scale and zero point, so that the range with 0 in it is used in full.
pub fn quantize_asymmetric(input: &[f32], out: &mut [i8]) -> Affine {
    let (low, high) = range(input);
    if low == high {
        out.fill(0);
        return Affine { scale: 1.0, zero: 0 };
    }
    let (low, high) = (f64::from(low), f64::from(high));
    let step = (high - low) / 255.0;
    // The zero point from the end of the range with the smaller rounding error.
    let from_low = 128.0 + libm::fabs(low / step) < 127.0 + libm::fabs(high / step);
    let exact = if from_low { -128.0 - low / step } else { 127.0 - high / step };
    let zero = libm::round(exact).clamp(-128.0, 127.0) as i8;
    let scale = step as f32;
    let inverse = if scale == 0.0 { 0.0 } else { 1.0 / scale };
    for (out, &x) in out.iter_mut().zip(input) {
        let value = libm::roundf(f32::from(zero) + x * inverse) as i32;
        *out = value.clamp(-128, 127) as i8;
    }
    Affine { scale, zero }
}
