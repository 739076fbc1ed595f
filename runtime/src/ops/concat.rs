//! Joins tensors along an axis.
//!
//! Attributes: `axis: u8`. Any number of inputs of one type of whole bytes, whose shapes differ in the length of that axis only.
//! When it is the batch axis it is so in all of them.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::strided;
use crate::tensor::TensorSpec;

/// Joins the inputs in order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Concat {
    /// The axis.
    pub axis: u8,
}

impl Operator for Concat {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axis: reader.u8()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let axis = usize::from(self.axis);
        let first = inputs.required(0)?.spec;
        if first.dtype.bits() < 8 {
            return Err(OpError::input(0, Problem::DType, "elements of whole bytes"));
        }
        let batched = first.shape.is_batch(axis);
        let mut length = first.shape.factor(axis).ok_or(OpError::attribute("axis", "an axis of the inputs"))?;
        for index in 1..inputs.len() {
            let spec = inputs.required(index)?.spec;
            if (spec.dtype, spec.table) != (first.dtype, first.table) {
                return Err(OpError::input(index, Problem::DType, "the type of input 0"));
            }
            let factor = spec.shape.factor(axis).unwrap_or(0);
            if first.shape.with_axis(axis, factor, batched) != Ok(spec.shape) {
                return Err(OpError::input(index, Problem::Shape, "the shape of input 0 but for one axis"));
            }
            length = length.saturating_add(factor);
        }
        outputs.put(0, TensorSpec { shape: first.shape.with_axis(axis, length, batched)?, ..first })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let axis = usize::from(self.axis);
        let output = operands.output(0)?;
        let width = (output.spec.dtype.bits() / 8) as usize;
        let inner = output.dims.inner(axis).saturating_mul(width);
        let stride = output.dims.at(axis).saturating_mul(inner);
        let mut offset = 0;
        for index in 0..operands.inputs() {
            let input = operands.input(index)?;
            let block = input.dims.at(axis).saturating_mul(inner);
            strided::interleave(input.bytes, block, output.bytes, stride, offset);
            offset = offset.saturating_add(block);
        }
        Ok(())
    }
}
