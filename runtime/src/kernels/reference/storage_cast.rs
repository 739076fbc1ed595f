//! Conversion from and to element types that are only stored: integers of less than a byte, floats of eight bits and less.

use super::cast::{self, Number};
use super::small_float;
pub use super::small_float::Rounding;
use crate::tensor::DType;

/// True for the types that only [`storage_cast`] converts.
pub const fn is_stored_only(dtype: DType) -> bool {
    dtype.is_small_float() || matches!(dtype, DType::I4 | DType::U4 | DType::I2 | DType::U2)
}

/// How numbers out of range and between two codes become floats of eight bits and less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SmallFloats {
    /// The largest number instead of infinity or NaN.
    pub saturate: bool,
    /// For `float8e8m0`; the others round to nearest.
    pub rounding: Rounding,
}

/// The number that a code of eight bits or less stands for.
fn read_code(dtype: DType, code: u8) -> Option<Number> {
    let signed = |bits: u32| Number::Integer((i128::from(code) << (128 - bits)) >> (128 - bits));
    Some(match dtype {
        DType::I4 => signed(4),
        DType::I2 => signed(2),
        DType::U4 | DType::U2 => Number::Integer(code.into()),
        _ => Number::Float(small_float::decode(dtype, code)?),
    })
}

/// The code of a number in a type of eight bits or less: integers keep their lowest bits.
fn write_code(dtype: DType, number: Number, small: SmallFloats) -> u8 {
    if !dtype.is_small_float() {
        let code = match number {
            Number::Integer(value) => value as u8,
            Number::Float(value) => value as i64 as u8,
        };
        return code & ((1u8 << dtype.bits()) - 1);
    }
    small_float::encode(dtype, cast::float(number), small.saturate, small.rounding).unwrap_or(0)
}

/// The bits of element `index` of a type of `bits` bits, which divide eight.
fn code_at(bytes: &[u8], bits: usize, index: usize) -> Option<u8> {
    let at = index.checked_mul(bits)?;
    Some(bytes.get(at / 8)? >> (at % 8) & (u8::MAX >> (8 - bits)))
}

/// Sets the bits of element `index`, which are zero.
fn set_code(bytes: &mut [u8], bits: usize, index: usize, code: u8) {
    let at = index.saturating_mul(bits);
    if let Some(byte) = bytes.get_mut(at / 8) {
        *byte |= code << (at % 8);
    }
}

/// Converts elements of type `from` in `input` to elements of type `to` in `output`, as many as both have room for.
/// Categories and text are left alone.
pub fn storage_cast(from: DType, input: &[u8], to: DType, output: &mut [u8], small: SmallFloats) {
    let (from_bits, to_bits) = (from.bits() as usize, to.bits() as usize);
    let elements = (input.len() * 8 / from_bits).min(output.len() * 8 / to_bits);
    if to_bits < 8 {
        output.fill(0);
    }
    for index in 0..elements {
        let number = match is_stored_only(from) {
            true => code_at(input, from_bits, index).and_then(|code| read_code(from, code)),
            false => input.chunks_exact((from_bits / 8).max(1)).nth(index).and_then(|bytes| cast::read(from, bytes)),
        };
        let Some(number) = number else { return };
        if !is_stored_only(to) {
            output
                .chunks_exact_mut((to_bits / 8).max(1))
                .nth(index)
                .into_iter()
                .for_each(|slot| cast::write(to, number, slot));
            continue;
        }
        let code = write_code(to, number, small);
        match output.get_mut(index) {
            Some(slot) if to_bits == 8 => *slot = code,
            _ => set_code(output, to_bits, index, code),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: SmallFloats = SmallFloats { saturate: true, rounding: Rounding::Up };

    #[test]
    fn small_integers_are_packed_from_the_low_bits() {
        let mut packed = [0xFF; 2];
        storage_cast(DType::I8, &[1, 0xFE, 7], DType::I4, &mut packed, SMALL);
        assert_eq!(packed, [0xE1, 0x07]);
        let mut wide = [0; 3];
        storage_cast(DType::I4, &packed, DType::I8, &mut wide, SMALL);
        assert_eq!(wide, [1, 0xFE, 7]);
        let mut packed = [0; 1];
        storage_cast(DType::U8, &[3, 2, 1, 0], DType::U2, &mut packed, SMALL);
        assert_eq!(packed, [0b0001_1011]);
    }
}
