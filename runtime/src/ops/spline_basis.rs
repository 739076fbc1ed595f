//! Values of B-splines: for each column the value of each of its splines.
//!
//! Attributes: `degree: u8` (at most [`MAX_DEGREE`]), `outside: u8` ([`Outside`]), `periodic: bool` (the last `degree` splines continue the first
//! ones), `zero_nan: bool` (all splines are 0 at NaN, where they are NaN otherwise). Input 0 is f64 `[N, F]`; input 1 the rising knots of each
//! column, f64 `[F, T]`, T at least `degree + 2`. A column has `S = T - degree - 1` splines, `degree` fewer if periodic, and the output is f64
//! `[N, F * S]`. Input 2, for [`Outside::Constant`] and [`Outside::Linear`] only, is f64 `[F, 2 + 4 * S]`: the first and last place that is inside,
//! and at each of them the values and the slopes of the splines, `[low, high, values, slopes, values, slopes]`.

use super::products::columns;
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::spline::MAX_DEGREE;
use crate::kernels::reference::spline::Splines;
use crate::tensor::{DType, TensorSpec};

/// What splines are outside of their knots. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outside {
    /// NaN.
    Nan = 0,
    /// What the first and last polynomials are.
    Continued = 1,
    /// The values at the nearest end.
    Constant = 2,
    /// The tangents at the nearest end.
    Linear = 3,
}

impl Outside {
    const ALL: [Self; 4] = [Self::Nan, Self::Continued, Self::Constant, Self::Linear];
}

/// Evaluates splines.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplineBasis {
    /// Degree of the polynomials.
    pub degree: u8,
    /// What the splines are outside of their knots.
    pub outside: Outside,
    /// The last splines continue the first ones.
    pub periodic: bool,
    /// The splines are 0 at NaN.
    pub zero_nan: bool,
}

impl SplineBasis {
    fn has_tails(self) -> bool {
        matches!(self.outside, Outside::Constant | Outside::Linear)
    }

    /// The values of all splines of one column.
    fn column(self, x: f64, knots: &[f64], tails: &[f64], out: &mut [f64]) {
        if x.is_nan() {
            return out.fill(if self.zero_nan { 0.0 } else { x });
        }
        if let (true, Some((&[low, high], ends))) = (self.has_tails(), tails.split_first_chunk::<2>()) {
            let (at_low, at_high) = ends.split_at(ends.len() / 2);
            let tail = if x < low { Some((low, at_low)) } else if x > high { Some((high, at_high)) } else { None };
            if let Some((end, tail)) = tail {
                let (values, slopes) = tail.split_at(tail.len() / 2);
                for ((out, &value), &slope) in out.iter_mut().zip(values).zip(slopes) {
                    let is_flat = self.outside == Outside::Constant || slope == 0.0;
                    *out = if is_flat { value } else { value + (x - end) * slope };
                }
                return;
            }
        }
        let splines = Splines { knots, degree: usize::from(self.degree) };
        splines.at(x, self.outside == Outside::Continued, false, out);
    }
}

impl Operator for SplineBasis {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let degree = reader.u8()?;
        if usize::from(degree) > MAX_DEGREE {
            return Err(reader.invalid("degree"));
        }
        let outside = Outside::ALL.get(usize::from(reader.u8()?)).copied().ok_or(reader.invalid("outside"))?;
        Ok(Self { degree, outside, periodic: reader.bool("periodic")?, zero_nan: reader.bool("zero_nan")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.degree)?;
        writer.u8(self.outside as u8)?;
        writer.bool(self.periodic)?;
        writer.bool(self.zero_nan)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let degree = usize::from(self.degree);
        if degree > MAX_DEGREE {
            return Err(OpError::attribute("degree", "15 at most"));
        }
        let x = inputs.typed(0, &[DType::F64], "float64")?;
        let features = columns(&x)?;
        let needs = "a row of knots for each column, enough for one spline";
        let knots = inputs.typed(1, &[DType::F64], "float64")?.shape;
        let (&[rows, count], false) = (knots.factors(), knots.is_batched()) else {
            return Err(OpError::input(1, Problem::Rank, needs));
        };
        let fewer = if self.periodic { degree } else { 0 };
        let splines = (count as usize).checked_sub(degree + 1 + fewer).filter(|&splines| splines > 0);
        let Some(splines) = splines.filter(|&splines| rows as usize == features && splines >= fewer) else {
            return Err(OpError::input(1, Problem::Shape, needs));
        };
        if self.has_tails() {
            let needs = "two ends, and values and slopes of the splines at each";
            let width = splines.checked_mul(4).and_then(|width| width.checked_add(2));
            let width = width.ok_or(OpError::input(2, Problem::Shape, needs))?;
            inputs.fixed(2, DType::F64, &[features, width], needs)?;
        }
        let width = features.checked_mul(splines).ok_or(OpError::input(1, Problem::Shape, needs))?;
        outputs.put(0, TensorSpec::new(x.dtype, x.shape.with_axis(1, width, false)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let features = operands.input(0)?.dims.at(1).max(1);
        let (x, knots) = (operands.slice::<f64>(0)?, operands.slice::<f64>(1)?);
        let tails = operands.optional_slice::<f64>(2)?.unwrap_or_default();
        let mut output = operands.output(0)?;
        let width = output.dims.at(1);
        let splines = (width / features).max(1);
        let rows = output.elements::<f64>(0)?.chunks_exact_mut(width.max(1));
        for (x, out) in x.chunks_exact(features).zip(rows) {
            let knots = knots.chunks_exact((knots.len() / features).max(1));
            let mut tails = tails.chunks_exact((tails.len() / features).max(1));
            for ((&x, knots), out) in x.iter().zip(knots).zip(out.chunks_exact_mut(splines)) {
                self.column(x, knots, tails.next().unwrap_or_default(), out);
            }
        }
        Ok(())
    }
}
