//! Softmax over the last axis of an int8 tensor, in integers, to int8 with scale 1/256 and zero point -128.
//!
//! Attributes: the factor `multiplier, shift: i32` (shift 0 to 31) that turns a difference of two stored values, times the input's
//! scale and the softmax's beta, into a fixed-point number with 26 bits after the point; `lowest: i32`, the smallest difference whose
//! exponential is not taken as zero. The last axis has 1 to [`quantized_softmax::MAX_ROW`] elements and is not the batch.

use super::fixed_point::{emit_factor, parse_factor};
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fixed_point::Factor;
use crate::kernels::reference::quantized_softmax;
use crate::tensor::DType;

/// Normalises int8 rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedSoftmax {
    /// What differences of stored values are multiplied with.
    pub factor: Factor,
    /// The smallest difference that counts; not positive.
    pub lowest: i32,
}

/// The rule of an operator that turns each int8 row into another: the last axis has 1 to [`quantized_softmax::MAX_ROW`] elements and is not
/// the batch.
pub(super) fn put_int8_rows(inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
    inputs.at_most(1)?;
    let spec = inputs.typed(0, &[DType::I8], "int8")?;
    let last = spec.shape.rank().checked_sub(1);
    let row = last.filter(|&axis| !spec.shape.is_batch(axis)).and_then(|axis| spec.shape.factor(axis));
    if !row.is_some_and(|row| (1..=quantized_softmax::MAX_ROW).contains(&row)) {
        return Err(OpError::input(0, Problem::Shape, "a last axis of 1 to 4095 elements that is not the batch"));
    }
    outputs.put(0, spec.with_dtype(DType::I8))
}

/// Runs such an operator: `work` gets the length of a row and all rows, which hold the input and take the result.
pub(super) fn for_int8_rows(operands: &dyn Operands, work: impl FnOnce(usize, &mut [i8])) -> Result<(), OpError> {
    let mut output = operands.overwrite(0, 0)?;
    let columns = output.dims.at(output.dims.len().saturating_sub(1));
    work(columns, output.elements(0)?);
    Ok(())
}

impl Operator for QuantizedSoftmax {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let factor = parse_factor(reader)?;
        let lowest = reader.i32()?;
        if factor.shift < 0 || lowest > 0 {
            return Err(reader.invalid("shift or lowest difference"));
        }
        Ok(Self { factor, lowest })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_factor(self.factor, writer)?;
        writer.i32(self.lowest)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        put_int8_rows(inputs, outputs)
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        for_int8_rows(operands, |columns, rows| quantized_softmax::softmax(self.factor, self.lowest, columns, rows))
    }
}
