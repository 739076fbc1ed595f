//! Convolution of images whose taps are moved by data.
//!
//! Attributes: the window as in [`super::conv2d`], `groups, offset_groups: u32`. Inputs, all f32: images `[B, H, W, C]`; filters `[O, KH, KW, C /
//! groups]`; offsets `[B, H', W', offset_groups * KH * KW * 2]` (rows, then columns); optional factors `[B, H', W', offset_groups * KH * KW]`; an optional
//! bias `[O]`. B may be the batch. The result is `[B, H', W', O]`. The formula stands at [`deform_conv::deform_conv`].

use super::window::{check_groups, emit_window, filters, images, parse_window, put_images, sliding};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::deform_conv;
pub use crate::kernels::reference::window::{Window, WindowAxis};
use crate::tensor::{DType, Shape, TensorSpec};

/// Convolves images with filters whose taps move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeformConv {
    /// How the filters move.
    pub window: Window,
    /// Number of groups of channels; each filter sees one of them.
    pub groups: u32,
    /// Number of groups of channels whose taps move together.
    pub offset_groups: u32,
}

impl DeformConv {
    /// Checks that input `index` has `channels` numbers for each pixel of the output.
    fn check_moves(
        &self,
        inputs: &dyn Inputs,
        index: usize,
        [count, height, width, channels]: [usize; 4],
        batch: Option<usize>,
    ) -> Result<(), OpError> {
        let needs = "float32 offsets and factors for each pixel of the output, tap and group";
        let shape = Shape::new(&[count, height, width, channels], batch)?;
        if inputs.typed(index, &[DType::F32], needs)?.shape == shape {
            Ok(())
        } else {
            Err(OpError::input(index, Problem::Shape, needs))
        }
    }
}

impl Operator for DeformConv {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { window: parse_window(reader)?, groups: reader.u32()?, offset_groups: reader.u32()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_window(&self.window, writer)?;
        writer.u32(self.groups)?;
        writer.u32(self.offset_groups)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(5)?;
        let (spec, image) = images(inputs, DType::F32, "float32")?;
        let [count, height, width, channels] = filters(inputs, DType::F32, "float32 filters [O, KH, KW, C / groups]")?;
        check_groups(self.groups, image.channels, count, channels)?;
        let groups = self.offset_groups as usize;
        if groups == 0 || !image.channels.is_multiple_of(groups) {
            return Err(OpError::attribute("offset_groups", "a divisor of the channels"));
        }
        let moved = groups.saturating_mul(height).saturating_mul(width);
        let window = |axis: &WindowAxis, length: usize, taps: usize| axis.output_length(length, taps).unwrap_or(0);
        let rows = window(&self.window.rows, image.height, height);
        let columns = window(&self.window.columns, image.width, width);
        let (images, batch) = (spec.shape.factor(0).unwrap_or(0), spec.shape.batch_axis());
        self.check_moves(inputs, 2, [images, rows, columns, moved.saturating_mul(2)], batch)?;
        if inputs.get(3).is_some() {
            self.check_moves(inputs, 3, [images, rows, columns, moved], batch)?;
        }
        if inputs.get(4).is_some() {
            inputs.fixed(4, DType::F32, &[count], "a float32 bias for each filter")?;
        }
        put_images(outputs, &self.window, [height, width], (TensorSpec::new(DType::F32, spec.shape), image), DType::F32, count)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let filters = operands.input(1)?.dims;
        let mut output = operands.output(0)?;
        let kernel = [filters.at(1), filters.at(2)];
        let sliding = sliding(self.window, kernel, &operands.input(0)?.dims, &output.dims);
        let how = deform_conv::Deformation {
            groups: self.groups as usize,
            offset_groups: self.offset_groups as usize,
        };
        let moves = (operands.slice(2)?, operands.optional_slice(3)?);
        let (images, filters, bias) = (operands.slice(0)?, operands.slice(1)?, operands.optional_slice(4)?);
        deform_conv::deform_conv(&sliding, &how, images, filters, moves, bias, output.elements(0)?);
        Ok(())
    }
}
