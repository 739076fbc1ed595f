use super::*;
use crate::graph::{Graph, TensorId, evaluate};
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::conv2d::{Clamp, Conv2d, Window};
use ekiben_runtime::ops::layer_norm::LayerNorm;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::pad::{Pad, PadMode};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::resize::{Coordinates, Interpolation, Nearest, Resampling, Resize};
use ekiben_runtime::ops::slice::Slice;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

const TO_LAST: [usize; 4] = [0, 2, 3, 1];
const TO_FIRST: [usize; 4] = [0, 3, 1, 2];

fn images(graph: &mut Graph) -> TensorId {
    graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 3, 4, 5], Some(0)).unwrap()))
}

fn transpose(graph: &mut Graph, x: TensorId, axes: &[usize]) -> TensorId {
    graph.add("transpose", Transpose { perm: Permutation::new(axes).unwrap() }, &[x]).unwrap()
}

fn floats(count: usize, seed: f32) -> Vec<f32> {
    (0..count).map(|index| ((index as f32 + seed) * 1.37).sin()).collect()
}

/// Runs both graphs on several batch sizes and compares bit for bit; returns the number of transposes in the second.
fn same(before: &Graph, after: &Graph) -> usize {
    for rows in [1, 2, 5] {
        let x = floats(rows * 60, rows as f32);
        let run = |graph: &Graph| evaluate(graph, rows, &[bytemuck::cast_slice(&x)]).unwrap();
        assert_eq!(run(before), run(after), "{rows} rows");
    }
    let specs = |graph: &Graph| {
        graph.outputs().iter().map(|&id| (graph.tensor(id).name.clone(), graph.spec(id))).collect::<Vec<_>>()
    };
    assert_eq!(specs(before), specs(after));
    transposes(after)
}

fn transposes(graph: &Graph) -> usize {
    graph.nodes().iter().filter(|node| matches!(node.op, Op::Transpose(_))).count()
}

/// A convolution in the layout of ONNX.
fn conv(graph: &mut Graph, x: TensorId, channels: usize) -> TensorId {
    let x = transpose(graph, x, &TO_LAST);
    let weights = floats(channels * 3, channels as f32);
    let filters = graph.add_constant("filters", DType::F32, &[channels, 1, 1, 3], &weights).unwrap();
    let op = Conv2d { window: Window::DENSE, groups: 1, clamp: Clamp::NONE };
    let y = graph.add("conv", op, &[x, filters]).unwrap();
    transpose(graph, y, &TO_FIRST)
}

#[test]
fn transposes_between_convolutions_cancel_through_elementwise_nodes() {
    let mut graph = Graph::new();
    let x = images(&mut graph);
    let y = conv(&mut graph, x, 3);
    let scale = graph.add_constant("scale", DType::F32, &[3, 1, 1], &[0.5f32, 2.0, -1.0]).unwrap();
    let y = graph.add("scale", Binary { kind: BinaryKind::Mul }, &[y, scale]).unwrap();
    let two = graph.add_constant("two", DType::F32, &[], &[2.0f32]).unwrap();
    let y = graph.add("shift", Binary { kind: BinaryKind::Add }, &[two, y]).unwrap();
    let y = graph.add("relu", Unary::of(UnaryKind::Relu), &[y]).unwrap();
    let z = conv(&mut graph, y, 3);
    let sum = graph.add("residual", Binary { kind: BinaryKind::Add }, &[y, z]).unwrap();
    let joined = graph.add("concat", Concat { axis: 1 }, &[sum, z]).unwrap();
    let soft = graph.add("softmax", Softmax { axis: 1, log: false }, &[joined]).unwrap();
    let mean = graph.add("mean", Reduce { kind: ReduceKind::Mean, axes: 0b1100, keep: true }, &[soft]).unwrap();
    let flat = TensorSpec::new(DType::F32, Shape::new(&[1, 6], Some(0)).unwrap());
    let flat = graph.add_declared("flatten", Reshape, &[mean], flat).unwrap();
    let means = graph.add("means", Reduce { kind: ReduceKind::Max, axes: 0b1100, keep: false }, &[soft]).unwrap();
    graph.add_output(flat);
    graph.add_output(means);
    // One transpose is left: the input's.
    assert_eq!(same(&graph, &cancel_transposes(&graph).unwrap()), 1);
}

#[test]
fn transposes_that_are_needed_stay() {
    let mut graph = Graph::new();
    let x = images(&mut graph);
    let last = transpose(&mut graph, x, &TO_LAST);
    let relu = graph.add("relu", Unary::of(UnaryKind::Relu), &[last]).unwrap();
    let other = transpose(&mut graph, x, &[1, 0, 2, 3]);
    let back = transpose(&mut graph, relu, &TO_FIRST);
    let mixed = graph.add("mixed", Binary { kind: BinaryKind::Sub }, &[x, back]).unwrap();
    let flat = TensorSpec::new(DType::F32, Shape::new(&[1, 60], Some(0)).unwrap());
    let flat = graph.add_declared("flatten", Reshape, &[relu], flat).unwrap();
    for output in [other, mixed, flat, relu, last] {
        graph.add_output(output);
    }
    assert_eq!(same(&graph, &cancel_transposes(&graph).unwrap()), 3);
}

/// A table of `rows` lists of a number for each axis.
fn table(graph: &mut Graph, rows: usize, values: &[i32]) -> TensorId {
    graph.add_constant("table", DType::I32, &[rows, values.len() / rows], values).unwrap()
}

#[test]
fn transposes_go_through_pads_parts_and_sizes() {
    let mut graph = Graph::new();
    let x = images(&mut graph);
    let y = conv(&mut graph, x, 3);
    let pads = table(&mut graph, 2, &[0, 1, 0, 2, 0, 0, 3, 1]);
    let y = graph.add("pad", Pad { mode: PadMode::Edge }, &[y, pads]).unwrap();
    let part = table(&mut graph, 3, &[0, 1, 2, 0, 1, 1, 2, 1, 1, 3, 2, 6]);
    let y = graph.add("slice", Slice, &[y, part]).unwrap();
    let scales = graph.add_constant("scales", DType::F32, &[4], &[1.0f32, 1.0, 2.0, 1.5]).unwrap();
    let how = Resampling {
        interpolation: Interpolation::Linear,
        coordinates: Coordinates::HalfPixel,
        nearest: Nearest::Floor,
        antialias: false,
        exclude_outside: false,
        cubic: -0.75,
        extrapolation: 0.0,
    };
    let sized = TensorSpec::new(DType::F32, Shape::new(&[1, 3, 4, 9], Some(0)).unwrap());
    let y = graph.add_declared("resize", Resize { how }, &[y, scales], sized).unwrap();
    let z = conv(&mut graph, y, 2);
    graph.add_output(z);
    assert_eq!(transposes(&graph), 4);
    assert_eq!(same(&graph, &cancel_transposes(&graph).unwrap()), 2);
}

#[test]
fn transposes_go_through_shuffled_channels_and_their_weights() {
    let mut graph = Graph::new();
    let x = images(&mut graph);
    let y = conv(&mut graph, x, 6);
    let split = TensorSpec::new(DType::F32, Shape::new(&[1, 2, 3, 4, 5], Some(0)).unwrap());
    let joined = TensorSpec::new(DType::F32, Shape::new(&[1, 6, 4, 5], Some(0)).unwrap());
    let weights = graph.add("means", Reduce { kind: ReduceKind::Max, axes: 0b1100, keep: false }, &[y]).unwrap();
    let weights = graph.add("squash", Unary::of(UnaryKind::Sigmoid), &[weights]).unwrap();
    let alone = TensorSpec::new(DType::F32, Shape::new(&[1, 6, 1, 1], Some(0)).unwrap());
    let weights = graph.add_declared("weights", Reshape, &[weights], alone).unwrap();
    let y = graph.add("excite", Binary { kind: BinaryKind::Mul }, &[y, weights]).unwrap();
    let y = graph.add_declared("split", Reshape, &[y], split).unwrap();
    let y = transpose(&mut graph, y, &[0, 2, 1, 3, 4]);
    let y = graph.add_declared("join", Reshape, &[y], joined).unwrap();
    let last = transpose(&mut graph, y, &TO_LAST);
    let sum = graph.add("sum", Reduce { kind: ReduceKind::Max, axes: 0b0110, keep: false }, &[last]).unwrap();
    graph.add_output(sum);
    // The input's, and the shuffle's own.
    assert_eq!(same(&graph, &cancel_transposes(&graph).unwrap()), 2);
}

#[test]
fn transposes_go_through_products_and_normalisation_of_rows() {
    let mut graph = Graph::new();
    let x = images(&mut graph);
    let y = transpose(&mut graph, x, &[1, 0, 2, 3]);
    let weights = floats(35, 0.5);
    let weights = graph.add_constant("weights", DType::F32, &[5, 7], &weights).unwrap();
    let y = graph.add("product", MatMul { transpose_b: false }, &[y, weights]).unwrap();
    let scale = graph.add_constant("scale", DType::F32, &[7], &floats(7, 2.0)).unwrap();
    let norm = LayerNorm { axes: 1, epsilon: 1e-5, root_mean_square: false };
    let y = graph.add("norm", norm, &[y, scale]).unwrap();
    let back = transpose(&mut graph, y, &[1, 0, 2, 3]);
    let other = transpose(&mut graph, y, &[1, 0, 3, 2]);
    let product = graph.add("product", MatMul { transpose_b: false }, &[x, weights]).unwrap();
    let product = transpose(&mut graph, product, &TO_LAST);
    let square = graph.add_constant("square", DType::F32, &[3, 2], &floats(6, 1.0)).unwrap();
    let product = graph.add("columns", MatMul { transpose_b: false }, &[product, square]).unwrap();
    for output in [back, other, product] {
        graph.add_output(output);
    }
    assert_eq!(same(&graph, &cancel_transposes(&graph).unwrap()), 2);
}

#[test]
fn every_order_of_axes_composes() {
    let orders = [[0, 2, 3, 1], [0, 3, 1, 2], [3, 2, 1, 0], [1, 0, 3, 2], [2, 0, 1, 3]];
    for first in &orders {
        for second in &orders {
            let mut graph = Graph::new();
            let x = images(&mut graph);
            let a = transpose(&mut graph, x, first);
            let a = graph.add("exp", Unary::of(UnaryKind::Exp), &[a]).unwrap();
            let dims: Vec<usize> = graph.shape(a).factors().iter().map(|&dim| dim as usize).collect();
            let dims: Vec<usize> =
                (1..4).map(|axis| if graph.shape(a).is_batch(axis) { 1 } else { dims[axis] }).collect();
            let c = floats(dims.iter().product(), 0.3);
            let c = graph.add_constant("c", DType::F32, &dims, &c).unwrap();
            let a = graph.add("mul", Binary { kind: BinaryKind::Mul }, &[c, a]).unwrap();
            let b = transpose(&mut graph, a, second);
            graph.add_output(b);
            assert!(same(&graph, &cancel_transposes(&graph).unwrap()) <= 1, "{first:?} {second:?}");
        }
    }
}

#[test]
fn constants_are_folded_and_dead_nodes_removed() {
    let mut graph = Graph::new();
    let x = images(&mut graph);
    let a = graph.add_constant("a", DType::F32, &[3, 1, 1], &[1.0f32, 2.0, 3.0]).unwrap();
    let b = graph.add("b", Unary::of(UnaryKind::Square), &[a]).unwrap();
    let c = graph.add("c", Binary { kind: BinaryKind::Add }, &[a, b]).unwrap();
    let y = graph.add("y", Binary { kind: BinaryKind::Mul }, &[x, c]).unwrap();
    graph.add("dead", Unary::of(UnaryKind::Exp), &[y]).unwrap();
    graph.add_output(y);
    graph.add_output(c);
    let folded = fold_constants(&graph).unwrap();
    same(&graph, &folded);
    assert_eq!(folded.nodes().len(), 2);
    let live = remove_dead_nodes(&folded).unwrap();
    same(&graph, &live);
    assert_eq!(live.nodes().len(), 1);
    let optimised = optimise(&graph).unwrap();
    same(&graph, &optimised);
    assert_eq!((optimised.nodes().len(), optimised.inputs().len()), (1, 1));
}
