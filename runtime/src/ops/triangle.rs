//! Triangles of matrices: the elements on one side of a diagonal become zero.
//!
//! Attributes: `lower: bool` (the part on and below the diagonal stays, instead of that on and above), `diagonal: i64` (columns that it starts right
//! of the first element). Input 0, of any type of whole bytes, has matrices on its last two axes, which are not the batch. Input 1 (optional; one i32 or
//! i64) is the diagonal in the attribute's place.

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::triangle;

/// Clears the other side of a diagonal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Triangle {
    /// The part on and below the diagonal stays.
    pub lower: bool,
    /// Where the diagonal starts, unless it is an input.
    pub diagonal: i64,
}

impl Operator for Triangle {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { lower: reader.bool("lower")?, diagonal: reader.i64()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.lower)?;
        writer.i64(self.diagonal)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let x = inputs.whole_bytes(0)?;
        let rows = x.shape.rank().checked_sub(2).ok_or(OpError::input(0, Problem::Rank, "two axes at least"))?;
        if x.shape.batch_axis().is_some_and(|axis| axis >= rows) {
            return Err(OpError::input(0, Problem::Batch, "the batch on another axis than the last two"));
        }
        if inputs.get(1).is_some() {
            let diagonal = inputs.indices(1)?;
            if diagonal.elements() != Some(1) || diagonal.is_batched() {
                return Err(OpError::input(1, Problem::Shape, "one diagonal"));
            }
        }
        outputs.put(0, x)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.overwrite(0, 0)?;
        let last = x.dims.len().saturating_sub(1);
        let width = (x.spec.dtype.bits() / 8) as usize;
        let sizes = (x.dims.at(last.saturating_sub(1)), x.dims.at(last), width);
        let diagonal = match operands.optional(1)? {
            Some(_) => operands.indices(1)?.get(0).unwrap_or(0),
            None => self.diagonal,
        };
        triangle::triangle(self.lower, diagonal, sizes, x.bytes);
        Ok(())
    }
}
