//! Softmax and normalisation along an axis.

use super::float::Float;

/// Softmax, or its logarithm, along an axis of `length` with `inner` elements after it.
///
/// With m the largest element: `exp(x - m) / sum of exp(x - m)`, or `x - m - ln(sum of exp(x - m))`; the sum runs upwards.
pub fn softmax<F: Float>(log: bool, x: &[F], length: usize, inner: usize, out: &mut [F]) {
    let part = length.saturating_mul(inner);
    if part == 0 {
        return;
    }
    for (x, out) in x.chunks_exact(part).zip(out.chunks_exact_mut(part)) {
        for offset in 0..inner {
            let column = || x.iter().skip(offset).step_by(inner).copied();
            let largest = column().fold(F::NEG_INFINITY, |largest, x| if x > largest { x } else { largest });
            let slots = || (offset..part).step_by(inner);
            let mut sum = F::ZERO;
            for (slot, x) in slots().zip(column()) {
                let shifted = x - largest;
                let power = shifted.exp();
                sum = sum + power;
                if let Some(out) = out.get_mut(slot) {
                    *out = if log { shifted } else { power };
                }
            }
            let log_sum = sum.ln();
            for slot in slots() {
                if let Some(out) = out.get_mut(slot) {
                    *out = if log { *out - log_sum } else { *out / sum };
                }
            }
        }
    }
}

/// Layer normalisation of parts of `length` elements: `(x - mean) / sqrt(variance + epsilon) * scale + bias`, the variance
/// being the mean of `(x - mean)^2`.
pub fn layer_norm<F: Float>(epsilon: F, x: &[F], length: usize, scale: &[F], bias: Option<&[F]>, out: &mut [F]) {
    let count = F::from_f64(length as f64);
    for (x, out) in x.chunks_exact(length.max(1)).zip(out.chunks_exact_mut(length.max(1))) {
        let mean = x.iter().fold(F::ZERO, |sum, &x| sum + x) / count;
        let variance = x.iter().fold(F::ZERO, |sum, &x| sum + (x - mean) * (x - mean)) / count;
        let deviation = (variance + epsilon).sqrt();
        for (index, (out, &x)) in out.iter_mut().zip(x).enumerate() {
            let scaled = (x - mean) / deviation * scale.get(index).copied().unwrap_or(F::ONE);
            *out = scaled + bias.and_then(|bias| bias.get(index)).copied().unwrap_or(F::ZERO);
        }
    }
}
