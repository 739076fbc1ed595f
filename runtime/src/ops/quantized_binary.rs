//! Arithmetic on two int8 or two int16 tensors of different scales, with numpy's broadcasting.
//!
//! Attributes: `kind: u8`, `left_shift: u8` (0 to 31), the zero points of both inputs `i16`, the factors of both inputs and of the result
//! (`multiplier, shift: i32` each), the target `zero, low, high: i16`. The formulas stand at [`QuantizedBinaryKind`].

use super::binary::{broadcast_shapes, hold_one};
use super::fixed_point::{emit_factor, emit_wide_target, parse_factor, parse_wide_target};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::broadcast::Walk;
use crate::kernels::reference::fixed_point::Stored;
use crate::kernels::reference::quantized_binary::binary;
pub use crate::kernels::reference::quantized_binary::{Arithmetic, QuantizedBinaryKind};
use crate::tensor::{DType, Element, TensorSpec};

/// Combines two quantized tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedBinary(pub Arithmetic);

impl QuantizedBinary {
    fn run_typed<T: Element + Stored>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (held, mut output) = hold_one(operands)?;
        let walk = Walk::new(&output.dims, &[&operands.input(1 - held)?.dims]);
        binary::<T>(&self.0, held == 1, operands.slice(1 - held)?, output.elements(0)?, &walk);
        Ok(())
    }
}

impl Operator for QuantizedBinary {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = QuantizedBinaryKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))?;
        let left_shift = reader.u8()?;
        if left_shift > 31 {
            return Err(reader.invalid("left shift"));
        }
        Ok(Self(Arithmetic {
            kind,
            left_shift,
            zeros: [reader.i16()?, reader.i16()?],
            factors: [parse_factor(reader)?, parse_factor(reader)?],
            factor: parse_factor(reader)?,
            target: parse_wide_target(reader)?,
        }))
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        let Arithmetic { kind, left_shift, zeros, factors, factor, target } = self.0;
        writer.u8(kind.code())?;
        writer.u8(left_shift)?;
        zeros.into_iter().try_for_each(|zero| writer.i16(zero))?;
        factors.into_iter().chain([factor]).try_for_each(|factor| emit_factor(factor, writer))?;
        emit_wide_target(target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let a = inputs.typed(0, &[DType::I8, DType::I16], "int8 or int16")?;
        let b = inputs.typed(1, &[a.dtype], "the type of input 0")?;
        outputs.put(0, TensorSpec::new(a.dtype, broadcast_shapes(&a.shape, &b.shape)?))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0), (1, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.dtype(0) {
            Some(DType::I8) => self.run_typed::<i8>(operands),
            _ => self.run_typed::<i16>(operands),
        }
    }
}
