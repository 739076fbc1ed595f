//! Bins of numbers: how many of its column's edges are not above an element (numpy's `searchsorted(edges, x, side="right")`).
//!
//! No attributes. Input 0 is `[N, F]`, f32 or f64; input 1 the edges of all columns, f64 `[E]`, rising within a column; input 2 an i32 table
//! `[F + 1]`: the edges of column `c` are `table[c]..table[c + 1]` of input 1. NaN is above all edges. The output is of input 0's type and shape.

use super::products::columns;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::digitize::digitize;
use crate::tensor::{DType, TensorSpec};

/// Finds the bins of numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Digitize;

impl Operator for Digitize {
    const TABLE_INPUTS: u32 = 1 << 2;

    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let features = columns(&x)?;
        let edges = inputs.typed(1, &[DType::F64], "float64 edges")?.shape;
        let (&[count], false) = (edges.factors(), edges.is_batched()) else {
            return Err(OpError::input(1, Problem::Rank, "a list of edges"));
        };
        let needs = "where the edges of each column start and end in input 1";
        let table = inputs.i32_list(2, features.saturating_add(1), needs)?;
        let mut last = 0;
        for column in 0..=features {
            let start = table.i32_at(column).and_then(|start| u32::try_from(start).ok());
            match start {
                Some(start) if (last..=count).contains(&start) => last = start,
                _ => return Err(OpError::input(2, Problem::Value, needs)),
            }
        }
        outputs.put(0, TensorSpec::new(x.dtype, x.shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (edges, starts) = (operands.slice(1)?, operands.slice(2)?);
        let mut output = operands.output(0)?;
        match output.spec.dtype {
            DType::F32 => digitize::<f32>(edges, starts, operands.slice(0)?, output.elements(0)?),
            _ => digitize::<f64>(edges, starts, operands.slice(0)?, output.elements(0)?),
        }
        Ok(())
    }
}
