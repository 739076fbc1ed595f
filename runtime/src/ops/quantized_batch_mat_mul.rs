//! Products of pairs of int8 matrices, `[…, M, K] x […, K, C]`, the leading axes broadcast as numpy's do.
//!
//! Attributes: `a_zero, b_zero: i8`, the factor `multiplier, shift: i32` (the inputs' scales over the result's), and the target
//! `zero, low, high: i8`. The batch may be a leading axis. The formula stands at [`quantized_mat_mul::mat_mul`].

use super::batch_mat_mul::{leading_dims, put_products};
use super::fixed_point::{emit_factor, emit_target, parse_factor, parse_target};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::broadcast::Walk;
use crate::kernels::reference::fixed_point::{Factor, Target};
use crate::kernels::reference::quantized_mat_mul;
use crate::tensor::{DType, Dims};

/// Multiplies int8 matrices pair by pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedBatchMatMul {
    /// Stored values of real zero in the inputs.
    pub zeros: [i8; 2],
    /// How sums are scaled.
    pub factor: Factor,
    /// Zero point and bounds of the result.
    pub target: Target,
}

impl Operator for QuantizedBatchMatMul {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            zeros: [reader.i8()?, reader.i8()?],
            factor: parse_factor(reader)?,
            target: parse_target(reader)?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.i8(self.zeros[0])?;
        writer.i8(self.zeros[1])?;
        emit_factor(self.factor, writer)?;
        emit_target(self.target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        put_products(inputs, outputs, &[DType::I8], "int8")
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (a, b) = (operands.input(0)?, operands.input(1)?);
        let mut output = operands.output(0)?;
        let last = |dims: &Dims, back: usize| dims.at(dims.len().saturating_sub(back));
        let sizes = [last(&a.dims, 2), last(&a.dims, 1), last(&b.dims, 1)];
        let pairs = leading_dims(&output.dims)?;
        let walk = Walk::new(&pairs, &[&leading_dims(&a.dims)?, &leading_dims(&b.dims)?]);
        let (a, b) = (operands.slice::<i8>(0)?, operands.slice::<i8>(1)?);
        let [m, k, c] = sizes;
        let mut products = output.elements::<i8>(0)?.chunks_exact_mut(m.saturating_mul(c).max(1));
        let part = |all: &'_ [i8], number: usize, size: usize| number.saturating_mul(size)..number.saturating_add(1).saturating_mul(size).min(all.len());
        walk.for_each(pairs.elements(), |[at_a, at_b, _]| {
            let (left, right) = (a.get(part(a, at_a, m.saturating_mul(k))), b.get(part(b, at_b, k.saturating_mul(c))));
            if let (Some(left), Some(right), Some(out)) = (left, right, products.next()) {
                let store = |sum| self.target.store(self.factor.apply(sum));
                quantized_mat_mul::mat_mul(k, (left, self.zeros[0]), (right, self.zeros[1]), out, store);
            }
        });
        Ok(())
    }
}
