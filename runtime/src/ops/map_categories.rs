//! A value for each category.
//!
//! No attributes. Input 0 holds categories or u32; input 1, of any type of whole bytes, is `[K + 1]`: the value of each of the categories 0 to K - 1, then
//! that of any other. The output has input 0's shape and input 1's type.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::map_categories::map_categories;
use crate::tensor::{DType, TensorSpec};

/// Looks up the value of each category.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MapCategories;

impl Operator for MapCategories {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let input = inputs.typed(0, &[DType::Category, DType::U32], "categories")?;
        let values = inputs.whole_bytes(1)?;
        if values.shape.rank() != 1 || values.shape.factor(0) == Some(0) {
            return Err(OpError::input(1, Problem::Rank, "a list of one value at least"));
        }
        if values.shape.is_batched() {
            return Err(OpError::input(1, Problem::Batch, "a list that does not depend on the batch"));
        }
        outputs.put(0, TensorSpec { shape: input.shape, ..values })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let values = operands.input(1)?;
        let width = (values.spec.dtype.bits() / 8) as usize;
        map_categories(operands.slice(0)?, values.bytes, width, operands.output(0)?.bytes);
        Ok(())
    }
}
