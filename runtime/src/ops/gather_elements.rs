//! Takes an element for each index: `output[i, j, k] = data[i, indices[i, j, k], k]` for `axis` 1.
//!
//! Attributes: `axis: u8`. Input 0 has any type of whole bytes; input 1 (i32 or i64) has as many axes, of which those other than `axis` are
//! no longer than input 0's. The output has input 1's shape and input 0's type. The batch is the same axis of both, not `axis`; where input
//! 0 does not depend on the batch, `axis` of input 1 may.
//!
//! A negative index counts from the end; an index outside the axis is an error.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::gather_nd;
use crate::tensor::{Shape, TensorSpec};

/// Takes elements one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct GatherElements {
    /// The axis that indices are places of.
    pub axis: u8,
}

/// Checks that a tensor of indices into `axis` of `data` lies inside it on every other axis.
pub(super) fn check_indices(data: &Shape, indices: &Shape, axis: usize) -> Result<(), OpError> {
    let needs = "as many axes as input 0, none but the indexed one longer";
    if axis >= data.rank() {
        return Err(OpError::attribute("axis", "an axis of input 0"));
    }
    if data.is_batch(axis) {
        return Err(OpError::input(0, Problem::Batch, "the batch on another axis than the indexed one"));
    }
    if indices.rank() != data.rank() {
        return Err(OpError::input(1, Problem::Rank, needs));
    }
    for other in (0..data.rank()).filter(|&other| other != axis) {
        let batched = data.is_batch(other);
        if batched != indices.is_batch(other) {
            return Err(OpError::input(1, Problem::Batch, "the batch on the axis of input 0 that has it"));
        }
        if indices.factor(other) > data.factor(other) || (batched && indices.factor(other) != data.factor(other)) {
            return Err(OpError::input(1, Problem::Shape, needs));
        }
    }
    Ok(())
}

/// The refusal of an index outside its axis, which a run may meet.
pub(super) fn outside(index: usize) -> OpError {
    OpError::input(index, Problem::Value, "indices inside their axes")
}

impl Operator for GatherElements {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axis: reader.u8()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let (data, indices) = (inputs.whole_bytes(0)?, inputs.indices(1)?);
        check_indices(&data.shape, &indices, self.axis.into())?;
        outputs.put(0, TensorSpec { shape: indices, ..data })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (data, indices) = (operands.input(0)?, operands.input(1)?);
        let width = (data.spec.dtype.bits() / 8) as usize;
        let indices = (operands.indices(1)?, &indices.dims);
        let output = operands.output(0)?.bytes;
        gather_nd::gather_elements(width, self.axis.into(), (data.bytes, &data.dims), indices, output)
            .map_err(|_| outside(1))
    }
}
