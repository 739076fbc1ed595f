//! Hashes of texts, by which a model knows categories whose texts it does not keep.
//!
//! No attributes. Input 0 is text `[…, W]`; zeros at the end of its last axis are no part of a text. The output is i32 `[…, 1]`: the low 32 bits of
//! each text's CityHash64 (its first version).

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::text_hash::text_hash;
use crate::tensor::{DType, TensorSpec};

/// Hashes texts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TextHash;

impl Operator for TextHash {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let shape = inputs.typed(0, &[DType::Text], "texts")?.shape;
        let last = shape.rank().checked_sub(1).filter(|&last| !shape.is_batch(last));
        let last = last.ok_or(OpError::input(0, Problem::Rank, "bytes of texts on the last axis, which is not the batch"))?;
        outputs.put(0, TensorSpec::new(DType::I32, shape.with_axis(last, 1, false)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let texts = operands.input(0)?;
        let width = texts.dims.at(texts.dims.len().saturating_sub(1));
        text_hash(width, operands.slice(0)?, operands.output(0)?.elements(0)?);
        Ok(())
    }
}
