//! Recognises a softmax in its parts: `exp(x - max(x)) / sum(exp(x - max(x)))`.

use ekiben_runtime::Op;
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::softmax::Softmax;
use ekiben_runtime::ops::unary::UnaryKind;

use super::PassError;
use super::pattern::{Fusion, Links, fuse};
use crate::graph::{Graph, Node, TensorId};

/// The graph with softmaxes in the place of their parts.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fuse_softmax(graph: &Graph) -> Result<Graph, PassError> {
    fuse(graph, find)
}

fn find(links: &Links<'_>, node: &Node) -> Option<Fusion> {
    let [power, sum] = links.binary(*node.outputs.first()?, BinaryKind::Div)?;
    let (of_sum, axes) = reduced(links, sum, ReduceKind::Sum)?;
    let (shifted, _) = links.unary(power, UnaryKind::Exp)?;
    let [x, largest] = links.binary(shifted, BinaryKind::Sub)?;
    let (of_largest, same_axes) = reduced(links, largest, ReduceKind::Max)?;
    let fits = of_sum == power && of_largest == x && axes == same_axes && axes.is_power_of_two();
    let op = Softmax { axis: axes.trailing_zeros() as u8, log: false };
    (fits && links.is_closed(node, &[x])).then(|| Fusion::of(op, &[x]))
}

/// What a tensor is a reduction of, and the axes, which stay with length 1.
pub(super) fn reduced(links: &Links<'_>, id: TensorId, wanted: ReduceKind) -> Option<(TensorId, u8)> {
    let node = links.maker(id)?;
    match node.op {
        Op::Reduce(Reduce { kind, axes, keep: true }) if kind == wanted => Some((node.inputs.first().copied()??, axes)),
        _ => None,
    }
}
