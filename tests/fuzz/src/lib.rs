//! What every fuzz target does with the bytes that it is given.

use ekiben::bundle::ModelFormat;
use ekiben::frontend::{self, OpenOptions};
use ekiben::graph::{AlignedBytes, Graph};
use ekiben::passes::optimise;
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::artifact::emit;
use ekiben_runtime::{Artifact, Executor};

pub use libfuzzer_sys::fuzz_target;

/// The largest arena that is provided to run what compiles, in bytes.
const MAX_ARENA: usize = 64 << 20;

/// Reads a file as `format`, whatever its content, and takes what is not refused through the compiler to one row of zeros.
///
/// # Panics
/// When an artifact that was written does not load. Anything else that panics is a bug just as well.
pub fn compile(format: ModelFormat, bytes: &[u8]) {
    let Ok(model) = frontend::open(format, bytes, &OpenOptions::default()) else { return };
    let mut graph = Graph::new();
    let inputs: Vec<_> = model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
    let Some(method) = model.methods().first() else { return };
    let Ok(outputs) = model.call(&mut graph, method, &inputs) else { return };
    outputs.iter().for_each(|output| graph.add_output(output.tensor));
    let Ok(graph) = optimise(&graph) else { return };
    let Ok(arena) = plan(&graph) else { return };
    let parts = artifact_parts(&[PlannedApi { name: "run", graph: &graph, plan: &arena }]);
    let Ok(artifact) = emit(&parts) else { return };
    load(&artifact, true);
}

/// Loads an artifact and runs one row of zeros.
///
/// # Panics
/// When the artifact `must_load` and does not.
pub fn load(bytes: &[u8], must_load: bool) {
    let artifact = AlignedBytes::from(bytes);
    let artifact = match Artifact::parse(artifact.as_slice()) {
        Ok(artifact) => artifact,
        Err(error) if must_load => panic!("what was written does not load: {error}"),
        Err(_) => return,
    };
    if let Some(bytes) = artifact.arena_bytes(0, 1).filter(|&bytes| bytes <= MAX_ARENA) {
        let mut arena = AlignedBytes::zeroed(bytes);
        if let Ok(mut executor) = Executor::new(&artifact, 0, 1, arena.as_mut_slice()) {
            // Data may be refused.
            let _ = executor.run();
        }
    }
}

/// The target of the reader of one format: `ekiben_fuzz::reader!(Onnx);`.
#[macro_export]
macro_rules! reader {
    ($format:ident) => {
        $crate::fuzz_target!(|bytes: &[u8]| $crate::compile(::ekiben::bundle::ModelFormat::$format, bytes));
    };
}
