//! Computes once what several nodes compute from the same inputs (common subexpressions).

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use ekiben_runtime::bytes::Writer;
use ekiben_runtime::ops::MAX_ATTRIBUTE_BYTES;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::PassError;
use super::rewrite::Rewrite;
use crate::graph::{AlignedBytes, Graph, Node, TensorId};

/// The graph without nodes that repeat another's operator, attributes, inputs and declared outputs, and without constants that repeat
/// another's elements. Every operator gives the same results for the same inputs, so any two such nodes can share them.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn merge_equal_nodes(graph: &Graph) -> Result<Graph, PassError> {
    let mut rewrite = Rewrite::new(graph);
    let mut same = merge_constants(graph);
    let mut known: HashMap<Key, &Node> = HashMap::new();
    for node in graph.nodes() {
        let stand_in = |id: TensorId| same.get(&id).copied().unwrap_or(id);
        let inputs: Vec<_> = node.inputs.iter().map(|input| input.map(stand_in)).collect();
        let key = key(graph, node, &inputs);
        if let Some(first) = key.as_ref().and_then(|key| known.get(key)) {
            for (&output, &other) in node.outputs.iter().zip(&first.outputs) {
                same.insert(output, other);
                let id = rewrite.tensor(other)?;
                rewrite.put(output, id);
            }
            continue;
        }
        let inputs = inputs.into_iter().map(|input| input.map(|id| rewrite.tensor(id)).transpose());
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        rewrite.write(node, node.op, &inputs)?;
        known.extend(key.map(|key| (key, node)));
    }
    rewrite.finish()
}

/// What makes two tensors of equal elements the same.
type SpecKey = (DType, Shape, Option<(u32, i32)>, Option<u32>);

fn spec_key(spec: &TensorSpec) -> SpecKey {
    let quantization = spec.quantization.map(|quantization| (quantization.scale.to_bits(), quantization.zero_point));
    (spec.dtype, spec.shape, quantization, spec.table)
}

/// What makes two nodes the same: tag, attributes, inputs, declared outputs.
type Key = (u16, Vec<u8>, Vec<Option<TensorId>>, Vec<SpecKey>);

fn key(graph: &Graph, node: &Node, inputs: &[Option<TensorId>]) -> Option<Key> {
    let mut attributes = [0; MAX_ATTRIBUTE_BYTES];
    let mut writer = Writer::new(&mut attributes);
    node.op.emit(&mut writer).ok()?;
    let length = writer.position();
    let outputs = node.outputs.iter().map(|&id| spec_key(&graph.spec(id))).collect();
    Some((node.op.tag(), attributes[..length].to_vec(), inputs.to_vec(), outputs))
}

/// For each constant that repeats another, that one. Outputs keep their own.
fn merge_constants(graph: &Graph) -> HashMap<TensorId, TensorId> {
    let outputs: HashSet<TensorId> = graph.results().collect();
    let used = graph.nodes().iter().flat_map(|node| node.inputs.iter().flatten());
    let mut known: HashMap<(SpecKey, Rc<AlignedBytes>), TensorId> = HashMap::new();
    let mut same = HashMap::new();
    for &id in used.filter(|id| !outputs.contains(id)) {
        let tensor = graph.tensor(id);
        if let Some(bytes) = &tensor.constant {
            let first = *known.entry((spec_key(&tensor.spec), Rc::clone(bytes))).or_insert(id);
            same.insert(id, first);
        }
    }
    same
}

#[cfg(test)]
mod tests {
    use ekiben_runtime::ops::binary::{Binary, BinaryKind};
    use ekiben_runtime::ops::unary::{Unary, UnaryKind};

    use super::*;
    use crate::graph::evaluate;

    #[test]
    fn equal_nodes_are_computed_once() {
        let mut graph = Graph::new();
        let x = graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 3], Some(0)).unwrap()));
        let mut constant = || graph.add_constant("c", DType::F32, &[3], &[1.0f32, -0.0, 2.0]).unwrap();
        let constants = [constant(), constant()];
        let zero = graph.add_constant("zero", DType::F32, &[3], &[1.0f32, 0.0, 2.0]).unwrap();
        let leaky = |alpha| Unary { kind: UnaryKind::LeakyRelu, alpha, beta: 0.0 };
        let add = Binary { kind: BinaryKind::Add };
        let sums = constants.map(|c| graph.add("sum", add, &[x, c]).unwrap());
        let other = graph.add("other", add, &[x, zero]).unwrap();
        let first = sums.map(|sum| graph.add("first", leaky(0.5), &[sum]).unwrap());
        let second = graph.add("second", leaky(0.25), &[sums[1]]).unwrap();
        let last = graph.add("last", add, &[first[0], first[1]]).unwrap();
        for (name, output) in [("a", last), ("b", second), ("c", first[1]), ("d", first[0]), ("e", other)] {
            graph.rename(output, name);
            graph.add_output(output);
        }
        let merged = merge_equal_nodes(&graph).unwrap();
        assert_eq!((graph.nodes().len(), merged.nodes().len()), (7, 6), "two nodes less, and a copy for output d");
        for rows in [1, 4] {
            let x: Vec<f32> = (0..3 * rows).map(|i| i as f32 - 4.5).collect();
            let run = |graph: &Graph| evaluate(graph, rows, &[bytemuck::cast_slice(&x)]).unwrap();
            assert_eq!(run(&graph), run(&merged));
        }
        let name = |graph: &Graph| graph.outputs().iter().map(|&id| graph.tensor(id).name.clone()).collect::<Vec<_>>();
        assert_eq!(name(&graph), name(&merged));
    }
}
