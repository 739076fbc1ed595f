//! The cases that the Python package `onnx` generates for its operators, each compiled to an artifact and run by the executor, with
//! its inputs as they are and with those after the first made constant.
//!
//! `EKIBEN_ONNX_CASES` names the folder that `tests/fixtures/make/onnx_node_cases.py` has written. With `EKIBEN_ONNX_FILTER` only the
//! cases whose names contain that text run, and each one's outcome is printed. With `EKIBEN_UPDATE_DOCS` the table in
//! `docs/operators.md` is written anew. The suites of whole models are in [`suites`].

mod case;
mod outcome;
mod suites;
mod table;

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use case::{Case, Form};
use outcome::Outcome;

/// Names the folder of the cases.
const CASES: &str = "EKIBEN_ONNX_CASES";
/// Part of the names of the cases to run.
const FILTER: &str = "EKIBEN_ONNX_FILTER";
/// Asks for the table to be written.
const UPDATE: &str = "EKIBEN_UPDATE_DOCS";

/// How many cases there are, and the fewest that must pass: as they are, and with inputs after the first made constant. Raise the
/// last two when more pass.
const ALL_CASES: usize = 1884;
const PASS_AS_IS: usize = 1503;
const PASS_CONSTANT: usize = 1768;

/// How one case went in both forms.
struct Report {
    case: Case,
    outcomes: [Outcome; 2],
}

#[test]
fn every_case_passes_or_is_refused_by_name() {
    let Some(folder) = std::env::var_os(CASES).map(PathBuf::from) else {
        eprintln!("skipped: {CASES} is not set");
        return;
    };
    let filter = std::env::var(FILTER).ok();
    let reports = run_all(&folder, filter.as_deref());
    let wrong = reports.iter().flat_map(|report| {
        let forms = Form::ALL.iter().zip(&report.outcomes);
        forms.filter_map(|(form, outcome)| match outcome {
            Outcome::Wrong(reason) => Some(format!("{} ({}): {reason}", report.case.name, form.name())),
            _ => None,
        })
    });
    let wrong: Vec<_> = wrong.collect();
    let [as_is, constant] = [0, 1].map(|form| reports.iter().filter(|report| report.outcomes[form].passes()).count());
    println!("{} cases: {as_is} pass as is, {constant} with constants", reports.len());
    match filter {
        Some(_) => reports.iter().for_each(print),
        None => table::check(&reports, std::env::var_os(UPDATE).is_some()),
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    if filter.is_none() {
        assert_eq!(reports.len(), ALL_CASES, "cases");
        assert!(as_is >= PASS_AS_IS, "{as_is} pass as is, {PASS_AS_IS} did before");
        assert!(constant >= PASS_CONSTANT, "{constant} pass with constants, {PASS_CONSTANT} did before");
    }
}

fn print(report: &Report) {
    for (form, outcome) in Form::ALL.iter().zip(&report.outcomes) {
        println!("{} ({}): {outcome}", report.case.name, form.name());
    }
}

/// Runs the cases of a folder on all processors; reports in the order of names.
fn run_all(folder: &Path, filter: Option<&str>) -> Vec<Report> {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.retain(|folder| filter.is_none_or(|part| folder.to_string_lossy().contains(part)));
    folders.sort();
    let (next, reports) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let work = || {
        while let Some(folder) = folders.get(next.fetch_add(1, Ordering::Relaxed)) {
            let case = Case::read(folder);
            let outcomes = Form::ALL.map(|form| guarded(&case, form));
            reports.lock().expect("no panic while it is held").push(Report { case, outcomes });
        }
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    let mut reports = reports.into_inner().expect("no panic while it was held");
    reports.sort_by(|a, b| a.case.name.cmp(&b.case.name));
    reports
}

/// The outcome of one form; a panic is a wrong one.
fn guarded(case: &Case, form: Form) -> Outcome {
    let message = |panic: Box<dyn Any + Send>| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(panic) => panic.downcast_ref::<&str>().copied().unwrap_or("?").to_owned(),
    };
    let run = catch_unwind(AssertUnwindSafe(|| outcome::of(case, form)));
    run.unwrap_or_else(|panic| Outcome::Wrong(format!("panic: {}", message(panic))))
}
