//! Lowers a checked TFLite file to the graph, operator by operator.

mod blocks;
mod choice;
mod dense;
mod elementwise;
mod functions;
mod images;
mod layout;
mod lstm;
mod norms;
mod parts;
mod resample;
mod scales;
mod state;
mod tables;

use std::collections::HashMap;

use ekiben_runtime::ops::Op;
use ekiben_runtime::ops::conv2d::Clamp;
use ekiben_runtime::ops::quantized_conv2d::Factor;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::tensor::{Element, MAX_RANK};
use ekiben_runtime::{DType, Shape, TensorSpec};
use tract_tflite::tflite::BuiltinOperator;

use self::scales::{factor, scale_of, symmetric};
use self::state::Variable;
use super::file::{File, Operator, Tensor};
use crate::frontend::{Blocker, FrontendError, NamedTensor, rows};
use crate::graph::{ConstantError, Graph, GraphError, TensorId};

/// Constants may take this many times the file's size, plus a mebibyte: tensors can share buffers, and factors are worked out.
pub(super) const CONSTANT_FACTOR: u64 = 8;

/// The most bytes of a tensor, for one row of the batch.
pub(super) const MAX_TENSOR_BYTES: u64 = i32::MAX as u64;

/// The most numbers of a list that is worked out at compile time: two for each axis.
const MAX_NUMBERS: usize = 2 * MAX_RANK;

/// A dimension worked out from shapes: `factor`, times the batch where `batched`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Dimension {
    factor: i64,
    batched: bool,
}

/// What is known of a tensor of the file.
#[derive(Clone, Debug)]
enum Value {
    /// A tensor of the graph.
    Tensor(TensorId),
    /// Whole numbers that are worked out at compile time.
    Numbers(Vec<Dimension>),
    /// A resource variable, by its place in [`Lowering::variables`].
    Variable(usize),
    /// The result of an operator that cannot be translated.
    Unknown,
}

/// Why an operator cannot be lowered.
#[derive(Debug)]
enum Stop {
    /// It is not translated: the reason.
    Unsupported(String),
    /// It reads the result of one that is not translated.
    Unknown,
    /// The file is damaged, or too large.
    Malformed(FrontendError),
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Unsupported(reason)
    }
}

impl From<&str> for Stop {
    fn from(reason: &str) -> Self {
        Self::Unsupported(reason.to_owned())
    }
}

impl From<GraphError> for Stop {
    fn from(error: GraphError) -> Self {
        Self::Unsupported(error.error.to_string())
    }
}

impl From<ConstantError> for Stop {
    fn from(error: ConstantError) -> Self {
        Self::Malformed(error.into())
    }
}

impl From<FrontendError> for Stop {
    fn from(error: FrontendError) -> Self {
        Self::Malformed(error)
    }
}

/// Appends the model to `graph`, reading `inputs` (one for each input of the file), and returns its outputs.
pub(super) fn lower(file: &File, graph: &mut Graph, inputs: &[TensorId]) -> Result<Vec<NamedTensor>, FrontendError> {
    let budget = (file.length as u64).saturating_mul(CONSTANT_FACTOR).saturating_add(1 << 20);
    let values = file.inputs.iter().copied().zip(inputs.iter().map(|&id| Value::Tensor(id))).collect();
    let mut lowering = Lowering { file, graph, values, budget, variables: Vec::new() };
    let mut blockers = Vec::new();
    for operator in &file.operators {
        match lowering.operator(operator) {
            Ok(results) => lowering.finish(operator, results)?,
            Err(Stop::Malformed(error)) => return Err(error),
            Err(Stop::Unknown) => lowering.give_up(operator),
            Err(Stop::Unsupported(reason)) => {
                let (node, name) = (file.node_name(operator).to_owned(), operator.operator.clone());
                blockers.push(Blocker { node, operator: name, reason });
                lowering.give_up(operator);
            }
        }
    }
    if !blockers.is_empty() {
        return Err(FrontendError::Unsupported(blockers));
    }
    let outputs = file.outputs.iter().map(|&output| lowering.output(output)).collect();
    lowering.keep_variables()?;
    outputs
}

struct Lowering<'a> {
    file: &'a File,
    graph: &'a mut Graph,
    values: HashMap<usize, Value>,
    /// Bytes of constants that may still be added.
    budget: u64,
    /// Resource variables, and tensors that keep their elements.
    variables: Vec<Variable>,
}

impl<'a> Lowering<'a> {
    /// Lowers one operator, by its code.
    fn operator(&mut self, operator: &'a Operator) -> Result<Vec<Value>, Stop> {
        match operator.code {
            BuiltinOperator::SPLIT | BuiltinOperator::SPLIT_V => self.split(operator),
            BuiltinOperator::UNPACK => self.unpack(operator),
            BuiltinOperator::CALL_ONCE => self.call_once(operator),
            BuiltinOperator::ASSIGN_VARIABLE => self.assign_variable(operator),
            _ => self.one_result(operator).map(|result| vec![result]),
        }
    }

    /// Lowers an operator that has one result.
    fn one_result(&mut self, operator: &'a Operator) -> Result<Value, Stop> {
        match operator.code {
            BuiltinOperator::CONV_2D => self.conv2d(operator),
            BuiltinOperator::DEPTHWISE_CONV_2D => self.depthwise_conv2d(operator),
            BuiltinOperator::FULLY_CONNECTED => self.fully_connected(operator),
            BuiltinOperator::AVERAGE_POOL_2D | BuiltinOperator::MAX_POOL_2D => self.pool2d(operator),
            BuiltinOperator::MEAN
            | BuiltinOperator::SUM
            | BuiltinOperator::REDUCE_MAX
            | BuiltinOperator::REDUCE_MIN => self.reduce(operator),
            BuiltinOperator::PAD => self.pad(operator),
            BuiltinOperator::ADD
            | BuiltinOperator::SUB
            | BuiltinOperator::MUL
            | BuiltinOperator::DIV
            | BuiltinOperator::MAXIMUM
            | BuiltinOperator::MINIMUM
            | BuiltinOperator::SQUARED_DIFFERENCE => self.binary(operator),
            BuiltinOperator::ADD_N => self.add_n(operator),
            BuiltinOperator::PRELU => self.prelu(operator),
            BuiltinOperator::RELU
            | BuiltinOperator::RELU6
            | BuiltinOperator::RELU_N1_TO_1
            | BuiltinOperator::LEAKY_RELU
            | BuiltinOperator::LOGISTIC
            | BuiltinOperator::TANH
            | BuiltinOperator::HARD_SWISH
            | BuiltinOperator::ELU
            | BuiltinOperator::ABS
            | BuiltinOperator::EXP
            | BuiltinOperator::LOG
            | BuiltinOperator::RSQRT
            | BuiltinOperator::SQRT
            | BuiltinOperator::SQUARE
            | BuiltinOperator::SIN
            | BuiltinOperator::COS
            | BuiltinOperator::CEIL
            | BuiltinOperator::FLOOR
            | BuiltinOperator::ROUND
            | BuiltinOperator::NEG => self.unary(operator),
            BuiltinOperator::SOFTMAX => self.softmax(operator),
            BuiltinOperator::VAR_HANDLE => self.var_handle(operator),
            BuiltinOperator::READ_VARIABLE => self.read_variable(operator),
            BuiltinOperator::SVDF => self.svdf(operator),
            BuiltinOperator::UNIDIRECTIONAL_SEQUENCE_LSTM => self.sequence_lstm(operator),
            BuiltinOperator::QUANTIZE => self.quantize(operator),
            BuiltinOperator::DEQUANTIZE => self.dequantize(operator),
            BuiltinOperator::RESHAPE => self.reshape(operator),
            BuiltinOperator::SQUEEZE => self.squeeze(operator),
            BuiltinOperator::EXPAND_DIMS => self.expand_dims(operator),
            BuiltinOperator::TRANSPOSE => self.transpose(operator),
            BuiltinOperator::CONCATENATION => self.concatenation(operator),
            BuiltinOperator::RESIZE_BILINEAR => self.resize_bilinear(operator),
            BuiltinOperator::RESIZE_NEAREST_NEIGHBOR => self.resize_nearest(operator),
            BuiltinOperator::TRANSPOSE_CONV => self.transpose_conv(operator),
            BuiltinOperator::BATCH_MATMUL => self.batch_mat_mul(operator),
            BuiltinOperator::L2_NORMALIZATION => self.l2_normalization(operator),
            BuiltinOperator::L2_POOL_2D => self.l2_pool2d(operator),
            BuiltinOperator::LOG_SOFTMAX => self.log_softmax(operator),
            BuiltinOperator::FLOOR_DIV => self.floor_div(operator),
            BuiltinOperator::FLOOR_MOD => self.floor_mod(operator),
            BuiltinOperator::CUMSUM => self.cumsum(operator),
            BuiltinOperator::SLICE => self.slice(operator),
            BuiltinOperator::GATHER => self.gather(operator),
            BuiltinOperator::GATHER_ND => self.gather_nd(operator),
            BuiltinOperator::EMBEDDING_LOOKUP => self.embedding_lookup(operator),
            BuiltinOperator::DYNAMIC_UPDATE_SLICE => self.update_slice(operator),
            BuiltinOperator::REVERSE_V2 => self.reverse(operator),
            BuiltinOperator::PADV2 => self.pad(operator),
            BuiltinOperator::MIRROR_PAD => self.mirror_pad(operator),
            BuiltinOperator::SPACE_TO_BATCH_ND => self.space_to_batch(operator),
            BuiltinOperator::BATCH_TO_SPACE_ND => self.batch_to_space(operator),
            BuiltinOperator::SPACE_TO_DEPTH => self.space_to_depth(operator),
            BuiltinOperator::DEPTH_TO_SPACE => self.depth_to_space(operator),
            BuiltinOperator::BROADCAST_TO => self.broadcast_to(operator),
            BuiltinOperator::BROADCAST_ARGS => self.broadcast_args(operator),
            BuiltinOperator::FILL => self.fill(operator),
            BuiltinOperator::ZEROS_LIKE => self.zeros_like(operator),
            BuiltinOperator::TILE => self.tile(operator),
            BuiltinOperator::CAST => self.cast(operator),
            BuiltinOperator::EQUAL
            | BuiltinOperator::NOT_EQUAL
            | BuiltinOperator::GREATER
            | BuiltinOperator::GREATER_EQUAL
            | BuiltinOperator::LESS
            | BuiltinOperator::LESS_EQUAL => self.compare(operator),
            BuiltinOperator::LOGICAL_AND | BuiltinOperator::LOGICAL_OR | BuiltinOperator::LOGICAL_NOT => {
                self.logic(operator)
            }
            BuiltinOperator::SELECT_V2 | BuiltinOperator::SELECT => self.select(operator),
            BuiltinOperator::ARG_MAX | BuiltinOperator::ARG_MIN => self.arg_extreme(operator),
            BuiltinOperator::SHAPE => self.shape(operator),
            BuiltinOperator::STRIDED_SLICE => self.strided_slice(operator),
            BuiltinOperator::PACK => self.pack(operator),
            _ => Err("this operator is not translated. Remove it from the model, or compute it before or after".into()),
        }
    }

    /// Notes the result of an operator, after comparing it with what the file states.
    fn finish(&mut self, operator: &Operator, results: Vec<Value>) -> Result<(), FrontendError> {
        if operator.outputs.len() != results.len() {
            let reason = format!("{} outputs instead of {}", operator.outputs.len(), results.len());
            return Err(FrontendError::malformed(self.place(operator), reason));
        }
        let mut pairs = operator.outputs.iter().zip(results);
        pairs.try_for_each(|(&output, result)| self.finish_one(operator, output, result))
    }

    fn finish_one(&mut self, operator: &Operator, output: usize, result: Value) -> Result<(), FrontendError> {
        if let Value::Tensor(id) = result {
            self.check_result(operator, &self.file.tensors[output], self.graph.spec(id))?;
            if let Some(quantization) = self.file.tensors[output].quantization.as_ref().and_then(|q| q.per_tensor()) {
                self.graph.set_quantization(id, quantization);
            }
        }
        self.values.insert(output, result);
        Ok(())
    }

    fn check_result(&self, operator: &Operator, stated: &Tensor, spec: TensorSpec) -> Result<(), FrontendError> {
        if spec.bytes().is_none_or(|bytes| bytes > MAX_TENSOR_BYTES) {
            let reason = format!("the result {} {} takes more than {MAX_TENSOR_BYTES} bytes", spec.dtype, spec.shape);
            return Err(FrontendError::malformed(self.place(operator), reason));
        }
        let lengths = spec.shape.factors().iter().map(|&factor| factor as usize);
        if stated.dtype != Some(spec.dtype) || !lengths.eq(stated.shape.iter().copied()) {
            let reason = format!("makes {} {}, but the file states {:?}", spec.dtype, spec.shape, stated.shape);
            return Err(FrontendError::malformed(self.place(operator), reason));
        }
        Ok(())
    }

    /// Marks an operator's results as unknown.
    fn give_up(&mut self, operator: &Operator) {
        self.values.extend(operator.outputs.iter().map(|&output| (output, Value::Unknown)));
    }

    /// An output of the model.
    fn output(&mut self, tensor: usize) -> Result<NamedTensor, FrontendError> {
        let malformed = |reason: &str| FrontendError::malformed(self.file.tensors[tensor].place(), reason);
        let id = match self.values.get(&tensor) {
            Some(Value::Tensor(id)) => *id,
            Some(_) => return Err(malformed("an output that is a shape and no tensor")),
            None => return Err(malformed("an output that no operator makes")),
        };
        let id = if self.graph.is_state(id) { self.copy(id)? } else { id };
        let shape = self.graph.shape(id);
        if shape.batch_axis().is_some_and(|axis| axis != 0 || shape.factor(axis) != Some(1)) {
            return Err(malformed("an output that does not have one row for each row of the batch"));
        }
        let name = self.file.public_name(tensor).to_owned();
        Ok(NamedTensor { name, tensor: id })
    }

    /// A copy of a tensor that changes after the run.
    fn copy(&mut self, id: TensorId) -> Result<TensorId, FrontendError> {
        let (name, spec) = (self.graph.tensor(id).name.clone(), self.graph.spec(id));
        let copy = self.graph.add_declared(&name, ekiben_runtime::ops::reshape::Reshape, &[id], spec);
        copy.map_err(|error| FrontendError::malformed(format!("tensor {name:?}"), error))
    }

    fn place(&self, operator: &Operator) -> String {
        format!("operator {} ({})", self.file.node_name(operator), operator.operator)
    }

    /// The file's tensor at an input, which must be there.
    fn stated(&self, operator: &Operator, input: usize) -> Result<&'a Tensor, Stop> {
        self.optional(operator, input).map(|index| &self.file.tensors[index]).ok_or_else(|| {
            Stop::Malformed(FrontendError::malformed(self.place(operator), format!("input {input} is missing")))
        })
    }

    /// The file's index of the tensor at an input.
    fn optional(&self, operator: &Operator, input: usize) -> Option<usize> {
        operator.inputs.get(input).copied().flatten()
    }

    /// The value at an input: one computed before, or a constant of the file.
    fn value(&mut self, operator: &'a Operator, input: usize) -> Result<Value, Stop> {
        let stated = self.stated(operator, input)?;
        let index = self.optional(operator, input).unwrap_or_default();
        match self.values.get(&index) {
            Some(Value::Unknown) => return Err(Stop::Unknown),
            Some(value) => return Ok(value.clone()),
            None => {}
        }
        if stated.is_variable {
            let id = self.variable_tensor(index)?;
            return Ok(Value::Tensor(id));
        }
        let Some(data) = &stated.data else {
            let reason = format!("input {input}, {}, is read before anything makes it", stated.place());
            return Err(Stop::Malformed(FrontendError::malformed(self.place(operator), reason)));
        };
        let shape = Shape::fixed(&stated.shape).map_err(|error| FrontendError::malformed(stated.place(), error))?;
        let spec = TensorSpec::new(stated.known_dtype().map_err(|error| Stop::Unsupported(error.to_string()))?, shape);
        self.charge(data.len())?;
        let id = self.graph.add_constant_bytes(&stated.name, spec, data)?;
        self.values.insert(index, Value::Tensor(id));
        Ok(Value::Tensor(id))
    }

    /// The tensor of the graph at an input.
    fn tensor(&mut self, operator: &'a Operator, input: usize) -> Result<TensorId, Stop> {
        match self.value(operator, input)? {
            Value::Tensor(id) => Ok(id),
            Value::Numbers(_) | Value::Variable(_) | Value::Unknown => {
                Err(format!("input {input} is computed from shapes").into())
            }
        }
    }

    /// As [`Self::tensor`], for an input that may be absent.
    fn optional_tensor(&mut self, operator: &'a Operator, input: usize) -> Result<Option<TensorId>, Stop> {
        self.optional(operator, input).map(|_| self.tensor(operator, input)).transpose()
    }

    /// The whole numbers at an input: worked out from shapes, or constants of the file.
    fn numbers(&mut self, operator: &'a Operator, input: usize) -> Result<Vec<Dimension>, Stop> {
        let index = self.optional(operator, input);
        if let Some(Value::Numbers(numbers)) = index.and_then(|index| self.values.get(&index)) {
            return Ok(numbers.clone());
        }
        let stated = self.stated(operator, input)?;
        let fixed = |factor| Dimension { factor, batched: false };
        if stated.data.as_ref().is_some_and(|data| data.len() > MAX_NUMBERS * size_of::<i64>()) {
            return Err(format!("input {input} lists more numbers than a tensor has axes").into());
        }
        match (&stated.data, stated.dtype) {
            (Some(data), Some(DType::I32)) => {
                Ok(data.as_chunks().0.iter().map(|bytes| fixed(i32::from_le_bytes(*bytes).into())).collect())
            }
            (Some(data), Some(DType::I64)) => {
                Ok(data.as_chunks().0.iter().map(|bytes| fixed(i64::from_le_bytes(*bytes))).collect())
            }
            _ if index.is_some_and(|index| matches!(self.values.get(&index), Some(Value::Unknown))) => {
                Err(Stop::Unknown)
            }
            _ => Err(format!("input {input} is not a list of whole numbers known at compile time").into()),
        }
    }

    /// As [`Self::numbers`], for numbers that do not depend on the batch.
    fn fixed_numbers(&mut self, operator: &'a Operator, input: usize) -> Result<Vec<i64>, Stop> {
        let numbers = self.numbers(operator, input)?;
        if numbers.iter().any(|number| number.batched) {
            return Err(format!("input {input} depends on the batch").into());
        }
        Ok(numbers.into_iter().map(|number| number.factor).collect())
    }

    fn charge(&mut self, bytes: usize) -> Result<(), Stop> {
        let left = self.budget.checked_sub(bytes as u64);
        self.budget = left.ok_or_else(|| {
            let reason =
                format!("constants take more than {CONSTANT_FACTOR} times the file: its tensors share too few buffers");
            Stop::Malformed(FrontendError::malformed("tensors", reason))
        })?;
        Ok(())
    }

    /// Adds a constant list that the file does not hold.
    fn list<T: Element>(
        &mut self,
        operator: &Operator,
        dtype: DType,
        dims: &[usize],
        list: &[T],
    ) -> Result<TensorId, Stop> {
        self.charge(size_of_val(list))?;
        Ok(self.graph.add_constant(self.file.node_name(operator), dtype, dims, list)?)
    }

    /// Adds multipliers and shifts.
    fn factors(&mut self, operator: &Operator, factors: &[Factor]) -> Result<[TensorId; 2], Stop> {
        let multipliers: Vec<i32> = factors.iter().map(|factor| factor.multiplier).collect();
        let shifts: Vec<i32> = factors.iter().map(|factor| factor.shift).collect();
        let dims = [factors.len()];
        Ok([self.list(operator, DType::I32, &dims, &multipliers)?, self.list(operator, DType::I32, &dims, &shifts)?])
    }

    /// Adds a node of one output, named as the tensor that it makes.
    fn add(&mut self, operator: &Operator, op: impl Into<Op>, inputs: &[Option<TensorId>]) -> Result<TensorId, Stop> {
        let op = op.into();
        if rows::mixes(self.graph, &op, inputs) {
            return Err(rows::MIXES.into());
        }
        let outputs = self.graph.add_node(self.file.node_name(operator), op, inputs, &[])?;
        outputs.first().copied().ok_or_else(|| Stop::from("the operator has no output"))
    }

    /// Applies a fused activation to a float tensor.
    fn clamp(&mut self, operator: &Operator, clamp: Clamp, id: TensorId) -> Result<TensorId, Stop> {
        let unary = match clamp {
            Clamp::NONE => return Ok(id),
            Clamp::RELU => Unary::of(UnaryKind::Relu),
            Clamp { low, high } => Unary { kind: UnaryKind::Clip, alpha: low.into(), beta: high.into() },
        };
        self.add(operator, unary, &[Some(id)])
    }
}
