//! Walks over a model's nodes in their order and collects everything that stands in the way.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};

use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::{DType, Op, Shape};
use tract_onnx::pb::{GraphProto, NodeProto, SparseTensorProto, TensorProto};

use super::attributes::Attributes;
use super::call::{Call, Lowered, Refusal, Value};
use super::{Opsets, control, narrow, operators, tensor};
use crate::frontend::{Blocker, FrontendError, ModelInput, NamedTensor, rows};
use crate::graph::{Graph, TensorId};

/// Bytes of computed constants that every model may have.
const BUDGET: u64 = 64 << 20;
/// Nodes of bodies that are lowered at most: those of loops count once for each iteration.
pub(super) const MAX_BODY_NODES: usize = 1 << 14;
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
    let fixed =
        FixedRows::of(inputs.iter().zip(tensors).map(|(input, &tensor)| (graph.shape(tensor), input.spec.shape)));
    for (input, &tensor) in inputs.iter().zip(tensors) {
        let given = graph.spec(tensor);
        if given.dtype != input.spec.dtype
            || !(given.shape == input.spec.shape || fixed.holds(given.shape, input.spec.shape))
        {
            let (needed, given) = (describe(input.spec.dtype, input.spec.shape), describe(given.dtype, given.shape));
            let reason = format!("it is given {given}, the model needs {needed}");
            blockers.push(Blocker { node: input.name.clone(), operator: "input".to_owned(), reason });
        }
    }
    if !blockers.is_empty() {
        return Err(FrontendError::Unsupported(blockers));
    }
    let stored = model.initializer.iter().map(|tensor| tensor.raw_data.len() as u64).fold(0, u64::saturating_add);
    let budget = Cell::new(stored.saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET));
    let mut lowering = Lowering {
        opsets,
        graph,
        scopes: vec![Scope::new(model, String::new())],
        read: HashSet::new(),
        body_constants: HashMap::new(),
        body_nodes_left: MAX_BODY_NODES,
        budget,
        blockers,
    };
    note_reads(model, &mut lowering.read);
    let mut all_texts = None;
    for (input, &tensor) in inputs.iter().zip(tensors) {
        if input.spec.dtype == DType::Category {
            let graph = &mut *lowering.graph;
            let table = match known_texts(model, &input.name) {
                Some(texts) => graph.add_table(texts),
                // Something else reads it first: it may reach any encoder.
                None => *all_texts.get_or_insert_with(|| graph.add_table(distinct(model.node.iter().flat_map(keys)))),
            };
            lowering.graph.set_table(tensor, table);
        }
        lowering.bind(&input.name, Value::Tensor(tensor))?;
    }
    lowering.nodes(model)?;
    let results = lowering.results(model)?;
    let tensors: Vec<TensorId> = results.iter().map(|result| result.tensor).collect();
    if let Some(name) = rows::misuse(lowering.graph, &tensors) {
        let reason = "the numbers of the batch's rows (Range up to the batch size) reach it, and they can only be indices: give the \
                      model a fixed batch with --shape";
        lowering.block(name, "Range", reason);
    }
    if lowering.blockers.is_empty() { Ok(results) } else { Err(FrontendError::Unsupported(lowering.blockers)) }
}

/// The rows of a batch that is given with a known number of them: the same of every input that has the batch.
struct FixedRows(Option<usize>);

impl FixedRows {
    /// Of pairs of a shape that is given and one that the model needs.
    fn of(mut shapes: impl Iterator<Item = (Shape, Shape)>) -> Self {
        Self(shapes.find_map(|(given, needed)| given.factor(needed.batch_axis()?)))
    }

    /// Whether a shape has these rows in the place of the batch, and is else the one that is needed.
    fn holds(&self, given: Shape, needed: Shape) -> bool {
        let Some((rows, axis)) = self.0.zip(needed.batch_axis()) else { return false };
        !given.is_batched() && needed.with_axis(axis, rows, false).is_ok_and(|shape| shape == given)
    }
}

/// Adds every name that a node reads or a graph gives, in bodies too.
fn note_reads<'a>(graph: &'a GraphProto, read: &mut HashSet<&'a str>) {
    read.extend(graph.output.iter().map(|output| output.name.as_str()));
    for node in &graph.node {
        read.extend(node.input.iter().map(String::as_str));
        for attribute in &node.attribute {
            attribute.g.iter().chain(&attribute.graphs).for_each(|body| note_reads(body, read));
        }
    }
}

/// Attributes that hold the texts that an encoder tells apart, as lists or as tensors.
const KEYS: [&str; 4] = ["keys_strings", "classes_strings", "cats_strings", "keys_tensor"];

/// The texts that an encoder tells apart.
fn keys(node: &NodeProto) -> impl Iterator<Item = &str> {
    let stored = node.attribute.iter().filter(|attribute| KEYS.contains(&attribute.name.as_str()));
    let bytes = stored.flat_map(|attribute| {
        attribute.strings.iter().chain(attribute.t.iter().flat_map(|tensor| &tensor.string_data))
    });
    bytes.filter_map(|bytes| std::str::from_utf8(bytes).ok())
}

/// Each of `texts` once, in their order.
fn distinct<'a>(texts: impl Iterator<Item = &'a str>) -> Vec<String> {
    let mut seen = HashSet::new();
    texts.filter(|text| seen.insert(*text)).map(str::to_owned).collect()
}

/// The texts that an input's readers tell apart, where all of them are encoders.
fn known_texts(model: &GraphProto, input: &str) -> Option<Vec<String>> {
    let readers = model.node.iter().filter(|node| node.input.iter().any(|name| name == input));
    let readers: Vec<&NodeProto> = readers.collect();
    let is_encoder =
        |node: &&NodeProto| node.input.first().is_some_and(|name| name == input) && keys(node).next().is_some();
    let only_encoders = !readers.is_empty() && readers.iter().all(is_encoder);
    only_encoders.then(|| distinct(readers.into_iter().flat_map(keys)))
}

fn describe(dtype: DType, shape: Shape) -> String {
    format!("{dtype}{shape}")
}

/// The names of a graph or of a body.
struct Scope<'a> {
    initializers: HashMap<&'a str, &'a TensorProto>,
    values: HashMap<&'a str, Value>,
    /// What stands before the names of its nodes in messages.
    prefix: String,
}

impl<'a> Scope<'a> {
    fn new(graph: &'a GraphProto, prefix: String) -> Self {
        let initializers = graph.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        Self { initializers, values: HashMap::new(), prefix }
    }
}

pub(super) struct Lowering<'a> {
    opsets: Opsets,
    pub(super) graph: &'a mut Graph,
    /// The model's graph, then the bodies that are being lowered, from the outermost.
    scopes: Vec<Scope<'a>>,
    /// Names that something reads.
    read: HashSet<&'a str>,
    /// Constants of bodies, which are lowered many times, by their address in the model.
    body_constants: HashMap<*const u8, Value>,
    /// Nodes of bodies that may still be lowered.
    body_nodes_left: usize,
    /// Bytes that constants computed while lowering may still take.
    budget: Cell<u64>,
    pub(super) blockers: Vec<Blocker>,
}

impl<'a> Lowering<'a> {
    fn block(&mut self, node: impl Into<String>, operator: impl Into<String>, reason: impl Into<String>) {
        self.blockers.push(Blocker { node: node.into(), operator: operator.into(), reason: reason.into() });
    }

    fn scope(&mut self) -> &mut Scope<'a> {
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    /// Gives a name of the innermost scope its value.
    fn bind(&mut self, name: &'a str, value: Value) -> Result<(), FrontendError> {
        if !name.is_empty() && self.scope().values.insert(name, value).is_some() {
            return Err(FrontendError::malformed(name, "two nodes write it"));
        }
        Ok(())
    }

    /// What a name stands for, from the innermost scope that has it. Initializers enter the graph when they are first read.
    fn value(&mut self, name: &'a str) -> Result<Value, FrontendError> {
        for at in (0..self.scopes.len()).rev() {
            if let Some(value) = self.scopes[at].values.get(name) {
                return Ok(value.clone());
            }
            if let Some(&initializer) = self.scopes[at].initializers.get(name) {
                let address = std::ptr::from_ref(initializer).cast();
                let value = match self.body_constants.get(&address) {
                    Some(value) => value.clone(),
                    None => self.initializer(name, initializer)?,
                };
                self.body_constants.insert(address, value.clone());
                self.scopes[at].values.insert(name, value.clone());
                return Ok(value);
            }
        }
        Err(FrontendError::malformed(name, "it is read before any node has written it"))
    }

    fn initializer(&mut self, name: &str, initializer: &TensorProto) -> Result<Value, FrontendError> {
        if let Some(texts) = tensor::texts(initializer) {
            return Ok(match texts {
                Ok((dims, texts)) => Value::Tensor(self.graph.add_texts(name, &dims, texts)?),
                Err(reason) => {
                    self.block(name, "initializer", reason);
                    Value::Blocked
                }
            });
        }
        match tensor::read(initializer) {
            Ok(constant) => Ok(Value::Tensor(self.graph.add_constant_bytes(name, constant.spec, &constant.bytes)?)),
            Err(reason) => {
                self.block(name, "initializer", reason);
                Ok(Value::Blocked)
            }
        }
    }

    fn nodes(&mut self, graph: &'a GraphProto) -> Result<(), FrontendError> {
        for sparse in &graph.sparse_initializer {
            self.sparse(sparse)?;
        }
        for (position, node) in graph.node.iter().enumerate() {
            self.node(position, node)?;
        }
        Ok(())
    }

    /// Adds a constant of which the file stores the elements that are not zero.
    fn sparse(&mut self, sparse: &'a SparseTensorProto) -> Result<(), FrontendError> {
        let name = sparse.values.as_ref().map_or("", |values| values.name.as_str());
        let value = match tensor::read_sparse(sparse, &self.budget) {
            Ok(constant) => Value::Tensor(self.graph.add_constant_bytes(name, constant.spec, &constant.bytes)?),
            Err(reason) => {
                self.block(name, "sparse_initializer", reason);
                Value::Blocked
            }
        };
        self.bind(name, value)
    }

    /// Lowers a body, whose inputs have these values, and returns the values of its outputs.
    pub(super) fn body(
        &mut self,
        body: &'a GraphProto,
        label: &str,
        inputs: Vec<Value>,
    ) -> Result<Result<Vec<Value>, Refusal>, FrontendError> {
        if body.input.len() != inputs.len() {
            let reason = format!("its body has {} inputs, {} are given", body.input.len(), inputs.len());
            return Ok(Err(Refusal(reason)));
        }
        let Some(left) = self.body_nodes_left.checked_sub(body.node.len() + 1) else {
            let reason = format!("unrolled bodies have more than {MAX_BODY_NODES} nodes in all, reached at {label}");
            return Ok(Err(Refusal(reason)));
        };
        self.body_nodes_left = left;
        let prefix = format!("{}{label}/", self.scope().prefix);
        self.scopes.push(Scope::new(body, prefix));
        let results = self.body_results(body, inputs);
        self.scopes.pop();
        results.map(Ok)
    }

    fn body_results(&mut self, body: &'a GraphProto, inputs: Vec<Value>) -> Result<Vec<Value>, FrontendError> {
        for (input, value) in body.input.iter().zip(inputs) {
            self.bind(&input.name, value)?;
        }
        self.nodes(body)?;
        body.output.iter().map(|output| self.value(&output.name)).collect()
    }

    fn node(&mut self, position: usize, node: &'a NodeProto) -> Result<(), FrontendError> {
        let name = if node.name.is_empty() { format!("node {position}") } else { node.name.clone() };
        let name = self.scope().prefix.clone() + &name;
        let mut inputs = Vec::with_capacity(node.input.len());
        for input in &node.input {
            inputs.push(if input.is_empty() { None } else { Some(self.value(input)?) });
        }
        let blocked = inputs.iter().any(|input| matches!(input, Some(Value::Blocked)));
        let results = if blocked {
            control::find(node).map_or_else(|| operators::find(node).err().map(Err), |_| None)
        } else if let Some(control) = control::find(node) {
            Some(control(self, node, &name, inputs)?)
        } else {
            Some(self.operator(node, name.clone(), inputs))
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
            self.bind(output, value)?;
        }
        Ok(())
    }

    /// Lowers a node without bodies.
    fn operator(&mut self, node: &'a NodeProto, name: String, inputs: Vec<Option<Value>>) -> Lowered {
        let operator = operators::find(node)?;
        operators::check_version(node, self.opsets.default)?;
        let constant = node.input.is_empty().then_some(std::ptr::from_ref(node).cast());
        if let Some(value) = constant.and_then(|address| self.body_constants.get(&address)) {
            return Ok(vec![value.clone()]);
        }
        let version = if operators::is_ml(node) { self.opsets.ml } else { self.opsets.default };
        let outputs =
            node.output.iter().map(|output| self.read.contains(output.as_str()) && !output.is_empty()).collect();
        let attributes = Attributes::new(node)?;
        let mut call = Call::new(self.graph, name, version, attributes, inputs, outputs, &self.budget);
        if !operators::is_ml(node) {
            operators::adapt(&mut call, &node.op_type)?;
        }
        let narrow = narrow::widen(&mut call, node)?;
        let counted = operators::find_counted(node).filter(|_| call.has_counts());
        let results = counted.unwrap_or(operator)(&mut call)?;
        call.attributes.finish()?;
        let results = narrow::restore(&mut call, node, narrow, results)?;
        if let (Some(address), [only]) = (constant, results.as_slice()) {
            self.body_constants.insert(address, only.clone());
        }
        Ok(results)
    }

    /// Something to add nodes with that are not an operator's of the model.
    pub(super) fn call(&mut self, name: &str, inputs: Vec<Option<Value>>) -> Call<'_> {
        let outputs = vec![true];
        Call::new(self.graph, name.to_owned(), self.opsets.default, Attributes::none(), inputs, outputs, &self.budget)
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
    fn results(&mut self, model: &'a GraphProto) -> Result<Vec<NamedTensor>, FrontendError> {
        let mut results = Vec::new();
        let mut taken: HashSet<TensorId> = self.graph.inputs().iter().copied().collect();
        for output in &model.output {
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
                Value::Sequence(_) => {
                    self.block(&output.name, "output", "it is a sequence. Give its elements as outputs instead");
                }
                Value::Blocked => {}
            }
        }
        if model.output.is_empty() {
            return Err(FrontendError::malformed("model", "it has no outputs"));
        }
        Ok(results)
    }
}
