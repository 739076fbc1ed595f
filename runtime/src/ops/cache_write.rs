//! Writes the next steps of sequences into their caches: a copy of input 0 in which part `i` of axis 0 has input 1's part `i` on `axis` from place
//! `start[i]` on.
//!
//! Attributes: `axis: u8` (not 0), `circular: bool` (after the last place comes the first; without it running over the end is an error). Inputs 0
//! and 1 have one type of whole bytes and the same lengths but on `axis`, where input 1 is no longer than input 0. Input 2 (optional; i32 or i64)
//! has one start, 0 or more, for each part of axis 0; they are 0 when it is absent. The batch is axis 0 of all, or none.

use super::gather_elements::outside;
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::scatter::{CacheShape, write_cache};
use crate::tensor::Shape;

/// Writes steps of sequences.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CacheWrite {
    /// The axis of steps.
    pub axis: u8,
    /// After the last place comes the first.
    pub circular: bool,
}

impl Operator for CacheWrite {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axis: reader.u8()?, circular: reader.bool("circular")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)?;
        writer.bool(self.circular)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let cache = inputs.whole_bytes(0)?;
        let update = inputs.typed(1, &[cache.dtype], "the type of input 0")?.shape;
        let axis = usize::from(self.axis);
        if axis == 0 || axis >= cache.shape.rank() {
            return Err(OpError::attribute("axis", "an axis of input 0 after the first"));
        }
        if cache.shape.batch_axis().is_some_and(|batch| batch != 0) {
            return Err(OpError::input(0, Problem::Batch, "the batch on axis 0"));
        }
        let needs = "the shape of input 0, shorter on the axis of steps";
        let count = update.factor(axis).filter(|&count| Some(count) <= cache.shape.factor(axis));
        let count = count.ok_or(OpError::input(1, Problem::Shape, needs))?;
        if cache.shape.with_axis(axis, count, false) != Ok(update) {
            return Err(OpError::input(1, Problem::Shape, needs));
        }
        if inputs.get(2).is_some() {
            let starts = inputs.indices(2)?;
            if Shape::of_axes([(&cache.shape, 0)].into_iter()) != Ok(starts) {
                return Err(OpError::input(2, Problem::Shape, "a start for each part of axis 0"));
            }
        }
        outputs.put(0, cache)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (cache, update) = (operands.overwrite(0, 0)?, operands.input(1)?);
        let axis = usize::from(self.axis);
        let batch = cache.dims.at(0);
        let shape = CacheShape {
            batch,
            middle: cache.dims.outer(axis).checked_div(batch).unwrap_or(0),
            length: cache.dims.at(axis),
            count: update.dims.at(axis),
            block: cache.dims.inner(axis).saturating_mul((cache.spec.dtype.bits() / 8) as usize),
        };
        let starts = operands.optional(2)?.map(|_| operands.indices(2)).transpose()?;
        let start = |part: usize| starts.map_or(Some(0), |starts| starts.get(part));
        write_cache(shape, self.circular, start, update.bytes, cache.bytes).map_err(|_| outside(2))
    }
}
