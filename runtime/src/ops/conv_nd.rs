//! Convolution over one to six axes, or its transpose, in f32 or f64.
//!
//! Attributes: `direction: u8` (0 forward, 1 transposed), `groups: u32`, bounds of a fused activation `low, high: f32`. Inputs: images `[B,
//! lengths…, C]`, of which B may be the batch; filters `[O, taps…, C / groups]`; a table `[4, axes]` of strides, dilations, padding before, and
//! padding after (forward) or the output's lengths (transposed, where the padding is taken away and 0 outside); an optional bias `[O]`. The
//! result is `[B, lengths…, O]`. The order of the sum stands at [`conv_nd::conv_nd`], what a tap sees at
//! [`crate::kernels::reference::spatial`].

use super::spatial::{forward_lengths, positive, running_table, spatial_lengths, table, windows, with_lengths};
use super::window::{check_groups, emit_clamp, parse_clamp};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d::Clamp;
pub use crate::kernels::reference::spatial::Direction;
use crate::kernels::reference::spatial::{Lengths, Sweep};
use crate::kernels::reference::{Float, conv_nd};
use crate::tensor::{DType, TensorSpec};

/// Convolves images of any number of axes with filters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ConvNd {
    /// Whether it is the transpose.
    pub direction: Direction,
    /// Number of groups of channels; each filter sees one of them.
    pub groups: u32,
    /// Bounds of the result.
    pub clamp: Clamp,
}

impl ConvNd {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (input, filters) = (operands.input(0)?.dims, operands.input(1)?.dims);
        let mut output = operands.output(0)?;
        let [strides, dilations, before, after] = running_table(operands, 2)?;
        let axes = strides.len();
        let lengths = |dims: &[usize]| Lengths::new(dims.iter().skip(1).take(axes).copied());
        let sweep = Sweep {
            direction: self.direction,
            axes: windows([&strides, &dilations, &before, &after]),
            input: lengths(&input),
            kernel: lengths(&filters),
            output: lengths(&output.dims),
        };
        let sizes = [self.groups as usize, input.at(axes + 1), filters.at(0)];
        let bias = operands.optional_slice::<F>(3)?;
        let out = output.elements(0)?;
        conv_nd::conv_nd(&sweep, sizes, operands.slice::<F>(0)?, operands.slice(1)?, bias, self.clamp, out);
        Ok(())
    }
}

impl Operator for ConvNd {
    const TABLE_INPUTS: u32 = 1 << 2;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let direction = Direction::from_code(reader.u8()?).ok_or(reader.invalid("direction"))?;
        Ok(Self { direction, groups: reader.u32()?, clamp: parse_clamp(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.direction.code())?;
        writer.u32(self.groups)?;
        emit_clamp(self.clamp, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(4)?;
        let input = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let last = input.shape.rank().saturating_sub(1);
        let lengths = spatial_lengths(0, &input, 1, last)?;
        let channels = input.shape.factor(last).unwrap_or(0);
        if channels == 0 || input.shape.is_batch(last) {
            return Err(OpError::input(0, Problem::Shape, "one channel or more, which are not the batch"));
        }
        let needs = "filters [O, taps…, C / groups] of the input's type";
        let filters = inputs.typed(1, &[input.dtype], needs)?;
        if filters.shape.rank() != last + 1 || filters.shape.is_batched() {
            return Err(OpError::input(1, Problem::Shape, needs));
        }
        let kernel = spatial_lengths(1, &filters, 1, last)?;
        let (count, width) = (filters.shape.factor(0).unwrap_or(0), filters.shape.factor(last).unwrap_or(0));
        if count == 0 || width == 0 {
            return Err(OpError::input(1, Problem::Shape, needs));
        }
        check_groups(self.groups, channels, count, width)?;
        let [strides, dilations, before, after] = table(inputs, 2, lengths.len())?;
        for row in [&strides, &dilations] {
            positive(row, 2, "strides and dilations of 1 or more")?;
        }
        if inputs.get(3).is_some() {
            inputs.fixed(3, input.dtype, &[count], "a bias for each filter, of the input's type")?;
        }
        let output = match self.direction {
            Direction::Forward => {
                forward_lengths(&windows([&strides, &dilations, &before, &after]), &lengths, &kernel)?
            }
            Direction::Transposed => {
                positive(&after, 2, "lengths of 1 or more")?;
                after
            }
        };
        outputs.put(0, TensorSpec::new(input.dtype, with_lengths(&input.shape, 1, &output, Some(count))?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
