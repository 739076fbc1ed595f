//! States: they live from run to run of one executor, begin as the model says, and nothing may touch their place.

use std::rc::Rc;

use ekiben::graph::{AlignedBytes, Graph, evaluate};
use ekiben::passes::optimise;
use ekiben::planner::plan;
use ekiben::writer::{PlannedApi, artifact_parts};
use ekiben_runtime::artifact::tensors::Place;
use ekiben_runtime::artifact::{ArtifactParts, emit};
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::{Artifact, DType, Executor, LoadError, Shape, TensorSpec};

/// A sum that begins with 10 and -10, a counter that begins with 0, and what the sum was before.
fn running_sum() -> Graph {
    let mut graph = Graph::new();
    let spec = TensorSpec::new(DType::F32, Shape::fixed(&[2]).expect("one axis"));
    let x = graph.add_input("x", spec);
    let bytes = |values: [f32; 2]| Rc::new(AlignedBytes::from(bytemuck::bytes_of(&values)));
    let sum = graph.add_state("sum", spec, bytes([10.0, -10.0])).expect("two elements");
    let count = graph.add_state("count", spec, bytes([0.0; 2])).expect("two elements");
    let one = graph.add_constant("one", DType::F32, &[2], &[1.0f32, 1.0]).expect("two elements");
    let next = graph.add("next", Binary { kind: BinaryKind::Add }, &[sum, x]).expect("equal shapes");
    let counted = graph.add("counted", Binary { kind: BinaryKind::Add }, &[count, one]).expect("equal shapes");
    let mean = graph.add("mean", Binary { kind: BinaryKind::Div }, &[next, counted]).expect("equal shapes");
    graph.set_next(sum, next).expect("the state's type");
    graph.set_next(count, counted).expect("the state's type");
    graph.add_output(mean);
    graph.add_output(counted);
    graph
}

fn parts(graph: &Graph) -> ArtifactParts {
    let arena = plan(graph).expect("a plan");
    artifact_parts(&[PlannedApi { name: "predict", graph, plan: &arena }])
}

fn bytes(parts: &ArtifactParts) -> AlignedBytes {
    AlignedBytes::from(emit(parts).expect("an artifact").as_slice())
}

fn mean(executor: &mut Executor<'_, '_>, x: [f32; 2]) -> Vec<f32> {
    executor.input_mut::<f32>(0).expect("an input").copy_from_slice(&x);
    executor.run().expect("a run");
    executor.output::<f32>(0).expect("an output").to_vec()
}

#[test]
fn states_live_from_run_to_run_until_they_are_reset() {
    for graph in [running_sum(), optimise(&running_sum()).expect("a graph")] {
        let first = evaluate(&graph, 1, &[bytemuck::bytes_of(&[2.0f32, 4.0])]).expect("a run");
        assert_eq!(first[0].as_slice(), bytemuck::bytes_of(&[12.0f32, -6.0]));
        let bytes = bytes(&parts(&graph));
        let artifact = Artifact::parse(bytes.as_slice()).expect("a sound artifact");
        let api = artifact.api(0).expect("an API");
        assert_eq!((api.states, api.fixed_rows), (2, 1));
        let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(0, 1).expect("an arena"));
        arena.as_mut_slice().fill(0xAA);
        let mut executor = Executor::new(&artifact, 0, 1, arena.as_mut_slice()).expect("an executor");
        for _ in 0..2 {
            assert_eq!(mean(&mut executor, [2.0, 4.0]), [12.0, -6.0]);
            assert_eq!(mean(&mut executor, [4.0, 8.0]), [8.0, 1.0]);
            assert_eq!(mean(&mut executor, [2.0, 1.0]), [6.0, 1.0]);
            executor.reset().expect("states");
        }
        mean(&mut executor, [2.0, 4.0]);
        let mut executor = Executor::resume(&artifact, 0, 1, arena.as_mut_slice()).expect("an executor");
        assert_eq!(mean(&mut executor, [4.0, 8.0]), [8.0, 1.0], "an executor that resumes finds the states");
        let mut executor = Executor::new(&artifact, 0, 1, arena.as_mut_slice()).expect("an executor");
        assert_eq!(mean(&mut executor, [2.0, 4.0]), [12.0, -6.0], "a new one begins anew");
    }
}

#[test]
fn nothing_may_overlap_a_state() {
    let sound = parts(&running_sum());
    let state = sound.apis[0].states[0].clone();
    let place = sound.tensors[state.state as usize].place;
    let refused = |parts: &ArtifactParts, what: &str| {
        let error = Artifact::parse(bytes(parts).as_slice()).map(|_| ()).expect_err(what);
        assert!(matches!(error, LoadError::Record { .. } | LoadError::Memory { .. }), "{what}: {error}");
    };
    for tensor in 0..sound.tensors.len() {
        if matches!(sound.tensors[tensor].place, Place::Arena { .. }) && tensor != state.state as usize {
            let mut parts = sound.clone();
            parts.tensors[tensor].place = place;
            refused(&parts, &format!("tensor {tensor} in the place of a state"));
        }
    }
    let mut parts = sound.clone();
    parts.apis[0].fixed_rows = 0;
    refused(&parts, "a state of any number of rows");
    let mut parts = sound.clone();
    parts.apis[0].states[0].initial = Some(state.next);
    refused(&parts, "a state that starts from what is computed");
    let mut parts = sound.clone();
    parts.tensors[state.state as usize].place = Place::Arena { offset: 1 << 20, per_row: 0 };
    refused(&parts, "a state outside the arena");
    let mut parts = sound.clone();
    parts.tensors[state.state as usize].place =
        parts.tensors[parts.apis[0].states[0].initial.expect("10 and -10") as usize].place;
    refused(&parts, "a state that is a constant");
}
