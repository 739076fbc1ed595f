//! Local response normalisation.

use super::float::Float;

/// Parameters of [`local_response`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Response {
    /// Channels that are summed.
    pub size: u32,
    /// Factor of the mean square.
    pub alpha: f32,
    /// Exponent.
    pub beta: f32,
    /// Added to the scaled mean square.
    pub bias: f32,
}

/// `out[c] = x[c] / (bias + alpha / size * sum over i of x[i]^2) ^ beta` for each pixel of `channels` elements, where i runs upwards from
/// `c - (size - 1) / 2`, rounded down, over `size` channels, those outside left out.
pub fn local_response<F: Float>(how: &Response, channels: usize, x: &[F], out: &mut [F]) {
    let size = how.size as usize;
    let before = size.saturating_sub(1) / 2;
    let factor = F::from_f64(f64::from(how.alpha) / f64::from(how.size.max(1)));
    let (beta, bias) = (F::from_f64(how.beta.into()), F::from_f64(how.bias.into()));
    if channels == 0 {
        return;
    }
    for (x, out) in x.chunks_exact(channels).zip(out.chunks_exact_mut(channels)) {
        for (c, (out, &value)) in out.iter_mut().zip(x).enumerate() {
            let end = c.saturating_add(size - before.min(size)).min(channels);
            let seen = x.get(c.saturating_sub(before)..end).unwrap_or_default();
            let sum = seen.iter().fold(F::ZERO, |sum, &x| sum + x * x);
            *out = value / (bias + factor * sum).pow(beta);
        }
    }
}
