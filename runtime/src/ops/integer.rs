//! What operators that sum products of 8-bit integers share: the attributes and inputs that say what becomes of the sums.
//!
//! Inputs 2 to 5 are: an optional bias for each output channel, i32 (added to the sums) or f32 (added to the products); f32 multipliers,
//! one for each output channel or one for all, absent where the sums are the result; optional zero points of input 1, likewise
//! one for each channel or for all; and an optional zero point of input 0, which takes the place of the attribute `input_zero`.
//! A result is `bias + multiplier * (i32 bias + sum)`, computed in f32 in this order of products and sums, as it is for f32, or
//! rounded by [`Target::store`] for 8-bit results.

use super::linear::{emit_target, parse_target};
use super::{Inputs, OpError, Operands, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::linear::{Target, integer_at};
use crate::tensor::DType;

/// What becomes of the sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Type of the result: i32 for the sums themselves, f32, i8 or u8.
    pub dtype: DType,
    /// Zero point and bounds of an 8-bit result; zeros for others.
    pub target: Target,
}

impl Outcome {
    /// The sums themselves.
    pub const SUMS: Self = Self { dtype: DType::I32, target: Target { zero: 0, low: 0, high: 0 } };
    /// Real numbers.
    pub const NUMBERS: Self = Self { dtype: DType::F32, ..Self::SUMS };

    /// Reads `dtype: u8` and `zero, low, high: i16`.
    pub(super) fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let (dtype, target) = parse_target(reader, &[DType::I32, DType::F32, DType::I8, DType::U8])?;
        Ok(Self { dtype, target })
    }

    /// Writes what [`Self::parse`] reads.
    pub(super) fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_target((self.dtype, self.target), writer)
    }

    /// Checks inputs 2 to 5 for `channels` output channels. `rows` is the number of rows that may have zero points of their own, 1 for
    /// none.
    pub(super) fn check(&self, inputs: &dyn Inputs, channels: usize, rows: usize) -> Result<(), OpError> {
        inputs.at_most(6)?;
        let list = |index: usize, dtypes: &[DType], lengths: [usize; 2], needs: &'static str| {
            let spec = inputs.typed(index, dtypes, needs)?;
            let count = spec.shape.elements().filter(|_| !spec.shape.is_batched() && spec.shape.rank() <= 1);
            if count.is_some_and(|count| lengths.iter().any(|&length| length as u64 == count)) {
                Ok(spec.dtype)
            } else {
                Err(OpError::input(index, Problem::Shape, needs))
            }
        };
        if inputs.get(2).is_some() {
            let needs = "an int32 or float32 bias for each output channel";
            let dtype = list(2, &[DType::I32, DType::F32], [channels; 2], needs)?;
            if dtype == DType::F32 && self.dtype == DType::I32 {
                return Err(OpError::input(2, Problem::DType, "an int32 bias for int32 results"));
            }
        }
        match (self.dtype, inputs.get(3)) {
            (DType::I32, Some(_)) => return Err(OpError::input(3, Problem::Extra, "no multipliers for int32 results")),
            (DType::I32, None) => {}
            _ => {
                let needs = "one float32 multiplier, or one for each output channel";
                list(3, &[DType::F32], [channels, 1], needs)?;
            }
        }
        for (index, of, length) in [(4, 1, channels), (5, 0, rows)] {
            if inputs.get(index).is_some() {
                let dtype = inputs.required(of)?.spec.dtype;
                list(index, &[dtype], [length, 1], "one zero point, or one for each channel or row")?;
            }
        }
        Ok(())
    }
}

/// Zero points: one for each position, or one for all.
#[derive(Clone, Copy, Debug)]
pub(super) struct Zeros<'a> {
    dtype: DType,
    bytes: &'a [u8],
    otherwise: i16,
}

impl<'a> Zeros<'a> {
    /// The zero points of input `index`, or `otherwise` where it is absent.
    pub(super) fn of(operands: &'a dyn Operands, index: usize, otherwise: i16) -> Result<Self, OpError> {
        let view = operands.optional(index)?;
        Ok(match view {
            Some(view) => Self { dtype: view.spec.dtype, bytes: view.bytes, otherwise },
            None => Self { dtype: DType::U8, bytes: &[], otherwise },
        })
    }

    /// The zero point at a position.
    pub(super) fn at(&self, position: usize) -> i16 {
        match self.bytes.len() {
            0 => self.otherwise,
            count => integer_at(self.dtype, self.bytes, if position < count { position } else { 0 }) as i16,
        }
    }

    /// Number of zero points, 1 or more.
    pub(super) fn count(&self) -> usize {
        self.bytes.len().max(1)
    }
}

/// Turns sums into results.
#[derive(Clone, Copy, Debug)]
pub(super) struct Finish<'a> {
    outcome: Outcome,
    sum_bias: &'a [i32],
    bias: &'a [f32],
    multipliers: &'a [f32],
}

impl<'a> Finish<'a> {
    /// Inputs 2 and 3 as [`Outcome::check`] accepted them.
    pub(super) fn new(operands: &'a dyn Operands, outcome: Outcome) -> Result<Self, OpError> {
        let dtype = operands.optional(2)?.map(|view| view.spec.dtype);
        Ok(Self {
            outcome,
            sum_bias: if dtype == Some(DType::I32) { operands.slice(2)? } else { &[] },
            bias: if dtype == Some(DType::F32) { operands.slice(2)? } else { &[] },
            multipliers: operands.optional_slice(3)?.unwrap_or_default(),
        })
    }

    fn biased(&self, channel: usize, sum: i32) -> i32 {
        sum.wrapping_add(self.sum_bias.get(channel).copied().unwrap_or(0))
    }

    fn real(&self, channel: usize, sum: i32) -> f32 {
        let multiplier = self.multipliers.get(channel).or(self.multipliers.first()).copied().unwrap_or(1.0);
        let product = self.biased(channel, sum) as f32 * multiplier;
        product + self.bias.get(channel).copied().unwrap_or(0.0)
    }

    /// The bytes of a result of 8 bits.
    pub(super) fn byte(&self, channel: usize, sum: i32) -> u8 {
        self.outcome.target.store(self.real(channel, sum))
    }

    /// The bytes of a result of 32 bits.
    pub(super) fn word(&self, channel: usize, sum: i32) -> [u8; 4] {
        match self.outcome.dtype {
            DType::F32 => self.real(channel, sum).to_le_bytes(),
            _ => self.biased(channel, sum).to_le_bytes(),
        }
    }
}
