//! Samples images at the places that a grid gives.
//!
//! Attributes: `mode, padding: u8`, `align_corners: bool`. Inputs, both f32: images `[B, lengths…, C]` of one to six axes; places `[B, lengths…,
//! axes]`, of as many axes, whose coordinates from -1 to 1 stand in the reverse order of the axes. B may be the batch, of both. The result is
//! `[B, the places' lengths…, C]`. The formula stands at [`grid_sample::grid_sample`].

use super::spatial::{spatial_lengths, with_lengths};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::grid_sample;
pub use crate::kernels::reference::grid_sample::{SampleMode, SamplePadding, Sampling};
use crate::kernels::reference::spatial::Lengths;
use crate::tensor::{DType, TensorSpec};

/// Samples images at any places.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GridSample {
    /// How.
    pub how: Sampling,
}

impl Operator for GridSample {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let how = Sampling {
            mode: SampleMode::from_code(reader.u8()?).ok_or(reader.invalid("mode"))?,
            padding: SamplePadding::from_code(reader.u8()?).ok_or(reader.invalid("padding"))?,
            align_corners: reader.bool("align_corners")?,
        };
        Ok(Self { how })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.how.mode.code())?;
        writer.u8(self.how.padding.code())?;
        writer.bool(self.how.align_corners)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let images = inputs.typed(0, &[DType::F32], "float32 images")?;
        let grid = inputs.typed(1, &[DType::F32], "float32 places")?;
        let last = images.shape.rank().saturating_sub(1);
        let axes = spatial_lengths(0, &images, 1, last)?.len();
        let channels = images.shape.factor(last).unwrap_or(0);
        if channels == 0 || images.shape.is_batch(last) {
            return Err(OpError::input(0, Problem::Shape, "one channel or more, which are not the batch"));
        }
        if grid.shape.rank() != last + 1 || grid.shape.factor(last) != Some(axes) || grid.shape.is_batch(last) {
            return Err(OpError::input(1, Problem::Shape, "a coordinate for each axis of the images"));
        }
        let batch = |spec: &TensorSpec| (spec.shape.factor(0), spec.shape.batch_axis());
        if batch(&images) != batch(&grid) || images.shape.factor(0) == Some(0) {
            return Err(OpError::input(1, Problem::Batch, "as many grids as there are images"));
        }
        let places = spatial_lengths(1, &grid, 1, last)?;
        outputs.put(0, TensorSpec::new(DType::F32, with_lengths(&images.shape, 1, &places, Some(channels))?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let dims = operands.input(0)?.dims;
        let last = dims.len().saturating_sub(1);
        let lengths = Lengths::new(dims.iter().copied().take(last).skip(1));
        let mut output = operands.output(0)?;
        let (images, grid) = (operands.slice(0)?, operands.slice(1)?);
        grid_sample::grid_sample(&self.how, &lengths, dims.at(last), images, grid, output.elements(0)?);
        Ok(())
    }
}
