//! The largest or smallest elements along an axis, in order, and their indices.
//!
//! Attributes: `axis: u8`, `k: u32`, `largest: bool`. Input 0 has any type of numbers; `axis` is not the batch and has `k` (1 or more) elements at
//! least. Output 0 has input 0's shape with `k` for the axis, output 1 the indices, i64. Of equals the one with the lower index comes first; NaN is
//! larger than any number.

use super::width::{elements, elements_mut, with_combined};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::combine::Combine;
use crate::kernels::reference::top_k;
use crate::tensor::{DType, TensorSpec};

/// Selects by value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TopK {
    /// The axis.
    pub axis: u8,
    /// How many elements are selected.
    pub k: u32,
    /// The largest instead of the smallest.
    pub largest: bool,
}

impl TopK {
    fn run_typed<T: Combine + bytemuck::Pod>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.input(0)?;
        let axis = usize::from(self.axis);
        let sizes = (x.dims.at(axis), x.dims.inner(axis), self.k as usize);
        let (values, mut indices) = (operands.output(0)?, operands.output(1)?);
        let values = elements_mut::<T>(0, values.bytes)?;
        top_k::top_k(self.largest, sizes, elements(0, x.bytes)?, values, indices.elements(1)?);
        Ok(())
    }
}

impl Operator for TopK {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axis: reader.u8()?, k: reader.u32()?, largest: reader.bool("largest")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)?;
        writer.u32(self.k)?;
        writer.bool(self.largest)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let x = inputs.typed(0, &DType::WHOLE, "numbers or booleans")?;
        let axis = usize::from(self.axis);
        let length = x.shape.factor(axis).ok_or(OpError::attribute("axis", "an axis of the input"))?;
        if x.shape.is_batch(axis) {
            return Err(OpError::input(0, Problem::Batch, "the batch on another axis than the one selected from"));
        }
        if self.k == 0 || self.k as usize > length {
            return Err(OpError::attribute("k", "1 up to the length of the axis"));
        }
        let shape = x.shape.with_axis(axis, self.k as usize, false)?;
        outputs.put(0, TensorSpec { shape, ..x })?;
        outputs.put(1, TensorSpec::new(DType::I64, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        with_combined!(operands.input(0)?.spec.dtype, T => self.run_typed::<T>(operands))
    }
}
