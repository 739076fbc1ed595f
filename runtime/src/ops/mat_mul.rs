//! Matrix product: `[M, K] x [K, C]` or, with `transpose_b`, `[M, K] x [C, K]`; an optional bias `[C]` is added.
//!
//! Attributes: `transpose_b: bool`. f32 or f64; the matrix may be f16 or bf16 where rows are f32, and is widened element by element. The left input may have leading axes, all taken into M, any of which may be
//! the batch; K may not. The right input is a matrix that does not depend on the batch. Each output element is
//! accumulated from k = 0 upwards starting from zero, and the bias is added last.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::{Float, mat_mul};
use crate::tensor::{DType, Element, TensorSpec};

/// Multiplies the left input's rows by a matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MatMul {
    /// The right input is `[C, K]` instead of `[K, C]`.
    pub transpose_b: bool,
}

impl MatMul {
    fn run_typed<F: Float, W: Element + Into<F>>(self, operands: &dyn Operands) -> Result<(), OpError> {
        let dims = operands.input(0)?.dims;
        let k = dims.at(dims.len().saturating_sub(1));
        let mut output = operands.output(0)?;
        mat_mul::mat_mul::<F, W>(
            k,
            self.transpose_b,
            operands.slice(0)?,
            operands.slice(1)?,
            operands.optional_slice(2)?,
            output.elements(0)?,
        );
        Ok(())
    }
}

impl Operator for MatMul {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { transpose_b: reader.bool("transpose_b")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.transpose_b)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let a = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let narrow = if a.dtype == DType::F32 { [a.dtype, DType::F16, DType::BF16] } else { [a.dtype; 3] };
        let b = inputs.typed(1, &narrow, "the type of input 0, or float16 or bfloat16 for float32")?;
        let Some(last) = a.shape.rank().checked_sub(1) else {
            return Err(OpError::input(0, Problem::Rank, "one axis at least"));
        };
        let (&[rows, columns], false) = (b.shape.factors(), b.shape.is_batched()) else {
            return Err(OpError::input(1, Problem::Rank, "a matrix that does not depend on the batch"));
        };
        let (k, c) = if self.transpose_b { (columns, rows) } else { (rows, columns) };
        if a.shape.is_batch(last) || a.shape.factors()[last] != k {
            return Err(OpError::input(0, Problem::Shape, "a last axis as long as the matrix is high"));
        }
        if inputs.get(2).is_some() {
            inputs.fixed(2, a.dtype, &[c as usize], "a bias as long as the matrix is wide")?;
        }
        let shape = a
            .shape
            .with_axis(last, c as usize, false)
            .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))?;
        outputs.put(0, TensorSpec::new(a.dtype, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match (operands.input(0)?.spec.dtype, operands.input(1)?.spec.dtype) {
            (DType::F32, DType::F16) => self.run_typed::<f32, half::f16>(operands),
            (DType::F32, DType::BF16) => self.run_typed::<f32, half::bf16>(operands),
            (DType::F32, _) => self.run_typed::<f32, f32>(operands),
            _ => self.run_typed::<f64, f64>(operands),
        }
    }
}
