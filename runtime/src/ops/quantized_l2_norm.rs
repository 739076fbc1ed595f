//! Divides each int8 row by its length (the root of the sum of squares), in integers, to int8 with scale 1/128 and zero point 0.
//!
//! Attributes: `zero: i8`, the stored value of real zero. Rows are the last axis; shapes as [`super::quantized_softmax`]. The formula stands at
//! [`quantized_l2_norm::normalise`].

use super::quantized_softmax::{for_int8_rows, put_int8_rows};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::quantized_l2_norm;

/// Gives int8 rows the length 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedL2Norm {
    /// Stored value of real zero.
    pub zero: i8,
}

impl Operator for QuantizedL2Norm {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { zero: reader.i8()? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.i8(self.zero)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        put_int8_rows(inputs, outputs)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        for_int8_rows(operands, |columns, rows| quantized_l2_norm::normalise(self.zero, columns, rows))
    }
}
