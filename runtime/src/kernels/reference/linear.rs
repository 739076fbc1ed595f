//! ONNX's linear quantization: `real = scale * (stored - zero)`, with one scale for all elements, for each part of an axis, or for each
//! block of an axis.
//!
//! Real numbers become stored ones by `clip(round(real / scale) + zero)`, halves to even. That is also how integer sums become stored
//! values: see [`Target`].

use crate::tensor::DType;

/// Added to a float of at most 2^22 in magnitude and taken off again, it leaves the nearest integer, halves to even.
const ROUNDER: f32 = 12_582_912.0;

/// Beyond any type of 16 bits with any zero point, and small enough for [`ROUNDER`].
const FAR: f32 = 2_097_152.0;

/// The nearest integer, halves to even; far values stay far, NaN becomes 0.
pub fn round_even(value: f32) -> i32 {
    let near = value.clamp(-FAR, FAR);
    ((near + ROUNDER) - ROUNDER) as i32
}

/// An 8-bit integer.
pub trait Byte: crate::tensor::Element {
    /// The value.
    fn wide(self) -> i16;
    /// The low eight bits.
    fn truncate(value: i32) -> Self;
}

impl Byte for i8 {
    fn wide(self) -> i16 {
        self.into()
    }

    fn truncate(value: i32) -> Self {
        value as Self
    }
}

impl Byte for u8 {
    fn wide(self) -> i16 {
        self.into()
    }

    fn truncate(value: i32) -> Self {
        value as Self
    }
}

/// Where results go in a tensor of 8-bit integers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Stored value of real zero.
    pub zero: i16,
    /// Lowest value, of a fused activation or the type.
    pub low: i16,
    /// Highest value, not below `low`.
    pub high: i16,
}

impl Target {
    /// The stored value for a result in steps of the target's scale: `clip(round(steps) + zero)`.
    pub fn store<T: Byte>(&self, steps: f32) -> T {
        let low = i32::from(self.low);
        let value = round_even(steps) + i32::from(self.zero);
        T::truncate(value.clamp(low, i32::from(self.high).max(low)))
    }

    /// The byte of a stored value within the bounds.
    pub fn clip(&self, value: i16) -> u8 {
        value.clamp(self.low, self.high.max(self.low)) as u8
    }
}

/// Which scale belongs to which element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// One for all.
    Whole,
    /// One for each part of an axis of `length`, with `inner` elements after it.
    Axis {
        /// Length of the axis.
        length: usize,
        /// Elements for each index of the axis.
        inner: usize,
    },
    /// One for each `block` elements along the axis, for each index of the other axes.
    Blocks {
        /// Length of the axis.
        length: usize,
        /// Elements for each index of the axis.
        inner: usize,
        /// Elements along the axis that share a scale.
        block: usize,
    },
}

impl Parts {
    /// Position among the scales of that of an element.
    pub fn of(&self, element: usize) -> usize {
        match *self {
            Self::Whole => 0,
            Self::Axis { length, inner } => (element / inner.max(1)) % length.max(1),
            Self::Blocks { length, inner, block } => {
                let (length, inner, block) = (length.max(1), inner.max(1), block.max(1));
                let (row, column) = (element / inner, element % inner);
                let (outer, along) = (row / length, row % length);
                (outer * length.div_ceil(block) + along / block) * inner + column
            }
        }
    }
}

/// The element at `index` of integers of at most 32 bits; 0 outside.
pub fn integer_at(dtype: DType, bytes: &[u8], index: usize) -> i32 {
    fn chunk<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
        bytes.as_chunks().0.get(index).copied().unwrap_or([0; N])
    }
    let nibble = || bytes.get(index / 2).copied().unwrap_or(0) >> (4 * (index % 2)) & 15;
    match dtype {
        DType::I8 => i8::from_le_bytes(chunk(bytes, index)).into(),
        DType::U8 => u8::from_le_bytes(chunk(bytes, index)).into(),
        DType::I16 => i16::from_le_bytes(chunk(bytes, index)).into(),
        DType::U16 => u16::from_le_bytes(chunk(bytes, index)).into(),
        DType::I32 => i32::from_le_bytes(chunk(bytes, index)),
        DType::U4 => nibble().into(),
        DType::I4 => i32::from(nibble() ^ 8) - 8,
        _ => 0,
    }
}

/// Puts the low bits of `value` at `index` of integers of at most 16 bits; nothing outside.
fn put_integer(dtype: DType, bytes: &mut [u8], index: usize, value: i32) {
    match dtype.bits() {
        4 => {
            if let Some(byte) = bytes.get_mut(index / 2) {
                let shift = 4 * (index % 2);
                *byte = *byte & !(15 << shift) | (value as u8 & 15) << shift;
            }
        }
        8 => {
            if let Some(byte) = bytes.get_mut(index) {
                *byte = value as u8;
            }
        }
        _ => {
            if let Some(place) = bytes.as_chunks_mut().0.get_mut(index) {
                *place = (value as u16).to_le_bytes();
            }
        }
    }
}

/// The element at `index` of a float type of at most 32 bits or of `i32`, as f32; 0 outside.
pub fn float_at(dtype: DType, bytes: &[u8], index: usize) -> f32 {
    let half = || bytes.as_chunks().0.get(index).copied().unwrap_or([0; 2]);
    match dtype {
        DType::F32 => bytes.as_chunks().0.get(index).map_or(0.0, |&bytes| f32::from_le_bytes(bytes)),
        DType::F16 => half::f16::from_le_bytes(half()).into(),
        DType::BF16 => half::bf16::from_le_bytes(half()).into(),
        _ => integer_at(dtype, bytes, index) as f32,
    }
}

/// The nearest value of a float type of at most 32 bits.
fn rounded_to(dtype: DType, value: f32) -> f32 {
    match dtype {
        DType::F16 => half::f16::from_f32(value).into(),
        DType::BF16 => half::bf16::from_f32(value).into(),
        _ => value,
    }
}

/// A tensor's type and bytes.
pub type Typed<'a> = (DType, &'a [u8]);

/// Scales and zero points.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'a> {
    /// Scales, of a float type.
    pub scales: Typed<'a>,
    /// Zero points, of an integer type; all 0 when absent.
    pub zeros: Option<Typed<'a>>,
    /// Which of them belongs to which element.
    pub parts: Parts,
}

impl Linear<'_> {
    /// Scale and zero point at a position among the scales.
    pub fn at(&self, position: usize) -> (f32, i32) {
        let zero = self.zeros.map_or(0, |(dtype, bytes)| integer_at(dtype, bytes, position));
        (float_at(self.scales.0, self.scales.1, position), zero)
    }

    fn of(&self, element: usize) -> (f32, i32) {
        self.at(self.parts.of(element))
    }
}

/// The lowest and the highest value of an integer type of at most 16 bits.
pub const fn range(dtype: DType) -> (i32, i32) {
    match dtype {
        DType::I4 => (-8, 7),
        DType::U4 => (0, 15),
        DType::I8 => (-128, 127),
        DType::U8 => (0, 255),
        DType::I16 => (-32_768, 32_767),
        _ => (0, 65_535),
    }
}

/// `clip(round(x / scale) + zero)` for `count` elements, the quotient rounded to `precision` first.
pub fn quantize(
    count: usize,
    (from, input): Typed<'_>,
    linear: &Linear<'_>,
    precision: DType,
    to: DType,
    out: &mut [u8],
) {
    let (low, high) = range(to);
    if linear.parts == Parts::Whole
        && (from, precision) == (DType::F32, DType::F32)
        && matches!(to, DType::I8 | DType::U8)
    {
        let (scale, zero) = linear.at(0);
        let target = Target { zero: zero as i16, low: low as i16, high: high as i16 };
        for (out, &x) in out.iter_mut().zip(input.as_chunks().0) {
            *out = target.store(f32::from_le_bytes(x) / scale);
        }
        return;
    }
    for element in 0..count {
        let (scale, zero) = linear.of(element);
        let steps = round_even(rounded_to(precision, float_at(from, input, element) / scale));
        put_integer(to, out, element, steps.saturating_add(zero).clamp(low, high));
    }
}

/// `scale * (x - zero)` for `count` elements, rounded to the type of `out`: f32, f16 or bf16.
pub fn dequantize(count: usize, (from, input): Typed<'_>, linear: &Linear<'_>, to: DType, out: &mut [u8]) {
    if linear.parts == Parts::Whole && matches!(from, DType::I8 | DType::U8) && to == DType::F32 {
        let (scale, zero) = linear.at(0);
        let sign = if from == DType::I8 { 0x80 } else { 0 };
        for (out, &byte) in out.as_chunks_mut().0.iter_mut().zip(input) {
            // The sign bit of int8 counts -128.
            let stored = i32::from(byte ^ sign) - i32::from(sign);
            *out = (stored.wrapping_sub(zero) as f32 * scale).to_le_bytes();
        }
        return;
    }
    for element in 0..count {
        let (scale, zero) = linear.of(element);
        let value = integer_at(from, input, element).wrapping_sub(zero) as f32 * scale;
        match to {
            DType::F32 => {
                if let Some(place) = out.as_chunks_mut().0.get_mut(element) {
                    *place = value.to_le_bytes();
                }
            }
            _ => {
                let bits = if to == DType::F16 {
                    half::f16::from_f32(value).to_bits()
                } else {
                    half::bf16::from_f32(value).to_bits()
                };
                put_integer(DType::U16, out, element, bits.into());
            }
        }
    }
}

/// Quantizes to u8 with the scale and zero point of the values' own range, 0 included; returns both.
///
/// `scale = (high - low) / 255` (1 where that is 0), `zero = round(clip(-low / scale))`, halves to even.
pub fn quantize_dynamically(input: &[f32], out: &mut [u8]) -> (f32, u8) {
    let (low, high) = super::affine::range(input);
    let step = (high - low) / 255.0;
    let scale = if step == 0.0 { 1.0 } else { step };
    let target = Target { zero: 0, low: 0, high: 255 };
    let zero: u8 = target.store(-low / scale);
    let target = Target { zero: zero.into(), ..target };
    for (out, &x) in out.iter_mut().zip(input) {
        *out = target.store(x / scale);
    }
    (scale, zero)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_go_to_the_even_neighbour_and_far_values_stay_far() {
        let of = |values: [f32; 8]| values.map(round_even);
        assert_eq!(of([0.5, 1.5, 2.5, -0.5, -1.5, 0.500_001, 70_000.5, -2.5]), [0, 2, 2, 0, -2, 1, 70_000, -2]);
        assert_eq!(round_even(f32::NAN), 0);
        assert!(round_even(f32::INFINITY) > 1_000_000 && round_even(f32::MIN) < -1_000_000);
    }

    #[test]
    fn blocks_have_scales_of_their_own() {
        // [2, 5, 3] in blocks of 2 along axis 1: scales [2, 3, 3].
        let parts = Parts::Blocks { length: 5, inner: 3, block: 2 };
        for (element, expected) in [(0, 0), (2, 2), (3, 0), (6, 3), (12, 6), (14, 8), (15, 9), (29, 17)] {
            assert_eq!(parts.of(element), expected, "{element}");
        }
        assert_eq!(Parts::Axis { length: 5, inner: 3 }.of(17), 0);
    }

    #[test]
    fn nibbles_are_read_and_written() {
        let mut bytes = [0; 2];
        for (index, value) in [-8, 7, -1].into_iter().enumerate() {
            put_integer(DType::I4, &mut bytes, index, value);
        }
        assert_eq!(bytes, [0x78, 0x0F]);
        assert_eq!([0, 1, 2, 9].map(|index| integer_at(DType::I4, &bytes, index)), [-8, 7, -1, 0]);
        assert_eq!([0, 1, 2].map(|index| integer_at(DType::U4, &bytes, index)), [8, 7, 15]);
    }

    #[test]
    fn a_range_of_nothing_is_quantized() {
        let mut out = [9; 2];
        assert_eq!(quantize_dynamically(&[0.0, 0.0], &mut out), (1.0, 0));
        assert_eq!(out, [0, 0]);
    }
}
