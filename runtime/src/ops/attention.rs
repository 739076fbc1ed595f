//! Scaled dot-product attention: each query's weighted mean of values, the weights being a softmax of its products with the keys.
//!
//! Inputs: 0 queries, 1 keys, 2 values, all f32 or f64; 3 optionally a mask of up to four axes that broadcasts to `[B, H, Q, K]`, bool (true
//! where a key counts) or of the type of the queries (added to the scores), whose last axis may be shorter than K (further keys do not
//! count); 4 optionally for each element of the batch how many of its keys count, `[B]`, i32 or i64. Each of the first three is
//! `[B, heads, rows, size]` or `[B, rows, columns]`: there head h has `size` columns from `first + h * size` on, so that
//! queries, keys and values may be columns of one tensor. B may be the batch. Heads of keys and values are shared by
//! `query_heads / key_heads` heads of the queries each.
//!
//! Outputs: 0 `[B, H, Q, value size]` or `[B, Q, H * value size]`, as the queries; 1, if there, the scores `[B, H, Q, K]` at a stage.
//!
//! Attributes: `query_layout: u8`, `key_layout: u8`, `query_heads: u32`, `key_heads: u32`, `size: u32`, `value_size: u32`, `first: [u32; 3]`,
//! `scale: f64`, `softcap: f64`, `left: i32`, `right: i32` (-1 for no limit), `offset: i32`, `stage: u8`, `wide: bool` (softmax in f64).
//! A query's own place among the keys is its number plus `offset`, or with input 4 such that the last query is at the last key that
//! counts; it sees the keys from `place - left` to `place + right`. Scratch: one row of scores. The formula stands at [`kernel::Attention::run`].

pub use super::heads::Layout;
use super::heads::{parse_layout, rows_of};
use super::{Inputs, OpError, Operands, Operator, Outputs, Problem, Scratch};
use crate::bytes::{BytesError, Reader, Writer};
use crate::kernels::reference::Float;
use crate::kernels::reference::attention as kernel;
pub use crate::kernels::reference::attention::Stage;
use crate::kernels::reference::attention::Mask;
use crate::kernels::reference::heads::Rows;
use crate::tensor::{DType, Dims, Shape, TensorSpec};

/// Attends to keys.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Attention {
    /// Layout of the queries and of the result.
    pub query_layout: Layout,
    /// Layout of keys and values.
    pub key_layout: Layout,
    /// Heads of the queries.
    pub query_heads: u32,
    /// Heads of keys and values.
    pub key_heads: u32,
    /// Elements of a query and of a key.
    pub size: u32,
    /// Elements of a value.
    pub value_size: u32,
    /// First column of queries, keys and values in their tensors, where these are [`Layout::Columns`].
    pub first: [u32; 3],
    /// Factor of the products.
    pub scale: f64,
    /// Above 0: scores s become `softcap * tanh(s / softcap)`.
    pub softcap: f64,
    /// Keys that a query sees to the left of its place, -1 for all.
    pub left: i32,
    /// Keys that a query sees to the right of its place, -1 for all.
    pub right: i32,
    /// Place of the first query among the keys.
    pub offset: i32,
    /// What the second output holds.
    pub stage: Stage,
    /// The softmax is computed in f64.
    pub wide: bool,
}

/// The lengths that the operands have in common, for one row of the batch.
struct Lengths {
    batch: usize,
    batched: bool,
    rows: usize,
}

impl Attention {
    fn layout(&self, index: usize) -> Layout {
        if index == 0 { self.query_layout } else { self.key_layout }
    }

    fn heads(&self, index: usize) -> u32 {
        if index == 0 { self.query_heads } else { self.key_heads }
    }

    fn size_of(&self, index: usize) -> u32 {
        if index == 2 { self.value_size } else { self.size }
    }

    /// Checks queries, keys or values.
    fn lengths(&self, index: usize, shape: &Shape) -> Result<Lengths, OpError> {
        let heads = self.heads(index);
        let size = self.size_of(index);
        let shape_error = OpError::input(index, Problem::Shape, "heads and sizes as the attributes say");
        if shape.batch_axis().is_some_and(|axis| axis > 0) {
            return Err(OpError::input(index, Problem::Batch, "the batch on the first axis"));
        }
        let rows = match (self.layout(index), shape.factors()) {
            (Layout::Heads, &[_, stored, rows, length]) => {
                let first = self.first.get(index).copied();
                if (stored, length, first) != (heads, size, Some(0)) {
                    return Err(shape_error);
                }
                rows
            }
            (Layout::Columns, &[_, rows, columns]) => {
                let needed = heads.checked_mul(size).and_then(|all| all.checked_add(*self.first.get(index)?));
                if needed.is_none_or(|needed| needed > columns) {
                    return Err(shape_error);
                }
                rows
            }
            _ => return Err(OpError::input(index, Problem::Rank, "four axes, or three of which the last holds the heads")),
        };
        Ok(Lengths { batch: shape.factor(0).unwrap_or(0), batched: shape.is_batched(), rows: rows as usize })
    }

    /// Where the rows of an operand of these lengths are.
    fn rows(&self, index: usize, dims: &Dims) -> Rows {
        let size = self.size_of(index) as usize;
        rows_of(self.layout(index), dims, self.first.get(index).copied().unwrap_or(0) as usize, size)
    }

    fn infer_mask(&self, inputs: &dyn Inputs, dtype: DType, pairs: &Shape) -> Result<(), OpError> {
        let Some(mask) = inputs.get(3) else { return Ok(()) };
        let mask = mask.spec;
        if mask.dtype != DType::Bool && mask.dtype != dtype {
            return Err(OpError::input(3, Problem::DType, "bool or the type of input 0"));
        }
        let error = OpError::input(3, Problem::Shape, "a mask that broadcasts to [B, H, Q, K]");
        let before = 4usize.checked_sub(mask.shape.rank()).filter(|&before| before < 4).ok_or(error)?;
        for axis in 0..mask.shape.rank() {
            let (own, whole) = (mask.shape.factor(axis), pairs.factor(axis + before));
            let same = own == whole && mask.shape.is_batch(axis) == pairs.is_batch(axis + before);
            let one = own == Some(1) && !mask.shape.is_batch(axis);
            let last = axis + 1 == mask.shape.rank() && own <= whole && !mask.shape.is_batch(axis);
            if !(same || last || one && axis + 1 < mask.shape.rank()) {
                return Err(error);
            }
        }
        Ok(())
    }

    fn run_typed<T: Float, S: Float>(&self, operands: &dyn Operands) -> Result<(), OpError> {
        let (q, k, v) = (operands.input(0)?, operands.input(1)?, operands.input(2)?);
        let mask_view = operands.optional(3)?;
        let mask = match &mask_view {
            None => Mask::None,
            Some(view) if view.spec.dtype == DType::Bool => Mask::Chosen(view.bytes),
            Some(_) => Mask::Added(operands.slice::<T>(3)?),
        };
        let (queries, keys) = (q.dims.at(self.query_layout.row_axis()), k.dims.at(self.key_layout.row_axis()));
        let mut out = operands.output(0)?;
        let attention = kernel::Attention {
            queries: [q.dims.at(0), self.query_heads as usize, queries],
            key_heads: self.key_heads as usize,
            keys,
            rows: [
                self.rows(0, &q.dims),
                self.rows(1, &k.dims),
                self.rows(2, &v.dims),
                rows_of(self.query_layout, &out.dims, 0, self.value_size as usize),
            ],
            mask: mask_view.map(|view| mask_rows(&view.dims)).unwrap_or(Rows { size: keys, ..Rows::default() }),
            scale: self.scale,
            softcap: self.softcap,
            window: [self.left, self.right].map(|side| usize::try_from(side).ok()),
            offset: self.offset.into(),
        };
        let lengths = operands.optional(4)?;
        let (narrow, long) = match lengths.map(|view| view.spec.dtype) {
            Some(DType::I32) => (operands.optional_slice::<i32>(4)?, None),
            Some(_) => (None, operands.optional_slice::<i64>(4)?),
            None => (None, None),
        };
        let length = |batch: usize| match (narrow, long) {
            (Some(lengths), _) => lengths.get(batch).map(|&length| length.into()),
            (_, lengths) => lengths?.get(batch).copied(),
        };
        let scratch = operands.scratch()?;
        let row = bytemuck::try_cast_slice_mut::<u8, S>(scratch.bytes).unwrap_or_default();
        let operands_of = [operands.slice::<T>(0)?, operands.slice::<T>(1)?, operands.slice::<T>(2)?];
        let mut scores = if operands.outputs() > 1 { Some(operands.output(1)?) } else { None };
        let scores = match &mut scores {
            Some(view) => Some((self.stage, view.elements::<T>(1)?)),
            None => None,
        };
        attention.run(operands_of, mask, length, row, out.elements(0)?, scores);
        Ok(())
    }
}

/// Rows of a mask of up to four axes: those of length 1 are repeated.
fn mask_rows(dims: &Dims) -> Rows {
    let before = 4usize.saturating_sub(dims.len());
    let stride = |axis: usize| match axis.checked_sub(before) {
        Some(axis) if dims.at(axis) != 1 => dims.inner(axis),
        _ => 0,
    };
    Rows { first: 0, batch: stride(0), head: stride(1), row: stride(2), size: dims.at(dims.len().saturating_sub(1)) }
}

impl Operator for Attention {
    fn parse(reader: &mut Reader<'_>) -> Result<Self, BytesError> {
        Ok(Self {
            query_layout: parse_layout(reader)?,
            key_layout: parse_layout(reader)?,
            query_heads: reader.u32()?,
            key_heads: reader.u32()?,
            size: reader.u32()?,
            value_size: reader.u32()?,
            first: [reader.u32()?, reader.u32()?, reader.u32()?],
            scale: reader.f64()?,
            softcap: reader.f64()?,
            left: reader.i32()?,
            right: reader.i32()?,
            offset: reader.i32()?,
            stage: Stage::from_code(reader.u8()?).ok_or(reader.invalid("stage"))?,
            wide: reader.bool("wide")?,
        })
    }

    fn emit(&self, writer: &mut Writer<'_>) -> Result<(), BytesError> {
        writer.u8(self.query_layout as u8)?;
        writer.u8(self.key_layout as u8)?;
        let [first_query, first_key, first_value] = self.first;
        let counts = [self.query_heads, self.key_heads, self.size, self.value_size, first_query, first_key, first_value];
        counts.into_iter().try_for_each(|count| writer.u32(count))?;
        writer.f64(self.scale)?;
        writer.f64(self.softcap)?;
        [self.left, self.right, self.offset].into_iter().try_for_each(|value| writer.i32(value))?;
        writer.u8(self.stage as u8)?;
        writer.bool(self.wide)
    }

    fn infer(&self, inputs: &dyn Inputs, outputs: &mut dyn Outputs) -> Result<(), OpError> {
        inputs.at_most(5)?;
        let q = inputs.typed(0, &[DType::F32, DType::F64], "float32 or float64")?;
        let k = inputs.typed(1, &[q.dtype], "the type of input 0")?;
        let v = inputs.typed(2, &[q.dtype], "the type of input 0")?;
        if self.key_heads == 0 || !self.query_heads.is_multiple_of(self.key_heads) {
            return Err(OpError::attribute("query_heads", "a multiple of key_heads"));
        }
        let (queries, keys, values) =
            (self.lengths(0, &q.shape)?, self.lengths(1, &k.shape)?, self.lengths(2, &v.shape)?);
        for (index, other) in [(1, &keys), (2, &values)] {
            if (other.batch, other.batched) != (queries.batch, queries.batched) {
                return Err(OpError::input(index, Problem::Shape, "the batch of the queries"));
            }
        }
        if keys.rows != values.rows {
            return Err(OpError::input(2, Problem::Shape, "a value for each key"));
        }
        let batch = queries.batched.then_some(0);
        let heads = self.query_heads as usize;
        let pairs = Shape::new(&[queries.batch, heads, queries.rows, keys.rows], batch)?;
        self.infer_mask(inputs, q.dtype, &pairs)?;
        if inputs.get(4).is_some() {
            let lengths = inputs.typed(4, &[DType::I32, DType::I64], "int32 or int64 lengths")?;
            if lengths.shape != Shape::new(&[queries.batch], batch)? {
                return Err(OpError::input(4, Problem::Shape, "a length for each element of the batch"));
            }
        }
        let value_size = self.value_size as usize;
        let width = heads.checked_mul(value_size).ok_or(OpError::attribute("value_size", "a smaller product with the heads"))?;
        let shape = match self.query_layout {
            Layout::Heads => Shape::new(&[queries.batch, heads, queries.rows, value_size], batch)?,
            Layout::Columns => Shape::new(&[queries.batch, queries.rows, width], batch)?,
        };
        outputs.put(0, TensorSpec::new(q.dtype, shape))?;
        if outputs.len() > 1 { outputs.put(1, TensorSpec::new(q.dtype, pairs)) } else { Ok(()) }
    }

    fn scratch(&self, inputs: &dyn Inputs) -> Result<Scratch, OpError> {
        let keys = inputs.required(1)?.spec;
        let axis = self.key_layout.row_axis();
        let element = if self.wide { 8 } else { keys.dtype.bits() / 8 };
        Ok(Scratch { fixed: element.saturating_mul(keys.shape.factor(axis).unwrap_or(0) as u64), per_row: 0 })
    }

    fn run(&self, operands: &dyn Operands) -> Result<(), OpError> {
        match (operands.input(0)?.spec.dtype, self.wide) {
            (DType::F64, _) => self.run_typed::<f64, f64>(operands),
            (_, true) => self.run_typed::<f32, f64>(operands),
            (_, false) => self.run_typed::<f32, f32>(operands),
        }
    }
}
