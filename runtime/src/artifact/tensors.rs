//! Tensor records, 64 bytes each.
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | u8 | element type ([`DType::code`]) |
//! | 1 | u8 | number of axes, at most 8 |
//! | 2 | u8 | place: 0 arena, 1 weights, 2 tables |
//! | 3 | u8 | batch axis, 255 for none |
//! | 4 | f32 | quantization scale, 0 for none |
//! | 8 | i32 | quantization zero point |
//! | 12 | u32 | string index of the name, `u32::MAX` for none |
//! | 16 | u64 | offset in the place (arena: for N = 0), a multiple of 16 |
//! | 24 | u32 | arena: bytes added to the offset per row of the batch, a multiple of 16; else 0 |
//! | 28 | u32 | string list of a category's table, `u32::MAX` for none |
//! | 32 | 8 × u32 | lengths of the axes (the batch axis's: per row); unused ones are 0 |

use crate::bytes::{BytesError, Writer};
use crate::tensor::{DType, MAX_RANK, Quantization, Shape, TensorSpec};

/// Bytes of a record.
pub const RECORD_BYTES: usize = 64;

/// Stands for "no string" and "no list".
pub const NONE: u32 = u32::MAX;

/// Where a tensor's values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the arena, at `offset + per_row * N`.
    Arena {
        /// Offset for N = 0.
        offset: u64,
        /// Bytes added per row.
        per_row: u32,
    },
    /// In the weights section.
    Weights {
        /// Offset in the section.
        offset: u64,
    },
    /// In the tables section.
    Tables {
        /// Offset in the section.
        offset: u64,
    },
}

/// One tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TensorRecord {
    /// Type, shape, quantization, category table.
    pub spec: TensorSpec,
    /// Where the values are.
    pub place: Place,
    /// String index of the name, if it has one.
    pub name: Option<u32>,
}

fn optional(value: u32) -> Option<u32> {
    (value != NONE).then_some(value)
}

impl TensorRecord {
    /// Reads a record; `None` when a field has an undefined value. Where it points is checked against the whole artifact.
    ///
    /// Every operand of every step is read like this, so fields are taken at fixed places of a whole record, which needs no check of
    /// bounds.
    pub fn parse(record: &[u8; RECORD_BYTES]) -> Option<Self> {
        let word = |at: usize| u32::from_le_bytes([record[at], record[at + 1], record[at + 2], record[at + 3]]);
        let dtype = DType::from_code(record[0])?;
        let (rank, batch_axis) = (record[1], record[3]);
        let (scale, zero_point) = (f32::from_bits(word(4)), word(8) as i32);
        let offset = u64::from(word(16)) | u64::from(word(20)) << 32;
        let (per_row, table) = (word(24), optional(word(28)));
        let dims = [word(32), word(36), word(40), word(44), word(48), word(52), word(56), word(60)];
        let shape = Shape::stored(dims, rank, batch_axis)?;
        let place = match record[2] {
            0 => Place::Arena { offset, per_row },
            1 if per_row == 0 => Place::Weights { offset },
            2 if per_row == 0 => Place::Tables { offset },
            _ => return None,
        };
        let quantization = match scale {
            0.0 if zero_point == 0 => None,
            scale if scale > 0.0 && scale.is_finite() => Some(Quantization { scale, zero_point }),
            _ => return None,
        };
        if (dtype == DType::Category) != table.is_some() {
            return None;
        }
        Some(Self { spec: TensorSpec { dtype, shape, quantization, table }, place, name: optional(word(12)) })
    }

    /// Writes the record.
    pub fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        let shape = &self.spec.shape;
        let (place, offset, per_row) = match self.place {
            Place::Arena { offset, per_row } => (0, offset, per_row),
            Place::Weights { offset } => (1, offset, 0),
            Place::Tables { offset } => (2, offset, 0),
        };
        writer.u8(self.spec.dtype.code())?;
        writer.u8(shape.rank() as u8)?;
        writer.u8(place)?;
        writer.u8(shape.batch_axis().map_or(u8::MAX, |axis| axis as u8))?;
        writer.f32(self.spec.quantization.map_or(0.0, |quantization| quantization.scale))?;
        writer.i32(self.spec.quantization.map_or(0, |quantization| quantization.zero_point))?;
        writer.u32(self.name.unwrap_or(NONE))?;
        writer.u64(offset)?;
        writer.u32(per_row)?;
        writer.u32(self.spec.table.unwrap_or(NONE))?;
        for axis in 0..MAX_RANK {
            writer.u32(shape.factors().get(axis).copied().unwrap_or(0))?;
        }
        Ok(())
    }
}

/// The tensors section.
#[derive(Clone, Copy, Debug)]
pub struct Tensors<'a> {
    records: &'a [[u8; RECORD_BYTES]],
}

impl<'a> Tensors<'a> {
    pub(super) fn new(section: &'a [u8]) -> Self {
        Self { records: section.as_chunks().0 }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record at `index`; `None` when there is none, or, before the artifact is checked, when a field of it has an undefined value.
    pub fn get(&self, index: usize) -> Option<TensorRecord> {
        TensorRecord::parse(self.records.get(index)?)
    }
}
