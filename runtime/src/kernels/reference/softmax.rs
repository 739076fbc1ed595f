//! Softmax and normalisation along an axis.

use super::float::Float;

/// Softmax, or its logarithm, along an axis of `length` with `inner` elements after it, in the place of the scores.
///
/// With m the largest element: `exp(x - m) / sum of exp(x - m)`, or `x - m - ln(sum of exp(x - m))`; the sum runs upwards.
pub fn softmax<F: Float>(log: bool, length: usize, inner: usize, scores: &mut [F]) {
    let part = length.saturating_mul(inner);
    if part == 0 {
        return;
    }
    for part in scores.chunks_exact_mut(part) {
        for offset in 0..inner {
            let column = part.iter().skip(offset).step_by(inner).copied();
            let largest = column.fold(F::NEG_INFINITY, |largest, x| if x > largest { x } else { largest });
            let mut sum = F::ZERO;
            for value in part.iter_mut().skip(offset).step_by(inner) {
                let shifted = *value - largest;
                let power = shifted.exp();
                sum = sum + power;
                *value = if log { shifted } else { power };
            }
            let log_sum = sum.ln();
            for value in part.iter_mut().skip(offset).step_by(inner) {
                *value = if log { *value - log_sum } else { *value / sum };
            }
        }
    }
}

/// What a normalisation of parts of `length` elements does.
#[derive(Clone, Copy, Debug)]
pub struct Norm<'a, F> {
    /// The mean is taken off; otherwise it counts as 0.
    pub centred: bool,
    /// Added to the variance.
    pub epsilon: F,
    /// Elements of a part.
    pub length: usize,
    /// Factor for each element of a part.
    pub scale: Option<&'a [F]>,
    /// Added to each element of a part.
    pub bias: Option<&'a [F]>,
}

impl<F: Float> Norm<'_, F> {
    /// Each x becomes `(x - mean) / sqrt(variance + epsilon) * scale + bias`, the variance being the mean of `(x - mean)^2`. Sums run upwards from zero.
    /// `note` is called with the number of each part, its mean, and the reciprocal of the root.
    pub fn run(&self, values: &mut [F], mut note: impl FnMut(usize, F, F)) {
        let length = self.length.max(1);
        let count = F::from_f64(length as f64);
        for (part, x) in values.chunks_exact_mut(length).enumerate() {
            let mean = if self.centred { x.iter().fold(F::ZERO, |sum, &x| sum + x) / count } else { F::ZERO };
            let variance = x.iter().fold(F::ZERO, |sum, &x| sum + (x - mean) * (x - mean)) / count;
            let deviation = (variance + self.epsilon).sqrt();
            note(part, mean, F::ONE / deviation);
            for (index, x) in x.iter_mut().enumerate() {
                let of = |values: Option<&[F]>| values.and_then(|values| values.get(index)).copied();
                let scaled = (*x - mean) / deviation * of(self.scale).unwrap_or(F::ONE);
                *x = scaled + of(self.bias).unwrap_or(F::ZERO);
            }
        }
    }
}
