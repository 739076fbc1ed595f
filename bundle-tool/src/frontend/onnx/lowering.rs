//! Walks over a model's nodes in their order and collects everything that stands in the way.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::{DType, Op};
use tract_onnx::pb::{GraphProto, NodeProto, TensorProto};

use super::attributes::Attributes;
use super::call::{Call, Refusal, Value};
use super::{Opsets, operators, tensor};
use crate::frontend::{Blocker, FrontendError, ModelInput, NamedTensor};
use crate::graph::{Graph, TensorId};

/// Bytes of computed constants that every model may have.
const BUDGET: u64 = 64 << 20;
/// Bytes of computed constants for each stored one: weights are seldom rearranged more than a few times.
const BUDGET_FACTOR: u64 = 4;

/// Appends a model to `graph`.
pub(super) fn lower(
    model: &GraphProto,
    opsets: Opsets,
    graph: &mut Graph,
    inputs: &[ModelInput],
    tensors: &[TensorId],
) -> Result<Vec<NamedTensor>, FrontendError> {
    if inputs.len() != tensors.len() {
        let reason = format!("{} inputs are given, the model has {}", tensors.len(), inputs.len());
        return Err(FrontendError::unsupported("model", "run", reason));
    }
    let mut blockers = Vec::new();
    for (input, &tensor) in inputs.iter().zip(tensors) {
        let given = graph.spec(tensor);
        if (given.dtype, given.shape) != (input.spec.dtype, input.spec.shape) {
            let (needed, given) = (describe(input.spec.dtype, input.spec.shape), describe(given.dtype, given.shape));
            let reason = format!("it is given {given}, the model needs {needed}");
            blockers.push(Blocker { node: input.name.clone(), operator: "input".to_owned(), reason });
        }
    }
    if !blockers.is_empty() {
        return Err(FrontendError::Unsupported(blockers));
    }
    let initializers: HashMap<_, _> = model.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
    let stored = model.initializer.iter().map(|tensor| tensor.raw_data.len() as u64).fold(0, u64::saturating_add);
    let budget = Cell::new(stored.saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET));
    let values = HashMap::new();
    let mut lowering = Lowering { model, initializers, opsets, graph, values, budget, blockers };
    for (input, &tensor) in inputs.iter().zip(tensors) {
        if input.spec.dtype == DType::Category {
            let table = lowering.graph.add_table(known_texts(model, &input.name));
            lowering.graph.set_table(tensor, table);
        }
        lowering.values.insert(&input.name, Value::Tensor(tensor));
    }
    for sparse in &model.sparse_initializer {
        let name = sparse.values.as_ref().map_or("?", |values| values.name.as_str());
        lowering.block(name, "sparse_initializer", "sparse constants are not supported");
    }
    for (position, node) in model.node.iter().enumerate() {
        lowering.node(position, node)?;
    }
    let results = lowering.results()?;
    if lowering.blockers.is_empty() { Ok(results) } else { Err(FrontendError::Unsupported(lowering.blockers)) }
}

/// The texts that an input's readers tell apart: the keys of the encoders that read it.
fn known_texts(model: &GraphProto, input: &str) -> Vec<String> {
    let mut texts: Vec<String> = Vec::new();
    let mut seen = HashSet::new();
    for node in model.node.iter().filter(|node| node.input.first().is_some_and(|name| name == input)) {
        let keys = node
            .attribute
            .iter()
            .filter(|attribute| matches!(attribute.name.as_str(), "keys_strings" | "classes_strings"));
        for text in keys.flat_map(|attribute| &attribute.strings).filter_map(|bytes| std::str::from_utf8(bytes).ok()) {
            if seen.insert(text) {
                texts.push(text.to_owned());
            }
        }
    }
    texts
}

fn describe(dtype: DType, shape: ekiben_runtime::Shape) -> String {
    format!("{dtype}{shape}")
}

struct Lowering<'a> {
    model: &'a GraphProto,
    initializers: HashMap<&'a str, &'a TensorProto>,
    opsets: Opsets,
    graph: &'a mut Graph,
    values: HashMap<&'a str, Value>,
    /// Bytes that constants computed while lowering may still take.
    budget: Cell<u64>,
    blockers: Vec<Blocker>,
}

impl<'a> Lowering<'a> {
    fn block(&mut self, node: impl Into<String>, operator: impl Into<String>, reason: impl Into<String>) {
        self.blockers.push(Blocker { node: node.into(), operator: operator.into(), reason: reason.into() });
    }

    /// What a name stands for. Initializers enter the graph when they are first read.
    fn value(&mut self, name: &'a str) -> Result<Value, FrontendError> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let Some(&initializer) = self.initializers.get(name) else {
            if self.model.sparse_initializer.iter().flat_map(|sparse| &sparse.values).any(|values| values.name == name)
            {
                return Ok(Value::Blocked);
            }
            return Err(FrontendError::malformed(name, "it is read before any node has written it"));
        };
        let value = match tensor::read(initializer) {
            Ok(constant) => Value::Tensor(self.graph.add_constant_bytes(name, constant.spec, &constant.bytes)?),
            Err(reason) => {
                self.block(name, "initializer", reason);
                Value::Blocked
            }
        };
        self.values.insert(name, value.clone());
        Ok(value)
    }

    fn node(&mut self, position: usize, node: &'a NodeProto) -> Result<(), FrontendError> {
        let name = if node.name.is_empty() { format!("node {position}") } else { node.name.clone() };
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            inputs.push(if input.is_empty() { None } else { Some(self.value(input)?) });
        }
        let blocked = inputs.iter().any(|input| matches!(input, Some(Value::Blocked)));
        let found = operators::find(node);
        let found = found.and_then(|found| operators::check_version(node, self.opsets.default).map(|()| found));
        let results = match found {
            Err(reason) => Some(Err(reason)),
            Ok(_) if blocked => None,
            Ok(operator) => {
                let version = if operators::is_ml(node) { self.opsets.ml } else { self.opsets.default };
                let outputs = node.output.iter().map(|output| !output.is_empty()).collect();
                let lowered = Attributes::new(node).and_then(|attributes| {
                    let mut call =
                        Call::new(self.graph, name.clone(), version, attributes, inputs, outputs, &self.budget);
                    let results = operator(&mut call)?;
                    call.attributes.finish()?;
                    Ok(results)
                });
                Some(lowered)
            }
        };
        let mut results = match results {
            Some(Ok(results)) => results,
            Some(Err(Refusal(reason))) => {
                self.block(name, operators::qualified(node), reason);
                Vec::new()
            }
            None => Vec::new(),
        };
        results.resize(node.output.len().max(results.len()), Value::Blocked);
        for (output, value) in node.output.iter().zip(results) {
            if !output.is_empty() && self.values.insert(output, value).is_some() {
                return Err(FrontendError::malformed(output, "two nodes write it"));
            }
        }
        Ok(())
    }

    /// True when a category comes from an input without having been looked up: texts that the model does not know are lost.
    fn is_text_of_input(&self, tensor: TensorId) -> bool {
        let is_category = |id: &TensorId| self.graph.spec(*id).dtype == DType::Category;
        let mut reached = HashSet::from([tensor]);
        reached.retain(is_category);
        for node in self.graph.nodes().iter().rev() {
            let looked_up = matches!(node.op, Op::Lookup(_));
            if !looked_up && node.outputs.iter().any(|output| reached.contains(output)) {
                reached.extend(node.inputs.iter().flatten().filter(|input| is_category(input)));
            }
        }
        self.graph.inputs().iter().any(|input| reached.contains(input))
    }

    /// The model's results, each a tensor of its own that is neither an input nor a constant.
    fn results(&mut self) -> Result<Vec<NamedTensor>, FrontendError> {
        let mut results = Vec::new();
        let mut taken: HashSet<TensorId> = self.graph.inputs().iter().copied().collect();
        for output in &self.model.output {
            match self.value(&output.name)? {
                Value::Tensor(tensor) if self.is_text_of_input(tensor) => {
                    let reason = "it is a text of an input: only those that the model's encoders know are told apart";
                    self.block(&output.name, "output", reason);
                }
                Value::Tensor(tensor) => {
                    let spec = self.graph.spec(tensor);
                    let shared = !taken.insert(tensor) || self.graph.tensor(tensor).constant.is_some();
                    let tensor = match shared && spec.dtype.bits() >= 8 {
                        true => self.graph.add_declared(&output.name, Reshape, &[tensor], spec)?,
                        false => tensor,
                    };
                    taken.insert(tensor);
                    results.push(NamedTensor { name: output.name.clone(), tensor });
                }
                Value::Counts(_) => {
                    self.block(
                        &output.name,
                        "output",
                        "it is computed from the batch size, which no operator can read",
                    );
                }
                Value::Blocked => {}
            }
        }
        if self.model.output.is_empty() {
            return Err(FrontendError::malformed("model", "it has no outputs"));
        }
        Ok(results)
    }
}
