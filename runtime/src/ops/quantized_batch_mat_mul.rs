//! Products of pairs of int8 or int16 matrices, `[…, M, K] x […, K, C]`, the leading axes broadcast as numpy's do.
//!
//! Attributes: `a_zero, b_zero: i16`, the factor `multiplier, shift: i32` (the inputs' scales over the result's), and the target
//! `zero, low, high: i16`. The batch may be a leading axis. Sums of int8 are i32 and rounded twice ([`Factor::apply`]), sums of int16
//! are i64 and rounded once ([`Factor::apply_wide`]).

use super::batch_mat_mul::{leading_dims, put_products};
use super::fixed_point::{emit_factor, emit_wide_target, parse_factor, parse_wide_target};
use super::{Inputs, OpError, Operands, Operator, Outputs};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::broadcast::Walk;
use crate::kernels::reference::fixed_point::{Factor, Stored, Target};
use crate::kernels::reference::quantized_mat_mul::{self, Sum};
use crate::tensor::{DType, Dims, Element};

/// Multiplies int8 or int16 matrices pair by pair.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct QuantizedBatchMatMul {
    /// Stored values of real zero in the inputs.
    pub zeros: [i16; 2],
    /// How sums are scaled.
    pub factor: Factor,
    /// Zero point and bounds of the result.
    pub target: Target<i16>,
}

impl QuantizedBatchMatMul {
    fn run_typed<T: Element + Stored, A: Sum>(
        &self,
        operands: &dyn Operands,
        store: impl Fn(A) -> i32,
    ) -> Result<(), OpError> {
        let (a, b) = (operands.input(0)?, operands.input(1)?);
        let mut output = operands.output(0)?;
        let last = |dims: &Dims, back: usize| dims.at(dims.len().saturating_sub(back));
        let [m, k, c] = [last(&a.dims, 2), last(&a.dims, 1), last(&b.dims, 1)];
        let pairs = leading_dims(&output.dims)?;
        let walk = Walk::new(&pairs, &[&leading_dims(&a.dims)?, &leading_dims(&b.dims)?]);
        let (a, b) = (operands.slice::<T>(0)?, operands.slice::<T>(1)?);
        let mut products = output.elements::<T>(0)?.chunks_exact_mut(m.saturating_mul(c).max(1));
        let part = |number: usize, size: usize| number.saturating_mul(size)..number.saturating_add(1).saturating_mul(size);
        let [a_zero, b_zero] = self.zeros;
        walk.for_each(pairs.elements(), |[at_a, at_b, _]| {
            let left = a.get(part(at_a, m.saturating_mul(k)));
            let right = b.get(part(at_b, k.saturating_mul(c)));
            if let (Some(left), Some(right), Some(out)) = (left, right, products.next()) {
                quantized_mat_mul::mat_mul(k, (left, a_zero), (right, b_zero), out, |sum| T::saturate(store(sum)));
            }
        });
        Ok(())
    }
}

impl Operator for QuantizedBatchMatMul {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            zeros: [reader.i16()?, reader.i16()?],
            factor: parse_factor(reader)?,
            target: parse_wide_target(reader)?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.i16(self.zeros[0])?;
        writer.i16(self.zeros[1])?;
        emit_factor(self.factor, writer)?;
        emit_wide_target(self.target, writer)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        put_products(inputs, outputs, &[DType::I8, DType::I16], "int8 or int16")
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let store = |value| self.target.store(value).into();
        match operands.input(0)?.spec.dtype {
            DType::I8 => self.run_typed::<i8, i32>(operands, |sum| store(self.factor.apply(sum))),
            _ => self.run_typed::<i16, i64>(operands, |sum| store(self.factor.apply_wide(sum))),
        }
    }
}
