//! Reduces windows of 8-bit images `[B, H, W, C]` to their largest element or to their average at another scale.
//!
//! Attributes: kind, kernel and window as in [`super::pool2d`]; the input's `scale: f32, zero: i16` and the result's as in
//! [`super::integer_binary`]. The largest keeps the input's type, scale and zero point; an average is to the bit what
//! dequantizing, [`super::pool2d`] and quantizing give one after the other.

use super::linear::{BYTES, NEEDS_BYTES, emit_place, emit_real, parse_place, parse_real};
use super::window::{emit_window, images, parse_window, put_images, sliding};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::integer_pool2d;
use crate::kernels::reference::integer_float::{Place, Real};
use crate::kernels::reference::pool2d::PoolKind;
use crate::kernels::reference::window::Window;
use crate::tensor::DType;

/// Reduces the windows of 8-bit images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegerPool2d {
    /// The reduction.
    pub kind: PoolKind,
    /// Taps along height and width; each 1 or more.
    pub kernel: [u32; 2],
    /// How the window moves.
    pub window: Window,
    /// What the input's integers stand for.
    pub input: Real,
    /// Type of the result, of 8 bits.
    pub dtype: DType,
    /// Where results go.
    pub place: Place,
}

impl IntegerPool2d {
    fn kernel(&self) -> [usize; 2] {
        self.kernel.map(|taps| taps as usize)
    }
}

impl Operator for IntegerPool2d {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = PoolKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))?;
        let kernel = [reader.u32()?, reader.u32()?];
        let (window, input) = (parse_window(reader)?, parse_real(reader)?);
        let (dtype, place) = parse_place(reader)?;
        Ok(Self { kind, kernel, window, input, dtype, place })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())?;
        writer.u32(self.kernel[0])?;
        writer.u32(self.kernel[1])?;
        emit_window(&self.window, writer)?;
        emit_real(self.input, writer)?;
        emit_place(self.dtype, self.place, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let dtype = inputs.typed(0, &BYTES, NEEDS_BYTES)?.dtype;
        if self.kind == PoolKind::Max && dtype != self.dtype {
            return Err(OpError::attribute("dtype", "the input's type for the largest element"));
        }
        let input = images(inputs, dtype, NEEDS_BYTES)?;
        put_images(outputs, &self.window, self.kernel(), input, self.dtype, input.1.channels)
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let output = operands.output(0)?;
        let sliding = sliding(self.window, self.kernel(), &input.dims, &output.dims);
        let (kind, real, place) = (self.kind, self.input, self.place);
        match input.spec.dtype {
            DType::U8 => {
                integer_pool2d::pool2d(&sliding, kind, (operands.slice::<u8>(0)?, real), place, output.bytes);
            }
            _ => integer_pool2d::pool2d(&sliding, kind, (operands.slice::<i8>(0)?, real), place, output.bytes),
        }
        Ok(())
    }
}
