//! Takes parts of an axis by index.
//!
//! Attributes: `axis: u8`. Input 0, of any type of whole bytes, has the axis; input 1 holds indices (i32 or i64). The output's shape
//! is input 0's with the axis replaced by input 1's axes; one of the two may depend on the batch, or both where the axis is the batch.
//!
//! A negative index counts from the end; an index outside the axis is taken as the nearest one inside.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::gather;
use crate::tensor::{DType, Shape, TensorSpec};

/// Takes the parts of the first input that the second names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gather {
    /// The axis.
    pub axis: u8,
}

impl Operator for Gather {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axis: reader.u8()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let axis = usize::from(self.axis);
        let (data, indices) = (inputs.whole_bytes(0)?, inputs.indices(1)?);
        match data.shape.factor(axis) {
            None => return Err(OpError::attribute("axis", "an axis of input 0")),
            Some(0) => return Err(OpError::input(0, Problem::Shape, "an axis of one element at least")),
            Some(_) if data.shape.is_batch(axis) && !indices.is_batched() => {
                return Err(OpError::input(0, Problem::Batch, "the batch on another axis than the one taken from"));
            }
            Some(_) if !data.shape.is_batch(axis) && data.shape.is_batched() && indices.is_batched() => {
                return Err(OpError::input(1, Problem::Batch, "indices that do not depend on the batch, as input 0 does"));
            }
            Some(_) => {}
        }
        let before = (0..axis).map(|axis| (&data.shape, axis));
        let taken = (0..indices.rank()).map(|axis| (&indices, axis));
        let after = (axis + 1..data.shape.rank()).map(|axis| (&data.shape, axis));
        let shape = Shape::of_axes(before.chain(taken).chain(after))?;
        outputs.put(0, TensorSpec { shape, ..data })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let data = operands.input(0)?;
        let output = operands.output(0)?;
        let axis = usize::from(self.axis);
        let length = data.dims.at(axis);
        let block = data.dims.inner(axis).saturating_mul((data.spec.dtype.bits() / 8) as usize);
        match operands.input(1)?.spec.dtype {
            DType::I64 => {
                let indices = operands.slice::<i64>(1)?.iter().copied();
                gather::gather(data.bytes, length, block, indices, output.bytes);
            }
            _ => {
                let indices = operands.slice::<i32>(1)?.iter().map(|&index| index.into());
                gather::gather(data.bytes, length, block, indices, output.bytes);
            }
        }
        Ok(())
    }
}
