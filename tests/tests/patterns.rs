//! Each pattern of the passes in its parts, run before and after it was recognised.

use ekiben::graph::{AlignedBytes, Graph, TensorId, evaluate};
use ekiben::passes::{PassError, fuse_activations, fuse_attention, fuse_normalisation, fuse_softmax, optimise};
use ekiben_runtime::ops::batch_mat_mul::BatchMatMul;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

fn floats(bytes: &AlignedBytes) -> Vec<f32> {
    bytes.as_slice().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

/// A graph that is written step by step, with one input `[N, 5, 12]`.
struct Sketch {
    graph: Graph,
    x: TensorId,
}

impl Sketch {
    fn new() -> Self {
        let mut graph = Graph::new();
        let x = graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 5, 12], Some(0)).unwrap()));
        Self { graph, x }
    }

    fn add(&mut self, op: impl Into<Op>, inputs: &[TensorId]) -> TensorId {
        self.graph.add("node", op, inputs).unwrap()
    }

    fn binary(&mut self, kind: BinaryKind, a: TensorId, b: TensorId) -> TensorId {
        self.add(Binary { kind }, &[a, b])
    }

    fn with(&mut self, kind: BinaryKind, a: TensorId, number: f32) -> TensorId {
        let number = self.constant(&[], &[number]);
        self.binary(kind, a, number)
    }

    fn unary(&mut self, kind: UnaryKind, x: TensorId) -> TensorId {
        self.add(Unary::of(kind), &[x])
    }

    fn constant(&mut self, dims: &[usize], values: &[f32]) -> TensorId {
        self.graph.add_constant("c", DType::F32, dims, values).unwrap()
    }

    fn reduce(&mut self, kind: ReduceKind, x: TensorId) -> TensorId {
        self.add(Reduce { kind, axes: 1 << 2, keep: true }, &[x])
    }

    fn reshape(&mut self, x: TensorId, dims: &[usize]) -> TensorId {
        let spec = TensorSpec::new(DType::F32, Shape::new(dims, Some(0)).unwrap());
        self.graph.add_declared("reshape", Reshape, &[x], spec).unwrap()
    }

    fn transpose(&mut self, x: TensorId, order: &[usize]) -> TensorId {
        self.add(Transpose { perm: Permutation::new(order).unwrap() }, &[x])
    }

    /// Runs the graph before and after a pass on batches of several sizes; returns the operators that are left.
    fn names(mut self, result: TensorId, pass: fn(&Graph) -> Result<Graph, PassError>) -> Vec<&'static str> {
        self.graph.add_output(result);
        let after = pass(&self.graph).unwrap();
        assert_eq!(after.spec(after.outputs()[0]), self.graph.spec(result));
        for rows in [1, 3] {
            let x: Vec<u8> =
                (0..rows * 60).flat_map(|index| ((index as f32 * 1.37).sin() * 2.0).to_le_bytes()).collect();
            let run = |graph: &Graph| floats(&evaluate(graph, rows, &[&x]).unwrap()[0]);
            for (before, after) in run(&self.graph).into_iter().zip(run(&after)) {
                assert!((before - after).abs() <= 1e-5 * before.abs().max(1.0), "{after} instead of {before}");
            }
        }
        after.nodes().iter().map(|node| node.op.name()).collect()
    }
}

/// The one function that the activation which `write` sketches becomes.
fn activation(write: impl Fn(&mut Sketch, TensorId) -> TensorId) -> Unary {
    let mut sketch = Sketch::new();
    let x = sketch.x;
    let result = write(&mut sketch, x);
    let mut graph = sketch.graph.clone();
    assert_eq!(sketch.names(result, fuse_activations), ["Unary"]);
    graph.add_output(result);
    let fused = fuse_activations(&graph).unwrap();
    let Op::Unary(unary) = fused.nodes()[0].op else { panic!("{:?}", fused.nodes()) };
    unary
}

/// `1 + erf(x / sqrt 2)`.
fn erf_gate(s: &mut Sketch, x: TensorId) -> TensorId {
    let inner = s.with(BinaryKind::Div, x, std::f32::consts::SQRT_2);
    let erf = s.unary(UnaryKind::Erf, inner);
    s.with(BinaryKind::Add, erf, 1.0)
}

#[test]
fn gelu_by_erf() {
    use BinaryKind::Mul;
    let torch = |s: &mut Sketch, x| {
        let gate = erf_gate(s, x);
        let product = s.binary(Mul, x, gate);
        s.with(Mul, product, 0.5)
    };
    let half_first = |s: &mut Sketch, x| {
        let (gate, half) = (erf_gate(s, x), s.with(Mul, x, 0.5));
        s.binary(Mul, half, gate)
    };
    let half_gate = |s: &mut Sketch, x| {
        let gate = erf_gate(s, x);
        let gate = s.with(Mul, gate, 0.5);
        s.binary(Mul, gate, x)
    };
    for kind in [activation(torch), activation(half_first), activation(half_gate)].map(|unary| unary.kind) {
        assert_eq!(kind, UnaryKind::Gelu);
    }
}

#[test]
fn gelu_by_tanh() {
    use BinaryKind::{Add, Mul, Pow};
    let torch = |s: &mut Sketch, x| {
        let cube = s.with(Pow, x, 3.0);
        let cube = s.with(Mul, cube, 0.044715);
        let inner = s.binary(Add, x, cube);
        let inner = s.with(Mul, inner, 0.797_884_6);
        let tanh = s.unary(UnaryKind::Tanh, inner);
        let gate = s.with(Add, tanh, 1.0);
        let half = s.with(Mul, x, 0.5);
        s.binary(Mul, half, gate)
    };
    let fast = |s: &mut Sketch, x| {
        let wide = s.with(Mul, x, 0.044715);
        let wide = s.binary(Mul, wide, x);
        let wide = s.with(Add, wide, 1.0);
        let inner = s.with(Mul, x, 0.797_884_6);
        let inner = s.binary(Mul, inner, wide);
        let tanh = s.unary(UnaryKind::Tanh, inner);
        let gate = s.with(Add, tanh, 1.0);
        let product = s.binary(Mul, x, gate);
        s.with(Mul, product, 0.5)
    };
    assert_eq!(activation(torch).kind, UnaryKind::GeluTanh);
    assert_eq!(activation(fast).kind, UnaryKind::GeluTanh);
}

#[test]
fn swishes() {
    use BinaryKind::{Add, Div, Mul};
    let silu = activation(|s, x| {
        let gate = s.unary(UnaryKind::Sigmoid, x);
        s.binary(Mul, gate, x)
    });
    assert_eq!(silu.kind, UnaryKind::Silu);
    let quotient = activation(|s, x| {
        let negative = s.unary(UnaryKind::Neg, x);
        let power = s.unary(UnaryKind::Exp, negative);
        let divisor = s.with(Add, power, 1.0);
        s.binary(Div, x, divisor)
    });
    assert_eq!(quotient.kind, UnaryKind::Silu);
    let quick = activation(|s, x| {
        let scaled = s.with(Mul, x, 1.702);
        let gate = s.unary(UnaryKind::Sigmoid, scaled);
        s.binary(Mul, x, gate)
    });
    assert!(quick.kind == UnaryKind::Swish && (quick.alpha - 1.702).abs() < 1e-6, "{quick:?}");
    let hard = activation(|s, x| {
        let shifted = s.with(Add, x, 3.0);
        let clipped = s.add(Unary { kind: UnaryKind::Clip, alpha: 0.0, beta: 6.0 }, &[shifted]);
        let product = s.binary(Mul, x, clipped);
        s.with(Div, product, 6.0)
    });
    assert!(hard.kind == UnaryKind::HardSwish && (hard.beta - 0.5).abs() < 1e-6, "{hard:?}");
}

#[test]
fn what_only_looks_like_a_gelu_stays() {
    let mut s = Sketch::new();
    let x = s.x;
    let gate = erf_gate(&mut s, x);
    let product = s.binary(BinaryKind::Mul, s.x, gate);
    let result = s.with(BinaryKind::Mul, product, 0.4);
    assert!(s.names(result, fuse_activations).contains(&"Binary"));
    // The gate is read by something else.
    let mut s = Sketch::new();
    let gate = s.unary(UnaryKind::Sigmoid, s.x);
    let product = s.binary(BinaryKind::Mul, s.x, gate);
    let result = s.binary(BinaryKind::Add, product, gate);
    assert!(!s.names(result, fuse_activations).is_empty());
}

#[test]
fn softmax_in_parts() {
    let mut s = Sketch::new();
    let largest = s.reduce(ReduceKind::Max, s.x);
    let shifted = s.binary(BinaryKind::Sub, s.x, largest);
    let power = s.unary(UnaryKind::Exp, shifted);
    let sum = s.reduce(ReduceKind::Sum, power);
    let result = s.binary(BinaryKind::Div, power, sum);
    assert_eq!(s.names(result, fuse_softmax), ["Softmax"]);
}

fn normalised(s: &mut Sketch, centred: TensorId) -> TensorId {
    let square = s.with(BinaryKind::Pow, centred, 2.0);
    let variance = s.reduce(ReduceKind::Mean, square);
    let variance = s.with(BinaryKind::Add, variance, 1e-3);
    let deviation = s.unary(UnaryKind::Sqrt, variance);
    s.binary(BinaryKind::Div, centred, deviation)
}

#[test]
fn normalisations_in_parts() {
    let values: Vec<f32> = (0..12).map(|index| index as f32 * 0.3 - 1.0).collect();
    let mut s = Sketch::new();
    let mean = s.reduce(ReduceKind::Mean, s.x);
    let centred = s.binary(BinaryKind::Sub, s.x, mean);
    let normal = normalised(&mut s, centred);
    let (scale, bias) = (s.constant(&[12], &values), s.constant(&[1, 1, 12], &values));
    let scaled = s.binary(BinaryKind::Mul, normal, scale);
    let result = s.binary(BinaryKind::Add, bias, scaled);
    assert_eq!(s.names(result, fuse_normalisation), ["LayerNorm"]);
    let mut s = Sketch::new();
    let square = s.binary(BinaryKind::Mul, s.x, s.x);
    let mean = s.reduce(ReduceKind::Mean, square);
    let mean = s.with(BinaryKind::Add, mean, 1e-3);
    let root = s.unary(UnaryKind::Sqrt, mean);
    let factor = s.unary(UnaryKind::Reciprocal, root);
    let normal = s.binary(BinaryKind::Mul, s.x, factor);
    let scale = s.constant(&[12], &values);
    let result = s.binary(BinaryKind::Mul, scale, normal);
    assert_eq!(s.names(result, fuse_normalisation), ["LayerNorm"]);
}

/// Queries, keys and values of three heads, all made of x: `[N, 3, 5, 4]`.
fn heads(s: &mut Sketch, x: TensorId, order: &[usize]) -> TensorId {
    let split = s.reshape(x, &[1, 5, 3, 4]);
    s.transpose(split, order)
}

/// Scores of three heads with scale and mask, weighing `v`.
fn attention(s: &mut Sketch, q: TensorId, k: TensorId, v: TensorId) -> TensorId {
    let scores = s.add(BatchMatMul, &[q, k]);
    let scores = s.with(BinaryKind::Div, scores, 2.0);
    let mask: Vec<f32> = (0..25).map(|at| if at % 5 > at / 5 { -10000.0 } else { 0.1 * at as f32 }).collect();
    let mask = s.constant(&[1, 1, 5, 5], &mask);
    let masked = s.binary(BinaryKind::Add, scores, mask);
    let weights = s.add(Softmax { axis: 3, log: false }, &[masked]);
    s.add(BatchMatMul, &[weights, v])
}

#[test]
fn attention_in_parts() {
    // Heads side by side need no transpose.
    let mut s = Sketch::new();
    let x = s.x;
    let y = s.unary(UnaryKind::Sin, x);
    let (q, k, v) = (heads(&mut s, y, &[0, 2, 1, 3]), heads(&mut s, x, &[0, 2, 3, 1]), heads(&mut s, y, &[0, 2, 1, 3]));
    let product = attention(&mut s, q, k, v);
    let back = s.transpose(product, &[0, 2, 1, 3]);
    let result = s.reshape(back, &[1, 5, 12]);
    assert_eq!(s.names(result, fuse_attention), ["Unary", "Attention"]);
    // Keys that are transposed without their axes of heads.
    let mut s = Sketch::new();
    let x = s.x;
    let q = heads(&mut s, x, &[0, 2, 1, 3]);
    let merged = s.reshape(q, &[3, 5, 4]);
    let k = s.transpose(merged, &[0, 2, 1]);
    let k = s.reshape(k, &[1, 3, 4, 5]);
    let product = attention(&mut s, q, k, q);
    let back = s.transpose(product, &[0, 2, 1, 3]);
    let result = s.reshape(back, &[1, 5, 12]);
    assert_eq!(s.names(result, fuse_attention), ["Attention"]);
    // Heads as an axis, the keys transposed and both scaled before.
    let mut s = Sketch::new();
    let x = s.x;
    let q = heads(&mut s, x, &[0, 2, 1, 3]);
    let keys = s.with(BinaryKind::Mul, q, 0.7);
    let k = s.transpose(keys, &[0, 1, 3, 2]);
    let values = s.unary(UnaryKind::Cos, q);
    let result = attention(&mut s, q, k, values);
    let names = s.names(result, fuse_attention);
    assert!(names.contains(&"Attention") && !names.contains(&"BatchMatMul"), "{names:?}");
}

#[test]
fn attention_without_an_axis_of_heads() {
    let mut s = Sketch::new();
    let k = s.transpose(s.x, &[0, 2, 1]);
    let scores = s.add(BatchMatMul, &[s.x, k]);
    let share = s.with(BinaryKind::Mul, scores, 0.05);
    let capped = s.unary(UnaryKind::Tanh, share);
    let capped = s.with(BinaryKind::Mul, capped, 3.0);
    let weights = s.add(Softmax { axis: 2, log: false }, &[capped]);
    let result = s.add(BatchMatMul, &[weights, s.x]);
    assert_eq!(s.names(result, fuse_attention), ["Attention"]);
}

#[test]
fn scores_that_something_else_reads_stay() {
    let mut s = Sketch::new();
    let k = s.transpose(s.x, &[0, 2, 1]);
    let scores = s.add(BatchMatMul, &[s.x, k]);
    let weights = s.add(Softmax { axis: 2, log: false }, &[scores]);
    let product = s.add(BatchMatMul, &[weights, s.x]);
    let sum = s.reduce(ReduceKind::Sum, weights);
    let result = s.binary(BinaryKind::Mul, product, sum);
    assert!(s.names(result, fuse_attention).contains(&"Softmax"));
}

#[test]
fn exported_attention_is_one_step() {
    for name in ["sdpa", "sdpa_dynamo", "causal", "causal_dynamo", "encoder", "encoder_dynamo"] {
        let path = ekiben_tests::case::root().join(format!("onnx/attention_torch_{name}/model.onnx"));
        let model = ekiben::frontend::onnx::open(&std::fs::read(path).unwrap()).unwrap();
        let mut graph = Graph::new();
        let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
        for output in model.call(&mut graph, "run", &inputs).unwrap() {
            graph.add_output(output.tensor);
        }
        let graph = optimise(&graph).unwrap();
        let names: Vec<_> = graph.nodes().iter().map(|node| node.op.name()).collect();
        assert!(names.contains(&"Attention") && !names.contains(&"BatchMatMul"), "{name}: {names:?}");
    }
}
