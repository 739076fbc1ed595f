//! Probabilities of `k` classes out of those of all pairs of classes: `[…, k (k - 1) / 2]` gives `[…, k]`.
//!
//! Attributes: `classes: u16`, 2 or more. f64. The pairs come in the order (0, 1), (0, 2), …, (1, 2), …; each number is the probability of the pair's
//! first class. The last axis is not the batch. The method stands at [`couple`].

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::pairwise_coupling::couple;
use crate::tensor::{DType, TensorSpec};

/// Couples pairs of classes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairwiseCoupling {
    /// Number of classes.
    pub classes: u16,
}

impl PairwiseCoupling {
    fn pairs(self) -> u32 {
        let classes = u32::from(self.classes);
        classes * classes.saturating_sub(1) / 2
    }
}

impl Operator for PairwiseCoupling {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let classes = reader.u16()?;
        if classes < 2 { Err(reader.invalid("classes")) } else { Ok(Self { classes }) }
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u16(self.classes)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(1)?;
        let x = inputs.typed(0, &[DType::F64], "float64")?;
        let last = x.shape.rank().checked_sub(1).ok_or(OpError::input(0, Problem::Rank, "one axis at least"))?;
        if self.classes < 2 {
            return Err(OpError::attribute("classes", "2 or more"));
        }
        if x.shape.is_batch(last) || x.shape.factors()[last] != self.pairs() {
            return Err(OpError::input(0, Problem::Shape, "a last axis of all pairs of classes"));
        }
        let shape = x
            .shape
            .with_axis(last, self.classes.into(), false)
            .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))?;
        outputs.put(0, TensorSpec::new(x.dtype, shape))
    }

    fn scratch(&self, _inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        Ok(Scratch { fixed: 16 * u64::from(self.classes), per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let pairs = operands.slice::<f64>(0)?.chunks_exact((self.pairs() as usize).max(1));
        let (mut output, scratch) = (operands.output(0)?, operands.scratch()?);
        let scratch = super::width::elements_mut::<f64>(1, scratch.bytes)?;
        let scratch = scratch.get_mut(..2 * usize::from(self.classes)).unwrap_or_default();
        for (pairs, shares) in pairs.zip(output.elements::<f64>(0)?.chunks_exact_mut(usize::from(self.classes).max(1))) {
            couple(pairs, shares, scratch);
        }
        Ok(())
    }
}
