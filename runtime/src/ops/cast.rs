//! Converts elements to another type.
//!
//! Attributes: `to: u8` (type code). Float to integer truncates towards zero and saturates, NaN becomes 0 (Rust's `as`);
//! integer to narrower integer wraps (numpy's `astype`); float to narrower float rounds to nearest, ties to even;
//! anything to bool is `!= 0`.

use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::cast;
use crate::tensor::DType;

/// Converts the one input to type `to`, keeping the shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cast {
    /// Type of the output.
    pub to: DType,
}

impl Operator for Cast {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let to = DType::from_code(reader.u8()?).filter(|to| DType::WHOLE.contains(to));
        Ok(Self { to: to.ok_or(reader.invalid("to"))? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.to.code())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let spec = inputs.typed(0, &DType::WHOLE, "bool, an integer or a float type")?;
        outputs.put(0, spec.with_dtype(self.to))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let output = operands.output(0)?;
        cast::cast(input.spec.dtype, input.bytes, self.to, output.bytes);
        Ok(())
    }
}
