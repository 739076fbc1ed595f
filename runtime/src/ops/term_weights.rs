//! Weights of counted terms: logarithms of counts, weights of columns, and rows of length 1, as scikit-learn's `TfidfTransformer`.
//!
//! Attributes: `sublinear: u8` (1: a count `c` other than 0 becomes `ln(c) + 1`), `norm: u8` ([`Norm`]), `from_last: u8` (1: a row's norm is summed from its last column
//! on). Input 0 is f32 or f64 `[N, columns]`; input 1 (optional) a weight for each column, of input 0's type. The output is like input 0.
//!
//! Squares and absolute values are rounded to the type and summed in float64; a row whose sum is 0 stays.

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::term_weights::Norm;
use crate::kernels::reference::term_weights::{Weighing, weigh};
use crate::tensor::{DType, Element};

/// Weighs counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TermWeights {
    /// Whether counts become logarithms.
    pub sublinear: bool,
    /// What rows are divided by.
    pub norm: Norm,
    /// Whether norms are summed from the last column on.
    pub from_last: bool,
}

impl TermWeights {
    fn run_typed<T: Element + Weighing>(self, operands: &dyn Operands) -> Result<(), OpError> {
        let weights = operands.optional_slice::<T>(1)?;
        let mut output = operands.overwrite(0, 0)?;
        let columns = output.dims.at(1).max(1);
        for row in output.elements::<T>(0)?.chunks_exact_mut(columns) {
            weigh(row, self.sublinear, weights, self.norm, self.from_last);
        }
        Ok(())
    }
}

impl Operator for TermWeights {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let (sublinear, norm, from_last) = (reader.u8()?, reader.u8()?, reader.u8()?);
        let norm = match norm {
            0 => Norm::None,
            1 => Norm::Sum,
            2 => Norm::Length,
            _ => return Err(reader.invalid("norm")),
        };
        if sublinear > 1 || from_last > 1 {
            return Err(reader.invalid("flag"));
        }
        Ok(Self { sublinear: sublinear == 1, norm, from_last: from_last == 1 })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.sublinear.into())?;
        writer.u8(self.norm as u8)?;
        writer.u8(self.from_last.into())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        if x.shape.rank() != 2 || x.shape.is_batch(1) {
            return Err(OpError::input(0, Problem::Rank, "rows of columns"));
        }
        if inputs.get(1).is_some() {
            inputs.fixed(1, x.dtype, &[x.shape.factor(1).unwrap_or(0)], "a weight for each column")?;
        }
        outputs.put(0, x)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.dtype(0) {
            Some(DType::F32) => self.run_typed::<f32>(operands),
            _ => self.run_typed::<f64>(operands),
        }
    }
}
