//! Lets a convolution add its result to the tensor that skipped it: the sum can then be written over that tensor, so that a residual
//! block needs neither a third tensor nor a step for the addition.

use std::collections::HashMap;

use ekiben_runtime::Op;
use ekiben_runtime::ops::quantized_add::QuantizedAdd;
use ekiben_runtime::ops::quantized_conv2d_add::QuantizedConv2dAdd;

use super::PassError;
use super::rewrite::Rewrite;
use crate::graph::{Graph, Node, TensorId};

/// The graph with int8 convolutions that add, where nothing else reads the convolution's result and both tensors have one shape.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fuse_residual_add(graph: &Graph) -> Result<Graph, PassError> {
    let fusions = fusions(graph);
    let fused: Vec<usize> = fusions.values().map(|fusion| fusion.conv).collect();
    let mut rewrite = Rewrite::new(graph);
    for (position, node) in graph.nodes().iter().enumerate() {
        if let Some(fusion) = fusions.get(&position) {
            let inputs = graph.nodes()[fusion.conv].inputs.iter().copied().chain([Some(fusion.skip)]);
            let inputs = inputs.map(|input| input.map(|id| rewrite.tensor(id)).transpose());
            let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
            rewrite.write(node, fusion.op, &inputs)?;
        } else if !fused.contains(&position) {
            rewrite.copy(node)?;
        }
    }
    rewrite.finish()
}

/// An addition that a convolution does.
struct Fusion {
    /// Position of the convolution.
    conv: usize,
    /// What its result is added to.
    skip: TensorId,
    op: Op,
}

/// Fusions by the position of the addition.
fn fusions(graph: &Graph) -> HashMap<usize, Fusion> {
    let mut readers: HashMap<TensorId, usize> = HashMap::new();
    for id in graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten()).chain(graph.outputs()) {
        *readers.entry(*id).or_default() += 1;
    }
    let makers: HashMap<TensorId, usize> =
        graph.nodes().iter().enumerate().flat_map(|(at, node)| node.outputs.iter().map(move |&id| (id, at))).collect();
    let mut fusions = HashMap::new();
    for (position, node) in graph.nodes().iter().enumerate() {
        let Op::QuantizedAdd(add) = node.op else { continue };
        let candidate = |which: usize| {
            let id = node.inputs.get(which).copied().flatten()?;
            let conv = *makers.get(&id).filter(|_| readers.get(&id) == Some(&1))?;
            let fusion = fuse(graph, &graph.nodes()[conv], node, &add, which)?;
            Some(Fusion { conv, ..fusion })
        };
        // Of two convolutions the later one: what it reads is in memory anyway when the sum is made.
        let later = [0, 1].into_iter().filter_map(candidate).max_by_key(|fusion| fusion.conv);
        if let Some(fusion) = later {
            fusions.insert(position, fusion);
        }
    }
    fusions
}

/// The fusion of an addition whose input `which` is the result of `conv`; its position is the caller's to fill in.
fn fuse(graph: &Graph, conv: &Node, node: &Node, add: &QuantizedAdd, which: usize) -> Option<Fusion> {
    let Op::QuantizedConv2d(op) = conv.op else { return None };
    let skip = node.inputs.get(1 - which).copied().flatten()?;
    let shape = graph.shape(*node.outputs.first()?);
    let shapes = [graph.shape(skip), graph.shape(*conv.outputs.first()?)];
    let [first, second] = add.addends;
    let addends = if which == 0 { [second, first] } else { [first, second] };
    let op = QuantizedConv2dAdd::new(op, QuantizedAdd { addends, ..*add })?.into();
    // The convolution has five inputs when an absent bias is counted, so that what it is added to comes sixth.
    (shapes == [shape; 2] && conv.inputs.len() == 5).then_some(Fusion { conv: 0, skip, op })
}
