//! Logarithm of the softmax over the last axis of an int8 tensor, in integers, to int8 with scale 1/16 and zero point 127.
//!
//! Attributes: the factor `multiplier, shift: i32` that turns a difference of two stored values into a fixed-point number with 26 bits after
//! the point, and the factor that turns such a number back; `lowest: i32`, the smallest difference that is not taken as minus infinity.
//! Shapes as [`super::quantized_softmax`].

use super::fixed_point::{emit_factor, parse_factor};
use super::quantized_softmax::{for_int8_rows, put_int8_rows};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::quantized_log_softmax;
pub use crate::kernels::reference::quantized_log_softmax::Scaling;

/// Takes the logarithms of probabilities of int8 rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedLogSoftmax {
    /// How differences are scaled.
    pub scaling: Scaling,
}

impl Operator for QuantizedLogSoftmax {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let (factor, reverse, lowest) = (parse_factor(reader)?, parse_factor(reader)?, reader.i32()?);
        if lowest > 0 {
            return Err(reader.invalid("lowest difference"));
        }
        Ok(Self { scaling: Scaling { factor, reverse, lowest } })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_factor(self.scaling.factor, writer)?;
        emit_factor(self.scaling.reverse, writer)?;
        writer.i32(self.scaling.lowest)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        put_int8_rows(inputs, outputs)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        for_int8_rows(operands, |columns, rows| quantized_log_softmax::log_softmax(self.scaling, columns, rows))
    }
}
