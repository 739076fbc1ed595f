//! Chooses between two tensors, element by element, with numpy's broadcasting: input 1 where input 0 is true, input 2 elsewhere.
//!
//! No attributes. Input 0 is bool; inputs 1 and 2 have one type of whole bytes.

use super::binary::{broadcast_shapes, hold_one_of};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::{broadcast, compare};
use crate::tensor::{DType, TensorSpec};

/// Chooses by a condition.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Select;

impl Operator for Select {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let condition = inputs.typed(0, &[DType::Bool], "bool")?;
        let a = inputs.required(1)?.spec;
        if a.dtype.bits() < 8 {
            return Err(OpError::input(1, Problem::DType, "elements of whole bytes"));
        }
        let b = inputs.typed(2, &[a.dtype], "the type of input 1")?;
        if a.table != b.table {
            return Err(OpError::input(2, Problem::DType, "the categories of input 1"));
        }
        let shape = broadcast_shapes(&broadcast_shapes(&condition.shape, &a.shape)?, &b.shape)?;
        outputs.put(0, TensorSpec { shape, quantization: None, ..a })
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(1, 0), (2, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let condition = operands.input(0)?;
        let (held, output) = hold_one_of(operands, [1, 2])?;
        let other = operands.input(3 - held)?;
        let walk = broadcast::Walk::new(&output.dims, &[&condition.dims, &other.dims]);
        let width = (output.spec.dtype.bits() / 8) as usize;
        compare::select(width, condition.bytes, held == 1, other.bytes, output.bytes, &walk);
        Ok(())
    }
}
