//! An ensemble of decision trees over the last axis.
//!
//! Attributes: `aggregate: u8`, `targets: u32`. Inputs:
//!
//! | | type | shape | holds |
//! |---|---|---|---|
//! | 0 | f32 or f64 | `[…, F]` | features; any axis but the last may be the batch |
//! | 1 | u32, table | `[trees]` | root of each tree, a reference |
//! | 2 | u32, table | `[splits, 4]` | feature and decision ([`SplitWord`]), reference where it holds, reference where not, position of a member's set in input 8 |
//! | 3 | as input 0 | `[splits]` | thresholds |
//! | 4 | f32 or f64 | `[leaves, targets]` or `[pairs]` | values: dense, or sparse when inputs 5 and 6 are there |
//! | 5 | u32, table | `[leaves + 1]` | optional: first pair of each leaf; rising from 0 to the number of pairs |
//! | 6 | u32, table | `[pairs]` | optional: target of each pair |
//! | 7 | as input 4 | `[targets]` | optional, for sums: what a sum starts from |
//! | 8 | u32, table | `[words]` | optional: sets of categories, each its number of words and the words |
//!
//! A *reference* is the index of a split, or [`LEAF`] and the index of a leaf. The references of a split lead forward: each is a
//! leaf or a split with a larger index. So every walk ends. Splits may be shared.
//!
//! The output has the shape of input 0 with `targets` on the last axis, and the type of input 4, in which values are
//! combined, tree by tree in order. NaN goes where the split says, whatever the comparison.

use super::{Inputs, OpError, OperandSpec, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer, u32_at};
use crate::kernels::reference::Float;
use crate::kernels::reference::tree_ensemble::{Leaves, Trees};
pub use crate::kernels::reference::tree_ensemble::{Aggregate, Comparison, Decision, LEAF, SplitWord, ZERO_THRESHOLD};
use crate::tensor::{DType, TensorSpec};

/// Evaluates decision trees and combines their leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TreeEnsemble {
    /// How the trees' values are combined.
    pub aggregate: Aggregate,
    /// Number of values per row; 1 at least.
    pub targets: u32,
}

/// A constant list of `u32`.
fn table<'a>(inputs: &'a dyn Inputs, index: usize, needs: &'static str) -> Result<OperandSpec<'a>, OpError> {
    inputs.typed(index, &[DType::U32], needs)?;
    let operand = inputs.required(index)?;
    match operand.constant {
        Some(_) => Ok(operand),
        None => Err(OpError::input(index, Problem::NotConstant, needs)),
    }
}

/// Length of the list at `index`.
fn list_len(inputs: &dyn Inputs, index: usize, needs: &'static str) -> Result<usize, OpError> {
    match inputs.required(index)?.spec.shape {
        shape if shape.is_batched() => Err(OpError::input(index, Problem::Batch, needs)),
        shape => match shape.factors() {
            &[length] => Ok(length as usize),
            _ => Err(OpError::input(index, Problem::Rank, needs)),
        },
    }
}

impl TreeEnsemble {
    /// Checks the values and returns the number of leaves.
    fn leaves(&self, inputs: &dyn Inputs) -> Result<usize, OpError> {
        let values = inputs.typed(4, &[DType::F32, DType::F64], "float32 or float64 values")?;
        let targets = self.targets as usize;
        if inputs.get(7).is_some() {
            inputs.fixed(7, values.dtype, &[targets], "a start value for each target")?;
            if self.aggregate != Aggregate::Sum {
                return Err(OpError::input(7, Problem::Extra, "no start values unless trees are summed"));
            }
        }
        if inputs.get(5).is_none() {
            if inputs.get(6).is_some() {
                return Err(OpError::input(6, Problem::Extra, "no targets without the pairs of each leaf"));
            }
            return match (values.shape.factors(), values.shape.is_batched()) {
                (&[leaves, width], false) if width == self.targets => Ok(leaves as usize),
                _ => Err(OpError::input(4, Problem::Shape, "a value for each leaf and target")),
            };
        }
        let pairs = list_len(inputs, 4, "a list of values")?;
        let starts = table(inputs, 5, "a constant list of rising positions")?;
        let count = list_len(inputs, 5, "a list of positions")?;
        let start = |leaf| starts.constant.and_then(|bytes| u32_at(bytes, leaf));
        let rising = (1..count).all(|leaf| start(leaf - 1) <= start(leaf));
        if !rising || start(0) != Some(0) || start(count.saturating_sub(1)) != u32::try_from(pairs).ok() {
            return Err(OpError::input(5, Problem::Value, "positions that rise from 0 to the number of pairs"));
        }
        inputs.fixed(6, DType::U32, &[pairs], "a target for each pair")?;
        let targets = table(inputs, 6, "a constant list of targets")?.constant.unwrap_or_default();
        if !(0..pairs).all(|pair| u32_at(targets, pair).is_some_and(|target| target < self.targets)) {
            return Err(OpError::input(6, Problem::Value, "targets below the number of targets"));
        }
        Ok(count - 1)
    }

    /// Checks that features exist and that references lead forward.
    fn check_splits(inputs: &dyn Inputs, features: u32, leaves: usize) -> Result<(), OpError> {
        let nodes = table(inputs, 2, "a constant table of splits")?;
        let (&[splits, 4], false) = (nodes.spec.shape.factors(), nodes.spec.shape.is_batched()) else {
            return Err(OpError::input(2, Problem::Shape, "four words for each split"));
        };
        inputs.fixed(3, inputs.required(0)?.spec.dtype, &[splits as usize], "a threshold for each split")?;
        let words = nodes.constant.unwrap_or_default();
        let sets = match inputs.get(8) {
            Some(_) => table(inputs, 8, "a constant list of sets")?.constant.unwrap_or_default(),
            None => &[],
        };
        if inputs.get(8).is_some() {
            list_len(inputs, 8, "a list of sets")?;
        }
        let is_set = |set: u32| {
            let end = u32_at(sets, set as usize)?.checked_add(set)?;
            u32_at(sets, end as usize)
        };
        let leads_forward = |reference: u32, from: Option<usize>| match reference & LEAF {
            0 => reference < splits && from.is_none_or(|from| reference as usize > from),
            _ => ((reference & !LEAF) as usize) < leaves,
        };
        let valid = |split: usize| {
            let word = |offset| u32_at(words, split.checked_mul(4)?.checked_add(offset)?);
            let parts = SplitWord::unpack(word(0)?)?;
            let forward = leads_forward(word(1)?, Some(split)) && leads_forward(word(2)?, Some(split));
            let set = word(3)?;
            let known = match parts.decision {
                Decision::Compare(_) => set == 0,
                Decision::Member { .. } => is_set(set).is_some(),
            };
            Some(parts.feature < features && forward && known)
        };
        if !(0..splits as usize).all(|split| valid(split) == Some(true)) {
            return Err(OpError::input(2, Problem::Value, "features of input 0, references that lead forward and sets of input 8"));
        }
        let roots = table(inputs, 1, "a constant list of roots")?.constant.unwrap_or_default();
        let trees = list_len(inputs, 1, "a list of roots")?;
        if !(0..trees).all(|tree| u32_at(roots, tree).is_some_and(|root| leads_forward(root, None))) {
            return Err(OpError::input(1, Problem::Value, "references to splits or leaves"));
        }
        Ok(())
    }

    fn run_typed<F: Float, V: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let features = operands.input(0)?;
        let values = operands.slice::<V>(4)?;
        let leaves = match (operands.optional_slice(5)?, operands.optional_slice(6)?) {
            (Some(starts), Some(targets)) => Leaves::Sparse { starts, targets, values },
            _ => Leaves::Dense(values),
        };
        let trees = Trees::<F, V> {
            roots: operands.slice(1)?,
            splits: operands.slice::<u32>(2)?.as_chunks().0,
            sets: operands.optional_slice(8)?.unwrap_or_default(),
            thresholds: operands.slice(3)?,
            leaves,
            start: operands.optional_slice(7)?,
        };
        let mut output = operands.output(0)?;
        let width = features.dims.at(features.dims.len().saturating_sub(1));
        let targets = self.targets as usize;
        let x = operands.slice(0)?;
        match self.aggregate {
            Aggregate::Sum => trees.run(self.aggregate, width, targets, x, &mut [], output.elements(0)?),
            Aggregate::Min | Aggregate::Max => {
                let scratch = operands.scratch()?;
                trees.run(self.aggregate, width, targets, x, scratch.bytes, output.elements(0)?);
            }
        }
        Ok(())
    }
}

impl Operator for TreeEnsemble {
    const TABLE_INPUTS: u32 = 1 << 1 | 1 << 2 | 1 << 5 | 1 << 6 | 1 << 8;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let aggregate = Aggregate::from_code(reader.u8()?).ok_or(reader.invalid("aggregate"))?;
        let targets = reader.u32()?;
        if targets == 0 { Err(reader.invalid("targets")) } else { Ok(Self { aggregate, targets }) }
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.aggregate.code())?;
        writer.u32(self.targets)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(9)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64 features")?;
        let last = x.shape.rank().checked_sub(1).ok_or(OpError::input(0, Problem::Rank, "one axis at least"))?;
        if x.shape.is_batch(last) {
            return Err(OpError::input(0, Problem::Batch, "a number of features that does not depend on the batch"));
        }
        if self.targets == 0 {
            return Err(OpError::attribute("targets", "one target at least"));
        }
        let leaves = self.leaves(inputs)?;
        let features = x.shape.factors().get(last).copied().unwrap_or(0);
        Self::check_splits(inputs, features, leaves)?;
        let shape = x
            .shape
            .with_axis(last, self.targets as usize, false)
            .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))?;
        outputs.put(0, TensorSpec::new(inputs.required(4)?.spec.dtype, shape))
    }

    fn scratch(&self, _inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let fixed = if self.aggregate == Aggregate::Sum { 0 } else { self.targets.into() };
        Ok(Scratch { fixed, per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let is_f64 = |index| Ok::<_, OpError>(operands.input(index)?.spec.dtype == DType::F64);
        match (is_f64(0)?, is_f64(4)?) {
            (false, false) => self.run_typed::<f32, f32>(operands),
            (false, true) => self.run_typed::<f32, f64>(operands),
            (true, false) => self.run_typed::<f64, f32>(operands),
            (true, true) => self.run_typed::<f64, f64>(operands),
        }
    }
}
