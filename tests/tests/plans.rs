//! Plans of random graphs, with branches, views, joins and steps in place: the artifact gives the bits that the graph gives without a
//! plan, on any batch, and its steps' operands are where the format allows them. Plans that claim more than that are refused.

use ekiben::graph::{AlignedBytes, Graph, TensorId, evaluate};
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::artifact::golden::split_mix;
use ekiben_runtime::artifact::tensors::{Place, TensorRecord};
use ekiben_runtime::artifact::{ArtifactParts, emit};
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::conv2d::{Clamp, Conv2d, Window, WindowAxis};
use ekiben_runtime::ops::depthwise_conv2d::DepthwiseConv2d;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::quantized_conv2d::{QuantizedConv2d, Target};
use ekiben_runtime::ops::quantized_depthwise_conv2d::QuantizedDepthwiseConv2d;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::slice::Slice;
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{Artifact, DType, Executor, LoadError, Shape, TensorSpec};

const GRAPHS: u64 = 400;
/// Batch sizes that every graph runs on.
const ROWS: [usize; 3] = [1, 2, 5];

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        (split_mix(&mut self.0) % bound.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())]
    }
}

/// Lengths whose products are often multiples of 4, so that many parts start at multiples of 16 bytes.
const LENGTHS: [usize; 6] = [1, 1, 2, 3, 4, 8];

fn random_spec(random: &mut Random, batched: bool) -> TensorSpec {
    let rank = 1 + random.below(3);
    let mut dims: Vec<usize> = (0..rank).map(|_| random.pick(&LENGTHS)).collect();
    dims.push(4);
    let axis = batched.then(|| random.below(rank));
    TensorSpec::new(DType::F32, Shape::new(&dims, axis).expect("few axes"))
}

/// A tensor of the graph, rather one of the last.
fn some_tensor(random: &mut Random, graph: &Graph) -> TensorId {
    let made: Vec<_> = graph.nodes().iter().flat_map(|node| &node.outputs).chain(graph.inputs()).copied().collect();
    let made: Vec<_> = made.into_iter().filter(|&id| graph.spec(id).dtype == DType::F32).collect();
    let recent = made.len().saturating_sub(4);
    if random.below(2) == 0 { made[recent + random.below(made.len() - recent)] } else { random.pick(&made) }
}

/// Adds a node that some operator accepts.
fn add_node(random: &mut Random, graph: &mut Graph) {
    let x = some_tensor(random, graph);
    let shape = graph.shape(x);
    let rank = shape.rank();
    let name = "node";
    // What an operator refuses is left out.
    let _ = match random.below(9) {
        0 => graph.add(name, Unary::of(random.pick(&[UnaryKind::Tanh, UnaryKind::Neg, UnaryKind::Relu])), &[x]),
        1 | 2 => {
            let y = some_tensor(random, graph);
            let kind = random.pick(&[BinaryKind::Add, BinaryKind::Sub, BinaryKind::Max]);
            graph.add(name, Binary { kind }, &random.pick(&[[x, y], [y, x]]))
        }
        3 => {
            let mut dims: Vec<usize> = shape.factors().iter().map(|&dim| dim as usize).collect();
            dims.rotate_left(random.below(rank));
            let axis = shape.batch_axis().map(|_| random.below(rank));
            let declared = TensorSpec::new(DType::F32, Shape::new(&dims, axis).expect("few axes"));
            graph.add_declared(name, Reshape, &[x], declared)
        }
        4 => {
            let mut axes: Vec<usize> = (0..rank).collect();
            axes.swap(random.below(rank), random.below(rank));
            graph.add(name, Transpose { perm: Permutation::new(&axes).expect("a permutation") }, &[x])
        }
        5 => {
            let cut = random.below(rank);
            let length = |axis: usize| shape.factor(axis).expect("an axis") as i32;
            let start = random.below(length(cut) as usize) as i32;
            let at = |axis: usize| if axis == cut { start } else { 0 };
            let left = |axis: usize| if axis == cut { 1.max((length(axis) - start) / 2) } else { length(axis) };
            let rows = [(0..rank).map(at).collect(), vec![1; rank], (0..rank).map(left).collect::<Vec<_>>()];
            let table = graph.add_constant("table", DType::I32, &[3, rank], &rows.concat()).expect("three rows");
            graph.add(name, Slice, &[x, table])
        }
        6 => {
            let parts: Vec<_> = (0..1 + random.below(3)).map(|_| some_tensor(random, graph)).chain([x]).collect();
            let axis = random.below(rank) as u8;
            graph.add(name, Concat { axis }, &parts).or_else(|_| graph.add(name, Concat { axis }, &[x, x]))
        }
        7 => {
            let y = some_tensor(random, graph);
            let condition = graph.add(name, Compare { kind: CompareKind::Less }, &[x, y]);
            condition.and_then(|condition| graph.add(name, Select, &[condition, y, x]))
        }
        _ if random.below(2) == 0 => graph.add(name, Softmax { axis: rank as u8 - 1, log: false }, &[x]),
        _ => {
            let columns = shape.factor(rank - 1).expect("an axis");
            let weights: Vec<f32> = (0..columns * columns).map(|i| (i as f32 * 0.7).cos()).collect();
            let w = graph.add_constant("w", DType::F32, &[columns, columns], &weights).expect("a matrix");
            graph.add(name, MatMul { transpose_b: false }, &[x, w])
        }
    };
}

fn random_graph(seed: u64) -> Graph {
    let mut random = Random(seed);
    let mut graph = Graph::new();
    let batched = !seed.is_multiple_of(3);
    for input in 0..1 + random.below(3) {
        let is_batched = batched && (input == 0 || random.below(2) == 0);
        let spec = random_spec(&mut random, is_batched);
        graph.add_input("input", spec);
    }
    for _ in 0..3 + random.below(20) {
        add_node(&mut random, &mut graph);
    }
    graph.add_output(some_tensor(&mut random, &graph));
    let last = graph.nodes().last().map_or(graph.inputs()[0], |node| node.outputs[0]);
    graph.add_output(last);
    graph
}

fn parts(graph: &Graph) -> ArtifactParts {
    let plan = plan(graph).expect("a small graph");
    assert!(plan.extent.fixed >= plan.lower_bound.fixed && plan.extent.per_row >= plan.lower_bound.per_row);
    artifact_parts(&[PlannedApi { name: "predict", graph, plan: &plan }])
}

fn written(parts: &ArtifactParts) -> AlignedBytes {
    AlignedBytes::from(emit(parts).expect("an artifact").as_slice())
}

/// Bytes of the arena that a tensor takes.
fn span(record: &TensorRecord, rows: u64) -> Option<(u64, u64)> {
    let Place::Arena { offset, per_row } = record.place else { return None };
    let rows_of_tensor = if record.spec.shape.is_batched() { rows } else { 1 };
    let start = offset + u64::from(per_row) * rows;
    Some((start, start + record.spec.bytes().expect("a small tensor") * rows_of_tensor))
}

/// Steps whose output has an input's place; panics where operands overlap in another way.
fn check_spans(parts: &ArtifactParts, rows: u64) -> usize {
    let span = |index: u32| span(&parts.tensors[index as usize], rows);
    let mut shared = 0;
    for step in &parts.apis[0].steps {
        let outputs: Vec<_> = step.outputs.iter().map(|&output| span(output).expect("in the arena")).collect();
        let inputs: Vec<_> = step.inputs.iter().flatten().filter_map(|&input| span(input)).collect();
        let overlap = |a: (u64, u64), b: (u64, u64)| a.0 < b.1 && b.0 < a.1;
        for &output in &outputs {
            assert!(output.1 <= parts.apis[0].arena.fixed + parts.apis[0].arena.per_row * rows);
            let met: Vec<_> = inputs.iter().filter(|&&input| overlap(input, output)).collect();
            assert!(met.is_empty() || (step.in_place && met == [&output]), "{step:?}: {met:?} and {output:?}");
            shared += met.len();
        }
        assert!(!step.in_place || !outputs.is_empty());
    }
    shared
}

/// Runs the artifact and its graph on the same random inputs.
fn compare(graph: &Graph, artifact: &Artifact<'_>, seed: u64, rows: usize) {
    let mut random = Random(seed);
    let mut inputs: Vec<Vec<u8>> = Vec::new();
    for &id in graph.inputs() {
        let elements: usize = graph.shape(id).resolve(rows).iter().product();
        let float = graph.spec(id).dtype == DType::F32;
        let mut element = || match float {
            true => (random.below(2001) as f32 / 1000.0 - 1.0).to_le_bytes().to_vec(),
            false => vec![random.below(256) as u8],
        };
        inputs.push((0..elements).flat_map(|_| element()).collect());
    }
    let views: Vec<&[u8]> = inputs.iter().map(Vec::as_slice).collect();
    let expected = evaluate(graph, rows, &views).expect("a run");
    let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(0, rows).expect("an arena"));
    arena.as_mut_slice().fill(0xFF);
    let mut executor = Executor::new(artifact, 0, rows, arena.as_mut_slice()).expect("an executor");
    for (index, input) in inputs.iter().enumerate() {
        executor.input_view(index).expect("an input").bytes.copy_from_slice(input);
    }
    executor.run().unwrap_or_else(|error| panic!("graph {seed}: {error}"));
    for (index, expected) in expected.iter().enumerate() {
        let got = executor.output_view(index).expect("an output").bytes;
        assert!(got == expected.as_slice(), "graph {seed}, {rows} rows, output {index}: {graph:#?}");
    }
}

#[test]
fn planned_graphs_give_the_bits_of_unplanned_ones() {
    let (mut in_place, mut elided, mut nodes) = (0, 0, 0);
    for seed in 0..GRAPHS {
        let graph = random_graph(seed);
        let parts = parts(&graph);
        in_place += check_spans(&parts, 1);
        elided += graph.nodes().len() - parts.apis[0].steps.len();
        nodes += graph.nodes().len();
        let bytes = written(&parts);
        let artifact = Artifact::parse(bytes.as_slice()).unwrap_or_else(|error| panic!("graph {seed}: {error}"));
        for rows in ROWS.into_iter().take(if parts.apis[0].fixed_rows == 0 { ROWS.len() } else { 1 }) {
            check_spans(&parts, rows as u64);
            compare(&graph, &artifact, seed, rows);
        }
    }
    println!("{GRAPHS} graphs, {nodes} nodes, of which {elided} need no step and {in_place} are done in place");
    assert!(elided > 500 && in_place > 500, "{elided} {in_place}");
}

/// Windows that keep an axis as long as it is.
fn random_axis(random: &mut Random, taps: usize) -> WindowAxis {
    let dilation = 1 + random.below(2) as u32;
    let padding = (taps as u32 - 1) * dilation;
    let before = random.below(padding as usize + 1) as u32;
    WindowAxis { stride: 1, dilation, before, after: padding - before }
}

/// A chain of convolutions that keep the lengths of their images, so that all but the first can be done in place.
fn convolutions(seed: u64) -> Graph {
    let mut random = Random(seed);
    let mut graph = Graph::new();
    let integer = seed.is_multiple_of(2);
    let dtype = if integer { DType::I8 } else { DType::F32 };
    let channels = 1 + random.below(6);
    let dims = [1, 1 + random.below(9), 1 + random.below(7), channels];
    let x = graph.add_input("x", TensorSpec::new(dtype, Shape::new(&dims, Some(0)).expect("four axes")));
    let mut last = x;
    for _ in 0..4 {
        let taps = [1 + random.below(4), 1 + random.below(3)];
        let window = Window { rows: random_axis(&mut random, taps[0]), columns: random_axis(&mut random, taps[1]) };
        let depthwise = random.below(2) == 0;
        let dims = if depthwise { [1, taps[0], taps[1], channels] } else { [channels, taps[0], taps[1], channels] };
        let count: usize = dims.iter().product();
        let added = if integer {
            let weights: Vec<i8> = (0..count).map(|_| random.below(256) as u8 as i8).collect();
            let filters = graph.add_constant("filters", dtype, &dims, &weights).expect("filters");
            let bias = graph.add_constant("bias", DType::I32, &[channels], &vec![1000i32; channels]).expect("a bias");
            let factor = graph.add_constant("factor", DType::I32, &[1], &[1i32 << 30]).expect("a factor");
            let shift = graph.add_constant("shift", DType::I32, &[1], &[-6i32]).expect("a shift");
            let (input_zero, target) = (-3, Target { zero: 4, low: -128, high: 127 });
            let inputs = [last, filters, bias, factor, shift];
            match depthwise {
                true => graph.add("conv", QuantizedDepthwiseConv2d { window, input_zero, target }, &inputs),
                false => graph.add("conv", QuantizedConv2d { window, groups: 1, input_zero, target }, &inputs),
            }
        } else {
            let weights: Vec<f32> = (0..count).map(|_| random.below(201) as f32 / 100.0 - 1.0).collect();
            let filters = graph.add_constant("filters", dtype, &dims, &weights).expect("filters");
            match depthwise {
                true => graph.add("conv", DepthwiseConv2d { window, clamp: Clamp::NONE }, &[last, filters]),
                false => graph.add("conv", Conv2d { window, groups: 1, clamp: Clamp::NONE }, &[last, filters]),
            }
        };
        last = added.expect("images");
    }
    graph.add_output(last);
    if seed.is_multiple_of(5) {
        graph.add_output(x);
    }
    graph
}

#[test]
fn convolutions_in_place_give_the_bits_of_others() {
    let mut in_place = 0;
    for seed in 0..GRAPHS {
        let graph = convolutions(seed);
        let parts = parts(&graph);
        in_place += check_spans(&parts, 1);
        let bytes = written(&parts);
        let artifact = Artifact::parse(bytes.as_slice()).unwrap_or_else(|error| panic!("graph {seed}: {error}"));
        ROWS.into_iter().for_each(|rows| compare(&graph, &artifact, seed, rows));
    }
    println!("{in_place} of {} convolutions in place", 4 * GRAPHS);
    assert!(in_place > 400, "{in_place}");
}

/// A sum of two tensors, then a matrix product, of 4 by 4 floats.
fn sum_and_product() -> ArtifactParts {
    let mut graph = Graph::new();
    let spec = TensorSpec::new(DType::F32, Shape::new(&[1, 4], Some(0)).expect("two axes"));
    let (x, y) = (graph.add_input("x", spec), graph.add_input("y", spec));
    let w = graph.add_constant("w", DType::F32, &[4, 4], &[0.5f32; 16]).expect("a matrix");
    let sum = graph.add("sum", Binary { kind: BinaryKind::Add }, &[x, y]).expect("equal shapes");
    let product = graph.add("product", MatMul { transpose_b: false }, &[sum, w]).expect("matrices");
    graph.add_output(product);
    parts(&graph)
}

fn load(change: impl FnOnce(&mut ArtifactParts)) -> Result<(), LoadError> {
    let mut parts = sum_and_product();
    change(&mut parts);
    Artifact::parse(written(&parts).as_slice()).map(drop)
}

#[test]
fn steps_in_place_that_the_operator_or_the_format_does_not_allow_are_refused() {
    assert_eq!(load(|_| ()), Ok(()));
    let place = |parts: &mut ArtifactParts, from: u32, to: u32, by: u32| {
        let Place::Arena { offset, per_row } = parts.tensors[from as usize].place else { panic!("in the arena") };
        parts.tensors[to as usize].place = Place::Arena { offset, per_row: per_row + by };
    };
    let refused = |step, result: Result<(), LoadError>| {
        assert!(matches!(result, Err(LoadError::Memory { step: at, .. }) if at == step), "{result:?}");
    };
    refused(0, load(|parts| parts.apis[0].steps[0].in_place = false));
    refused(1, load(|parts| parts.apis[0].steps[1].in_place = true));
    // A matrix product does not work in place.
    refused(
        1,
        load(|parts| {
            let step = &mut parts.apis[0].steps[1];
            step.in_place = true;
            let (from, to) = (step.inputs[0].expect("a matrix"), step.outputs[0]);
            place(parts, from, to, 0);
        }),
    );
    // Both addends in the sum's place.
    refused(
        0,
        load(|parts| {
            let step = &mut parts.apis[0].steps[0];
            step.inputs[1] = step.inputs[0];
            step.inputs[0] = Some(step.outputs[0]);
            step.inputs[1] = Some(step.outputs[0]);
        }),
    );
    // Another place than exactly the input's.
    refused(
        0,
        load(|parts| {
            let sum = parts.apis[0].steps[0].outputs[0];
            parts.apis[0].arena.per_row += 64;
            let wide = Shape::new(&[1, 8], Some(0)).expect("two axes");
            let addends: Vec<u32> = parts.apis[0].steps[0].inputs.iter().flatten().copied().collect();
            for tensor in addends.into_iter().chain([sum]) {
                parts.tensors[tensor as usize].spec.shape = wide;
            }
            place(parts, sum, sum, 16);
        }),
    );
}
