//! Sums of the leaves of trees whose leaves are linear functions, as LightGBM's linear trees have them.
//!
//! Attributes: `targets: u32`. Inputs:
//!
//! | | type | shape | holds |
//! |---|---|---|---|
//! | 0 | f64 | `[rows, F]` | features |
//! | 1 | i32 | `[rows, trees]` | the leaf that each row reaches in each tree, counted in the tree |
//! | 2 | u32, table | `[trees + 1]` | first leaf of each tree; rising from 0 to the number of leaves |
//! | 3 | u32, table | `[leaves + 1]` | first term of each leaf; rising from 0 to the number of terms, or less |
//! | 4 | u32, table | `[terms]` | feature of each term |
//! | 5 | f64 | `[terms]` | coefficient of each term |
//! | 6 | f64 | `[leaves]` | what each leaf's sum starts from |
//! | 7 | f64 | `[leaves]` | value of each leaf where one of its features is NaN |
//!
//! The output is `[rows, targets]` in f64: tree `t` adds to target `t % targets`, in order, from 0. Features of at most 1e-35 (as
//! float32) count as 0. A leaf that is not its tree's adds nothing.

use super::{Inputs, OpError, Operands, Operator, Outputs, Problem};
use crate::bytes::{BytesError, Reader, Writer, u32_at};
use crate::kernels::reference::linear_leaves;
use crate::tensor::{DType, TensorSpec};

/// Evaluates the leaves that rows reach and adds them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LinearLeaves {
    /// Number of values per row; 1 at least.
    pub targets: u32,
}

/// Length of the list at `index`, of type `dtype`.
fn length(inputs: &dyn Inputs, index: usize, dtype: DType) -> Result<usize, OpError> {
    let shape = inputs.typed(index, &[dtype], "a list of another type")?.shape;
    match (shape.factors(), shape.is_batched()) {
        (&[length], false) => Ok(length as usize),
        _ => Err(OpError::input(index, Problem::Rank, "a list")),
    }
}

/// The constant list at `index`: its bytes and its length.
fn table(inputs: &dyn Inputs, index: usize) -> Result<(&[u8], usize), OpError> {
    let length = length(inputs, index, DType::U32)?;
    let bytes = inputs.required(index)?.constant;
    Ok((bytes.ok_or(OpError::input(index, Problem::NotConstant, "a constant list"))?, length))
}

/// Checks that the list at `index` rises from 0 and returns its last element, and how many parts it bounds.
fn bounds(inputs: &dyn Inputs, index: usize) -> Result<(usize, usize), OpError> {
    let (bytes, length) = table(inputs, index)?;
    let rising = (1..length).all(|at| u32_at(bytes, at - 1) <= u32_at(bytes, at));
    match (length.checked_sub(1), u32_at(bytes, 0)) {
        (Some(parts), Some(0)) if rising => Ok((u32_at(bytes, parts).unwrap_or(0) as usize, parts)),
        _ => Err(OpError::input(index, Problem::Value, "positions that rise from 0")),
    }
}

impl Operator for LinearLeaves {
    const TABLE_INPUTS: u32 = 1 << 2 | 1 << 3 | 1 << 4;

    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        let targets = reader.u32()?;
        if targets == 0 { Err(reader.invalid("targets")) } else { Ok(Self { targets }) }
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u32(self.targets)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(8)?;
        let x = inputs.typed(0, &[DType::F64], "float64 features")?.shape;
        let leaves = inputs.typed(1, &[DType::I32], "int32 leaves")?.shape;
        if x.rank() != 2 || x.is_batch(1) {
            return Err(OpError::input(0, Problem::Shape, "rows of features"));
        }
        let (count, trees) = bounds(inputs, 2)?;
        let rows = |axis| (leaves.factor(axis), leaves.is_batch(axis));
        if leaves.rank() != 2 || rows(0) != (x.factor(0), x.is_batch(0)) || rows(1) != (Some(trees), false) {
            return Err(OpError::input(1, Problem::Shape, "a leaf for each row and tree"));
        }
        let (terms, parts) = bounds(inputs, 3)?;
        if parts != count {
            return Err(OpError::input(3, Problem::Shape, "the terms of each leaf"));
        }
        let (features, listed) = table(inputs, 4)?;
        let width = x.factor(1).unwrap_or(0);
        if listed < terms || !(0..listed).all(|at| u32_at(features, at).is_some_and(|f| (f as usize) < width)) {
            return Err(OpError::input(4, Problem::Value, "a feature of input 0 for each term"));
        }
        if length(inputs, 5, DType::F64)? != listed {
            return Err(OpError::input(5, Problem::Shape, "a coefficient for each term"));
        }
        inputs.fixed(6, DType::F64, &[count], "a constant for each leaf")?;
        inputs.fixed(7, DType::F64, &[count], "a value for each leaf")?;
        if self.targets == 0 {
            return Err(OpError::attribute("targets", "one target at least"));
        }
        let shape = x
            .with_axis(1, self.targets as usize, false)
            .map_err(|error| OpError::output(0, Problem::Unrepresentable(error), "a storable shape"))?;
        outputs.put(0, TensorSpec::new(DType::F64, shape))
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let leaves = linear_leaves::LinearLeaves {
            trees: operands.slice(2)?,
            terms: operands.slice(3)?,
            features: operands.slice(4)?,
            coefficients: operands.slice(5)?,
            constants: operands.slice(6)?,
            values: operands.slice(7)?,
        };
        let width = operands.input(0)?.dims.at(1);
        let mut output = operands.output(0)?;
        let (x, reached) = (operands.slice(0)?, operands.slice(1)?);
        leaves.run(width, self.targets as usize, x, reached, output.elements(0)?);
        Ok(())
    }
}
