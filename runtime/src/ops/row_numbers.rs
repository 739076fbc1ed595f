//! The numbers of the rows of the batch: `0, 1, …` up to the length of the declared output, i64 `[k * N]`.
//!
//! No attributes, no inputs. They are what an index into the batch's axis can be made of, for tensors that pair each row with its own.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::tensor::{DType, TensorSpec};

/// Counts the rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowNumbers;

impl Operator for RowNumbers {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(0)?;
        let needs = "a declared list that depends on the batch";
        let shape = outputs.declared(0).ok_or(OpError::output(0, Problem::Missing, needs))?.shape;
        if shape.rank() != 1 || !shape.is_batched() {
            return Err(OpError::output(0, Problem::Shape, needs));
        }
        outputs.put(0, TensorSpec::new(DType::I64, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.output(0)?;
        for (number, slot) in output.elements::<i64>(0)?.iter_mut().enumerate() {
            *slot = number as i64;
        }
        Ok(())
    }
}
