//! Arithmetic on two tensors of 8-bit integers that stand for real numbers, with numpy's broadcasting:
//! `quantize(a op b)` with `a = scale * (stored - zero)`, in f32.
//!
//! Attributes: `kind: u8` as in [`super::binary`]; for each input `scale: f32, zero: i16`; for the result `scale: f32`, `dtype: u8` and
//! `zero, low, high: i16`. The result is `clip(round((a op b) / scale) + zero)`, halves to even: to the bit what dequantizing, the
//! operation and quantizing give one after the other.

use super::binary::{BinaryKind, broadcast_shapes, hold_one};
use super::linear::{BYTES, NEEDS_BYTES, emit_place, emit_real, parse_place, parse_real};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::broadcast::Walk;
use crate::kernels::reference::integer_float;
pub use crate::kernels::reference::integer_float::{Place, Real};
use crate::tensor::{DType, TensorSpec};

/// Combines two tensors of 8-bit integers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct IntegerBinary {
    /// The combination.
    pub kind: BinaryKind,
    /// What each input's integers stand for.
    pub inputs: [Real; 2],
    /// Type of the result, of 8 bits.
    pub dtype: DType,
    /// Where results go.
    pub place: Place,
}

impl Operator for IntegerBinary {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = BinaryKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))?;
        let inputs = [parse_real(reader)?, parse_real(reader)?];
        let (dtype, place) = parse_place(reader)?;
        Ok(Self { kind, inputs, dtype, place })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())?;
        for input in self.inputs {
            emit_real(input, writer)?;
        }
        emit_place(self.dtype, self.place, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let a = inputs.typed(0, &BYTES, NEEDS_BYTES)?;
        let b = inputs.typed(1, &BYTES, NEEDS_BYTES)?;
        outputs.put(0, TensorSpec::new(self.dtype, broadcast_shapes(&a.shape, &b.shape)?))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0), (1, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (held, output) = hold_one(operands)?;
        let other = operands.input(1 - held)?;
        let walk = Walk::new(&output.dims, &[&other.dims]);
        let signed = [0, 1].map(|index| operands.dtype(index) == Some(DType::I8));
        integer_float::binary(self.kind, held, (self.inputs, signed), self.place, other.bytes, output.bytes, &walk);
        Ok(())
    }
}
