//! Convolution of int8 images `[B, H, W, C]` with int8 filters `[O, KH, KW, C / groups]` whose zero point is 0.
//!
//! Inputs: images, filters, an optional int32 bias `[O]`, and the factors that turn sums into stored values: int32 multipliers and
//! shifts, `[O]` or `[1]` each, for `multiplier * 2^(shift - 31)` = input scale * filter scale / output scale. Attributes: the window
//! as in [`super::conv2d`], `groups: u32`, `input_zero: i8`, and the target `zero, low, high: i8`. The formula stands at
//! [`quantized_conv2d::Requantize`]; rounding at [`Factor::apply`](crate::kernels::reference::fixed_point::Factor::apply).

use super::fixed_point::{check_requantize, emit_target, parse_target, requantize};
use super::window::{band, band_in_place, band_scratch, convolve, check_groups, emit_window, filters, images, parse_window, put_images};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::fixed_point::{Factor, Target};
use crate::kernels::reference::quantized_conv2d;
use crate::kernels::reference::window::Window;
use crate::tensor::DType;

/// Convolves int8 images with int8 filters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedConv2d {
    /// How the filters move.
    pub window: Window,
    /// Number of groups of channels; each filter sees one of them.
    pub groups: u32,
    /// Stored value of real zero in the input.
    pub input_zero: i8,
    /// Zero point and bounds of the result.
    pub target: Target,
}

impl Operator for QuantizedConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            window: parse_window(reader)?,
            groups: reader.u32()?,
            input_zero: reader.i8()?,
            target: parse_target(reader)?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_window(&self.window, writer)?;
        writer.u32(self.groups)?;
        writer.i8(self.input_zero)?;
        emit_target(self.target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let input = images(inputs, DType::I8, "int8")?;
        let [count, height, width, channels] = filters(inputs, DType::I8, "int8 filters [O, KH, KW, C / groups]")?;
        check_groups(self.groups, input.1.channels, count, channels)?;
        check_requantize(inputs, count)?;
        put_images(outputs, &self.window, [height, width], input, DType::I8, count)
    }

    fn in_place(&self, inputs: &dyn Inputs) -> InPlace {
        band_in_place(band(inputs, &self.window, false))
    }

    fn in_place_scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        Ok(band_scratch(band(inputs, &self.window, false), 1))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let filters = operands.input(1)?.dims;
        let requantize = requantize(operands, self.target)?;
        let weights = (operands.slice(1)?, &[][..]);
        convolve(operands, self.window, [filters.at(1), filters.at(2)], |sliding, input: &[i8], out: &mut [i8]| {
            let (groups, input) = (self.groups as usize, (input, self.input_zero));
            let store = |channel, sum| requantize.store(channel, sum);
            quantized_conv2d::conv2d(sliding, groups, input, weights, out, store);
        })
    }
}
