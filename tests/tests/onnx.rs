//! ONNX models through the whole compiler: every case's answers, for every batch size, from a written artifact.

use ekiben::frontend::{FrontendError, Model, onnx};
use ekiben::graph::{AlignedBytes, Graph};
use ekiben::passes::optimise;
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::artifact::emit;
use ekiben_runtime::{Artifact, DType, Executor, Op};
use ekiben_tests::case::{Case, Elements, Run, Tensor, group};

/// The graph of a model's only method.
fn lower(model: &dyn Model) -> Result<Graph, FrontendError> {
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    for output in model.call(&mut graph, "run", &inputs)? {
        graph.rename(output.tensor, &output.name);
        graph.add_output(output.tensor);
    }
    Ok(graph)
}

fn compile(graph: &Graph) -> AlignedBytes {
    let arena_plan = plan(graph).expect("a plan");
    let parts = artifact_parts(&[PlannedApi { name: "run", graph, plan: &arena_plan }]);
    AlignedBytes::from(emit(&parts).expect("an artifact").as_slice())
}

/// Rows of the batch that a case's inputs have.
fn rows(artifact: &Artifact<'_>, run: &Run) -> usize {
    let api = artifact.api(0).expect("an API");
    let rows = |(index, input): (usize, &Tensor)| {
        let shape = artifact.api_tensor(&api, index).expect("an input").spec.shape;
        shape.batch_axis().map(|axis| input.shape[axis] / shape.factors()[axis] as usize)
    };
    run.inputs.iter().enumerate().find_map(rows).unwrap_or(1)
}

/// Outputs of an artifact for a case's inputs.
fn execute(bytes: &AlignedBytes, run: &Run) -> Vec<Tensor> {
    let artifact = Artifact::parse(bytes.as_slice()).expect("a sound artifact");
    let api = artifact.api(0).expect("an API");
    let rows = if api.fixed_rows == 0 { rows(&artifact, run) } else { api.fixed_rows as usize };
    let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(0, rows).expect("a size"));
    let mut executor = Executor::new(&artifact, 0, rows, arena.as_mut_slice()).expect("an executor");
    for (index, input) in run.inputs.iter().enumerate() {
        let view = executor.input_view(index).expect("an input");
        assert_eq!(view.dims[..], input.shape[..], "shape of input {index}");
        match (&input.elements, view.spec.table) {
            (Elements::Bytes(bytes), _) => view.bytes.copy_from_slice(bytes),
            (Elements::Texts(texts), table) => {
                let table = table.expect("a table");
                let known = || 0..artifact.strings().list_len(table).unwrap_or(0);
                let category =
                    |text: &String| known().find(|&at| artifact.strings().list_item(table, at) == Some(text));
                let ids = texts.iter().map(|text| category(text).unwrap_or(DType::UNKNOWN_CATEGORY));
                view.bytes.copy_from_slice(&ids.flat_map(u32::to_le_bytes).collect::<Vec<_>>());
            }
        }
    }
    executor.run().expect("a run");
    (0..run.outputs.len())
        .map(|index| {
            let view = executor.output_view(index).expect("an output");
            let record = artifact.api_output(&api, index).expect("a record");
            let name = record.name.and_then(|name| artifact.strings().get(name)).unwrap_or_default().to_owned();
            let (dtype, elements) = match (view.spec.dtype, view.spec.table) {
                (DType::Category, Some(table)) => {
                    let text = |id: &u32| artifact.strings().list_item(table, *id).expect("a text").to_owned();
                    (
                        DType::Text,
                        Elements::Texts(view.as_slice::<u32>().expect("categories").iter().map(text).collect()),
                    )
                }
                (dtype, _) => (dtype, Elements::Bytes(view.bytes.to_vec())),
            };
            Tensor { name, dtype, shape: view.dims.to_vec(), elements }
        })
        .collect()
}

/// The first difference between a case's runs and the artifact of its model.
fn check(case: &Case) -> Result<(), String> {
    let bytes = std::fs::read(case.path("model").expect("a model")).expect("a file");
    let model = onnx::open(&bytes).map_err(|error| error.to_string())?;
    let graph = lower(model.as_ref()).map_err(|error| error.to_string())?;
    let optimised = optimise(&graph).map_err(|error| error.to_string())?;
    check_graph(case, &graph).map_err(|reason| format!("before the passes: {reason}"))?;
    check_graph(case, &optimised).map_err(|reason| format!("after the passes: {reason}"))
}

/// As [`check`], for the artifact of one graph.
fn check_graph(case: &Case, graph: &Graph) -> Result<(), String> {
    let artifact = compile(graph);
    for (position, run) in case.runs().iter().enumerate() {
        let outputs = execute(&artifact, run);
        for (expected, got) in run.outputs.iter().zip(&outputs) {
            if expected.name != got.name {
                return Err(format!("run {position}: output {:?} instead of {:?}", got.name, expected.name));
            }
            if let Some(difference) = expected.difference(got, case.tolerance()) {
                return Err(format!("run {position}, output {:?}: {difference}", expected.name));
            }
        }
    }
    Ok(())
}

#[test]
fn every_case_gives_the_answers_of_onnx_runtime() {
    let mut failures = Vec::new();
    let mut count = 0;
    for case in group("onnx").into_iter().filter(|case| case.json.get("unsupported").is_none()) {
        count += 1;
        if let Err(reason) = check(&case) {
            failures.push(format!("{}: {reason}", case.name()));
        }
    }
    assert!(count > 70, "{count} cases");
    assert!(failures.is_empty(), "{} of {count} cases:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn unsupported_operators_are_all_listed() {
    let mut found = false;
    for case in group("onnx").into_iter().filter(|case| case.json.get("unsupported").is_some()) {
        found = true;
        let bytes = std::fs::read(case.path("model").expect("a model")).expect("a file");
        let error = match onnx::open(&bytes) {
            Ok(model) => lower(model.as_ref()).expect_err("a refusal"),
            Err(error) => error,
        };
        let FrontendError::Unsupported(blockers) = error else { panic!("{error}") };
        let listed = |key: &str| -> Vec<String> {
            case.json[key].as_array().expect(key).iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
        };
        for (operator, node) in listed("unsupported").iter().zip(listed("nodes")) {
            let named = |operator_name: &str| operator_name.rsplit("::").next() == operator.rsplit("::").next();
            let blocker = blockers.iter().find(|blocker| blocker.node == node && named(&blocker.operator));
            assert!(blocker.is_some(), "{}: {operator} at {node} is not among {blockers:?}", case.name());
        }
    }
    assert!(found);
}

/// Transposes and arithmetic that are left of a case's network.
fn left(name: &str) -> (usize, usize) {
    let cases = group("onnx");
    let case = cases.iter().find(|case| case.name() == name).expect("a case");
    let bytes = std::fs::read(case.path("model").expect("a model")).expect("a file");
    let graph = lower(onnx::open(&bytes).expect("a model").as_ref()).expect("a graph");
    let optimised = optimise(&graph).expect("a graph");
    let count = |is: fn(&Op) -> bool| optimised.nodes().iter().filter(|node| is(&node.op)).count();
    (count(|op| matches!(op, Op::Transpose(_))), count(|op| matches!(op, Op::Binary(_))))
}

#[test]
fn networks_move_channels_last_once() {
    for (name, most) in [("torch_cnn", 1), ("torch_residual", 1), ("torch_residual_dynamo", 1), ("torch_conv_1d", 2)] {
        let (transposes, _) = left(name);
        assert!(transposes <= most, "{name}: {transposes} transposes are left");
    }
}

#[test]
fn networks_keep_one_transpose_and_no_batch_normalisation() {
    // What is left: the input's transpose (and the output's of an image, one of each shuffle), residual additions, products of squeeze and
    // excitation, and what stands before an activation after a join.
    for (name, transposes, arithmetic) in [
        ("mobilenet_v2", 1, 2),
        ("mobilenet_v3", 1, 3),
        ("resnet", 1, 2),
        ("regnet", 1, 6),
        ("squeezenet", 1, 0),
        ("efficientnet", 1, 5),
        ("shufflenet", 6, 0),
        ("densenet", 1, 12),
        ("unet", 2, 0),
        ("unet_bilinear", 2, 0),
    ] {
        for exporter in ["torchscript", "dynamo"] {
            let name = format!("network_{name}_{exporter}");
            assert_eq!(left(&name), (transposes, arithmetic), "{name}");
        }
    }
}
