//! Linear attention: each head has a matrix as its state, which each row of keys and values changes and each query is multiplied by.
//!
//! Inputs, f32 or f64: 0 queries `[B, T, query_heads * size]`, 1 keys `[B, T, key_heads * size]`, 2 values `[B, T, key_heads * value_size]`, 3
//! optionally the state before `[B, key_heads, size, value_size]` (else zeros), 4 optionally logarithms of decays `[B, T, key_heads * size]` or
//! `[B, T, key_heads]`, 5 optionally update rates `[B, T, key_heads]` or `[B, T, 1]`. Outputs: 0 `[B, T, query_heads * value_size]`, 1 the state
//! after. B may be the batch.
//!
//! Attributes: `query_heads: u32`, `key_heads: u32`, `scale: f64`. Scratch: one row of values. The formula stands at
//! [`kernel::LinearAttention::run`].

use super::heads::{Layout, rows_of};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::linear_attention::Gate;
use crate::kernels::reference::{Float, linear_attention as kernel};
use crate::tensor::{DType, Shape, TensorSpec};

/// Attends by a state.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearAttention {
    /// Heads of the queries.
    pub query_heads: u32,
    /// Heads of keys and values.
    pub key_heads: u32,
    /// Factor of the result.
    pub scale: f64,
}

impl LinearAttention {
    /// Elements of a query and of a value.
    fn sizes(&self, query: &Shape, value: &Shape) -> Result<[usize; 2], OpError> {
        let size = |index: usize, shape: &Shape, heads: u32| match shape.factors() {
            &[_, _, columns] if heads > 0 && columns % heads == 0 => Ok((columns / heads) as usize),
            _ => Err(OpError::input(index, Problem::Shape, "[B, T, heads * size]")),
        };
        Ok([size(0, query, self.query_heads)?, size(2, value, self.key_heads)?])
    }

    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (q, v) = (operands.input(0)?, operands.input(2)?);
        let heads = [self.query_heads as usize, self.key_heads as usize];
        let [size, value_size] = self.sizes(&q.spec.shape, &v.spec.shape)?;
        let (mut output, mut state) = (operands.output(0)?, operands.output(1)?);
        let state = state.elements::<F>(1)?;
        match operands.optional_slice::<F>(3)? {
            Some(past) => state.iter_mut().zip(past).for_each(|(state, &past)| *state = past),
            None => state.fill(F::ZERO),
        }
        let gate = |index: usize| {
            let Some(view) = operands.optional(index)? else { return Ok::<_, OpError>(None) };
            let columns = view.dims.at(2);
            // One column for all heads has no distance between them.
            let size = columns.checked_div(heads[1]).unwrap_or(0).max(1);
            let mut rows = rows_of(Layout::Columns, &view.dims, 0, size);
            if columns == 1 {
                rows.head = 0;
            }
            Ok(operands.optional_slice::<F>(index)?.map(|data| Gate { data, rows }))
        };
        let columns = |dims, size| rows_of(Layout::Columns, dims, 0, size);
        let key_dims = operands.input(1)?.dims;
        let attention = kernel::LinearAttention {
            lengths: [q.dims.at(0), heads[0], q.dims.at(1)],
            key_heads: heads[1],
            rows: [
                columns(&q.dims, size),
                columns(&key_dims, size),
                columns(&v.dims, value_size),
                columns(&output.dims, value_size),
            ],
            scale: self.scale,
        };
        let scratch = operands.scratch()?;
        let row = bytemuck::try_cast_slice_mut::<u8, F>(scratch.bytes).unwrap_or_default();
        let inputs = [operands.slice::<F>(0)?, operands.slice(1)?, operands.slice(2)?];
        attention.run(inputs, (gate(4)?, gate(5)?), state, row, output.elements(0)?);
        Ok(())
    }
}

impl Operator for LinearAttention {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { query_heads: reader.u32()?, key_heads: reader.u32()?, scale: reader.f64()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.query_heads)?;
        writer.u32(self.key_heads)?;
        writer.f64(self.scale)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(6)?;
        let q = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let v = inputs.typed(2, &[q.dtype], "the type of input 0")?;
        if self.key_heads == 0 || !self.query_heads.is_multiple_of(self.key_heads) {
            return Err(OpError::attribute("query_heads", "a multiple of key_heads"));
        }
        let [size, value_size] = self.sizes(&q.shape, &v.shape)?;
        let batch = q.shape.batch_axis();
        if batch.is_some_and(|axis| axis > 0) {
            return Err(OpError::input(0, Problem::Batch, "the batch on the first axis"));
        }
        let (rows, heads) = (q.shape.factors(), self.key_heads as usize);
        let (elements, length) = (rows[0] as usize, rows[1] as usize);
        let columns = |columns: usize| Shape::new(&[elements, length, columns], batch);
        let product = |a: usize, b: usize| {
            a.checked_mul(b).ok_or(OpError::attribute("key_heads", "a smaller product with the sizes"))
        };
        let state = Shape::new(&[elements, heads, size, value_size], batch)?;
        let check = |index: usize, shapes: &[Shape], needs: &'static str| {
            if inputs.get(index).is_none() && index > 2 {
                return Ok(());
            }
            let spec = inputs.typed(index, &[q.dtype], "the type of input 0")?;
            if shapes.contains(&spec.shape) { Ok(()) } else { Err(OpError::input(index, Problem::Shape, needs)) }
        };
        let keys = columns(product(heads, size)?)?;
        check(1, &[keys], "a key for each row and head")?;
        check(2, &[columns(product(heads, value_size)?)?], "a value for each row and head")?;
        check(3, &[state], "[B, key_heads, size, value_size]")?;
        check(4, &[keys, columns(heads)?], "a decay for each row and head, or each of their elements")?;
        check(5, &[columns(heads)?, columns(1)?], "a rate for each row, or for each row and head")?;
        outputs.put(0, TensorSpec::new(q.dtype, columns(product(self.query_heads as usize, value_size)?)?))?;
        outputs.put(1, TensorSpec::new(q.dtype, state))
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let (q, v) = (inputs.required(0)?.spec, inputs.required(2)?.spec);
        let [_, value_size] = self.sizes(&q.shape, &v.shape)?;
        Ok(Scratch { fixed: (q.dtype.bits() / 8).saturating_mul(value_size as u64), per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
