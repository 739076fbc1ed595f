//! Takes parts of an axis by index.
//!
//! Attributes: `axis: u8`. Input 0, of any type of whole bytes, has an axis that is not the batch; input 1 holds indices (i32 or i64).
//! The output's shape is input 0's with the axis replaced by input 1's axes; one of the two may depend on the batch.
//!
//! A negative index counts from the end; an index outside the axis is taken as the nearest one inside.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::gather;
use crate::tensor::{DType, MAX_RANK, Shape, TensorSpec};

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
        let data = inputs.required(0)?.spec;
        if data.dtype.bits() < 8 {
            return Err(OpError::input(0, Problem::DType, "elements of whole bytes"));
        }
        match data.shape.factor(axis) {
            None => return Err(OpError::attribute("axis", "an axis of input 0")),
            Some(0) => return Err(OpError::input(0, Problem::Shape, "an axis of one element at least")),
            Some(_) if data.shape.is_batch(axis) => {
                return Err(OpError::input(0, Problem::Batch, "the batch on another axis than the one taken from"));
            }
            Some(_) => {}
        }
        let indices = inputs.typed(1, &[DType::I32, DType::I64], "int32 or int64 indices")?.shape;
        if indices.is_batched() && data.shape.is_batched() {
            return Err(OpError::input(1, Problem::Batch, "indices that do not depend on the batch, as input 0 does"));
        }
        let rank = data.shape.rank() - 1 + indices.rank();
        if rank > MAX_RANK {
            return Err(OpError::input(1, Problem::Rank, "eight axes at most in the result"));
        }
        let mut dims = [0usize; MAX_RANK];
        let sources = (0..axis)
            .map(|axis| (&data.shape, axis))
            .chain((0..indices.rank()).map(|axis| (&indices, axis)))
            .chain((axis + 1..data.shape.rank()).map(|axis| (&data.shape, axis)));
        let mut batch = None;
        for (position, (dim, (shape, axis))) in dims.iter_mut().zip(sources).enumerate() {
            *dim = shape.factor(axis).unwrap_or(0);
            if shape.is_batch(axis) {
                batch = Some(position);
            }
        }
        let shape = Shape::new(dims.get(..rank).unwrap_or_default(), batch)?;
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
