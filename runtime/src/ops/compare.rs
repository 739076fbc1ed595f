//! Compares two tensors with numpy's broadcasting; the result is boolean.
//!
//! Attributes: `kind: u8`. Both inputs have the same type: f32, f64, an integer of 8 to 64 bits, or bool or category (for equality;
//! categories of one table).

use super::binary::broadcast_shapes;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::compare::CompareKind;
use crate::kernels::reference::integer::Narrow;
use crate::kernels::reference::{broadcast, compare};
use crate::tensor::{DType, TensorSpec};

/// Compares two tensors element by element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compare {
    /// The comparison.
    pub kind: CompareKind,
}

impl Operator for Compare {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { kind: CompareKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let equality = matches!(self.kind, CompareKind::Equal | CompareKind::NotEqual);
        let types = match inputs.required(0)?.spec.dtype {
            DType::Category | DType::Bool if equality => &[DType::Category, DType::Bool][..],
            _ => DType::numbers(),
        };
        let a = inputs.typed(0, types, "a number, or booleans or categories to be tested for equality")?;
        let b = inputs.typed(1, &[a.dtype], "the type of input 0")?;
        if a.table != b.table {
            return Err(OpError::input(1, Problem::DType, "the categories of input 0"));
        }
        outputs.put(0, TensorSpec::new(DType::Bool, broadcast_shapes(&a.shape, &b.shape)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (a, b) = (operands.input(0)?, operands.input(1)?);
        let output = operands.output(0)?;
        let walk = broadcast::Walk::new(&output.dims, &[&a.dims, &b.dims]);
        let (kind, out) = (self.kind, output.bytes);
        match a.spec.dtype {
            DType::F32 => compare::compare::<f32>(kind, operands.slice(0)?, operands.slice(1)?, out, &walk),
            DType::F64 => compare::compare::<f64>(kind, operands.slice(0)?, operands.slice(1)?, out, &walk),
            DType::I32 => compare::compare::<i32>(kind, operands.slice(0)?, operands.slice(1)?, out, &walk),
            DType::I64 => compare::compare::<i64>(kind, operands.slice(0)?, operands.slice(1)?, out, &walk),
            DType::U64 => compare::compare::<u64>(kind, operands.slice(0)?, operands.slice(1)?, out, &walk),
            DType::Category => compare::compare::<u32>(kind, operands.slice(0)?, operands.slice(1)?, out, &walk),
            dtype => {
                if let Some(narrow) = Narrow::of(dtype) {
                    compare::compare_narrow(kind, narrow, a.bytes, b.bytes, out, &walk);
                }
            }
        }
        Ok(())
    }
}
