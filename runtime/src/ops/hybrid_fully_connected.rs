//! Product of float32 rows `[…, K]` with an int8 matrix `[units, K]`, summed in integers.
//!
//! Inputs: rows, weights, an optional float32 bias `[units]`, and the weights' float32 scales, `[units]` or `[1]`. Attributes:
//! `asymmetric: bool`, and the bounds of a fused activation `low, high: f32`. Each row is quantized to int8 with a scale of its own, and
//! with a zero point where `asymmetric`: [`hybrid::fully_connected`]. Scratch: one int8 row. Any axis but the last may be the batch.

use super::fixed_point::{check_rescale, put_rows, rescale, scratch_i8};
use super::window::{emit_clamp, parse_clamp};
use super::{Inputs, OpError, Operands, Operator, Outputs, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::conv2d::Clamp;
use crate::kernels::reference::hybrid;
use crate::tensor::DType;

/// Multiplies float rows by an int8 matrix.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HybridFullyConnected {
    /// Rows are quantized with a zero point.
    pub asymmetric: bool,
    /// Bounds of the result.
    pub clamp: Clamp,
}

impl Operator for HybridFullyConnected {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { asymmetric: reader.bool("asymmetric")?, clamp: parse_clamp(reader)? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.asymmetric)?;
        emit_clamp(self.clamp, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        let units = put_rows(inputs, outputs, DType::F32)?;
        check_rescale(inputs, units)
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let columns = inputs.required(1)?.spec.shape.factor(1).unwrap_or(0);
        Ok(Scratch { fixed: columns as u64, per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let columns = operands.input(1)?.dims.at(1);
        let scratch = operands.scratch()?;
        hybrid::fully_connected(
            columns,
            self.asymmetric,
            operands.slice(0)?,
            operands.slice(1)?,
            rescale(operands, self.clamp)?,
            operands.output(0)?.elements(0)?,
            scratch_i8(scratch.bytes),
        );
        Ok(())
    }
}
