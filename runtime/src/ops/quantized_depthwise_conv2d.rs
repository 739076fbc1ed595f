//! Convolution of each channel of int8 images `[B, H, W, C]` by itself, with int8 filters `[1, KH, KW, C * multiplier]`.
//!
//! Inputs and attributes: as [`super::quantized_conv2d`] without `groups`. Output channel `c * multiplier + m` reads input channel
//! `c`.

use super::fixed_point::{check_requantize, emit_target, parse_target, requantize};
use super::window::{band, band_in_place, band_scratch, convolve, depthwise_filters, emit_window, images, parse_window, put_images};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fixed_point::Target;
use crate::kernels::reference::quantized_conv2d;
use crate::kernels::reference::window::Window;
use crate::tensor::DType;

/// Convolves each channel of int8 images with filters of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedDepthwiseConv2d {
    /// How the filters move.
    pub window: Window,
    /// Stored value of real zero in the input.
    pub input_zero: i8,
    /// Zero point and bounds of the result.
    pub target: Target,
}

impl Operator for QuantizedDepthwiseConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { window: parse_window(reader)?, input_zero: reader.i8()?, target: parse_target(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_window(&self.window, writer)?;
        writer.i8(self.input_zero)?;
        emit_target(self.target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let input = images(inputs, DType::I8, "int8")?;
        let [height, width, channels] =
            depthwise_filters(inputs, DType::I8, input.1.channels, "int8 filters [1, KH, KW, C * multiplier]")?;
        check_requantize(inputs, channels)?;
        put_images(outputs, &self.window, [height, width], input, DType::I8, channels)
    }

    fn in_place(&self, inputs: &dyn Inputs) -> InPlace {
        band_in_place(band(inputs, &self.window, true))
    }

    fn in_place_scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        Ok(band_scratch(band(inputs, &self.window, true), 1))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let filters = operands.input(1)?.dims;
        let requantize = requantize(operands, self.target)?;
        let weights = (operands.slice(1)?, &[][..]);
        convolve(operands, self.window, [filters.at(1), filters.at(2)], |sliding, input: &[i8], out: &mut [i8]| {
            let store = |channel, sum| requantize.store(channel, sum);
            quantized_conv2d::depthwise_conv2d(sliding, (input, self.input_zero), weights, out, store);
        })
    }
}
