//! Lets convolutions bound their results themselves, in the place of a `Relu`, a `Clip` or a minimum or maximum after them. Results stay the
//! same, the sign of a zero apart.

use std::collections::HashMap;

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::conv2d::Clamp;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Op};

use super::PassError;
use super::rewrite::Rewrite;
use super::users::Users;
use crate::graph::{AlignedBytes, Graph, Node, TensorId};

/// The graph with bounds in the convolutions before them.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fuse_clamps(graph: &Graph) -> Result<Graph, PassError> {
    let users = Users::new(graph);
    // Nodes whose bounds others have taken over, and what they read.
    let mut passed: HashMap<usize, TensorId> = HashMap::new();
    let mut rewrite = Rewrite::new(graph);
    for (position, node) in graph.nodes().iter().enumerate() {
        if let Some(&data) = passed.get(&position) {
            let id = rewrite.tensor(data)?;
            rewrite.put(node.outputs[0], id);
            continue;
        }
        let mut op = node.op;
        if let (Some(clamp), &[mut output]) = (clamp_of(&mut op), &node.outputs[..]) {
            while let Some((reader, data, bounds)) = next_bounds(graph, &users, output) {
                *clamp = Clamp { low: bounds.apply(clamp.low), high: bounds.apply(clamp.high) };
                passed.insert(reader, data);
                output = graph.nodes()[reader].outputs[0];
            }
        }
        let inputs = node.inputs.iter().map(|input| input.map(|id| rewrite.tensor(id)).transpose());
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        rewrite.write(node, op, &inputs)?;
    }
    rewrite.finish()
}

/// The bounds of an operator that has them.
fn clamp_of(op: &mut Op) -> Option<&mut Clamp> {
    match op {
        Op::Conv2d(op) => Some(&mut op.clamp),
        Op::DepthwiseConv2d(op) => Some(&mut op.clamp),
        Op::ConvNd(op) => Some(&mut op.clamp),
        _ => None,
    }
}

/// The only reader of a node's result, also behind reshapes, when all that it does is to bound it; what it reads, and the bounds.
fn next_bounds(graph: &Graph, users: &Users, output: TensorId) -> Option<(usize, TensorId, Clamp)> {
    let (reader, data) = users.only_reader_of_rows(graph, output)?;
    let node = &graph.nodes()[reader];
    let same = node.outputs.len() == 1 && graph.spec(node.outputs[0]) == graph.spec(data);
    let bounds = bounds_of(graph, node, data).filter(|_| same)?;
    Some((reader, data, bounds))
}

/// The bounds that a node sets to `data`.
fn bounds_of(graph: &Graph, node: &Node, data: TensorId) -> Option<Clamp> {
    // Bounds are f32; those of f64 must be so exactly.
    let exact = |value: f64| {
        let bound = value as f32;
        let fits = graph.spec(data).dtype == DType::F32 || f64::from(bound) == value;
        (fits && !bound.is_nan()).then_some(bound)
    };
    let (low, high) = match (node.op, &node.inputs[..]) {
        (Op::Unary(Unary { kind: UnaryKind::Relu, .. }), _) => (0.0, f32::INFINITY),
        (Op::Unary(Unary { kind: UnaryKind::Clip, alpha, beta }), _) => (exact(alpha)?, exact(beta)?),
        (Op::Binary(Binary { kind: BinaryKind::Max }), &[Some(a), Some(b)]) => {
            (exact(scalar(graph, if a == data { b } else { a })?)?, f32::INFINITY)
        }
        (Op::Binary(Binary { kind: BinaryKind::Min }), &[Some(a), Some(b)]) => {
            (f32::NEG_INFINITY, exact(scalar(graph, if a == data { b } else { a })?)?)
        }
        _ => return None,
    };
    (low <= high).then_some(Clamp { low, high })
}

/// The element of a float constant that has just one.
fn scalar(graph: &Graph, id: TensorId) -> Option<f64> {
    let tensor = graph.tensor(id);
    let bytes = tensor.constant.as_deref().map(AlignedBytes::as_slice)?;
    match tensor.spec.dtype {
        DType::F32 => Some(f32::from_le_bytes(bytes.try_into().ok()?).into()),
        DType::F64 => Some(f64::from_le_bytes(bytes.try_into().ok()?)),
        _ => None,
    }
}
