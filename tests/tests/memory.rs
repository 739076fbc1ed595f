//! Arenas of the MLPerf Tiny models and of the fixtures' models: those of TFLite no larger than docs/memory.md says.
//!
//! `EKIBEN_MLPERF_TINY` names the folder of the former. With `EKIBEN_UPDATE_DOCS` the tables of docs/memory.md are written anew.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use ekiben::compile::compile_path;
use ekiben::graph::{AlignedBytes, Graph, TensorId};
use ekiben::passes::optimise;
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_edge::arena_map::{ArenaMap, arena_map};
use ekiben_runtime::artifact::emit;
use ekiben_runtime::ops::conv2d::{Window, WindowAxis};
use ekiben_runtime::ops::quantized_conv2d::{QuantizedConv2d, Target};
use ekiben_runtime::ops::quantized_depthwise_conv2d::QuantizedDepthwiseConv2d;
use ekiben_runtime::{Artifact, DType, Shape, TensorSpec};
use ekiben_tests::case::{group, mlperf_models};

/// A model of MLPerf Tiny.
struct Reference {
    name: &'static str,
    /// Its file; `None` for the one that is not among the models, whose layers [`wake_words`] builds.
    file: Option<&'static str>,
    /// The most that its arena may take for one row.
    limit: u64,
    /// The arena of TensorFlow Lite Micro (90b983c2b, with CMSIS-NN, on a Cortex-M4).
    tflite_micro: u64,
}

const REFERENCES: [Reference; 4] = [
    Reference {
        name: "keyword spotting, DS-CNN",
        file: Some("kws_ref_model.tflite"),
        limit: 8_960,
        tflite_micro: 22_820,
    },
    Reference {
        name: "image classification, ResNet-8",
        file: Some("pretrainedResnet_quant.tflite"),
        limit: 32_768,
        tflite_micro: 54_996,
    },
    Reference { name: "visual wake words, MobileNetV1 0.25", file: None, limit: 55_296, tflite_micro: 100_708 },
    Reference {
        name: "anomaly detection, autoencoder",
        file: Some("ad01_int8.tflite"),
        limit: 768,
        tflite_micro: 2_580,
    },
];

const HEAD: &str = "\
# Memory

The arena is the only memory that a run writes: inputs, outputs, what lies between them, and scratch. Its size is known when an artifact is
compiled, and `ekiben inspect` shows for each step which bytes are read, written and kept. These tables are for one row, in bytes.
*In use* is the largest number of bytes in use at one step of the plan: no other places for the same steps can take less.
`EKIBEN_UPDATE_DOCS=1 cargo test -p ekiben-tests --test memory` writes this page.

## MLPerf Tiny, int8

TensorFlow Lite Micro is 90b983c2b with CMSIS-NN on a Cortex-M4; its arena also holds its interpreter's own state. The model of visual wake
words is not in the folder that the tests read: its layers are built from their shapes.

";

const FIXTURES: &str = "
## Models of the tests

From `tests/fixtures/tflite`, and the networks of `tests/fixtures/onnx`.

";

/// How the names of ONNX models begin that are more than an operator or two.
const NETWORKS: [&str; 3] = ["network_", "recurrent_torch_", "torch_"];

/// Where the tables are.
fn page() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/memory.md")
}

fn map_of(bytes: &[u8]) -> ArenaMap {
    let artifact = Artifact::parse(bytes).expect("a sound artifact");
    arena_map(&artifact, &artifact.api(0).expect("an API"))
}

fn map_of_file(path: &Path) -> Option<ArenaMap> {
    Some(map_of(compile_path(path, None).ok()?.bytes()))
}

fn constant(graph: &mut Graph, dtype: DType, dims: &[usize]) -> TensorId {
    let spec = TensorSpec::new(dtype, Shape::fixed(dims).expect("few axes"));
    let bytes = vec![1; spec.bytes().expect("a small constant") as usize];
    graph.add_constant_bytes("constant", spec, &bytes).expect("as many bytes")
}

const TARGET: Target = Target { zero: -128, low: -128, high: 127 };

fn convolution(graph: &mut Graph, x: TensorId, taps: usize, channels: usize, stride: u32) -> TensorId {
    let depth = graph.shape(x).factor(3).expect("channels");
    let depthwise = channels == 0;
    let channels = if depthwise { depth } else { channels };
    // Padding as TensorFlow's SAME on even lengths.
    let before = if taps == 1 || stride == 2 { 0 } else { 1 };
    let axis = WindowAxis { stride, dilation: 1, before, after: u32::from(taps == 3) };
    let window = Window { rows: axis, columns: axis };
    let dims = if depthwise { [1, taps, taps, depth] } else { [channels, taps, taps, depth] };
    let filters = constant(graph, DType::I8, &dims);
    let [bias, factors, shifts] = [channels, 1, 1].map(|count| constant(graph, DType::I32, &[count]));
    let inputs = [x, filters, bias, factors, shifts];
    let made = match depthwise {
        true => graph.add("depthwise", QuantizedDepthwiseConv2d { window, input_zero: -128, target: TARGET }, &inputs),
        false => graph.add("conv", QuantizedConv2d { window, groups: 1, input_zero: -128, target: TARGET }, &inputs),
    };
    made.expect("images")
}

/// The convolutions of MobileNetV1 0.25 on 96 by 96 pixels: what comes after them is smaller.
fn wake_words() -> ArenaMap {
    let mut graph = Graph::new();
    let image = TensorSpec::new(DType::I8, Shape::new(&[1, 96, 96, 3], Some(0)).expect("four axes"));
    let x = graph.add_input("image", image);
    let mut x = convolution(&mut graph, x, 3, 8, 2);
    let layers = [(16, 1), (32, 2), (32, 1), (64, 2), (64, 1), (128, 2)];
    for (channels, stride) in layers.into_iter().chain([(128, 1); 5]).chain([(256, 2), (256, 1)]) {
        x = convolution(&mut graph, x, 3, 0, stride);
        x = convolution(&mut graph, x, 1, channels, 1);
    }
    graph.add_output(x);
    let graph = optimise(&graph).expect("a sound graph");
    let plan = plan(&graph).expect("a plan");
    let parts = artifact_parts(&[PlannedApi { name: "predict", graph: &graph, plan: &plan }]);
    map_of(AlignedBytes::from(emit(&parts).expect("an artifact").as_slice()).as_slice())
}

/// Lines of the page's table that begin with these names, as it stands.
fn stated(page: &str, name: &str) -> Option<(String, u64)> {
    let line = page.lines().find(|line| line.starts_with(&format!("| {name} |")))?;
    Some((format!("{line}\n"), line.split('|').nth(2)?.trim().replace(',', "").parse().ok()?))
}

/// A number with commas between thousands.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

fn references(old: &str) -> String {
    let mut table = "| model | arena | in use | TFLite Micro |\n|---|---:|---:|---:|\n".to_owned();
    let folder = mlperf_models();
    for reference in &REFERENCES {
        let map = match reference.file {
            Some(file) => folder.as_ref().map(|folder| map_of_file(&folder.join(file)).expect("a model")),
            None => Some(wake_words()),
        };
        let Some(map) = map else {
            table.push_str(&stated(old, reference.name).expect("a line").0);
            continue;
        };
        println!("{}: {} bytes, {} in use", reference.name, map.bytes, map.lower_bound);
        assert!(map.bytes <= reference.limit, "{}: {} bytes", reference.name, map.bytes);
        let numbers = [map.bytes, map.lower_bound, reference.tflite_micro].map(thousands);
        let _ = writeln!(table, "| {} | {} |", reference.name, numbers.join(" | "));
    }
    table
}

fn fixtures(old: &str) -> String {
    let mut table = "| model | arena | in use | steps |\n|---|---:|---:|---:|\n".to_owned();
    for folder in ["tflite", "onnx"] {
        for case in group(folder) {
            let name = format!("{folder}/{}", case.name());
            if folder == "onnx" && !NETWORKS.iter().any(|prefix| case.name().starts_with(prefix)) {
                continue;
            }
            let Some(map) = case.path("model").and_then(|path| map_of_file(&path)) else { continue };
            if let Some((_, limit)) = stated(old, &name).filter(|&(_, limit)| map.bytes > limit) {
                println!("{name}: {} bytes, {limit} in docs/memory.md", map.bytes);
                assert_ne!(folder, "tflite", "{name}: {} bytes, {limit} at most", map.bytes);
            }
            let numbers = [map.bytes, map.lower_bound, map.steps.len() as u64].map(thousands);
            let _ = writeln!(table, "| {name} | {} |", numbers.join(" | "));
        }
    }
    table
}

#[test]
fn arenas_are_no_larger_than_the_page_says() {
    let old = std::fs::read_to_string(page()).unwrap_or_default();
    let new = format!("{HEAD}{}{FIXTURES}{}", references(&old), fixtures(&old));
    if new == old {
        return;
    }
    if std::env::var_os("EKIBEN_UPDATE_DOCS").is_some() {
        std::fs::write(page(), new).expect("a page");
    } else {
        println!("docs/memory.md is not up to date: set EKIBEN_UPDATE_DOCS=1 to write it");
    }
}
