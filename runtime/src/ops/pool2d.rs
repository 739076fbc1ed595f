//! Reduces windows of images `[B, H, W, C]` to their largest element or their average, channel by channel, in f32.
//!
//! Attributes: `kind: u8`, `kernel height, kernel width: u32`, and the window as in [`super::conv2d`]. B may be the batch. Padding
//! is no element of a window, but [`PoolKind::AveragePadded`] counts it as zeros.

use super::window::{emit_window, images, parse_window, put_images, sliding};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::pool2d;
pub use crate::kernels::reference::pool2d::PoolKind;
use crate::kernels::reference::window::Window;
use crate::tensor::DType;

/// Reduces the windows of images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool2d {
    /// The reduction.
    pub kind: PoolKind,
    /// Taps along height and width; each 1 or more.
    pub kernel: [u32; 2],
    /// How the window moves.
    pub window: Window,
}

impl Pool2d {
    fn kernel(&self) -> [usize; 2] {
        self.kernel.map(|taps| taps as usize)
    }
}

impl Operator for Pool2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = PoolKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))?;
        Ok(Self { kind, kernel: [reader.u32()?, reader.u32()?], window: parse_window(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())?;
        writer.u32(self.kernel[0])?;
        writer.u32(self.kernel[1])?;
        emit_window(&self.window, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = images(inputs, DType::F32, "float32")?;
        put_images(outputs, &self.window, self.kernel(), input, DType::F32, input.1.channels)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.output(0)?;
        let sliding = sliding(self.window, self.kernel(), &operands.input(0)?.dims, &output.dims);
        pool2d::pool2d(&sliding, self.kind, operands.slice(0)?, output.elements(0)?);
        Ok(())
    }
}
