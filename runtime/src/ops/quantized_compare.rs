//! Compares two int8 tensors of different scales, with numpy's broadcasting; the result is boolean.
//!
//! Attributes: `kind: u8`, then for each input `zero: i8` and its factor `multiplier, shift: i32`, which is its scale. The formula
//! stands at [`quantized_compare::compare`].

use super::binary::broadcast_shapes;
use super::compare::CompareKind;
use super::fixed_point::{emit_factor, parse_factor};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::broadcast::Walk;
use crate::kernels::reference::quantized_compare;
pub use crate::kernels::reference::quantized_compare::Comparand;
use crate::tensor::{DType, TensorSpec};

/// Compares two int8 tensors by what they stand for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedCompare {
    /// The comparison.
    pub kind: CompareKind,
    /// What each input stands for.
    pub comparands: [Comparand; 2],
}

impl Operator for QuantizedCompare {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = CompareKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))?;
        let mut comparand = || Ok(Comparand { zero: reader.i8()?, factor: parse_factor(reader)? });
        Ok(Self { kind, comparands: [comparand()?, comparand()?] })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())?;
        self.comparands.iter().try_for_each(|comparand| {
            writer.i8(comparand.zero)?;
            emit_factor(comparand.factor, writer)
        })
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let a = inputs.typed(0, &[DType::I8], "int8")?;
        let b = inputs.typed(1, &[DType::I8], "int8")?;
        outputs.put(0, TensorSpec::new(DType::Bool, broadcast_shapes(&a.shape, &b.shape)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let output = operands.output(0)?;
        let walk = Walk::new(&output.dims, &[&operands.input(0)?.dims, &operands.input(1)?.dims]);
        let inputs = [operands.slice(0)?, operands.slice(1)?];
        quantized_compare::compare(self.kind, self.comparands, inputs, output.bytes, &walk);
        Ok(())
    }
}
