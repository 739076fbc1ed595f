//! Reduces windows of int16 images `[B, H, W, C]` to their largest element or their average, at the input's scale.
//!
//! Attributes: as [`super::pool2d`], then the bounds `low, high: i16`. Rounding stands at [`quantized_pool2d::pool2d`].

use super::fixed_point::parse_bounds;
use super::window::{emit_window, images, parse_window, put_images, sliding};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fixed_point::Target;
use crate::kernels::reference::pool2d::PoolKind;
use crate::kernels::reference::quantized_pool2d;
use crate::kernels::reference::window::Window;
use crate::tensor::DType;

/// Reduces the windows of int16 images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WidePool2d {
    /// The reduction.
    pub kind: PoolKind,
    /// Taps along height and width; each 1 or more.
    pub kernel: [u32; 2],
    /// How the window moves.
    pub window: Window,
    /// Lowest and highest value of the result.
    pub bounds: [i16; 2],
}

impl WidePool2d {
    fn kernel(&self) -> [usize; 2] {
        self.kernel.map(|taps| taps as usize)
    }
}

impl Operator for WidePool2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = PoolKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))?;
        let kernel = [reader.u32()?, reader.u32()?];
        Ok(Self { kind, kernel, window: parse_window(reader)?, bounds: parse_bounds(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())?;
        self.kernel.into_iter().try_for_each(|taps| writer.u32(taps))?;
        emit_window(&self.window, writer)?;
        self.bounds.into_iter().try_for_each(|bound| writer.i16(bound))
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = images(inputs, DType::I16, "int16")?;
        put_images(outputs, &self.window, self.kernel(), input, DType::I16, input.1.channels)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.output(0)?;
        let sliding = sliding(self.window, self.kernel(), &operands.input(0)?.dims, &output.dims);
        let target = Target { zero: 0i16, low: self.bounds[0], high: self.bounds[1] };
        quantized_pool2d::pool2d(&sliding, self.kind, target, operands.slice(0)?, output.elements(0)?);
        Ok(())
    }
}
