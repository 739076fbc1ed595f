//! Convolution of each channel of float32 images `[B, H, W, C]` by itself, with int8 filters `[1, KH, KW, C * multiplier]`, summed in
//! integers.
//!
//! Inputs, attributes and scratch: as [`super::hybrid_conv2d`] without `groups`. Output channel `c * multiplier + m` reads input
//! channel `c`. The formula stands at [`hybrid::depthwise_conv2d`].

use super::fixed_point::{check_rescale, rescale, scratch_i8};
use super::window::{depthwise_filters, emit_clamp, emit_window, images, parse_clamp, parse_window, put_images, sliding, sliding_of};
use super::{Inputs, OpError, Operands, Operator, Outputs, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d::Clamp;
use crate::kernels::reference::hybrid;
use crate::kernels::reference::window::Window;
use crate::tensor::DType;

/// Convolves each channel of float images with int8 filters of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HybridDepthwiseConv2d {
    /// How the filters move.
    pub window: Window,
    /// Bounds of the result.
    pub clamp: Clamp,
}

impl Operator for HybridDepthwiseConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { window: parse_window(reader)?, clamp: parse_clamp(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_window(&self.window, writer)?;
        emit_clamp(self.clamp, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let input = images(inputs, DType::F32, "float32")?;
        let [height, width, channels] =
            depthwise_filters(inputs, DType::I8, input.1.channels, "int8 filters [1, KH, KW, C * multiplier]")?;
        check_rescale(inputs, channels)?;
        put_images(outputs, &self.window, [height, width], input, DType::F32, channels)
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let elements = sliding_of(inputs, &self.window, true).map_or(0, |sliding| hybrid::scratch(&sliding));
        Ok(Scratch { fixed: elements as u64, per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let filters = operands.input(1)?.dims;
        let mut output = operands.output(0)?;
        let sliding = sliding(self.window, [filters.at(1), filters.at(2)], &operands.input(0)?.dims, &output.dims);
        let scratch = operands.scratch()?;
        hybrid::depthwise_conv2d(
            &sliding,
            operands.slice(0)?,
            operands.slice(1)?,
            rescale(operands, self.clamp)?,
            output.elements(0)?,
            scratch_i8(scratch.bytes),
        );
        Ok(())
    }
}
