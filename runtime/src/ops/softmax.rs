//! Softmax along an axis, or its logarithm.
//!
//! Attributes: `axis: u8`, `log: bool`. f32 or f64. The axis is not the batch. The formula stands at [`softmax::softmax`].

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::softmax;
use crate::tensor::{DType, TensorSpec};

/// Turns scores into shares of 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Softmax {
    /// The axis.
    pub axis: u8,
    /// The natural logarithm of the result.
    pub log: bool,
}

impl Operator for Softmax {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axis: reader.u8()?, log: reader.bool("log")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)?;
        writer.bool(self.log)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let axis = usize::from(self.axis);
        if axis >= input.shape.rank() {
            return Err(OpError::attribute("axis", "an axis of the input"));
        }
        if input.shape.is_batch(axis) {
            return Err(OpError::input(0, Problem::Batch, "the batch on another axis"));
        }
        outputs.put(0, TensorSpec::new(input.dtype, input.shape))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.overwrite(0, 0)?;
        let axis = usize::from(self.axis);
        let (length, inner) = (output.dims.at(axis), output.dims.inner(axis));
        match output.spec.dtype {
            DType::F64 => softmax::softmax::<f64>(self.log, length, inner, output.elements(0)?),
            _ => softmax::softmax::<f32>(self.log, length, inner, output.elements(0)?),
        }
        Ok(())
    }
}
