//! Layer normalisation over the last axes, and root-mean-square normalisation.
//!
//! Attributes: `axes: u8` (how many of the last axes), `epsilon: f64`, and `root_mean_square: bool`, which may be missing for false. Inputs:
//! x (f32 or f64), optional scale and optional bias of x's type and of the shape of those axes, none of which is the batch. Outputs: 0 of x's
//! shape; then, if there, the means (not with `root_mean_square`) and the reciprocals of the deviations, x's shape with 1 for the
//! normalised axes. The formula stands at [`Norm::run`].

use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::Float;
use crate::kernels::reference::softmax::Norm;
use crate::tensor::{DType, MAX_RANK, TensorSpec};

/// Gives each part zero mean and unit variance, then scales and shifts it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LayerNorm {
    /// How many of the last axes make up a part.
    pub axes: u8,
    /// Added to the variance.
    pub epsilon: f64,
    /// The mean stays, and the variance is the mean of the squares.
    pub root_mean_square: bool,
}

impl LayerNorm {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.overwrite(0, 0)?;
        let kept = output.dims.len().saturating_sub(self.axes.into());
        let norm = Norm {
            centred: !self.root_mean_square,
            epsilon: F::from_f64(self.epsilon),
            length: output.dims.iter().skip(kept).fold(1, |product, &dim| product.saturating_mul(dim)),
            scale: operands.optional_slice(1)?,
            bias: operands.optional_slice(2)?,
        };
        let extra = |index: usize| if operands.outputs() > index { operands.output(index).map(Some) } else { Ok(None) };
        let (mut first, mut second) = (extra(1)?, extra(2)?);
        let (means, deviations) =
            if self.root_mean_square { (&mut second, &mut first) } else { (&mut first, &mut second) };
        let mut means = means.as_mut().map(|view| view.elements::<F>(1)).transpose()?;
        let mut deviations = deviations.as_mut().map(|view| view.elements::<F>(2)).transpose()?;
        norm.run(output.elements(0)?, |part, mean, reciprocal| {
            for (slots, value) in [(&mut means, mean), (&mut deviations, reciprocal)] {
                if let Some(slot) = slots.as_mut().and_then(|slots| slots.get_mut(part)) {
                    *slot = value;
                }
            }
        });
        Ok(())
    }
}

impl Operator for LayerNorm {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let (axes, epsilon) = (reader.u8()?, reader.f64()?);
        let root_mean_square = reader.remaining() > 0 && reader.bool("root_mean_square")?;
        Ok(Self { axes, epsilon, root_mean_square })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.axes)?;
        writer.f64(self.epsilon)?;
        if self.root_mean_square { writer.bool(true) } else { Ok(()) }
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let input = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let kept = input.shape.rank().checked_sub(self.axes.into()).filter(|_| self.axes > 0);
        let kept = kept.ok_or(OpError::attribute("axes", "one axis at least, and no more than the input has"))?;
        if input.shape.batch_axis().is_some_and(|axis| axis >= kept) {
            return Err(OpError::input(0, Problem::Batch, "the batch before the normalised axes"));
        }
        let mut dims = [0usize; MAX_RANK];
        for (slot, &dim) in dims.iter_mut().zip(input.shape.factors().iter().skip(kept)) {
            *slot = dim as usize;
        }
        let dims = dims.get(..self.axes.into()).unwrap_or_default();
        for index in [1, 2] {
            if inputs.get(index).is_some() {
                inputs.fixed(index, input.dtype, dims, "a tensor of the shape of the normalised axes")?;
            }
        }
        outputs.put(0, TensorSpec::new(input.dtype, input.shape))?;
        let extra = outputs.len().saturating_sub(1);
        if extra > if self.root_mean_square { 1 } else { 2 } {
            return Err(OpError::output(extra, Problem::Extra, "means and deviations after the result"));
        }
        let one = (kept..input.shape.rank()).try_fold(input.shape, |shape, axis| shape.with_axis(axis, 1, false))?;
        (1..=extra).try_for_each(|index| outputs.put(index, TensorSpec::new(input.dtype, one)))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.dtype(0) {
            Some(DType::F64) => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
