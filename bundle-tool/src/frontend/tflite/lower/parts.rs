//! Operators that take parts of a tensor: slices, splits, gathers.

use ekiben_runtime::DType;
use ekiben_runtime::ops::dequantize::Dequantize;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::gather_nd::GatherNd;
use ekiben_runtime::ops::slice::Slice;
use ekiben_runtime::ops::update_slice::UpdateSlice;

use super::super::file::Operator;
use super::super::options::{Activation, Options};
use super::images::axis_of;
use super::{Lowering, Stop, TensorId, Value};

/// A regular part of an axis: elements `start`, `start + step`, …, `length` of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) start: i64,
    pub(super) step: i64,
    pub(super) length: i64,
}

impl Part {
    /// All of an axis.
    pub(super) fn whole(length: usize) -> Self {
        Self { start: 0, step: 1, length: length as i64 }
    }

    /// From `begin` to before `end`, both counted from the end where they are negative and moved to the nearest place on the axis; `None` for
    /// an open side (TFLite's `strided_slice_logic.h`).
    fn between(begin: Option<i64>, end: Option<i64>, step: i64, length: usize) -> Option<Self> {
        let length = length as i64;
        let (low, high) = if step > 0 { (0, length) } else { (-1, length - 1) };
        let place = |index: i64| (if index < 0 { index.saturating_add(length) } else { index }).clamp(low, high);
        let start = begin.map_or(if step > 0 { low } else { high }, place);
        let stop = end.map_or(if step > 0 { high } else { low }, place);
        let span = if step > 0 { stop - start } else { start - stop };
        let length = span.max(0).checked_add(step.checked_abs()? - 1)?.checked_div(step.checked_abs()?)?;
        Some(Self { start, step, length })
    }
}

impl<'a> Lowering<'a> {
    /// Lengths of a tensor's axes for one row.
    pub(super) fn lengths(&self, id: TensorId) -> Vec<usize> {
        self.graph.shape(id).factors().iter().map(|&factor| factor as usize).collect()
    }

    /// Takes a part of each axis.
    pub(super) fn sliced(&mut self, operator: &'a Operator, id: TensorId, parts: &[Part]) -> Result<TensorId, Stop> {
        let lengths = self.lengths(id);
        if parts.iter().zip(&lengths).all(|(part, &length)| *part == Part::whole(length)) {
            return Ok(id);
        }
        if parts.iter().any(|part| part.length < 1) {
            return Err("the result would be empty".into());
        }
        let rows: [fn(&Part) -> i64; 3] = [|part| part.start, |part| part.step, |part| part.length];
        let table = rows.iter().flat_map(|row| parts.iter().map(row)).map(i32::try_from);
        let table = table.collect::<Result<Vec<_>, _>>().map_err(|_| "an index is too large")?;
        let table = self.list(operator, DType::I32, &[3, parts.len()], &table)?;
        self.add(operator, Slice, &[Some(id), Some(table)])
    }

    pub(super) fn slice(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let lengths = self.lengths(input);
        let (begins, sizes) = (self.fixed_numbers(operator, 1)?, self.fixed_numbers(operator, 2)?);
        if begins.len() != lengths.len() || sizes.len() != lengths.len() {
            return Err("as many begins and sizes as axes are needed".into());
        }
        let part = |((&start, &size), &length): ((&i64, &i64), &usize)| {
            let rest = (length as i64).checked_sub(start)?;
            let taken = if size == -1 { rest } else { size };
            (start >= 0 && taken <= rest).then_some(Part { start, step: 1, length: taken })
        };
        let parts = begins.iter().zip(&sizes).zip(&lengths).map(part).collect::<Option<Vec<_>>>();
        let parts = parts.ok_or("begins and sizes reach outside the input")?;
        self.sliced(operator, input, &parts).map(Value::Tensor)
    }

    pub(super) fn strided_slice(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        if self.is_numbers(operator, 0) {
            return self.slice_of_numbers(operator);
        }
        let Options::Masks { begin: begin_mask, end: end_mask, shrink, others } = operator.options else {
            return Err("the options are missing".into());
        };
        if others != 0 {
            return Err("ellipsis_mask and new_axis_mask are not translated".into());
        }
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let lengths = self.lengths(input);
        let [begins, ends, steps] = [1, 2, 3].map(|index| self.fixed_numbers(operator, index));
        let (begins, ends, steps) = (begins?, ends?, steps?);
        let count = begins.len();
        if ends.len() != count || steps.len() != count || count > lengths.len() || steps.contains(&0) {
            return Err("begins, ends and strides must be as many, at most one for each axis, and no stride 0".into());
        }
        let bit = |mask: i32, axis: usize| mask >> axis & 1 == 1;
        let mut parts: Vec<Part> = lengths.iter().map(|&length| Part::whole(length)).collect();
        for (axis, part) in parts.iter_mut().enumerate().take(count) {
            let begin = (!bit(begin_mask, axis)).then_some(begins[axis]);
            let end = (!bit(end_mask, axis)).then_some(ends[axis]);
            *part = if bit(shrink, axis) {
                Part { start: axis_of(begin.unwrap_or(0), lengths[axis])? as i64, step: 1, length: 1 }
            } else {
                Part::between(begin, end, steps[axis], lengths[axis]).ok_or("a stride is too large")?
            };
        }
        let taken = self.sliced(operator, input, &parts)?;
        let kept = (0..lengths.len()).filter(|&axis| !(axis < count && bit(shrink, axis)));
        let kept: Vec<usize> = kept.map(|axis| parts[axis].length as usize).collect();
        if kept.len() == lengths.len() {
            return Ok(Value::Tensor(taken));
        }
        if shrink & 1 == 1 && self.graph.shape(taken).is_batched() {
            return Err("it takes one row of the batch".into());
        }
        self.reshaped(operator, taken, &kept).map(Value::Tensor)
    }

    /// SPLIT and SPLIT_V.
    pub(super) fn split(&mut self, operator: &'a Operator) -> Result<Vec<Value>, Stop> {
        let by_sizes = operator.code == super::BuiltinOperator::SPLIT_V;
        let (data, axis) = if by_sizes { (0, 2) } else { (1, 0) };
        let input = self.tensor(operator, data)?;
        let lengths = self.lengths(input);
        let &[axis] = self.fixed_numbers(operator, axis)?.as_slice() else { return Err("more than one axis".into()) };
        let axis = axis_of(axis, lengths.len())?;
        let count = operator.outputs.len().max(1);
        let sizes = if by_sizes {
            self.split_sizes(operator, lengths[axis])?
        } else if lengths[axis].is_multiple_of(count) {
            vec![lengths[axis] / count; count]
        } else {
            return Err(format!("an axis of {} in {count} equal parts", lengths[axis]).into());
        };
        let mut parts: Vec<Part> = lengths.iter().map(|&length| Part::whole(length)).collect();
        let mut start = 0;
        let mut results = Vec::with_capacity(sizes.len());
        for (index, size) in sizes.into_iter().enumerate() {
            self.moves(operator, data, index)?;
            parts[axis] = Part { start, step: 1, length: size as i64 };
            start += size as i64;
            results.push(Value::Tensor(self.sliced(operator, input, &parts)?));
        }
        Ok(results)
    }

    /// The sizes that SPLIT_V states for an axis of `length`; -1 stands for what is left.
    fn split_sizes(&mut self, operator: &'a Operator, length: usize) -> Result<Vec<usize>, Stop> {
        let sizes = self.fixed_numbers(operator, 1)?;
        let known = sizes.iter().filter(|&&size| size != -1).map(|&size| usize::try_from(size).ok());
        let known = known.reduce(|sum, size| sum?.checked_add(size?)).unwrap_or(Some(0));
        let open = sizes.iter().filter(|&&size| size == -1).count();
        let left =
            known.and_then(|known| length.checked_sub(known)).filter(|&left| open == 1 || (open, left) == (0, 0));
        let left = left.ok_or_else(|| format!("parts of {sizes:?} of an axis of {length}"))?;
        Ok(sizes.iter().map(|&size| usize::try_from(size).unwrap_or(left)).collect())
    }

    pub(super) fn unpack(&mut self, operator: &'a Operator) -> Result<Vec<Value>, Stop> {
        let Options::Axis { axis, activation: Activation::None } = operator.options else {
            return Err("the options are missing".into());
        };
        let input = self.tensor(operator, 0)?;
        let lengths = self.lengths(input);
        let axis = axis_of(axis.into(), lengths.len())?;
        if self.graph.shape(input).is_batch(axis) {
            return Err("it takes rows of the batch".into());
        }
        if lengths[axis] != operator.outputs.len() {
            return Err(format!("an axis of {} to {} results", lengths[axis], operator.outputs.len()).into());
        }
        let mut parts: Vec<Part> = lengths.iter().map(|&length| Part::whole(length)).collect();
        let rest: Vec<usize> = (0..lengths.len()).filter(|&other| other != axis).map(|other| lengths[other]).collect();
        let mut results = Vec::with_capacity(lengths[axis]);
        for index in 0..lengths[axis] {
            self.moves(operator, 0, index)?;
            parts[axis] = Part { start: index as i64, step: 1, length: 1 };
            let part = self.sliced(operator, input, &parts)?;
            results.push(Value::Tensor(self.reshaped(operator, part, &rest)?));
        }
        Ok(results)
    }

    pub(super) fn update_slice(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let inputs = [self.tensor(operator, 0)?, self.tensor(operator, 1)?, self.tensor(operator, 2)?];
        self.moves(operator, 0, 0)?;
        self.moves(operator, 1, 0)?;
        Ok(Value::Tensor(self.add(operator, UpdateSlice, &inputs.map(Some))?))
    }

    pub(super) fn reverse(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let lengths = self.lengths(input);
        let mut parts: Vec<Part> = lengths.iter().map(|&length| Part::whole(length)).collect();
        for axis in self.fixed_numbers(operator, 1)? {
            let axis = axis_of(axis, lengths.len())?;
            if self.graph.shape(input).is_batch(axis) {
                return Err("it turns the batch round".into());
            }
            parts[axis] = Part { start: lengths[axis] as i64 - 1, step: -1, length: lengths[axis] as i64 };
        }
        self.sliced(operator, input, &parts).map(Value::Tensor)
    }

    pub(super) fn gather(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Gather { axis, batch_dims } = operator.options else {
            return Err("the options are missing".into());
        };
        let data = self.tensor(operator, 0)?;
        self.moves(operator, 0, 0)?;
        let lengths = self.lengths(data);
        let axis = axis_of(axis.into(), lengths.len())?;
        if batch_dims == 0 {
            let indices = self.tensor(operator, 1)?;
            return Ok(Value::Tensor(self.add(operator, Gather { axis: axis as u8 }, &[Some(data), Some(indices)])?));
        }
        if batch_dims < 0 || axis != batch_dims as usize {
            return Err(format!("batch_dims {batch_dims} with axis {axis} is not translated").into());
        }
        // Each index becomes a tuple of one.
        let indices = self.tensor(operator, 1)?;
        let tuples = [&self.lengths(indices)[..], &[1]].concat();
        let tuples = self.reshaped(operator, indices, &tuples)?;
        let op = GatherNd { batch_dims: axis as u8 };
        Ok(Value::Tensor(self.add(operator, op, &[Some(data), Some(tuples)])?))
    }

    pub(super) fn gather_nd(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let [data, indices] = [self.tensor(operator, 0)?, self.tensor(operator, 1)?];
        self.moves(operator, 0, 0)?;
        Ok(Value::Tensor(self.add(operator, GatherNd { batch_dims: 0 }, &[Some(data), Some(indices)])?))
    }

    /// Rows of a table; int8 rows become floats.
    pub(super) fn embedding_lookup(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let (indices, table) = (self.tensor(operator, 0)?, self.tensor(operator, 1)?);
        let rows = self.add(operator, Gather { axis: 0 }, &[Some(table), Some(indices)])?;
        let stated = &self.file.tensors[operator.outputs[0]];
        if self.graph.spec(rows).dtype != DType::I8 || stated.dtype == Some(DType::I8) {
            return Ok(Value::Tensor(rows));
        }
        let (scale, zero) = self.input_quantization(operator, 1)?;
        Ok(Value::Tensor(self.add(operator, Dequantize { scale, zero }, &[Some(rows)])?))
    }
}
