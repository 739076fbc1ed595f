//! Sum of int8 or int16 elements over axes, rescaled: also the mean, whose factor includes one over the number of elements.
//!
//! Attributes: `axes: u8` (bit `i` for axis `i`), `keep: u8` (reduced axes stay, with length 1), `input_zero: i16`, the factor
//! `multiplier, shift: i32`, the target `zero, low, high: i16`. The formula stands at [`quantized_reduce::reduce`].

use super::fixed_point::{emit_factor, emit_wide_target, parse_factor, parse_wide_target};
use super::reduce::reduced_shape;
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fixed_point::{Factor, Stored, Target};
use crate::kernels::reference::quantized_reduce;
use crate::tensor::{DType, Element, TensorSpec};

/// Sums quantized elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedReduce {
    /// The axes: bit `i` for axis `i`.
    pub axes: u8,
    /// Reduced axes stay, with length 1.
    pub keep: bool,
    /// Stored value of real zero in the input.
    pub input_zero: i16,
    /// What sums are multiplied with.
    pub factor: Factor,
    /// Zero point and bounds of the result.
    pub target: Target<i16>,
}

impl QuantizedReduce {
    fn reduces(&self, axis: usize) -> bool {
        self.axes >> axis & 1 == 1
    }

    fn run_typed<T: Element + Stored>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let dims = operands.input(0)?.dims;
        let input = (operands.slice::<T>(0)?, self.input_zero);
        let mut output = operands.output(0)?;
        let scale = (self.factor, self.target);
        quantized_reduce::reduce(&dims, |axis| self.reduces(axis), input, scale, output.elements(0)?);
        Ok(())
    }
}

impl Operator for QuantizedReduce {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            axes: reader.u8()?,
            keep: reader.bool("keep")?,
            input_zero: reader.i16()?,
            factor: parse_factor(reader)?,
            target: parse_wide_target(reader)?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axes)?;
        writer.bool(self.keep)?;
        writer.i16(self.input_zero)?;
        emit_factor(self.factor, writer)?;
        emit_wide_target(self.target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.typed(0, &[DType::I8, DType::I16], "int8 or int16")?;
        if u32::from(self.axes) >> input.shape.rank() != 0 {
            return Err(OpError::attribute("axes", "axes of the input"));
        }
        let shape = reduced_shape(&input.shape, self.keep, |axis| self.reduces(axis))?;
        outputs.put(0, TensorSpec::new(input.dtype, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::I8 => self.run_typed::<i8>(operands),
            _ => self.run_typed::<i16>(operands),
        }
    }
}
