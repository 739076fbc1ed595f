//! A function of one integer, given by its values.
//!
//! No attributes. Input 0 holds 8-bit or 16-bit integers, input 1 the table. For int8 and uint8 it has 256 entries of int16, int32
//! or float32, the type of the result; the stored byte, taken as unsigned, is the index (an int8 table starts with the values of 0 to
//! 127). [`super::byte_map`] gives results of 8 bits. For int16 it has [`WIDE_ENTRIES`] entries of int16, for every 128th value from -32,768 on; the formula stands at
//! [`table::interpolate`].

use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::table;
pub use crate::kernels::reference::table::WIDE_ENTRIES;
use crate::tensor::{DType, Element, TensorSpec};

/// Looks elements up in a table.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TableLookup;

impl TableLookup {
    fn run_typed<T: Element>(operands: &dyn Operands) -> Result<(), OpError> {
        let input = operands.input(0)?;
        table::lookup::<T>(input.bytes, operands.slice(1)?, operands.output(0)?.elements(0)?);
        Ok(())
    }
}

impl Operator for TableLookup {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let input = inputs.typed(0, &[DType::I8, DType::U8, DType::I16], "8-bit integers or int16")?;
        let types = [DType::I16, DType::I32, DType::F32];
        let (entries, types) = match input.dtype {
            DType::I16 => (WIDE_ENTRIES, &[DType::I16][..]),
            _ => (256, &types[..]),
        };
        let result = inputs.typed(1, types, "a table of int16, int32 or float32")?.dtype;
        inputs.fixed(1, result, &[entries], "256 entries for 8-bit integers, 513 for int16")?;
        outputs.put(0, TensorSpec::new(result, input.shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        if operands.input(0)?.spec.dtype == DType::I16 {
            table::interpolate(operands.slice(0)?, operands.slice(1)?, operands.output(0)?.elements(0)?);
            return Ok(());
        }
        match operands.input(1)?.spec.dtype {
            DType::I16 => Self::run_typed::<i16>(operands),
            DType::I32 => Self::run_typed::<i32>(operands),
            _ => Self::run_typed::<f32>(operands),
        }
    }
}
