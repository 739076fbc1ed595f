//! Local response normalisation along the last axis.
//!
//! Attributes: `size: u32` (1 or more), `alpha, beta, bias: f32`. Input 0 is f32 or f64; its last axis are the channels and not the batch. The formula
//! stands at [`local_response::local_response`].

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::local_response::Response;
use crate::kernels::reference::{Float, local_response};
use crate::tensor::{DType, TensorSpec};

/// Divides each element by a power of its neighbours' mean square.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LocalResponseNorm {
    /// How.
    pub how: Response,
}

impl LocalResponseNorm {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let channels = operands.input(0)?.dims.last().copied().unwrap_or(0);
        let mut output = operands.output(0)?;
        local_response::local_response::<F>(&self.how, channels, operands.slice(0)?, output.elements(0)?);
        Ok(())
    }
}

impl Operator for LocalResponseNorm {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let size = reader.u32()?;
        if size == 0 {
            return Err(reader.invalid("size"));
        }
        Ok(Self { how: Response { size, alpha: reader.f32()?, beta: reader.f32()?, bias: reader.f32()? } })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.how.size)?;
        writer.f32(self.how.alpha)?;
        writer.f32(self.how.beta)?;
        writer.f32(self.how.bias)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let last = input.shape.rank().checked_sub(1).ok_or(OpError::input(0, Problem::Rank, "one axis or more"))?;
        if input.shape.is_batch(last) {
            return Err(OpError::input(0, Problem::Batch, "the batch before the channels"));
        }
        outputs.put(0, TensorSpec::new(input.dtype, input.shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
