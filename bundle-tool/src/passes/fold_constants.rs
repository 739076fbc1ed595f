//! Computes nodes whose inputs are constants, with the runtime's own kernels.

use std::collections::HashMap;
use std::rc::Rc;

use super::PassError;
use super::rewrite::Rewrite;
use crate::graph::{AlignedBytes, Graph, Node, TensorId, run_node};

/// The largest result that may be larger than what it is computed from.
const MAX_GROWTH: u64 = 1 << 16;

/// The graph with constants in the place of nodes that always give the same. Nodes that blow a constant up stay.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fold_constants(graph: &Graph) -> Result<Graph, PassError> {
    let mut rewrite = Rewrite::new(graph);
    let mut folded: HashMap<TensorId, AlignedBytes> = HashMap::new();
    for node in graph.nodes() {
        if !is_foldable(graph, node, &folded) {
            rewrite.copy(node)?;
            continue;
        }
        for (&output, value) in node.outputs.iter().zip(run_node(graph, node, 1, &folded)?) {
            let tensor = graph.tensor(output);
            let id = rewrite.new.add_shared_constant(&tensor.name, tensor.spec, Rc::new(value.clone()))?;
            rewrite.put(output, id);
            folded.insert(output, value);
        }
    }
    rewrite.finish()
}

fn is_foldable(graph: &Graph, node: &Node, folded: &HashMap<TensorId, AlignedBytes>) -> bool {
    let known = |id: &TensorId| graph.tensor(*id).constant.is_some() || folded.contains_key(id);
    let bytes = |ids: &mut dyn Iterator<Item = TensorId>| {
        ids.map(|id| graph.spec(id).bytes().unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
    };
    let results = bytes(&mut node.outputs.iter().copied());
    let operands = bytes(&mut node.inputs.iter().flatten().copied());
    node.inputs.iter().flatten().all(known)
        && !node.outputs.iter().any(|&output| graph.shape(output).is_batched())
        && (results <= operands || results <= MAX_GROWTH)
}
