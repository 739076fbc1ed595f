//! Softmax of 8-bit integers that stand for real numbers, along an axis that is not the batch.
//!
//! Attributes: `axis: u8`, the input's `scale: f32, zero: i16`, and the result's as in [`super::integer_binary`]. To the bit what
//! dequantizing, [`super::softmax`] and quantizing give one after the other: [`integer_float::softmax`].

use super::linear::{BYTES, NEEDS_BYTES, emit_place, emit_real, parse_place, parse_real};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::integer_float::{self, Place, Real};
use crate::tensor::{DType, TensorSpec};

/// Turns 8-bit scores into shares of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegerSoftmax {
    /// The axis.
    pub axis: u8,
    /// What the input's integers stand for.
    pub input: Real,
    /// Type of the result, of 8 bits.
    pub dtype: DType,
    /// Where results go.
    pub place: Place,
}

impl Operator for IntegerSoftmax {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let (axis, input) = (reader.u8()?, parse_real(reader)?);
        let (dtype, place) = parse_place(reader)?;
        Ok(Self { axis, input, dtype, place })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)?;
        emit_real(self.input, writer)?;
        emit_place(self.dtype, self.place, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.typed(0, &BYTES, NEEDS_BYTES)?;
        let axis = usize::from(self.axis);
        if axis >= input.shape.rank() {
            return Err(OpError::attribute("axis", "an axis of the input"));
        }
        if input.shape.is_batch(axis) {
            return Err(OpError::input(0, Problem::Batch, "the batch on another axis"));
        }
        outputs.put(0, TensorSpec::new(self.dtype, input.shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let output = operands.output(0)?;
        let axis = usize::from(self.axis);
        let sizes = [input.dims.at(axis), input.dims.inner(axis)];
        match input.spec.dtype {
            DType::U8 => {
                integer_float::softmax(operands.slice::<u8>(0)?, self.input, sizes, self.place, output.bytes);
            }
            _ => integer_float::softmax(operands.slice::<i8>(0)?, self.input, sizes, self.place, output.bytes),
        }
        Ok(())
    }
}
