//! Operators with bodies: `If`, `Loop` and `Scan`, and where [`flexible`] is found.
//!
//! Nothing branches on the device. The condition of an `If` that is known while the model is compiled chooses a body; of one that is not,
//! both small bodies are computed and the results selected. Loops are unrolled: their trip counts must be known, and so must
//! their conditions after each iteration. See [`MAX_BODY_NODES`](super::lowering::MAX_BODY_NODES) for how far.

use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::{DType, Shape, TensorSpec};
use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
use tract_onnx::pb::type_proto::Value as TypeValue;
use tract_onnx::pb::{GraphProto, NodeProto, ValueInfoProto};

use super::attributes::Attributes;
use super::call::{Call, Lowered, Refusal, Value};
use super::count::Counts;
use super::lowering::Lowering;
use super::operators::shape_of_counts;
use super::{flexible, scan, tensor};
use crate::frontend::FrontendError;
use crate::graph::TensorId;

/// Lowers one node with bodies.
pub(super) type Control =
    for<'a> fn(&mut Lowering<'a>, &'a NodeProto, &str, Vec<Option<Value>>) -> Result<Lowered, FrontendError>;

/// The most nodes of the graph that both bodies of an `If` may add when each has to be computed.
const MAX_SELECTED_NODES: usize = 64;
/// The most tensors that one `Concat` joins.
const MAX_JOINED: usize = 128;

/// How an operator with bodies is lowered.
pub(super) fn find(node: &NodeProto) -> Option<Control> {
    match (node.domain.as_str(), node.op_type.as_str()) {
        ("" | "ai.onnx", "If") => Some(if_),
        ("" | "ai.onnx", "Loop") => Some(loop_),
        ("" | "ai.onnx", "Scan") => Some(scan::scan),
        ("ai.onnx.preview", "FlexAttention") => Some(flexible::flexible),
        _ => None,
    }
}

/// Returns a refusal from a function that may also fail.
macro_rules! accepted {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(refusal) => return Ok(Err(super::call::Refusal::from(refusal))),
        }
    };
}
pub(super) use accepted;

/// The bodies of a node by their attributes' names.
fn bodies<'a, const N: usize>(node: &'a NodeProto, names: [&str; N]) -> Result<[&'a GraphProto; N], Refusal> {
    let attributes = Attributes::new(node)?;
    let mut bodies = Vec::new();
    for name in names {
        bodies.push(attributes.graph(name)?.ok_or_else(|| Refusal(format!("attribute {name} is missing")))?);
    }
    attributes.finish()?;
    bodies.try_into().map_err(|_| Refusal("its bodies are missing".to_owned()))
}

/// A boolean that is known while the model is compiled.
fn known(call: &Call<'_>, value: &Value) -> Option<bool> {
    let Value::Tensor(id) = value else { return None };
    match call.constant_integers(*id)?[..] {
        [value] => Some(value != 0),
        _ => None,
    }
}

fn if_<'a>(
    lowering: &mut Lowering<'a>,
    node: &'a NodeProto,
    name: &str,
    inputs: Vec<Option<Value>>,
) -> Result<Lowered, FrontendError> {
    let [then, otherwise] = accepted!(bodies(node, ["then_branch", "else_branch"]));
    let Some(Some(condition)) = inputs.first().cloned() else { return Ok(Err("its condition is missing".into())) };
    match known(&lowering.call(name, Vec::new()), &condition) {
        Some(true) => lowering.body(then, &label(node, "then"), Vec::new()),
        Some(false) => lowering.body(otherwise, &label(node, "else"), Vec::new()),
        None => select(lowering, node, name, condition, [then, otherwise]),
    }
}

/// How a body's nodes are called in messages.
pub(super) fn label(node: &NodeProto, part: &str) -> String {
    let name = if node.name.is_empty() { &node.op_type } else { &node.name };
    format!("{name}[{part}]")
}

/// Computes both bodies, and selects.
fn select<'a>(
    lowering: &mut Lowering<'a>,
    node: &'a NodeProto,
    name: &str,
    condition: Value,
    [then, otherwise]: [&'a GraphProto; 2],
) -> Result<Lowered, FrontendError> {
    let before = lowering.graph.nodes().len();
    let then = accepted!(lowering.body(then, &label(node, "then"), Vec::new())?);
    let otherwise = accepted!(lowering.body(otherwise, &label(node, "else"), Vec::new())?);
    let added = lowering.graph.nodes().len() - before;
    if added > MAX_SELECTED_NODES {
        let reason = format!(
            "its condition is only known when the model runs, and its bodies take {added} steps; bodies of up to \
             {MAX_SELECTED_NODES} steps are both computed. Make the condition a constant"
        );
        return Ok(Err(Refusal(reason)));
    }
    let call = &mut lowering.call(name, vec![Some(condition)]);
    let pairs = then.into_iter().zip(otherwise);
    Ok(pairs.enumerate().map(|(index, (a, b))| selected(call, index, a, b)).collect())
}

fn selected(call: &mut Call<'_>, index: usize, a: Value, b: Value) -> Result<Value, Refusal> {
    let (a, b) = match (a, b) {
        (Value::Tensor(a), Value::Tensor(b)) => (a, b),
        (Value::Counts(a), Value::Counts(b)) if a == b => return Ok(Value::Counts(a)),
        (Value::Blocked, _) | (_, Value::Blocked) => return Ok(Value::Blocked),
        _ => {
            return Err(Refusal(format!(
                "output {index} is not a tensor, and the condition is only known when the model runs"
            )));
        }
    };
    let (one, other) = (call.graph.spec(a), call.graph.spec(b));
    if (one.dtype, one.shape) != (other.dtype, other.shape) {
        return Err(Refusal(format!(
            "output {index} is {}{} or {}{}, and the condition is only known when the model runs",
            one.dtype, one.shape, other.dtype, other.shape
        )));
    }
    let condition = call.tensor(0)?;
    if call.shape(condition).elements() != Some(1) || call.shape(condition).is_batched() {
        return Err("its condition must have one element".into());
    }
    let condition = call.reshape_to(condition, &[], None)?;
    call.add(Select, &[condition, a, b]).map(Value::Tensor)
}

/// How often a loop runs at most, and whether it starts.
fn trip_count(call: &Call<'_>) -> Result<usize, Refusal> {
    if call.inputs.get(1).and_then(Option::as_ref).is_some_and(|condition| known(call, condition) == Some(false)) {
        return Ok(0);
    }
    if call.has(1) && call.inputs[1].as_ref().and_then(|condition| known(call, condition)).is_none() {
        return Err(
            "its condition is only known when the model runs, which is not supported: make it a constant".into()
        );
    }
    if !call.has(0) {
        return Ok(usize::MAX);
    }
    let count = call.integers(0).map_err(|Refusal(why)| {
        Refusal(format!("its trip count must be known while the model is compiled: {why}. Give lengths with --dim"))
    })?;
    match count[..] {
        [count] => Ok(usize::try_from(count).unwrap_or(0)),
        _ => Err("its trip count must have one element".into()),
    }
}

fn loop_<'a>(
    lowering: &mut Lowering<'a>,
    node: &'a NodeProto,
    name: &str,
    inputs: Vec<Option<Value>>,
) -> Result<Lowered, FrontendError> {
    let [body] = accepted!(bodies(node, ["body"]));
    let mut states: Vec<Value> = accepted!(states(inputs.get(2..).unwrap_or_default()));
    let condition_input = inputs.get(1).cloned().flatten();
    let count = accepted!(trip_count(&lowering.call(name, inputs)));
    let scans = body.output.len().checked_sub(states.len() + 1);
    let scans = accepted!(scans.ok_or("its body has too few outputs"));
    let mut scanned: Vec<Vec<Value>> = vec![Vec::new(); scans];
    let mut condition = condition_input.unwrap_or(accepted!(boolean(&mut lowering.call(name, Vec::new()), true)));
    let blockers = lowering.blockers.len();
    for iteration in 0..count {
        let call = &mut lowering.call(name, Vec::new());
        let number = Value::Tensor(accepted!(call.constant(DType::I64, &[], &[iteration as i64])));
        let given = [number, condition].into_iter().chain(std::mem::take(&mut states)).collect();
        let results = accepted!(lowering.body(body, &label(node, &iteration.to_string()), given)?);
        let mut results = results.into_iter();
        let next = accepted!(results.next().ok_or("its body gives no condition"));
        states = results.by_ref().take(body.output.len() - 1 - scans).collect();
        scanned.iter_mut().zip(results).for_each(|(list, value)| list.push(value));
        if lowering.blockers.len() > blockers {
            return Ok(Ok(Vec::new()));
        }
        match known(&lowering.call(name, Vec::new()), &next) {
            Some(false) => break,
            Some(true) => condition = next,
            None if iteration + 1 == count => break,
            None => {
                let reason =
                    "its condition after an iteration is only known when the model runs, which is not supported";
                return Ok(Err(reason.into()));
            }
        }
    }
    let infos = body.output.get(body.output.len() - scans..).unwrap_or_default();
    let call = &mut lowering.call(name, Vec::new());
    for (values, info) in scanned.into_iter().zip(infos) {
        states.push(accepted!(stacked(call, values, 0, info)));
    }
    Ok(Ok(states))
}

/// Values that a body starts with.
pub(super) fn states(inputs: &[Option<Value>]) -> Result<Vec<Value>, Refusal> {
    let value =
        |(index, value): (usize, &Option<Value>)| value.clone().ok_or(Refusal(format!("state {index} is missing")));
    inputs.iter().enumerate().map(value).collect()
}

fn boolean(call: &mut Call<'_>, value: bool) -> Result<Value, Refusal> {
    call.constant(DType::Bool, &[], &[u8::from(value)]).map(Value::Tensor)
}

/// One tensor of the values that iterations gave, along a new axis. `info` tells type and shape when there were none.
pub(super) fn stacked(
    call: &mut Call<'_>,
    values: Vec<Value>,
    axis: i64,
    info: &ValueInfoProto,
) -> Result<Value, Refusal> {
    if values.is_empty() {
        return empty(call, axis, info);
    }
    if values.iter().any(|value| matches!(value, Value::Blocked)) {
        return Ok(Value::Blocked);
    }
    if values.iter().any(|value| matches!(value, Value::Counts(_))) {
        return stacked_counts(call, values);
    }
    let mut tensors = Vec::new();
    for value in values {
        call.inputs = vec![Some(value)];
        let tensor = call.tensor(0)?;
        let shape = call.shape(tensor);
        let axis = call.axis(axis, shape.rank() + 1)?;
        let mut dims: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).collect();
        dims.insert(axis, 1);
        let batch = shape.batch_axis().map(|batch| batch + usize::from(batch >= axis));
        tensors.push(call.reshape_to(tensor, &dims, batch)?);
    }
    let rank = call.shape(tensors[0]).rank();
    let axis = call.axis(axis, rank)?;
    joined(call, tensors, axis).map(Value::Tensor)
}

/// Joins tensors along an axis, a bounded number at a time.
pub(super) fn joined(call: &mut Call<'_>, mut tensors: Vec<TensorId>, axis: usize) -> Result<TensorId, Refusal> {
    while tensors.len() > 1 {
        let mut parts = Vec::new();
        for part in tensors.chunks(MAX_JOINED) {
            parts.push(if let [only] = part { *only } else { call.add(Concat { axis: axis as u8 }, part)? });
        }
        tensors = parts;
    }
    tensors.first().copied().ok_or_else(|| "there is nothing to join".into())
}

fn stacked_counts(call: &mut Call<'_>, values: Vec<Value>) -> Result<Value, Refusal> {
    let length = values.len();
    let mut all = Counts { dims: Vec::new(), values: Vec::new() };
    for value in values {
        call.inputs = vec![Some(value)];
        let counts = call.counts(0)?;
        all.dims = counts.dims;
        all.values.extend(counts.values);
    }
    all.dims.insert(0, length);
    call.put_counts(all)
}

/// What no iteration has given: a tensor without elements.
fn empty(call: &mut Call<'_>, axis: i64, info: &ValueInfoProto) -> Result<Value, Refusal> {
    let unknown = || Refusal(format!("it runs no iteration, and the shape of {:?} is not stated", info.name));
    let Some(TypeValue::TensorType(tensor)) = info.r#type.as_ref().and_then(|kind| kind.value.as_ref()) else {
        return Err(unknown());
    };
    let dtype = tensor::dtype(tensor.elem_type)?;
    let mut dims = Vec::new();
    for dim in &tensor.shape.as_ref().ok_or_else(unknown)?.dim {
        let Some(Dimension::DimValue(length)) = dim.value else { return Err(unknown()) };
        dims.push(length.into());
    }
    let axis = call.axis(axis, dims.len() + 1)?;
    dims.insert(axis, 0.into());
    let shape: Shape = shape_of_counts(&dims)?;
    let name = call.name.clone();
    Ok(Value::Tensor(call.graph.add_constant_bytes(&name, TensorSpec::new(dtype, shape), &[])?))
}
