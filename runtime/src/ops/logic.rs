//! Combines two boolean tensors with numpy's broadcasting. "Not" is the exclusive or with true.
//!
//! Attributes: `kind: u8`.

use super::binary::broadcast_shapes;
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::compare::LogicKind;
use crate::kernels::reference::{broadcast, compare};
use crate::tensor::{DType, TensorSpec};

/// Combines two boolean tensors element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logic {
    /// The combination.
    pub kind: LogicKind,
}

impl Operator for Logic {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { kind: LogicKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let a = inputs.typed(0, &[DType::Bool], "bool")?;
        let b = inputs.typed(1, &[DType::Bool], "bool")?;
        outputs.put(0, TensorSpec::new(DType::Bool, broadcast_shapes(&a.shape, &b.shape)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (a, b) = (operands.input(0)?, operands.input(1)?);
        let output = operands.output(0)?;
        let walk = broadcast::Walk::new(&output.dims, &[&a.dims, &b.dims]);
        compare::logic(self.kind, a.bytes, b.bytes, output.bytes, &walk);
        Ok(())
    }
}
