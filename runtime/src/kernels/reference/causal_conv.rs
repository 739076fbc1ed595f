//! Convolution of sequences with their past, channel by channel.

use super::float::Float;
use super::unary::{UnaryKind, unary};

/// `y[t] = bias + sum over j of w[j] * p[t + j]`, with p the `k - 1` elements of `past` (zeros where there is none) followed by `x`; then
/// `y * sigmoid(y)` with `silu`. The sum starts from zero and runs upwards in j, the bias is added last. `x` and `out` hold sequences
/// of `length`, as many in turn as there are `bias` and rows of `k` weights; `present`, if wanted, gets the last `k - 1` elements of each p.
pub fn causal_conv<F: Float>(
    silu: bool,
    [length, k]: [usize; 2],
    (x, weights): (&[F], &[F]),
    bias: Option<&[F]>,
    past: Option<&[F]>,
    out: &mut [F],
    mut present: Option<&mut [F]>,
) {
    let (Some(before), channels) = (k.checked_sub(1), weights.len().checked_div(k).unwrap_or(0)) else { return };
    if length == 0 || channels == 0 {
        return;
    }
    for (number, (x, out)) in x.chunks_exact(length).zip(out.chunks_exact_mut(length)).enumerate() {
        let channel = number % channels;
        let first = number.saturating_mul(before);
        let padded = |at: usize| match at.checked_sub(before) {
            Some(at) => x.get(at).copied().unwrap_or(F::ZERO),
            None => past.and_then(|past| past.get(first.saturating_add(at))).copied().unwrap_or(F::ZERO),
        };
        let weights = weights.chunks_exact(k).nth(channel).unwrap_or_default();
        let bias = bias.and_then(|bias| bias.get(channel)).copied();
        for (t, out) in out.iter_mut().enumerate() {
            let sum = weights.iter().enumerate().fold(F::ZERO, |sum, (j, &w)| sum + w * padded(t + j));
            *out = bias.map_or(sum, |bias| sum + bias);
            if silu {
                unary(UnaryKind::Silu, F::ZERO, F::ZERO, core::slice::from_mut(out));
            }
        }
        let slots = present.as_mut().and_then(|all| all.get_mut(first..first.saturating_add(before)));
        for (at, slot) in slots.into_iter().flatten().enumerate() {
            *slot = padded(length.saturating_add(at));
        }
    }
}
