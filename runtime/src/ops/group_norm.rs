//! Normalisation of groups of channels; with a group for each channel, of instances.
//!
//! Attributes: `groups: u32`, `axis: u8` (the channels; 1 or more), `epsilon: f64`. Inputs: x (f32 or f64), whose first axis counts the instances and
//! is the only one that may be the batch; scale and bias `[C]` of x's type. The formula stands at [`group_norm::group_norm`].

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::{Float, group_norm};
use crate::tensor::{DType, TensorSpec};

/// Gives each group of channels zero mean and unit variance, then scales and shifts each channel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GroupNorm {
    /// Number of groups; a divisor of the channels.
    pub groups: u32,
    /// The channels.
    pub axis: u8,
    /// Added to the variance.
    pub epsilon: f64,
}

impl GroupNorm {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (dims, axis) = (operands.input(0)?.dims, usize::from(self.axis));
        let groups = group_norm::Groups {
            before: dims.iter().take(axis).skip(1).fold(1, |product, &dim| product.saturating_mul(dim)),
            channels: dims.at(axis),
            after: dims.inner(axis),
            count: self.groups as usize,
        };
        let mut output = operands.output(0)?;
        let (x, scale, bias) = (operands.slice(0)?, operands.slice(1)?, operands.slice(2)?);
        group_norm::group_norm(&groups, F::from_f64(self.epsilon), x, scale, bias, output.elements(0)?);
        Ok(())
    }
}

impl Operator for GroupNorm {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { groups: reader.u32()?, axis: reader.u8()?, epsilon: reader.f64()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.groups)?;
        writer.u8(self.axis)?;
        writer.f64(self.epsilon)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let input = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let axis = usize::from(self.axis);
        let channels = input.shape.factor(axis).filter(|_| axis > 0);
        let channels = channels.ok_or(OpError::attribute("axis", "an axis of the input after the first"))?;
        if input.shape.batch_axis().is_some_and(|batch| batch > 0) {
            return Err(OpError::input(0, Problem::Batch, "the batch on axis 0"));
        }
        if channels.checked_rem(self.groups as usize) != Some(0) {
            return Err(OpError::attribute("groups", "a divisor of the channels"));
        }
        for index in [1, 2] {
            inputs.fixed(index, input.dtype, &[channels], "a value for each channel, of the input's type")?;
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
