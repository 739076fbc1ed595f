//! Counts of n-grams in rows of integers.
//!
//! Attributes: `skips: u32` (most elements left out between neighbours of an n-gram), `mode: u8` ([`CountMode`]). Input 0 is `[C]` or `[N, C]`, i32 or
//! i64; input 1 the elements of all n-grams, i64 `[P]`; input 2 an i32 table `[G, 3]`: start in input 1, length (1 or more) and column of each
//! n-gram; input 3 (optional) a weight for each column, f32 `[columns]`. The output is f32 `[columns]` or `[N, columns]`, as declared.
//!
//! An n-gram is counted at each place and for each distance between its neighbours from 1 to `skips + 1`; one of a single element once.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::indices::Indices;
use crate::kernels::reference::n_grams::NGrams;
use crate::tensor::{DType, TensorSpec};

/// What becomes of a count. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum CountMode {
    /// The count, without a weight.
    Count = 0,
    /// The weight (1 without weights) where the count is not 0, else 0.
    Presence = 1,
    /// The count times the weight.
    Weighted = 2,
}

impl CountMode {
    const ALL: [Self; 3] = [Self::Count, Self::Presence, Self::Weighted];
}

/// Counts n-grams.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct NGramCounts {
    /// Most elements left out between neighbours.
    pub skips: u32,
    /// What becomes of a count.
    pub mode: CountMode,
}

impl NGramCounts {
    fn weigh(self, counts: &mut [f32], weights: Option<&[f32]>) {
        for (column, count) in counts.iter_mut().enumerate() {
            let weight = weights.and_then(|weights| weights.get(column)).copied().unwrap_or(1.0);
            *count = match self.mode {
                CountMode::Count => *count,
                CountMode::Presence if *count > 0.0 => weight,
                CountMode::Presence => 0.0,
                CountMode::Weighted => *count * weight,
            };
        }
    }
}

impl Operator for NGramCounts {
    const TABLE_INPUTS: u32 = 1 << 2;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let skips = reader.u32()?;
        let mode = CountMode::ALL.get(usize::from(reader.u8()?)).copied().ok_or(reader.invalid("mode"))?;
        Ok(Self { skips, mode })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.skips)?;
        writer.u8(self.mode as u8)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(4)?;
        let x = inputs.indices(0)?;
        let last = x.rank().checked_sub(1).filter(|&last| last < 2 && !x.is_batch(last));
        let last = last.ok_or(OpError::input(0, Problem::Rank, "one or two axes, the last one not the batch"))?;
        let declared = outputs.declared(0).ok_or(OpError::output(0, Problem::Missing, "a declared shape"))?.shape;
        let columns = declared.factors().last().copied().unwrap_or(0) as usize;
        let pool = inputs.typed(1, &[DType::I64], "int64")?.shape;
        let (&[pool_length], false) = (pool.factors(), pool.is_batched()) else {
            return Err(OpError::input(1, Problem::Rank, "a list"));
        };
        let needs = "starts, lengths and columns of n-grams inside input 1 and the output";
        let table = inputs.required(2)?;
        let &[grams, 3] = table.spec.shape.factors() else { return Err(OpError::input(2, Problem::Shape, needs)) };
        inputs.fixed(2, DType::I32, &[grams as usize, 3], needs)?;
        if table.constant.is_none() {
            return Err(OpError::input(2, Problem::NotConstant, needs));
        }
        for gram in 0..grams as usize {
            let field = |at: usize| table.i32_at(gram * 3 + at).and_then(|value| u32::try_from(value).ok());
            let (Some(start), Some(length), Some(column)) = (field(0), field(1), field(2)) else {
                return Err(OpError::input(2, Problem::Value, needs));
            };
            let inside = start.checked_add(length).is_some_and(|end| end <= pool_length);
            if !inside || length == 0 || column as usize >= columns {
                return Err(OpError::input(2, Problem::Value, needs));
            }
        }
        if inputs.get(3).is_some() {
            inputs.fixed(3, DType::F32, &[columns], "a weight for each column")?;
        }
        outputs.put(0, TensorSpec::new(DType::F32, x.with_axis(last, columns, false)?))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let x = operands.input(0)?;
        let length = x.dims.at(x.dims.len().saturating_sub(1));
        let mut output = operands.output(0)?;
        let columns = output.dims.at(output.dims.len().saturating_sub(1));
        let counts = output.elements::<f32>(0)?;
        let (grams, _) = operands.slice::<i32>(2)?.as_chunks::<3>();
        let grams = NGrams { pool: operands.slice(1)?, grams, skips: self.skips };
        counts.fill(0.0);
        let indices = operands.indices(0)?;
        for (row, counts) in counts.chunks_exact_mut(columns.max(1)).enumerate() {
            let part = row.saturating_mul(length)..row.saturating_add(1).saturating_mul(length);
            match indices {
                Indices::Wide(values) => grams.count(values.get(part).unwrap_or_default(), counts),
                Indices::Narrow(values) => grams.count(values.get(part).unwrap_or_default(), counts),
            }
            self.weigh(counts, operands.optional_slice(3)?);
        }
        Ok(())
    }
}
