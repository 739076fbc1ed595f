//! Convolution of each channel by itself: images `[B, H, W, C]`, filters `[1, KH, KW, C * multiplier]` and an optional bias
//! `[C * multiplier]`, all f32; filters may be f16 or bf16, and are widened element by element.
//!
//! Attributes: as [`super::conv2d`] without `groups`. Output channel `c * multiplier + m` reads input channel `c`.

use super::linear::FLOATS;
use super::window::{band, band_in_place, band_scratch, convolve, depthwise_filters, emit_clamp, emit_window, images, parse_clamp, parse_window, put_images};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d::{self, Clamp};
use crate::kernels::reference::window::Window;
use crate::tensor::{DType, Element};

/// Convolves each channel of images with filters of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DepthwiseConv2d {
    /// How the filters move.
    pub window: Window,
    /// Bounds of the result.
    pub clamp: Clamp,
}

impl DepthwiseConv2d {
    fn run_typed<W: Element + Into<f32>>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let filters = operands.input(1)?.dims;
        let (weights, bias) = (operands.slice::<W>(1)?, operands.optional_slice(2)?);
        convolve(operands, self.window, [filters.at(1), filters.at(2)], |sliding, input: &[f32], out: &mut [f32]| {
            conv2d::depthwise_conv2d(sliding, input, weights, bias, self.clamp, out);
        })
    }
}

impl Operator for DepthwiseConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { window: parse_window(reader)?, clamp: parse_clamp(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_window(&self.window, writer)?;
        emit_clamp(self.clamp, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let input = images(inputs, DType::F32, "float32")?;
        let needs = "float32, float16 or bfloat16 filters [1, KH, KW, C * multiplier]";
        let dtype = inputs.typed(1, &FLOATS, needs)?.dtype;
        let [height, width, channels] = depthwise_filters(inputs, dtype, input.1.channels, needs)?;
        if inputs.get(2).is_some() {
            inputs.fixed(2, DType::F32, &[channels], "a float32 bias for each output channel")?;
        }
        put_images(outputs, &self.window, [height, width], input, DType::F32, channels)
    }

    fn in_place(&self, inputs: &dyn Inputs) -> InPlace {
        band_in_place(band(inputs, &self.window, true))
    }

    fn in_place_scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        Ok(band_scratch(band(inputs, &self.window, true), 4))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(1)?.spec.dtype {
            DType::F16 => self.run_typed::<half::f16>(operands),
            DType::BF16 => self.run_typed::<half::bf16>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
