//! Pooling in f32.

use super::window::Sliding;

/// What a window is reduced to. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PoolKind {
    /// The largest element inside the input; NaN if one is; minus infinity if there is none.
    Max = 0,
    /// The sum of the elements inside the input, over their number; 0 if there is none.
    Average = 1,
    /// The sum of the elements inside the input, over the number of the kernel's taps: padding counts as zeros.
    AveragePadded = 2,
}

impl PoolKind {
    const ALL: [Self; 3] = [Self::Max, Self::Average, Self::AveragePadded];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The reduction with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// Reduces each channel over the window. Sums start from zero and run over the taps row by row.
pub fn pool2d(sliding: &Sliding, kind: PoolKind, input: &[f32], out: &mut [f32]) {
    sliding.for_each_pixel(input, out, |pixel, patch| {
        if kind == PoolKind::Max {
            pixel.fill(f32::NEG_INFINITY);
            for (_, seen) in patch.pixels() {
                for (out, &x) in pixel.iter_mut().zip(seen) {
                    *out = if x > *out || x.is_nan() { x } else { *out };
                }
            }
            return;
        }
        pixel.fill(0.0);
        for (_, seen) in patch.pixels() {
            for (out, &x) in pixel.iter_mut().zip(seen) {
                *out += x;
            }
        }
        let taps = match kind {
            PoolKind::AveragePadded => sliding.kernel[0].saturating_mul(sliding.kernel[1]),
            _ => patch.taps(),
        };
        for out in pixel {
            *out /= taps.max(1) as f32;
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::window::{Image, Window, WindowAxis};

    #[test]
    fn padding_is_no_element() {
        let axis = WindowAxis { stride: 2, dilation: 1, before: 1, after: 0 };
        let window = Window { rows: WindowAxis::DENSE, columns: axis };
        let input = Image { height: 1, width: 3, channels: 2 };
        let s = Sliding { window, kernel: [1, 2], input, output: Image { height: 1, width: 2, channels: 2 } };
        let x = [-1.0, 2.0, f32::NAN, 4.0, -5.0, 9.0];
        let mut out = [0.0f32; 4];
        pool2d(&s, PoolKind::Max, &x, &mut out);
        assert!(out[2].is_nan());
        assert_eq!([out[0], out[1], out[3]], [-1.0, 2.0, 9.0]);
        let x = [-1.0, 2.0, 3.0, 4.0, -5.0, 9.0];
        pool2d(&s, PoolKind::Average, &x, &mut out);
        assert_eq!(out, [-1.0, 2.0, -1.0, 6.5]);
        pool2d(&s, PoolKind::AveragePadded, &x, &mut out);
        assert_eq!(out, [-0.5, 1.0, -1.0, 6.5]);
    }
}
