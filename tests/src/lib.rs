//! What the tests share: small artifacts, the reader of the fixtures, and the runner of models.

pub mod backend;
pub mod case;
pub mod exchange;
pub mod http;
pub mod lines;
pub mod model;
pub mod mojo;
pub mod suite;
pub mod tabular;

use std::collections::BTreeMap;

use ekiben::graph::Graph;
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::artifact::golden::{Source, VectorHead};
use ekiben_runtime::artifact::manifest::{Generation, Provenance};
use ekiben_runtime::artifact::{Extent, GoldenValues, GoldenVector, Manifest, emit};
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::transpose::{Permutation, Transpose};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Shape, TensorSpec};

/// Suites of tabular models, and the names of those that [`small_artifacts`] compiles.
const SMALL_TABLES: [(&str, &[&str]); 2] = [
    (
        "sklearn_tables_1_9.tar.gz",
        &[
            "missing",
            "one_hot",
            "count_stopped",
            "accents_ascii",
            "words_of_characters",
            "hashing_binary",
            "knn_distance",
        ],
    ),
    ("catboost.tar.gz", &["categories_cbm"]),
];

/// Model files of the fixtures that [`small_artifacts`] compiles, relative to the fixtures' folder.
const SMALL_MODELS: [&str; 39] = [
    "onnx/attention_convolution/model.onnx",
    "onnx/attention_layer/model.onnx",
    "onnx/attention_linear/model.onnx",
    "onnx/attention_mask/model.onnx",
    "onnx/attention_past/model.onnx",
    "onnx/attention_rotary/model.onnx",
    "onnx/image_conv_transpose_1d/model.onnx",
    "onnx/image_deform_conv/model.onnx",
    "onnx/image_grid_sample_2d/model.onnx",
    "onnx/image_max_pool_u8/model.onnx",
    "onnx/image_normalisation/model.onnx",
    "onnx/image_pool_indices_2d/model.onnx",
    "onnx/image_resize_antialias/model.onnx",
    "onnx/image_resize_channels/model.onnx",
    "onnx/image_roi_align/model.onnx",
    "onnx/indexing_cumsum_axis_input/model.onnx",
    "onnx/indexing_gather_nd_batch/model.onnx",
    "onnx/indexing_one_hot_first_axis/model.onnx",
    "onnx/indexing_reverse_sequence_batch/model.onnx",
    "onnx/indexing_scatter_elements_batch/model.onnx",
    "onnx/indexing_scatter_nd_pairs/model.onnx",
    "onnx/indexing_tf_idf/model.onnx",
    "onnx/indexing_top_k_ties_1/model.onnx",
    "onnx/indexing_trilu_1/model.onnx",
    "onnx_narrow/float16_weights/model.onnx",
    "onnx_narrow/n_bits_4_zeros/model.onnx",
    "onnx_narrow/uint4_blocks_zeros/model.onnx",
    "onnx_quantized/cnn_qdq_u8u8_channels/model.onnx",
    "onnx_quantized/explicit_u8/model.onnx",
    "onnx_quantized/mlp_dynamic_u8/model.onnx",
    "onnx/sound_dft_12/model.onnx",
    "onnx/sound_stft/model.onnx",
    "sklearn/v19_forest_classifier_text_labels/model.joblib",
    "sklearn/v19_tree_classifier_missing/model.joblib",
    "sklearn/v024_pipeline_scaler_logistic/model.joblib",
    "tflite/autoencoder_hybrid/model.tflite",
    "tflite/dilated_int8/model.tflite",
    "tflite/ds_cnn_hybrid/model.tflite",
    "tflite/odd_shapes_float/model.tflite",
];

/// Artifacts of a few kilobytes that together use every kind of section and many operators.
pub fn small_artifacts() -> Vec<(String, Vec<u8>)> {
    let mut artifacts = vec![("perceptron".to_owned(), perceptron())];
    for model in SMALL_MODELS {
        let compiled = ekiben::compile::compile_path(&case::root().join(model), None);
        let compiled = compiled.unwrap_or_else(|error| panic!("{model}: {error}"));
        artifacts.push((model.to_owned(), compiled.bytes().to_vec()));
    }
    let suites = tabular::suites();
    let tables = SMALL_TABLES.iter().flat_map(|(suite, names)| {
        let archive = suites.iter().find(|path| path.ends_with(suite)).expect("the suite");
        let is_small = |name: &str| names.iter().any(|small| name.ends_with(&format!("/{small}")));
        tabular::cases(archive).into_iter().filter(move |case| is_small(&case.name))
    });
    for case in tables {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.pkl");
        std::fs::write(&path, &case.model).expect("a file");
        let compiled = ekiben::compile::compile_path(&path, None);
        let compiled = compiled.unwrap_or_else(|error| panic!("{}: {error}", case.name));
        artifacts.push((case.name, compiled.bytes().to_vec()));
    }
    artifacts
}

/// A two-layer perceptron on a symbolic batch, with a golden vector.
fn perceptron() -> Vec<u8> {
    let mut graph = Graph::new();
    let x = graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 6], Some(0)).expect("two axes")));
    let weights: Vec<f32> = (0..24).map(|i| (i as f32 * 0.37).sin()).collect();
    let w = graph.add_constant("w", DType::F32, &[6, 4], &weights).expect("24 weights");
    let h = graph.add("dense", MatMul { transpose_b: false }, &[x, w]).expect("shapes fit");
    let square = TensorSpec::new(DType::F32, Shape::new(&[1, 2, 2], Some(0)).expect("three axes"));
    let r = graph.add_declared("reshape", Reshape, &[h], square).expect("as many elements");
    let perm = Permutation::new(&[0, 2, 1]).expect("a permutation");
    let t = graph.add("transpose", Transpose { perm }, &[r]).expect("three axes");
    let s = graph.add("add", Binary { kind: BinaryKind::Add }, &[r, t]).expect("equal shapes");
    let y = graph.add("tanh", Unary::of(UnaryKind::Tanh), &[s]).expect("floats");
    graph.add_output(y);
    let arena = plan(&graph).expect("a small graph");
    assert_ne!(arena.extent, Extent::default());
    let mut parts = artifact_parts(&[PlannedApi { name: "predict", graph: &graph, plan: &arena }]);
    let head = VectorHead { api: 0, source: Source::Reference, rows: 2, absolute: 1e-6, relative: 1e-5 };
    let inputs = vec![GoldenValues::Seeded(7, -1.0, 1.0)];
    parts.golden.push(GoldenVector { head, inputs, outputs: vec![vec![0; 32]] });
    let manifest = Manifest {
        name: "perceptron".to_owned(),
        version: String::new(),
        generation: Generation::Bare,
        description: String::new(),
        labels: BTreeMap::new(),
        provenance: Provenance::default(),
        apis: Vec::new(),
        documents: Default::default(),
    };
    parts.manifest = manifest.to_cbor().expect("a small manifest");
    emit(&parts).expect("a small artifact")
}
