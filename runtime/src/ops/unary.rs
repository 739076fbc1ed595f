//! A function of each element, in f32 or f64.
//!
//! Attributes: `kind: u8`, `alpha: f64`, `beta: f64`. Formulas stand at [`UnaryKind`]; transcendental functions are
//! `libm`'s, so that every device gives the same bits.

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::unary::UnaryKind;
use crate::kernels::reference::unary;
use crate::tensor::DType;

/// Applies a function to each element of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unary {
    /// The function.
    pub kind: UnaryKind,
    /// First parameter, where the function has one.
    pub alpha: f64,
    /// Second parameter, where the function has one.
    pub beta: f64,
}

impl Unary {
    /// A function without parameters.
    pub const fn of(kind: UnaryKind) -> Self {
        Self { kind, alpha: 0.0, beta: 0.0 }
    }
}

impl Operator for Unary {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = UnaryKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))?;
        Ok(Self { kind, alpha: reader.f64()?, beta: reader.f64()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())?;
        writer.f64(self.alpha)?;
        writer.f64(self.beta)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let spec = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        outputs.put(0, spec.with_dtype(spec.dtype))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.overwrite(0, 0)?;
        match output.spec.dtype {
            DType::F64 => unary::unary::<f64>(self.kind, self.alpha, self.beta, output.elements(0)?),
            _ => unary::unary::<f32>(self.kind, self.alpha as f32, self.beta as f32, output.elements(0)?),
        }
        Ok(())
    }
}
