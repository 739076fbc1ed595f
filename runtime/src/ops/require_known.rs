//! Refuses data that the model does not know.
//!
//! Attributes: `limit: u32`. Input 0 is i32; the output is the same. A run fails on an element that is negative or `limit` and more: a
//! category that the model was not trained with, where its framework refuses such a row as well.

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::tensor::DType;

/// Passes integers below a limit on, and refuses others.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RequireKnown {
    /// The first integer that is refused.
    pub limit: u32,
}

impl Operator for RequireKnown {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { limit: reader.u32()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.limit)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        outputs.put(0, inputs.typed(0, &[DType::I32], "int32")?)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.overwrite(0, 0)?;
        let known = |value: &i32| u32::try_from(*value).is_ok_and(|value| value < self.limit);
        if output.elements::<i32>(0)?.iter().all(known) {
            return Ok(());
        }
        Err(OpError::input(0, Problem::Value, "categories that the model knows; it was trained to refuse others"))
    }
}
