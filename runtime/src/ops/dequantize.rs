//! Int8 to float32: `scale * (x - zero)`.
//!
//! Attributes: `scale: f32`, positive and finite, and `zero: i8`.

use super::quantize::parse_scale;
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::affine;
use crate::tensor::DType;

/// Turns int8 back into floats.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dequantize {
    /// Real value of one step.
    pub scale: f32,
    /// Stored value of real zero.
    pub zero: i8,
}

impl Operator for Dequantize {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { scale: parse_scale(reader)?, zero: reader.i8()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.f32(self.scale)?;
        writer.i8(self.zero)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        outputs.put(0, inputs.typed(0, &[DType::I8], "int8")?.with_dtype(DType::F32))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        affine::dequantize(self.scale, self.zero, operands.slice(0)?, operands.output(0)?.elements(0)?);
        Ok(())
    }
}
