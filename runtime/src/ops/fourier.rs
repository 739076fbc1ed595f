//! Discrete Fourier transform of an axis.
//!
//! Inputs: 0 x, f32 or f64, whose last axis holds one element for real numbers and two for complex ones; 1 twiddles, a constant
//! `[length, 2]` of x's type: cosine and sine of `-2 pi k / length` for each k. Numbers beyond the axis are zero, those beyond `length` are
//! not read. Output: complex numbers, `length` of them on the axis, or with `onesided` the first `length / 2 + 1`; with `onesided` and
//! `inverse` x holds the first half of the spectrum of `length` real numbers, which are the output. The axis is neither the last nor the batch.
//!
//! Attributes: `axis: u8`, `inverse: bool`, `onesided: bool`. Scratch: `2 * length` complex numbers. The order of sums stands at
//! [`Transform::run`].

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::fourier::{Lane, Transform};
use crate::kernels::reference::Float;
use crate::tensor::{DType, TensorSpec};

/// Transforms an axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fourier {
    /// The axis.
    pub axis: u8,
    /// From frequencies back.
    pub inverse: bool,
    /// The spectrum is of real numbers, and only its first half is stored.
    pub onesided: bool,
}

/// The length of the transform whose twiddles input `index` holds.
pub(super) fn twiddles(inputs: &dyn Inputs, index: usize, dtype: DType) -> Result<usize, OpError> {
    let needs = "twiddles [length, 2]";
    let operand = inputs.required(index)?;
    let length = operand.spec.shape.factor(0).filter(|&length| length > 0);
    let length = length.ok_or(OpError::input(index, Problem::Shape, needs))?;
    inputs.fixed(index, dtype, &[length, 2], needs)?;
    Ok(length)
}

/// Scratch memory of transforms of `length` numbers.
pub(super) fn buffers(length: usize, dtype: DType) -> Scratch {
    Scratch { fixed: (dtype.bits() / 8).saturating_mul(4).saturating_mul(length as u64), per_row: 0 }
}

/// The scratch memory as two equal parts.
pub(super) fn halves<F: Float>(bytes: &mut [u8]) -> (&mut [F], &mut [F]) {
    let all = bytemuck::try_cast_slice_mut::<u8, F>(bytes).unwrap_or_default();
    all.split_at_mut(all.len() / 2)
}

impl Fourier {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (x, table) = (operands.input(0)?, operands.input(1)?);
        let (data, twiddles) = (operands.slice::<F>(0)?, operands.slice::<F>(1)?);
        let mut output = operands.output(0)?;
        let axis = usize::from(self.axis);
        let dims = output.dims;
        let last = dims.len().saturating_sub(1);
        let out = output.elements::<F>(0)?;
        let scratch = operands.scratch()?;
        let (a, b) = halves::<F>(scratch.bytes);
        let transform = Transform { length: table.dims.at(0), twiddles, inverse: self.inverse };
        // Both tensors have the same axes but the transformed one and the last.
        let between = x.dims.inner(axis) / x.dims.at(last).max(1);
        let lane = |dims: &crate::tensor::Dims, outer: usize, inner: usize| {
            let parts = dims.at(last);
            let first = outer.saturating_mul(dims.at(axis)).saturating_mul(between).saturating_add(inner);
            let stride = between.saturating_mul(parts);
            Lane { first: first.saturating_mul(parts), stride, length: dims.at(axis), parts }
        };
        for outer in 0..x.dims.outer(axis) {
            for inner in 0..between {
                let from = lane(&x.dims, outer, inner);
                transform.load(a, self.inverse && self.onesided, |index| from.get(data, index));
                let result = transform.run(a, b);
                lane(&dims, outer, inner).copy_from(result, out);
            }
        }
        Ok(())
    }
}

impl Operator for Fourier {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { axis: reader.u8()?, inverse: reader.bool("inverse")?, onesided: reader.bool("onesided")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axis)?;
        writer.bool(self.inverse)?;
        writer.bool(self.onesided)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let length = twiddles(inputs, 1, x.dtype)?;
        let axis = usize::from(self.axis);
        let last = x.shape.rank().checked_sub(1).filter(|&last| axis < last);
        let last = last.ok_or(OpError::attribute("axis", "an axis of the input before the last"))?;
        if x.shape.is_batch(axis) || x.shape.is_batch(last) {
            return Err(OpError::input(0, Problem::Batch, "the batch on another axis than the transformed one and the last"));
        }
        if !matches!(x.shape.factor(last), Some(1 | 2)) {
            return Err(OpError::input(0, Problem::Shape, "a last axis of one or two elements"));
        }
        let (numbers, parts) = match (self.onesided, self.inverse) {
            (false, _) => (length, 2),
            (true, true) => (length, 1),
            (true, false) if x.shape.factor(last) == Some(1) => (length / 2 + 1, 2),
            (true, false) => return Err(OpError::input(0, Problem::Shape, "real numbers for a one-sided spectrum")),
        };
        outputs.put(0, TensorSpec::new(x.dtype, x.shape.with_axis(axis, numbers, false)?.with_axis(last, parts, false)?))
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let dtype = inputs.required(0)?.spec.dtype;
        Ok(buffers(twiddles(inputs, 1, dtype)?, dtype))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
