//! Sum of two int8 tensors of different scales, with numpy's broadcasting.
//!
//! Attributes: for each input `zero: i8` and its factor `multiplier, shift: i32`; the result's factor; the target
//! `zero, low, high: i8`. The inputs' factors are their scales over twice the larger of both; the result's is that over its own scale
//! and 2^20. The formula stands at [`quantized_add::Sum::of`].

use super::binary::{broadcast_shapes, hold_one};
use super::fixed_point::{emit_factor, emit_target, parse_factor, parse_target};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::broadcast::Walk;
use crate::kernels::reference::fixed_point::{Factor, Target};
use crate::kernels::reference::quantized_add;
pub use crate::kernels::reference::quantized_add::{Addend, LEFT_SHIFT, Sum};
use crate::tensor::{DType, TensorSpec};

/// Adds two int8 tensors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedAdd {
    /// How each input is scaled.
    pub addends: [Addend; 2],
    /// How the sum is scaled.
    pub factor: Factor,
    /// Zero point and bounds of the result.
    pub target: Target,
}

impl From<&QuantizedAdd> for Sum {
    fn from(add: &QuantizedAdd) -> Self {
        Self { addends: add.addends, factor: add.factor, target: add.target }
    }
}

fn parse_addend(reader: &mut Reader<'_>) -> Result<Addend, BytesError> {
    Ok(Addend { zero: reader.i8()?, factor: parse_factor(reader)? })
}

impl Operator for QuantizedAdd {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            addends: [parse_addend(reader)?, parse_addend(reader)?],
            factor: parse_factor(reader)?,
            target: parse_target(reader)?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        for addend in self.addends {
            writer.i8(addend.zero)?;
            emit_factor(addend.factor, writer)?;
        }
        emit_factor(self.factor, writer)?;
        emit_target(self.target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let a = inputs.typed(0, &[DType::I8], "int8")?;
        let b = inputs.typed(1, &[DType::I8], "int8")?;
        outputs.put(0, TensorSpec::new(DType::I8, broadcast_shapes(&a.shape, &b.shape)?))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0), (1, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (held, mut output) = hold_one(operands)?;
        let [a, b] = self.addends;
        let sum = Sum { addends: if held == 1 { [b, a] } else { [a, b] }, ..Sum::from(self) };
        let walk = Walk::new(&output.dims, &[&operands.input(1 - held)?.dims]);
        quantized_add::add(&sum, operands.slice(1 - held)?, output.elements(0)?, &walk);
        Ok(())
    }
}
