//! One node while it is lowered: its inputs, attributes and version, and the graph that it adds to.

use std::cell::Cell;

use ekiben_runtime::kernels::reference::cast::cast;
use ekiben_runtime::ops::Op;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::tensor::Element;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::attributes::Attributes;
use super::count::{Count, Counts, MAX_COUNTS};
use crate::frontend::rows;
use crate::graph::{ConstantError, Graph, GraphError, Node, TensorId, evaluate};

/// Why a node cannot be lowered, and what would work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) String);

impl From<String> for Refusal {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

impl From<&str> for Refusal {
    fn from(reason: &str) -> Self {
        Self(reason.to_owned())
    }
}

impl From<GraphError> for Refusal {
    fn from(error: GraphError) -> Self {
        Self(error.error.to_string())
    }
}

impl From<ConstantError> for Refusal {
    fn from(error: ConstantError) -> Self {
        Self(error.to_string())
    }
}

impl From<ekiben_runtime::tensor::ShapeError> for Refusal {
    fn from(error: ekiben_runtime::tensor::ShapeError) -> Self {
        Self(error.to_string())
    }
}

impl From<crate::frontend::FrontendError> for Refusal {
    fn from(error: crate::frontend::FrontendError) -> Self {
        Self(error.to_string())
    }
}

/// What a name in the model stands for.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A tensor of the graph.
    Tensor(TensorId),
    /// Integers of which some depend on the batch.
    Counts(Counts),
    /// A list of values, whose length is known.
    Sequence(Vec<Value>),
    /// The result of a node that cannot be lowered.
    Blocked,
}

/// The results of a node.
pub(super) type Lowered = Result<Vec<Value>, Refusal>;

/// A single result.
pub(super) fn one(tensor: TensorId) -> Lowered {
    Ok(vec![Value::Tensor(tensor)])
}

/// A node while it is lowered.
pub(super) struct Call<'a> {
    pub(super) graph: &'a mut Graph,
    /// Name for messages and for the tensors that the node adds.
    pub(super) name: String,
    /// Version of the operator set that the operator belongs to.
    pub(super) version: i64,
    pub(super) attributes: Attributes<'a>,
    /// Inputs; `None` for absent ones.
    pub(super) inputs: Vec<Option<Value>>,
    /// For each output, whether something can read it.
    pub(super) outputs: Vec<bool>,
    /// Bytes that constants computed at once may still take.
    budget: &'a Cell<u64>,
    /// Counts that stand in tensors by their positions here, while [`Call::data`] is used.
    stand_ins: Vec<Count>,
}

impl<'a> Call<'a> {
    pub(super) fn new(
        graph: &'a mut Graph,
        name: String,
        version: i64,
        attributes: Attributes<'a>,
        inputs: Vec<Option<Value>>,
        outputs: Vec<bool>,
        budget: &'a Cell<u64>,
    ) -> Self {
        Self { graph, name, version, attributes, inputs, outputs, budget, stand_ins: Vec::new() }
    }

    /// Bytes that constants computed at once may still take.
    pub(super) fn budget(&self) -> &'a Cell<u64> {
        self.budget
    }

    /// Fails when an output from `count` on is wanted.
    pub(super) fn at_most_outputs(&self, count: usize) -> Result<(), Refusal> {
        match self.outputs.iter().skip(count).position(|&wanted| wanted) {
            Some(position) => Err(Refusal(format!("output {} is not supported", position + count))),
            None => Ok(()),
        }
    }

    /// True when an input is there.
    pub(super) fn has(&self, index: usize) -> bool {
        matches!(self.inputs.get(index), Some(Some(_)))
    }

    /// True when some input holds counts.
    pub(super) fn has_counts(&self) -> bool {
        self.inputs.iter().any(|input| matches!(input, Some(Value::Counts(_))))
    }

    /// An input as a tensor of the graph.
    pub(super) fn tensor(&mut self, index: usize) -> Result<TensorId, Refusal> {
        match self.inputs.get(index) {
            Some(Some(Value::Tensor(id))) => Ok(*id),
            Some(Some(Value::Counts(_))) => {
                Err(Refusal(format!("input {index} is computed from the batch size, which no operator can read")))
            }
            Some(Some(Value::Sequence(_))) => Err(Refusal(format!("input {index} is a sequence"))),
            _ => Err(Refusal(format!("input {index} is missing"))),
        }
    }

    /// An input that may be absent.
    pub(super) fn optional(&mut self, index: usize) -> Result<Option<TensorId>, Refusal> {
        if self.has(index) { self.tensor(index).map(Some) } else { Ok(None) }
    }

    /// An input whose elements the operator only moves. Where it holds counts, the positions of stand-ins take their place, and
    /// [`Call::moved`] turns them back.
    pub(super) fn data(&mut self, index: usize) -> Result<TensorId, Refusal> {
        match self.inputs.get(index) {
            Some(Some(Value::Counts(_))) => self.stand_in(index),
            _ => self.tensor(index),
        }
    }

    /// All inputs, as [`Call::data`].
    pub(super) fn all_data(&mut self) -> Result<Vec<TensorId>, Refusal> {
        let counts = self.has_counts();
        (0..self.inputs.len()).map(|index| if counts { self.stand_in(index) } else { self.tensor(index) }).collect()
    }

    fn stand_in(&mut self, index: usize) -> Result<TensorId, Refusal> {
        let counts = self.counts(index)?;
        let first = self.stand_ins.len() as i64;
        self.stand_ins.extend(&counts.values);
        let positions: Vec<i64> = (first..self.stand_ins.len() as i64).collect();
        self.constant(DType::I64, &counts.dims, &positions)
    }

    /// The results of an operator that moved [`Call::data`].
    pub(super) fn moved(&mut self, tensors: Vec<TensorId>) -> Lowered {
        if self.stand_ins.is_empty() {
            return Ok(tensors.into_iter().map(Value::Tensor).collect());
        }
        let counts: Vec<Counts> = tensors.into_iter().map(|tensor| self.stood_for(tensor)).collect::<Result<_, _>>()?;
        counts.into_iter().map(|counts| self.put_counts(counts)).collect()
    }

    /// The counts whose stand-ins a tensor holds.
    fn stood_for(&self, tensor: TensorId) -> Result<Counts, Refusal> {
        let positions =
            self.constant_integers(tensor).ok_or("integers that depend on the batch are moved by others")?;
        let count = |&position: &i64| usize::try_from(position).ok().and_then(|at| self.stand_ins.get(at)).copied();
        if positions.len() > MAX_COUNTS {
            return Err(Refusal(format!("more than {MAX_COUNTS} integers depend on the batch")));
        }
        let values = positions.iter().map(count).collect::<Option<Vec<_>>>();
        let dims = self.graph.shape(tensor).factors().iter().map(|&dim| dim as usize).collect();
        Ok(Counts { dims, values: values.ok_or("a value was added to integers that depend on the batch")? })
    }

    /// Gives integers to the model: a constant where none depends on the batch.
    pub(super) fn put_counts(&mut self, counts: Counts) -> Result<Value, Refusal> {
        match counts.values.iter().map(|count| count.number()).collect::<Option<Vec<i64>>>() {
            Some(numbers) => Ok(Value::Tensor(self.constant(DType::I64, &counts.dims, &numbers)?)),
            None => Ok(Value::Counts(counts)),
        }
    }

    /// An input as counts: integers known while the model is compiled.
    pub(super) fn counts(&self, index: usize) -> Result<Counts, Refusal> {
        match self.inputs.get(index) {
            Some(Some(Value::Counts(counts))) => Ok(counts.clone()),
            Some(Some(Value::Tensor(id))) => {
                let numbers = self.constant_integers(*id);
                let numbers = numbers.filter(|numbers| numbers.len() <= MAX_COUNTS);
                let numbers = numbers.ok_or_else(|| {
                    Refusal(format!("input {index} must be integers that are known while the model is compiled"))
                })?;
                let dims = self.graph.shape(*id).factors().iter().map(|&dim| dim as usize).collect();
                Ok(Counts { dims, values: numbers.into_iter().map(Count::from).collect() })
            }
            _ => Err(Refusal(format!("input {index} is missing"))),
        }
    }

    /// An input as integers that do not depend on the batch.
    pub(super) fn integers(&self, index: usize) -> Result<Vec<i64>, Refusal> {
        let counts = self.counts(index)?;
        let numbers = counts.values.iter().map(|count| count.number()).collect::<Option<Vec<i64>>>();
        numbers.ok_or_else(|| Refusal(format!("input {index} depends on the batch, which is not supported here")))
    }

    /// Integers that are an attribute in older versions and input `index` in newer ones.
    pub(super) fn integers_or_attribute(&self, index: usize, name: &str) -> Result<Option<Vec<i64>>, Refusal> {
        match self.attributes.ints(name)? {
            Some(values) => Ok(Some(values.to_vec())),
            None if self.has(index) => self.integers(index).map(Some),
            None => Ok(None),
        }
    }

    /// The elements of a constant integer or boolean tensor.
    pub(super) fn constant_integers(&self, id: TensorId) -> Option<Vec<i64>> {
        let tensor = self.graph.tensor(id);
        let bytes = tensor.constant.as_ref()?.as_slice();
        match tensor.spec.dtype {
            DType::I64 => Some(bytemuck::cast_slice(bytes).to_vec()),
            DType::I32 => Some(bytemuck::cast_slice::<u8, i32>(bytes).iter().map(|&value| value.into()).collect()),
            DType::Bool => Some(bytes.iter().map(|&value| (value != 0).into()).collect()),
            _ => None,
        }
    }

    /// The elements of a constant float tensor.
    pub(super) fn constant_floats(&self, id: TensorId) -> Option<Vec<f64>> {
        let tensor = self.graph.tensor(id);
        let bytes = tensor.constant.as_ref()?.as_slice();
        match tensor.spec.dtype {
            DType::F32 => Some(bytemuck::cast_slice::<u8, f32>(bytes).iter().map(|&value| value.into()).collect()),
            DType::F64 => Some(bytemuck::cast_slice(bytes).to_vec()),
            _ => None,
        }
    }

    /// True when all elements of a tensor are known to be `number`.
    pub(super) fn filled_with(&self, id: TensorId, number: f64) -> bool {
        let source = match self.graph.producer(id) {
            Some(Node { op: Op::Expand(_), inputs, .. }) => inputs.first().copied().flatten().unwrap_or(id),
            _ => id,
        };
        let integers = self.constant_integers(source).map(|values| values.iter().all(|&value| value as f64 == number));
        let floats = || self.constant_floats(source).map(|values| values.iter().all(|&value| value == number));
        integers.or_else(floats).unwrap_or(false)
    }

    /// An axis of a tensor of `rank` axes, counted from the end when negative.
    pub(super) fn axis(&self, axis: i64, rank: usize) -> Result<usize, Refusal> {
        let counted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        let counted = counted.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank);
        counted.ok_or_else(|| Refusal(format!("axis {axis} is not one of {rank}")))
    }

    pub(super) fn shape(&self, id: TensorId) -> Shape {
        self.graph.shape(id)
    }

    pub(super) fn dtype(&self, id: TensorId) -> DType {
        self.graph.spec(id).dtype
    }

    /// Adds a constant.
    pub(super) fn constant<T: Element>(
        &mut self,
        dtype: DType,
        dims: &[usize],
        values: &[T],
    ) -> Result<TensorId, Refusal> {
        let name = self.name.clone();
        Ok(self.graph.add_constant(&name, dtype, dims, values)?)
    }

    /// A tensor without elements, of the type of `like`.
    pub(super) fn empty_like(&mut self, like: TensorId, shape: Shape) -> Result<TensorId, Refusal> {
        let spec = TensorSpec { shape, ..self.graph.spec(like) };
        let name = self.name.clone();
        Ok(self.graph.add_constant_bytes(&name, spec, &[])?)
    }

    /// Adds a scalar constant of a type of numbers of whole bytes.
    pub(super) fn scalar(&mut self, dtype: DType, value: f64) -> Result<TensorId, Refusal> {
        let mut bytes = vec![0; (dtype.bits() / 8) as usize];
        cast(DType::F64, &value.to_le_bytes(), dtype, &mut bytes);
        let name = self.name.clone();
        Ok(self.graph.add_constant_bytes(&name, TensorSpec::new(dtype, Shape::scalar()), &bytes)?)
    }

    /// Adds a float constant of the type of `like`.
    pub(super) fn floats_like(&mut self, like: TensorId, dims: &[usize], values: &[f64]) -> Result<TensorId, Refusal> {
        self.floats(self.dtype(like), dims, values)
    }

    /// As [`Call::floats`], for values computed from a few numbers.
    pub(super) fn computed(&mut self, dtype: DType, dims: &[usize], values: &[f64]) -> Result<TensorId, Refusal> {
        self.spend(values.len() as u64 * 8)?;
        self.floats(dtype, dims, values)
    }

    /// Adds a float constant.
    pub(super) fn floats(&mut self, dtype: DType, dims: &[usize], values: &[f64]) -> Result<TensorId, Refusal> {
        match dtype {
            DType::F64 => self.constant(DType::F64, dims, values),
            DType::F32 => {
                let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
                self.constant(DType::F32, dims, &values)
            }
            other => Err(Refusal(format!("elements of type {other} are not supported, float32 and float64 are"))),
        }
    }

    /// Takes bytes of a constant that is computed from a few numbers from what such constants may take.
    pub(super) fn spend(&self, bytes: u64) -> Result<(), Refusal> {
        let left = self.budget.get().checked_sub(bytes).ok_or("the constants that the model computes take too much")?;
        self.budget.set(left);
        Ok(())
    }

    /// Adds a node of one output.
    pub(super) fn add(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> Result<TensorId, Refusal> {
        let inputs: Vec<_> = inputs.iter().copied().map(Some).collect();
        Ok(self.add_node(op.into(), &inputs, &[])?[0])
    }

    /// A float32 tensor in the place of one of 16-bit floats.
    pub(super) fn widened(&mut self, id: TensorId) -> Result<TensorId, Refusal> {
        match self.dtype(id) {
            DType::F16 | DType::BF16 => self.add(Cast { to: DType::F32 }, &[id]),
            _ => Ok(id),
        }
    }

    /// A tensor as `dtype`.
    pub(super) fn cast(&mut self, id: TensorId, dtype: DType) -> Result<TensorId, Refusal> {
        if self.dtype(id) == dtype { Ok(id) } else { self.add(Cast { to: dtype }, &[id]) }
    }

    /// Adds a node of one declared output.
    pub(super) fn add_declared(
        &mut self,
        op: impl Into<Op>,
        input: TensorId,
        declared: TensorSpec,
    ) -> Result<TensorId, Refusal> {
        Ok(self.add_node(op.into(), &[Some(input)], &[declared])?[0])
    }

    /// Adds a node; one whose inputs are constants is computed at once, as long as results stay within the budget.
    pub(super) fn add_node(
        &mut self,
        op: Op,
        inputs: &[Option<TensorId>],
        declared: &[TensorSpec],
    ) -> Result<Vec<TensorId>, Refusal> {
        if rows::mixes(self.graph, &op, inputs) {
            return Err(rows::MIXES.into());
        }
        let foldable = |id: &TensorId| {
            let tensor = self.graph.tensor(*id);
            tensor.constant.is_some() && tensor.spec.table.is_none()
        };
        // Quantized and 16-bit weights stay as they are until passes have seen who reads them.
        let widens = matches!(op, Op::LinearDequantize(_)) || crate::passes::widens(self.graph, &op, inputs);
        if widens || !inputs.iter().flatten().all(foldable) {
            return Ok(self.graph.add_node(&self.name, op, inputs, declared)?);
        }
        let mut folded = Graph::new();
        let mut constants = Vec::new();
        for input in inputs {
            constants.push(match input {
                None => None,
                Some(id) => {
                    let tensor = self.graph.tensor(*id);
                    let bytes = tensor.constant.clone().unwrap_or_default();
                    Some(folded.add_shared_constant(&tensor.name, tensor.spec, bytes)?)
                }
            });
        }
        let outputs = folded.add_node(&self.name, op, &constants, declared)?;
        let bytes = outputs.iter().map(|&output| folded.spec(output).bytes().unwrap_or(u64::MAX));
        let left = self.budget.get().checked_sub(bytes.fold(0, u64::saturating_add));
        let batched = outputs.iter().any(|&output| folded.shape(output).is_batched());
        let Some(left) = left.filter(|_| !batched) else {
            return Ok(self.graph.add_node(&self.name, op, inputs, declared)?);
        };
        self.budget.set(left);
        outputs.iter().for_each(|&output| folded.add_output(output));
        let values = evaluate(&folded, 1, &[]).map_err(|error| Refusal(error.to_string()))?;
        let pairs = outputs.iter().zip(values);
        let results = pairs.map(|(&output, value)| {
            Ok(self.graph.add_constant_bytes(&self.name, folded.spec(output), value.as_slice())?)
        });
        results.collect()
    }

    /// Gives a tensor another shape.
    pub(super) fn reshape(&mut self, id: TensorId, shape: Shape) -> Result<TensorId, Refusal> {
        if self.shape(id) == shape {
            return Ok(id);
        }
        let spec = TensorSpec { shape, ..self.graph.spec(id) };
        self.add_declared(Reshape, id, spec)
    }

    /// Gives a tensor the shape of `dims`, of which axis `batch` depends on the batch.
    pub(super) fn reshape_to(
        &mut self,
        id: TensorId,
        dims: &[usize],
        batch: Option<usize>,
    ) -> Result<TensorId, Refusal> {
        let shape = Shape::new(dims, batch)?;
        self.reshape(id, shape)
    }

    /// Permutes axes.
    pub(super) fn transpose(&mut self, id: TensorId, axes: &[usize]) -> Result<TensorId, Refusal> {
        if axes.iter().enumerate().all(|(position, &axis)| position == axis) && axes.len() == self.shape(id).rank() {
            return Ok(id);
        }
        let perm = Permutation::new(axes).ok_or_else(|| Refusal(format!("{axes:?} is not an order of axes")))?;
        self.add(Transpose { perm }, &[id])
    }
}
