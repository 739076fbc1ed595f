//! Columns that are products of columns: the terms of polynomials, each made of an earlier one and one more factor.
//!
//! No attributes. Input 0 is `[N, F]`, f32 or f64; input 1 an i32 table `[C, 2]`: column `c` of the output is the output's column `table[c, 0] < c`
//! times input 0's column `table[c, 1]`. -1 stands for the factor 1; a column of two of them is all ones. The output is `[N, C]`.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::Float;
use crate::kernels::reference::products::products;
use crate::tensor::{DType, TensorSpec};

/// Multiplies columns.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Products;

impl Products {
    fn run_typed<F: Float>(operands: &dyn Operands) -> Result<(), OpError> {
        let features = operands.input(0)?.dims.at(1);
        let (terms, _) = operands.slice::<i32>(1)?.as_chunks::<2>();
        products::<F>(features, terms, operands.slice(0)?, operands.output(0)?.elements(0)?);
        Ok(())
    }
}

impl Operator for Products {
    const TABLE_INPUTS: u32 = 1 << 1;

    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let features = columns(&x)?;
        let needs = "pairs of an earlier column and a column of input 0, or -1";
        let table = inputs.required(1)?;
        let &[terms, 2] = table.spec.shape.factors() else { return Err(OpError::input(1, Problem::Shape, needs)) };
        inputs.fixed(1, DType::I32, &[terms as usize, 2], needs)?;
        if table.constant.is_none() {
            return Err(OpError::input(1, Problem::NotConstant, needs));
        }
        for term in 0..terms as usize {
            let is_below = |at: usize, limit: usize| {
                let value = table.i32_at(term * 2 + at).map(i64::from);
                value.is_some_and(|value| value == -1 || (0..limit as i64).contains(&value))
            };
            if !is_below(0, term) || !is_below(1, features) {
                return Err(OpError::input(1, Problem::Value, needs));
            }
        }
        outputs.put(0, TensorSpec::new(x.dtype, x.shape.with_axis(1, terms as usize, false)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F32 => Self::run_typed::<f32>(operands),
            _ => Self::run_typed::<f64>(operands),
        }
    }
}

/// The number of columns of input 0, which is `[N, F]`.
pub(super) fn columns(x: &TensorSpec) -> Result<usize, OpError> {
    match (x.shape.rank(), x.shape.factor(1)) {
        (2, Some(columns)) if !x.shape.is_batch(1) => Ok(columns),
        _ => Err(OpError::input(0, Problem::Rank, "rows and columns, of which the columns are not the batch")),
    }
}
