//! Arithmetic on two tensors with numpy's broadcasting.
//!
//! Attributes: `kind: u8`. Both inputs have the same type: f32, f64 or an integer of 8 to 64 bits. Integer arithmetic wraps; integer
//! division truncates towards zero and gives 0 for a divisor of 0. Only integers have combinations of bits.
//!
//! The batch axis of one input must line up with a batch axis of the same factor, or with a length of 1, in the other.

use heapless::Vec;

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem, expand};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::binary::{BinaryKind, Number};
use crate::kernels::reference::integer::Narrow;
use crate::kernels::reference::{binary, broadcast};
use crate::tensor::{DType, MAX_RANK, Shape, TensorSpec, ViewMut, Element};

/// Combines two tensors element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Binary {
    /// The combination.
    pub kind: BinaryKind,
}

impl Binary {
    fn run_typed<T: Element + Number>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (held, mut output) = hold_one(operands)?;
        let other = operands.input(1 - held)?;
        let walk = broadcast::Walk::new(&output.dims, &[&other.dims]);
        binary::binary::<T>(self.kind, held == 1, operands.slice(1 - held)?, output.elements(0)?, &walk);
        Ok(())
    }
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

/// As [`hold_one_of`], for inputs 0 and 1.
pub(super) fn hold_one(operands: &dyn Operands) -> Result<(usize, ViewMut<'_>), OpError> {
    hold_one_of(operands, [0, 1])
}

/// The output of a broadcasting operator, which holds one of two inputs to begin with, in place or copied, and which of them.
pub(super) fn hold_one_of(operands: &dyn Operands, inputs: [usize; 2]) -> Result<(usize, ViewMut<'_>), OpError> {
    if let Some(held) = inputs.into_iter().find(|&input| operands.is_in_place(input, 0)) {
        return Ok((held, operands.overwrite(held, 0)?));
    }
    let mut output = operands.output(0)?;
    let [first, second] = inputs;
    let held = if operands.input(second)?.bytes.len() == output.bytes.len() { second } else { first };
    expand::fill(&operands.input(held)?, &mut output);
    Ok((held, output))
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
        let types = if self.kind.is_bitwise() { DType::integers() } else { DType::numbers() };
        let a = inputs.typed(0, types, "a type that the combination takes")?;
        let b = inputs.typed(1, &[a.dtype], "the type of input 0")?;
        outputs.put(0, TensorSpec::new(a.dtype, broadcast_shapes(&a.shape, &b.shape)?))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0), (1, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let dtype = operands.dtype(0).unwrap_or(DType::F32);
        match (dtype, Narrow::of(dtype)) {
            (DType::F32, _) => self.run_typed::<f32>(operands),
            (DType::F64, _) => self.run_typed::<f64>(operands),
            (DType::I32, _) => self.run_typed::<i32>(operands),
            (DType::I64, _) => self.run_typed::<i64>(operands),
            (_, None) => self.run_typed::<u64>(operands),
            (_, Some(narrow)) => {
                let (held, output) = hold_one(operands)?;
                let other = operands.input(1 - held)?;
                let walk = broadcast::Walk::new(&output.dims, &[&other.dims]);
                binary::binary_narrow(self.kind, held == 1, narrow, other.bytes, output.bytes, &walk);
                Ok(())
            }
        }
    }
}
