//! Models as exporters write them, against ONNX Runtime: each compiles, and differs by no more than its case allows of an output's range.
//!
//! `EKIBEN_ZOO` names the folder that `tests/long/zoo/zoo.py` has written. With `EKIBEN_ZOO_FILTER` only the models whose names contain
//! that text run.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ekiben::compile::{CompiledArtifact, compile_path};
use ekiben::graph::AlignedBytes;
use ekiben_runtime::{Artifact, Executor};
use ekiben_tests::case::{Case, Elements, Run, Tensor};

/// Names the folder of the models.
const FOLDER: &str = "EKIBEN_ZOO";
/// Part of the names of the models to run.
const FILTER: &str = "EKIBEN_ZOO_FILTER";

/// What a model took, and the largest difference over an output's range.
struct Figures {
    artifact: usize,
    arena: usize,
    compiling: Duration,
    running: Duration,
    difference: f64,
}

#[test]
fn every_model_gives_the_answers_of_onnx_runtime() {
    let Some(folder) = std::env::var_os(FOLDER).map(PathBuf::from) else {
        eprintln!("skipped: {FOLDER} is not set");
        return;
    };
    let filter = std::env::var(FILTER).unwrap_or_default();
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut folders: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    folders.retain(|folder| folder.join("case.json").exists() && folder.to_string_lossy().contains(&filter));
    folders.sort();
    let mut failures = Vec::new();
    println!("| model | artifact KiB | arena KiB, one row | compiling s | one run of two rows ms | difference |");
    println!("|---|---:|---:|---:|---:|---:|");
    for folder in &folders {
        let case = Case::read(folder.clone());
        match check(&case) {
            Ok(figures) => println!("| `{}` | {figures} |", case.name()),
            Err(reason) => {
                println!("| `{}` | fails |", case.name());
                failures.push(format!("{}: {reason}", case.name()));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {} models:\n{}", failures.len(), folders.len(), failures.join("\n"));
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { artifact, arena, compiling, running, difference } = self;
        let (compiling, running) = (compiling.as_secs_f64(), running.as_secs_f64() * 1e3);
        write!(f, "{} | {} | {compiling:.1} | {running:.0} | {difference:.1e}", artifact >> 10, arena >> 10)
    }
}

fn check(case: &Case) -> Result<Figures, String> {
    let model = case.path("model").expect("a model");
    let start = Instant::now();
    let compiled = compile_path(Path::new(&model), None).map_err(|error| error.to_string())?;
    let compiling = start.elapsed();
    let allowed = case.json["tolerance"]["of_range"].as_f64().expect("a tolerance");
    let artifact = Artifact::parse(compiled.bytes()).map_err(|error| error.to_string())?;
    let arena = artifact.arena_bytes(0, 1).ok_or("no arena")?;
    let mut figures =
        Figures { artifact: compiled.bytes().len(), arena, compiling, running: Duration::ZERO, difference: 0.0 };
    for run in case.runs() {
        let (outputs, running) = execute(&compiled, &run)?;
        figures.running = running;
        if outputs.len() != run.outputs.len() {
            return Err(format!("{} outputs instead of {}", outputs.len(), run.outputs.len()));
        }
        for (expected, got) in run.outputs.iter().zip(&outputs) {
            let difference = of_range(expected, got)?;
            figures.difference = figures.difference.max(difference);
            // A difference that is no number is too large as well.
            if difference.is_nan() || difference > allowed {
                return Err(format!("output {:?} differs by {difference:e} of its range", expected.name));
            }
        }
    }
    Ok(figures)
}

/// Outputs for a run's inputs, and the time they took.
fn execute(compiled: &CompiledArtifact, run: &Run) -> Result<(Vec<Tensor>, Duration), String> {
    let artifact = Artifact::parse(compiled.bytes()).map_err(|error| error.to_string())?;
    let api = artifact.api(0).ok_or("no API")?;
    let rows = match api.fixed_rows {
        0 => run.inputs[0].shape[0],
        rows => rows as usize,
    };
    let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(0, rows).ok_or("no arena")?);
    let mut executor = Executor::new(&artifact, 0, rows, arena.as_mut_slice()).map_err(|error| error.to_string())?;
    for (index, input) in run.inputs.iter().enumerate() {
        let view = executor.input_view(index).map_err(|error| error.to_string())?;
        if (view.spec.dtype, &view.dims[..]) != (input.dtype, &input.shape[..]) {
            return Err(format!("input {index} is {} {:?}", view.spec.dtype, &view.dims[..]));
        }
        view.bytes.copy_from_slice(input.bytes());
    }
    let start = Instant::now();
    executor.run().map_err(|error| error.to_string())?;
    let running = start.elapsed();
    let output = |index: usize| {
        let view = executor.output_view(index).map_err(|error| error.to_string())?;
        let elements = Elements::Bytes(view.bytes.to_vec());
        Ok(Tensor { name: String::new(), dtype: view.spec.dtype, shape: view.dims.to_vec(), elements })
    };
    let outputs = (0..usize::from(api.outputs)).map(output).collect::<Result<Vec<_>, String>>()?;
    Ok((outputs, running))
}

/// The largest difference between two tensors over the range of the expected one; integers must be equal.
fn of_range(expected: &Tensor, got: &Tensor) -> Result<f64, String> {
    if (expected.dtype, &expected.shape) != (got.dtype, &got.shape) {
        return Err(format!("{} {:?} instead of {} {:?}", got.dtype, got.shape, expected.dtype, expected.shape));
    }
    if !expected.dtype.is_float() {
        return if expected.elements == got.elements { Ok(0.0) } else { Err("integers differ".to_owned()) };
    }
    let (expected, got) = (expected.numbers(), got.numbers());
    let (low, high) = expected.iter().fold((f64::MAX, f64::MIN), |(low, high), &x| (low.min(x), high.max(x)));
    let range = if high > low { high - low } else { 1.0 };
    // `f64::max` would drop NaN.
    let largest = expected.iter().zip(&got).map(|(expected, got)| (expected - got).abs() / range);
    Ok(largest.fold(
        0.0,
        |largest, difference| if difference > largest || difference.is_nan() { difference } else { largest },
    ))
}
