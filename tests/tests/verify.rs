//! Artifacts compared with what they were compiled from: right ones agree or have no oracle, wrong ones are found.

use ekiben::bundle::Bundle;
use ekiben::compile::{CompileOptions, CompiledArtifact, Recorded, compile, open_models};
use ekiben::frontend::InputLengths;
use ekiben::graph::Graph;
use ekiben::planner::plan;
use ekiben::python::{AskError, Interpreter, PythonError};
use ekiben::verify::{Comparison, Report, Verdict, VerifyError, verify, verify_service};
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::Artifact;
use ekiben_runtime::artifact::header::SectionKind;
use ekiben_runtime::artifact::{emit, seal};
use ekiben_tests::case::{Case, group, root};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn compiled(model: &Path) -> (Bundle, CompiledArtifact) {
    let bundle = Bundle::open(model, None).expect("a model");
    let artifact =
        compile(&bundle, &CompileOptions::default()).unwrap_or_else(|error| panic!("{}: {error}", model.display()));
    (bundle, artifact)
}

/// A file with these bytes, in a folder that goes with the guard.
fn file(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    fs::write(&path, bytes).expect("a temporary file");
    (folder, path)
}

fn check(artifact: &[u8], bundle: &Bundle, data: Option<&str>) -> Result<Report, VerifyError> {
    let (_folder, path) = file("model.ekb", artifact);
    let data = data.map(|text| file("data.csv", text.as_bytes()));
    verify(&path, bundle, data.as_ref().map(|(_, path)| path.as_path()))
}

fn model_of(group: &str, case: &str) -> PathBuf {
    root().join(group).join(case).join(if group == "onnx" { "model.onnx" } else { "model.tflite" })
}

fn supported(name: &str) -> Vec<Case> {
    group(name).into_iter().filter(|case| case.json.get("unsupported").is_none()).collect()
}

#[test]
fn right_artifacts_agree_wherever_there_is_an_oracle() {
    for (name, least) in [("onnx", 50), ("tflite", 4)] {
        let (mut agreeing, mut differing) = (0, String::new());
        for case in supported(name) {
            let (bundle, artifact) = compiled(&case.path("model").expect("a model"));
            let report = check(artifact.bytes(), &bundle, None).unwrap_or_else(|e| panic!("{}: {e}", case.name()));
            if report.verdict() == Verdict::Differs {
                differing += &format!("{name}/{}:\n{report}\n", case.name());
            }
            agreeing += usize::from(report.verdict() == Verdict::Agrees);
        }
        assert!(differing.is_empty(), "{differing}");
        assert!(agreeing >= least, "{name}: only {agreeing} agree");
    }
}

#[test]
fn quantised_models_have_no_oracle() {
    for case in ["ds_cnn_int8", "ds_cnn_hybrid"] {
        let (bundle, artifact) = compiled(&model_of("tflite", case));
        let report = check(artifact.bytes(), &bundle, None).expect("the same model");
        assert_eq!(report.verdict(), Verdict::NoOracle, "{report}");
        let text = report.to_string();
        assert!(text.contains("oracle: none (tract gets quantised and hybrid TFLite models wrong"), "{text}");
        assert!(text.contains("--expected FILE"), "{text}");
    }
}

#[test]
fn recorded_answers_are_independent() {
    let folder = root().join("sklearn/v19_standard_scaler");
    let model = fs::read(folder.join("model.pkl")).expect("a model");
    let run = Case::read(folder).runs().into_iter().next().expect("a run");
    let (input, output) = (&run.inputs[0], &run.outputs[0]);
    let lines = |tensor: &ekiben_tests::case::Tensor| {
        let rows = tensor.numbers();
        let row = |row: &[f64]| format!("{row:?}\n");
        rows.chunks(tensor.shape[1]).map(row).collect::<String>()
    };
    let (_model, model) = file("model.pkl", &model);
    let bundle = Bundle::open(&model, None).expect("a model");
    let plain = compile(&bundle, &CompileOptions::default()).expect("a scaler");
    assert_eq!(check(plain.bytes(), &bundle, None).expect("the same model").verdict(), Verdict::NoOracle);
    let (_data, data) = file("data.jsonl", lines(input).as_bytes());
    let (_expected, expected) = file("expected.jsonl", lines(output).as_bytes());
    let recorded = compile(
        &bundle,
        &CompileOptions { recorded: Some(Recorded { data, expected, api: None }), ..CompileOptions::default() },
    )
    .expect("recorded answers");
    let report = check(recorded.bytes(), &bundle, None).expect("the same model");
    assert_eq!((report.verdict(), report.golden.passed.framework), (Verdict::Agrees, 1), "{report}");
}

#[test]
fn changed_weights_are_found() {
    let (bundle, artifact) = compiled(&model_of("onnx", "torch_mlp"));
    let range = Artifact::parse(artifact.bytes()).expect("an artifact").header().section_range(SectionKind::Weights);
    let mut bytes = artifact.bytes().to_vec();
    for weight in bytes[range].chunks_exact_mut(4) {
        let value = f32::from_le_bytes([weight[0], weight[1], weight[2], weight[3]]);
        weight.copy_from_slice(&(value * 1.01).to_le_bytes());
    }
    assert!(matches!(check(&bytes, &bundle, None), Err(VerifyError::Corrupt(_))));
    seal(&mut bytes).expect("an artifact");
    let report = check(&bytes, &bundle, None).expect("the same model");
    assert_eq!(report.verdict(), Verdict::Differs);
    assert!(report.golden.failure.is_some());
    let Comparison::Compared { outputs, .. } = &report.models[0].comparison else { panic!("{report}") };
    let worst = outputs[0].worst.as_ref().expect("a difference");
    assert!(outputs[0].differing > 0 && outputs[0].absolute > 1e-4 && worst.ours != worst.oracle, "{report}");
    assert!(report.to_string().contains("verdict: DIFFERS"));
}

#[test]
fn another_model_is_refused() {
    let (_, artifact) = compiled(&model_of("onnx", "torch_mlp"));
    let other = Bundle::open(&model_of("onnx", "torch_mlp_dynamo"), None).expect("a model");
    let error = check(artifact.bytes(), &other, None).expect_err("another model");
    assert!(matches!(&error, VerifyError::OtherModel { .. }), "{error}");
    assert!(error.to_string().contains("model.onnx"), "{error}");
    let service = Bundle::open(&root().join("bentos/v14_onnx_iris/bundle"), None).expect("a bento");
    let error = check(artifact.bytes(), &service, None).expect_err("no such model");
    assert!(matches!(&error, VerifyError::MissingModel { model, .. } if model == "model"), "{error}");
}

#[test]
fn a_renamed_model_is_the_same() {
    let (_, artifact) = compiled(&model_of("onnx", "torch_mlp"));
    let (_folder, renamed) = file("renamed.onnx", &fs::read(model_of("onnx", "torch_mlp")).expect("a model"));
    let bundle = Bundle::open(&renamed, None).expect("a model");
    assert_eq!(check(artifact.bytes(), &bundle, None).expect("the same bytes").verdict(), Verdict::Agrees);
}

#[test]
fn rows_of_data_are_compared_too() {
    let (bundle, artifact) = compiled(&model_of("onnx", "torch_mlp"));
    let rows = "a,b,c,d,e,f,g,h\n1,2,3,4,5,6,7,8\n-1,-2,-3,-4,-5,-6,-7,-8.5\n";
    let counts = |data| {
        let report = check(artifact.bytes(), &bundle, data).expect("the same model");
        assert_eq!(report.verdict(), Verdict::Agrees, "{report}");
        match &report.models[0].comparison {
            Comparison::Compared { rows, calls, .. } => (*rows, calls.len()),
            Comparison::None(reason) => panic!("{reason}"),
        }
    };
    let (without, with) = (counts(None), counts(Some(rows)));
    assert_eq!(with, (without.0 + 2, without.1 + 2));
    let error = check(artifact.bytes(), &bundle, Some("1,2,3\n")).expect_err("three of eight numbers");
    assert!(error.to_string().contains("3 cells; model model takes 8 numbers per row"), "{error}");
}

/// An artifact whose API is the bento's only model, as if the service returned what it gives.
fn artifact_of_service(bundle: &Bundle) -> Vec<u8> {
    let bare = root().join("onnx/torch_mlp/model.onnx");
    let mut manifest = compiled(&bare).1.manifest;
    let (models, provenance) = open_models(bundle, &InputLengths::default()).expect("models");
    manifest.provenance.models = provenance;
    let model = models.values().next().expect("a model");
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    for output in model.call(&mut graph, model.methods()[0], &inputs).expect("a model") {
        graph.add_output(output.tensor);
    }
    let plan = plan(&graph).expect("a small graph");
    let mut parts = artifact_parts(&[PlannedApi { name: "predict", graph: &graph, plan: &plan }]);
    parts.manifest = manifest.to_cbor().expect("a manifest");
    emit(&parts).expect("a small artifact")
}

#[test]
fn models_of_a_service_are_compared_alone() {
    for case in ["v14_onnx_iris", "v013_onnx_iris_gb"] {
        let bundle = Bundle::open(&root().join("bentos").join(case).join("bundle"), None).expect("a bento");
        let report = check(&artifact_of_service(&bundle), &bundle, None).expect("the same models");
        eprintln!("{report}");
        assert_ne!(report.verdict(), Verdict::Differs, "{report}");
        assert!(report.service && report.models.len() == 1);
        assert!(report.to_string().contains("covered by golden vectors only"), "{report}");
    }
}

/// The machine's plain `python3` has no BentoML: the package is named, and nothing is compared.
#[test]
fn a_service_is_asked_where_bentoml_is() {
    let (bundle, artifact) = compiled(&root().join("served/v14_pictures/bento.tar.gz"));
    let (_folder, path) = file("model.ekb", artifact.bytes());
    let clean = Interpreter::new("python3");
    match verify_service(&path, &bundle, &clean, Vec::new()) {
        Err(VerifyError::Service(AskError::Python(PythonError::Package { package, .. }))) => {
            assert!(["bentoml", "starlette", "PIL", "numpy"].contains(&package.as_str()), "{package}");
        }
        // A machine whose interpreter has BentoML.
        Ok((_, reports)) => assert!(reports.iter().all(|report| report.agrees())),
        Err(error) => panic!("{error}"),
    }
}
