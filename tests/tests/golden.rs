//! Artifacts of the past still load and prove themselves: the format's promise to devices in the field.
//!
//! `tests/golden` holds artifacts as released. From the first release on they are never regenerated, only added to; until then one is
//! replaced when an operator that it uses is.
//! `EKIBEN_ADD_GOLDEN=1 cargo test -p ekiben-tests --test golden` writes those that are missing.

use std::fs;
use std::path::PathBuf;

use ekiben::graph::AlignedBytes;
use ekiben_runtime::Artifact;
use ekiben_runtime::executor::self_test::{self_test, self_test_arena_bytes};

/// Name of each artifact, and the fixture that it was compiled from.
const ARTIFACTS: [(&str, &str); 11] = [
    ("v1-forest.ekb", "bentos/v013_sklearn_iris_rf/bundle"),
    ("v1-onnx-linear.ekb", "bentos/v14_onnx_iris/bundle"),
    ("v1-text-labels.ekb", "sklearn/v19_forest_classifier_text_labels/model.joblib"),
    ("v1-int8.ekb", "tflite/ds_cnn_int8/model.tflite"),
    ("v1-recurrent.ekb", "onnx/recurrent_lstm_peepholes/model.onnx"),
    ("v1-qdq.ekb", "onnx_quantized/explicit_u8/model.onnx"),
    ("v1-qlinear.ekb", "onnx_quantized/cnn_qoperator_u8u8/model.onnx"),
    ("v1-dynamic-quantization.ekb", "onnx_quantized/mlp_dynamic_u8/model.onnx"),
    ("v1-weights-of-4-bits.ekb", "onnx_narrow/n_bits_4_zeros/model.onnx"),
    ("v1-table.ekb", "bentos/v013_sklearn_passengers/bundle"),
    ("v1-terms.ekb", "bentos/v013_sklearn_reviews/bundle"),
];

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden")
}

#[test]
fn artifacts_of_the_past_load_and_pass_their_self_test() {
    for (name, source) in ARTIFACTS {
        let path = folder().join(name);
        if !path.exists() && std::env::var_os("EKIBEN_ADD_GOLDEN").is_some() {
            let compiled = ekiben::compile::compile_path(&ekiben_tests::case::root().join(source), None).unwrap();
            fs::write(&path, compiled.bytes()).unwrap();
        }
        let bytes = fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let bytes = AlignedBytes::from(bytes.as_slice());
        let artifact = Artifact::parse(bytes.as_slice()).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut arena = AlignedBytes::zeroed(self_test_arena_bytes(&artifact).unwrap());
        let report = self_test(&artifact, arena.as_mut_slice()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(report.total() > 0, "{name} holds no golden vector");
    }
}

#[test]
fn compiling_twice_gives_the_same_bytes() {
    for (name, source) in ARTIFACTS {
        let source = ekiben_tests::case::root().join(source);
        let first = ekiben::compile::compile_path(&source, None).unwrap();
        let second = ekiben::compile::compile_path(&source, None).unwrap();
        assert!(first.bytes() == second.bytes(), "{name}");
    }
}
