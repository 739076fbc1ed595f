//! Graphs of dequantized operators of random shapes, run before and after the pass.

use ekiben_runtime::ops::batch_mat_mul::BatchMatMul;
use ekiben_runtime::ops::binary::Binary;
use ekiben_runtime::ops::conv2d::{Clamp, Conv2d, Window, WindowAxis};
use ekiben_runtime::ops::depthwise_conv2d::DepthwiseConv2d;
use ekiben_runtime::ops::linear_dequantize::LinearDequantize;
use ekiben_runtime::ops::linear_quantize::LinearQuantize;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::Unary;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::*;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    fn pick(&mut self, low: usize, high: usize) -> usize {
        low + (self.next() % (high - low + 1) as u64) as usize
    }

    fn scale(&mut self) -> f32 {
        0.003 + (self.next() % 1000) as f32 * 3e-5
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    fn dtype(&mut self) -> DType {
        if self.next().is_multiple_of(2) { DType::I8 } else { DType::U8 }
    }
}

/// A graph under construction.
struct Build {
    random: Random,
    graph: Graph,
}

impl Build {
    fn new(seed: u64) -> Self {
        Self { random: Random(seed), graph: Graph::new() }
    }

    fn add(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> TensorId {
        self.graph.add("node", op, inputs).unwrap()
    }

    /// Scales and zero points: one, or one for each of `count`.
    fn parameters(&mut self, dtype: DType, count: Option<usize>, zero: bool) -> [TensorId; 2] {
        let dims: Vec<usize> = count.into_iter().collect();
        let length = count.unwrap_or(1);
        let scales: Vec<f32> = (0..length).map(|_| self.random.scale()).collect();
        let zeros = if zero { self.random.bytes(length) } else { vec![0; length] };
        let scales = self.graph.add_constant("scale", DType::F32, &dims, &scales).unwrap();
        let spec = TensorSpec::new(dtype, self.graph.shape(scales));
        [scales, self.graph.add_constant_bytes("zero", spec, &zeros).unwrap()]
    }

    fn dequantize(&mut self, x: TensorId, axis: Option<(u8, usize)>, zero: bool) -> TensorId {
        let dtype = self.graph.spec(x).dtype;
        let [scale, zero] = self.parameters(dtype, axis.map(|(_, count)| count), zero);
        let op = LinearDequantize { dtype: DType::F32, axis: axis.map_or(0, |(axis, _)| axis), block: 0 };
        self.add(op, &[x, scale, zero])
    }

    /// Numbers of a random batch.
    fn input(&mut self, dims: &[usize]) -> TensorId {
        let (dtype, shape) = (self.random.dtype(), Shape::new(dims, Some(0)).unwrap());
        let x = self.graph.add_input("x", TensorSpec::new(dtype, shape));
        self.dequantize(x, None, true)
    }

    fn weights(&mut self, dims: &[usize], axis: Option<u8>) -> TensorId {
        let (dtype, zero) = (self.random.dtype(), self.random.next().is_multiple_of(2));
        let bytes = self.random.bytes(dims.iter().product());
        let spec = TensorSpec::new(dtype, Shape::fixed(dims).unwrap());
        let weights = self.graph.add_constant_bytes("weights", spec, &bytes).unwrap();
        self.dequantize(weights, axis.map(|axis| (axis, dims[usize::from(axis)])), zero)
    }

    /// A float bias or none.
    fn bias(&mut self, count: usize) -> Vec<TensorId> {
        if self.random.next().is_multiple_of(2) {
            return Vec::new();
        }
        let values: Vec<f32> = (0..count).map(|_| self.random.scale() * 30.0).collect();
        vec![self.graph.add_constant("bias", DType::F32, &[count], &values).unwrap()]
    }

    /// Quantizes so that numbers up to `largest` use the steps.
    fn quantize(&mut self, y: TensorId, largest: f32) {
        let dtype = self.random.dtype();
        let scale = self.graph.add_constant("scale", DType::F32, &[], &[largest / 100.0]).unwrap();
        let zero = [self.random.next() as u8 / 2 + 64];
        let zero = if dtype == DType::I8 { [zero[0].wrapping_sub(128)] } else { zero };
        let zero = self.graph.add_constant_bytes("zero", TensorSpec::new(dtype, Shape::scalar()), &zero).unwrap();
        let op = LinearQuantize { dtype, precision: DType::F32, axis: 0, block: 0 };
        let y = self.add(op, &[y, scale, zero]);
        self.graph.add_output(y);
    }

    /// Runs the graph before and after the pass: elements that differ, and all. None may differ by more than one step.
    fn compare(mut self) -> (usize, usize) {
        let fused = fuse_quantized(&self.graph).unwrap();
        let float = fused.nodes().iter().find(|node| fused.spec(node.outputs[0]).dtype == DType::F32);
        assert!(float.is_none(), "{float:?} is left");
        let rows = self.random.pick(1, 3);
        let sizes: Vec<usize> =
            self.graph.inputs().iter().map(|&x| rows * self.graph.spec(x).bytes().unwrap() as usize).collect();
        let inputs: Vec<Vec<u8>> = sizes.into_iter().map(|size| self.random.bytes(size)).collect();
        let inputs: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
        let [before, after] = [&self.graph, &fused].map(|graph| evaluate(graph, rows, &inputs).unwrap().swap_remove(0));
        let pairs = || before.as_slice().iter().zip(after.as_slice());
        assert!(pairs().all(|(a, b)| a.wrapping_sub(*b).wrapping_add(1) <= 2), "{before:?} {after:?}");
        (pairs().filter(|(a, b)| a != b).count(), before.as_slice().len())
    }
}

/// Builds and compares graphs until enough elements have been seen; returns how many differ.
fn compare_all(seeds: u64, build: impl Fn(&mut Build)) -> (usize, usize) {
    let results = (0..seeds).map(|seed| {
        let mut graph = Build::new(seed);
        build(&mut graph);
        graph.compare()
    });
    let (different, all) = results.fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    println!("{different} of {all} differ");
    (different, all)
}

fn axis(random: &mut Random) -> WindowAxis {
    let pad = |random: &mut Random| random.pick(0, 2) as u32;
    WindowAxis {
        stride: random.pick(1, 3) as u32,
        dilation: random.pick(1, 2) as u32,
        before: pad(random),
        after: pad(random),
    }
}

#[test]
fn convolutions_differ_where_sums_lie_at_halves() {
    let (different, all) = compare_all(120, |b| {
        let depthwise = b.random.next() % 3 == 0;
        let groups = if depthwise { 1 } else { b.random.pick(1, 3) };
        let (channels, outputs) = (groups * b.random.pick(1, 5), groups * b.random.pick(1, 4));
        let kernel = [b.random.pick(1, 3), b.random.pick(1, 3)];
        let x = b.input(&[1, 7, 8, channels]);
        let window = Window { rows: axis(&mut b.random), columns: axis(&mut b.random) };
        let per_channel = b.random.next() % 2 == 0;
        let taps = (kernel[0] * kernel[1]) as f32;
        let y = if depthwise {
            let outputs = channels * b.random.pick(1, 3);
            let mut inputs = vec![x, b.weights(&[1, kernel[0], kernel[1], outputs], per_channel.then_some(3))];
            inputs.extend(b.bias(outputs));
            b.add(DepthwiseConv2d { window, clamp: Clamp::NONE }, &inputs)
        } else {
            let dims = [outputs, kernel[0], kernel[1], channels / groups];
            let mut inputs = vec![x, b.weights(&dims, per_channel.then_some(0))];
            inputs.extend(b.bias(outputs));
            b.add(Conv2d { window, groups: groups as u32, clamp: Clamp::NONE }, &inputs)
        };
        let y = if b.random.next() % 2 == 0 { b.add(Unary::of(UnaryKind::Relu), &[y]) } else { y };
        b.quantize(y, 3.0 * taps.sqrt());
    });
    assert!(all > 20_000 && different * 1000 < all, "{different} of {all} differ");
}

#[test]
fn matrix_products_differ_where_sums_lie_at_halves() {
    let (different, all) = compare_all(120, |b| {
        let (m, k, c) = (b.random.pick(1, 9), b.random.pick(1, 60), b.random.pick(1, 9));
        let x = b.input(&[1, m, k]);
        let y = if b.random.next() % 3 == 0 {
            let other = b.input(&[1, k, c]);
            b.add(BatchMatMul, &[x, other])
        } else {
            let transpose_b = b.random.next() % 2 == 0;
            let dims = if transpose_b { [c, k] } else { [k, c] };
            let per_channel = b.random.next() % 2 == 0;
            let mut inputs = vec![x, b.weights(&dims, per_channel.then_some(u8::from(!transpose_b)))];
            inputs.extend(b.bias(c));
            b.add(MatMul { transpose_b }, &inputs)
        };
        b.quantize(y, 3.0 * (k as f32).sqrt());
    });
    assert!(all > 4_000 && different * 1000 < all, "{different} of {all} differ");
}

#[test]
fn other_operators_are_the_same_to_the_bit() {
    use BinaryKind::{Add, Div, Max, Min, Mul, PRelu, Sub};
    let (different, all) = compare_all(210, |b| {
        let x = b.input(&[1, 6, 7, 3]);
        let y = match b.random.pick(0, 4) {
            0 => {
                let other = if b.random.next() % 2 == 0 { b.input(&[1, 6, 7, 3]) } else { b.weights(&[7, 3], None) };
                let kind = [Add, Sub, Mul, Div, Min, Max, PRelu][b.random.pick(0, 6)];
                b.add(Binary { kind }, &[x, other])
            }
            1 => {
                let axis = b.random.pick(1, 3) as u8;
                b.add(Softmax { axis, log: false }, &[x])
            }
            2 => {
                let kind = [PoolKind::Max, PoolKind::Average, PoolKind::AveragePadded][b.random.pick(0, 2)];
                let window = Window { rows: axis(&mut b.random), columns: axis(&mut b.random) };
                b.add(Pool2d { kind, kernel: [3, 3], window }, &[x])
            }
            3 => {
                let y = b.add(Unary::of(UnaryKind::Sigmoid), &[x]);
                b.add(Binary { kind: Mul }, &[x, y])
            }
            _ => x,
        };
        b.quantize(y, 1.0);
    });
    assert!(all > 20_000 && different == 0, "{different} of {all} differ");
}
