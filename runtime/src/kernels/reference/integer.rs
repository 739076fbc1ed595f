//! Integers of one, two and four bytes seen as `i64`: one piece of code for the types that models seldom compute with.

use crate::tensor::DType;

/// An integer type that an `i64` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Narrow {
    /// Bytes of an element.
    pub width: usize,
    /// The highest bit is the sign.
    pub signed: bool,
}

impl Narrow {
    /// The type's width and sign; `None` for types that are not integers or booleans of one to four whole bytes.
    pub const fn of(dtype: DType) -> Option<Self> {
        let (width, signed) = match dtype {
            DType::I8 => (1, true),
            DType::I16 => (2, true),
            DType::I32 => (4, true),
            DType::U8 | DType::Bool => (1, false),
            DType::U16 => (2, false),
            DType::U32 => (4, false),
            _ => return None,
        };
        Some(Self { width, signed })
    }

    /// The smallest and the largest value.
    pub const fn bounds(self) -> [i64; 2] {
        let bits = 8 * self.width as u32;
        match self.signed {
            true => [-(1 << (bits - 1)), (1 << (bits - 1)) - 1],
            false => [0, (1 << bits) - 1],
        }
    }

    /// Element `index` of the bytes.
    pub fn get(self, bytes: &[u8], index: usize) -> Option<i64> {
        let start = index.checked_mul(self.width)?;
        let element = bytes.get(start..start.checked_add(self.width)?)?;
        let mut wide = [0; 8];
        wide.iter_mut().zip(element).for_each(|(wide, &byte)| *wide = byte);
        let unused = 64 - 8 * self.width as u32;
        let shifted = u64::from_le_bytes(wide) << unused;
        Some(if self.signed { shifted as i64 >> unused } else { (shifted >> unused) as i64 })
    }

    /// Stores the lowest bytes of `value` as element `index`.
    pub fn put(self, bytes: &mut [u8], index: usize, value: i64) {
        let start = index.saturating_mul(self.width);
        let element = bytes.get_mut(start..start.saturating_add(self.width)).unwrap_or_default();
        element.iter_mut().zip(value.to_le_bytes()).for_each(|(slot, byte)| *slot = byte);
    }
}
