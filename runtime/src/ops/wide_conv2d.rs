//! Convolution of int16 images `[B, H, W, C]` with int8 filters `[O, KH, KW, C / groups]`, summed in int64; all zero points are 0.
//!
//! Inputs: images, filters, an optional int32 or int64 bias `[O]`, and the factors that turn sums into stored values: int32 multipliers
//! and shifts, `[O]` or `[1]` each. Attributes: the window as in [`super::conv2d`], `groups: u32`, the bounds `low, high: i16`. The
//! formula stands at [`wide_conv2d::WideRequantize`].

use super::fixed_point::{check_wide_requantize, parse_bounds, wide_requantize};
use super::window::{check_groups, emit_window, filters, images, parse_window, put_images, sliding};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::wide_conv2d;
use crate::kernels::reference::window::Window;
use crate::tensor::DType;

/// Convolves int16 images with int8 filters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WideConv2d {
    /// How the filters move.
    pub window: Window,
    /// Number of groups of channels; each filter sees one of them.
    pub groups: u32,
    /// Lowest and highest value of the result.
    pub bounds: [i16; 2],
}

impl Operator for WideConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { window: parse_window(reader)?, groups: reader.u32()?, bounds: parse_bounds(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_window(&self.window, writer)?;
        writer.u32(self.groups)?;
        self.bounds.into_iter().try_for_each(|bound| writer.i16(bound))
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let input = images(inputs, DType::I16, "int16")?;
        let [count, height, width, channels] = filters(inputs, DType::I8, "int8 filters [O, KH, KW, C / groups]")?;
        check_groups(self.groups, input.1.channels, count, channels)?;
        check_wide_requantize(inputs, count)?;
        put_images(outputs, &self.window, [height, width], input, DType::I16, count)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let filters = operands.input(1)?.dims;
        let mut output = operands.output(0)?;
        let sliding = sliding(self.window, [filters.at(1), filters.at(2)], &operands.input(0)?.dims, &output.dims);
        let requantize = wide_requantize(operands, self.bounds)?;
        let (input, filters) = (operands.slice(0)?, operands.slice(1)?);
        wide_conv2d::conv2d(&sliding, self.groups as usize, input, filters, &requantize, output.elements(0)?);
        Ok(())
    }
}
