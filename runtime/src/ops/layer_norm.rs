//! Layer normalisation over the last axes.
//!
//! Attributes: `axes: u8` (how many of the last axes), `epsilon: f64`. Inputs: x (f32 or f64), scale and optional bias of x's type and
//! of the shape of those axes, none of which is the batch. The formula stands at [`softmax::layer_norm`].

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::{Float, softmax};
use crate::tensor::{DType, MAX_RANK, TensorSpec};

/// Gives each part zero mean and unit variance, then scales and shifts it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// How many of the last axes make up a part.
    pub axes: u8,
    /// Added to the variance.
    pub epsilon: f64,
}

impl LayerNorm {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let scale = operands.slice::<F>(1)?;
        let (x, bias) = (operands.slice::<F>(0)?, operands.optional_slice::<F>(2)?);
        let mut output = operands.output(0)?;
        softmax::layer_norm(F::from_f64(self.epsilon), x, scale.len(), scale, bias, output.elements(0)?);
        Ok(())
    }
}

impl Operator for LayerNorm {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axes: reader.u8()?, epsilon: reader.f64()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axes)?;
        writer.f64(self.epsilon)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let input = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let kept = input.shape.rank().checked_sub(self.axes.into()).filter(|_| self.axes > 0);
        let kept = kept.ok_or(OpError::attribute("axes", "one axis at least, and no more than the input has"))?;
        if input.shape.batch_axis().is_some_and(|axis| axis >= kept) {
            return Err(OpError::input(0, Problem::Batch, "the batch before the normalised axes"));
        }
        let mut dims = [0usize; MAX_RANK];
        for (slot, &dim) in dims.iter_mut().zip(input.shape.factors().iter().skip(kept)) {
            *slot = dim as usize;
        }
        let dims = dims.get(..self.axes.into()).unwrap_or_default();
        inputs.fixed(1, input.dtype, dims, "a scale of the shape of the normalised axes")?;
        if inputs.get(2).is_some() {
            inputs.fixed(2, input.dtype, dims, "a bias of the shape of the normalised axes")?;
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
