//! Models quantized by ONNX Runtime's tools: answers against ONNX Runtime's, against our own evaluation in floats, and what stays integer.

use ekiben::frontend::onnx;
use ekiben::graph::{AlignedBytes, Graph, evaluate};
use ekiben::passes::{fuse_quantized, optimise};
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::artifact::emit;
use ekiben_runtime::{Artifact, DType, Executor, Op};
use ekiben_tests::case::{Case, Run, group, near};

/// The graph of a case's model.
fn lower(case: &Case) -> Graph {
    let bytes = std::fs::read(case.path("model").expect("a model")).expect("a file");
    let model = onnx::open(&bytes).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    let outputs = model.call(&mut graph, "run", &inputs).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
    for output in outputs {
        graph.rename(output.tensor, &output.name);
        graph.add_output(output.tensor);
    }
    graph
}

fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect()
}

/// The first output of a graph, in floats.
fn answer(graph: &Graph, run: &Run) -> Vec<f32> {
    let rows = run.inputs[0].shape[0];
    floats(evaluate(graph, rows, &[run.inputs[0].bytes()]).expect("a run")[0].as_slice())
}

fn compile(graph: &Graph) -> AlignedBytes {
    let arena_plan = plan(graph).expect("a plan");
    let parts = artifact_parts(&[PlannedApi { name: "run", graph, plan: &arena_plan }]);
    AlignedBytes::from(emit(&parts).expect("an artifact").as_slice())
}

/// The first output of an artifact, in floats.
fn execute(artifact: &AlignedBytes, run: &Run) -> Vec<f32> {
    let artifact = Artifact::parse(artifact.as_slice()).expect("a sound artifact");
    let rows = run.inputs[0].shape[0];
    let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(0, rows).expect("a size"));
    // Nothing may depend on what was there before.
    arena.as_mut_slice().fill(0xA5);
    let mut executor = Executor::new(&artifact, 0, rows, arena.as_mut_slice()).expect("an executor");
    executor.input_view(0).expect("an input").bytes.copy_from_slice(run.inputs[0].bytes());
    executor.run().expect("a run");
    executor.output::<f32>(0).expect("floats").to_vec()
}

/// How far answers are from others, in steps of the output's scale, or for outputs without one in thousandths of their range.
#[derive(Default)]
struct Distance {
    elements: usize,
    different: usize,
    largest: f32,
}

impl Distance {
    fn add(&mut self, expected: &[f32], given: &[f32], step: f32) {
        assert_eq!(expected.len(), given.len());
        for (&expected, &given) in expected.iter().zip(given) {
            assert!(given.is_finite());
            let distance = (expected - given).abs() / step;
            self.elements += 1;
            self.different += usize::from(distance > 0.5);
            self.largest = self.largest.max(distance);
        }
    }
}

impl std::fmt::Display for Distance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} of {} differ, by {:.2} at most", self.different, self.elements, self.largest)
    }
}

#[test]
fn answers_are_those_of_onnx_runtime() {
    let mut all = Distance::default();
    for case in group("onnx_quantized") {
        let graph = lower(&case);
        let fused = fuse_quantized(&graph).expect("a graph");
        let artifact = compile(&optimise(&graph).expect("a graph"));
        let [mut from_runtime, mut from_optimised, mut between, mut from_floats] =
            [(); 4].map(|()| Distance::default());
        for run in &case.runs() {
            let [expected, optimised] = [0, 1].map(|index: usize| floats(run.outputs[index].bytes()));
            let range = expected.iter().fold(0f32, |largest, x| largest.max(x.abs()));
            let step = case.json["step"].as_f64().map_or(range / 1000.0, |step| step as f32);
            let given = execute(&artifact, run);
            let mut from_fused = Distance::default();
            from_fused.add(&answer(&fused, run), &given, step);
            // Passes that recognise a normalisation round its sums in their own way.
            assert!(from_fused.largest < 1.01, "{}: other passes: {from_fused}", case.name());
            from_runtime.add(&expected, &given, step);
            if !case.name().ends_with("_float") {
                all.add(&expected, &given, step);
            }
            from_optimised.add(&optimised, &given, step);
            between.add(&optimised, &expected, step);
            from_floats.add(&answer(&graph, run), &given, step);
        }
        let text = format!(
            "{}: ONNX Runtime as it stands: {from_runtime}; optimised: {from_optimised}; these two: {between}; own floats: {from_floats}",
            case.name()
        );
        println!("{text}");
        // An average that lies at a half may go either way, and be multiplied.
        assert!(from_runtime.largest < 2.01 && from_floats.largest < 1.01, "{text}");
        // Optimised, ONNX Runtime computes softmax and averages in other ways.
        assert!(from_optimised.largest <= between.largest + 1.01, "{text}");
    }
    println!("all: {all}");
    assert!(all.different * 100 <= all.elements, "{all}");
}

/// What a graph's nodes on floats are called, but for conversions.
fn on_floats(graph: &Graph) -> Vec<&'static str> {
    let float = |node: &&ekiben::graph::Node| {
        let inputs = node.inputs.iter().flatten().take(1);
        inputs.chain(&node.outputs).any(|&id| graph.spec(id).dtype == DType::F32)
            && !matches!(node.op, Op::LinearQuantize(_) | Op::LinearDequantize(_))
    };
    graph.nodes().iter().filter(float).map(|node| node.op.name()).collect()
}

/// Bytes of arena for one row.
fn arena(graph: &Graph) -> u64 {
    let extent = plan(graph).expect("a plan").extent;
    extent.fixed + extent.per_row
}

#[test]
fn networks_stay_integer() {
    // Softmax sums and the statistics of a normalisation in pieces have no quantized form in these models.
    let left = ["Reduce", "Binary", "Unary"];
    for case in group("onnx_quantized") {
        let (name, graph) = (case.name(), lower(&case));
        let optimised = optimise(&graph).expect("a graph");
        println!("{name}: arena {}, artifact {}", arena(&optimised), compile(&optimised).as_slice().len());
        if ["_float", "_dynamic", "_wider"].iter().any(|part| name.contains(part)) {
            continue;
        }
        let constants = optimised.nodes().iter().flat_map(|node| node.inputs.iter().flatten());
        let wide = constants.map(|&id| optimised.tensor(id)).find(|tensor| {
            tensor.constant.is_some() && tensor.spec.dtype == DType::F32 && tensor.spec.shape.elements() > Some(32)
        });
        assert!(wide.is_none(), "{name}: {wide:?} is no scale");
        let floats = on_floats(&optimised);
        if name.starts_with("explicit") {
            // A product that goes through a function before it is quantized.
            assert_eq!(floats, ["IntegerMatMul", "Unary"], "{name}");
        } else if name.starts_with("transformer") {
            assert!(floats.len() <= 10 && floats.iter().all(|op| left.contains(op)), "{name}: {floats:?}");
        } else {
            assert!(floats.is_empty(), "{name}: {floats:?}");
        }
    }
}

/// Bytes of the constants that a graph's nodes read.
fn constants(graph: &Graph) -> u64 {
    let mut read: Vec<_> = graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten()).copied().collect();
    read.sort_unstable();
    read.dedup();
    read.retain(|&id| graph.tensor(id).constant.is_some());
    read.into_iter().filter_map(|id| graph.spec(id).bytes()).sum()
}

#[test]
fn weights_stay_narrow() {
    let mut count = 0;
    for case in group("onnx_narrow") {
        count += 1;
        let (name, graph) = (case.name(), lower(&case));
        let optimised = optimise(&graph).expect("a graph");
        let artifact = compile(&optimised);
        for run in &case.runs() {
            let given = execute(&artifact, run);
            assert_eq!(given, answer(&graph, run), "{name}: widened one by one or at once");
            for (expected, given) in floats(run.outputs[0].bytes()).into_iter().zip(given) {
                assert!(near(expected.into(), given.into(), case.tolerance()), "{name}: {given} instead of {expected}");
            }
        }
        let stored = case.json["stored"].as_u64().expect("a number");
        let (bytes, size) = (constants(&optimised), artifact.as_slice().len());
        println!("{name}: {stored} bytes in the file, {bytes} of constants, artifact {size}");
        assert!(bytes <= stored + 300, "{name}: {bytes} bytes of constants, {stored} in the file");
        assert!(size as u64 <= stored + 4000, "{name}: the artifact takes {size}, the weights {stored} in the file");
        let widened = optimised.nodes().iter().find(|node| {
            let known = node.inputs[0].is_some_and(|id| optimised.tensor(id).constant.is_some());
            known && matches!(node.op, Op::LinearDequantize(_) | Op::Cast(_))
        });
        assert!(widened.is_none(), "{name}: {widened:?}");
    }
    assert!(count > 10);
}
