//! Determinants of the matrices `[…, n, n]` on the last two axes, which are not the batch.
//!
//! No attributes. f32 or f64; elimination with partial pivoting in the element's type.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::Float;
use crate::kernels::reference::determinant::determinant;
use crate::tensor::{DType, Shape, TensorSpec};

/// Takes determinants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Determinant;

impl Determinant {
    fn run_typed<F: Float>(operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.input(0)?;
        let n = x.dims.at(x.dims.len().saturating_sub(1));
        let (mut output, scratch) = (operands.output(0)?, operands.scratch()?);
        let matrix = super::width::elements_mut::<F>(1, scratch.bytes)?;
        let size = n.saturating_mul(n);
        let matrix = matrix.get_mut(..size).unwrap_or_default();
        let slots = output.elements::<F>(0)?.iter_mut();
        for (slot, x) in slots.zip(operands.slice::<F>(0)?.chunks_exact(size.max(1))) {
            if matrix.len() == x.len() {
                matrix.copy_from_slice(x);
            }
            *slot = determinant(n, matrix);
        }
        Ok(())
    }
}

impl Operator for Determinant {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let needs = "square matrices of one element at least on the last two axes, neither of them the batch";
        let leading = x.shape.rank().checked_sub(2).ok_or(OpError::input(0, Problem::Rank, needs))?;
        let &[.., rows, columns] = x.shape.factors() else { return Err(OpError::input(0, Problem::Rank, needs)) };
        if rows != columns || rows == 0 || x.shape.batch_axis().is_some_and(|axis| axis >= leading) {
            return Err(OpError::input(0, Problem::Shape, needs));
        }
        let shape = Shape::of_axes((0..leading).map(|axis| (&x.shape, axis)))?;
        outputs.put(0, TensorSpec::new(x.dtype, shape))
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let x = inputs.required(0)?.spec;
        let n: u64 = x.shape.factors().last().copied().unwrap_or(0).into();
        Ok(Scratch { fixed: n.saturating_mul(n).saturating_mul(x.dtype.bits() / 8), per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => Self::run_typed::<f64>(operands),
            _ => Self::run_typed::<f32>(operands),
        }
    }
}
