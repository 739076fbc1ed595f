//! Scales and zero points of a TFLite file, and the fixed-point factors that TFLite's reference kernels derive from them.

use ekiben_runtime::ops::quantized_conv2d::Factor;
use ekiben_runtime::ops::quantized_log_softmax::Scaling;
use ekiben_runtime::tensor::Quantization;
use tract_tflite::tflite;

/// How a tensor's integers stand for real numbers: one scale for all, or one for each index of an axis.
#[derive(Debug)]
pub(super) struct Quantized {
    /// Positive and finite; at least one.
    pub(super) scales: Vec<f32>,
    /// Stored value of real zero: the first.
    zero_point: i64,
    /// All zero points are 0.
    pub(super) is_symmetric: bool,
    /// The axis, where there are several scales.
    pub(super) axis: usize,
}

impl Quantized {
    /// Reads the parameters of a tensor; `None` when the file states none.
    pub(super) fn read(stated: &tflite::QuantizationParameters<'_>, shape: &[usize]) -> Result<Option<Self>, String> {
        let Some(scales) = stated.scale().filter(|scales| !scales.is_empty()) else { return Ok(None) };
        let axis = usize::try_from(stated.quantized_dimension()).unwrap_or(usize::MAX);
        if scales.len() > 1 && shape.get(axis) != Some(&scales.len()) {
            return Err(format!("{} scales for axis {axis} of {shape:?}", scales.len()));
        }
        let scales: Vec<f32> = scales.into_iter().collect();
        if let Some(scale) = scales.iter().find(|scale| !(scale.is_finite() && **scale > 0.0)) {
            return Err(format!("a scale of {scale}"));
        }
        let zero_points = stated.zero_point().filter(|zero_points| !zero_points.is_empty());
        if let Some(zero_points) = zero_points.filter(|zero_points| zero_points.len() != scales.len()) {
            return Err(format!("{} zero points for {} scales", zero_points.len(), scales.len()));
        }
        let zero_point = zero_points.map_or(0, |zero_points| zero_points.get(0));
        let is_symmetric = zero_points.into_iter().flatten().all(|zero_point| zero_point == 0);
        Ok(Some(Self { scales, zero_point, is_symmetric, axis }))
    }

    /// The parameters, when one pair holds for the whole tensor and the zero point is an int32.
    pub(super) fn per_tensor(&self) -> Option<Quantization> {
        match self.scales.as_slice() {
            &[scale] => Some(Quantization { scale, zero_point: i32::try_from(self.zero_point).ok()? }),
            _ => None,
        }
    }
}

/// The fixed-point factor nearest to a positive number: its significand in 31 bits, halves away from zero. Below 2^-32 it is 0; a
/// number of 2^31 or more has none.
pub(super) fn factor(value: f64) -> Option<Factor> {
    if value == 0.0 {
        return Some(Factor { multiplier: 0, shift: 0 });
    }
    let (significand, mut shift) = significand_and_exponent(value)?;
    let mut multiplier = (significand * (1u64 << 31) as f64).round() as i64;
    if multiplier == 1 << 31 {
        multiplier /= 2;
        shift += 1;
    }
    if shift < -31 {
        return Some(Factor { multiplier: 0, shift: 0 });
    }
    Some(Factor { multiplier: i32::try_from(multiplier).ok()?, shift }).filter(|_| shift <= 31)
}

/// `value = significand * 2^exponent` with the significand from 1/2 (included) to 1. `None` for numbers that are not positive and finite.
fn significand_and_exponent(value: f64) -> Option<(f64, i32)> {
    const EXPONENT_BITS: u32 = 52;
    const BIAS: i32 = 1022;
    if !(value.is_finite() && value > 0.0) {
        return None;
    }
    if value < f64::MIN_POSITIVE {
        let (significand, exponent) = significand_and_exponent(value * (1u64 << 54) as f64)?;
        return Some((significand, exponent - 54));
    }
    let bits = value.to_bits();
    let exponent = (bits >> EXPONENT_BITS) as i32 - BIAS;
    let fraction = bits & ((1 << EXPONENT_BITS) - 1);
    Some((f64::from_bits(((BIAS as u64) << EXPONENT_BITS) | fraction), exponent))
}

/// The factor of an int8 softmax's differences, and the smallest difference whose exponential counts.
///
/// A difference of stored values times `beta * scale` becomes a fixed-point number with 5 bits before the point.
pub(super) fn softmax_factor(beta: f32, scale: f32) -> Option<(Factor, i32)> {
    const INTEGER_BITS: i32 = 5;
    let real = f64::from(beta) * f64::from(scale) * f64::from(1 << (31 - INTEGER_BITS));
    let factor = factor(real.min(((1u64 << 31) - 1) as f64)).filter(|factor| factor.shift >= 0)?;
    let largest =
        f64::from((1 << INTEGER_BITS) - 1) * f64::from(1 << (31 - INTEGER_BITS)) / (1u64 << factor.shift) as f64;
    Some((factor, -(largest.floor() as i32)))
}

/// How the differences of an int8 log-softmax are scaled: as those of a softmax, and back.
pub(super) fn log_softmax_scaling(scale: f32) -> Option<Scaling> {
    let (forward, lowest) = softmax_factor(1.0, scale)?;
    let back = 2f64.powi(31 - forward.shift) / f64::from(forward.multiplier);
    Some(Scaling { factor: forward, reverse: factor(back)?, lowest })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn factors_are_significand_and_exponent() {
        let of = |value| factor(value).map(|factor| (factor.multiplier, factor.shift));
        assert_eq!(of(1.0), Some((1 << 30, 1)));
        assert_eq!(of(0.75), Some((3 << 29, 0)));
        assert_eq!(of(1.0 - f64::EPSILON / 2.0), Some((1 << 30, 1)), "the significand rounds up to 1");
        assert_eq!(of(2f64.powi(-32)), Some((1 << 30, -31)));
        assert_eq!(of(2f64.powi(-33)), Some((0, 0)));
        assert_eq!(of(f64::from_bits(1)), Some((0, 0)), "the smallest positive number");
        assert_eq!(of(0.0), Some((0, 0)));
        assert_eq!(of(2f64.powi(31)), None);
        for bad in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(of(bad), None);
        }
        for value in [0.3, 1e-7, 123.456, 0.001_234_5] {
            let (multiplier, shift) = of(value).unwrap();
            let back = f64::from(multiplier) * 2f64.powi(shift - 31);
            assert!((back / value - 1.0).abs() < 1e-9, "{value} {back}");
        }
    }
}
