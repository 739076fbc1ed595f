//! Turns planned graphs into an artifact: orders sections, shares equal constants, and calls the runtime's `emit`.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::rc::Rc;

use ekiben_runtime::artifact::tensors::{Place, TensorRecord};
use ekiben_runtime::artifact::{ApiParts, ArtifactParts, Extent, StateParts, StepParts};

use crate::graph::{AlignedBytes, Graph, TensorId};
use crate::planner::{ArenaPlan, Occupant};

/// Where in a section constants start.
const CONSTANT_ALIGNMENT: usize = 64;

/// One API to be written.
#[derive(Clone, Debug)]
pub struct PlannedApi<'a> {
    /// Name.
    pub name: &'a str,
    /// What it computes.
    pub graph: &'a Graph,
    /// Its arena.
    pub plan: &'a ArenaPlan,
}

/// Collects the parts of an artifact from planned graphs. The manifest and golden vectors are the caller's to add.
pub fn artifact_parts(apis: &[PlannedApi<'_>]) -> ArtifactParts {
    let mut writer = Writer::default();
    for api in apis {
        writer.add_api(api);
    }
    writer.parts
}

#[derive(Default)]
struct Writer {
    parts: ArtifactParts,
    /// Offset of each constant already stored, by section and value.
    stored: HashMap<(bool, Rc<AlignedBytes>), u64>,
}

impl Writer {
    fn add_api(&mut self, api: &PlannedApi<'_>) {
        let graph = api.graph;
        let mut records: HashMap<TensorId, u32> = HashMap::new();
        let in_tables = table_constants(graph);
        let nodes = api.plan.steps.iter().map(|step| &graph.nodes()[step.node]);
        let used = nodes.flat_map(|node| node.inputs.iter().flatten().chain(&node.outputs));
        for id in graph.sources().chain(graph.results()).chain(used.copied()) {
            if let Entry::Vacant(entry) = records.entry(id) {
                let record = self.tensor_record(graph, api.plan, id, in_tables.contains(&id));
                entry.insert(self.parts.tensors.len() as u32);
                self.parts.tensors.push(record);
            }
        }
        let states = self.states(graph, &records);
        let name = self.parts.strings.string(api.name);
        let mut steps = Vec::new();
        for step in &api.plan.steps {
            let node = &graph.nodes()[step.node];
            steps.push(StepParts {
                op: node.op,
                inputs: node.inputs.iter().map(|input| input.map(|id| records[&id])).collect(),
                outputs: node.outputs.iter().map(|id| records[id]).collect(),
                scratch: self.scratch_record(api.plan, step.node),
                in_place: step.in_place,
            });
        }
        let boundary = graph.inputs().iter().chain(graph.outputs());
        let batched = boundary.clone().any(|&id| graph.shape(id).is_batched());
        self.parts.apis.push(ApiParts {
            name,
            inputs: graph.inputs().iter().map(|id| records[id]).collect(),
            outputs: graph.outputs().iter().map(|id| records[id]).collect(),
            fixed_rows: (!batched).into(),
            arena: Extent { fixed: api.plan.extent.fixed, per_row: api.plan.extent.per_row },
            steps,
            states,
        });
    }

    /// The states, whose tensors are in `records`. What starts from zero needs no constant.
    fn states(&mut self, graph: &Graph, records: &HashMap<TensorId, u32>) -> Vec<StateParts> {
        let mut states = Vec::new();
        for state in graph.states() {
            let initial = state.initial.as_slice().iter().any(|&byte| byte != 0).then(|| {
                let place = self.constant_place(&state.initial, false);
                self.parts.tensors.push(TensorRecord { spec: graph.spec(state.tensor), place, name: None });
                self.parts.tensors.len() as u32 - 1
            });
            states.push(StateParts { state: records[&state.tensor], next: records[&state.next], initial });
        }
        states
    }

    fn tensor_record(&mut self, graph: &Graph, plan: &ArenaPlan, id: TensorId, in_tables: bool) -> TensorRecord {
        let tensor = graph.tensor(id);
        let mut spec = tensor.spec;
        spec.table = spec.table.map(|table| self.parts.strings.list(&graph.tables()[table as usize]));
        let is_boundary = graph.inputs().contains(&id) || graph.outputs().contains(&id);
        let name = is_boundary.then(|| self.parts.strings.string(&tensor.name));
        let place = match &tensor.constant {
            Some(constant) => self.constant_place(constant, in_tables || spec.table.is_some()),
            None => {
                let place = plan.places[&Occupant::Tensor(id)];
                Place::Arena { offset: place.offset, per_row: place.per_row }
            }
        };
        TensorRecord { spec, place, name }
    }

    fn constant_place(&mut self, constant: &Rc<AlignedBytes>, in_tables: bool) -> Place {
        let section = if in_tables { &mut self.parts.tables } else { &mut self.parts.weights };
        let offset = *self.stored.entry((in_tables, Rc::clone(constant))).or_insert_with(|| {
            section.resize(section.len().next_multiple_of(CONSTANT_ALIGNMENT), 0);
            let offset = section.len() as u64;
            section.extend(constant.as_slice());
            offset
        });
        if in_tables { Place::Tables { offset } } else { Place::Weights { offset } }
    }

    fn scratch_record(&mut self, plan: &ArenaPlan, position: usize) -> Option<u32> {
        let spec = *plan.scratch.get(&position)?;
        let place = plan.places[&Occupant::Scratch(position)];
        let place = Place::Arena { offset: place.offset, per_row: place.per_row };
        self.parts.tensors.push(TensorRecord { spec, place, name: None });
        Some(self.parts.tensors.len() as u32 - 1)
    }
}

/// Constants that some operator uses as indices, lengths or bounds.
fn table_constants(graph: &Graph) -> Vec<TensorId> {
    let mut constants = Vec::new();
    for node in graph.nodes() {
        for (index, id) in node.inputs.iter().enumerate() {
            if let (Some(id), true) = (id, index < 32 && node.op.table_inputs() >> index & 1 == 1) {
                constants.push(*id);
            }
        }
    }
    constants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::evaluate;
    use crate::planner::plan;
    use ekiben_runtime::artifact::emit;
    use ekiben_runtime::ops::mat_mul::MatMul;
    use ekiben_runtime::ops::unary::{Unary, UnaryKind};
    use ekiben_runtime::{Artifact, DType, Executor, Shape, TensorSpec};

    fn mlp() -> Graph {
        let mut graph = Graph::new();
        let x = graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 3], Some(0)).unwrap()));
        let weights: Vec<f32> = (0..12).map(|i| i as f32 / 7.0 - 0.8).collect();
        let w = graph.add_constant("w", DType::F32, &[3, 4], &weights).unwrap();
        let b = graph.add_constant("b", DType::F32, &[4], &[0.5f32, -0.5, 0.25, 0.0]).unwrap();
        let h = graph.add("dense", MatMul { transpose_b: false }, &[x, w, b]).unwrap();
        let y = graph.add("sigmoid", Unary::of(UnaryKind::Sigmoid), &[h]).unwrap();
        graph.add_output(y);
        graph
    }

    #[test]
    fn an_artifact_computes_what_its_graph_does_for_any_batch() {
        let graph = mlp();
        let arena_plan = plan(&graph).unwrap();
        let parts = artifact_parts(&[PlannedApi { name: "predict", graph: &graph, plan: &arena_plan }]);
        let bytes = AlignedBytes::from(emit(&parts).unwrap().as_slice());
        let artifact = Artifact::parse(bytes.as_slice()).unwrap();
        let api = artifact.api_index("predict").unwrap();
        for rows in [1, 2, 7, 64] {
            let x: Vec<f32> = (0..rows * 3).map(|i| (i as f32).sin()).collect();
            let expected = evaluate(&graph, rows, &[bytemuck::cast_slice(&x)]).unwrap();
            let mut arena = AlignedBytes::zeroed(artifact.arena_bytes(api, rows).unwrap());
            let mut executor = Executor::new(&artifact, api, rows, arena.as_mut_slice()).unwrap();
            executor.input_mut::<f32>(0).unwrap().copy_from_slice(&x);
            executor.run().unwrap();
            assert_eq!(executor.output_view(0).unwrap().bytes, expected[0].as_slice());
            assert_eq!(executor.output::<f32>(0).unwrap().len(), rows * 4);
        }
    }

    #[test]
    fn every_truncation_of_an_artifact_is_refused() {
        let graph = mlp();
        let arena_plan = plan(&graph).unwrap();
        let parts = artifact_parts(&[PlannedApi { name: "predict", graph: &graph, plan: &arena_plan }]);
        let bytes = AlignedBytes::from(emit(&parts).unwrap().as_slice());
        for length in 0..bytes.as_slice().len() {
            assert!(Artifact::parse(&bytes.as_slice()[..length]).is_err(), "length {length}");
        }
    }
}
