//! Operators that move elements, and those that work out shapes, which never become operators of the graph.

use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};

use super::super::file::Operator;
use super::super::options::{Activation, Options};
use super::images::axis_of;
use super::{Dimension, Lowering, Stop, TensorId, Value};

impl<'a> Lowering<'a> {
    /// To the shape that input 1 states, or the options do.
    pub(super) fn reshape(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let target = match (self.optional(operator, 1), &operator.options) {
            (Some(_), _) => self.numbers(operator, 1)?,
            (None, Options::List(list)) => {
                list.iter().map(|&length| Dimension { factor: length.into(), batched: false }).collect()
            }
            _ => return Err("the shape is missing".into()),
        };
        self.with_dimensions(operator, input, &target).map(Value::Tensor)
    }

    /// Gives a tensor the lengths of one row; -1 stands for what is left. A length that grows with the batch must be the first.
    fn with_dimensions(
        &mut self,
        operator: &'a Operator,
        input: TensorId,
        target: &[Dimension],
    ) -> Result<TensorId, Stop> {
        if target.iter().skip(1).any(|dimension| dimension.batched) {
            return Err("the batch would not be the first axis".into());
        }
        let shape = self.graph.shape(input);
        let elements = shape.elements().ok_or("the input is too large")?;
        let known = target.iter().filter(|dimension| dimension.factor != -1);
        let known = known.map(|dimension| u64::try_from(dimension.factor).ok());
        let known = known.reduce(|product, length| product?.checked_mul(length?)).unwrap_or(Some(1));
        let known = known.ok_or("a negative length, or too many elements")?;
        let free = target.iter().filter(|dimension| dimension.factor == -1).count();
        let left = elements.checked_div(known).filter(|left| left * known == elements && (free == 1 || *left == 1));
        let left = left.filter(|_| free <= 1).ok_or_else(|| format!("{elements} elements do not fit the shape"))?;
        let length = |dimension: &Dimension| {
            usize::try_from(if dimension.factor == -1 { left } else { dimension.factor as u64 })
        };
        let lengths = target.iter().map(length).collect::<Result<Vec<_>, _>>().map_err(|_| "a length is too large")?;
        self.reshaped(operator, input, &lengths)
    }

    pub(super) fn squeeze(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::List(axes) = &operator.options else { return Err("the options are missing".into()) };
        let input = self.tensor(operator, 0)?;
        let shape = self.graph.shape(input);
        let rank = shape.rank();
        let axes = axes.iter().map(|&axis| axis_of(axis.into(), rank)).collect::<Result<Vec<_>, _>>()?;
        let goes = |axis: &usize| {
            let listed = axes.contains(axis) || axes.is_empty();
            listed && shape.factor(*axis) == Some(1) && !shape.is_batch(*axis)
        };
        if axes.iter().any(|axis| !goes(axis)) {
            return Err("an axis that is not of length 1, or the batch".into());
        }
        let lengths: Vec<usize> = (0..rank).filter(|axis| !goes(axis)).filter_map(|axis| shape.factor(axis)).collect();
        self.reshaped(operator, input, &lengths).map(Value::Tensor)
    }

    pub(super) fn expand_dims(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let shape = self.graph.shape(input);
        let &[axis] = self.fixed_numbers(operator, 1)?.as_slice() else { return Err("more than one axis".into()) };
        let axis = axis_of(axis, shape.rank() + 1)?;
        if shape.is_batched() && axis == 0 {
            return Err("the batch would not be the first axis".into());
        }
        let mut lengths: Vec<usize> = (0..shape.rank()).filter_map(|axis| shape.factor(axis)).collect();
        lengths.insert(axis, 1);
        self.reshaped(operator, input, &lengths).map(Value::Tensor)
    }

    pub(super) fn transpose(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let rank = self.graph.shape(input).rank();
        let axes = self.fixed_numbers(operator, 1)?;
        let axes = axes.iter().map(|&axis| axis_of(axis, rank)).collect::<Result<Vec<_>, _>>()?;
        let perm = Permutation::new(&axes).ok_or("axes that are not a permutation")?;
        Ok(Value::Tensor(self.add(operator, Transpose { perm }, &[Some(input)])?))
    }

    pub(super) fn concatenation(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Axis { axis, activation } = operator.options else { return Err("the options are missing".into()) };
        if activation != Activation::None {
            return Err("a fused activation is not translated".into());
        }
        let parts = (0..operator.inputs.len()).map(|input| self.tensor(operator, input));
        let parts = parts.collect::<Result<Vec<_>, _>>()?;
        let first = *parts.first().ok_or("there are no inputs")?;
        let shape = self.graph.shape(first);
        let axis = axis_of(axis.into(), shape.rank())?;
        if shape.is_batch(axis) {
            return Err("it joins rows of the batch".into());
        }
        (0..parts.len()).try_for_each(|input| self.moves(operator, input, 0))?;
        let parts: Vec<_> = parts.into_iter().map(Some).collect();
        Ok(Value::Tensor(self.add(operator, Concat { axis: axis as u8 }, &parts)?))
    }

    pub(super) fn shape(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let input = self.tensor(operator, 0)?;
        let shape = self.graph.shape(input);
        let dimension = |axis: usize| Dimension { factor: shape.factors()[axis].into(), batched: shape.is_batch(axis) };
        Ok(Value::Numbers((0..shape.rank()).map(dimension).collect()))
    }

    /// Of numbers only: one range of a list, with a positive step.
    pub(super) fn slice_of_numbers(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Masks { begin: begin_mask, end: end_mask, shrink, others } = operator.options else {
            return Err("the options are missing".into());
        };
        let numbers = self.only_numbers(operator, 0)?;
        let parts =
            [self.fixed_numbers(operator, 1)?, self.fixed_numbers(operator, 2)?, self.fixed_numbers(operator, 3)?];
        let [&[begin], &[end], &[step]] = parts.each_ref().map(Vec::as_slice) else {
            return Err("more than one axis".into());
        };
        let step = usize::try_from(step).ok().filter(|&step| step > 0 && others == 0);
        let step = step.ok_or("a step that is not positive, or a mask that is not translated")?;
        let length = numbers.len() as i64;
        let place =
            |index: i64| (if index < 0 { index.saturating_add(length) } else { index }).clamp(0, length) as usize;
        let begin = if begin_mask & 1 == 1 { 0 } else { place(begin) };
        if shrink & 1 == 1 {
            let number = numbers.get(begin).copied().ok_or("an index outside the list")?;
            return Ok(Value::Numbers(vec![number]));
        }
        let end = if end_mask & 1 == 1 { numbers.len() } else { place(end) };
        let taken = numbers.get(begin..end.max(begin)).unwrap_or_default().iter().copied().step_by(step);
        Ok(Value::Numbers(taken.collect()))
    }

    /// Joins tensors along a new axis.
    pub(super) fn pack(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        let Options::Axis { axis, .. } = operator.options else { return Err("the options are missing".into()) };
        if (0..operator.inputs.len()).any(|input| self.is_numbers(operator, input)) {
            return self.list_of_numbers(operator, axis);
        }
        let mut parts = Vec::with_capacity(operator.inputs.len());
        for input in 0..operator.inputs.len() {
            let part = self.tensor(operator, input)?;
            self.moves(operator, input, 0)?;
            let mut lengths = self.lengths(part);
            let axis = axis_of(axis.into(), lengths.len() + 1)?;
            if axis == 0 && self.graph.shape(part).is_batched() {
                return Err("the batch would not be the first axis".into());
            }
            lengths.insert(axis, 1);
            parts.push(Some(self.reshaped(operator, part, &lengths)?));
        }
        let rank = parts.iter().flatten().next().map_or(0, |&part| self.graph.shape(part).rank());
        let axis = axis_of(axis.into(), rank)? as u8;
        Ok(Value::Tensor(self.add(operator, Concat { axis }, &parts)?))
    }

    /// Of numbers only: scalars to a list.
    fn list_of_numbers(&mut self, operator: &'a Operator, axis: i32) -> Result<Value, Stop> {
        if !matches!(axis, 0 | -1) {
            return Err("an axis other than 0".into());
        }
        let mut list = Vec::with_capacity(operator.inputs.len());
        for input in 0..operator.inputs.len() {
            let &[number] = self.only_numbers(operator, input)?.as_slice() else {
                return Err(format!("input {input} is not a single number").into());
            };
            list.push(number);
        }
        Ok(Value::Numbers(list))
    }

    /// True when an input was worked out from shapes.
    pub(super) fn is_numbers(&self, operator: &Operator, input: usize) -> bool {
        let index = self.optional(operator, input);
        index.is_some_and(|index| matches!(self.values.get(&index), Some(Value::Numbers(_))))
    }

    /// The numbers at an input of an operator that is translated for numbers only.
    fn only_numbers(&mut self, operator: &'a Operator, input: usize) -> Result<Vec<Dimension>, Stop> {
        let reason = "only translated for numbers that are worked out from shapes";
        self.numbers(operator, input).map_err(|stop| match stop {
            Stop::Unsupported(_) => reason.into(),
            stop => stop,
        })
    }
}
