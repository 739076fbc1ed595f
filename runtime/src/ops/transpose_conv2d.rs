//! Transposed convolution of images `[B, H, W, C]` with filters `[O, KH, KW, C]` and an optional bias `[O]`, all f32.
//!
//! Attributes: for height, then width, `stride, before: u32`, and the bounds of a fused activation `low, high: f32`. The output declares
//! its height and width; pixel `(y, x)` of the input adds to the window that starts at `(y * stride - before, x * stride - before)`, what
//! falls outside is dropped. B may be the batch. Sums run over the input's rows, columns, then channels, all rising, and the bias is
//! added last, as in TFLite's reference kernel.

use super::window::{emit_clamp, filters, images, parse_clamp};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d::Clamp;
use crate::kernels::reference::transpose_conv2d;
pub use crate::kernels::reference::transpose_conv2d::TransposedAxis;
use crate::kernels::reference::transpose_conv2d::Transposed;
use crate::kernels::reference::window::Image;
use crate::tensor::{DType, Dims, TensorSpec};

/// Convolves images with filters the other way round.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TransposeConv2d {
    /// Rows and columns.
    pub axes: [TransposedAxis; 2],
    /// Bounds of the result.
    pub clamp: Clamp,
}

/// Reads the axes: for height, then width, `stride, before: u32`.
pub(super) fn parse_axes(reader: &mut Reader<'_>) -> Result<[TransposedAxis; 2], BytesError> {
    let mut axis = || {
        let axis = TransposedAxis { stride: reader.u32()?, before: reader.u32()? };
        if axis.stride == 0 { Err(reader.invalid("stride")) } else { Ok(axis) }
    };
    Ok([axis()?, axis()?])
}

/// Writes the axes as [`parse_axes`] reads them.
pub(super) fn emit_axes(axes: &[TransposedAxis; 2], writer: &mut Writer<'_>) -> Result<(), BytesError> {
    axes.iter().try_for_each(|axis| {
        writer.u32(axis.stride)?;
        writer.u32(axis.before)
    })
}

/// The rule of inputs 0 and 1 and output 0, whose height and width are the declaration's; returns the number of filters.
pub(super) fn put_transposed(
    inputs: &dyn Inputs,
    outputs: &mut dyn Outputs,
    [activations, weights]: [DType; 2],
) -> Result<usize, OpError> {
    let (input, image) = images(inputs, activations, "the type of the images")?;
    let [count, _, _, channels] = filters(inputs, weights, "filters [O, KH, KW, C]")?;
    if channels != image.channels {
        return Err(OpError::input(1, Problem::Shape, "as many channels as input 0"));
    }
    let missing = OpError::output(0, Problem::Missing, "declared images [B, H, W, O]");
    let declared = outputs.declared(0).ok_or(missing)?.shape;
    let like_input = declared.batch_axis() == input.shape.batch_axis() && declared.factor(0) == input.shape.factor(0);
    match *declared.factors() {
        [_, height, width, filters] if like_input && height.min(width) > 0 && filters as usize == count => {}
        _ => return Err(OpError::output(0, Problem::Shape, "as many images as input 0, with a channel for each filter")),
    }
    outputs.put(0, TensorSpec::new(activations, declared))?;
    Ok(count)
}

/// The lengths that [`put_transposed`] accepted.
pub(super) fn transposed(
    axes: [TransposedAxis; 2],
    operands: &dyn Operands,
    output: &Dims,
) -> Result<Transposed, OpError> {
    let (input, filters) = (operands.input(0)?.dims, operands.input(1)?.dims);
    let image = |dims: &Dims| Image { height: dims.at(1), width: dims.at(2), channels: dims.at(3) };
    Ok(Transposed { axes, kernel: [filters.at(1), filters.at(2)], input: image(&input), output: image(output) })
}

impl Operator for TransposeConv2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axes: parse_axes(reader)?, clamp: parse_clamp(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_axes(&self.axes, writer)?;
        emit_clamp(self.clamp, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let count = put_transposed(inputs, outputs, [DType::F32; 2])?;
        match inputs.get(2) {
            Some(_) => inputs.fixed(2, DType::F32, &[count], "a float32 bias for each filter"),
            None => Ok(()),
        }
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let bias = operands.optional_slice::<f32>(2)?;
        let mut output = operands.output(0)?;
        let shape = transposed(self.axes, operands, &output.dims)?;
        let dot = |sum: f32, x: &[f32], w: &[f32]| x.iter().zip(w).fold(sum, |sum, (&x, &w)| sum + x * w);
        transpose_conv2d::transpose_conv2d(
            &shape,
            operands.slice::<f32>(0)?,
            operands.slice::<f32>(1)?,
            output.elements(0)?,
            0.0,
            dot,
            |channel, sum| {
                let bias = bias.and_then(|bias| bias.get(channel)).copied().unwrap_or(0.0);
                self.clamp.apply(sum + bias)
            },
        );
        Ok(())
    }
}
