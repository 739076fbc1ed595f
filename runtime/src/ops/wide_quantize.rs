//! Float32 to int16 with zero point 0: `clip(round(x / scale))`, halves away from zero; NaN becomes 0.
//!
//! Attributes: `scale: f32`, positive and finite.

use super::quantize::parse_scale;
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::affine;
use crate::kernels::reference::fixed_point::Target;
use crate::tensor::{DType, Quantization, TensorSpec};

/// Quantizes floats to int16.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WideQuantize {
    /// Real value of one step.
    pub scale: f32,
}

impl Operator for WideQuantize {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { scale: parse_scale(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.f32(self.scale)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let spec = inputs.typed(0, &[DType::F32], "float32")?;
        let quantization = Some(Quantization { scale: self.scale, zero_point: 0 });
        outputs.put(0, TensorSpec { quantization, ..spec.with_dtype(DType::I16) })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let target = Target { zero: 0i16, low: i16::MIN, high: i16::MAX };
        affine::quantize(self.scale, target, operands.slice(0)?, operands.output(0)?.elements(0)?);
        Ok(())
    }
}
