//! scikit-learn models in artifacts give what scikit-learn gave, in every encoding and at every batch size.

use std::fs;
use std::path::Path;

use ekiben::frontend::{FrontendError, Model, sklearn};
use ekiben_runtime::DType;
use ekiben_tests::case::{Case, Elements, Run, Tensor, Tolerance, group, root};
use ekiben_tests::model::{Compiled, row};

fn open(path: &Path) -> Box<dyn Model> {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    sklearn::open(&bytes).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Every method of a case's model, for inputs of the case's type.
fn compile(case: &Case, path: &Path) -> Compiled {
    Compiled::with_types(open(path).as_ref(), &[case.runs()[0].inputs[0].dtype])
}

/// Compares what `run` should give with what the artifact gives, for all rows together and for each by itself.
fn check(place: &str, compiled: &Compiled, run: &Run, tolerance: Tolerance) {
    let rows = run.inputs[0].shape[0];
    let got = compiled.run(&run.method, rows, &run.inputs);
    assert_eq!(got.len(), run.outputs.len(), "{place}: outputs");
    for (expected, got) in run.outputs.iter().zip(&got) {
        assert_eq!(expected.difference(got, tolerance), None, "{place}: {}", got.name);
    }
    for index in 0..rows {
        let alone = compiled.run(&run.method, 1, &[row(&run.inputs[0], index)]);
        for (together, alone) in got.iter().zip(&alone) {
            // Bit for bit: results do not depend on the batch.
            assert_eq!(row(together, index), *alone, "{place}: row {index} by itself");
        }
    }
}

/// The cases of models, as files.
fn models(case: &Case) -> Vec<(String, std::path::PathBuf)> {
    let models = case.json["models"].as_array().expect("models");
    let file = |model: &serde_json::Value| {
        let file = model["file"].as_str().expect("a file");
        (format!("{}/{file}", case.name()), case.folder.join(file))
    };
    models.iter().map(file).collect()
}

#[test]
fn every_case_in_every_encoding_gives_what_scikit_learn_gives() {
    let cases = group("sklearn");
    let (mut files, mut runs) = (0, 0);
    for case in &cases {
        for (place, path) in models(case) {
            let compiled = compile(case, &path);
            for (index, run) in case.runs().iter().enumerate() {
                check(&format!("{place}: run {index}, {}", run.method), &compiled, run, case.tolerance());
                runs += 1;
            }
            files += 1;
        }
    }
    println!("{} cases, {files} files, {runs} runs", cases.len());
    assert!(cases.len() >= 65 && files >= 5 * cases.len() && runs >= 1000, "{files} files, {runs} runs");
}

/// Measurements of irises, four columns, with the species that the models were trained to tell.
fn irises() -> Tensor {
    let rows = [[5.1, 3.5, 1.4, 0.2], [4.9, 3.0, 1.4, 0.2], [7.0, 3.2, 4.7, 1.4], [6.3, 3.3, 6.0, 2.5]];
    let bytes = rows.as_flattened().iter().flat_map(|x: &f64| x.to_le_bytes()).collect();
    Tensor { name: "X".to_owned(), dtype: DType::F64, shape: vec![4, 4], elements: Elements::Bytes(bytes) }
}

#[test]
fn the_forests_of_the_bentos_tell_irises_apart() {
    for file in [
        "v013_sklearn_iris_rf/bundle/IrisClassifier/artifacts/model.pkl",
        "v14_sklearn_iris_rf/bundle/models/iris_rf/v1/saved_model.pkl",
    ] {
        let model = open(&root().join("bentos").join(file));
        assert_eq!(model.methods(), ["predict", "predict_proba", "predict_log_proba"]);
        let compiled = Compiled::of(model.as_ref());
        let species = &compiled.run("predict", 4, &[irises()])[0];
        assert_eq!((species.dtype, species.numbers()), (DType::I64, vec![0.0, 0.0, 1.0, 2.0]), "{file}");
        let shares = compiled.run("predict_proba", 4, &[irises()])[0].numbers();
        let logarithms = compiled.run("predict_log_proba", 4, &[irises()])[0].numbers();
        for (share, logarithm) in shares.iter().zip(logarithms) {
            assert!((share.ln() - logarithm).abs() < 1e-12 || share.ln() == logarithm, "{file}");
        }
        for row in shares.chunks(3) {
            assert!((row.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{file}: {row:?}");
        }
    }
}

#[test]
fn decision_functions_agree_with_the_shares() {
    let mut seen = 0;
    for case in group("sklearn").iter().filter(|case| case.name().contains("_logistic")) {
        let compiled = compile(case, &models(case)[0].1);
        for run in case.runs().iter().filter(|run| run.method == "predict_proba") {
            let rows = run.inputs[0].shape[0];
            let scores = &compiled.run("decision_function", rows, &run.inputs)[0];
            let classes = run.outputs[0].shape[1];
            let columns = if classes == 2 { 1 } else { classes };
            assert_eq!(scores.shape, if classes == 2 { vec![rows] } else { vec![rows, classes] });
            let scores = scores.numbers();
            for (scores, shares) in scores.chunks(columns).zip(run.outputs[0].numbers().chunks(classes)) {
                if classes == 2 {
                    assert!(shares[0] == shares[1] || (scores[0] > 0.0) == (shares[1] > shares[0]), "{}", case.name());
                    continue;
                }
                for (a, b) in (0..classes).flat_map(|a| (0..classes).map(move |b| (a, b))) {
                    assert!(scores[a] <= scores[b] || shares[a] >= shares[b], "{}: {scores:?} {shares:?}", case.name());
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn hostile_models_are_refused() {
    let mut refused = 0;
    for case in group("hostile").iter().filter(|case| case.text("kind") == "model") {
        let bytes = fs::read(case.path("input").expect("an input")).expect("the file");
        let Err(error) = sklearn::open(&bytes) else { panic!("{} was opened", case.name()) };
        let message = error.to_string();
        assert!((10..4000).contains(&message.len()), "{}: {message}", case.name());
        assert!(!message.chars().any(|c| c.is_control() && c != '\n'), "{}: {message:?}", case.name());
        refused += 1;
    }
    assert!(refused >= 30, "{refused}");
}

#[test]
fn a_method_or_an_input_that_does_not_fit_is_refused_by_name() {
    use ekiben::graph::Graph;
    use ekiben_runtime::{Shape, TensorSpec};
    let model = open(&root().join("sklearn/v19_forest_regressor/model.pkl"));
    let mut graph = Graph::new();
    let input = &model.inputs()[0];
    let x = graph.add_input(&input.name, input.spec);
    let error = model.call(&mut graph, "predict_proba", &[x]).unwrap_err();
    assert!(
        matches!(&error, FrontendError::Unsupported(blockers) if blockers[0].operator == "predict_proba"),
        "{error}"
    );
    let narrow = graph.add_input("X", TensorSpec::new(DType::F64, Shape::new(&[1, 5], Some(0)).unwrap()));
    let error = model.call(&mut graph, "predict", &[narrow]).unwrap_err().to_string();
    assert_eq!(error, "model: X is float64 [N, 5], it needs numbers [N, 6]");
    let error = model.call(&mut graph, "predict", &[]).unwrap_err().to_string();
    assert_eq!(error, "model: 0 inputs, it takes 1: X");
}

#[test]
fn bare_model_files_compile_and_prove_themselves() {
    let mut files = 0;
    for case in &group("sklearn") {
        for (place, path) in models(case) {
            let compiled = ekiben::compile::compile_path(&path, None).unwrap_or_else(|e| panic!("{place}: {e}"));
            assert_eq!(compiled.manifest.apis.len(), 1, "{place}");
            assert_eq!(compiled.manifest.provenance.models[0].format, "sklearn", "{place}");
            assert!(compiled.golden.total() > 0, "{place}: golden vectors");
            files += 1;
        }
    }
    assert!(files >= 400, "{files}");
}
