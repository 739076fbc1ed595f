//! Products of pairs of matrices: `[…, M, K] x […, K, C]`, the leading axes broadcast as numpy's do.
//!
//! No attributes. f32 or f64. The batch may be a leading axis. Each output element is accumulated from k = 0 upwards starting from
//! zero. [`super::mat_mul`] is the operator for a matrix that all rows share.

use super::binary::broadcast_shapes;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::broadcast::Walk;
use crate::kernels::reference::{Float, mat_mul};
use crate::tensor::{DType, Dims, MAX_RANK, Shape, ShapeError, TensorSpec};

/// Multiplies matrices pair by pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BatchMatMul;

/// The shape without its last two axes, which must not be the batch.
pub(super) fn leading(shape: &Shape, index: usize) -> Result<Shape, OpError> {
    let needs = "two axes at least, the last two of them not the batch";
    let rank = shape.rank().checked_sub(2).ok_or(OpError::input(index, Problem::Rank, needs))?;
    if shape.batch_axis().is_some_and(|axis| axis >= rank) {
        return Err(OpError::input(index, Problem::Batch, needs));
    }
    Ok(replaced(shape, rank, &[])?)
}

/// The first `keep` axes of a shape, then `more`.
pub(super) fn replaced(shape: &Shape, keep: usize, more: &[usize]) -> Result<Shape, ShapeError> {
    let mut dims = [0usize; MAX_RANK];
    let factors = shape.factors().iter().take(keep).map(|&dim| dim as usize);
    for (slot, dim) in dims.iter_mut().zip(factors.chain(more.iter().copied())) {
        *slot = dim;
    }
    let rank = keep.saturating_add(more.len());
    Shape::new(dims.get(..rank).ok_or(ShapeError::Rank(rank))?, shape.batch_axis().filter(|&axis| axis < keep))
}

/// The lengths before the last two axes.
pub(super) fn leading_dims(dims: &Dims) -> Result<Dims, OpError> {
    Ok(Shape::fixed(dims.get(..dims.len().saturating_sub(2)).unwrap_or_default())?.resolve(1))
}

/// The rule of the products of inputs 0 and 1, of one of `dtypes`.
pub(super) fn put_products(
    inputs: &dyn Inputs,
    outputs: &mut dyn Outputs,
    dtypes: &[DType],
    needs: &'static str,
) -> Result<(), OpError> {
    inputs.at_most(2)?;
    let a = inputs.typed(0, dtypes, needs)?;
    let b = inputs.typed(1, &[a.dtype], "the type of input 0")?;
    let pairs = broadcast_shapes(&leading(&a.shape, 0)?, &leading(&b.shape, 1)?)?;
    let last = |shape: &Shape, back: usize| shape.rank().checked_sub(back).and_then(|axis| shape.factor(axis));
    if last(&a.shape, 1) != last(&b.shape, 2) {
        return Err(OpError::input(1, Problem::Shape, "matrices as high as those of input 0 are wide"));
    }
    let (m, c) = (last(&a.shape, 2).unwrap_or(0), last(&b.shape, 1).unwrap_or(0));
    outputs.put(0, TensorSpec::new(a.dtype, replaced(&pairs, pairs.rank(), &[m, c])?))
}

impl BatchMatMul {
    fn run_typed<F: Float>(operands: &dyn Operands) -> Result<(), OpError> {
        let (a, b) = (operands.input(0)?, operands.input(1)?);
        let mut output = operands.output(0)?;
        let last = |dims: &Dims, back: usize| dims.at(dims.len().saturating_sub(back));
        let sizes = [last(&a.dims, 2), last(&a.dims, 1), last(&b.dims, 1)];
        let pairs = leading_dims(&output.dims)?;
        let walk = Walk::new(&pairs, &[&leading_dims(&a.dims)?, &leading_dims(&b.dims)?]);
        let matrices = (operands.slice::<F>(0)?, operands.slice::<F>(1)?);
        mat_mul::batch_mat_mul(sizes, matrices, output.elements(0)?, |visit| {
            walk.for_each(pairs.elements(), |[at_a, at_b, _]| visit(at_a, at_b));
        });
        Ok(())
    }
}

impl Operator for BatchMatMul {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        put_products(inputs, outputs, &[DType::F32, DType::F64], "float32 or float64")
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => Self::run_typed::<f64>(operands),
            _ => Self::run_typed::<f32>(operands),
        }
    }
}
