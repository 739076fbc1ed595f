//! Matrix product of int16 rows `[…, K]` with int8 weights `[units, K]`, summed in int64; all zero points are 0.
//!
//! Inputs: rows, weights, an optional int32 or int64 bias `[units]`, multipliers and shifts as in [`super::wide_conv2d`]. Attributes: the bounds
//! `low, high: i16`. The formula stands at [`wide_conv2d::WideRequantize`].

use super::fixed_point::{check_wide_requantize, parse_bounds, put_rows, wide_requantize};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::wide_conv2d;
use crate::tensor::DType;

/// Multiplies int16 rows by an int8 matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WideFullyConnected {
    /// Lowest and highest value of the result.
    pub bounds: [i16; 2],
}

impl Operator for WideFullyConnected {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { bounds: parse_bounds(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        self.bounds.into_iter().try_for_each(|bound| writer.i16(bound))
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let units = put_rows(inputs, outputs, DType::I16)?;
        check_wide_requantize(inputs, units)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let columns = operands.input(1)?.dims.at(1);
        let requantize = wide_requantize(operands, self.bounds)?;
        let mut output = operands.output(0)?;
        let (input, weights) = (operands.slice(0)?, operands.slice(1)?);
        wide_conv2d::fully_connected(columns, input, weights, &requantize, output.elements(0)?);
        Ok(())
    }
}
