//! Pooling of 8-bit integers.

use super::integer_float::{Place, Real};
use super::linear::Byte;
use super::pool2d::PoolKind;
use super::window::Sliding;

/// Reduces each channel over the window, as [`super::pool2d`] does with the numbers that the integers stand for, to the bit.
///
/// The largest is the largest stored integer, clipped: it keeps its scale.
pub fn pool2d<X: Byte>(sliding: &Sliding, kind: PoolKind, (input, real): (&[X], Real), place: Place, out: &mut [u8]) {
    sliding.for_each_pixel(input, out, |pixel, patch| {
        let taps = match kind {
            PoolKind::AveragePadded => sliding.kernel[0].saturating_mul(sliding.kernel[1]),
            _ => patch.taps(),
        };
        for (channel, out) in pixel.iter_mut().enumerate() {
            let seen = patch.pixels().filter_map(|(_, pixel)| pixel.get(channel).copied());
            *out = match kind {
                PoolKind::Max => place.target.clip(seen.map(X::wide).max().unwrap_or(place.target.low)),
                _ => place.store(seen.fold(0.0, |sum: f32, x| sum + real.of(x)) / taps.max(1) as f32),
            };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::linear::Target;
    use crate::kernels::reference::window::{Image, Window, WindowAxis};

    #[test]
    fn averages_and_largest_of_what_is_inside() {
        let axis = WindowAxis { stride: 2, dilation: 1, before: 1, after: 0 };
        let window = Window { rows: WindowAxis::DENSE, columns: axis };
        let input = Image { height: 1, width: 3, channels: 1 };
        let s = Sliding { window, kernel: [1, 2], input, output: Image { height: 1, width: 2, channels: 1 } };
        let (x, real) = ([110u8, 90, 255], Real { scale: 0.25, zero: 100 });
        let place = Place { scale: 0.5, target: Target { zero: 3, low: 0, high: 250 } };
        let mut out = [0; 2];
        pool2d(&s, PoolKind::Average, (&x, real), place, &mut out);
        assert_eq!(out, [8, 39], "10 / 2 + 3; 145 / 2 / 2 is 36.25");
        pool2d(&s, PoolKind::AveragePadded, (&x, real), place, &mut out);
        assert_eq!(out, [5, 39], "2.5 goes to 2");
        pool2d(&s, PoolKind::Max, (&x, real), place, &mut out);
        assert_eq!(out, [110, 250]);
    }
}
