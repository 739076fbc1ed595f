//! Float32 to int8: `clip(round(x / scale) + zero)`, halves away from zero.
//!
//! Attributes: `scale: f32`, positive and finite, and the target `zero, low, high: i8`.

use super::fixed_point::{emit_target, parse_target};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::affine;
use crate::kernels::reference::fixed_point::Target;
use crate::tensor::{DType, Quantization, TensorSpec};

/// Quantizes floats to int8.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantize {
    /// Real value of one step.
    pub scale: f32,
    /// Zero point and bounds of the result.
    pub target: Target,
}

/// Reads a scale, which is positive and finite.
pub(super) fn parse_scale(reader: &mut Reader<'_>) -> Result<f32, BytesError> {
    let scale = reader.f32()?;
    if scale > 0.0 && scale.is_finite() { Ok(scale) } else { Err(reader.invalid("scale")) }
}

impl Operator for Quantize {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { scale: parse_scale(reader)?, target: parse_target(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.f32(self.scale)?;
        emit_target(self.target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let spec = inputs.typed(0, &[DType::F32], "float32")?;
        let quantization = Some(Quantization { scale: self.scale, zero_point: self.target.zero.into() });
        outputs.put(0, TensorSpec { quantization, ..spec.with_dtype(DType::I8) })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        affine::quantize(self.scale, self.target, operands.slice(0)?, operands.output(0)?.elements(0)?);
        Ok(())
    }
}
