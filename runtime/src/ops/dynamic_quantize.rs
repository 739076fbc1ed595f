//! Float32 to uint8 with the scale and zero point of the tensor's own range, as ONNX's DynamicQuantizeLinear.
//!
//! No attributes. Outputs: the integers, the f32 scale and the u8 zero point. The whole tensor has one range, all rows of a batch
//! together. The formula stands at [`linear::quantize_dynamically`].

use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::linear;
use crate::tensor::{DType, Shape, TensorSpec};

/// Quantizes numbers by their own range.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DynamicQuantize;

impl Operator for DynamicQuantize {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.typed(0, &[DType::F32], "float32")?;
        outputs.put(0, input.with_dtype(DType::U8))?;
        outputs.put(1, TensorSpec::new(DType::F32, Shape::scalar()))?;
        outputs.put(2, TensorSpec::new(DType::U8, Shape::scalar()))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.output(0)?;
        let (scale, zero) = linear::quantize_dynamically(operands.slice(0)?, output.elements(0)?);
        operands.output(1)?.elements::<f32>(1)?.fill(scale);
        operands.output(2)?.elements::<u8>(2)?.fill(zero);
        Ok(())
    }
}
