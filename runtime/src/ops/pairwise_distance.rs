//! Distances of each row to each of some points: `[…, F]` and `[F, S]`, whose columns are the points, give `[…, S]`.
//!
//! Attributes: `metric: u8`, `p: f64` (Minkowski's exponent, positive and finite; 0 for other metrics). f32 or f64. Input 0 may have leading
//! axes, any of which may be the batch; input 1 does not depend on it. Input 2, absent or of input 1's shape and with the squared Euclidean
//! metric only, holds what the square of each difference is divided by. Formulas stand at [`Metric`].

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::Float;
use crate::kernels::reference::pairwise_distance;
pub use crate::kernels::reference::pairwise_distance::Metric;
use crate::tensor::{DType, TensorSpec};

/// Measures distances between rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairwiseDistance {
    /// What a distance is.
    pub metric: Metric,
    /// Exponent of Minkowski's metric, 0 for the others.
    pub p: f64,
}

impl PairwiseDistance {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let dims = operands.input(1)?.dims;
        let count = dims.at(dims.len().saturating_sub(1));
        let mut output = operands.output(0)?;
        pairwise_distance::pairwise_distance::<F>(
            (self.metric, F::from_f64(self.p)),
            count,
            operands.slice(0)?,
            operands.slice(1)?,
            operands.optional_slice(2)?,
            output.elements(0)?,
        );
        Ok(())
    }
}

impl Operator for PairwiseDistance {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let metric = Metric::from_code(reader.u8()?).ok_or(reader.invalid("metric"))?;
        let p = reader.f64()?;
        let fits = if metric == Metric::Minkowski { p.is_finite() && p > 0.0 } else { p == 0.0 };
        if fits { Ok(Self { metric, p }) } else { Err(reader.invalid("p")) }
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.metric.code())?;
        writer.f64(self.p)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let points = inputs.typed(1, &[x.dtype], "the type of input 0")?;
        let Some(last) = x.shape.rank().checked_sub(1) else {
            return Err(OpError::input(0, Problem::Rank, "one axis at least"));
        };
        let (&[columns, count], false) = (points.shape.factors(), points.shape.is_batched()) else {
            return Err(OpError::input(1, Problem::Rank, "a matrix that does not depend on the batch"));
        };
        if count == 0 || columns == 0 {
            return Err(OpError::input(1, Problem::Shape, "one row and one column at least"));
        }
        if x.shape.is_batch(last) || x.shape.factors()[last] != columns {
            return Err(OpError::input(0, Problem::Shape, "rows as long as the columns of input 1"));
        }
        if inputs.get(2).is_some() {
            inputs.fixed(2, x.dtype, &[columns as usize, count as usize], "a divisor for each element of input 1")?;
            if self.metric != Metric::SquaredEuclidean {
                return Err(OpError::attribute("metric", "the squared Euclidean metric, where there are divisors"));
            }
        }
        let shape = x
            .shape
            .with_axis(last, count as usize, false)
            .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))?;
        outputs.put(0, TensorSpec::new(x.dtype, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
