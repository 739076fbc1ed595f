//! Plans: for each API the ordered steps, their operands and attributes.
//!
//! | part | bytes |
//! |---|---|
//! | counts | u32 APIs, u32 steps, u32 operands, u32 attribute bytes |
//! | APIs | 48 each: u32 name (string), u32 first step, u32 steps, u32 first operand, u16 inputs, u16 outputs, u32 fixed rows (0: any), u64 arena fixed bytes, u64 arena bytes per row, u64 zero |
//! | steps | 16 each: u16 operator tag, u8 inputs, u8 outputs, u8 scratch (0 or 1), u8 in place (0 or 1), u16 attribute bytes, u32 first operand, u32 first attribute byte |
//! | operands | u32 each: tensor index, `u32::MAX` for an absent optional input |
//! | attributes | as each operator's file says |
//!
//! An API's operands are its inputs, then its outputs. A step's are its inputs, its outputs, then its scratch.

use super::Extent;
use crate::bytes::{BytesError, Reader, Writer, u32_at};

/// Bytes of the counts.
pub const COUNTS_BYTES: usize = 16;
/// Bytes of an API record.
pub const API_BYTES: usize = 48;
/// Bytes of a step record.
pub const STEP_BYTES: usize = 16;
/// Bytes of an operand.
pub const OPERAND_BYTES: usize = 4;
/// The operand that stands for an absent optional input.
pub const ABSENT: u32 = u32::MAX;

/// The most states of an API.
pub const MAX_STATES: u32 = 256;
/// Operands of a state: where it lies, the tensor that it is taken from after a run, and the constant that it starts from.
pub const STATE_OPERANDS: usize = 3;

/// One API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiRecord {
    /// String index of the name.
    pub name: u32,
    /// First step.
    pub first_step: u32,
    /// Number of steps.
    pub steps: u32,
    /// First operand.
    pub first_operand: u32,
    /// Number of inputs.
    pub inputs: u16,
    /// Number of outputs.
    pub outputs: u16,
    /// Rows that a run takes, where the model cannot be batched; 0 for any number.
    pub fixed_rows: u32,
    /// Size of the arena.
    pub arena: Extent,
    /// Number of states, up to [`MAX_STATES`]: what a run leaves for the next one.
    pub states: u32,
}

impl ApiRecord {
    /// Reads a record.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let record = Self {
            name: reader.u32()?,
            first_step: reader.u32()?,
            steps: reader.u32()?,
            first_operand: reader.u32()?,
            inputs: reader.u16()?,
            outputs: reader.u16()?,
            fixed_rows: reader.u32()?,
            arena: Extent { fixed: reader.u64()?, per_row: reader.u64()? },
            states: reader.u32()?,
        };
        if record.states > MAX_STATES {
            return Err(reader.invalid("states"));
        }
        if reader.u32()? != 0 { Err(reader.invalid("reserved field")) } else { Ok(record) }
    }

    /// Writes the record.
    pub fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        for field in [self.name, self.first_step, self.steps, self.first_operand] {
            writer.u32(field)?;
        }
        writer.u16(self.inputs)?;
        writer.u16(self.outputs)?;
        writer.u32(self.fixed_rows)?;
        writer.u64(self.arena.fixed)?;
        writer.u64(self.arena.per_row)?;
        writer.u32(self.states)?;
        writer.u32(0)
    }

    /// Number of operands: inputs, outputs, and [`STATE_OPERANDS`] for each state.
    pub fn operands(&self) -> usize {
        let states = (self.states as usize).saturating_mul(STATE_OPERANDS);
        usize::from(self.inputs) + usize::from(self.outputs) + states
    }
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepRecord {
    /// Tag of the operator.
    pub tag: u16,
    /// Number of inputs, absent ones included.
    pub inputs: u8,
    /// Number of outputs.
    pub outputs: u8,
    /// True when a scratch tensor follows the outputs.
    pub scratch: bool,
    /// True when inputs have the places of outputs, as the operator allows: see [`crate::ops::Operator::in_place`].
    pub in_place: bool,
    /// Bytes of attributes.
    pub attribute_bytes: u16,
    /// First operand.
    pub first_operand: u32,
    /// First byte of the attributes.
    pub first_attribute: u32,
}

impl StepRecord {
    /// Reads a record.
    pub fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let tag = reader.u16()?;
        let (inputs, outputs) = (reader.u8()?, reader.u8()?);
        Ok(Self {
            tag,
            inputs,
            outputs,
            scratch: reader.bool("scratch")?,
            in_place: reader.bool("in place")?,
            attribute_bytes: reader.u16()?,
            first_operand: reader.u32()?,
            first_attribute: reader.u32()?,
        })
    }

    /// Writes the record.
    pub fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u16(self.tag)?;
        writer.u8(self.inputs)?;
        writer.u8(self.outputs)?;
        writer.bool(self.scratch)?;
        writer.bool(self.in_place)?;
        writer.u16(self.attribute_bytes)?;
        writer.u32(self.first_operand)?;
        writer.u32(self.first_attribute)
    }

    /// Number of operands.
    pub fn operands(&self) -> usize {
        usize::from(self.inputs) + usize::from(self.outputs) + usize::from(self.scratch)
    }
}

/// The plans section, its parts found once.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plans<'a> {
    apis: &'a [[u8; API_BYTES]],
    steps: &'a [[u8; STEP_BYTES]],
    operands: &'a [[u8; OPERAND_BYTES]],
    attributes: &'a [u8],
}

/// The first `count` records of `bytes`, and what follows them.
fn split<const N: usize>(bytes: &[u8], count: u32) -> Option<(&[[u8; N]], &[u8])> {
    let (records, rest) = bytes.split_at_checked((count as usize).checked_mul(N)?)?;
    Some((records.as_chunks().0, rest))
}

impl<'a> Plans<'a> {
    /// The section's parts; `None` unless the counts account for exactly its bytes.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let count = |index| u32_at(bytes, index);
        let (apis, rest) = split(bytes.get(COUNTS_BYTES..)?, count(0)?)?;
        let (steps, rest) = split(rest, count(1)?)?;
        let (operands, attributes) = split(rest, count(2)?)?;
        (attributes.len() == count(3)? as usize).then_some(Self { apis, steps, operands, attributes })
    }

    /// Number of APIs.
    pub fn api_count(&self) -> usize {
        self.apis.len()
    }

    /// Number of steps of all APIs.
    pub fn step_count(&self) -> usize {
        self.steps.len()
    }

    /// Number of operands of all APIs and steps.
    pub fn operand_count(&self) -> usize {
        self.operands.len()
    }

    /// Bytes of the attributes of all steps.
    pub fn attribute_bytes(&self) -> usize {
        self.attributes.len()
    }

    /// The API at `index`.
    pub fn api(&self, index: usize) -> Option<ApiRecord> {
        ApiRecord::parse(&mut Reader::new(self.apis.get(index)?)).ok()
    }

    /// The step at `index`.
    pub fn step(&self, index: usize) -> Option<StepRecord> {
        StepRecord::parse(&mut Reader::new(self.steps.get(index)?)).ok()
    }

    /// The operand at `index`: a tensor, or `None` inside for an absent one.
    pub fn operand(&self, index: usize) -> Option<Option<u32>> {
        let tensor = u32::from_le_bytes(*self.operands.get(index)?);
        Some((tensor != ABSENT).then_some(tensor))
    }

    /// The attributes of a step.
    pub fn attributes(&self, step: &StepRecord) -> Option<&'a [u8]> {
        let start = step.first_attribute as usize;
        self.attributes.get(start..start.checked_add(step.attribute_bytes.into())?)
    }
}
