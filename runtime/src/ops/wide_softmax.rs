//! Softmax over the last axis of an int16 tensor, to int16 with scale 2^-15 and zero point 0.
//!
//! Inputs: the tensor, and two tables of [`WIDE_ENTRIES`] int16: exp from -10 to 0, and 1 / (1 + x) from 0 to 1. Attributes: the factor
//! `multiplier, shift: i32`. The last axis has 1 to [`MAX_ROW`] elements and is not the batch. The formula stands at
//! [`wide_softmax::softmax`].

use super::fixed_point::{emit_factor, parse_factor};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fixed_point::Factor;
use crate::kernels::reference::table::WIDE_ENTRIES;
use crate::kernels::reference::wide_softmax::{self, MAX_ROW};
use crate::tensor::{DType, TensorSpec};

/// Normalises int16 rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct WideSoftmax {
    /// What differences of stored values are multiplied with.
    pub factor: Factor,
}

impl Operator for WideSoftmax {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { factor: parse_factor(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        emit_factor(self.factor, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let spec = inputs.typed(0, &[DType::I16], "int16")?;
        for table in [1, 2] {
            inputs.fixed(table, DType::I16, &[WIDE_ENTRIES], "a table of 513 entries of int16")?;
        }
        let last = spec.shape.rank().checked_sub(1);
        let row = last.filter(|&axis| !spec.shape.is_batch(axis)).and_then(|axis| spec.shape.factor(axis));
        if !row.is_some_and(|row| (1..=MAX_ROW).contains(&row)) {
            return Err(OpError::input(0, Problem::Shape, "a last axis of 1 to 65535 elements that is not the batch"));
        }
        outputs.put(0, TensorSpec::new(DType::I16, spec.shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.output(0)?;
        let columns = output.dims.at(output.dims.len().saturating_sub(1));
        let (exponentials, reciprocals) = (operands.slice(1)?, operands.slice(2)?);
        wide_softmax::softmax(
            self.factor,
            exponentials,
            reciprocals,
            columns,
            operands.slice(0)?,
            output.elements(0)?,
        );
        Ok(())
    }
}
