//! Bilinear interpolation of images `[B, H, W, C]` to the height and width that the output declares.
//!
//! Attributes: `corners: u8`. f32, int8 or int16 (scale and zero point stay). B may be the batch. The formulas stand at
//! [`resize_bilinear`].

use super::window::images;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::resize_bilinear::Corners;
use crate::kernels::reference::resize_bilinear::{self, Interpolated};
use crate::kernels::reference::window::Image;
use crate::tensor::{DType, Dims, Element, TensorSpec};

/// The longest side of an image: keeps integer weights within 64 bits.
const MAX_SIDE: usize = 1 << 16;

/// Interpolates images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ResizeBilinear {
    /// Where the result's pixels lie in the input.
    pub corners: Corners,
}

impl ResizeBilinear {
    fn run_typed<T: Interpolated + Element>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.output(0)?;
        let image = |dims: &Dims| Image { height: dims.at(1), width: dims.at(2), channels: dims.at(3) };
        let (from, to) = (image(&operands.input(0)?.dims), image(&output.dims));
        resize_bilinear::resize_bilinear(self.corners, from, to, operands.slice::<T>(0)?, output.elements(0)?);
        Ok(())
    }
}

impl Operator for ResizeBilinear {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { corners: Corners::from_code(reader.u8()?).ok_or(reader.invalid("corners"))? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.corners.code())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.typed(0, &[DType::F32, DType::I8, DType::I16], "float32, int8 or int16")?;
        let (_, image) = images(inputs, input.dtype, "images")?;
        if image.height.max(image.width) > MAX_SIDE {
            return Err(OpError::input(0, Problem::Shape, "images of 65,536 pixels a side at most"));
        }
        let missing = OpError::output(0, Problem::Missing, "declared images [B, H, W, C]");
        let declared = outputs.declared(0).ok_or(missing)?.shape;
        let kept = |axis| declared.factor(axis) == input.shape.factor(axis);
        let sized = |axis| declared.factor(axis).is_some_and(|length| (1..=MAX_SIDE).contains(&length));
        let like_input = declared.rank() == 4 && declared.batch_axis() == input.shape.batch_axis();
        if !(like_input && kept(0) && kept(3) && sized(1) && sized(2)) {
            return Err(OpError::output(0, Problem::Shape, "images like input 0's of another height and width"));
        }
        outputs.put(0, TensorSpec { shape: declared, ..input })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::I8 => self.run_typed::<i8>(operands),
            DType::I16 => self.run_typed::<i16>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
