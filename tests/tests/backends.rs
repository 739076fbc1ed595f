//! The same artifact gives the same bits on this machine and on every backend that `EKIBEN_BACKENDS` names;
//! `scripts/test-emulated.sh` sets it. Cases are written once: every model of the fixtures, and the MLPerf Tiny models where they are.

use std::path::Path;

use ekiben::compile::compile_path;
use ekiben_runtime::artifact::golden::{fill, sample_ranges};
use ekiben_runtime::ops::{OpError, Problem};
use ekiben_runtime::session::ArenaBuffer;
use ekiben_runtime::tensor::TensorSpec;
use ekiben_runtime::{Artifact, DType, Error, Executor};
use ekiben_tests::backend::Backend;
use ekiben_tests::case::{group, mlperf_models, root};
use ekiben_tests::small_artifacts;

/// Rows of the runs of a model that can be batched. Three differ from one in every offset and stride.
const ROWS: [usize; 2] = [1, 3];

/// Seed of the first input; each further one adds one.
const SEED: u64 = 0xBAC0;

/// A run on this machine: an API's inputs and outputs for a number of rows.
struct Reference {
    api: usize,
    rows: usize,
    inputs: Vec<u8>,
    outputs: Vec<u8>,
    specs: Vec<TensorSpec>,
}

fn aligned<'a>(bytes: &[u8], memory: &'a mut ArenaBuffer) -> &'a [u8] {
    let copy = &mut memory.get(bytes.len())[..bytes.len()];
    copy.copy_from_slice(bytes);
    copy
}

/// Runs every API on this machine, on synthetic inputs.
fn references(bytes: &[u8], batches: &[usize]) -> Vec<Reference> {
    let mut memory = ArenaBuffer::default();
    let artifact = Artifact::parse(aligned(bytes, &mut memory)).expect("a sound artifact");
    let mut all = Vec::new();
    for api in 0..artifact.api_count() {
        let fixed = [artifact.api(api).expect("an API").fixed_rows as usize];
        let batches = if fixed == [0] { batches } else { &fixed };
        all.extend(batches.iter().map(|&rows| reference(&artifact, api, rows)));
    }
    all
}

fn reference(artifact: &Artifact<'_>, api: usize, rows: usize) -> Reference {
    let mut arena = ArenaBuffer::default();
    let arena = arena.get(artifact.arena_bytes(api, rows).expect("an arena"));
    let mut executor = Executor::new(artifact, api, rows, arena).expect("an executor");
    // Batches differ in their values too.
    let mut inputs = draw(artifact, &mut executor, |dtype, categories| {
        let ranges = sample_ranges(dtype, categories);
        ranges[rows % ranges.len()]
    });
    // A run may write over its inputs: it is repeated on new ones only.
    let mut outcome = executor.run();
    if let Err(Error::Step { error: OpError::Input { problem: Problem::Value, .. }, .. }) = outcome {
        // An index outside its axis: 0 is inside of every one.
        let from_zero = |dtype: DType, categories| {
            if dtype.is_integer() { (0.0, 0.0) } else { sample_ranges(dtype, categories)[0] }
        };
        inputs = draw(artifact, &mut executor, from_zero);
        outcome = executor.run();
    }
    outcome.expect("a run");
    let (mut outputs, mut specs) = (Vec::new(), Vec::new());
    for index in 0..executor.api().outputs.into() {
        let view = executor.output_view(index).expect("an output");
        outputs.extend_from_slice(view.bytes);
        specs.push(view.spec);
    }
    Reference { api, rows, inputs, outputs, specs }
}

/// Fills the inputs with values between the ends of `range`, and returns their bytes.
fn draw(
    artifact: &Artifact<'_>,
    executor: &mut Executor<'_, '_>,
    range: impl Fn(DType, usize) -> (f64, f64),
) -> Vec<u8> {
    let mut inputs = Vec::new();
    for index in 0..executor.api().inputs.into() {
        let view = executor.input_view(index).expect("an input");
        let categories = view.spec.table.and_then(|table| artifact.strings().list_len(table)).unwrap_or(0);
        let (low, high) = range(view.spec.dtype, categories as usize);
        fill(SEED + index as u64, low, high, view.spec.dtype, view.bytes);
        inputs.extend_from_slice(view.bytes);
    }
    inputs
}

/// The bytes of outputs with every NaN made the same: instruction sets differ in the sign and payload of those that they make.
fn canonical(reference: &Reference, outputs: &[u8]) -> Vec<u8> {
    let mut bytes = outputs.to_vec();
    let mut start = 0;
    for spec in &reference.specs {
        let rows = if spec.shape.is_batched() { reference.rows } else { 1 };
        let length = spec.bytes().expect("a size") as usize * rows;
        let part = &mut bytes[start..start + length];
        start += length;
        match spec.dtype {
            DType::F32 => {
                let nan = |element: &&mut [u8; 4]| f32::from_le_bytes(**element).is_nan();
                part.as_chunks_mut().0.iter_mut().filter(nan).for_each(|element| *element = f32::NAN.to_le_bytes());
            }
            DType::F64 => {
                let nan = |element: &&mut [u8; 8]| f64::from_le_bytes(**element).is_nan();
                part.as_chunks_mut().0.iter_mut().filter(nan).for_each(|element| *element = f64::NAN.to_le_bytes());
            }
            _ => {}
        }
    }
    assert_eq!(start, bytes.len());
    bytes
}

/// Compares every run on every selected backend with this machine's. Returns the number of comparisons.
fn check(name: &str, artifact: &[u8], batches: &[usize]) -> usize {
    let backends = Backend::selected();
    let references = references(artifact, batches);
    assert!(!references.is_empty(), "{name} has no API");
    for reference in &references {
        assert!(!reference.outputs.is_empty(), "{name} has no output");
        for backend in &backends {
            let place = format!("{name} on {}, API {}, {} rows", backend.name(), reference.api, reference.rows);
            let outcome = backend.run(artifact, reference.api, reference.rows, &reference.inputs);
            let outcome = outcome.unwrap_or_else(|error| panic!("{place}: {error}"));
            println!("{place}: {}", outcome.figures);
            assert_eq!(outcome.outputs.len(), reference.outputs.len(), "{place}");
            let (expected, actual) = (canonical(reference, &reference.outputs), canonical(reference, &outcome.outputs));
            let differs = expected.iter().zip(&actual).position(|(expected, actual)| expected != actual);
            assert_eq!(differs, None, "{place}: first byte that differs");
        }
    }
    references.len() * backends.len()
}

fn check_model(name: &str, model: &Path, batches: &[usize]) -> usize {
    let compiled = compile_path(model, None).unwrap_or_else(|error| panic!("{name}: {error}"));
    check(name, compiled.bytes(), batches)
}

/// Every model of a group of fixtures.
fn check_group(name: &str) {
    let mut compared = 0;
    for case in group(name) {
        if case.json.get("unsupported").is_none() {
            compared += check_model(&case.name(), &case.path("model").expect("a model"), &ROWS);
        }
    }
    println!("{name}: {compared} runs compared");
}

#[test]
fn small_artifacts_give_the_same_bits_everywhere() {
    for (name, artifact) in small_artifacts() {
        check(&name, &artifact, &ROWS);
    }
}

/// Forests of narrow and of shared leaves, f32 and f64 features, regression, classes and texts; few enough for a processor without
/// a floating-point unit.
#[test]
fn forests_give_the_same_bits_everywhere() {
    let folder = root().join("sklearn");
    for name in [
        "v024_extra_tree_regressor",
        "v024_forest_classifier_text_labels",
        "v024_forest_regressor_two_outputs",
        "v024_tree_classifier_far_thresholds",
    ] {
        check_model(name, &folder.join(name).join("model.joblib"), &ROWS);
    }
}

#[test]
fn tflite_models_give_the_same_bits_everywhere() {
    check_group("tflite");
}

#[test]
fn onnx_models_give_the_same_bits_everywhere() {
    check_group("onnx");
}

#[test]
fn quantized_and_narrow_onnx_models_give_the_same_bits_everywhere() {
    check_group("onnx_quantized");
    check_group("onnx_narrow");
}

#[test]
fn mlperf_tiny_models_give_the_same_bits_everywhere() {
    let Some(folder) = mlperf_models() else { return };
    for case in group("mlperf") {
        check_model(&case.name(), &folder.join(case.text("model")), &ROWS[..1]);
    }
}

#[test]
fn a_backend_says_why_it_did_not_run() {
    for backend in Backend::selected() {
        let error = backend.run(&[b'?'; 64], 0, 1, &[]).expect_err("no artifact");
        assert_eq!(error, "run-artifact: not an Ekiben artifact", "{}", backend.name());
    }
}
