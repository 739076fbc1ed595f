//! Arithmetic on two tensors with numpy's broadcasting.
//!
//! Attributes: `kind: u8`. Both inputs have the same type: f32, f64, i32 or i64. Integer arithmetic wraps; integer division
//! truncates towards zero and gives 0 for a divisor of 0.
//!
//! The batch axis of one input must line up with a batch axis of the same factor, or with a length of 1, in the other.

use heapless::Vec;

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::binary::BinaryKind;
use crate::kernels::reference::{binary, broadcast};
use crate::tensor::{DType, MAX_RANK, Shape, TensorSpec};

/// Combines two tensors element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binary {
    /// The combination.
    pub kind: BinaryKind,
}

/// The shape that two shapes broadcast to (numpy's rule, with the batch as one more length).
pub fn broadcast_shapes(a: &Shape, b: &Shape) -> Result<Shape, OpError> {
    let rank = a.rank().max(b.rank());
    let mut dims: Vec<usize, MAX_RANK> = Vec::new();
    let mut batch = None;
    for axis in 0..rank {
        let at = |shape: &Shape| {
            let axis = (axis + shape.rank()).checked_sub(rank)?;
            Some((shape.factor(axis)?, shape.is_batch(axis)))
        };
        let (length, batched) = match (at(a).unwrap_or((1, false)), at(b).unwrap_or((1, false))) {
            (x, y) if x == y => x,
            ((1, false), other) | (other, (1, false)) => other,
            _ => return Err(OpError::input(1, Problem::Shape, "a shape that broadcasts with input 0's")),
        };
        // Both ranks are at most MAX_RANK, so there is room.
        let _ = dims.push(length);
        if batched {
            if batch.is_some() {
                return Err(OpError::input(1, Problem::Batch, "the batch on the same axis as in input 0"));
            }
            batch = Some(axis);
        }
    }
    Shape::new(&dims, batch)
        .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))
}

impl Operator for Binary {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { kind: BinaryKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let a = inputs.typed(0, &[DType::F32, DType::F64, DType::I32, DType::I64], "a float or 32/64-bit integer type")?;
        let b = inputs.typed(1, &[a.dtype], "the type of input 0")?;
        outputs.put(0, TensorSpec::new(a.dtype, broadcast_shapes(&a.shape, &b.shape)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (a, b) = (operands.input(0)?, operands.input(1)?);
        let mut output = operands.output(0)?;
        let walk = broadcast::Walk::new(&output.dims, &[&a.dims, &b.dims]);
        match a.spec.dtype {
            DType::F32 => {
                binary::binary::<f32>(self.kind, operands.slice(0)?, operands.slice(1)?, output.elements(0)?, &walk)
            }
            DType::F64 => {
                binary::binary::<f64>(self.kind, operands.slice(0)?, operands.slice(1)?, output.elements(0)?, &walk)
            }
            DType::I32 => {
                binary::binary::<i32>(self.kind, operands.slice(0)?, operands.slice(1)?, output.elements(0)?, &walk)
            }
            _ => binary::binary::<i64>(self.kind, operands.slice(0)?, operands.slice(1)?, output.elements(0)?, &walk),
        }
        Ok(())
    }
}
