//! Trees whose nodes of one depth all ask the same question, summed in float64.
//!
//! Attributes: `targets: u32`. Inputs:
//!
//! | | type | shape | holds |
//! |---|---|---|---|
//! | 0 | f32 | `[N, F]` | features; axis 0 may be the batch |
//! | 1 | u32, table | `[columns, 2]` | feature ([`NAN_ABOVE`] where NaN is above all borders, else it is below) and end of its borders |
//! | 2 | f32 | `[borders]` | rising borders, 255 at most for a column |
//! | 3 | u32, table | `[splits]` | questions about columns' bins ([`BinSplit`]) |
//! | 4 | u8, table | `[trees]` | number of splits of each tree, 16 at most |
//! | 5 | f64 | `[values]` | for each tree, values of all targets for each of its 2^splits leaves |
//!
//! A column's bin is the number of its borders below the feature. The first split of a tree decides the lowest bit of its leaf's number. The output is
//! f64 `[N, targets]`: from 0, the trees' values added one by one in order.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer, u32_at};
pub use crate::kernels::reference::oblivious_trees::{BinSplit, NAN_ABOVE};
use crate::kernels::reference::oblivious_trees::{BLOCK, ObliviousTrees as Trees};
use crate::tensor::{DType, TensorSpec};

/// The most splits of a tree.
pub const MAX_DEPTH: u8 = 16;

/// Evaluates oblivious trees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ObliviousTrees {
    /// Number of values per row; 1 at least.
    pub targets: u32,
}

/// Length of the list at `index`, which does not depend on the batch, and its values where it is constant.
fn list(inputs: &dyn Inputs, index: usize, dtype: DType) -> Result<(usize, Option<&[u8]>), OpError> {
    let needs = "a list";
    let operand = inputs.required(index)?;
    let shape = inputs.typed(index, &[dtype], needs)?.shape;
    match (shape.factors(), shape.is_batched()) {
        (&[length], false) => Ok((length as usize, operand.constant)),
        _ => Err(OpError::input(index, Problem::Rank, needs)),
    }
}

/// As [`list`] for one that must be constant.
fn table(inputs: &dyn Inputs, index: usize, dtype: DType) -> Result<(usize, &[u8]), OpError> {
    let (length, constant) = list(inputs, index, dtype)?;
    Ok((length, constant.ok_or(OpError::input(index, Problem::NotConstant, "a constant"))?))
}

/// Number of columns of bins.
fn columns(inputs: &dyn Inputs) -> Result<usize, OpError> {
    let needs = "feature and end of borders of each column";
    let shape = inputs.typed(1, &[DType::U32], needs)?.shape;
    match (shape.factors(), shape.is_batched()) {
        (&[columns, 2], false) => Ok(columns as usize),
        _ => Err(OpError::input(1, Problem::Shape, needs)),
    }
}

impl Operator for ObliviousTrees {
    const TABLE_INPUTS: u32 = 1 << 1 | 1 << 3 | 1 << 4;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let targets = reader.u32()?;
        if targets == 0 { Err(reader.invalid("targets")) } else { Ok(Self { targets }) }
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.targets)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(6)?;
        let needs = "rows of float32 features, whose number does not depend on the batch";
        let x = inputs.typed(0, &[DType::F32], needs)?.shape;
        let (&[_, features], false) = (x.factors(), x.is_batch(1)) else {
            return Err(OpError::input(0, Problem::Rank, needs));
        };
        if self.targets == 0 {
            return Err(OpError::attribute("targets", "one target at least"));
        }
        let columns = columns(inputs)?;
        let words = inputs.required(1)?.constant.ok_or(OpError::input(1, Problem::NotConstant, "a constant"))?;
        let borders = list(inputs, 2, DType::F32)?.0;
        let mut last = 0;
        for column in 0..columns {
            let word = |at| u32_at(words, column * 2 + at).unwrap_or(u32::MAX);
            let (feature, end) = (word(0) & !NAN_ABOVE, word(1) as usize);
            if feature >= features || end.checked_sub(last).is_none_or(|count| count > 255) {
                return Err(OpError::input(1, Problem::Value, "features of input 0, rising ends, 255 borders at most"));
            }
            last = end;
        }
        if last != borders {
            return Err(OpError::input(1, Problem::Value, "ends that account for all borders"));
        }
        let (splits, words) = table(inputs, 3, DType::U32)?;
        let known = |split| u32_at(words, split).is_some_and(|w| usize::from(BinSplit::unpack(w).column) < columns);
        if !(0..splits).all(known) {
            return Err(OpError::input(3, Problem::Value, "columns that are there"));
        }
        let (trees, depths) = table(inputs, 4, DType::U8)?;
        let depths = depths.get(..trees).unwrap_or_default();
        let needs = "depths of 16 at most that account for all splits and values";
        if depths.iter().any(|&depth| depth > MAX_DEPTH) {
            return Err(OpError::input(4, Problem::Value, needs));
        }
        let counted: usize = depths.iter().map(|&depth| usize::from(depth)).sum();
        let leaves: u64 = depths.iter().map(|&depth| 1_u64 << depth).sum();
        let values = list(inputs, 5, DType::F64)?.0;
        if counted != splits || leaves.checked_mul(self.targets.into()) != Some(values as u64) {
            return Err(OpError::input(4, Problem::Value, needs));
        }
        outputs.put(0, TensorSpec::new(DType::F64, x.with_axis(1, self.targets as usize, false)?))
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let x = inputs.required(0)?.spec.shape;
        let rows = if x.is_batched() { BLOCK } else { x.factor(0).unwrap_or(1).min(BLOCK) };
        Ok(Scratch { fixed: (columns(inputs)? as u64).saturating_mul(rows as u64), per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let features = operands.input(0)?.dims.at(1);
        let trees = Trees {
            columns: operands.slice::<u32>(1)?.as_chunks().0,
            borders: operands.slice(2)?,
            splits: operands.slice(3)?,
            depths: operands.slice(4)?,
            values: operands.slice(5)?,
        };
        let mut output = operands.output(0)?;
        let scratch = operands.scratch()?;
        trees.run(features, self.targets as usize, operands.slice(0)?, scratch.bytes, output.elements(0)?);
        Ok(())
    }
}
