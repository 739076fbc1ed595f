//! Leaves out nodes and constants that no output depends on.

use std::collections::HashSet;

use super::PassError;
use super::rewrite::Rewrite;
use crate::graph::{Graph, TensorId};

/// The graph without what nobody reads. Inputs stay.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn remove_dead_nodes(graph: &Graph) -> Result<Graph, PassError> {
    let mut read: HashSet<TensorId> = graph.results().collect();
    let mut alive = vec![false; graph.nodes().len()];
    for (node, alive) in graph.nodes().iter().zip(&mut alive).rev() {
        *alive = node.outputs.iter().any(|output| read.contains(output));
        if *alive {
            read.extend(node.inputs.iter().flatten());
        }
    }
    let mut rewrite = Rewrite::new(graph);
    for (node, _) in graph.nodes().iter().zip(alive).filter(|&(_, alive)| alive) {
        rewrite.copy(node)?;
    }
    rewrite.finish()
}
