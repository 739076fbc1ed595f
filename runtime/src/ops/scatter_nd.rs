//! Writes parts by tuples of indices: `output = data`, then the part of `output` that each tuple names is combined with its update, in order.
//!
//! Attributes: `combination: u8` (what an element becomes: [`Combination`]). Types are as in [`super::scatter_elements`]. Input 1 (i32 or i64) is
//! `[I…, k]`: each tuple of `k` indices names a place on the first `k` axes of input 0, whose other axes are `R…`; input 2 is `[I…, R…]`. The batch
//! may be one of `R…`, or one of `I…` and an axis that is indexed.
//!
//! A negative index counts from the end; an index outside its axis is an error.

use super::gather_elements::outside;
use super::gather_nd::tuple_length;
use super::scatter_elements::{Combination, check_updates, scattered};
use super::width::{elements, elements_mut, with_combined, with_width};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::combine::Combine;
use crate::kernels::reference::gather_nd::Parts;
use crate::kernels::reference::scatter;
use crate::tensor::{DType, Shape};

/// Writes parts of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScatterNd {
    /// What an element becomes.
    pub combination: Combination,
}

impl ScatterNd {
    fn run_typed<T: Combine + bytemuck::Pod>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (indices, updates) = (operands.input(1)?, operands.input(2)?);
        let output = operands.overwrite(0, 0)?;
        let length = indices.dims.at(indices.dims.len().saturating_sub(1));
        let parts = Parts {
            lengths: output.dims.get(..length).unwrap_or_default(),
            block: output.dims.inner(length.saturating_sub(1)),
        };
        let (updates, slots) = (elements::<T>(2, updates.bytes)?, elements_mut(0, output.bytes)?);
        scatter::scatter_nd(self.combination, parts, operands.indices(1)?, updates, slots).map_err(|_| outside(1))
    }
}

impl Operator for ScatterNd {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { combination: Combination::from_code(reader.u8()?).ok_or(reader.invalid("combination"))? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.combination.code())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let (data, indices) = (scattered(inputs, self.combination)?, inputs.indices(1)?);
        let length = tuple_length(&data.shape, &indices, 0)?;
        let indexed = data.shape.batch_axis().is_some_and(|axis| axis < length);
        if indices.is_batched() != indexed {
            return Err(OpError::input(1, Problem::Batch, "indices of the batch's axis where they depend on the batch"));
        }
        let tuples = (0..indices.rank() - 1).map(|axis| (&indices, axis));
        let rest = (length..data.shape.rank()).map(|axis| (&data.shape, axis));
        check_updates(inputs, &data, Shape::of_axes(tuples.chain(rest))?)?;
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
