//! Who makes and who reads each tensor of a graph.

use std::collections::{HashMap, HashSet};

use ekiben_runtime::Op;

use crate::graph::{Graph, TensorId};

/// Makers and readers of all tensors.
pub(super) struct Users {
    makers: HashMap<TensorId, usize>,
    readers: HashMap<TensorId, Vec<usize>>,
    results: HashSet<TensorId>,
}

impl Users {
    pub(super) fn new(graph: &Graph) -> Self {
        let (mut makers, mut readers) = (HashMap::new(), HashMap::<_, Vec<usize>>::new());
        for (position, node) in graph.nodes().iter().enumerate() {
            makers.extend(node.outputs.iter().map(|&id| (id, position)));
            node.inputs.iter().flatten().for_each(|&id| readers.entry(id).or_default().push(position));
        }
        Self { makers, readers, results: graph.results().collect() }
    }

    /// Position of the node that makes a tensor.
    pub(super) fn maker(&self, id: TensorId) -> Option<usize> {
        self.makers.get(&id).copied()
    }

    /// Position of the one node that reads a tensor, once; `None` where others do or it is a result of the graph.
    pub(super) fn only_reader(&self, id: TensorId) -> Option<usize> {
        match self.readers.get(&id).map(Vec::as_slice) {
            Some(&[reader]) if !self.results.contains(&id) => Some(reader),
            _ => None,
        }
    }

    /// Position of the one node that reads a tensor, or what becomes of it in reshapes that leave the last axis, and what it reads.
    pub(super) fn only_reader_of_rows(&self, graph: &Graph, mut id: TensorId) -> Option<(usize, TensorId)> {
        loop {
            let reader = self.only_reader(id)?;
            let node = &graph.nodes()[reader];
            let &[output] = &node.outputs[..] else { return Some((reader, id)) };
            let (from, to) = (graph.shape(id), graph.shape(output));
            let last = |shape: &ekiben_runtime::Shape| {
                let axis = shape.rank().checked_sub(1).filter(|&axis| !shape.is_batch(axis))?;
                shape.factor(axis)
            };
            if !matches!(node.op, Op::Reshape(_)) || last(&from).is_none() || last(&from) != last(&to) {
                return Some((reader, id));
            }
            id = output;
        }
    }
}
