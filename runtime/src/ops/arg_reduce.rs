//! Index of the largest or the smallest element along an axis.
//!
//! Attributes: `axis: u8`, `smallest: bool`, `last: bool` (the last of equals instead of the first), `keep: bool` (the axis stays with
//! length 1), `wide: bool` (i64 instead of i32). f32, f64, or an integer of 8 to 64 bits. The axis is not the batch and not
//! empty. NaN is never
//! larger or smaller.

use super::reduce::reduced_shape;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::integer::Narrow;
use crate::kernels::reference::reduce::arg_extreme;
use crate::tensor::{DType, Element, TensorSpec};

/// Finds an extreme.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ArgReduce {
    /// The axis.
    pub axis: u8,
    /// The smallest element instead of the largest.
    pub smallest: bool,
    /// The last of equals instead of the first.
    pub last: bool,
    /// The axis stays, with length 1.
    pub keep: bool,
    /// Indices are i64 instead of i32.
    pub wide: bool,
}

impl ArgReduce {
    fn run_typed<T: Element + PartialOrd>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.slice::<T>(0)?;
        self.find(operands, x.len(), |index| x.get(index).copied())
    }

    fn find<T: PartialOrd>(
        &self,
        operands: &dyn Operands,
        elements: usize,
        x: impl Fn(usize) -> Option<T>,
    ) -> Result<(), OpError> {
        let dims = operands.input(0)?.dims;
        let axis = usize::from(self.axis);
        let (length, inner) = (dims.at(axis), dims.inner(axis));
        let mut output = operands.output(0)?;
        let rule = (self.smallest, self.last);
        if self.wide {
            let mut slots = output.elements::<i64>(0)?.iter_mut();
            let put = |index| slots.next().into_iter().for_each(|slot| *slot = index);
            arg_extreme(rule, x, elements, length, inner, put);
        } else {
            let mut slots = output.elements::<i32>(0)?.iter_mut();
            let put = |index| slots.next().into_iter().for_each(|slot| *slot = index as i32);
            arg_extreme(rule, x, elements, length, inner, put);
        }
        Ok(())
    }
}

impl Operator for ArgReduce {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            axis: reader.u8()?,
            smallest: reader.bool("smallest")?,
            last: reader.bool("last")?,
            keep: reader.bool("keep")?,
            wide: reader.bool("wide")?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)?;
        writer.bool(self.smallest)?;
        writer.bool(self.last)?;
        writer.bool(self.keep)?;
        writer.bool(self.wide)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.typed(0, DType::numbers(), "a float or an integer type of 8 to 64 bits")?;
        let axis = usize::from(self.axis);
        match input.shape.factor(axis) {
            None => return Err(OpError::attribute("axis", "an axis of the input")),
            Some(0) => return Err(OpError::input(0, Problem::Shape, "an axis of one element at least")),
            Some(_) => {}
        }
        let shape = reduced_shape(&input.shape, self.keep, |other| other == axis)?;
        outputs.put(0, TensorSpec::new(if self.wide { DType::I64 } else { DType::I32 }, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        match (input.spec.dtype, Narrow::of(input.spec.dtype)) {
            (DType::F32, _) => self.run_typed::<f32>(operands),
            (DType::F64, _) => self.run_typed::<f64>(operands),
            (DType::I64, _) => self.run_typed::<i64>(operands),
            (_, Some(narrow)) => {
                self.find(operands, input.bytes.len() / narrow.width.max(1), |index| narrow.get(input.bytes, index))
            }
            (_, None) => self.run_typed::<u64>(operands),
        }
    }
}
