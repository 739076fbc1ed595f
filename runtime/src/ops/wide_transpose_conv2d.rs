//! Transposed convolution of int16 images `[B, H, W, C]` with int8 filters `[O, KH, KW, C]`, summed in int64; all zero points are 0.
//!
//! Inputs: images, filters, an optional bias, multipliers and shifts, as in [`super::wide_conv2d`]. Attributes: the axes as in
//! [`super::transpose_conv2d`], the bounds `low, high: i16`. The output declares its height and width.

use super::fixed_point::{check_wide_requantize, parse_bounds, wide_requantize};
use super::transpose_conv2d::{TransposedAxis, emit_axes, parse_axes, put_transposed, transposed};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fixed_point::Factor;
use crate::kernels::reference::transpose_conv2d;
use crate::kernels::reference::wide_conv2d::dot;
use crate::tensor::DType;

/// Convolves int16 images with int8 filters the other way round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WideTransposeConv2d {
    /// Rows and columns.
    pub axes: [TransposedAxis; 2],
    /// Lowest and highest value of the result.
    pub bounds: [i16; 2],
}

impl Operator for WideTransposeConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axes: parse_axes(reader)?, bounds: parse_bounds(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_axes(&self.axes, writer)?;
        self.bounds.into_iter().try_for_each(|bound| writer.i16(bound))
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let count = put_transposed(inputs, outputs, [DType::I16, DType::I8])?;
        check_wide_requantize(inputs, count)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.output(0)?;
        let shape = transposed(self.axes, operands, &output.dims)?;
        let requantize = wide_requantize(operands, self.bounds)?;
        transpose_conv2d::transpose_conv2d(
            &shape,
            operands.slice::<i16>(0)?,
            operands.slice::<i8>(1)?,
            output.elements(0)?,
            0i64,
            dot,
            |channel, sum| requantize.store(channel, sum, Factor::apply_wide),
        );
        Ok(())
    }
}
