//! Keras models of every file form against the answers of Keras itself, and damaged ones.

use std::collections::BTreeMap;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use ekiben::bundle::{Bundle, ModelFormat};
use ekiben::compile::open_models;
use ekiben::frontend::{self, FrontendError, InputLengths, Model, OpenOptions};
use ekiben::graph::Graph;
use ekiben_tests::case::{Case, group, root, splitmix64};
use ekiben_tests::model::Compiled;

/// Cases whose names have this in them; all where it is not set.
const FILTER: &str = "EKIBEN_KERAS_FILTER";

fn cases() -> Vec<Case> {
    let filter = std::env::var(FILTER).unwrap_or_default();
    group("keras").into_iter().filter(|case| case.name().contains(&filter)).collect()
}

/// The model of a case, opened as a bare model is.
fn open(path: &Path) -> Result<Box<dyn Model>, String> {
    let bundle = Bundle::open(path, None).map_err(|error| error.to_string())?;
    let (models, _) = open_models(&bundle, &InputLengths::default()).map_err(|error| error.to_string())?;
    models.into_values().next().ok_or_else(|| "no model".to_owned())
}

/// Compares a case's answers; the first difference in words.
fn check(case: &Case) -> Result<usize, String> {
    let model = open(&case.path("model").expect("a model"))?;
    let compiled = catch_unwind(AssertUnwindSafe(|| Compiled::of(model.as_ref())))
        .map_err(|panic| panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned()))?;
    let runs = case.runs();
    for run in &runs {
        let rows = run.inputs[0].shape[0];
        let got = compiled.run("predict", rows, &run.inputs);
        if got.len() != run.outputs.len() {
            return Err(format!("{} outputs instead of {}", got.len(), run.outputs.len()));
        }
        for (expected, got) in run.outputs.iter().zip(&got) {
            if let Some(difference) = expected.difference(got, case.tolerance()) {
                return Err(format!("{:?}: {difference}", got.name));
            }
        }
    }
    Ok(runs.len())
}

#[test]
fn models_answer_as_keras_does() {
    let mut forms: BTreeMap<String, usize> = BTreeMap::new();
    let (mut wrong, mut count) = (Vec::new(), 0);
    for case in cases().iter().filter(|case| case.json.get("refused").is_none()) {
        match check(case) {
            Ok(_) => {
                count += 1;
                *forms.entry(case.text("form").to_owned()).or_default() += 1;
            }
            Err(reason) => wrong.push(format!("{}: {reason}", case.name())),
        }
    }
    println!("{count} models: {forms:?}");
    assert!(wrong.is_empty(), "{count} are right, {} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(count >= 60 || std::env::var(FILTER).is_ok(), "{count} models");
}

#[test]
fn what_is_not_compiled_is_listed_all_at_once() {
    for case in cases().iter().filter(|case| case.json.get("refused").is_some()) {
        let path = case.path("model").expect("a model");
        let bytes = fs::read(&path).expect("a file");
        let opened = frontend::open(ModelFormat::of(&bytes), &bytes, &OpenOptions::default());
        let lowered = opened.and_then(|model| {
            let mut graph = Graph::new();
            let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
            model.call(&mut graph, "predict", &inputs)
        });
        let Err(FrontendError::Unsupported(blockers)) = lowered else { panic!("{}: it is not refused", case.name()) };
        let mut named: Vec<String> =
            blockers.iter().map(|blocker| format!("{} {}", blocker.node, blocker.operator)).collect();
        named.sort_unstable();
        let expected: Vec<&str> =
            case.json["refused"].as_array().expect("a list").iter().filter_map(|name| name.as_str()).collect();
        assert_eq!(named, expected, "{}: {blockers:?}", case.name());
    }
}

/// Opens and lowers what a damaged file still has.
fn survives(bytes: &[u8]) {
    for format in [ModelFormat::of(bytes), ModelFormat::Hdf5, ModelFormat::Keras] {
        if !matches!(format, ModelFormat::Hdf5 | ModelFormat::Keras) {
            continue;
        }
        let Ok(model) = frontend::open(format, bytes, &OpenOptions::default()) else { continue };
        let mut graph = Graph::new();
        let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
        let _ = model.call(&mut graph, "predict", &inputs);
    }
}

/// One damaged file for each of many numbers; the numbers whose file is not survived.
fn damaged(bytes: &[u8], rounds: usize, seed: u64, survives: &dyn Fn(&[u8])) -> Vec<usize> {
    let mut random = splitmix64(seed);
    let mut next = |end: usize| (random.next().unwrap_or_default() % end.max(1) as u64) as usize;
    let mut failed = Vec::new();
    for round in 0..rounds {
        let mut changed = bytes.to_vec();
        if round % 4 == 0 {
            changed.truncate(next(bytes.len()));
        }
        for _ in 0..next(6) {
            let at = next(changed.len());
            if let Some(byte) = changed.get_mut(at) {
                *byte = match next(4) {
                    0 => 0xff,
                    1 => 0,
                    2 => next(256) as u8,
                    _ => *byte ^ 1 << next(8),
                };
            }
        }
        if catch_unwind(AssertUnwindSafe(|| survives(&changed))).is_err() {
            failed.push(round);
        }
    }
    failed
}

#[test]
fn damaged_files_never_panic() {
    let small = |end: &str| {
        let mut paths: Vec<PathBuf> = cases().iter().filter_map(|case| case.path("model")).collect();
        paths.retain(|path| path.is_file() && path.to_string_lossy().ends_with(end));
        paths.sort_by_key(|path| fs::metadata(path).map_or(u64::MAX, |meta| meta.len()));
        paths.truncate(6);
        paths
    };
    for path in small(".h5").into_iter().chain(small(".keras")) {
        let bytes = fs::read(&path).expect("a file");
        assert_eq!(damaged(&bytes, 300, 7, &survives), Vec::<usize>::new(), "{}", path.display());
    }
}

/// Architecture in JSON and weights in HDF5 beside it: either of the two damaged.
#[test]
fn damaged_pairs_of_files_never_panic() {
    let mut count = 0;
    for case in cases().iter().filter(|case| case.name().contains("form_json")) {
        let model = case.path("model").expect("a model");
        let folder = tempfile::tempdir().expect("a folder");
        let files: Vec<PathBuf> =
            fs::read_dir(model.parent().unwrap()).unwrap().flatten().map(|file| file.path()).collect();
        let beside = |path: &Path| folder.path().join(path.file_name().unwrap());
        for file in files.iter().filter(|path| path.is_file()) {
            fs::copy(file, beside(file)).unwrap();
        }
        for file in files
            .iter()
            .filter(|path| path.extension().is_some_and(|end| end == "hdf5" || end == "h5") || **path == model)
        {
            let bytes = fs::read(file).unwrap();
            let survives = |changed: &[u8]| {
                fs::write(beside(file), changed).unwrap();
                let Ok(opened) = open(&beside(&model)) else { return };
                let mut graph = Graph::new();
                let inputs: Vec<_> =
                    opened.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
                let _ = opened.call(&mut graph, "predict", &inputs);
            };
            assert_eq!(damaged(&bytes, 200, 9, &survives), Vec::<usize>::new(), "{}", file.display());
            fs::copy(file, beside(file)).unwrap();
            count += 1;
        }
    }
    assert!(count >= 4 || std::env::var(FILTER).is_ok(), "{count} files");
}

/// Every layer that docs/keras.md names stands in a fixture that Keras answered.
#[test]
fn every_documented_layer_has_a_fixture() {
    let docs = fs::read_to_string(root().join("../../docs/keras.md")).expect("docs/keras.md");
    let table =
        docs.split("| layers | what is compiled |").nth(1).and_then(|rest| rest.split("\n\n").next()).expect("a table");
    let mut named = Vec::new();
    for row in table.lines().filter_map(|line| line.split('|').nth(1)).filter(|cell| !cell.contains("functions")) {
        for name in row.split(',').map(str::trim) {
            let mut words = name.split(' ');
            let first = words.next().unwrap_or_default();
            let dims: Vec<&str> = name.split([' ', ',']).filter(|word| matches!(*word, "1D" | "2D")).collect();
            match dims.as_slice() {
                _ if !first.starts_with(char::is_uppercase) => {}
                [] => {
                    named.push(first.trim_end_matches("1D").to_owned() + if first.ends_with("1D") { "1D" } else { "" })
                }
                dims if first.ends_with("1D") || first.ends_with("2D") => {
                    named.push(first.to_owned());
                    named.extend(dims.iter().map(|dim| format!("{}{dim}", &first[..first.len() - 2])));
                }
                dims => named.extend(dims.iter().map(|dim| format!("{first}{dim}"))),
            }
        }
    }
    let mut used = String::new();
    for case in cases().iter().filter(|case| case.json.get("refused").is_none()) {
        let model = case.path("model").expect("a model");
        let files = match model.is_dir() {
            true => fs::read_dir(&model).unwrap().flatten().map(|entry| entry.path()).collect(),
            false => vec![model],
        };
        for file in files.into_iter().filter(|path| path.is_file()) {
            let bytes = fs::read(file).unwrap();
            // Architectures stand uncompressed in HDF5 and JSON; those of archives are unpacked.
            let bytes = match bytes.starts_with(b"PK") {
                true => unzipped_config(&bytes),
                false => bytes,
            };
            used.push_str(&String::from_utf8_lossy(&bytes));
        }
    }
    let lacking: Vec<_> = named.iter().filter(|name| !used.contains(&format!("\"class_name\": \"{name}\""))).collect();
    assert!(named.len() > 50, "{named:?}");
    assert!(lacking.is_empty() || std::env::var(FILTER).is_ok(), "no fixture has {lacking:?}");
}

/// `config.json` of a `.keras` archive.
fn unzipped_config(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    // The entry's local header is found by its name; Keras stores or deflates it.
    let at = bytes.windows(11).position(|window| window == b"config.json").expect("config.json");
    let header = &bytes[at - 30..];
    let word = |offset: usize| u16::from_le_bytes([header[offset], header[offset + 1]]);
    let data = &header[30 + usize::from(word(26)) + usize::from(word(28))..];
    let mut out = Vec::new();
    match word(8) {
        0 => out.extend_from_slice(data),
        _ => drop(flate2::read::DeflateDecoder::new(data).read_to_end(&mut out)),
    }
    out
}
