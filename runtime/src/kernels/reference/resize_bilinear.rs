//! Bilinear interpolation of images with channels last, as TFLite's reference kernels have it (`reference/resize_bilinear.h`).

use super::window::Image;

/// Where the pixels of the result lie in the input. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Corners {
    /// Result place `i` lies at `i * input / output`.
    Left = 0,
    /// The first and the last places lie on each other.
    Aligned = 1,
    /// Centres of pixels: `(i + 1/2) * input / output - 1/2`.
    HalfPixel = 2,
}

impl Corners {
    const ALL: [Self; 3] = [Self::Left, Self::Aligned, Self::HalfPixel];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The rule with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// The two places of an axis that a result's place lies between, and how far it is from the first of them, in `W`.
struct Between<W> {
    low: usize,
    high: usize,
    weight: W,
}

/// Elements that can be interpolated.
pub trait Interpolated: Copy {
    /// How far a place lies from another.
    type Weight: Copy;

    /// Where place `at` of `output` lies among `input` places.
    fn between(corners: Corners, at: usize, input: usize, output: usize) -> (usize, usize, Self::Weight);

    /// Of the corners `[[low y low x, low y high x], [high y low x, high y high x]]`.
    fn interpolate(corners: [[Self; 2]; 2], y: Self::Weight, x: Self::Weight) -> Self;
}

impl Interpolated for f32 {
    type Weight = f32;

    fn between(corners: Corners, at: usize, input: usize, output: usize) -> (usize, usize, f32) {
        let scale = match corners {
            Corners::Aligned if output > 1 => (input - 1) as f32 / (output - 1) as f32,
            _ => input as f32 / output as f32,
        };
        let place = match corners {
            Corners::HalfPixel => (at as f32 + 0.5) * scale - 0.5,
            _ => at as f32 * scale,
        };
        let low = libm::floorf(place).max(0.0) as usize;
        let high = libm::ceilf(place).max(0.0) as usize;
        (low.min(input - 1), high.min(input - 1), place - low as f32)
    }

    fn interpolate([[ll, lr], [hl, hr]]: [[f32; 2]; 2], y: f32, x: f32) -> f32 {
        ll * (1.0 - y) * (1.0 - x) + hl * y * (1.0 - x) + lr * (1.0 - y) * x + hr * y * x
    }
}

/// Bits after the binary point of an integer weight.
const FRACTION: u32 = 10;

/// Integers: places and weights have ten bits after the point; halves are rounded away from zero.
macro_rules! integer {
    ($($type:ty),*) => {$(
        impl Interpolated for $type {
            type Weight = i64;

            fn between(corners: Corners, at: usize, input: usize, output: usize) -> (usize, usize, i64) {
                let (from, to) = match corners {
                    Corners::Aligned if output > 1 => (input as i64 - 1, output as i64 - 1),
                    _ => (input as i64, output as i64),
                };
                let scale = ((from << FRACTION) + to / 2) / to;
                let half = if corners == Corners::HalfPixel { scale / 2 - (1 << (FRACTION - 1)) } else { 0 };
                let place = (at as i64).saturating_mul(scale).saturating_add(half);
                let one = 1i64 << FRACTION;
                let last = input as i64 - 1;
                let low = (place / one).clamp(0, last);
                let high = ((place + one - 1) / one).clamp(0, last);
                (low as usize, high as usize, place - low * one)
            }

            fn interpolate([[ll, lr], [hl, hr]]: [[$type; 2]; 2], y: i64, x: i64) -> $type {
                let one = 1i64 << FRACTION;
                let sum = i64::from(ll) * (one - y) * (one - x)
                    + i64::from(hl) * y * (one - x)
                    + i64::from(lr) * (one - y) * x
                    + i64::from(hr) * y * x;
                let half = 1i64 << (2 * FRACTION - 1);
                ((if sum > 0 { sum + half } else { sum - half }) / (one * one)) as $type
            }
        }
    )*};
}
integer!(i8, i16);

/// Interpolates images; none of the lengths is 0.
pub fn resize_bilinear<T: Interpolated>(corners: Corners, from: Image, to: Image, input: &[T], out: &mut [T]) {
    let channels = from.channels.max(1);
    let (image, pixels) = (from.height * from.width * channels, to.height * to.width * channels);
    if image == 0 || pixels == 0 {
        return;
    }
    let between = |at, input, output| {
        let (low, high, weight) = T::between(corners, at, input, output);
        Between { low, high, weight }
    };
    for (out, input) in out.chunks_exact_mut(pixels).zip(input.chunks_exact(image)) {
        for (number, pixel) in out.chunks_exact_mut(channels).enumerate() {
            let y = between(number / to.width, from.height, to.height);
            let x = between(number % to.width, from.width, to.width);
            let at = |y: usize, x: usize, channel: usize| input.get((y * from.width + x) * channels + channel).copied();
            for (channel, out) in pixel.iter_mut().enumerate() {
                let row = |y: usize| Some([at(y, x.low, channel)?, at(y, x.high, channel)?]);
                if let (Some(low), Some(high)) = (row(y.low), row(y.high)) {
                    *out = T::interpolate([low, high], y.weight, x.weight);
                }
            }
        }
    }
}
