//! Singular value decomposition filters: a layer that sees the last inputs through a memory.
//!
//! Inputs: rows `[B, I]`, feature weights `[F, I]`, weights over time `[F, M]`, an optional bias `[U]`, and the memory `[B, F * M]` that the run
//! before left, where `F = U * rank`; B is fixed. All are f32, or in integers: int8 rows and feature weights, int16 weights over time and
//! memory, int32 bias. Outputs: `[B, U]` of the rows' type, and the memory for the next run. Attributes: `rank: u32`, `integer: u8`, then
//! bounds `low, high: f32`, or `input_zero: i8`, the factors of both sums (`multiplier, shift: i32` each) and `zero: i8`. The formulas stand
//! at [`svdf::float`] and [`svdf::integer`].

use super::fixed_point::{emit_factor, parse_factor};
use super::window::{emit_clamp, parse_clamp};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d::Clamp;
pub use crate::kernels::reference::svdf::Scales;
use crate::kernels::reference::svdf::{self, Lengths};
use crate::tensor::{DType, Shape, TensorSpec};

/// The arithmetic of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum SvdfScale {
    /// In floats, clipped.
    Float(Clamp),
    /// In integers.
    Integer(Scales),
}

/// Filters with a memory.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Svdf {
    /// Filters of a unit; 1 or more.
    pub rank: u32,
    /// The arithmetic.
    pub scale: SvdfScale,
}

impl Svdf {
    /// Types of rows and feature weights, of weights over time and memory, and of the bias.
    fn types(&self) -> [DType; 3] {
        match self.scale {
            SvdfScale::Float(_) => [DType::F32; 3],
            SvdfScale::Integer(_) => [DType::I8, DType::I16, DType::I32],
        }
    }
}

/// Two lengths that do not depend on the batch.
fn matrix(inputs: &dyn Inputs, index: usize, dtype: DType) -> Result<[usize; 2], OpError> {
    const NEEDS: &str = "a matrix of the layer's type that does not depend on the batch";
    let shape = inputs.typed(index, &[dtype], NEEDS)?.shape;
    match (shape.factors(), shape.is_batched()) {
        (&[rows, columns], false) if rows > 0 && columns > 0 => Ok([rows as usize, columns as usize]),
        _ => Err(OpError::input(index, Problem::Shape, NEEDS)),
    }
}

impl Operator for Svdf {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let rank = reader.u32()?;
        if rank == 0 {
            return Err(reader.invalid("rank"));
        }
        let scale = if reader.bool("integer")? {
            let input_zero = reader.i8()?;
            let (feature, time) = (parse_factor(reader)?, parse_factor(reader)?);
            SvdfScale::Integer(Scales { input_zero, feature, time, zero: reader.i8()? })
        } else {
            SvdfScale::Float(parse_clamp(reader)?)
        };
        Ok(Self { rank, scale })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.rank)?;
        writer.bool(matches!(self.scale, SvdfScale::Integer(_)))?;
        match self.scale {
            SvdfScale::Float(clamp) => emit_clamp(clamp, writer),
            SvdfScale::Integer(scales) => {
                writer.i8(scales.input_zero)?;
                emit_factor(scales.feature, writer)?;
                emit_factor(scales.time, writer)?;
                writer.i8(scales.zero)
            }
        }
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(5)?;
        let [narrow, wide, sum] = self.types();
        let [rows, length] = matrix(inputs, 0, narrow)?;
        let [filters, columns] = matrix(inputs, 1, narrow)?;
        let [timed, memory] = matrix(inputs, 2, wide)?;
        let rank = self.rank as usize;
        if columns != length || timed != filters || !filters.is_multiple_of(rank) {
            return Err(OpError::input(1, Problem::Shape, "weights for the rows, and for units times the rank"));
        }
        let units = filters / rank;
        if inputs.get(3).is_some() {
            inputs.fixed(3, sum, &[units], "a bias for each unit")?;
        }
        let places = filters.checked_mul(memory).ok_or(OpError::input(2, Problem::Shape, "a memory of this size"))?;
        inputs.fixed(4, wide, &[rows, places], "the filters' memory")?;
        let shape = |dims: &[usize]| {
            Shape::fixed(dims).map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))
        };
        outputs.put(0, TensorSpec::new(narrow, shape(&[rows, units])?))?;
        outputs.put(1, TensorSpec::new(wide, shape(&[rows, places])?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let [features, times] = [operands.input(1)?.dims, operands.input(2)?.dims];
        let rank = self.rank as usize;
        let lengths = Lengths { input: features.at(1), filters: features.at(0), memory: times.at(1), rank };
        let (mut output, mut next) = (operands.output(0)?, operands.output(1)?);
        match self.scale {
            SvdfScale::Float(clamp) => svdf::float(
                lengths,
                clamp,
                (operands.slice(0)?, operands.slice(1)?, operands.slice(2)?),
                operands.optional_slice(3)?,
                (operands.slice(4)?, next.elements(1)?),
                output.elements(0)?,
            ),
            SvdfScale::Integer(scales) => svdf::integer(
                lengths,
                scales,
                (operands.slice(0)?, operands.slice(1)?),
                operands.slice(2)?,
                operands.optional_slice(3)?,
                (operands.slice(4)?, next.elements(1)?),
                output.elements(0)?,
            ),
        }
        Ok(())
    }
}
