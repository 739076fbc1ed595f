//! Logistic function or hyperbolic tangent of int16, to int16 with scale 2^-15 and zero point 0.
//!
//! Attributes: `kind: u8` (0 the logistic function, 1 the tangent), `multiplier: i32`, `shift: u8` (0 to 31): `multiplier / 2^shift` turns stored
//! values into 24ths with 9 (logistic function) or 8 bits (tangent) after the point. Input 0 is int16, input 1 the table, uint16
//! `[256]`. The formulas stand at [`sigmoid16`].

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::sigmoid16;
pub use crate::kernels::reference::sigmoid16::{ENTRIES, Sigmoid};
use crate::tensor::{DType, TensorSpec};

/// A function of int16 elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sigmoid16 {
    /// Which function.
    pub kind: Sigmoid,
    /// What elements are multiplied with.
    pub multiplier: i32,
    /// Bits by which the products are shifted right, up to 31.
    pub shift: u8,
}

impl Operator for Sigmoid16 {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = if reader.bool("kind")? { Sigmoid::Tanh } else { Sigmoid::Logistic };
        let (multiplier, shift) = (reader.i32()?, reader.u8()?);
        if shift > 31 { Err(reader.invalid("shift")) } else { Ok(Self { kind, multiplier, shift }) }
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.kind == Sigmoid::Tanh)?;
        writer.i32(self.multiplier)?;
        writer.u8(self.shift)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let input = inputs.typed(0, &[DType::I16], "int16")?;
        inputs.fixed(1, DType::U16, &[ENTRIES], "a table of 256 entries of uint16")?;
        outputs.put(0, TensorSpec::new(DType::I16, input.shape))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let scale = (self.multiplier, self.shift.into());
        sigmoid16::sigmoid(self.kind, scale, operands.slice(1)?, operands.overwrite(0, 0)?.elements(0)?);
        Ok(())
    }
}
