//! Rotary position embedding: turns pairs of elements of each head's rows by an angle that depends on the row's position.
//!
//! Inputs: 0 x, `[B, heads, rows, size]` or `[B, rows, heads * size]`, f32 or f64; 1 and 2 cosines and sines of x's type, `[positions, pairs]`
//! with input 3 and `[B, rows, pairs]` (or B = 1) without it; 3 optionally positions, i32 or i64, `[B, rows]`, or `[1]` for the position of
//! the first row. A position outside the tables is taken as the nearest. The batch may be B.
//!
//! Attributes: `layout: u8`, `heads: u32`, `pairs: u32`, `interleaved: bool`. The formula stands at [`rotary::rotate`].

pub use super::heads::Layout;
use super::heads::{parse_layout, rows_of};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::rotary::Pairs;
use crate::kernels::reference::{Float, rotary};
use crate::tensor::{DType, Shape, TensorSpec};

/// Turns pairs of elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RotaryEmbedding {
    /// Order of the axes.
    pub layout: Layout,
    /// Heads.
    pub heads: u32,
    /// Pairs of each head's row that are turned; the elements after them stay.
    pub pairs: u32,
    /// Neighbours are pairs; otherwise the elements of the first half and the second.
    pub interleaved: bool,
}

impl RotaryEmbedding {
    /// Rows and elements of a head's row.
    fn lengths(&self, shape: &Shape) -> Result<[usize; 2], OpError> {
        if shape.batch_axis().is_some_and(|axis| axis > 0) {
            return Err(OpError::input(0, Problem::Batch, "the batch on the first axis"));
        }
        match (self.layout, shape.factors()) {
            (Layout::Heads, &[_, heads, rows, size]) if heads == self.heads => Ok([rows as usize, size as usize]),
            (Layout::Columns, &[_, rows, columns]) if self.heads > 0 && columns % self.heads == 0 => {
                Ok([rows as usize, (columns / self.heads) as usize])
            }
            _ => Err(OpError::input(0, Problem::Shape, "[B, heads, rows, size] or [B, rows, heads * size]")),
        }
    }

    fn run_typed<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.input(0)?;
        let rows = x.dims.at(self.layout.row_axis());
        let size = match self.layout {
            Layout::Heads => x.dims.at(3),
            Layout::Columns => x.dims.at(2).checked_div(self.heads as usize).unwrap_or(0),
        };
        let tables = operands.input(1)?.dims;
        let positions = operands.optional(3)?;
        let (narrow, long) = match positions.map(|view| view.spec.dtype) {
            Some(DType::I32) => (operands.optional_slice::<i32>(3)?, None),
            Some(_) => (None, operands.optional_slice::<i64>(3)?),
            None => (None, None),
        };
        let stated = |at: usize| match (narrow, long) {
            (Some(positions), _) => positions.get(at).map(|&position| position.into()),
            (_, positions) => positions?.get(at).copied(),
        };
        let last = (tables.at(0) as i64).saturating_sub(1).max(0);
        let angle = |batch: usize, row: usize| match &positions {
            None if tables.at(0) == 1 => row,
            None => batch.saturating_mul(rows).saturating_add(row),
            Some(view) => {
                let position: i64 = match view.dims.len() {
                    1 => stated(0).unwrap_or(0).saturating_add(row as i64),
                    _ => stated(batch.saturating_mul(rows).saturating_add(row)).unwrap_or(0),
                };
                position.clamp(0, last) as usize
            }
        };
        let pairs = Pairs { count: self.pairs as usize, interleaved: self.interleaved };
        let lengths = [x.dims.at(0), self.heads as usize, rows];
        let mut output = operands.output(0)?;
        rotary::rotate(
            pairs,
            lengths,
            rows_of(self.layout, &x.dims, 0, size),
            operands.slice::<F>(0)?,
            [operands.slice(1)?, operands.slice(2)?],
            angle,
            output.elements(0)?,
        );
        Ok(())
    }
}

impl Operator for RotaryEmbedding {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            layout: parse_layout(reader)?,
            heads: reader.u32()?,
            pairs: reader.u32()?,
            interleaved: reader.bool("interleaved")?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.layout as u8)?;
        writer.u32(self.heads)?;
        writer.u32(self.pairs)?;
        writer.bool(self.interleaved)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(4)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let [rows, size] = self.lengths(&x.shape)?;
        if (self.pairs as usize).checked_mul(2).is_none_or(|turned| turned > size) {
            return Err(OpError::attribute("pairs", "no more pairs than fit into a head's row"));
        }
        let batch = x.shape.factor(0).unwrap_or(0);
        let batch_axis = x.shape.batch_axis();
        let cos = inputs.typed(1, &[x.dtype], "the type of input 0")?.shape;
        let sin = inputs.typed(2, &[x.dtype], "the type of input 0")?.shape;
        let pairs = self.pairs as usize;
        let fits = if inputs.get(3).is_some() {
            let positions = inputs.typed(3, &[DType::I32, DType::I64], "int32 or int64 positions")?.shape;
            if positions != Shape::new(&[batch, rows], batch_axis)? && positions != Shape::fixed(&[1])? {
                return Err(OpError::input(3, Problem::Shape, "a position for each row, or one for the first"));
            }
            cos.rank() == 2 && cos.factor(0) > Some(0) && cos.factor(1) == Some(pairs) && !cos.is_batched()
        } else {
            cos == Shape::fixed(&[1, rows, pairs])? || cos == Shape::new(&[batch, rows, pairs], batch_axis)?
        };
        if !fits || sin != cos {
            return Err(OpError::input(1, Problem::Shape, "[positions, pairs] with positions, else [B, rows, pairs]"));
        }
        outputs.put(0, TensorSpec::new(x.dtype, x.shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_typed::<f64>(operands),
            _ => self.run_typed::<f32>(operands),
        }
    }
}
