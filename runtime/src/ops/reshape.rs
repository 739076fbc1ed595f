//! Gives the same elements, in the same order, another shape.
//!
//! No attributes: the shape is the one that the output declares. The batch may move to another axis as long as every
//! batch size gives both shapes the same number of elements.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};

/// Copies the input's elements to an output of another shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reshape;

impl Operator for Reshape {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.required(0)?.spec;
        let output =
            outputs.declared(0).ok_or(OpError::output(0, Problem::Missing, "a declared shape"))?;
        let same_elements = input.shape.elements() == output.shape.elements()
            && input.shape.is_batched() == output.shape.is_batched();
        if !same_elements {
            return Err(OpError::output(0, Problem::Shape, "as many elements as the input for every batch size"));
        }
        outputs.put(0, crate::TensorSpec { shape: output.shape, ..input })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let output = operands.output(0)?;
        for (to, from) in output.bytes.iter_mut().zip(input.bytes) {
            *to = *from;
        }
        Ok(())
    }
}
