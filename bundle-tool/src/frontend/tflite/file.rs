//! A TFLite file as plain data whose indices, shapes and quantization have been checked.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use ekiben_runtime::DType;
use ekiben_runtime::tensor::MAX_RANK;
use tract_tflite::tflite::{self, BuiltinOperator, TensorType};

use super::options::Options;
use super::quantization::Quantized;
use crate::frontend::FrontendError;

/// The first subgraph of a model.
#[derive(Debug)]
pub(super) struct File {
    pub(super) tensors: Vec<Tensor>,
    /// In the order in which they run.
    pub(super) operators: Vec<Operator>,
    /// Tensors that the caller provides.
    pub(super) inputs: Vec<usize>,
    /// Tensors that the caller reads.
    pub(super) outputs: Vec<usize>,
    /// Bytes of the whole file.
    pub(super) length: usize,
    /// Subgraphs that CALL_ONCE names, by index.
    pub(super) initialisers: HashMap<usize, Part>,
    /// Names that the model's signature gives its inputs and outputs.
    signature: HashMap<usize, String>,
}

/// Tensors of a subgraph, and operators in the order in which they run.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) tensors: Vec<Tensor>,
    pub(super) operators: Vec<Operator>,
}

impl Part {
    fn read(
        graph: &tflite::SubGraph<'_>,
        model: &tflite::Model<'_>,
        buffers: &[Rc<[u8]>],
        budget: &mut Budget,
    ) -> Result<Self, FrontendError> {
        let tensors = graph.tensors().into_iter().flatten().enumerate();
        let tensors = tensors.map(|(index, tensor)| read_tensor(index, &tensor, buffers, budget));
        let tensors = tensors.collect::<Result<Vec<_>, _>>()?;
        let operators = graph.operators().into_iter().flatten().enumerate();
        let count = tensors.len();
        let operators = operators.map(|(index, operator)| read_operator(index, &operator, model, count, budget));
        Ok(Self { operators: operators.collect::<Result<Vec<_>, _>>()?, tensors })
    }
}

/// A tensor as the file states it.
#[derive(Debug)]
pub(super) struct Tensor {
    index: usize,
    pub(super) name: String,
    /// `None` for a type that has no counterpart here.
    pub(super) dtype: Option<DType>,
    /// Name of the type in the file.
    type_name: &'static str,
    /// Dimensions, 1 for those that the file leaves free.
    pub(super) shape: Vec<usize>,
    /// Free dimensions but the first.
    pub(super) free: Vec<usize>,
    pub(super) quantization: Option<Quantized>,
    /// It keeps its elements from one run to the next.
    pub(super) is_variable: bool,
    /// The elements, where the file holds them: as many bytes as type and shape say.
    pub(super) data: Option<Rc<[u8]>>,
}

/// An operator as the file states it.
#[derive(Debug)]
pub(super) struct Operator {
    pub(super) code: BuiltinOperator,
    /// Name for messages.
    pub(super) operator: String,
    /// Tensors; `None` for an absent optional one.
    pub(super) inputs: Vec<Option<usize>>,
    pub(super) outputs: Vec<usize>,
    /// Tensors that only state scales.
    pub(super) intermediates: Vec<usize>,
    pub(super) options: Options,
}

impl Tensor {
    /// Place for messages.
    pub(super) fn place(&self) -> String {
        format!("tensor {} {:?}", self.index, self.name)
    }

    /// The element type.
    pub(super) fn known_dtype(&self) -> Result<DType, FrontendError> {
        self.dtype
            .ok_or_else(|| FrontendError::unsupported(self.place(), self.type_name, "this element type is not read"))
    }
}

impl File {
    /// Verifies the flatbuffer and checks everything that it refers to.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, FrontendError> {
        if bytes.get(4..8) != Some(b"TFL3") {
            return Err(FrontendError::malformed("file", "not a TFLite model: bytes 4 to 7 are not TFL3"));
        }
        let model = tflite::root_as_model(bytes).map_err(|error| {
            FrontendError::malformed("file", one_line(&format!("not a whole TFLite model: {error}")))
        })?;
        let graphs = model.subgraphs();
        let graph_at = |index: usize| graphs.filter(|graphs| index < graphs.len()).map(|graphs| graphs.get(index));
        let graph = graph_at(0).ok_or_else(|| FrontendError::malformed("file", "the model has no subgraph"))?;
        let mut budget = Budget::new(bytes.len());
        let buffers = model.buffers().into_iter().flatten().map(|buffer| read_buffer(&buffer, &mut budget));
        let buffers = buffers.collect::<Result<Vec<_>, _>>()?;
        let Part { tensors, operators } = Part::read(&graph, &model, &buffers, &mut budget)?;
        let mut initialisers = HashMap::new();
        for index in operators.iter().filter_map(|operator| operator.options.subgraph()) {
            let missing = || FrontendError::malformed("CALL_ONCE", format!("there is no subgraph {index}"));
            if let Entry::Vacant(entry) = initialisers.entry(index) {
                entry.insert(Part::read(&graph_at(index).ok_or_else(missing)?, &model, &buffers, &mut budget)?);
            }
        }
        let inputs = tensor_indices("inputs", graph.inputs(), tensors.len())?;
        let outputs = tensor_indices("outputs", graph.outputs(), tensors.len())?;
        if outputs.is_empty() {
            return Err(FrontendError::malformed("outputs", "the model has no output"));
        }
        for &input in &inputs {
            check_input(&tensors[input])?;
        }
        check_makers(&tensors, &operators, &inputs)?;
        let signature = signature(&model, &mut budget)?;
        Ok(Self { tensors, operators, inputs, outputs, length: bytes.len(), initialisers, signature })
    }

    /// True when a run leaves something for the next one.
    pub(super) fn has_state(&self) -> bool {
        let reads = |operator: &Operator| operator.code == BuiltinOperator::READ_VARIABLE;
        self.tensors.iter().any(|tensor| tensor.is_variable) || self.operators.iter().any(reads)
    }

    /// Name of an input or output: the signature's, else the tensor's.
    pub(super) fn public_name(&self, tensor: usize) -> &str {
        self.signature.get(&tensor).unwrap_or(&self.tensors[tensor].name)
    }

    /// Name of an operator for messages: that of what it makes.
    pub(super) fn node_name(&self, operator: &Operator) -> &str {
        operator.outputs.first().map_or("", |&output| &self.tensors[output].name)
    }
}

/// A message without line breaks.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The names that the model's only signature gives to tensors.
fn signature(model: &tflite::Model<'_>, budget: &mut Budget) -> Result<HashMap<usize, String>, FrontendError> {
    let mut names = HashMap::new();
    let Some(signatures) = model.signature_defs().filter(|signatures| signatures.len() == 1) else { return Ok(names) };
    let signature = signatures.get(0);
    if signature.subgraph_index() != 0 {
        return Ok(names);
    }
    for map in signature.inputs().into_iter().flatten().chain(signature.outputs().into_iter().flatten()) {
        if let Some(name) = map.name().filter(|name| !name.is_empty()) {
            budget.take(name.len())?;
            names.insert(map.tensor_index() as usize, name.to_owned());
        }
    }
    Ok(names)
}

/// Indices of tensors that must all be there.
fn tensor_indices(
    place: &str,
    indices: Option<impl IntoIterator<Item = i32>>,
    count: usize,
) -> Result<Vec<usize>, FrontendError> {
    let index = |index: i32| {
        usize::try_from(index).ok().filter(|&index| index < count).ok_or_else(|| no_tensor(place, index, count))
    };
    indices.into_iter().flatten().map(index).collect()
}

fn no_tensor(place: &str, index: i32, count: usize) -> FrontendError {
    FrontendError::malformed(place, format!("there is no tensor {index}; the model has {count}"))
}

fn check_input(tensor: &Tensor) -> Result<(), FrontendError> {
    if tensor.data.is_some() {
        return Err(FrontendError::malformed(tensor.place(), "an input with values of its own"));
    }
    if tensor.shape.contains(&0) {
        return Err(FrontendError::malformed(tensor.place(), "an input of no elements"));
    }
    if let Some(axis) = tensor.free.first() {
        let reason =
            format!("dimension {axis} is free; only the first may be. Convert the model with a fixed input shape");
        return Err(FrontendError::unsupported(tensor.place(), "input", reason));
    }
    Ok(())
}

/// Every tensor has one source: the caller, the file, or one operator.
fn check_makers(tensors: &[Tensor], operators: &[Operator], inputs: &[usize]) -> Result<(), FrontendError> {
    let mut has_source: Vec<bool> = tensors.iter().map(|tensor| tensor.data.is_some()).collect();
    for &index in inputs.iter().chain(operators.iter().flat_map(|operator| &operator.outputs)) {
        if std::mem::replace(&mut has_source[index], true) {
            return Err(FrontendError::malformed(tensors[index].place(), "it has more than one source"));
        }
    }
    Ok(())
}

/// Bytes that may still be copied out of a file, whose parts may share what they refer to.
struct Budget(usize);

impl Budget {
    /// Times that a byte may be copied, on average.
    const FACTOR: usize = 4;

    fn new(length: usize) -> Self {
        Self(length.saturating_mul(Self::FACTOR))
    }

    fn take(&mut self, bytes: usize) -> Result<(), FrontendError> {
        self.0 = self.0.checked_sub(bytes).ok_or_else(|| {
            let factor = Self::FACTOR;
            FrontendError::malformed(
                "file",
                format!("its parts share so much that they take more than {factor} times the file"),
            )
        })?;
        Ok(())
    }
}

fn read_buffer(buffer: &tflite::Buffer<'_>, budget: &mut Budget) -> Result<Rc<[u8]>, FrontendError> {
    let data = buffer.data().map(|data| data.bytes()).unwrap_or_default();
    budget.take(data.len())?;
    Ok(data.into())
}

fn read_tensor(
    index: usize,
    tensor: &tflite::Tensor<'_>,
    buffers: &[Rc<[u8]>],
    budget: &mut Budget,
) -> Result<Tensor, FrontendError> {
    let scales = tensor.quantization().and_then(|stated| stated.scale()).map_or(0, |scales| scales.len());
    let name = tensor.name().unwrap_or_default();
    budget.take(scales.saturating_mul(size_of::<f32>()).saturating_add(name.len()))?;
    let name = name.to_owned();
    let place = format!("tensor {index} {name:?}");
    let error = |reason: String| FrontendError::malformed(&place, reason);
    let stated: Vec<i32> = tensor.shape().into_iter().flatten().take(MAX_RANK + 1).collect();
    if stated.len() > MAX_RANK {
        return Err(error(format!("more than {MAX_RANK} dimensions")));
    }
    let signature: Vec<i32> = tensor.shape_signature().into_iter().flatten().take(MAX_RANK + 1).collect();
    let is_free = |axis: usize| stated[axis] == -1 || signature.get(axis) == Some(&-1);
    let dimension = |axis: usize| match stated[axis] {
        -1 => Ok(1),
        dimension => usize::try_from(dimension).map_err(|_| error(format!("dimension {axis} is {dimension}"))),
    };
    let shape = (0..stated.len()).map(dimension).collect::<Result<Vec<_>, _>>()?;
    let (dtype, type_name) = (dtype(tensor.type_()), tensor.type_().variant_name().unwrap_or("unknown type"));
    let buffer = buffers.get(tensor.buffer() as usize);
    let buffer = buffer
        .ok_or_else(|| error(format!("there is no buffer {}; the model has {}", tensor.buffer(), buffers.len())))?;
    let data = (!buffer.is_empty()).then(|| Rc::clone(buffer));
    if let (Some(data), Some(dtype)) = (&data, dtype) {
        let elements = shape.iter().try_fold(1u64, |product, &length| product.checked_mul(length as u64));
        let needed = elements.and_then(|elements| dtype.bytes(elements));
        if needed != Some(data.len() as u64) {
            return Err(error(format!("{dtype} {shape:?} does not take the {} bytes of its buffer", data.len())));
        }
    }
    if tensor.sparsity().is_some() {
        return Err(FrontendError::unsupported(place, "tensor", "sparse tensors are not read"));
    }
    let is_variable = tensor.is_variable();
    let quantization = tensor.quantization().map(|stated| Quantized::read(&stated, &shape));
    let quantization = quantization.transpose().map_err(error)?.flatten();
    let free = (1..shape.len()).filter(|&axis| is_free(axis)).collect();
    Ok(Tensor { index, name, dtype, type_name, shape, free, quantization, is_variable, data })
}

fn dtype(stated: TensorType) -> Option<DType> {
    Some(match stated {
        TensorType::FLOAT32 => DType::F32,
        TensorType::FLOAT16 => DType::F16,
        TensorType::FLOAT64 => DType::F64,
        TensorType::INT8 => DType::I8,
        TensorType::INT16 => DType::I16,
        TensorType::INT32 => DType::I32,
        TensorType::INT64 => DType::I64,
        TensorType::UINT8 => DType::U8,
        TensorType::UINT16 => DType::U16,
        TensorType::UINT32 => DType::U32,
        TensorType::UINT64 => DType::U64,
        TensorType::BOOL => DType::Bool,
        TensorType::INT4 => DType::I4,
        _ => return None,
    })
}

fn read_operator(
    index: usize,
    operator: &tflite::Operator<'_>,
    model: &tflite::Model<'_>,
    tensors: usize,
    budget: &mut Budget,
) -> Result<Operator, FrontendError> {
    let place = format!("operator {index}");
    let codes = model.operator_codes();
    let code = codes.filter(|codes| (operator.opcode_index() as usize) < codes.len());
    let code = code.map(|codes| codes.get(operator.opcode_index() as usize));
    let code = code.ok_or_else(|| {
        let reason = format!("there is no operator code {}", operator.opcode_index());
        FrontendError::malformed(&place, reason)
    })?;
    let operands = [operator.inputs(), operator.outputs()].into_iter().flatten().map(|list| list.len()).sum::<usize>();
    budget.take(operands.saturating_mul(size_of::<i32>()).saturating_add(code.custom_code().map_or(0, str::len)))?;
    // Files older than the 32-bit code hold it in the 8-bit field only.
    let builtin = BuiltinOperator(code.builtin_code().0.max(code.deprecated_builtin_code().into()));
    let name = match builtin.variant_name() {
        Some("CUSTOM") => format!("CUSTOM {}", code.custom_code().unwrap_or_default()),
        Some(name) => name.to_owned(),
        None => format!("operator code {}", builtin.0),
    };
    let input = |index: i32| match index {
        -1 => Ok(None),
        index => usize::try_from(index).ok().filter(|&index| index < tensors).map(Some).ok_or(index),
    };
    let inputs = operator.inputs().into_iter().flatten().map(input).collect::<Result<Vec<_>, _>>();
    let inputs = inputs.map_err(|index| no_tensor(&place, index, tensors))?;
    let outputs = tensor_indices(&place, operator.outputs(), tensors)?;
    let stated = operator.intermediates().map_or(0, |list| list.len());
    budget.take(stated.saturating_mul(size_of::<i32>()))?;
    let intermediates = tensor_indices(&place, operator.intermediates(), tensors)?;
    let options = Options::read(builtin, operator)
        .map_err(|reason| FrontendError::malformed(format!("{place} ({name})"), reason))?;
    Ok(Operator { code: builtin, operator: name, inputs, outputs, intermediates, options })
}
