//! Transposed convolution of int8 images `[B, H, W, C]` with int8 filters `[O, KH, KW, C]` whose zero point is 0.
//!
//! Inputs: images, filters, an optional int32 bias, multipliers and shifts, as in [`super::quantized_conv2d`]. Attributes: the axes as
//! in [`super::transpose_conv2d`], `input_zero: i8`, and the target `zero, low, high: i8`. The output declares its height and width.

use super::fixed_point::{check_requantize, emit_target, parse_target, requantize};
use super::transpose_conv2d::{TransposedAxis, emit_axes, parse_axes, put_transposed, transposed};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fixed_point::Target;
use crate::kernels::reference::quantized_conv2d::dot;
use crate::kernels::reference::transpose_conv2d;
use crate::tensor::DType;

/// Convolves int8 images with int8 filters the other way round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedTransposeConv2d {
    /// Rows and columns.
    pub axes: [TransposedAxis; 2],
    /// Stored value of real zero in the input.
    pub input_zero: i8,
    /// Zero point and bounds of the result.
    pub target: Target,
}

impl Operator for QuantizedTransposeConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axes: parse_axes(reader)?, input_zero: reader.i8()?, target: parse_target(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_axes(&self.axes, writer)?;
        writer.i8(self.input_zero)?;
        emit_target(self.target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let count = put_transposed(inputs, outputs, [DType::I8; 2])?;
        check_requantize(inputs, count)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.output(0)?;
        let shape = transposed(self.axes, operands, &output.dims)?;
        let requantize = requantize(operands, self.target)?;
        transpose_conv2d::transpose_conv2d(
            &shape,
            operands.slice::<i8>(0)?,
            operands.slice::<i8>(1)?,
            output.elements(0)?,
            0i32,
            |sum, x, w| dot(sum, x, self.input_zero, w),
            |channel, sum| requantize.store(channel, sum),
        );
        Ok(())
    }
}
