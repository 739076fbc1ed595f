//! Changes scale and type of quantized elements, with a slope for each side of zero: requantization, the leaky rectifier, the absolute
//! value.
//!
//! Attributes: the result's element type `u8` (int8, uint8, int16 or int32), `input_zero: i32`, the factors of negative and of other elements
//! (`multiplier, shift: i32` each), `absolute: u8`, `zero: i32`. Input 0 is int8, uint8, int16 or int32. The formula stands at
//! [`rescale::rescale`].

use super::fixed_point::{emit_factor, parse_factor};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fixed_point::Stored;
use crate::kernels::reference::rescale;
pub use crate::kernels::reference::rescale::Slopes;
use crate::tensor::{DType, Element, TensorSpec};

/// Types of input and result.
const TYPES: [DType; 4] = [DType::I8, DType::U8, DType::I16, DType::I32];

/// Rescales quantized elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rescale {
    /// Element type of the result: int8, uint8, int16 or int32.
    pub dtype: DType,
    /// The function.
    pub slopes: Slopes,
}

impl Rescale {
    fn run_from<I: Element + Stored>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match self.dtype {
            DType::I8 => self.run_typed::<I, i8>(operands),
            DType::U8 => self.run_typed::<I, u8>(operands),
            DType::I16 => self.run_typed::<I, i16>(operands),
            _ => self.run_typed::<I, i32>(operands),
        }
    }

    fn run_typed<I: Element + Stored, O: Element + Stored>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        rescale::rescale::<I, O>(&self.slopes, operands.slice(0)?, operands.output(0)?.elements(0)?);
        Ok(())
    }
}

impl Operator for Rescale {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let dtype = DType::from_code(reader.u8()?).filter(|dtype| TYPES.contains(dtype));
        let dtype = dtype.ok_or(reader.invalid("element type"))?;
        let input_zero = reader.i32()?;
        let (negative, positive) = (parse_factor(reader)?, parse_factor(reader)?);
        let absolute = reader.bool("absolute")?;
        Ok(Self { dtype, slopes: Slopes { input_zero, negative, positive, absolute, zero: reader.i32()? } })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.dtype.code())?;
        writer.i32(self.slopes.input_zero)?;
        emit_factor(self.slopes.negative, writer)?;
        emit_factor(self.slopes.positive, writer)?;
        writer.bool(self.slopes.absolute)?;
        writer.i32(self.slopes.zero)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let input = inputs.typed(0, &TYPES, "int8, uint8, int16 or int32")?;
        if !TYPES.contains(&self.dtype) {
            return Err(OpError::attribute("element type", "int8, uint8, int16 or int32"));
        }
        outputs.put(0, TensorSpec::new(self.dtype, input.shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::I8 => self.run_from::<i8>(operands),
            DType::U8 => self.run_from::<u8>(operands),
            DType::I16 => self.run_from::<i16>(operands),
            _ => self.run_from::<i32>(operands),
        }
    }
}
