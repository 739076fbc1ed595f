//! Product of int8 rows `[…, K]` with an int8 matrix `[units, K]` whose zero point is 0.
//!
//! Inputs: rows, weights, an optional int32 bias `[units]`, and int32 multipliers and shifts, `[units]` or `[1]` each, as in
//! [`super::quantized_conv2d`]. Attributes: `input_zero: i8` and the target `zero, low, high: i8`. Any axis but the last may be the
//! batch.

use super::fixed_point::{check_requantize, emit_target, parse_target, put_rows, requantize};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fixed_point::Target;
use crate::kernels::reference::quantized_fully_connected;
use crate::tensor::DType;

/// Multiplies int8 rows by an int8 matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedFullyConnected {
    /// Stored value of real zero in the input.
    pub input_zero: i8,
    /// Zero point and bounds of the result.
    pub target: Target,
}

impl Operator for QuantizedFullyConnected {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { input_zero: reader.i8()?, target: parse_target(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.i8(self.input_zero)?;
        emit_target(self.target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let units = put_rows(inputs, outputs, DType::I8)?;
        check_requantize(inputs, units)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let columns = operands.input(1)?.dims.at(1);
        let requantize = requantize(operands, self.target)?;
        quantized_fully_connected::fully_connected(
            columns,
            (operands.slice(0)?, self.input_zero),
            operands.slice(1)?,
            requantize,
            operands.output(0)?.elements(0)?,
        );
        Ok(())
    }
}
