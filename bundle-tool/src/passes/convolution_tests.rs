//! The passes around convolutions, on random inputs: each graph is run before and after.

use super::*;
use crate::graph::{Graph, TensorId, evaluate};
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::conv_nd::{ConvNd, Direction};
use ekiben_runtime::ops::conv2d::{Clamp, Conv2d, Window, WindowAxis};
use ekiben_runtime::ops::depthwise_conv2d::DepthwiseConv2d;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::pad::{Pad, PadMode};
use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

/// Channels of the inputs here.
const CHANNELS: usize = 4;
const PADDED: Window = Window {
    rows: WindowAxis { stride: 2, dilation: 1, before: 1, after: 1 },
    columns: WindowAxis { stride: 1, dilation: 2, before: 2, after: 0 },
};

fn floats(count: usize, seed: f32) -> Vec<f32> {
    (0..count).map(|index| ((index as f32 + seed) * 1.37).sin() * 2.0).collect()
}

fn images(graph: &mut Graph) -> TensorId {
    graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 5, 6, CHANNELS], Some(0)).unwrap()))
}

fn constant(graph: &mut Graph, dims: &[usize]) -> TensorId {
    let values = floats(dims.iter().product(), dims.len() as f32 + 0.3);
    graph.add_constant("constant", DType::F32, dims, &values).unwrap()
}

/// Runs both graphs on several batch sizes: results may differ by `tolerance` of their range.
fn near(before: &Graph, after: &Graph, tolerance: f32) {
    for rows in [1, 3] {
        let x = floats(rows * 5 * 6 * CHANNELS, rows as f32);
        let run = |graph: &Graph| evaluate(graph, rows, &[bytemuck::cast_slice(&x)]).unwrap();
        for (expected, got) in run(before).iter().zip(run(after)) {
            let expected: &[f32] = bytemuck::cast_slice(expected.as_slice());
            let got: &[f32] = bytemuck::cast_slice(got.as_slice());
            let range = expected.iter().fold(0.0f32, |range, value| range.max(value.abs()));
            assert_eq!(expected.len(), got.len());
            for (a, b) in expected.iter().zip(got) {
                assert!(a == b || (a - b).abs() <= tolerance * range, "{a} became {b}, the range is {range}");
            }
        }
    }
    let specs = |graph: &Graph| {
        graph.outputs().iter().map(|&id| (graph.tensor(id).name.clone(), graph.spec(id))).collect::<Vec<_>>()
    };
    assert_eq!(specs(before), specs(after));
}

/// Adds a convolution or a product, number `kind`, of an input with four channels; the result has eight.
fn linear(graph: &mut Graph, x: TensorId, kind: usize, window: Window, bias: bool) -> TensorId {
    let clamp = Clamp::NONE;
    let (op, weights): (Op, &[usize]) = match kind {
        0 => (Conv2d { window, groups: 1, clamp }.into(), &[8, 3, 2, CHANNELS]),
        1 => (Conv2d { window, groups: 2, clamp }.into(), &[8, 1, 3, CHANNELS / 2]),
        2 => (DepthwiseConv2d { window, clamp }.into(), &[1, 3, 2, 8]),
        3 => (ConvNd { direction: Direction::Forward, groups: 2, clamp }.into(), &[8, 2, 2, CHANNELS / 2]),
        4 => (ConvNd { direction: Direction::Transposed, groups: 1, clamp }.into(), &[8, 2, 3, CHANNELS]),
        5 => (MatMul { transpose_b: false }.into(), &[CHANNELS, 8]),
        _ => (MatMul { transpose_b: true }.into(), &[8, CHANNELS]),
    };
    let mut inputs = vec![Some(x), Some(constant(graph, weights))];
    if matches!(op, Op::ConvNd(_)) {
        let axes = [window.rows, window.columns];
        let after = |axis: usize| if kind == 4 { [7, 8][axis] } else { axes[axis].after as i32 };
        let rows = axes.map(|axis| axis.stride as i32).into_iter().chain(axes.map(|axis| axis.dilation as i32));
        let rows = rows.chain(axes.map(|axis| axis.before as i32)).chain([after(0), after(1)]).collect::<Vec<_>>();
        inputs.push(Some(graph.add_constant("window", DType::I32, &[4, 2], &rows).unwrap()));
    }
    if bias {
        inputs.push(Some(constant(graph, &[8])));
    }
    graph.add_node("linear", op, &inputs, &[]).unwrap()[0]
}

const KINDS: usize = 7;

/// Adds arithmetic with constants of `channels`.
fn steps(graph: &mut Graph, mut x: TensorId, channels: usize) -> TensorId {
    for (kind, dims, first) in [
        (BinaryKind::Mul, &[channels][..], true),
        (BinaryKind::Add, &[1, 1, channels], false),
        (BinaryKind::Sub, &[], false),
        (BinaryKind::Div, &[1, channels], true),
        (BinaryKind::Sub, &[channels], true),
    ] {
        let c = constant(graph, dims);
        x = graph.add("step", Binary { kind }, &if first { [x, c] } else { [c, x] }).unwrap();
    }
    x = graph.add("affine", Unary { kind: UnaryKind::Affine, alpha: 0.75, beta: -0.5 }, &[x]).unwrap();
    graph.add("negative", Unary::of(UnaryKind::Neg), &[x]).unwrap()
}

#[test]
fn factors_and_offsets_after_a_convolution_go_into_its_weights() {
    for kind in 0..KINDS {
        for (window, bias) in [(Window::DENSE, true), (PADDED, false)] {
            let mut graph = Graph::new();
            let x = images(&mut graph);
            let y = linear(&mut graph, x, kind, window, bias);
            let y = steps(&mut graph, y, 8);
            graph.add_output(y);
            let folded = fold_scales(&graph).unwrap();
            near(&graph, &folded, 1e-5);
            assert_eq!(folded.nodes().len(), 1, "{kind}");
        }
    }
}

#[test]
fn factors_and_offsets_before_a_convolution_go_into_its_weights() {
    for kind in 0..KINDS {
        for (window, bias) in [(Window::DENSE, true), (Window::DENSE, false), (PADDED, true)] {
            let mut graph = Graph::new();
            let x = images(&mut graph);
            let factor = constant(&mut graph, &[CHANNELS]);
            let x = graph.add("factor", Binary { kind: BinaryKind::Mul }, &[x, factor]).unwrap();
            let offset = constant(&mut graph, &[1, 1, 1, CHANNELS]);
            let x = graph.add("offset", Binary { kind: BinaryKind::Add }, &[offset, x]).unwrap();
            let x = graph.add("factor", Binary { kind: BinaryKind::Mul }, &[factor, x]).unwrap();
            let y = linear(&mut graph, x, kind, window, bias);
            graph.add_output(y);
            let folded = fold_scales(&graph).unwrap();
            near(&graph, &folded, 1e-5);
            // Padding is not offset, nor are products of a transpose that a border has cut off.
            let stays = kind == 4 || (window == PADDED && kind < 5);
            assert_eq!(folded.nodes().len(), if stays { 3 } else { 1 }, "{kind}");
        }
    }
}

#[test]
fn reshapes_that_leave_the_channels_are_no_hindrance() {
    let mut graph = Graph::new();
    let x = images(&mut graph);
    let y = linear(&mut graph, x, 0, PADDED, true);
    let rows = |graph: &mut Graph, x: TensorId, dims: &[usize]| {
        let spec = TensorSpec::new(DType::F32, Shape::new(dims, Some(0)).unwrap());
        graph.add_declared("rows", Reshape, &[x], spec).unwrap()
    };
    let y = rows(&mut graph, y, &[1, 18, 8]);
    let y = steps(&mut graph, y, 8);
    let y = rows(&mut graph, y, &[3, 6, 8]);
    let y = graph.add("relu", Unary::of(UnaryKind::Relu), &[y]).unwrap();
    graph.add_output(y);
    let y = rows(&mut graph, y, &[1, 144]);
    graph.add_output(y);
    let folded = fuse_clamps(&fold_scales(&graph).unwrap()).unwrap();
    near(&graph, &folded, 1e-5);
    assert_eq!(folded.nodes().len(), 4);
}

#[test]
fn what_others_read_stays() {
    let mut graph = Graph::new();
    let x = images(&mut graph);
    let y = linear(&mut graph, x, 0, PADDED, true);
    let z = steps(&mut graph, y, 8);
    let relu = graph.add("relu", Unary::of(UnaryKind::Relu), &[y]).unwrap();
    graph.add_output(z);
    graph.add_output(relu);
    let folded = fuse_clamps(&fold_scales(&graph).unwrap()).unwrap();
    near(&graph, &folded, 0.0);
    assert_eq!(folded.nodes().len(), graph.nodes().len());
}

#[test]
fn activations_become_bounds() {
    for kind in 0..5 {
        for bounds in 0..4 {
            let mut graph = Graph::new();
            let x = images(&mut graph);
            let y = linear(&mut graph, x, kind, PADDED, true);
            let six = graph.add_constant("six", DType::F32, &[1], &[6.0f32]).unwrap();
            let y = match bounds {
                0 => graph.add("relu", Unary::of(UnaryKind::Relu), &[y]),
                1 => graph.add("clip", Unary { kind: UnaryKind::Clip, alpha: -1.5, beta: 2.0 }, &[y]),
                2 => graph.add("min", Binary { kind: BinaryKind::Min }, &[six, y]),
                _ => graph.add("max", Binary { kind: BinaryKind::Max }, &[y, six]),
            };
            let y = graph.add("clip", Unary { kind: UnaryKind::Clip, alpha: -1.0, beta: 3.0 }, &[y.unwrap()]).unwrap();
            graph.add_output(y);
            let fused = fuse_clamps(&graph).unwrap();
            near(&graph, &fused, 0.0);
            assert_eq!(fused.nodes().len(), 1, "{kind} {bounds}");
        }
    }
}

/// Adds a pad of the two spatial axes of `[N, H, W, C]` or, with `first`, `[N, C, H, W]`.
fn pad(graph: &mut Graph, x: TensorId, first: bool, value: f32) -> TensorId {
    let table = if first { [0, 0, 1, 2, 0, 0, 3, 0] } else { [0, 1, 2, 0, 0, 3, 0, 0] };
    let table = graph.add_constant("pads", DType::I32, &[2, 4], &table).unwrap();
    let value = graph.add_constant("value", DType::F32, &[], &[value]).unwrap();
    graph.add("pad", Pad { mode: PadMode::Constant }, &[x, table, value]).unwrap()
}

#[test]
fn padding_goes_into_convolutions() {
    for kind in 0..4 {
        for window in [Window::DENSE, PADDED] {
            let mut graph = Graph::new();
            let x = images(&mut graph);
            let y = pad(&mut graph, x, false, 0.0);
            let y = linear(&mut graph, y, kind, window, true);
            graph.add_output(y);
            let folded = fold_padding(&graph).unwrap();
            near(&graph, &folded, 0.0);
            assert_eq!(folded.nodes().len(), 1, "{kind}");
        }
    }
}

#[test]
fn padding_of_channels_and_other_values_stay() {
    for (channels, value) in [(true, 0.0), (false, 0.5)] {
        let mut graph = Graph::new();
        let x = images(&mut graph);
        let y = pad(&mut graph, x, channels, value);
        let op = Conv2d { window: Window::DENSE, groups: 1, clamp: Clamp::NONE };
        let channels = graph.shape(y).factor(3).unwrap();
        let weights = constant(&mut graph, &[3, 1, 2, channels]);
        let y = graph.add("conv", op, &[y, weights]).unwrap();
        graph.add_output(y);
        let folded = fold_padding(&graph).unwrap();
        near(&graph, &folded, 0.0);
        assert_eq!(folded.nodes().len(), 2);
    }
}

#[test]
fn padding_goes_through_a_transpose() {
    let mut graph = Graph::new();
    let spec = TensorSpec::new(DType::F32, Shape::new(&[1, CHANNELS, 5, 6], Some(0)).unwrap());
    let x = graph.add_input("x", spec);
    let padded = pad(&mut graph, x, true, 0.0);
    let perm = Permutation::new(&[0, 2, 3, 1]).unwrap();
    let last = graph.add("transpose", Transpose { perm }, &[padded]).unwrap();
    let y = linear(&mut graph, last, 1, PADDED, true);
    graph.add_output(y);
    let folded = fold_padding(&graph).unwrap();
    near(&graph, &folded, 0.0);
    assert_eq!(folded.nodes().len(), 2);
}

#[test]
fn padding_goes_into_pools_where_that_is_the_same() {
    let lowest = f32::NEG_INFINITY;
    for (kind, window, value, relu, folds) in [
        (PoolKind::Max, Window::DENSE, lowest, false, true),
        (PoolKind::Max, Window::DENSE, 0.0, false, false),
        (PoolKind::Max, Window::DENSE, 0.0, true, true),
        (PoolKind::Average, Window::DENSE, 0.0, false, true),
        (PoolKind::Average, PADDED, 0.0, false, false),
        (PoolKind::AveragePadded, PADDED, 0.0, false, true),
        (PoolKind::AveragePadded, PADDED, 1.0, false, false),
    ] {
        let mut graph = Graph::new();
        let mut x = images(&mut graph);
        if relu {
            x = graph.add("relu", Unary::of(UnaryKind::Relu), &[x]).unwrap();
        }
        let x = pad(&mut graph, x, false, value);
        let y = graph.add("pool", Pool2d { kind, kernel: [4, 3], window }, &[x]).unwrap();
        graph.add_output(y);
        let folded = fold_padding(&graph).unwrap();
        near(&graph, &folded, 0.0);
        let pads = folded.nodes().iter().filter(|node| matches!(node.op, Op::Pad(_))).count();
        assert_eq!(pads, usize::from(!folds), "{kind:?} {value} {relu}");
    }
}
