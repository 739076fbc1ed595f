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
    for id in graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten().copied()).chain(graph.results()) {
        *readers.entry(id).or_default() += 1;
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

#[cfg(test)]
mod tests {
    use ekiben_runtime::ops::conv2d::{Window, WindowAxis};
    use ekiben_runtime::ops::quantized_add::{Addend, QuantizedAdd};
    use ekiben_runtime::ops::quantized_conv2d::{Factor, QuantizedConv2d, Target};
    use ekiben_runtime::{DType, Shape, TensorSpec};

    use super::*;
    use crate::graph::evaluate;

    const TARGET: Target = Target { zero: -7, low: -120, high: 127 };

    fn bytes(count: usize, step: usize) -> Vec<i8> {
        (0..count).map(|i| (i.wrapping_mul(step) % 251) as u8 as i8).collect()
    }

    fn conv(graph: &mut Graph, x: TensorId, step: usize) -> TensorId {
        let axis = WindowAxis { stride: 1, dilation: 1, before: 1, after: 1 };
        let filters = graph.add_constant("filters", DType::I8, &[4, 3, 3, 4], &bytes(144, step)).unwrap();
        let bias = graph.add_constant("bias", DType::I32, &[4], &[100, -200, 3000, 0]).unwrap();
        let factors = graph.add_constant("factors", DType::I32, &[4], &[1 << 30, 3 << 28, 1 << 30, 7 << 27]).unwrap();
        let shifts = graph.add_constant("shifts", DType::I32, &[1], &[-8]).unwrap();
        let window = Window { rows: axis, columns: axis };
        let op = QuantizedConv2d { window, groups: 1, input_zero: 5, target: TARGET };
        graph.add("conv", op, &[x, filters, bias, factors, shifts]).unwrap()
    }

    fn add(graph: &mut Graph, x: TensorId, y: TensorId) -> TensorId {
        let addend = |zero, multiplier| Addend { zero, factor: Factor { multiplier, shift: -1 } };
        let op = QuantizedAdd {
            addends: [addend(3, 1 << 30), addend(-7, 0x5A82_799A)],
            factor: Factor { multiplier: 0x6000_0000, shift: -18 },
            target: Target { zero: 11, low: -128, high: 127 },
        };
        graph.add("add", op, &[x, y]).unwrap()
    }

    fn convolutions(graph: &Graph) -> (usize, usize) {
        let count = |tag: u16| graph.nodes().iter().filter(|node| node.op.tag() == tag).count();
        (count(60), count(63))
    }

    #[test]
    fn a_convolution_that_adds_gives_the_bits_of_the_two() {
        let mut graph = Graph::new();
        let x = graph.add_input("x", TensorSpec::new(DType::I8, Shape::new(&[1, 5, 6, 4], Some(0)).unwrap()));
        let a = conv(&mut graph, x, 7);
        let b = conv(&mut graph, a, 13);
        // The result as either addend; a result that is read twice stays; of two results the later one is fused.
        let first = add(&mut graph, b, a);
        let c = conv(&mut graph, first, 29);
        let second = add(&mut graph, first, c);
        let (d, e) = (conv(&mut graph, second, 31), conv(&mut graph, second, 37));
        let third = add(&mut graph, d, e);
        graph.add_output(third);
        let fused = fuse_residual_add(&graph).unwrap();
        assert_eq!((convolutions(&graph), convolutions(&fused)), ((5, 3), (2, 0)));
        for rows in [1, 3] {
            let x = bytes(rows * 120, 17);
            let run = |graph: &Graph| evaluate(graph, rows, &[bytemuck::cast_slice(&x)]).unwrap();
            assert_eq!(run(&graph), run(&fused));
        }
        let plan = crate::planner::plan(&fused).unwrap();
        assert_eq!(plan.extent.per_row, 2 * 128, "the sum is written over what skipped the convolution");
    }
}
