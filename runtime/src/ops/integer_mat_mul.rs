//! Matrix product of int8 or uint8, summed in int32: `[…, M, K] x [K, C]`, `[…, M, K] x [C, K]` with `transpose_b`, or pairs
//! `[…, M, K] x […, K, C]` whose leading axes broadcast as numpy's do.
//!
//! Inputs: both matrices, and those that [`super::integer`] lists, where the result's formula stands; input 1's zero points are one for
//! each column c, input 0's may be one for each of the M rows. Attributes: `transpose_b: bool`, `input_zero: i16`, and the outcome:
//! `dtype: u8` and `zero, low, high: i16`. With a multiplier of the factors' scales over the result's, 8-bit results are ONNX Runtime's
//! QLinearMatMul; without, those of MatMulInteger. A matrix that all rows share may come after rows with any leading axes, of which one
//! may be the batch.

use super::batch_mat_mul::{leading, leading_dims, replaced};
use super::binary::broadcast_shapes;
use super::integer::{Finish, Outcome, Zeros};
use super::linear::{BYTES, NEEDS_BYTES};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::broadcast::Walk;
use crate::kernels::reference::integer_mat_mul;
use crate::kernels::reference::linear::Byte;
use crate::tensor::{DType, Dims, TensorSpec, View};

/// Multiplies matrices of 8-bit integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegerMatMul {
    /// The right input is `[C, K]` instead of `[K, C]`; only where all rows share it.
    pub transpose_b: bool,
    /// Stored value of real zero in the left input.
    pub input_zero: i16,
    /// What becomes of the sums.
    pub outcome: Outcome,
}

/// Length of the axis `back` axes from the end.
fn last(dims: &Dims, back: usize) -> usize {
    dims.at(dims.len().saturating_sub(back))
}

impl IntegerMatMul {
    fn run_typed<A: Byte, B: Byte>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let finish = Finish::new(operands, self.outcome)?;
        if self.outcome.dtype.bits() == 8 {
            self.multiply::<A, B, 1>(operands, &|c, sum| [finish.byte(c, sum)])
        } else {
            self.multiply::<A, B, 4>(operands, &|c, sum| finish.word(c, sum))
        }
    }

    /// All pairs of matrices, results of `W` bytes each.
    fn multiply<A: Byte, B: Byte, const W: usize>(
        &self,
        operands: &dyn Operands,
        store: &dyn Fn(usize, i32) -> [u8; W],
    ) -> Result<(), OpError> {
        let (a, b) = (operands.input(0)?, operands.input(1)?);
        let (left, right) = (operands.slice::<A>(0)?, operands.slice::<B>(1)?);
        let output = operands.output(0)?;
        let out = output.bytes.as_chunks_mut::<W>().0;
        let k = last(&a.dims, 1);
        let (a_zeros, b_zeros) = (Zeros::of(operands, 5, self.input_zero)?, Zeros::of(operands, 4, 0)?);
        let rows = a_zeros.count();
        let a_zero = |row: usize| a_zeros.at(row % rows);
        let product = |left: &[A], right: &[B], out: &mut [[u8; W]]| {
            let b_zero = |column: usize| b_zeros.at(column);
            integer_mat_mul::mat_mul((k, self.transpose_b), (left, &a_zero), (right, &b_zero), out, store);
        };
        if b.dims.len() == 2 {
            product(left, right, out);
            return Ok(());
        }
        self.for_each_pair((&a, &b), &output.dims, |at_a, at_b, at_out, sizes| {
            let part = |start: usize, size: usize| start.saturating_mul(size)..start.saturating_add(1).saturating_mul(size);
            let left = left.get(part(at_a, sizes[0])).unwrap_or_default();
            let right = right.get(part(at_b, sizes[1])).unwrap_or_default();
            product(left, right, out.get_mut(part(at_out, sizes[2])).unwrap_or_default());
        })
    }

    /// Calls `visit` with the numbers of both matrices and of their product, and the three sizes.
    fn for_each_pair(
        &self,
        (a, b): (&View<'_>, &View<'_>),
        out: &Dims,
        mut visit: impl FnMut(usize, usize, usize, [usize; 3]),
    ) -> Result<(), OpError> {
        let size = |dims: &Dims| last(dims, 2).saturating_mul(last(dims, 1));
        let sizes = [size(&a.dims), size(&b.dims), size(out)];
        let pairs = leading_dims(out)?;
        let walk = Walk::new(&pairs, &[&leading_dims(&a.dims)?, &leading_dims(&b.dims)?]);
        let mut number = 0usize;
        walk.for_each(pairs.elements(), |[at_a, at_b, _]| {
            visit(at_a, at_b, number, sizes);
            number = number.saturating_add(1);
        });
        Ok(())
    }
}

impl Operator for IntegerMatMul {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            transpose_b: reader.bool("transpose_b")?,
            input_zero: reader.i16()?,
            outcome: Outcome::parse(reader)?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.transpose_b)?;
        writer.i16(self.input_zero)?;
        self.outcome.emit(writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let a = inputs.typed(0, &BYTES, NEEDS_BYTES)?.shape;
        let b = inputs.typed(1, &BYTES, NEEDS_BYTES)?.shape;
        let factor = |shape: &crate::tensor::Shape, back: usize| {
            let axis = shape.rank().checked_sub(back)?;
            shape.factor(axis).filter(|&length| length > 0 && !shape.is_batch(axis))
        };
        let misfit = OpError::input(1, Problem::Shape, "matrices as high as those of input 0 are wide");
        let shared = b.rank() == 2 && !b.is_batched();
        let (k_back, c_back) = if self.transpose_b && shared { (1, 2) } else { (2, 1) };
        let (Some(k), Some(height), Some(columns)) = (factor(&a, 1), factor(&b, k_back), factor(&b, c_back)) else {
            return Err(misfit);
        };
        if k != height || (self.transpose_b && !shared) {
            return Err(misfit);
        }
        self.outcome.check(inputs, columns, factor(&a, 2).unwrap_or(1))?;
        let shape = if shared {
            replaced(&a, a.rank() - 1, &[columns])?
        } else {
            let rows = factor(&a, 2).ok_or(OpError::input(0, Problem::Rank, "matrices"))?;
            let pairs = broadcast_shapes(&leading(&a, 0)?, &leading(&b, 1)?)?;
            replaced(&pairs, pairs.rank(), &[rows, columns])?
        };
        outputs.put(0, TensorSpec::new(self.outcome.dtype, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match (operands.input(0)?.spec.dtype, operands.input(1)?.spec.dtype) {
            (DType::U8, DType::U8) => self.run_typed::<u8, u8>(operands),
            (DType::U8, _) => self.run_typed::<u8, i8>(operands),
            (_, DType::U8) => self.run_typed::<i8, u8>(operands),
            _ => self.run_typed::<i8, i8>(operands),
        }
    }
}
