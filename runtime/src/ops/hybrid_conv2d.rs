//! Convolution of float32 images `[B, H, W, C]` with int8 filters `[O, KH, KW, C / groups]`, summed in integers.
//!
//! Inputs: images, filters, an optional float32 bias `[O]`, and the filters' float32 scales, `[O]` or `[1]`. Attributes: as
//! [`super::conv2d`], then `asymmetric: bool`. Each image is quantized to int8 with a scale of its own, and with a zero point where
//! `asymmetric`: [`hybrid::conv2d`]. Scratch: the rows of an image that a filter sees, in int8.

use super::fixed_point::{check_rescale, rescale, scratch_i8};
use super::window::{check_groups, emit_clamp, emit_window, filters, images, parse_clamp, parse_window, put_images, sliding, sliding_of};
use super::{Inputs, OpError, Operands, Operator, Outputs, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d::Clamp;
use crate::kernels::reference::hybrid;
use crate::kernels::reference::window::Window;
use crate::tensor::DType;

/// Convolves float images with int8 filters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HybridConv2d {
    /// How the filters move.
    pub window: Window,
    /// Number of groups of channels; each filter sees one of them.
    pub groups: u32,
    /// Bounds of the result.
    pub clamp: Clamp,
    /// Images are quantized with a zero point.
    pub asymmetric: bool,
}

impl Operator for HybridConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            window: parse_window(reader)?,
            groups: reader.u32()?,
            clamp: parse_clamp(reader)?,
            asymmetric: reader.bool("asymmetric")?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_window(&self.window, writer)?;
        writer.u32(self.groups)?;
        emit_clamp(self.clamp, writer)?;
        writer.bool(self.asymmetric)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let input = images(inputs, DType::F32, "float32")?;
        let [count, height, width, channels] = filters(inputs, DType::I8, "int8 filters [O, KH, KW, C / groups]")?;
        check_groups(self.groups, input.1.channels, count, channels)?;
        check_rescale(inputs, count)?;
        put_images(outputs, &self.window, [height, width], input, DType::F32, count)
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let elements = sliding_of(inputs, &self.window, false).map_or(0, |sliding| hybrid::scratch(&sliding));
        Ok(Scratch { fixed: elements as u64, per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let filters = operands.input(1)?.dims;
        let mut output = operands.output(0)?;
        let sliding = sliding(self.window, [filters.at(1), filters.at(2)], &operands.input(0)?.dims, &output.dims);
        let scratch = operands.scratch()?;
        hybrid::conv2d(
            &sliding,
            (self.groups as usize, self.asymmetric),
            operands.slice(0)?,
            operands.slice(1)?,
            rescale(operands, self.clamp)?,
            output.elements(0)?,
            scratch_i8(scratch.bytes),
        );
        Ok(())
    }
}
