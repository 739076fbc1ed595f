//! Repeats axes of length 1, as numpy's broadcasting does, until the input has the shape that the output declares.
//!
//! No attributes. Any type of whole bytes. The batch axis of the output may come from an axis of length 1.

use super::binary::broadcast_shapes;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::strided::{Strides, strided_copy};
use crate::tensor::{MAX_RANK, TensorSpec, View, ViewMut};

/// Repeats the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Expand;

impl Operator for Expand {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.required(0)?.spec;
        if input.dtype.bits() < 8 {
            return Err(OpError::input(0, Problem::DType, "elements of whole bytes"));
        }
        let shape = outputs.declared(0).ok_or(OpError::output(0, Problem::Missing, "a declared shape"))?.shape;
        if broadcast_shapes(&shape, &input.shape) != Ok(shape) {
            return Err(OpError::output(0, Problem::Shape, "a shape that the input broadcasts to"));
        }
        outputs.put(0, TensorSpec { shape, ..input })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        fill(&operands.input(0)?, &mut operands.output(0)?);
        Ok(())
    }
}

/// Fills `output` with the elements of `input`, whose axes line up from the right; those of length 1 are repeated.
pub(super) fn fill(input: &View<'_>, output: &mut ViewMut<'_>) {
        let mut from = Strides { base: 0, strides: [0; MAX_RANK] };
        for axis in 0..input.dims.len() {
            let to = axis.saturating_add(output.dims.len()).saturating_sub(input.dims.len());
            if let (Some(stride), true) = (from.strides.get_mut(to), input.dims.at(axis) != 1) {
                *stride = input.dims.inner(axis) as isize;
            }
        }
        let width = (input.spec.dtype.bits() / 8) as usize;
        strided_copy(width, input.bytes, &from, &output.dims, output.bytes);
}
