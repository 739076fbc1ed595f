//! Matrix product of floats with a matrix of narrow integers in blocks.

use super::linear::{Linear, integer_at};
use crate::tensor::DType;

/// A matrix `[units, K]` of integers with a scale and a zero point for each `block` elements of a row.
#[derive(Clone, Copy, Debug)]
pub struct Blocks<'a> {
    /// Type of the integers: 4 or 8 bits.
    pub dtype: DType,
    /// The integers, rows of `stride` elements.
    pub bytes: &'a [u8],
    /// Elements of a row, of which the first K count.
    pub stride: usize,
    /// Scales and zero points, at positions that `scales` and `zeros` tell.
    pub linear: Linear<'a>,
    /// Scales of a row.
    pub scales: usize,
    /// Zero points of a row.
    pub zeros: usize,
    /// Zero point where there are none.
    pub zero: i16,
    /// Elements that share a scale.
    pub block: usize,
}

impl Blocks<'_> {
    /// Scale and zero point of a block.
    fn at(&self, unit: usize, block: usize) -> (f32, i32) {
        let (scale, _) = self.linear.at(unit.saturating_mul(self.scales).saturating_add(block));
        let zero = match self.linear.zeros {
            None => self.zero.into(),
            Some((dtype, bytes)) => integer_at(dtype, bytes, unit.saturating_mul(self.zeros).saturating_add(block)),
        };
        (scale, zero)
    }
}

/// `out[m, u] = sum over k of a[m, k] * (scale * (weight[u, k] - zero)) + bias[u]`.
///
/// Each weight is widened as it is read; the sum starts from zero and runs upwards in k, as in [`super::mat_mul`].
pub fn mat_mul(k: usize, a: &[f32], blocks: &Blocks<'_>, bias: Option<&[f32]>, units: usize, out: &mut [f32]) {
    if k == 0 || units == 0 {
        return;
    }
    for (row, out) in a.chunks_exact(k).zip(out.chunks_exact_mut(units)) {
        for (unit, out) in out.iter_mut().enumerate() {
            let start = unit.saturating_mul(blocks.stride);
            let mut sum = 0.0;
            for (number, part) in row.chunks(blocks.block.max(1)).enumerate() {
                let (scale, zero) = blocks.at(unit, number);
                let start = start.saturating_add(number.saturating_mul(blocks.block));
                sum = match blocks.dtype {
                    DType::U4 => dot(sum, part, scale, zero, |at| integer_at(DType::U4, blocks.bytes, start + at)),
                    DType::I4 => dot(sum, part, scale, zero, |at| integer_at(DType::I4, blocks.bytes, start + at)),
                    DType::U8 => dot(sum, part, scale, zero, |at| integer_at(DType::U8, blocks.bytes, start + at)),
                    _ => dot(sum, part, scale, zero, |at| integer_at(DType::I8, blocks.bytes, start + at)),
                };
            }
            *out = sum + bias.and_then(|bias| bias.get(unit)).copied().unwrap_or(0.0);
        }
    }
}

fn dot(sum: f32, a: &[f32], scale: f32, zero: i32, weight: impl Fn(usize) -> i32) -> f32 {
    a.iter().enumerate().fold(sum, |sum, (at, &x)| sum + x * (weight(at).wrapping_sub(zero) as f32 * scale))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::reference::linear::Parts;

    #[test]
    fn weights_are_widened_block_by_block() {
        // Two units of three weights in blocks of two, rows of four nibbles.
        let bytes = [0x21, 0x03, 0xF8, 0x07];
        let scales: [u8; 16] = bytemuck::cast([1.0f32, 0.5, 2.0, 4.0]);
        let linear = Linear { scales: (DType::F32, &scales), zeros: None, parts: Parts::Whole };
        let mut blocks =
            Blocks { dtype: DType::U4, bytes: &bytes, stride: 4, linear, scales: 2, zeros: 0, zero: 8, block: 2 };
        let mut out = [0.0; 2];
        mat_mul(3, &[1.0, 10.0, 100.0], &blocks, Some(&[0.25, 0.0]), 2, &mut out);
        assert_eq!(out, [-7.0 - 60.0 - 250.0 + 0.25, 0.0 + 140.0 - 400.0]);
        blocks.linear.zeros = Some((DType::U4, &[0x10, 0x32]));
        blocks.zeros = 2;
        mat_mul(3, &[1.0, 10.0, 100.0], &blocks, None, 2, &mut out);
        assert_eq!(out, [1.0 + 20.0 + 100.0, 12.0 + 260.0 + 1600.0]);
    }
}
