//! Indices as vectors of which one element is set.
//!
//! Attributes: `axis: u8`, `depth: u32`. Input 0 holds indices (i32 or i64); input 1, of any type of whole bytes, is `[2]`: the value of other
//! elements and that of the element that the index names. The output has input 0's shape with an axis of `depth` (1 or more) inserted at `axis`, and
//! input 1's type. A negative index counts from the end; one outside `-depth..depth` sets no element.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::one_hot;
use crate::tensor::{Shape, TensorSpec};

/// Sets elements by index.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OneHot {
    /// The new axis.
    pub axis: u8,
    /// Its length.
    pub depth: u32,
}

impl Operator for OneHot {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axis: reader.u8()?, depth: reader.u32()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)?;
        writer.u32(self.depth)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let (indices, values) = (inputs.indices(0)?, inputs.whole_bytes(1)?);
        if Ok(values.shape) != Shape::fixed(&[2]) {
            return Err(OpError::input(1, Problem::Shape, "two values that do not depend on the batch"));
        }
        let axis = usize::from(self.axis);
        if axis > indices.rank() {
            return Err(OpError::attribute("axis", "an axis of the output"));
        }
        if self.depth == 0 {
            return Err(OpError::attribute("depth", "1 or more"));
        }
        let inserted = Shape::fixed(&[self.depth as usize])?;
        let axes = (0..axis).map(|axis| (&indices, axis)).chain([(&inserted, 0)]);
        let shape = Shape::of_axes(axes.chain((axis..indices.rank()).map(|axis| (&indices, axis))))?;
        outputs.put(0, TensorSpec { shape, ..values })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let values = operands.input(1)?;
        let output = operands.output(0)?;
        let width = (values.spec.dtype.bits() / 8) as usize;
        let sizes = (self.depth as usize, output.dims.inner(self.axis.into()), width);
        let values = values.bytes.split_at_checked(width).unwrap_or_default();
        one_hot::one_hot(sizes, operands.indices(0)?, values, output.bytes);
        Ok(())
    }
}
