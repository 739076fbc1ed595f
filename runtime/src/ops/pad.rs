//! Adds elements around a tensor.
//!
//! Attributes: `mode: u8`. Input 0 has any type of whole bytes; input 1 is an i32 table `[2, rank]`: how many elements to add before and
//! after each axis (0 or more); input 2 (optional, for the constant mode) is a scalar of input 0's type, zero when absent. Nothing is
//! added to the batch axis.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::pad;
pub use crate::kernels::reference::pad::PadMode;
use crate::tensor::{DType, MAX_RANK, Shape, TensorSpec};

/// Surrounds the input.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pad {
    /// What stands around it.
    pub mode: PadMode,
}

impl Operator for Pad {
    const TABLE_INPUTS: u32 = 1 << 1;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { mode: PadMode::from_code(reader.u8()?).ok_or(reader.invalid("mode"))? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.mode.code())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let input = inputs.required(0)?.spec;
        if input.dtype.bits() < 8 {
            return Err(OpError::input(0, Problem::DType, "elements of whole bytes"));
        }
        let rank = input.shape.rank();
        let needs = "numbers of elements before and after each axis, none for the batch";
        inputs.fixed(1, DType::I32, &[2, rank], needs)?;
        let table = inputs.required(1)?;
        if table.constant.is_none() {
            return Err(OpError::input(1, Problem::NotConstant, needs));
        }
        if inputs.get(2).is_some() {
            inputs.fixed(2, input.dtype, &[], "a scalar of input 0's type")?;
        }
        let mut dims = [0usize; MAX_RANK];
        for (axis, dim) in dims.iter_mut().enumerate().take(rank) {
            let at = |row: usize| table.i32_at(row * rank + axis).and_then(|count| usize::try_from(count).ok());
            let value = OpError::input(1, Problem::Value, needs);
            let (before, after) = (at(0).ok_or(value)?, at(1).ok_or(value)?);
            let factor = input.shape.factor(axis).unwrap_or(0);
            if (input.shape.is_batch(axis) && (before, after) != (0, 0)) || factor == 0 {
                return Err(value);
            }
            *dim = factor.saturating_add(before).saturating_add(after);
        }
        let shape = Shape::new(dims.get(..rank).unwrap_or_default(), input.shape.batch_axis())?;
        outputs.put(0, TensorSpec { shape, ..input })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        let value = operands.optional(2)?.map(|view| view.bytes).unwrap_or_default();
        let output = operands.output(0)?;
        let mut before = [0; MAX_RANK];
        for (before, &count) in before.iter_mut().zip(operands.slice::<i32>(1)?.iter().take(input.dims.len())) {
            *before = count;
        }
        let width = (input.spec.dtype.bits() / 8) as usize;
        pad::pad(self.mode, width, (input.bytes, &input.dims), &before, value, (output.bytes, &output.dims));
        Ok(())
    }
}
