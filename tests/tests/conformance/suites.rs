//! The model suites that the Python package `onnx` publishes, in the folder that `tests/fixtures/make/onnx_suites.py` has written and
//! `EKIBEN_ONNX_SUITES` names. `EKIBEN_ONNX_FILTER` is as for the operators' cases.

use std::path::{Path, PathBuf};

use crate::case::{Case, Form};
use crate::outcome::Outcome;
use crate::{FILTER, guarded};

/// Names the folder of the suites.
const SUITES: &str = "EKIBEN_ONNX_SUITES";
/// The suites of small models.
const SMALL: [&str; 3] = ["simple", "pytorch-operator", "pytorch-converted"];
/// How many cases they have, and the fewest that must pass. The others are of training.
const ALL_CASES: usize = 140;
const PASS: usize = 138;

/// The cases of a suite whose names contain the filter; none where there is no folder.
fn folders(suite: &str) -> Vec<PathBuf> {
    let Some(root) = std::env::var_os(SUITES).map(PathBuf::from) else {
        eprintln!("skipped: {SUITES} is not set");
        return Vec::new();
    };
    let filter = std::env::var(FILTER).unwrap_or_default();
    let folder = root.join(suite);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.retain(|folder| folder.file_name().unwrap_or_default().to_string_lossy().contains(&filter));
    folders.sort();
    folders
}

/// Runs the forms of a case until one passes or is wrong: texts that the model does not know cannot be its inputs, but its constants.
fn best(folder: &Path) -> Outcome {
    let case = Case::read(folder);
    let mut refused = None;
    for form in [Form::AsIs, Form::Constant, Form::AllConstant] {
        match guarded(&case, form) {
            Outcome::Refused(blockers) => drop(refused.get_or_insert(blockers)),
            other => return other,
        }
    }
    Outcome::Refused(refused.unwrap_or_default())
}

#[test]
fn published_models_pass() {
    let folders: Vec<_> = SMALL.iter().flat_map(|suite| folders(suite)).collect();
    let (mut passed, mut wrong) = (0, Vec::new());
    for folder in &folders {
        let outcome = best(folder);
        let line = format!("{}: {outcome}", folder.file_name().unwrap_or_default().display());
        match outcome {
            Outcome::Wrong(_) => wrong.push(line),
            outcome if outcome.passes() => passed += 1,
            _ => println!("{line}"),
        }
    }
    println!("{passed} of {} published models pass", folders.len());
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(folders.len() < ALL_CASES || passed >= PASS, "{passed} pass, {PASS} did before");
}

/// Nine networks of full size, whose weights are made of shapes: minutes, most of them for the golden vectors.
#[test]
#[ignore = "takes minutes"]
fn light_models_match_onnx_runtime() {
    let folders = folders("light");
    let mut wrong = Vec::new();
    for folder in &folders {
        let start = std::time::Instant::now();
        let outcome = guarded(&Case::read(folder), Form::AsIs);
        let line = format!("{}: {outcome}", folder.file_name().unwrap_or_default().display());
        println!("{line}, {} s", start.elapsed().as_secs());
        if !outcome.passes() {
            wrong.push(line);
        }
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}
