//! Takes parts by tuples of indices.
//!
//! Attributes: `batch_dims: u8`, b. Input 0 has any type of whole bytes; input 1 (i32 or i64) is `[B…, I…, k]`, where `B…` are the first b axes of
//! input 0. Each tuple of `k` indices names a place on axes `b..b + k` of input 0. The output is `[B…, I…, R…]`, where `R…` are the axes of input 0
//! after those. The batch may be one of `B…` (of both inputs), one of `I…` or one of `R…`; where it is one of `I…`, it may also be an axis that is
//! indexed.
//!
//! A negative index counts from the end; an index outside its axis is an error.

use super::gather_elements::outside;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::gather_nd::{self, Parts};
use crate::tensor::{Shape, TensorSpec};

/// Takes parts of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatherNd {
    /// Leading axes that data and indices share.
    pub batch_dims: u8,
}

/// Length of the tuples in `indices`, whose last axis holds them; they must name axes of `data` from `first` on, none of them the batch
/// unless the indices depend on it too.
pub(super) fn tuple_length(data: &Shape, indices: &Shape, first: usize) -> Result<usize, OpError> {
    let needs = "tuples of indices on the last axis, one for each of some axes of input 0";
    let last = indices.rank().checked_sub(1).ok_or(OpError::input(1, Problem::Rank, needs))?;
    let length = indices.factor(last).unwrap_or(0);
    let end = first.saturating_add(length);
    if length == 0 || end > data.rank() || indices.is_batch(last) {
        return Err(OpError::input(1, Problem::Shape, needs));
    }
    if data.batch_axis().is_some_and(|axis| (first..end).contains(&axis)) && !indices.is_batched() {
        return Err(OpError::input(0, Problem::Batch, "the batch on another axis than those indexed"));
    }
    Ok(length)
}

impl Operator for GatherNd {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { batch_dims: reader.u8()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.batch_dims)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let (data, indices) = (inputs.whole_bytes(0)?, inputs.indices(1)?);
        let shared = usize::from(self.batch_dims);
        if shared >= data.shape.rank() || shared >= indices.rank() {
            return Err(OpError::attribute("batch_dims", "fewer axes than either input has"));
        }
        let same = |axis: usize| {
            data.shape.factor(axis) == indices.factor(axis) && data.shape.is_batch(axis) == indices.is_batch(axis)
        };
        if !(0..shared).all(same) {
            return Err(OpError::input(1, Problem::Shape, "input 0's first axes as its own"));
        }
        let length = tuple_length(&data.shape, &indices, shared)?;
        let taken = (0..indices.rank() - 1).map(|axis| (&indices, axis));
        let rest = (shared.saturating_add(length)..data.shape.rank()).map(|axis| (&data.shape, axis));
        outputs.put(0, TensorSpec { shape: Shape::of_axes(taken.chain(rest))?, ..data })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (data, indices) = (operands.input(0)?, operands.input(1)?);
        let first = usize::from(self.batch_dims);
        let end = first.saturating_add(indices.dims.at(indices.dims.len().saturating_sub(1)));
        let width = (data.spec.dtype.bits() / 8) as usize;
        let parts = Parts {
            lengths: data.dims.get(first..end).unwrap_or_default(),
            block: data.dims.inner(end.saturating_sub(1)).saturating_mul(width),
        };
        let groups = data.dims.outer(first);
        gather_nd::gather_nd(parts, groups, data.bytes, operands.indices(1)?, operands.output(0)?.bytes)
            .map_err(|_| outside(1))
    }
}
