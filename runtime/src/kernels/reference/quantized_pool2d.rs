//! Pooling of int8 and int16 images whose result has the input's scale.

use super::fixed_point::{Stored, Target};
use super::pool2d::PoolKind;
use super::window::Sliding;

/// Channels reduced at a time.
const BLOCK: usize = 16;

/// Reduces each channel over the window and clips; the target's zero point is not used.
///
/// An average is the sum of the stored values over their number, rounded to the nearest, halves away from zero. A window without
/// elements gives the lowest value as a maximum and 0 as an average, before clipping.
pub fn pool2d<T: Stored + Ord>(sliding: &Sliding, kind: PoolKind, target: Target<T>, input: &[T], out: &mut [T]) {
    sliding.for_each_pixel(input, out, |pixel, patch| {
        if kind == PoolKind::Max {
            pixel.fill(T::saturate(i32::MIN));
            for (_, seen) in patch.pixels() {
                for (out, &x) in pixel.iter_mut().zip(seen) {
                    *out = x.max(*out);
                }
            }
            for out in pixel {
                *out = target.clip((*out).into());
            }
            return;
        }
        let taps = match kind {
            PoolKind::AveragePadded => sliding.kernel[0].saturating_mul(sliding.kernel[1]),
            _ => patch.taps(),
        };
        let taps = i32::try_from(taps).unwrap_or(i32::MAX).max(1);
        for (block, out) in pixel.chunks_mut(BLOCK).enumerate() {
            let mut sums = [0i32; BLOCK];
            for (_, seen) in patch.pixels() {
                let seen = seen.get(block * BLOCK..).unwrap_or_default();
                for (sum, &x) in sums.iter_mut().zip(seen) {
                    *sum = sum.wrapping_add(x.into());
                }
            }
            for (out, &sum) in out.iter_mut().zip(&sums) {
                let half = if sum > 0 { taps / 2 } else { -(taps / 2) };
                *out = target.clip(sum.wrapping_add(half) / taps);
            }
        }
    });
}
