//! Piecewise linear functions of columns, as `numpy.interp` computes them.
//!
//! Attributes: `mirrored: bool` (the function is `-f(-x)`, which differs where places are equal). Input 0 is f64 `[N, F]`; input 1 the rising
//! places and input 2 the values at them, f64: `[F, Q]`, or `[1, Q]` for all columns alike, Q at least 1. Outside of the places the first and
//! last values hold; NaN stays.

use super::products::columns;
use super::{InPlace, Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::interpolate::Curve;
use crate::tensor::{DType, TensorSpec};

/// Interpolates linearly.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interpolate {
    /// The function is `-f(-x)`.
    pub mirrored: bool,
}

impl Operator for Interpolate {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { mirrored: reader.bool("mirrored")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.mirrored)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(3)?;
        let x = inputs.typed(0, &[DType::F64], "float64")?;
        let features = columns(&x)?;
        let mut length = None;
        for index in [1, 2] {
            let needs = "one row, or one for each column, of as many places as values";
            let shape = inputs.typed(index, &[DType::F64], "float64")?.shape;
            let (&[rows, count], false) = (shape.factors(), shape.is_batched()) else {
                return Err(OpError::input(index, Problem::Rank, needs));
            };
            let is_known = length.is_none_or(|length| length == count);
            if rows != 1 && rows as usize != features || count == 0 || !is_known {
                return Err(OpError::input(index, Problem::Shape, needs));
            }
            length = Some(count);
        }
        outputs.put(0, TensorSpec::new(x.dtype, x.shape))
    }

    fn in_place(&self, _inputs: &dyn Inputs) -> InPlace {
        &[(0, 0)]
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let mut output = operands.overwrite(0, 0)?;
        let features = output.dims.at(1);
        let count = operands.input(1)?.dims.at(1);
        let (places, values) = (operands.slice::<f64>(1)?, operands.slice::<f64>(2)?);
        let row = |samples: &'_ [f64], column: usize| -> core::ops::Range<usize> {
            let start = if samples.len() > count { column.saturating_mul(count) } else { 0 };
            start..start.saturating_add(count)
        };
        for x in output.elements::<f64>(0)?.chunks_exact_mut(features.max(1)) {
            for (column, x) in x.iter_mut().enumerate() {
                let places = places.get(row(places, column)).unwrap_or_default();
                let values = values.get(row(values, column)).unwrap_or_default();
                *x = Curve { places, values, mirrored: self.mirrored }.at(*x);
            }
        }
        Ok(())
    }
}
