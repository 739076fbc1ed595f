//! TFLite models against LiteRT's reference kernels: every intermediate tensor of the graph, and the answers of the artifact.

use std::fs;
use std::path::Path;

use ekiben::frontend::tflite::TfliteModel;
use ekiben::frontend::{FrontendError, Model};
use ekiben::graph::{AlignedBytes, Graph, TensorId, evaluate};
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::artifact::emit;
use ekiben_runtime::{Artifact, Executor};
use ekiben_tests::case::{Case, Elements, Run, Tensor, group, mlperf_models};

/// A model lowered to a graph of its own.
struct Lowered {
    graph: Graph,
    /// The model's output.
    output: TensorId,
}

fn lower(path: &Path) -> Result<Lowered, FrontendError> {
    let bytes = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let model = TfliteModel::open(&bytes)?;
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    let outputs = model.call(&mut graph, "run", &inputs)?;
    assert_eq!(outputs.len(), 1, "{}", path.display());
    Ok(Lowered { graph, output: outputs[0].tensor })
}

/// A tensor of the graph as a tensor of a case.
fn as_case_tensor(graph: &Graph, id: TensorId, rows: usize, bytes: &[u8]) -> Tensor {
    let spec = graph.spec(id);
    let shape = spec.shape.resolve(rows).to_vec();
    Tensor { name: graph.tensor(id).name.clone(), dtype: spec.dtype, shape, elements: Elements::Bytes(bytes.to_vec()) }
}

/// Compares every operator's result with the case's digests, and with its raw file where there is one. Returns the numbers of results
/// compared by digest and by value.
fn check_intermediates(case: &Case, lowered: &Lowered, run: &Run, rows: usize) -> (usize, usize) {
    let mut graph = lowered.graph.clone();
    let stated = case.json["tensors"].as_array().expect("tensors");
    let name = |tensor: &serde_json::Value| tensor["name"].as_str().expect("a name").to_owned();
    for tensor in stated {
        let position = graph.tensors().iter().rposition(|known| known.name == name(tensor));
        let made = graph.nodes().iter().flat_map(|node| &node.outputs).find(|id| Some(id.index()) == position);
        let id = *made.unwrap_or_else(|| panic!("{}: nothing makes {:?}", case.name(), name(tensor)));
        graph.add_output(id);
    }
    let values = evaluate(&graph, rows, &[run.inputs[0].bytes()]).expect("a run");
    let raw = run.json["intermediates"].as_str().map(|file| fs::read(case.folder.join(file)).expect("intermediates"));
    let (mut raw, mut digests, mut compared) = (raw.as_deref(), 0, 0);
    for (position, (&id, value)) in graph.outputs().iter().zip(&values).enumerate() {
        let place = || format!("{} {:?}: {}", case.name(), run.json["inputs"], name(&stated[position]));
        if let Some(digest) = run.json["digests"][position].as_str() {
            assert_eq!(blake3::hash(value.as_slice()).to_hex().as_str(), digest, "{}", place());
            digests += 1;
        }
        if let Some(rest) = raw {
            let (expected, rest) = rest.split_at(value.as_slice().len());
            let expected = as_case_tensor(&graph, id, rows, expected);
            let difference = expected.difference(&as_case_tensor(&graph, id, rows, value.as_slice()), case.tolerance());
            assert_eq!(difference, None, "{}", place());
            raw = Some(rest);
            compared += 1;
        }
    }
    assert!(raw.is_none_or(<[u8]>::is_empty), "{}: results that are not in the graph", case.name());
    (digests, compared)
}

/// The artifact of a lowered model.
fn artifact(lowered: &Lowered) -> AlignedBytes {
    let mut graph = lowered.graph.clone();
    graph.add_output(lowered.output);
    let plan = plan(&graph).expect("a plan");
    let parts = artifact_parts(&[PlannedApi { name: "predict", graph: &graph, plan: &plan }]);
    AlignedBytes::from(emit(&parts).expect("an artifact").as_slice())
}

/// Runs a case's model through an artifact and compares its answers.
fn check_answers(case: &Case, lowered: &Lowered) {
    let bytes = artifact(lowered);
    let artifact = Artifact::parse(bytes.as_slice()).expect("a sound artifact");
    for run in case.runs() {
        let rows = run.inputs[0].shape[0];
        let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(0, rows).expect("an arena"));
        let mut executor = Executor::new(&artifact, 0, rows, arena.as_mut_slice()).expect("an executor");
        executor.input_view(0).expect("an input").bytes.copy_from_slice(run.inputs[0].bytes());
        executor.run().expect("a run");
        let got = executor.output_view(0).expect("an output");
        let got = Tensor {
            name: String::new(),
            dtype: got.spec.dtype,
            shape: got.dims.to_vec(),
            elements: Elements::Bytes(got.bytes.to_vec()),
        };
        assert_eq!(run.outputs[0].difference(&got, case.tolerance()), None, "{} {:?}", case.name(), run.json["inputs"]);
    }
}

/// Checks one case; returns the numbers of runs, and of intermediate results compared by digest and by value.
fn check(case: &Case, model: &Path) -> [usize; 3] {
    let lowered = lower(model).unwrap_or_else(|error| panic!("{}: {error}", case.name()));
    check_answers(case, &lowered);
    let batched = lowered.graph.shape(lowered.output).is_batched();
    let mut totals = [0; 3];
    for run in case.runs() {
        let rows = run.inputs[0].shape[0];
        assert!(rows == 1 || batched, "{}: {rows} rows, but the model has no batch", case.name());
        let (digests, compared) = check_intermediates(case, &lowered, &run, rows);
        totals = [totals[0] + 1, totals[1] + digests, totals[2] + compared];
    }
    totals
}

#[test]
fn committed_models_agree_with_litert() {
    for case in group("tflite") {
        if case.json.get("unsupported").is_some() {
            continue;
        }
        let [runs, digests, compared] = check(&case, &case.path("model").expect("a model"));
        println!("{}: {runs} runs, {digests} results by digest, {compared} by value", case.name());
        assert!(digests + compared > 0 || case.path("intermediates").is_none(), "{}", case.name());
    }
}

#[test]
fn unsupported_operators_are_listed_all_at_once() {
    for case in group("tflite").iter().filter(|case| case.json.get("unsupported").is_some()) {
        let error = lower(&case.path("model").expect("a model")).err();
        let Some(FrontendError::Unsupported(blockers)) = error else { panic!("{}: {error:?}", case.name()) };
        let mut named: Vec<_> = blockers.iter().map(|blocker| blocker.operator.as_str()).collect();
        named.sort_unstable();
        let expected: Vec<_> =
            case.json["unsupported"].as_array().expect("a list").iter().flat_map(|n| n.as_str()).collect();
        assert_eq!(named, expected, "{}", case.name());
        assert!(blockers.iter().all(|blocker| !blocker.node.is_empty() && !blocker.reason.is_empty()));
    }
}

#[test]
fn hostile_models_are_refused() {
    let hostile = group("hostile");
    let hostile: Vec<_> = hostile.iter().filter(|case| case.text("input").ends_with(".tflite")).collect();
    assert!(hostile.len() >= 18, "{}", hostile.len());
    for case in hostile {
        let error = lower(&case.path("input").expect("a model")).err();
        let error = error.unwrap_or_else(|| panic!("{}: {} was accepted", case.name(), case.text("note")));
        println!("{}: {error}", case.name());
        assert!(matches!(error, FrontendError::Malformed { .. } | FrontendError::Unsupported(_)), "{error}");
    }
}

#[test]
fn mlperf_tiny_models_agree_with_litert() {
    let Some(folder) = mlperf_models() else { return };
    for case in group("mlperf") {
        let model = folder.join(case.text("model"));
        let digest = blake3::hash(&fs::read(&model).expect("a model")).to_hex();
        assert_eq!(digest.as_str(), case.text("blake3"), "{}: another model", case.name());
        let [runs, digests, compared] = check(&case, &model);
        println!("{}: {runs} runs, {digests} results by digest, {compared} by value", case.name());
        if case.name().ends_with("int8") {
            let tensors = case.json["tensors"].as_array().expect("tensors").len();
            assert!(runs > 20 && digests == runs * tensors, "{}: {runs} runs, {digests} digests", case.name());
        }
    }
}
