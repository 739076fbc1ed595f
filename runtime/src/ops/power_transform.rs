//! Box-Cox's and Yeo-Johnson's functions of columns, and their inverses.
//!
//! Attributes: `kind: u8` ([`PowerKind`]). Input 0 is f64 `[N, F]`; input 1 a parameter for each column, f64 `[F]`. NaN stays.

use super::products::columns;
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::power_transform::PowerKind;
use crate::tensor::{DType, TensorSpec};

/// Applies a family of functions, with one parameter for each column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PowerTransform {
    /// The family.
    pub kind: PowerKind,
}

impl Operator for PowerTransform {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { kind: PowerKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind as u8)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let x = inputs.typed(0, &[DType::F64], "float64")?;
        inputs.fixed(1, DType::F64, &[columns(&x)?], "a parameter for each column")?;
        outputs.put(0, TensorSpec::new(x.dtype, x.shape))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let parameters = operands.slice::<f64>(1)?;
        let mut output = operands.overwrite(0, 0)?;
        for row in output.elements::<f64>(0)?.chunks_exact_mut(parameters.len().max(1)) {
            for (x, &parameter) in row.iter_mut().zip(parameters) {
                *x = self.kind.at(*x, parameter);
            }
        }
        Ok(())
    }
}
