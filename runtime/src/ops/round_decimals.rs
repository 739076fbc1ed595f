//! Numbers rounded to decimal places.
//!
//! Attribute: `digits: u8`, at most [`MAX_DIGITS`], places after the decimal point. Input and output: f64.

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::round_decimals::MAX_DIGITS;
use crate::kernels::reference::round_decimals::round_decimals;
use crate::tensor::DType;

/// Rounds to decimal places.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundDecimals {
    /// Places after the decimal point.
    pub digits: u8,
}

impl Operator for RoundDecimals {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let digits = reader.u8()?;
        if digits > MAX_DIGITS {
            return Err(reader.invalid("digits"));
        }
        Ok(Self { digits })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.digits)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        if self.digits > MAX_DIGITS {
            return Err(OpError::attribute("digits", "17 at most"));
        }
        outputs.put(0, inputs.typed(0, &[DType::F64], "f64")?)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut x = operands.overwrite(0, 0)?;
        for value in x.elements::<f64>(0)? {
            *value = round_decimals(*value, self.digits);
        }
        Ok(())
    }
}
