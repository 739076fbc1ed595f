//! Convolution of images `[B, H, W, C]` with filters `[O, KH, KW, C / groups]` and an optional bias `[O]`, all f32; filters may
//! be f16 or bf16, and are widened element by element.
//!
//! Attributes: the window (for height, then width: `stride, dilation, before, after: u32`), `groups: u32`, and the bounds of a
//! fused activation `low, high: f32`. B may be the batch. The result is `[B, H', W', O]` with
//! `H' = (before + H + after - ((KH - 1) * dilation + 1)) / stride + 1` rounded down, W' likewise. Filters of one group stand
//! together. The order of the sum stands at [`conv2d::conv2d`].

use super::linear::FLOATS;
use super::window::{band, band_in_place, band_scratch, convolve, check_groups, emit_clamp, emit_window, filters, images, parse_clamp, parse_window, put_images};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d;
pub use crate::kernels::reference::conv2d::Clamp;
pub use crate::kernels::reference::window::{Window, WindowAxis};
use crate::tensor::{DType, Element};

/// Convolves images with filters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conv2d {
    /// How the filters move.
    pub window: Window,
    /// Number of groups of channels; each filter sees one of them.
    pub groups: u32,
    /// Bounds of the result.
    pub clamp: Clamp,
}

impl Conv2d {
    fn run_typed<W: Element + Into<f32>>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let filters = operands.input(1)?.dims;
        let (weights, bias) = (operands.slice::<W>(1)?, operands.optional_slice(2)?);
        convolve(operands, self.window, [filters.at(1), filters.at(2)], |sliding, input: &[f32], out: &mut [f32]| {
            conv2d::conv2d(sliding, self.groups as usize, input, weights, bias, self.clamp, out);
        })
    }
}

impl Operator for Conv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { window: parse_window(reader)?, groups: reader.u32()?, clamp: parse_clamp(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_window(&self.window, writer)?;
        writer.u32(self.groups)?;
        emit_clamp(self.clamp, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let input = images(inputs, DType::F32, "float32")?;
        let needs = "float32, float16 or bfloat16 filters [O, KH, KW, C / groups]";
        let dtype = inputs.typed(1, &FLOATS, needs)?.dtype;
        let [count, height, width, channels] = filters(inputs, dtype, needs)?;
        check_groups(self.groups, input.1.channels, count, channels)?;
        if inputs.get(2).is_some() {
            inputs.fixed(2, DType::F32, &[count], "a float32 bias for each filter")?;
        }
        put_images(outputs, &self.window, [height, width], input, DType::F32, count)
    }

    fn in_place(&self, inputs: &dyn Inputs) -> InPlace {
        band_in_place(band(inputs, &self.window, false))
    }

    fn in_place_scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        Ok(band_scratch(band(inputs, &self.window, false), 4))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(1)?.spec.dtype {
            DType::F16 => self.run_typed::<half::f16>(operands),
            DType::BF16 => self.run_typed::<half::bf16>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
