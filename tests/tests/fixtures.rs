//! The committed fixtures are whole and agree with their own description.

use ekiben_tests::case::{Case, Elements, Tolerance, group, near, root, splitmix64};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// The suites of tabular models stay below this: thousands of them, a few kilobytes each.
const TABULAR_LIMIT: u64 = 22 << 20;

/// All other fixtures together stay below this.
const SIZE_LIMIT: u64 = 20 << 20;

fn groups() -> Vec<String> {
    let entries = fs::read_dir(root()).expect("the fixtures").map(|entry| entry.unwrap());
    let folders = entries.filter(|entry| entry.file_type().unwrap().is_dir());
    let mut names: Vec<String> = folders.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.retain(|name| name != "make");
    names.sort();
    names
}

fn texts(json: &Value) -> Vec<&str> {
    json.as_array().into_iter().flatten().map(|text| text.as_str().expect("a text")).collect()
}

#[test]
fn readme_describes_every_group() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for group in groups() {
        assert!(readme.contains(&format!("| `{group}` |")), "tests/fixtures/README.md does not describe {group}");
    }
}

#[test]
fn fixtures_are_small() {
    fn size(folder: &Path) -> u64 {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
        entries.map(|e| if e.path().is_dir() { size(&e.path()) } else { e.metadata().unwrap().len() }).sum()
    }
    let (total, tabular) = (size(&root()), size(&root().join("tabular")));
    assert!(tabular < TABULAR_LIMIT, "tests/fixtures/tabular holds {tabular} bytes");
    assert!(total - tabular < SIZE_LIMIT, "tests/fixtures holds {} bytes beside it", total - tabular);
}

#[test]
fn every_tensor_reads_and_every_model_is_there() {
    for name in ["sklearn", "onnx", "tflite", "mlperf"] {
        for case in group(name) {
            for encoding in case.json["models"].as_array().into_iter().flatten() {
                assert!(case.folder.join(encoding["file"].as_str().unwrap()).is_file(), "{}", case.name());
            }
            if let Some(model) = case.path("model").filter(|_| name != "mlperf") {
                let digest = blake3::hash(&fs::read(model).unwrap()).to_hex();
                assert!(
                    case.json.get("blake3").is_none_or(|stated| *stated == *digest),
                    "{}: other model",
                    case.name()
                );
            }
            if case.json.get("unsupported").is_some() {
                assert!(!texts(&case.json["unsupported"]).is_empty(), "{}", case.name());
                continue;
            }
            let runs = case.runs();
            assert!(!runs.is_empty(), "{}: a run", case.name());
            // ONNX models may have a fixed batch, or theirs on another axis.
            if name != "onnx" {
                let rows = |run: &ekiben_tests::case::Run| run.inputs[0].shape[0];
                assert!(runs.len() >= 2, "{}: at least two runs", case.name());
                assert!(runs.iter().any(|run| rows(run) == 1), "{}: a run of one row", case.name());
            }
            for run in runs {
                for output in &run.outputs {
                    let difference = output.difference(output, case.tolerance());
                    assert_eq!(difference, None, "{}: a tensor equals itself", case.name());
                }
            }
        }
    }
}

/// Splits `bytes` into the tensors that the case describes.
fn split<'b>(case: &Case, mut bytes: &'b [u8]) -> Vec<&'b [u8]> {
    let mut parts = Vec::new();
    for tensor in case.json["tensors"].as_array().unwrap() {
        let count: u64 = tensor["shape"].as_array().unwrap().iter().map(|d| d.as_u64().unwrap()).product();
        let width = if tensor["dtype"] == "i8" { 1 } else { 4 };
        let (part, rest) = bytes.split_at(count as usize * width);
        parts.push(part);
        bytes = rest;
    }
    assert!(bytes.is_empty(), "{}: bytes after the last tensor", case.name());
    parts
}

#[test]
fn digests_are_those_of_the_intermediate_tensors() {
    let mut checked = 0;
    for case in group("tflite") {
        for run in case.json["runs"].as_array().into_iter().flatten() {
            let Some(file) = run["intermediates"].as_str() else { continue };
            let bytes = fs::read(case.folder.join(file)).unwrap();
            let parts = split(&case, &bytes);
            for (part, digest) in parts.iter().zip(run["digests"].as_array().into_iter().flatten()) {
                assert_eq!(digest, &*blake3::hash(part).to_hex(), "{}", case.name());
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "only {checked} digests checked");
}

#[test]
fn every_bento_has_requests_and_answers() {
    for case in group("bentos").into_iter().chain(group("services")) {
        assert!(case.path("bento").is_some_and(|path| path.exists()), "{}", case.name());
        let mut answers = 0;
        for run in case.json["runs"].as_array().expect("runs") {
            assert!(case.folder.join(run["request"]["file"].as_str().unwrap()).is_file(), "{}", case.name());
            assert_eq!(run["status"] == 200, run.get("response").is_some(), "{}", case.name());
            answers += usize::from(run.get("response").is_some());
        }
        assert!(answers > 0, "{}: no answer", case.name());
    }
}

#[test]
fn refused_lines_are_marked_in_the_source() {
    for case in group("refused") {
        let refused = &case.json["refused"];
        let bento = case.assemble("bento");
        let source = fs::read_to_string(bento.path().join(refused["file"].as_str().unwrap())).unwrap();
        let line = refused["line"].as_u64().unwrap() as usize;
        assert!(refused["end_line"].as_u64().unwrap() as usize >= line, "{}", case.name());
        let text = source.lines().nth(line - 1).unwrap();
        assert!(
            text.contains(refused["construct"].as_str().unwrap()) && text.ends_with("# refused"),
            "{}",
            case.name()
        );
    }
}

#[test]
fn hostile_files_are_there() {
    for case in group("hostile") {
        assert!(case.path("input").is_some_and(|path| path.exists()), "{}", case.name());
        assert!(["model", "bento"].contains(&case.text("kind")), "{}", case.name());
    }
}

#[test]
fn splitmix64_gives_the_published_numbers() {
    assert_eq!(splitmix64(0).next(), Some(0xE220_A839_7B1D_CDAF));
    let expected =
        [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431, 16408922859458223821];
    assert_eq!(splitmix64(1234567).take(5).collect::<Vec<u64>>(), expected);
}

#[test]
fn nearness_is_symmetric_only_where_it_should_be() {
    let exact = Tolerance { absolute: 0.0, relative: 0.0 };
    let wide = Tolerance { absolute: 0.5, relative: 0.0 };
    assert!(near(f64::NAN, f64::NAN, exact) && near(0.0, -0.0, exact) && near(f64::INFINITY, f64::INFINITY, exact));
    assert!(!near(1.0, f64::NAN, wide) && !near(f64::NAN, 1.0, wide));
    assert!(!near(f64::INFINITY, f64::MAX, wide) && !near(f64::MAX, f64::INFINITY, wide));
    assert!(near(1.0, 1.5, wide) && !near(1.0, 1.5001, wide));
}

#[test]
fn odd_values_keep_their_bits() {
    let cases = group("sklearn");
    let scaler = cases.iter().find(|case| case.name() == "v19_standard_scaler").expect("the scaler's case");
    let inputs: Vec<f64> = scaler.runs().iter().flat_map(|run| run.inputs[0].numbers()).collect();
    let held = |value: f64| inputs.iter().any(|x| x.to_bits() == value.to_bits());
    assert!(held(-0.0) && held(5e-324) && held(1e300) && held(-1e-310));
    let labels =
        cases.iter().find(|case| case.name() == "v19_forest_classifier_text_labels").expect("the forest's case");
    let output = &labels.runs()[0].outputs[0];
    assert!(matches!(&output.elements, Elements::Texts(texts) if texts[0] == "setosa"));
}
