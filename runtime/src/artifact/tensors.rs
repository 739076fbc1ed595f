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

use crate::bytes::{BytesError, Reader, Writer};
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
    /// Reads a record and checks that its fields are defined; where it points is checked against the whole artifact later.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let dtype = DType::from_code(reader.u8()?).ok_or(reader.invalid("element type"))?;
        let rank = usize::from(reader.u8()?);
        let place = reader.u8()?;
        let batch_axis = Some(reader.u8()?).filter(|&axis| axis != u8::MAX).map(usize::from);
        let (scale, zero_point) = (reader.f32()?, reader.i32()?);
        let name = optional(reader.u32()?);
        let (offset, per_row) = (reader.u64()?, reader.u32()?);
        let table = optional(reader.u32()?);
        let mut dims = [0usize; MAX_RANK];
        for dim in &mut dims {
            *dim = reader.u32()? as usize;
        }
        let used = dims.get(..rank).ok_or(reader.invalid("number of axes"))?;
        if dims.iter().skip(rank).any(|&dim| dim != 0) {
            return Err(reader.invalid("length of an unused axis"));
        }
        let shape = Shape::new(used, batch_axis).map_err(|_| reader.invalid("batch axis"))?;
        let place = match place {
            0 => Place::Arena { offset, per_row },
            1 if per_row == 0 => Place::Weights { offset },
            2 if per_row == 0 => Place::Tables { offset },
            _ => return Err(reader.invalid("place")),
        };
        let quantization = match scale {
            0.0 if zero_point == 0 => None,
            scale if scale > 0.0 && scale.is_finite() => Some(Quantization { scale, zero_point }),
            _ => return Err(reader.invalid("quantization")),
        };
        if (dtype == DType::Category) != table.is_some() {
            return Err(reader.invalid("category table"));
        }
        Ok(Self { spec: TensorSpec { dtype, shape, quantization, table }, place, name })
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
    records: &'a [u8],
}

impl<'a> Tensors<'a> {
    pub(super) fn new(records: &'a [u8]) -> Self {
        Self { records }
    }

    /// Number of records.
    pub fn len(&self) -> usize {
        self.records.len() / RECORD_BYTES
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record at `index`, parsed anew.
    pub fn parse(&self, index: usize) -> Option<Result<TensorRecord, BytesError>> {
        let start = index.checked_mul(RECORD_BYTES)?;
        let bytes = self.records.get(start..start.checked_add(RECORD_BYTES)?)?;
        Some(TensorRecord::parse(&mut Reader::new(bytes)))
    }

    /// The record at `index` of a checked artifact.
    pub fn get(&self, index: usize) -> Option<TensorRecord> {
        self.parse(index)?.ok()
    }
}
