//! Fills missing numbers from the nearest of known rows, as scikit-learn's `KNNImputer`.
//!
//! Attributes: `neighbours: u32` (1 or more), `weights: u8` ([`NeighbourWeights`]). Input 0 is f64 `[N, F]`, input 1 the known rows,
//! f64 `[D, F]` with D of 1 or more; NaN is missing in both. The output is input 0 with its missing elements filled. Scratch: D distances and D positions.
//!
//! The distance of two rows is `sqrt(F / p * sum)` of the squared differences in the `p` columns that both have, undefined where there is none. A
//! column is filled with the mean over the nearest rows that have it and a defined distance; over all rows that have it where no distance is
//! defined. A column that no row has stays missing. Of rows at one distance the first are taken; distances of 0 outweigh all others.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
pub use crate::kernels::reference::knn_impute::NeighbourWeights;
use crate::kernels::reference::knn_impute::{KnnImputer, Workspace};
use crate::tensor::DType;

/// Fills missing numbers from neighbours.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct KnnImpute {
    /// Rows that a number is filled from, at most.
    pub neighbours: u32,
    /// How much each of them counts.
    pub weights: NeighbourWeights,
}

impl KnnImpute {
    /// Columns and known rows.
    fn sizes(inputs: &dyn Inputs) -> Result<(usize, usize), OpError> {
        inputs.at_most(2)?;
        let x = inputs.typed(0, &[DType::F64], "float64")?.shape;
        let width = x.factor(1).filter(|_| x.rank() == 2 && !x.is_batch(1) && x.factor(1) != Some(0));
        let width = width.ok_or(OpError::input(0, Problem::Rank, "rows of columns"))?;
        let known = inputs.typed(1, &[DType::F64], "float64")?.shape;
        match known.factors() {
            &[rows, columns] if rows > 0 && columns as usize == width && !known.is_batched() => {
                Ok((width, rows as usize))
            }
            _ => Err(OpError::input(1, Problem::Shape, "known rows of input 0's columns")),
        }
    }
}

impl Operator for KnnImpute {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let neighbours = reader.u32()?;
        let weights = match reader.u8()? {
            0 => NeighbourWeights::Equal,
            1 => NeighbourWeights::InverseDistance,
            2 => NeighbourWeights::EqualWithUndefined,
            _ => return Err(reader.invalid("weights")),
        };
        Ok(Self { neighbours, weights })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.neighbours)?;
        writer.u8(self.weights as u8)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        Self::sizes(inputs)?;
        if self.neighbours == 0 {
            return Err(OpError::attribute("neighbours", "1 or more"));
        }
        outputs.put(0, inputs.required(0)?.spec)
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let (_, rows) = Self::sizes(inputs)?;
        Ok(Scratch { fixed: (rows as u64).saturating_mul(16), per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (x, known) = (operands.slice::<f64>(0)?, operands.input(1)?);
        let (rows, width) = (known.dims.at(0), known.dims.at(1));
        let known = operands.slice::<f64>(1)?;
        let mut output = operands.output(0)?;
        let output = output.elements::<f64>(0)?;
        let scratch = operands.scratch()?;
        let (pairs, _) = scratch.bytes.as_chunks_mut::<16>();
        let imputer = KnnImputer { known, width, neighbours: self.neighbours as usize, weights: self.weights };
        let mut workspace = Workspace::new(pairs.get_mut(..rows).unwrap_or_default());
        for (x, output) in x.chunks_exact(width.max(1)).zip(output.chunks_exact_mut(width.max(1))) {
            imputer.fill(x, output, &mut workspace);
        }
        Ok(())
    }
}
