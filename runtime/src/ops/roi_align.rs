//! Pools regions of images to one size.
//!
//! Attributes: `max, half_pixel: bool`, `samples: u32` (0 for as many as a cell is long), `scale: f32`, `rows, columns: u32` (cells of a region,
//! 1 or more). Inputs: images `[B, H, W, C]` (f32), of which B may be the batch; regions `[R, 4]` (f32), of which R may be the batch; the i64 number
//! `[R]` of each region's image, of which one outside is taken as the nearest. The result is `[R, rows, columns, C]`. The formula stands at
//! [`roi_align::roi_align`].

use super::window::images;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::roi_align;
pub use crate::kernels::reference::roi_align::Regions;
use crate::kernels::reference::window::Image;
use crate::tensor::{DType, Shape, TensorSpec};

/// The most samples that may be asked for along one side of a cell.
const MAX_SAMPLES: u32 = 1024;

/// Pools regions of images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoiAlign {
    /// How.
    pub how: Regions,
}

impl Operator for RoiAlign {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let (max, half_pixel) = (reader.bool("max")?, reader.bool("half_pixel")?);
        let (samples, scale) = (reader.u32()?, reader.f32()?);
        let cells = [reader.u32()? as usize, reader.u32()? as usize];
        if cells.contains(&0) || samples > MAX_SAMPLES {
            return Err(reader.invalid("cells or samples"));
        }
        Ok(Self { how: Regions { max, half_pixel, samples, scale, cells } })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.how.max)?;
        writer.bool(self.how.half_pixel)?;
        writer.u32(self.how.samples)?;
        writer.f32(self.how.scale)?;
        self.how.cells.iter().try_for_each(|&cells| writer.u32(cells as u32))
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let (_, image) = images(inputs, DType::F32, "float32")?;
        let needs = "float32 regions [regions, 4]";
        let regions = inputs.typed(1, &[DType::F32], needs)?;
        let (&[count, 4], None | Some(0)) = (regions.shape.factors(), regions.shape.batch_axis()) else {
            return Err(OpError::input(1, Problem::Shape, needs));
        };
        let numbers = inputs.typed(2, &[DType::I64], "int64 numbers of images")?;
        if numbers.shape != Shape::new(&[count as usize], regions.shape.batch_axis())? {
            return Err(OpError::input(2, Problem::Shape, "the number of an image for each region"));
        }
        let [rows, columns] = self.how.cells;
        if rows == 0 || columns == 0 || self.how.samples > MAX_SAMPLES {
            return Err(OpError::attribute("sampling_ratio", "at most 1024, and one cell or more"));
        }
        let shape = Shape::new(&[count as usize, rows, columns, image.channels], regions.shape.batch_axis())?;
        outputs.put(0, TensorSpec::new(DType::F32, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let dims = operands.input(0)?.dims;
        let size = Image { height: dims.at(1), width: dims.at(2), channels: dims.at(3) };
        let mut output = operands.output(0)?;
        let (images, regions, numbers) = (operands.slice(0)?, operands.slice(1)?, operands.slice(2)?);
        roi_align::roi_align(&self.how, &size, images, regions, numbers, output.elements(0)?);
        Ok(())
    }
}
