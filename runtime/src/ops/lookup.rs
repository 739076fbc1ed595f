//! Position of elements among sorted keys: what turns labels into indices for [`super::gather`].
//!
//! No attributes. Input 0 is i32, i64, f32, f64 or category; input 1 holds K rising keys of its type (u32 for categories). The output is
//! i32: the position of the equal key, or K where there is none. NaN equals NaN and is the largest key; -0 equals 0.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::lookup::{Key, lookup};
use crate::tensor::{DType, Element};

/// Finds each element among the keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lookup;

impl Lookup {
    fn run_typed<T: Element + Key>(operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.output(0)?;
        lookup::<T>(operands.slice(0)?, operands.slice(1)?, output.elements(0)?);
        Ok(())
    }
}

impl Operator for Lookup {
    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let types = [DType::I32, DType::I64, DType::F32, DType::F64, DType::Category];
        let input = inputs.typed(0, &types, "a float or 32/64-bit integer type, or categories")?;
        let key = if input.dtype == DType::Category { DType::U32 } else { input.dtype };
        let keys = inputs.typed(1, &[key], "keys of the type of input 0")?;
        if keys.shape.rank() != 1 || keys.shape.is_batched() {
            return Err(OpError::input(1, Problem::Rank, "a list of keys"));
        }
        outputs.put(0, input.with_dtype(DType::I32))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::I32 => Self::run_typed::<i32>(operands),
            DType::I64 => Self::run_typed::<i64>(operands),
            DType::F32 => Self::run_typed::<f32>(operands),
            DType::F64 => Self::run_typed::<f64>(operands),
            _ => Self::run_typed::<u32>(operands),
        }
    }
}
