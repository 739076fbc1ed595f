//! Running sums and products along an axis.
//!
//! Attributes: `kind: u8` ([`Combination::Add`] or [`Combination::Mul`]), `exclusive: bool` (without the element itself), `reverse: bool` (from the end
//! backwards), `axis: u8`. Input 0 has any type of numbers; integers wrap, floats are rounded to their type after each step. Input 1 (optional; one
//! i32 or i64) is the axis in the attribute's place, a negative one from the end; input 0 does not depend on the batch then, and an axis outside it
//! is an error. The axis is not the batch.

use super::width::{elements_mut, with_combined};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::combine::Combination;
use crate::kernels::reference::combine::Combine;
use crate::kernels::reference::cumulate;
use crate::tensor::DType;

/// Combines elements with all before them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cumulate {
    /// Sum or product.
    pub kind: Combination,
    /// Without the element itself.
    pub exclusive: bool,
    /// From the end backwards.
    pub reverse: bool,
    /// The axis, unless it is an input.
    pub axis: u8,
}

impl Cumulate {
    fn run_typed<T: Combine + bytemuck::Pod>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.overwrite(0, 0)?;
        let outside = OpError::input(1, Problem::Value, "an axis of input 0");
        let axis = match operands.optional(1)? {
            Some(_) => operands.indices(1)?.place(0, x.dims.len()).ok_or(outside)?,
            None => self.axis.into(),
        };
        let sizes = (x.dims.at(axis), x.dims.inner(axis));
        let values = elements_mut::<T>(0, x.bytes)?;
        cumulate::cumulate(self.kind, (self.exclusive, self.reverse), sizes, values);
        Ok(())
    }
}

impl Operator for Cumulate {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = Combination::from_code(reader.u8()?);
        let kind = kind.filter(|kind| matches!(kind, Combination::Add | Combination::Mul));
        Ok(Self {
            kind: kind.ok_or(reader.invalid("kind"))?,
            exclusive: reader.bool("exclusive")?,
            reverse: reader.bool("reverse")?,
            axis: reader.u8()?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())?;
        writer.bool(self.exclusive)?;
        writer.bool(self.reverse)?;
        writer.u8(self.axis)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let x = inputs.typed(0, &DType::WHOLE, "numbers or booleans")?;
        let batch = OpError::input(0, Problem::Batch, "the batch on another axis than the one summed along");
        if inputs.get(1).is_some() {
            let axis = inputs.indices(1)?;
            if axis.elements() != Some(1) || axis.is_batched() {
                return Err(OpError::input(1, Problem::Shape, "one axis"));
            }
            if x.shape.is_batched() {
                return Err(batch);
            }
        } else if usize::from(self.axis) >= x.shape.rank() {
            return Err(OpError::attribute("axis", "an axis of input 0"));
        } else if x.shape.is_batch(self.axis.into()) {
            return Err(batch);
        }
        outputs.put(0, x)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let missing = OpError::input(0, Problem::Missing, "an input here");
        with_combined!(operands.dtype(0).ok_or(missing)?, T => self.run_typed::<T>(operands))
    }
}
