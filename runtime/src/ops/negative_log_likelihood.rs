//! Negative log-likelihood of expected classes.
//!
//! Inputs: 0 x, logarithms of the classes' shares `[B, C, …]`, f32 or f64; 1 targets `[B, …]`, i32 or i64; 2 optionally weights `[C]` of x's
//! type. Output: a loss for each target, or one in all, for which nothing may be the batch.
//!
//! Attributes: `reduction: u8`, `has_ignored: bool`, `ignored: i64`. The formula stands at [`loss::negative_log_likelihood`].

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::loss::Reduction;
use crate::kernels::reference::{Float, loss};
use crate::tensor::{DType, MAX_RANK, Shape, TensorSpec};

/// Says how unlikely the targets are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NegativeLogLikelihood {
    /// What becomes of the losses.
    pub reduction: Reduction,
    /// The target that counts for nothing.
    pub ignored: Option<i64>,
}

impl NegativeLogLikelihood {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.input(0)?;
        let sizes = [x.dims.at(1), x.dims.inner(1)];
        let (data, weights) = (operands.slice::<F>(0)?, operands.optional_slice(2)?);
        let mut output = operands.output(0)?;
        let out = output.elements(0)?;
        match operands.input(1)?.spec.dtype {
            DType::I32 => {
                let targets = operands.slice::<i32>(1)?.iter().map(|&target| target.into());
                loss::negative_log_likelihood(self.reduction, self.ignored, sizes, data, targets, weights, out);
            }
            _ => {
                let targets = operands.slice::<i64>(1)?.iter().copied();
                loss::negative_log_likelihood(self.reduction, self.ignored, sizes, data, targets, weights, out);
            }
        }
        Ok(())
    }
}

/// The shape without the classes' axis.
fn targets(x: &Shape) -> Result<Shape, OpError> {
    let batch = x.batch_axis();
    if x.rank() < 2 || batch.is_some_and(|axis| axis > 0) {
        return Err(OpError::input(0, Problem::Shape, "[B, C, …], of which B may be the batch"));
    }
    let mut dims = [0usize; MAX_RANK];
    let kept = x.factors().iter().enumerate().filter(|&(axis, _)| axis != 1);
    for (slot, (_, &dim)) in dims.iter_mut().zip(kept) {
        *slot = dim as usize;
    }
    Ok(Shape::new(dims.get(..x.rank() - 1).unwrap_or_default(), batch)?)
}

impl Operator for NegativeLogLikelihood {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let reduction = Reduction::from_code(reader.u8()?).ok_or(reader.invalid("reduction"))?;
        let (has_ignored, ignored) = (reader.bool("has_ignored")?, reader.i64()?);
        Ok(Self { reduction, ignored: has_ignored.then_some(ignored) })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.reduction as u8)?;
        writer.bool(self.ignored.is_some())?;
        writer.i64(self.ignored.unwrap_or(0))
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let shape = targets(&x.shape)?;
        if inputs.typed(1, &[DType::I32, DType::I64], "int32 or int64 targets")?.shape != shape {
            return Err(OpError::input(1, Problem::Shape, "a target for each place"));
        }
        let classes = x.shape.factor(1).filter(|&classes| classes > 0);
        let classes = classes.ok_or(OpError::input(0, Problem::Shape, "one class at least"))?;
        if inputs.get(2).is_some() {
            inputs.fixed(2, x.dtype, &[classes], "a weight for each class")?;
        }
        if self.reduction == Reduction::None {
            return outputs.put(0, TensorSpec::new(x.dtype, shape));
        }
        if x.shape.is_batched() {
            return Err(OpError::input(0, Problem::Batch, "a fixed batch, which becomes one number"));
        }
        outputs.put(0, TensorSpec::new(x.dtype, Shape::scalar()))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
