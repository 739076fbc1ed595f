//! The places where affine maps put the elements of an image: what [`super::grid_sample`] reads.
//!
//! Attributes: `align_corners: bool`. Inputs: maps `[B, axes, axes + 1]` (f32 or f64), of which B may be the batch; an i32 table `[1, axes]` of the
//! lengths of the grid's axes. The result is `[B, lengths…, axes]`. The formula stands at [`affine_grid::affine_grid`].

use super::spatial::{positive, running_table, table, with_lengths};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::spatial::MAX_SPATIAL;
use crate::kernels::reference::{Float, affine_grid};
use crate::tensor::{DType, TensorSpec};

/// Maps the places of an image's elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AffineGrid {
    /// -1 and 1 are the centers of the first and the last element, not their outer edges.
    pub align_corners: bool,
}

impl AffineGrid {
    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let [lengths] = running_table(operands, 1)?;
        let mut output = operands.output(0)?;
        affine_grid::affine_grid::<F>(&lengths, self.align_corners, operands.slice(0)?, output.elements(0)?);
        Ok(())
    }
}

impl Operator for AffineGrid {
    const TABLE_INPUTS: u32 = 1 << 1;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self { align_corners: reader.bool("align_corners")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.bool(self.align_corners)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let maps = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let needs = "maps [batch, axes, axes + 1]";
        let (&[_, axes, width], None | Some(0)) = (maps.shape.factors(), maps.shape.batch_axis()) else {
            return Err(OpError::input(0, Problem::Rank, needs));
        };
        let axes = axes as usize;
        if axes == 0 || axes > MAX_SPATIAL || width as usize != axes + 1 {
            return Err(OpError::input(0, Problem::Shape, needs));
        }
        let [lengths] = table(inputs, 1, axes)?;
        positive(&lengths, 1, "lengths of 1 or more")?;
        outputs.put(0, TensorSpec::new(maps.dtype, with_lengths(&maps.shape, 1, &lengths, Some(axes))?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
