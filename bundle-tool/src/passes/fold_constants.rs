//! Computes nodes whose inputs are constants, with the runtime's own kernels.

use std::collections::HashMap;
use std::rc::Rc;

use ekiben_runtime::{DType, Op};

use super::PassError;
use super::rewrite::Rewrite;
use crate::graph::{AlignedBytes, Graph, Node, TensorId, run_node};

/// The largest result that may be larger than what it is computed from.
const MAX_GROWTH: u64 = 1 << 16;
/// Bytes that all results together may take, on top of [`BUDGET_FACTOR`] times the graph's constants.
const BUDGET: u64 = 16 << 20;
/// Bytes of results for each byte of a constant.
const BUDGET_FACTOR: u64 = 2;

/// The largest result, in bytes, of a node that makes a constant of narrow numbers wider.
const MAX_WIDENED: u64 = 1 << 8;

/// True for a node that makes a large constant of narrow numbers wider: its result does not belong into an artifact.
pub(crate) fn widens(graph: &Graph, op: &Op, inputs: &[Option<TensorId>]) -> bool {
    let Some(&Some(input)) = inputs.first() else { return false };
    let spec = graph.spec(input);
    let to = match op {
        Op::LinearDequantize(op) => op.dtype,
        Op::Cast(op) if matches!(spec.dtype, DType::F16 | DType::BF16) => op.to,
        _ => return false,
    };
    to.bits() > spec.dtype.bits() && spec.with_dtype(to).bytes().unwrap_or(u64::MAX) > MAX_WIDENED
}

/// The graph with constants in the place of nodes that always give the same. Nodes that blow a constant up stay.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fold_constants(graph: &Graph) -> Result<Graph, PassError> {
    let mut rewrite = Rewrite::new(graph);
    let mut folded: HashMap<TensorId, AlignedBytes> = HashMap::new();
    let constants = graph.tensors().iter().filter_map(|tensor| tensor.constant.as_deref());
    let stored = constants.map(|bytes| bytes.as_slice().len() as u64).fold(0, u64::saturating_add);
    let mut budget = stored.saturating_mul(BUDGET_FACTOR).saturating_add(BUDGET);
    for node in graph.nodes() {
        let left = budget.checked_sub(bytes(graph, node.outputs.iter()));
        let Some(left) = left.filter(|_| is_foldable(graph, node, &folded)) else {
            rewrite.copy(node)?;
            continue;
        };
        budget = left;
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
    let results = bytes(graph, node.outputs.iter());
    let operands = bytes(graph, node.inputs.iter().flatten());
    node.inputs.iter().flatten().all(known)
        && !widens(graph, &node.op, &node.inputs)
        && !node.outputs.iter().any(|&output| graph.shape(output).is_batched())
        && (results <= operands || results <= MAX_GROWTH)
}

/// Bytes of all these tensors.
fn bytes<'a>(graph: &Graph, ids: impl Iterator<Item = &'a TensorId>) -> u64 {
    ids.map(|&id| graph.spec(id).bytes().unwrap_or(u64::MAX)).fold(0, u64::saturating_add)
}
