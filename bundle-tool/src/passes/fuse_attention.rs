//! Recognises scaled dot-product attention in its parts: products of queries and keys, a scale, perhaps a soft cap and a mask that is
//! added, a softmax, and products with values. The scores are then never held but for one row. A row in which a mask leaves no key
//! gives zeros instead of not-a-number.

use ekiben_runtime::ops::attention::{Attention, Layout, Stage};
use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::unary::UnaryKind;
use ekiben_runtime::{Op, Shape};

use super::PassError;
use super::pattern::{Fusion, Links, Source, fuse};
use crate::graph::{Graph, Node, TensorId};

/// The graph with attention in the place of its parts.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fuse_attention(graph: &Graph) -> Result<Graph, PassError> {
    fuse(graph, find)
}

/// The parts of an attention.
struct Parts {
    /// `[B, H, Q, D]` or `[B, Q, D]`.
    q: TensorId,
    /// `[B, H, D, K]` or `[B, D, K]`.
    k: TensorId,
    /// `[B, H, K, V]` or `[B, K, V]`.
    v: TensorId,
    mask: Option<TensorId>,
    scale: f64,
    softcap: f64,
}

fn find(links: &Links<'_>, node: &Node) -> Option<Fusion> {
    match node.op {
        Op::BatchMatMul(_) => {
            let parts = parts(links, node)?;
            fusion(links, &parts, false)
        }
        // Heads side by side: [B, H, Q, V] as [B, Q, H * V].
        Op::Reshape(_) => {
            let moved = links.maker(node.inputs.first().copied()??)?;
            let product = moved.inputs.first().copied()??;
            let fits = order(links, moved)? == [0, 2, 1, 3] && links.graph.shape(*node.outputs.first()?).rank() == 3;
            let parts = parts(links, links.maker(product).filter(|_| fits)?)?;
            links.is_closed(node, &[parts.q, parts.k, parts.v, parts.mask.unwrap_or(parts.q)]).then_some(())?;
            fusion(links, &parts, true)
        }
        _ => None,
    }
}

/// The order of axes of a transpose.
fn order(links: &Links<'_>, node: &Node) -> Option<Vec<usize>> {
    let rank = links.graph.shape(*node.outputs.first()?).rank();
    match node.op {
        Op::Transpose(transpose) => Some((0..rank).map(|axis| transpose.perm.axis(axis)).collect()),
        _ => None,
    }
}

fn product(links: &Links<'_>, id: TensorId) -> Option<[TensorId; 2]> {
    let node = links.maker(id)?;
    match (node.op, node.inputs.as_slice()) {
        (Op::BatchMatMul(_), &[Some(a), Some(b)]) => Some([a, b]),
        _ => None,
    }
}

fn parts(links: &Links<'_>, node: &Node) -> Option<Parts> {
    let [weights, v] = product(links, *node.outputs.first()?)?;
    let softmax = links.maker(weights)?;
    let Op::Softmax(op) = softmax.op else { return None };
    let shape = links.graph.shape(weights);
    if op.log || usize::from(op.axis) + 1 != shape.rank() || !matches!(shape.rank(), 3 | 4) {
        return None;
    }
    let masked = softmax.inputs.first().copied()??;
    let sum = links.binary(masked, BinaryKind::Add);
    let candidates = sum.map_or(vec![(masked, None)], |[a, b]| vec![(a, Some(b)), (b, Some(a)), (masked, None)]);
    let found = candidates.into_iter().find_map(|(scores, mask)| {
        let (q, k, scale, softcap) = scores_of(links, scores)?;
        (links.graph.shape(scores) == shape).then_some(Parts { q, k, v, mask, scale, softcap })
    })?;
    let leaves = [found.q, found.k, v, found.mask.unwrap_or(v)];
    links.is_closed(node, &leaves).then_some(found)
}

/// Queries, keys, scale and soft cap of scores.
fn scores_of(links: &Links<'_>, scores: TensorId) -> Option<(TensorId, TensorId, f64, f64)> {
    let (inner, factor) = links.scaled(scores);
    if let Some([q, k]) = product(links, inner) {
        return Some((q, k, factor, 0.0));
    }
    // factor * tanh(share * (q . k)) is a cap at factor of factor * share * (q . k).
    let (argument, _) = links.unary(inner, UnaryKind::Tanh)?;
    let (inner, share) = links.scaled(argument);
    let [q, k] = product(links, inner)?;
    (factor > 0.0).then_some((q, k, factor * share, factor))
}

/// A tensor some scales and transposes before another: the order of its axes after them, and the product of the scales.
#[derive(Clone)]
struct Origin {
    base: TensorId,
    order: Vec<usize>,
    scale: f64,
}

/// A tensor and those that it is scaled and transposed from, the last first.
fn origins(links: &Links<'_>, id: TensorId) -> Vec<Origin> {
    let rank = links.graph.shape(id).rank();
    let mut origins = vec![Origin { base: id, order: (0..rank).collect(), scale: 1.0 }];
    // Nobody writes longer chains.
    while let (Some(last), true) = (origins.last().cloned(), origins.len() < 8) {
        let (inner, factor) = links.scaled(last.base);
        let mut next = Origin { base: inner, scale: last.scale * factor, order: last.order };
        if inner == last.base {
            let Some((source, order)) = links.maker(inner).and_then(|maker| moved(links, maker)) else { break };
            next.order = next.order.iter().map(|&axis| order[axis]).collect();
            next.base = source;
        }
        origins.push(next);
    }
    origins
}

/// What a node transposes, and the order of its axes after it.
fn moved(links: &Links<'_>, node: &Node) -> Option<(TensorId, Vec<usize>)> {
    let source = node.inputs.first().copied()??;
    match node.op {
        Op::Transpose(_) => Some((source, order(links, node)?)),
        // [B, H, rows, size] as [B * H, rows, size], transposed, and apart again.
        Op::Reshape(_) => {
            let transpose =
                links.maker(source).filter(|maker| order(links, maker).is_some_and(|order| order == [0, 2, 1]))?;
            let merge = links.maker(transpose.inputs.first().copied()??)?;
            let whole = merge.inputs.first().copied().filter(|_| matches!(merge.op, Op::Reshape(_)))??;
            let (from, to) = (links.graph.shape(whole), links.graph.shape(*node.outputs.first()?));
            let (&[batch, heads, rows, size], merged) = (from.factors(), links.graph.shape(*merge.outputs.first()?))
            else {
                return None;
            };
            let fits = to.factors() == [batch, heads, size, rows]
                && merged.factors() == [batch.checked_mul(heads)?, rows, size]
                && from.batch_axis() == to.batch_axis()
                && from.batch_axis().is_none_or(|axis| axis == 0);
            fits.then(|| (whole, vec![0, 1, 3, 2]))
        }
        _ => None,
    }
}

/// `[B, rows, heads, size]` as `[B, rows, heads * size]`.
fn side_by_side(links: &Links<'_>, id: TensorId) -> Option<Source> {
    let shape = links.graph.shape(id);
    let &[batch, rows, heads, size] = shape.factors() else { return None };
    let dims = [batch as usize, rows as usize, (heads as usize).checked_mul(size as usize)?];
    let merged = Shape::new(&dims, shape.batch_axis().filter(|&axis| axis == 0)).ok()?;
    let before = links.maker(id).filter(|maker| matches!(maker.op, Op::Reshape(_)));
    let before = before.and_then(|maker| maker.inputs.first().copied()?);
    match before.filter(|&before| links.graph.shape(before) == merged) {
        Some(before) => Some(before.into()),
        None => Some(Source { tensor: id, shape: Some(merged) }),
    }
}

/// The earliest of a tensor's origins whose axes come in the order that a layout needs, and its scale. `orders` are those of
/// [`Layout::Heads`] and, from `[B, rows, heads, size]` and without an axis of heads, of [`Layout::Columns`].
fn arranged(
    links: &Links<'_>,
    origins: &[Origin],
    layout: Layout,
    [heads, apart, single]: [&[usize]; 3],
) -> Option<(Source, f64)> {
    origins.iter().rev().find_map(|origin| {
        let order = origin.order.as_slice();
        let source = match layout {
            Layout::Heads if order == heads => origin.base.into(),
            Layout::Columns if order == single => origin.base.into(),
            Layout::Columns if order == apart => side_by_side(links, origin.base)?,
            _ => return None,
        };
        Some((source, origin.scale))
    })
}

/// Orders of axes of queries and of values.
const ROWS: [&[usize]; 3] = [&[0, 1, 2, 3], &[0, 2, 1, 3], &[0, 1, 2]];
/// Orders of axes of keys, whose rows are columns of the product's operand.
const COLUMNS: [&[usize]; 3] = [&[0, 1, 3, 2], &[0, 2, 3, 1], &[0, 2, 1]];

fn fusion(links: &Links<'_>, parts: &Parts, columns: bool) -> Option<Fusion> {
    let shape = |id: TensorId| links.graph.shape(id);
    let (q_shape, k_shape, v_shape) = (shape(parts.q), shape(parts.k), shape(parts.v));
    let rank = q_shape.rank();
    if k_shape.rank() != rank || v_shape.rank() != rank {
        return None;
    }
    // Without an axis of heads there is one, in columns.
    let query_layout = if columns || rank == 3 { Layout::Columns } else { Layout::Heads };
    let [q, k, v] = [parts.q, parts.k, parts.v].map(|id| origins(links, id));
    // A scale of the values stays where it is.
    let v: Vec<Origin> = v.into_iter().take_while(|origin| origin.scale == 1.0).collect();
    let (query, query_scale) = arranged(links, &q, query_layout, ROWS)?;
    let (key_layout, (key, key_scale), (value, _)) = [Layout::Columns, Layout::Heads]
        .into_iter()
        .find_map(|layout| Some((layout, arranged(links, &k, layout, COLUMNS)?, arranged(links, &v, layout, ROWS)?)))?;
    let scale = parts.scale * query_scale * key_scale;
    let heads = |shape: &Shape| if rank == 4 { shape.factors()[1] } else { 1 };
    let (keys, size, value_size) =
        (k_shape.factors()[rank - 1], k_shape.factors()[rank - 2], v_shape.factors()[rank - 1]);
    if heads(&k_shape) != heads(&v_shape) {
        return None;
    }
    let op = Attention {
        query_layout,
        key_layout,
        query_heads: heads(&q_shape),
        key_heads: heads(&k_shape),
        size,
        value_size,
        first: [0; 3],
        scale,
        softcap: parts.softcap,
        left: -1,
        right: -1,
        offset: 0,
        stage: Stage::Raw,
        wide: false,
    };
    let mut inputs = vec![Some(query), Some(key), Some(value)];
    if let Some(mask) = parts.mask {
        inputs.push(Some(mask_source(&shape(mask), mask, rank, keys)?));
    }
    Some(Fusion { op: op.into(), inputs })
}

/// A mask that is added to scores of `rank` axes, as `[B, H, Q, K]` lines up.
fn mask_source(shape: &Shape, mask: TensorId, rank: usize, keys: u32) -> Option<Source> {
    if shape.factors().last() != Some(&keys) || shape.is_batch(shape.rank() - 1) {
        return None;
    }
    if rank == 4 || shape.rank() < 3 {
        return Some(mask.into());
    }
    let &[batch, queries, keys] = shape.factors() else { return None };
    let lined_up = Shape::new(&[batch as usize, 1, queries as usize, keys as usize], shape.batch_axis());
    lined_up.ok().map(|shape| Source { tensor: mask, shape: Some(shape) })
}
