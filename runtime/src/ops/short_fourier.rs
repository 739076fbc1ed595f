//! Discrete Fourier transforms of overlapping frames of a signal.
//!
//! Inputs: 0 the signal `[B, L, 1]` (real) or `[B, L, 2]` (complex), f32 or f64; 1 twiddles as for [`super::fourier`], whose length is the
//! frame's; 2 optionally a window of that length, which each frame is multiplied by. Output: `[B, frames, length, 2]`, with `onesided`
//! `[B, frames, length / 2 + 1, 2]`; frame f begins at `f * step`, and `frames = (L - length) / step + 1`. B may be the batch.
//!
//! Attributes: `step: u32`, `onesided: bool`. Scratch: `2 * length` complex numbers.

use super::fourier::{buffers, halves, twiddles};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::Float;
use crate::kernels::reference::fourier::{Lane, Transform};
use crate::tensor::{DType, Shape, TensorSpec};

/// Transforms frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ShortFourier {
    /// Elements of the signal between the beginnings of frames.
    pub step: u32,
    /// Only the first half of each spectrum is stored.
    pub onesided: bool,
}

impl ShortFourier {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.input(0)?;
        let (signal, twiddles) = (operands.slice::<F>(0)?, operands.slice::<F>(1)?);
        let window = operands.optional_slice::<F>(2)?;
        let mut output = operands.output(0)?;
        let (dims, out) = (output.dims, output.elements::<F>(0)?);
        let scratch = operands.scratch()?;
        let (a, b) = halves::<F>(scratch.bytes);
        let transform = Transform { length: operands.input(1)?.dims.at(0), twiddles, inverse: false };
        let (length, parts, step) = (x.dims.at(1), x.dims.at(2), self.step as usize);
        for (number, out) in out.chunks_exact_mut(dims.inner(1).max(1)).enumerate() {
            let (batch, frame) = (number / dims.at(1).max(1), number % dims.at(1).max(1));
            let start = batch.saturating_mul(length).saturating_add(frame.saturating_mul(step));
            let lane =
                Lane { first: start.saturating_mul(parts), stride: parts, length: transform.length, parts };
            transform.load(a, false, |index| {
                let factor = window.map_or(F::ONE, |window| window.get(index).copied().unwrap_or(F::ZERO));
                let (re, im) = lane.get(signal, index);
                (re * factor, im * factor)
            });
            let result = transform.run(a, b);
            out.iter_mut().zip(result.iter()).for_each(|(out, &value)| *out = value);
        }
        Ok(())
    }
}

impl Operator for ShortFourier {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { step: reader.u32()?, onesided: reader.bool("onesided")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.step)?;
        writer.bool(self.onesided)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let needs = "a signal [B, L, 1] or [B, L, 2], as long as a frame at least, of which B may be the batch";
        let shape = OpError::input(0, Problem::Shape, needs);
        let frame = twiddles(inputs, 1, x.dtype)?;
        let &[batch, length, parts @ (1 | 2)] = x.shape.factors() else { return Err(shape) };
        if x.shape.batch_axis().is_some_and(|axis| axis > 0) {
            return Err(OpError::input(0, Problem::Batch, needs));
        }
        if self.onesided && parts == 2 {
            return Err(OpError::input(0, Problem::Shape, "a real signal for one-sided spectra"));
        }
        if inputs.get(2).is_some() {
            inputs.fixed(2, x.dtype, &[frame], "a window as long as a frame")?;
        }
        let rest = (length as usize).checked_sub(frame).ok_or(shape)?;
        let steps = rest.checked_div(self.step as usize).ok_or(OpError::attribute("step", "one element at least"))?;
        let bins = if self.onesided { frame / 2 + 1 } else { frame };
        let result = Shape::new(&[batch as usize, steps + 1, bins, 2], x.shape.batch_axis())?;
        outputs.put(0, TensorSpec::new(x.dtype, result))
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
