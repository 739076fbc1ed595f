//! Reduces windows over the last axes of a tensor, one to six of them, and tells where the largest elements lie.
//!
//! Attributes: `kind: u8`, `p: u32` (the norm's power, 1 or more), `columns_first: bool` (how indices number the elements of a part). Inputs: x `[…,
//! lengths…]`, where only the axes before the windows' may be the batch; a table `[6, axes]` of taps, strides, dilations, padding before, padding
//! after, and what the last windows reach beyond it, which is never counted. f32 or f64; i8 and u8 too for the maximum. Output 0 has x's
//! type; output 1 (optional, for the maximum) the i64 indices of the elements taken, among all of x, -1 for none. Formulas stand at
//! [`PoolNdKind`].

use super::spatial::{forward_lengths, positive, running_table, spatial_lengths, table, windows, with_lengths};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::pool_nd;
pub use crate::kernels::reference::pool_nd::PoolNdKind;
use crate::kernels::reference::spatial::{Direction, Lengths, MAX_SPATIAL, Sweep};
use crate::kernels::reference::window::WindowAxis;
use crate::kernels::reference::Float;
use crate::tensor::{DType, Dims, Element, TensorSpec};

/// Reduces windows over the last axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolNd {
    /// The reduction.
    pub kind: PoolNdKind,
    /// Power of the norm; 1 or more.
    pub p: u32,
    /// Indices count the first of the windows' axes fastest.
    pub columns_first: bool,
}

/// Rows of the table: taps, strides, dilations, padding before and after, reach beyond it.
type Table = [Lengths; 6];

/// The windows, whose padding after includes what they reach beyond it.
fn reaching([_, strides, dilations, before, after, beyond]: &Table) -> [WindowAxis; MAX_SPATIAL] {
    let all = Lengths::new(after.iter().zip(beyond.iter()).map(|(&after, &beyond)| after.saturating_add(beyond)));
    windows([strides, dilations, before, &all])
}

fn sweep(table: &Table, input: &Dims, output: &Dims) -> Sweep {
    let axes = table[0].len();
    let last = |dims: &Dims| Lengths::new(dims.iter().skip(dims.len().saturating_sub(axes)).copied());
    Sweep {
        direction: Direction::Forward,
        axes: reaching(table),
        input: last(input),
        kernel: table[0],
        output: last(output),
    }
}

impl PoolNd {
    fn run_max<T: Element + PartialOrd>(&self, lowest: T, operands: &dyn Operands) -> Result<(), OpError> {
        let (input, table) = (operands.input(0)?, running_table(operands, 1)?);
        let mut output = operands.output(0)?;
        let sweep = sweep(&table, &input.dims, &output.dims);
        pool_nd::max_pool::<T>(&sweep, lowest, operands.slice(0)?, output.elements(0)?);
        if operands.outputs() > 1 {
            let mut indices = operands.output(1)?;
            pool_nd::max_indices::<T>(&sweep, self.columns_first, operands.slice(0)?, indices.elements(1)?);
        }
        Ok(())
    }

    fn run_float<F: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        if self.kind == PoolNdKind::Max {
            return self.run_max(F::NEG_INFINITY, operands);
        }
        let (input, table) = (operands.input(0)?, running_table(operands, 1)?);
        let mut output = operands.output(0)?;
        let sweep = sweep(&table, &input.dims, &output.dims);
        pool_nd::pool_nd::<F>(&sweep, self.kind, &table[4], self.p, operands.slice(0)?, output.elements(0)?);
        Ok(())
    }
}

impl Operator for PoolNd {
    const TABLE_INPUTS: u32 = 1 << 1;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let kind = PoolNdKind::from_code(reader.u8()?).ok_or(reader.invalid("kind"))?;
        let p = reader.u32()?;
        if p == 0 {
            return Err(reader.invalid("p"));
        }
        Ok(Self { kind, p, columns_first: reader.bool("columns_first")? })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.kind.code())?;
        writer.u32(self.p)?;
        writer.bool(self.columns_first)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(2)?;
        let types = [DType::F32, DType::F64, DType::I8, DType::U8];
        let types = if self.kind == PoolNdKind::Max { &types[..] } else { &types[..2] };
        let input = inputs.typed(0, types, "a type that the reduction takes")?;
        let axes = inputs.required(1)?.spec.shape.factor(1).unwrap_or(0);
        let rank = input.shape.rank();
        let first = rank.checked_sub(axes).ok_or(OpError::input(0, Problem::Rank, "the windows' axes at its end"))?;
        let lengths = spatial_lengths(0, &input, first, rank)?;
        let table: Table = table(inputs, 1, axes)?;
        for row in &table[..3] {
            positive(row, 1, "taps, strides and dilations of 1 or more")?;
        }
        let output = forward_lengths(&reaching(&table), &lengths, &table[0])?;
        let shape = with_lengths(&input.shape, first, &output, None)?;
        outputs.put(0, TensorSpec { shape, ..input })?;
        if outputs.len() > 1 {
            if self.kind != PoolNdKind::Max {
                return Err(OpError::output(1, Problem::Extra, "indices of a maximum"));
            }
            outputs.put(1, TensorSpec::new(DType::I64, shape))?;
        }
        Ok(())
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_float::<f64>(operands),
            DType::I8 => self.run_max(i8::MIN, operands),
            DType::U8 => self.run_max(u8::MIN, operands),
            _ => self.run_float::<f32>(operands),
        }
    }
}
