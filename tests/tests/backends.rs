//! The same artifact gives the same result on this machine and on every backend that `EKIBEN_BACKENDS` names;
//! `scripts/test-emulated.sh` sets it.

use ekiben_runtime::session::ArenaBuffer;
use ekiben_runtime::{Artifact, Executor};
use ekiben_tests::backend::Backend;
use ekiben_tests::small_artifacts;

/// Relative tolerance: instruction sets may round the last bits of a float differently.
const TOLERANCE: f32 = 1e-6;

/// Inputs of API 0 for `rows` rows, all different, and the outputs on this machine.
fn reference(bytes: &[u8], rows: usize) -> (Vec<u8>, Vec<u8>) {
    let (mut model, mut arena) = (ArenaBuffer::default(), ArenaBuffer::default());
    let model = &mut model.get(bytes.len())[..bytes.len()];
    model.copy_from_slice(bytes);
    let artifact = Artifact::parse(model).expect("a valid artifact");
    let arena = arena.get(artifact.arena_bytes(0, rows).expect("an API"));
    let mut executor = Executor::new(&artifact, 0, rows, arena).expect("an executor");
    let mut inputs = Vec::new();
    for (index, value) in executor.input_mut::<f32>(0).expect("a float input").iter_mut().enumerate() {
        *value = index as f32 * 0.25 - 1.0;
        inputs.extend(value.to_le_bytes());
    }
    executor.run().expect("a run");
    (inputs, executor.output_view(0).expect("an output").bytes.to_vec())
}

fn floats(bytes: &[u8]) -> impl Iterator<Item = f32> {
    bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes))
}

fn check(backend: Backend, name: &str, artifact: &[u8], rows: usize) {
    let (inputs, expected) = reference(artifact, rows);
    let place = format!("{name} on {}, {rows} rows", backend.name());
    let actual = backend.run(artifact, 0, rows, &inputs).unwrap_or_else(|error| panic!("{place}: {error}"));
    assert_eq!(actual.len(), expected.len(), "{place}");
    for (actual, expected) in floats(&actual).zip(floats(&expected)) {
        let close = (actual - expected).abs() <= TOLERANCE * expected.abs().max(1.0);
        assert!(close, "{place}: {actual} where {expected} is expected");
    }
}

#[test]
fn small_artifacts_give_the_same_results_everywhere() {
    for (name, artifact) in small_artifacts() {
        for rows in [1, 3] {
            assert!(!reference(&artifact, rows).1.is_empty(), "{name} has an output");
            Backend::selected().into_iter().for_each(|backend| check(backend, &name, &artifact, rows));
        }
    }
}

#[test]
fn a_backend_says_why_it_did_not_run() {
    for backend in Backend::selected() {
        let error = backend.run(&[b'?'; 64], 0, 1, &[]).expect_err("no artifact");
        assert_eq!(error, "run-artifact: not an Ekiben artifact", "{}", backend.name());
    }
}
