//! Writes an element for each index: `output = data`, then `output[i, indices[i, j, k], k] (+)= updates[i, j, k]` for `axis` 1, in C order.
//!
//! Attributes: `axis: u8`, `combination: u8` (what an element becomes: [`Combination`]). Input 0 has any type of whole bytes to be replaced, and any
//! type but categories and texts for other combinations; input 1 (i32 or i64) is as in [`super::gather_elements`]; input 2 has its shape and input
//! 0's type. The batch is the same axis of all, not `axis`.
//!
//! A negative index counts from the end; an index outside the axis is an error.

use super::gather_elements::{check_indices, outside};
use super::width::{elements, elements_mut, with_combined, with_width};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::combine::Combination;
use crate::kernels::reference::combine::Combine;
use crate::kernels::reference::scatter;
use crate::tensor::{DType, Shape, TensorSpec};

/// Writes elements one by one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScatterElements {
    /// The axis that indices are places of.
    pub axis: u8,
    /// What an element becomes.
    pub combination: Combination,
}

/// The data of a scatter: any type of whole bytes for replacement, one that combines otherwise.
pub(super) fn scattered(inputs: &dyn Inputs, combination: Combination) -> Result<TensorSpec, OpError> {
    let data = inputs.whole_bytes(0)?;
    if combination == Combination::Replace { Ok(data) } else { inputs.typed(0, &DType::WHOLE, "numbers or booleans") }
}

/// Checks that input 2 has `data`'s type and the shape `shape`.
pub(super) fn check_updates(inputs: &dyn Inputs, data: &TensorSpec, shape: Shape) -> Result<(), OpError> {
    let updates = inputs.typed(2, &[data.dtype], "the type of input 0")?;
    if updates.shape == shape { Ok(()) } else { Err(OpError::input(2, Problem::Shape, "an update for each index")) }
}

impl ScatterElements {
    fn run_typed<T: Combine + bytemuck::Pod>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (indices, updates) = (operands.input(1)?, operands.input(2)?);
        let output = operands.overwrite(0, 0)?;
        let indices = (operands.indices(1)?, &indices.dims);
        let slots = (elements_mut::<T>(0, output.bytes)?, &output.dims);
        let updates = elements(2, updates.bytes)?;
        scatter::scatter_elements(self.combination, self.axis.into(), indices, updates, slots).map_err(|_| outside(1))
    }
}

impl Operator for ScatterElements {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let axis = reader.u8()?;
        let combination = Combination::from_code(reader.u8()?).ok_or(reader.invalid("combination"))?;
        Ok(Self { axis, combination })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)?;
        writer.u8(self.combination.code())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let (data, indices) = (scattered(inputs, self.combination)?, inputs.indices(1)?);
        check_indices(&data.shape, &indices, self.axis.into())?;
        if indices.is_batched() != data.shape.is_batched() {
            return Err(OpError::input(1, Problem::Batch, "the batch where input 0 has it"));
        }
        check_updates(inputs, &data, indices)?;
        outputs.put(0, data)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let dtype = operands.input(2)?.spec.dtype;
        match self.combination {
            Combination::Replace => with_width!(dtype, T => self.run_typed::<T>(operands)),
            _ => with_combined!(dtype, T => self.run_typed::<T>(operands)),
        }
    }
}
