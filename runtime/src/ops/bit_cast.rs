//! The same bits as elements of another type of the same width.
//!
//! Attributes: `to: u8` (type code). Neither type is category or text.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::tensor::DType;

/// Gives the one input's bits another type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BitCast {
    /// Type of the output.
    pub to: DType,
}

fn is_number(dtype: DType) -> bool {
    !matches!(dtype, DType::Category | DType::Text)
}

impl Operator for BitCast {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let to = DType::from_code(reader.u8()?).filter(|&to| is_number(to));
        Ok(Self { to: to.ok_or(reader.invalid("to"))? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.to.code())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let spec = inputs.required(0)?.spec;
        if !is_number(spec.dtype) || spec.dtype.bits() != self.to.bits() {
            return Err(OpError::input(0, Problem::DType, "numbers as wide as those of the output"));
        }
        outputs.put(0, spec.with_dtype(self.to))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (input, output) = (operands.input(0)?, operands.output(0)?);
        output.bytes.iter_mut().zip(input.bytes).for_each(|(to, &from)| *to = from);
        Ok(())
    }
}
