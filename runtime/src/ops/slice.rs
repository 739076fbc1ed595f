//! Takes regular parts of the axes: output index `i` of an axis is input index `start + i * step`.
//!
//! No attributes. Input 0 has any type of whole bytes; input 1 is an i32 table `[3, rank]`: starts, steps (not 0), lengths. The batch axis
//! is taken whole.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::strided::{Strides, strided_copy};
use crate::tensor::{DType, MAX_RANK, Shape, TensorSpec};

/// Takes a part of the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Slice;

impl Operator for Slice {
    const TABLE_INPUTS: u32 = 1 << 1;

    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let input = inputs.required(0)?.spec;
        if input.dtype.bits() < 8 {
            return Err(OpError::input(0, Problem::DType, "elements of whole bytes"));
        }
        let rank = input.shape.rank();
        let needs = "starts, steps and lengths inside input 0";
        inputs.fixed(1, DType::I32, &[3, rank], needs)?;
        let table = inputs.required(1)?;
        if table.constant.is_none() {
            return Err(OpError::input(1, Problem::NotConstant, needs));
        }
        let outside = OpError::input(1, Problem::Value, needs);
        let mut dims = [0usize; MAX_RANK];
        for (axis, dim) in dims.iter_mut().enumerate().take(rank) {
            let at = |row: usize| table.i32_at(row * rank + axis).map(i64::from).ok_or(outside);
            let (start, step, length) = (at(0)?, at(1)?, at(2)?);
            let factor = i64::from(input.shape.factors().get(axis).copied().unwrap_or(0));
            let last = start.saturating_add(length.saturating_sub(1).saturating_mul(step));
            let inside = (0..factor).contains(&start) && (0..factor).contains(&last);
            let whole = (start, step, length) == (0, 1, factor);
            if step == 0 || length < 1 || !inside || (input.shape.is_batch(axis) && !whole) {
                return Err(outside);
            }
            *dim = length as usize;
        }
        let shape = Shape::new(dims.get(..rank).unwrap_or_default(), input.shape.batch_axis())?;
        outputs.put(0, TensorSpec { shape, ..input })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let table = operands.slice::<i32>(1)?;
        let output = operands.output(0)?;
        let rank = input.dims.len();
        let mut from = Strides { base: 0, strides: [0; MAX_RANK] };
        for axis in 0..rank {
            let inner = input.dims.inner(axis);
            let start = table.get(axis).copied().unwrap_or(0);
            let step = table.get(rank + axis).copied().unwrap_or(1);
            from.base = from.base.saturating_add((start.max(0) as usize).saturating_mul(inner));
            from.strides[axis] = (step as isize).saturating_mul(inner as isize);
        }
        let width = (input.spec.dtype.bits() / 8) as usize;
        strided_copy(width, input.bytes, &from, &output.dims, output.bytes);
        Ok(())
    }
}
