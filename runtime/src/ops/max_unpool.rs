//! Puts the largest elements of windows back where they were, among zeros.
//!
//! No attributes. Inputs: x `[B, C, …]` (f32 or f64), of which B may be the batch; i64 indices of x's shape, as [`super::pool_nd`] gives them; a
//! table `[2, axes]` of the lengths by which the indices count, and of the output's, which are no smaller. An index outside is taken as
//! the nearest.

use super::spatial::{positive, running_table, spatial_lengths, table, with_lengths};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::{Float, pool_nd};
use crate::tensor::{DType, TensorSpec};

/// Puts elements where indices say.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MaxUnpool;

fn run_typed<F: Float>(operands: &dyn Operands) -> Result<(), OpError> {
    let [from, to] = running_table(operands, 2)?;
    let (x, indices) = (operands.slice::<F>(0)?, operands.slice(1)?);
    let mut output = operands.output(0)?;
    pool_nd::max_unpool(&from, &to, x, indices, output.elements(0)?);
    Ok(())
}

impl Operator for MaxUnpool {
    const TABLE_INPUTS: u32 = 1 << 2;

    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let input = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let axes = spatial_lengths(0, &input, 2, input.shape.rank())?.len();
        if inputs.typed(1, &[DType::I64], "int64 indices")?.shape != input.shape {
            return Err(OpError::input(1, Problem::Shape, "an index for each element"));
        }
        let [from, to] = table(inputs, 2, axes)?;
        positive(&from, 2, "lengths of 1 or more")?;
        if from.iter().zip(to.iter()).any(|(from, to)| from > to) {
            return Err(OpError::input(2, Problem::Value, "lengths of the output no smaller than those of the indices"));
        }
        outputs.put(0, TensorSpec::new(input.dtype, with_lengths(&input.shape, 2, &to, None)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => run_typed::<f64>(operands),
            _ => run_typed::<f32>(operands),
        }
    }
}
