//! Who makes and who reads each tensor of a graph.

use std::collections::{HashMap, HashSet};

use crate::graph::{Graph, TensorId};

/// Makers and readers of all tensors.
pub(super) struct Users {
    makers: HashMap<TensorId, usize>,
    readers: HashMap<TensorId, Vec<usize>>,
    outputs: HashSet<TensorId>,
}

impl Users {
    pub(super) fn new(graph: &Graph) -> Self {
        let (mut makers, mut readers) = (HashMap::new(), HashMap::<_, Vec<usize>>::new());
        for (position, node) in graph.nodes().iter().enumerate() {
            makers.extend(node.outputs.iter().map(|&id| (id, position)));
            node.inputs.iter().flatten().for_each(|&id| readers.entry(id).or_default().push(position));
        }
        Self { makers, readers, outputs: graph.outputs().iter().copied().collect() }
    }

    /// Position of the node that makes a tensor.
    pub(super) fn maker(&self, id: TensorId) -> Option<usize> {
        self.makers.get(&id).copied()
    }

    /// Position of the one node that reads a tensor, once; `None` where others do or it is an output of the graph.
    pub(super) fn only_reader(&self, id: TensorId) -> Option<usize> {
        match self.readers.get(&id).map(Vec::as_slice) {
            Some(&[reader]) if !self.outputs.contains(&id) => Some(reader),
            _ => None,
        }
    }
}
