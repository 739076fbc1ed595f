//! Arenas of the MLPerf Tiny models and of the fixtures' models: no larger than promised, and as docs/memory.md says.
//!
//! `EKIBEN_MLPERF_TINY` names the folder of the former. With `EKIBEN_UPDATE_DOCS` the table of docs/memory.md is written anew.

use std::path::Path;

use ekiben::compile::{CompiledArtifact, compile_path};
use ekiben_runtime::Artifact;
use ekiben_tests::case::mlperf_models;

/// A model of MLPerf Tiny.
struct Reference {
    name: &'static str,
    file: &'static str,
    /// The most that its arena may take for one row.
    limit: usize,
    /// The arena of TensorFlow Lite Micro (90b983c2b, CMSIS-NN, Cortex-M4).
    tflite_micro: usize,
}

const REFERENCES: [Reference; 4] = [
    Reference { name: "keyword spotting", file: "kws_ref_model.tflite", limit: 16_000, tflite_micro: 22_820 },
    Reference {
        name: "image classification",
        file: "pretrainedResnet_quant.tflite",
        limit: 32_768,
        tflite_micro: 54_996,
    },
    Reference { name: "visual wake words", file: "vww_96_int8.tflite", limit: 55_296, tflite_micro: 100_708 },
    Reference { name: "anomaly detection", file: "ad01_int8.tflite", limit: 768, tflite_micro: 2_580 },
];

fn compile(path: &Path) -> CompiledArtifact {
    compile_path(path, None).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn arenas_of_mlperf_tiny_keep_their_limits() {
    let Some(folder) = mlperf_models() else { return };
    let mut rows = Vec::new();
    for reference in &REFERENCES {
        let path = folder.join(reference.file);
        if !path.exists() {
            println!("{}: there is no {}", reference.name, reference.file);
            continue;
        }
        let compiled = compile(&path);
        let artifact = Artifact::parse(compiled.bytes()).expect("a sound artifact");
        let arena = artifact.arena_bytes(0, 1).expect("an arena");
        println!("{}: {arena}, limit {}, TFLite Micro {}", reference.name, reference.limit, reference.tflite_micro);
        assert!(arena <= reference.limit, "{}: {arena} bytes, {} at most", reference.name, reference.limit);
        rows.push(arena);
    }
}
