//! A forest of decision trees over the last axis.
//!
//! Attributes: `aggregate: u8`, `targets: u32` (values per row; for [`Aggregate::Each`] the number of trees), `columns: u32`. Inputs:
//!
//! | | type | shape | holds |
//! |---|---|---|---|
//! | 0 | f32 or f64 | `[…, F]` | features; any axis but the last may be the batch |
//! | 1 | u32, table | `[groups, 4]` | groups of columns: [`GroupWord`], first key or byte, keys or categories, columns |
//! | 2 | i32 for f32 features, i64 for f64 | `[keys]` | keys of ranks and of equal values, rising within a group: [`Feature::key`] |
//! | 3 | u8 | `[bytes]` | optional: sets of categories, a bit for each column of a group |
//! | 4 | u32, table | `[trees + 1]` | first split of each tree, rising from 0 to the number of splits |
//! | 5 | u32 or u64, table | `[splits]` | splits in preorder, narrow or wide: [`Node`] |
//! | 6 | f32, f64 or i32 | `[leaves]`, `[rows, targets]` or `[pairs]` | values: one for each leaf, or rows of one for each target, or pairs |
//! | 7 | u32, table | `[trees]` | optional, for one value per leaf: target of each tree; all are of target 0 without it |
//! | 8 | u16, table | `[leaves]` | optional, for rows and pairs: row of each leaf; its own number without it |
//! | 9 | u32, table | `[rows + 1]` | for pairs: first pair of each row, rising from 0 to the number of pairs |
//! | 10 | u32, table | `[pairs]` | for pairs: target of each |
//! | 11 | as input 6 | `[targets]` | optional, for sums: what a sum starts from |
//!
//! A tree of n splits has n + 1 leaves, numbered from left to right, after those of the trees before it. A split's children lead forward
//! within its tree, so every walk ends, at a leaf.
//!
//! The output has the shape of input 0 with `targets` on the last axis, and the type of input 6, in which values are
//! combined, tree by tree in order.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer, u32_at};
pub use crate::kernels::reference::forest::{
    Aggregate, Feature, GroupKind, GroupWord, NARROW_LEAVES, Node, Rank, ZERO_THRESHOLD,
};
use crate::kernels::reference::forest::{self as kernel, Columns, Combination, Leaves, Trees, Value};
use crate::kernels::select;
use crate::tensor::{DType, TensorSpec};

/// Evaluates decision trees and combines their leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forest {
    /// How the trees' values are combined.
    pub aggregate: Aggregate,
    /// Number of values per row; 1 at least.
    pub targets: u32,
    /// Number of columns that rows are turned into.
    pub columns: u32,
}

/// A constant list, and its length.
fn list<'a>(inputs: &'a dyn Inputs, index: usize, dtypes: &[DType], needs: &'static str) -> Result<(&'a [u8], usize), OpError> {
    inputs.typed(index, dtypes, needs)?;
    let operand = inputs.required(index)?;
    let shape = operand.spec.shape;
    match (operand.constant, shape.factors()) {
        (Some(bytes), &[length]) if !shape.is_batched() => Ok((bytes, length as usize)),
        (None, _) => Err(OpError::input(index, Problem::NotConstant, needs)),
        _ => Err(OpError::input(index, Problem::Rank, needs)),
    }
}

/// Checks that a list rises from 0 to `end`.
fn check_rising(index: usize, (bytes, length): (&[u8], usize), end: usize, needs: &'static str) -> Result<(), OpError> {
    let at = |position| u32_at(bytes, position);
    let rising = (1..length).all(|position| at(position - 1) <= at(position));
    if rising && length > 0 && at(0) == Some(0) && at(length - 1) == u32::try_from(end).ok() {
        return Ok(());
    }
    Err(OpError::input(index, Problem::Value, needs))
}

/// Length of a list that may be any tensor of one axis.
fn length(inputs: &dyn Inputs, index: usize, dtypes: &[DType], needs: &'static str) -> Result<usize, OpError> {
    let shape = inputs.typed(index, dtypes, needs)?.shape;
    match shape.factors() {
        &[length] if !shape.is_batched() => Ok(length as usize),
        _ => Err(OpError::input(index, Problem::Shape, needs)),
    }
}

impl Forest {
    /// Checks that groups read features, keys and bits that are there, and make up the columns.
    fn check_groups(&self, inputs: &dyn Inputs, features: u32, wide: bool) -> Result<(), OpError> {
        inputs.typed(1, &[DType::U32], "a constant table of groups")?;
        let groups = inputs.required(1)?;
        let Some(words) = groups.constant else {
            return Err(OpError::input(1, Problem::NotConstant, "a constant table of groups"));
        };
        let (&[count, 4], false) = (groups.spec.shape.factors(), groups.spec.shape.is_batched()) else {
            return Err(OpError::input(1, Problem::Shape, "four words for each group"));
        };
        let keys = match inputs.required(0)?.spec.dtype {
            DType::F64 => length(inputs, 2, &[DType::I64], "a list of int64 keys")?,
            _ => length(inputs, 2, &[DType::I32], "a list of int32 keys")?,
        };
        let bytes = inputs.get(3).map_or(Ok(0), |_| length(inputs, 3, &[DType::U8], "a list of bytes"))?;
        let largest = if wide { <u16 as Rank>::MAX } else { <u8 as Rank>::MAX };
        let columns_of = |group: usize| {
            let word = |at: usize| u32_at(words, group.checked_mul(4)?.checked_add(at)?);
            let (parts, first, count, columns) = (GroupWord::unpack(word(0)?)?, word(1)?, word(2)?, word(3)?);
            let end = |count: u64| u64::from(first).checked_add(count);
            let there = parts.feature < features
                && match parts.kind {
                    GroupKind::Ranks => end(count.into())? <= keys as u64 && columns == count.div_ceil(largest),
                    GroupKind::Equal => end(count.into())? <= keys as u64 && columns == count,
                    GroupKind::Sets => {
                        let rows = u64::from(count) + 2;
                        end(rows.checked_mul(columns.div_ceil(8).into())?)? <= bytes as u64 && columns > 0
                    }
                };
            there.then_some(u64::from(columns))
        };
        let total = (0..count as usize).try_fold(0u64, |total, group| total.checked_add(columns_of(group)?));
        if total != Some(self.columns.into()) {
            return Err(OpError::input(1, Problem::Value, "groups of features, keys and sets that make up the columns"));
        }
        Ok(())
    }

    /// Checks the splits and returns the number of trees and of leaves.
    fn check_trees(&self, inputs: &dyn Inputs) -> Result<(usize, usize), OpError> {
        const NEEDS: &str = "a constant list of splits";
        let (nodes, splits) = list(inputs, 5, &[DType::U32, DType::U64], NEEDS)?;
        let trees = list(inputs, 4, &[DType::U32], "a constant list of rising positions")?;
        check_rising(4, trees, splits, "positions that rise from 0 to the number of splits")?;
        let wide = inputs.required(5)?.spec.dtype == DType::U64;
        let bound = |at: usize| u32_at(trees.0, at).map_or(0, |split| split as usize);
        let count = trees.1 - 1;
        for tree in 0..count {
            let range = bound(tree)..bound(tree + 1);
            let sound = match wide {
                false => range.len() < NARROW_LEAVES && self.check_tree(range, |at| u32_at(nodes, at)),
                true => self.check_tree(range, |at| {
                    let (low, high) = (u32_at(nodes, at.checked_mul(2)?)?, u32_at(nodes, at * 2 + 1)?);
                    Some(u64::from(low) | u64::from(high) << 32)
                }),
            };
            if !sound {
                return Err(OpError::input(5, Problem::Value, "splits of columns, whose children lead forward in their tree"));
            }
        }
        Ok((count, splits + count))
    }

    /// True when the splits of one tree read columns that are there and have right children further on, inside the tree or leaves.
    fn check_tree<N: Node>(&self, range: core::ops::Range<usize>, node: impl Fn(usize) -> Option<N>) -> bool {
        let end = range.end;
        range.clone().all(|at| {
            node(at).is_some_and(|node| {
                let left = node.left_leaves() as usize;
                node.column() < self.columns as usize && left > 0 && left <= end - at && node.ends_within(range.len())
            })
        })
    }

    /// Checks the values of `leaves` leaves in `trees` trees.
    fn check_leaves(&self, inputs: &dyn Inputs, trees: usize, leaves: usize) -> Result<(), OpError> {
        let types = [DType::F32, DType::F64, DType::I32];
        let values = inputs.typed(6, &types, "float32, float64 or int32 values")?;
        let targets = self.targets as usize;
        if inputs.get(11).is_some() {
            inputs.fixed(11, values.dtype, &[targets], "a start value for each target")?;
            if self.aggregate != Aggregate::Sum {
                return Err(OpError::input(11, Problem::Extra, "no start values unless trees are summed"));
            }
        }
        let factors = if values.shape.is_batched() { &[] } else { values.shape.factors() };
        let rows = match (factors, inputs.get(9)) {
            (&[pairs], Some(_)) => Some(self.check_pairs(inputs, pairs as usize)?),
            (&[rows, width], None) if width == self.targets => Some(rows as usize),
            (&[count], None) if count as usize == leaves => None,
            _ => return Err(OpError::input(6, Problem::Shape, "a value for each leaf, or rows of one for each target")),
        };
        let extra = |index: usize, needs| match inputs.get(index) {
            Some(_) => Err(OpError::input(index, Problem::Extra, needs)),
            None => Ok(()),
        };
        match rows {
            None => {
                extra(8, "no rows of leaves that have one value each")?;
                extra(10, "no targets of pairs without pairs")?;
                if inputs.get(7).is_some() {
                    self.check_targets(inputs, 7, trees)?;
                }
            }
            Some(rows) => {
                extra(7, "no targets of trees whose leaves have several values")?;
                if self.aggregate == Aggregate::Each {
                    return Err(OpError::input(6, Problem::Shape, "one value for each leaf"));
                }
                if inputs.get(9).is_none() {
                    extra(10, "no targets of pairs without pairs")?;
                }
                match inputs.get(8) {
                    None if rows == leaves => {}
                    None => return Err(OpError::input(6, Problem::Shape, "a row of values for each leaf")),
                    Some(_) => {
                        let (bytes, count) = list(inputs, 8, &[DType::U16], "a constant list of rows")?;
                        let known = bytes.chunks_exact(2).all(|row| usize::from(row[0]) + usize::from(row[1]) * 256 < rows);
                        if count != leaves || !known {
                            return Err(OpError::input(8, Problem::Value, "a row of values for each leaf"));
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Checks the pairs and returns the number of rows.
    fn check_pairs(&self, inputs: &dyn Inputs, pairs: usize) -> Result<usize, OpError> {
        let starts = list(inputs, 9, &[DType::U32], "a constant list of rising positions")?;
        check_rising(9, starts, pairs, "positions that rise from 0 to the number of pairs")?;
        self.check_targets(inputs, 10, pairs)?;
        Ok(starts.1 - 1)
    }

    /// Checks a list of `count` targets.
    fn check_targets(&self, inputs: &dyn Inputs, index: usize, count: usize) -> Result<(), OpError> {
        let (bytes, length) = list(inputs, index, &[DType::U32], "a constant list of targets")?;
        if length != count || !(0..count).all(|at| u32_at(bytes, at).is_some_and(|target| target < self.targets)) {
            return Err(OpError::input(index, Problem::Value, "targets below the number of targets"));
        }
        Ok(())
    }

    /// The tables for columns, once for all types of nodes and values: flash is short.
    #[inline(never)]
    fn column_tables<'a, F: Feature>(&self, operands: &'a dyn Operands) -> Result<Columns<'a, F>, OpError> {
        let (keys, sets) = (operands.slice::<F::Key>(2)?, operands.optional_slice(3)?.unwrap_or_default());
        let groups = operands.slice::<u32>(1)?.as_chunks().0;
        Ok(Columns { groups, keys, sets, count: self.columns as usize })
    }

    /// The leaves and what becomes of them, once for all types of features and nodes.
    #[inline(never)]
    fn combination<'a, V: Value>(&self, operands: &'a dyn Operands) -> Result<Combination<'a, V>, OpError> {
        let (values, rows) = (operands.slice::<V>(6)?, operands.optional_slice(8)?);
        let leaves = match (operands.optional_slice(9)?, operands.optional_slice(10)?) {
            (Some(starts), Some(targets)) => Leaves::Sparse { starts, targets, values, rows },
            _ if operands.input(6)?.dims.len() == 2 => Leaves::Dense { values, rows },
            _ => Leaves::Single { values, targets: operands.optional_slice(7)? },
        };
        let (start, targets) = (operands.optional_slice(11)?, self.targets as usize);
        Ok(Combination { leaves, aggregate: self.aggregate, start, targets })
    }

    fn run_typed<F: Feature, N: Node, V: Value>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let forest = kernel::Forest::<F, N, V> {
            columns: self.column_tables(operands)?,
            trees: Trees { starts: operands.slice(4)?, nodes: operands.slice(5)? },
            combination: self.combination(operands)?,
        };
        let features = operands.input(0)?;
        let width = features.dims.at(features.dims.len().saturating_sub(1));
        let bytes = self.columns as usize * size_of::<N::Rank>();
        let scratch = if bytes > 0 || self.counts_seen() { operands.scratch()?.bytes } else { &mut [] };
        let (columns, rest) = scratch.split_at_mut_checked(bytes).unwrap_or_default();
        let seen = if self.counts_seen() { rest } else { &mut [] };
        let columns = bytemuck::try_cast_slice_mut(columns).unwrap_or_default();
        let mut output = operands.output(0)?;
        select::forest(&forest, width, operands.slice(0)?, columns, seen, output.elements(0)?);
        Ok(())
    }

    fn counts_seen(&self) -> bool {
        matches!(self.aggregate, Aggregate::Min | Aggregate::Max)
    }

    fn run_values<F: Feature, N: Node>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(6)?.spec.dtype {
            DType::F32 => self.run_typed::<F, N, f32>(operands),
            DType::I32 => self.run_typed::<F, N, i32>(operands),
            _ => self.run_typed::<F, N, f64>(operands),
        }
    }

    fn run_nodes<F: Feature>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(5)?.spec.dtype {
            DType::U64 => self.run_values::<F, u64>(operands),
            _ => self.run_values::<F, u32>(operands),
        }
    }
}

impl Operator for Forest {
    const TABLE_INPUTS: u32 = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 7 | 1 << 8 | 1 << 9 | 1 << 10;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let aggregate = Aggregate::from_code(reader.u8()?).ok_or(reader.invalid("aggregate"))?;
        let (targets, columns) = (reader.u32()?, reader.u32()?);
        if targets == 0 { Err(reader.invalid("targets")) } else { Ok(Self { aggregate, targets, columns }) }
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.aggregate.code())?;
        writer.u32(self.targets)?;
        writer.u32(self.columns)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(12)?;
        let x = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64 features")?;
        let last = x.shape.rank().checked_sub(1).ok_or(OpError::input(0, Problem::Rank, "one axis at least"))?;
        if x.shape.is_batch(last) {
            return Err(OpError::input(0, Problem::Batch, "a number of features that does not depend on the batch"));
        }
        let (trees, leaves) = self.check_trees(inputs)?;
        if self.targets == 0 || (self.aggregate == Aggregate::Each && self.targets as usize != trees) {
            return Err(OpError::attribute("targets", "one target at least, or one for each tree"));
        }
        let features = x.shape.factors().get(last).copied().unwrap_or(0);
        self.check_groups(inputs, features, inputs.required(5)?.spec.dtype == DType::U64)?;
        self.check_leaves(inputs, trees, leaves)?;
        let shape = x
            .shape
            .with_axis(last, self.targets as usize, false)
            .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))?;
        outputs.put(0, TensorSpec::new(inputs.required(6)?.spec.dtype, shape))
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let width = if inputs.required(5)?.spec.dtype == DType::U64 { 2 } else { 1 };
        let seen = if self.counts_seen() { self.targets } else { 0 };
        Ok(Scratch { fixed: u64::from(self.columns) * width + u64::from(seen), per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match operands.input(0)?.spec.dtype {
            DType::F64 => self.run_nodes::<f64>(operands),
            _ => self.run_nodes::<f32>(operands),
        }
    }
}
