//! Converts elements from or to a type that is only stored: integers of less than a byte, floats of eight bits and less.
//!
//! Attributes: `to: u8` (type code), `saturate: bool`, `rounding: u8` ([`Rounding`]). Between other types it converts as
//! [`Cast`](super::cast::Cast) does. Integers of less than a byte keep the lowest bits of what they are made from; floats are truncated
//! towards zero first. Floats of eight bits and less follow ONNX's table for `Cast`: to nearest, ties to even (`float8e8m0`: as `rounding`
//! says); what is too large becomes the largest number, or infinity or NaN without `saturate`.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::small_float::Rounding;
pub use crate::kernels::reference::storage_cast::{SmallFloats, is_stored_only};
use crate::kernels::reference::storage_cast::storage_cast;
use crate::tensor::DType;

/// Converts the one input to type `to`, keeping the shape.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StorageCast {
    /// Type of the output.
    pub to: DType,
    /// What becomes of numbers that floats of eight bits and less cannot hold.
    pub small: SmallFloats,
}

fn is_number(dtype: DType) -> bool {
    !matches!(dtype, DType::Category | DType::Text)
}

impl Operator for StorageCast {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let to = DType::from_code(reader.u8()?).filter(|&to| is_number(to)).ok_or(reader.invalid("to"))?;
        let saturate = reader.bool("saturate")?;
        let rounding = Rounding::from_code(reader.u8()?).ok_or(reader.invalid("rounding"))?;
        Ok(Self { to, small: SmallFloats { saturate, rounding } })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.to.code())?;
        writer.bool(self.small.saturate)?;
        writer.u8(self.small.rounding as u8)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let spec = inputs.required(0)?.spec;
        if !is_number(spec.dtype) {
            return Err(OpError::input(0, Problem::DType, "numbers or booleans"));
        }
        let shares_bytes = |dtype: DType| dtype.bits() < 8;
        // Rows of the batch must begin at whole bytes.
        let row = spec.shape.elements().unwrap_or(0);
        let whole = |dtype: DType| row.wrapping_mul(dtype.bits()).is_multiple_of(8);
        if spec.shape.is_batched() && (shares_bytes(spec.dtype) || shares_bytes(self.to)) && !(whole(spec.dtype) && whole(self.to)) {
            return Err(OpError::input(0, Problem::Batch, "rows of whole bytes"));
        }
        outputs.put(0, spec.with_dtype(self.to))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let output = operands.output(0)?;
        storage_cast(input.spec.dtype, input.bytes, self.to, output.bytes, self.small);
        Ok(())
    }
}
