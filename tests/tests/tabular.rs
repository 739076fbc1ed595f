//! Tabular models of every framework in artifacts give what the framework gave, all rows together and each by itself.
//!
//! `EKIBEN_TABULAR_FILTER=suite/name` chooses cases, `EKIBEN_TABULAR=FOLDER` adds suites that are too large for the repository.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ekiben::bundle::ModelFormat;
use ekiben::frontend::{self, OpenOptions};
use ekiben_tests::case::Tensor;
use ekiben_tests::model::{Compiled, row};
use ekiben_tests::tabular::{TabularCase, arrange, cases, suites};

/// Every such row is also run by itself.
const ALONE_EVERY: usize = 17;

/// What a case gave: the number of rows compared.
fn check(case: &TabularCase) -> Result<usize, String> {
    let format = ModelFormat::of(&case.model);
    let model =
        frontend::open(format, &case.model, &OpenOptions::default()).map_err(|error| format!("{format:?}: {error}"))?;
    let names: Vec<String> = model.inputs().into_iter().map(|input| input.name).collect();
    let inputs = arrange(&case.inputs, &names)?;
    let compiled = match inputs.as_slice() {
        [matrix] if matrix.shape.len() == 2 => Compiled::with_types(model.as_ref(), &[matrix.dtype]),
        _ => Compiled::of(model.as_ref()),
    };
    let mut compared = 0;
    for run in &case.runs {
        let got = compiled.run(&run.method, case.rows, &inputs);
        if got.len() != run.outputs.len() {
            return Err(format!("{}: {} outputs instead of {}", run.method, got.len(), run.outputs.len()));
        }
        for (index, (expected, got)) in run.outputs.iter().zip(&got).enumerate() {
            if let Some(difference) = expected.difference(got, run.tolerance) {
                return Err(format!("{}: output {index}: {difference}", run.method));
            }
        }
        for index in (0..case.rows).step_by(ALONE_EVERY) {
            let one: Vec<Tensor> = inputs.iter().map(|input| row(input, index)).collect();
            let alone = compiled.run(&run.method, 1, &one);
            if got.iter().zip(&alone).any(|(together, alone)| !same(&row(together, index), alone)) {
                return Err(format!("{}: row {index} by itself has another answer", run.method));
            }
        }
        compared += case.rows;
    }
    Ok(compared)
}

/// Bit for bit the same: results do not depend on the batch.
fn same(a: &Tensor, b: &Tensor) -> bool {
    (a.dtype, &a.shape, &a.elements) == (b.dtype, &b.shape, &b.elements)
}

#[test]
fn every_model_answers_as_its_framework_does() {
    let all: Vec<TabularCase> = suites().iter().flat_map(|archive| cases(archive)).collect();
    let (next, rows, problems) = (AtomicUsize::new(0), AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                while let Some(case) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let problem = match catch_unwind(AssertUnwindSafe(|| check(case))) {
                        Ok(Ok(compared)) => {
                            rows.fetch_add(compared, Ordering::Relaxed);
                            continue;
                        }
                        Ok(Err(problem)) => problem,
                        Err(panic) => panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".to_owned()),
                    };
                    problems.lock().expect("no panic above").push(format!("{}: {problem}", case.name));
                }
            });
        }
    });
    let mut problems = problems.into_inner().expect("no panic above");
    problems.sort();
    println!("{} models, {} answers to rows, {} models wrong", all.len(), rows.into_inner(), problems.len());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
