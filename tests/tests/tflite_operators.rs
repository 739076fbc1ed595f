//! Every TFLite operator in every arithmetic against LiteRT's reference kernels: integers bit for bit, floats nearly.
//!
//! Each case goes the whole way: compiled to an artifact, loaded, executed. Where the artifact has a batch, all runs are also made
//! at once, one row (or more) each.

use std::collections::BTreeMap;
use std::fs;

use ekiben::compile::compile_path;
use ekiben::graph::AlignedBytes;
use ekiben_runtime::{Artifact, Executor};
use ekiben_tests::case::{Elements, Tensor, Tolerance};
use ekiben_tests::suite::{OperatorCase, operator_cases};

/// Floats: the kernels call other functions than LiteRT for exponentials and the like.
const TOLERANCE: Tolerance = Tolerance { absolute: 1e-6, relative: 2e-6 };

/// Cases that are refused, `OPERATOR/name`, where `*` at the end stands for any rest.
const REFUSED: [&str; 1] = ["SOFTMAX/int8_to_int16_*"];

/// What became of a case.
enum Outcome {
    Right,
    Refused(String),
    Wrong(String),
}

fn run(case: &OperatorCase) -> Outcome {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.tflite");
    fs::write(&path, &case.model).expect("a file");
    let compiled = match compile_path(&path, None) {
        Ok(compiled) => compiled,
        Err(error) => return Outcome::Refused(error.to_string()),
    };
    let artifact = Artifact::parse(compiled.bytes()).expect("a sound artifact");
    let api = artifact.api(0).expect("an API");
    if let Err(reason) = compare(&artifact, 1, &case.runs) {
        return Outcome::Wrong(reason);
    }
    if api.fixed_rows == 0 {
        let stack = |side: usize| {
            let tensors = 0..case.runs[0][side].len();
            tensors.map(|index| stacked(case.runs.iter().map(|run| &run[side][index]))).collect::<Vec<_>>()
        };
        if let Err(reason) = compare(&artifact, case.runs.len(), &[[stack(0), stack(1)]]) {
            return Outcome::Wrong(format!("as a batch: {reason}"));
        }
    }
    Outcome::Right
}

/// Tensors of one shape after each other along the first axis.
fn stacked<'a>(tensors: impl Iterator<Item = &'a Tensor>) -> Tensor {
    let mut tensors = tensors.cloned();
    let mut all = tensors.next().expect("a run");
    let (mut bytes, mut count) = (all.bytes().to_vec(), 1);
    for tensor in tensors {
        bytes.extend(tensor.bytes());
        count += 1;
    }
    if let Some(first) = all.shape.first_mut() {
        *first *= count;
    }
    Tensor { elements: Elements::Bytes(bytes), ..all }
}

/// Makes the runs on one executor, each on `rows` rows, and compares its outputs; then once more after a reset.
fn compare(artifact: &Artifact<'_>, rows: usize, runs: &[[Vec<Tensor>; 2]]) -> Result<(), String> {
    let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(0, rows).expect("an arena"));
    let mut executor = Executor::new(artifact, 0, rows, arena.as_mut_slice()).map_err(|error| error.to_string())?;
    for pass in ["", "after a reset: "] {
        for (number, [inputs, outputs]) in runs.iter().enumerate() {
            run_once(&mut executor, inputs, outputs).map_err(|error| format!("{pass}run {number}: {error}"))?;
        }
        executor.reset().map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn run_once(executor: &mut Executor<'_, '_>, inputs: &[Tensor], outputs: &[Tensor]) -> Result<(), String> {
    for (index, input) in inputs.iter().enumerate() {
        let view = executor.input_view(index).map_err(|error| error.to_string())?;
        if (view.spec.dtype, &view.dims[..]) != (input.dtype, &input.shape[..]) {
            return Err(format!("input {index} is {} {:?}", view.spec.dtype, &view.dims[..]));
        }
        view.bytes.copy_from_slice(input.bytes());
    }
    executor.run().map_err(|error| error.to_string())?;
    for (index, output) in outputs.iter().enumerate() {
        let view = executor.output_view(index).map_err(|error| error.to_string())?;
        let elements = Elements::Bytes(view.bytes.to_vec());
        let got = Tensor { name: String::new(), dtype: view.spec.dtype, shape: view.dims.to_vec(), elements };
        if let Some(difference) = output.difference(&got, TOLERANCE) {
            return Err(format!("output {index}: {difference}"));
        }
    }
    Ok(())
}

/// Whether a case may be refused: listed by its name, or by a pattern where `patterns`.
fn is_listed(case: &OperatorCase, patterns: bool) -> bool {
    let name = format!("{}/{}", case.operator, case.name);
    REFUSED.iter().any(|pattern| match pattern.strip_suffix('*') {
        Some(start) => patterns && name.starts_with(start),
        None => name == *pattern,
    })
}

#[test]
fn every_operator_agrees_with_litert() {
    let only = std::env::var("EKIBEN_TFLITE_OPERATOR").ok();
    let cases = operator_cases();
    let mut table: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut problems = Vec::new();
    for case in cases.iter().filter(|case| only.as_ref().is_none_or(|only| *only == case.operator)) {
        let counts = table.entry(&case.operator).or_default();
        let place = format!("{}/{}", case.operator, case.name);
        match run(case) {
            Outcome::Right => {
                counts[0] += 1;
                if is_listed(case, false) {
                    problems.push(format!("{place}: listed as refused, but right"));
                }
            }
            Outcome::Refused(reason) => {
                counts[1] += 1;
                if !is_listed(case, true) {
                    problems
                        .push(format!("{place}: refused: {}", reason.split_whitespace().collect::<Vec<_>>().join(" ")));
                }
            }
            Outcome::Wrong(reason) => {
                counts[2] += 1;
                problems.push(format!("{place}: WRONG: {reason}"));
            }
        }
    }
    for (operator, [right, refused, wrong]) in &table {
        println!("{operator:<32} {right:>4} right {refused:>4} refused {wrong:>4} wrong");
    }
    let total = table.values().fold([0; 3], |sum, counts| [0, 1, 2].map(|i| sum[i] + counts[i]));
    println!("{} cases: {} right, {} refused, {} wrong", total.iter().sum::<usize>(), total[0], total[1], total[2]);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}
