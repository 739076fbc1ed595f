//! Recognises layer normalisation and root-mean-square normalisation in their parts, and takes the factors and terms after them in.

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::layer_norm::LayerNorm;
use ekiben_runtime::ops::reduce::ReduceKind;
use ekiben_runtime::ops::unary::UnaryKind;
use ekiben_runtime::{Op, Shape};

use super::PassError;
use super::fuse_softmax::reduced;
use super::pattern::{Fusion, Links, Source, fuse};
use crate::graph::{Graph, Node, TensorId};

/// The graph with normalisations in the place of their parts.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fuse_normalisation(graph: &Graph) -> Result<Graph, PassError> {
    let graph = fuse(graph, find)?;
    let graph = fuse(&graph, |links, node| take_in(links, node, BinaryKind::Mul, 1))?;
    fuse(&graph, |links, node| take_in(links, node, BinaryKind::Add, 2))
}

/// `d / sqrt(mean(d * d) + epsilon)`, d being x or `x - mean(x)`; also as a product with the reciprocal.
fn find(links: &Links<'_>, node: &Node) -> Option<Fusion> {
    let output = *node.outputs.first()?;
    let (centred, deviation) = match links.binary(output, BinaryKind::Div) {
        Some([centred, deviation]) => (centred, links.unary(deviation, UnaryKind::Sqrt)?.0),
        None => {
            let [a, b] = links.binary(output, BinaryKind::Mul)?;
            inverse_root(links, b).map(|root| (a, root)).or_else(|| inverse_root(links, a).map(|root| (b, root)))?
        }
    };
    let (variance, 1.0, epsilon) = links.affine(deviation) else { return None };
    let (squares, axes) = reduced(links, variance, ReduceKind::Mean)?;
    if !is_square(links, squares, centred) {
        return None;
    }
    let rank = links.graph.shape(centred).rank();
    let count = trailing(axes, rank)?;
    let mean = links
        .binary(centred, BinaryKind::Sub)
        .filter(|&[x, mean]| reduced(links, mean, ReduceKind::Mean) == Some((x, axes)));
    let x = mean.map_or(centred, |[x, _]| x);
    let op = LayerNorm { axes: count, epsilon, root_mean_square: mean.is_none() };
    links.is_closed(node, &[x]).then(|| Fusion::of(op, &[x]))
}

/// The argument of `1 / sqrt(…)`.
fn inverse_root(links: &Links<'_>, id: TensorId) -> Option<TensorId> {
    if let Some((x, _)) = links.unary(id, UnaryKind::Rsqrt) {
        return Some(x);
    }
    let root = match links.unary(id, UnaryKind::Reciprocal) {
        Some((root, _)) => root,
        None => links.binary(id, BinaryKind::Div).filter(|&[one, _]| links.scalar(one) == Some(1.0))?[1],
    };
    Some(links.unary(root, UnaryKind::Sqrt)?.0)
}

fn is_square(links: &Links<'_>, square: TensorId, x: TensorId) -> bool {
    let is = |y: TensorId| y == x || is_twin(links, y, x);
    links.unary(square, UnaryKind::Square).is_some_and(|(y, _)| is(y))
        || links.binary(square, BinaryKind::Mul).is_some_and(|[a, b]| is(a) && is(b))
        || links.binary(square, BinaryKind::Pow).is_some_and(|[y, power]| is(y) && links.scalar(power) == Some(2.0))
}

/// True when two nodes do the same to the same tensors.
fn is_twin(links: &Links<'_>, a: TensorId, b: TensorId) -> bool {
    match (links.maker(a), links.maker(b)) {
        (Some(a), Some(b)) => a.op == b.op && a.inputs == b.inputs,
        _ => false,
    }
}

/// How many axes `axes` are, where they are the last.
fn trailing(axes: u8, rank: usize) -> Option<u8> {
    let count = axes.count_ones();
    let first = (rank as u32).checked_sub(count).filter(|_| count > 0)?;
    (u32::from(axes) == (1 << rank) - (1 << first)).then_some(count as u8)
}

/// A normalisation without its operand `index`, then `kind` with a tensor of the shape of its parts.
fn take_in(links: &Links<'_>, node: &Node, kind: BinaryKind, index: usize) -> Option<Fusion> {
    let operands = links.binary(*node.outputs.first()?, kind)?;
    for [normal, other] in [operands, [operands[1], operands[0]]] {
        let Some(maker) = links.maker(normal) else { continue };
        let Op::LayerNorm(op) = maker.op else { continue };
        let has = |index: usize| maker.inputs.get(index).is_some_and(Option::is_some);
        let shape = links.graph.shape(normal);
        let kept = shape.rank().saturating_sub(op.axes.into());
        let dims: Vec<usize> = shape.factors().iter().skip(kept).map(|&dim| dim as usize).collect();
        let Ok(part) = Shape::fixed(&dims) else { continue };
        let own = links.graph.shape(other);
        let fits = own.factors().ends_with(part.factors()) && own.elements() == part.elements() && !own.is_batched();
        let x = maker.inputs.first().copied()??;
        if fits && maker.outputs.len() == 1 && !has(index) && !has(2) && links.is_closed(node, &[x, other]) {
            let mut inputs: Vec<_> = maker.inputs.iter().map(|input| input.map(Source::from)).collect();
            inputs.resize(index, None);
            inputs.push(Some(Source { tensor: other, shape: Some(part) }));
            return Some(Fusion { op: op.into(), inputs });
        }
    }
    None
}
