//! Statistics of combinations of categories: numbers by which a model replaces categories.
//!
//! No attributes. Inputs:
//!
//! | | type | shape | holds |
//! |---|---|---|---|
//! | 0 | i32 | `[N, C]` | hashes of categories ([`super::text_hash`]); axis 0 may be the batch |
//! | 1 | u32, table | `[S, 3]` | for each statistic: end of its parts, end of its keys, columns that it gives |
//! | 2 | u32, table | `[parts, 3]` | values that make a combination ([`Part`]) |
//! | 3 | u64 | `[keys]` | rising hashes of each statistic's combinations |
//! | 4 | f32 | `[values]` | for each key of a statistic, and after them for any other combination, a value for each of its columns |
//! | 5 | f32 | `[N, F]` | optional: numbers, where parts compare them |
//!
//! The output is f32, `[N, columns]` of all statistics.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, u32_at};
pub use crate::kernels::reference::category_statistics::{Part, category_value, combined};
use crate::kernels::reference::category_statistics::Statistics;
use crate::tensor::{DType, TensorSpec};

/// Looks combinations of categories up.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CategoryStatistics;

/// Length of the list at `index`, which does not depend on the batch.
fn list(inputs: &dyn Inputs, index: usize, dtype: DType) -> Result<usize, OpError> {
    let needs = "a list";
    let shape = inputs.typed(index, &[dtype], needs)?.shape;
    match (shape.factors(), shape.is_batched()) {
        (&[length], false) => Ok(length as usize),
        _ => Err(OpError::input(index, Problem::Rank, needs)),
    }
}

/// The rows of three words of a constant table.
fn rows<'a>(inputs: &'a dyn Inputs, index: usize) -> Result<impl Iterator<Item = [u32; 3]> + use<'a>, OpError> {
    let needs = "a constant table of three words in a row";
    let operand = inputs.required(index)?;
    let shape = inputs.typed(index, &[DType::U32], needs)?.shape;
    let (&[count, 3], false) = (shape.factors(), shape.is_batched()) else {
        return Err(OpError::input(index, Problem::Shape, needs));
    };
    let bytes = operand.constant.ok_or(OpError::input(index, Problem::NotConstant, needs))?;
    let word = move |row: usize, at: usize| u32_at(bytes, row * 3 + at).unwrap_or(u32::MAX);
    Ok((0..count as usize).map(move |row| [word(row, 0), word(row, 1), word(row, 2)]))
}

impl Operator for CategoryStatistics {
    const TABLE_INPUTS: u32 = 1 << 1 | 1 << 2;

    fn parse(_reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(6)?;
        let width = |index, dtype| {
            let needs = "rows, whose length is not the batch";
            let shape = inputs.typed(index, &[dtype], needs)?.shape;
            match (shape.factors(), shape.is_batch(1)) {
                (&[_, width], false) => Ok((width, shape)),
                _ => Err(OpError::input(index, Problem::Rank, needs)),
            }
        };
        let (categories, shape) = width(0, DType::I32)?;
        let mut numbers = 0;
        if inputs.get(5).is_some() {
            let (width, other) = width(5, DType::F32)?;
            if other.with_axis(1, 1, false)? != shape.with_axis(1, 1, false)? {
                return Err(OpError::input(5, Problem::Shape, "as many rows as input 0"));
            }
            numbers = width;
        }
        let fits = |words| match Part::unpack(words) {
            Some(Part::Category { column } | Part::Equal { column, .. }) => column < categories,
            Some(Part::Above { column, .. }) => column < numbers,
            None => false,
        };
        let mut parts = 0;
        for words in rows(inputs, 2)? {
            if !fits(words) {
                return Err(OpError::input(2, Problem::Value, "known kinds of parts, of columns that are there"));
            }
            parts += 1;
        }
        let (keys, values) = (list(inputs, 3, DType::U64)?, list(inputs, 4, DType::F32)?);
        let (mut last, mut columns, mut counted) = ([0, 0], 0_usize, 0_usize);
        for [parts_end, keys_end, width] in rows(inputs, 1)? {
            let ends = [parts_end as usize, keys_end as usize];
            let needs = "rising ends of parts and keys, and as many values as the columns of all keys need";
            let known = ends[1].checked_sub(last[1]).filter(|_| ends[0] >= last[0] && width > 0);
            let more = known.and_then(|known| known.checked_add(1)?.checked_mul(width as usize)?.checked_add(counted));
            counted = more.filter(|&more| more <= values).ok_or(OpError::input(1, Problem::Value, needs))?;
            columns += width as usize;
            last = ends;
        }
        if (last, counted) != ([parts, keys], values) {
            return Err(OpError::input(1, Problem::Value, "ends that account for all parts, keys and values"));
        }
        outputs.put(0, TensorSpec::new(DType::F32, shape.with_axis(1, columns, false)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let width = |index| Ok::<_, OpError>(operands.optional(index)?.map_or(0, |view| view.dims.at(1)));
        let widths = [width(0)?, width(5)?];
        let statistics = Statistics {
            statistics: operands.slice::<u32>(1)?.as_chunks().0,
            parts: operands.slice::<u32>(2)?.as_chunks().0,
            keys: operands.slice(3)?,
            values: operands.slice(4)?,
        };
        let numbers = operands.optional_slice(5)?.unwrap_or_default();
        let mut output = operands.output(0)?;
        let columns = output.dims.at(1);
        statistics.run(widths, operands.slice(0)?, numbers, columns, output.elements(0)?);
        Ok(())
    }
}
