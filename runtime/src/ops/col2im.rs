//! Sums blocks of columns back into the images that a window took them from.
//!
//! No attributes. Inputs: columns `[B, C * taps, blocks]` (f32 or f64), of which B may be the batch; a table `[6, axes]` of strides, dilations, padding
//! before and after, the images' lengths, and the window's taps. The result is `[B, C, lengths…]`: see [`conv_nd::blocks_to_image`]. There are as many
//! blocks along an axis as the window has positions on the padded image.

use super::spatial::{positive, running_table, table, windows};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader};
use crate::kernels::reference::spatial::{Direction, Lengths, MAX_SPATIAL, Sweep};
use crate::kernels::reference::{Float, conv_nd};
use crate::tensor::{DType, MAX_RANK, Shape, TensorSpec};

/// Sums blocks into images.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Col2Im;

/// Rows of the table: strides, dilations, padding before and after, the images' lengths, taps.
type Table = [Lengths; 6];

/// The blocks of a window over the images, and the window.
fn sweep([strides, dilations, before, after, output, kernel]: &Table) -> Option<Sweep> {
    let axes = windows([strides, dilations, before, after]);
    let mut blocks = [0; MAX_SPATIAL];
    for (((slot, window), &length), &taps) in blocks.iter_mut().zip(&axes).zip(output.iter()).zip(kernel.iter()) {
        *slot = window.output_length(length, taps)?;
    }
    let input = Lengths::new(blocks.into_iter().take(output.len()));
    Some(Sweep { direction: Direction::Transposed, axes, input, kernel: *kernel, output: *output })
}

fn run_typed<F: Float>(operands: &dyn Operands) -> Result<(), OpError> {
    let mut output = operands.output(0)?;
    if let Some(sweep) = sweep(&running_table(operands, 1)?) {
        conv_nd::blocks_to_image::<F>(&sweep, operands.slice(0)?, output.elements(0)?);
    }
    Ok(())
}

impl Operator for Col2Im {
    const TABLE_INPUTS: u32 = 1 << 1;

    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let input = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let (&[count, columns, blocks], None | Some(0)) = (input.shape.factors(), input.shape.batch_axis()) else {
            return Err(OpError::input(0, Problem::Rank, "columns [batch, channels * taps, blocks]"));
        };
        let axes = match *inputs.required(1)?.spec.shape.factors() {
            [_, axes] if (1..=MAX_SPATIAL as u32).contains(&axes) => axes as usize,
            _ => return Err(OpError::input(1, Problem::Shape, "a table for one to six axes")),
        };
        let table: Table = table(inputs, 1, axes)?;
        for row in [&table[0], &table[1], &table[4], &table[5]] {
            positive(row, 1, "strides, dilations, lengths and taps of 1 or more")?;
        }
        let misfit = OpError::attribute("window", "as many blocks as the input has");
        let sweep = sweep(&table).filter(|sweep| sweep.input.positions() == blocks as usize).ok_or(misfit)?;
        let taps = sweep.kernel.positions();
        let channels = (columns as usize).checked_div(taps).filter(|&channels| channels * taps == columns as usize);
        let needs = "a multiple of the window's taps";
        let channels = channels.ok_or(OpError::input(0, Problem::Shape, needs))?;
        let mut dims = [0; MAX_RANK];
        for (slot, length) in dims.iter_mut().zip([count as usize, channels].into_iter().chain(sweep.output.iter().copied())) {
            *slot = length;
        }
        let shape = Shape::new(dims.get(..axes + 2).unwrap_or_default(), input.shape.batch_axis())?;
        outputs.put(0, TensorSpec::new(input.dtype, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => run_typed::<f64>(operands),
            _ => run_typed::<f32>(operands),
        }
    }
}
