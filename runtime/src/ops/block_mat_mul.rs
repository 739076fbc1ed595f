//! Product of float32 rows `[…, K]` with a matrix of integers `[units, S]` of 4 or 8 bits, `S >= K`, that have a scale for each block of a
//! row; every integer is widened as it is read.
//!
//! Inputs: rows; integers, of whose rows the first K elements count; scales `[units, K / block rounded up]` (f32, f16 or bf16); optional
//! zero points `[units, Z]` of the integers' type, as many in a row as scales or more; an optional float32 bias `[units]`.
//! Attributes: `block: u32`, 1 or more, and `zero: i16`, the zero point where there are none. The batch may be any axis of the rows but
//! the last. The formula stands at [`block_mat_mul::mat_mul`].

use super::batch_mat_mul::replaced;
use super::linear::FLOATS;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::block_mat_mul::{self, Blocks};
use crate::kernels::reference::linear::{Linear, Parts};
use crate::tensor::{DType, TensorSpec};

/// Multiplies float rows by a matrix of narrow integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BlockMatMul {
    /// Elements of a row of the matrix that share a scale.
    pub block: u32,
    /// Zero point where there are none.
    pub zero: i16,
}

/// Types of the matrix.
const NARROW: [DType; 4] = [DType::I4, DType::U4, DType::I8, DType::U8];

impl Operator for BlockMatMul {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let block = reader.u32()?;
        if block == 0 {
            return Err(reader.invalid("block"));
        }
        Ok(Self { block, zero: reader.i16()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.block)?;
        writer.i16(self.zero)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(5)?;
        let rows = inputs.typed(0, &[DType::F32], "float32")?.shape;
        let needs = "integers [units, K or more] of 4 or 8 bits";
        let weights = inputs.typed(1, &NARROW, needs)?;
        let last = rows.rank().checked_sub(1).ok_or(OpError::input(0, Problem::Rank, "one axis at least"))?;
        let k = rows.factor(last).filter(|&k| k > 0 && !rows.is_batch(last));
        let k = k.ok_or(OpError::input(0, Problem::Shape, "a last axis that is not the batch"))?;
        let (&[units, stride], false) = (weights.shape.factors(), weights.shape.is_batched()) else {
            return Err(OpError::input(1, Problem::Rank, needs));
        };
        if (stride as usize) < k || units == 0 {
            return Err(OpError::input(1, Problem::Shape, needs));
        }
        let (units, blocks) = (units as usize, k.div_ceil(self.block as usize));
        let needs = "a scale for each block of each row";
        let dtype = inputs.typed(2, &FLOATS, needs)?.dtype;
        inputs.fixed(2, dtype, &[units, blocks], needs)?;
        if inputs.get(3).is_some() {
            let needs = "a zero point for each block of each row";
            let zeros = inputs.typed(3, &[weights.dtype], needs)?.shape;
            match *zeros.factors() {
                [rows, count] if rows as usize == units && count as usize >= blocks && !zeros.is_batched() => {}
                _ => return Err(OpError::input(3, Problem::Shape, needs)),
            }
        }
        if inputs.get(4).is_some() {
            inputs.fixed(4, DType::F32, &[units], "a float32 bias for each unit")?;
        }
        outputs.put(0, TensorSpec::new(DType::F32, replaced(&rows, last, &[units])?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let rows = operands.input(0)?.dims;
        let (weights, scales, zeros) = (operands.input(1)?, operands.input(2)?, operands.optional(3)?);
        let linear = Linear {
            scales: (scales.spec.dtype, scales.bytes),
            zeros: zeros.map(|view| (view.spec.dtype, view.bytes)),
            parts: Parts::Whole,
        };
        let blocks = Blocks {
            dtype: weights.spec.dtype,
            bytes: weights.bytes,
            stride: weights.dims.at(1),
            linear,
            scales: scales.dims.at(1),
            zeros: zeros.map_or(0, |view| view.dims.at(1)),
            zero: self.zero,
            block: self.block as usize,
        };
        let k = rows.at(rows.len().saturating_sub(1));
        let (input, bias) = (operands.slice(0)?, operands.optional_slice(4)?);
        block_mat_mul::mat_mul(k, input, &blocks, bias, weights.dims.at(0), operands.output(0)?.elements(0)?);
        Ok(())
    }
}
