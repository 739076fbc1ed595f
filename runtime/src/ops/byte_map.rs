//! A function of one byte, as a table of its 256 results.
//!
//! Inputs: integers of 8 bits, and a table `[256]` of int8 or uint8, the result's type. The entry for a value stands at the value's
//! byte: -1 is entry 255. No attributes.

use super::linear::{BYTES, NEEDS_BYTES};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader};
use crate::tensor::DType;

/// Looks each byte up in a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ByteMap;

impl Operator for ByteMap {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let input = inputs.typed(0, &BYTES, NEEDS_BYTES)?;
        let dtype: DType = inputs.typed(1, &BYTES, NEEDS_BYTES)?.dtype;
        inputs.fixed(1, dtype, &[256], "a table of 256 entries")?;
        outputs.put(0, input.with_dtype(dtype))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let table = operands.input(1)?.bytes;
        for byte in operands.overwrite(0, 0)?.bytes {
            *byte = table.get(usize::from(*byte)).copied().unwrap_or(0);
        }
        Ok(())
    }
}
