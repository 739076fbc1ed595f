//! Least squares without negative coefficients: the coefficients of each row of numbers over fixed components.
//!
//! Attributes: `tolerance: f64`, `rounds: u32` (most rounds over the coefficients, at most [`MAX_ROUNDS`]). Input 0 is the products of the rows
//! and the components, f64 `[N, K]`; input 1 those of the components, f64 `[K, K]`. The output is `[N, K]`; see
//! [`coordinate_descent`]. Rows are solved each by itself.

use super::products::columns;
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::coordinate_descent::coordinate_descent;
use crate::tensor::{DType, TensorSpec};

/// The most rounds of a run, which bound its time.
pub const MAX_ROUNDS: u32 = 100_000;

/// Solves for coefficients that are not negative.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CoordinateDescent {
    /// A round ends the search whose gradients are at most so many times those of the first.
    pub tolerance: f64,
    /// Most rounds.
    pub rounds: u32,
}

impl Operator for CoordinateDescent {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let tolerance = reader.f64()?;
        let rounds = reader.u32()?;
        if rounds > MAX_ROUNDS {
            return Err(reader.invalid("rounds"));
        }
        Ok(Self { tolerance, rounds })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.f64(self.tolerance)?;
        writer.u32(self.rounds)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        if self.rounds > MAX_ROUNDS {
            return Err(OpError::attribute("rounds", "100000 at most"));
        }
        let targets = inputs.typed(0, &[DType::F64], "float64")?;
        let count = columns(&targets)?;
        inputs.fixed(1, DType::F64, &[count, count], "a square matrix as wide as input 0")?;
        outputs.put(0, TensorSpec::new(targets.dtype, targets.shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (targets, gram) = (operands.slice::<f64>(0)?, operands.slice::<f64>(1)?);
        let mut output = operands.output(0)?;
        let count = output.dims.at(1).max(1);
        let rows = output.elements::<f64>(0)?.chunks_exact_mut(count);
        for (targets, w) in targets.chunks_exact(count).zip(rows) {
            coordinate_descent(gram, targets, (self.tolerance, self.rounds), w);
        }
        Ok(())
    }
}
