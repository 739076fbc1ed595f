//! Gives convolutions and pools the padding that stands before them, also where a transpose is in between. Results stay the same to the
//! bit.
//!
//! Zeros go into convolutions, and into averages that count their padding, or that have none of their own. Minus infinity goes into
//! maxima; so do zeros where no element is below zero and each window holds one.

use std::collections::{HashMap, HashSet};

use ekiben_runtime::ops::conv_nd::Direction;
use ekiben_runtime::ops::conv2d::{Conv2d, Window, WindowAxis};
use ekiben_runtime::ops::depthwise_conv2d::DepthwiseConv2d;
use ekiben_runtime::ops::pad::{Pad, PadMode};
use ekiben_runtime::ops::pool2d::{Pool2d, PoolKind};
use ekiben_runtime::ops::transpose::Transpose;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Op};

use super::PassError;
use super::rewrite::Rewrite;
use super::users::Users;
use crate::graph::{AlignedBytes, Graph, Node, TensorId, i32_values};

/// The graph with padding in convolutions and pools.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fold_padding(graph: &Graph) -> Result<Graph, PassError> {
    let users = Users::new(graph);
    let folds: HashMap<usize, Fold> = graph
        .nodes()
        .iter()
        .enumerate()
        .filter_map(|(position, node)| Some((position, Fold::of(graph, &users, position, node)?)))
        .collect();
    let absorbed: HashSet<usize> = folds.values().map(|fold| fold.pad).collect();
    let unpadded: HashMap<usize, TensorId> =
        folds.values().filter_map(|fold| Some((fold.transpose?, fold.input))).collect();
    let mut rewrite = Rewrite::new(graph);
    for (position, node) in graph.nodes().iter().enumerate() {
        if absorbed.contains(&position) {
            continue;
        }
        if let Some(&input) = unpadded.get(&position) {
            let base = rewrite.tensor(input)?;
            let moved = rewrite.new.add(&node.name, node.op, &[base])?;
            rewrite.put(node.outputs[0], moved);
            continue;
        }
        match folds.get(&position) {
            Some(fold) => fold.write(&mut rewrite, node)?,
            None => rewrite.copy(node)?,
        }
    }
    rewrite.finish()
}

/// A pad and the node that takes it over.
struct Fold {
    /// Position of the pad, and of the transpose after it.
    pad: usize,
    transpose: Option<usize>,
    /// What was padded.
    input: TensorId,
    /// Elements to add before and after each axis of the node's input.
    pads: Vec<[u32; 2]>,
    op: Op,
}

impl Fold {
    fn of(graph: &Graph, users: &Users, position: usize, node: &Node) -> Option<Self> {
        let takes = matches!(node.op, Op::Conv2d(_) | Op::DepthwiseConv2d(_) | Op::ConvNd(_) | Op::Pool2d(_));
        let mut data = node.inputs.first().copied().flatten().filter(|_| takes)?;
        let mut reader = position;
        let mut made = users.maker(data).filter(|_| users.only_reader(data) == Some(reader))?;
        let mut transpose = None;
        let mut order: Vec<usize> = (0..graph.shape(data).rank()).collect();
        if let Op::Transpose(Transpose { perm }) = graph.nodes()[made].op {
            order = order.into_iter().map(|axis| perm.axis(axis)).collect();
            (transpose, reader) = (Some(made), made);
            data = graph.nodes()[made].inputs.first().copied().flatten()?;
            made = users.maker(data).filter(|_| users.only_reader(data) == Some(reader))?;
        }
        let pad = &graph.nodes()[made];
        let Op::Pad(Pad { mode: PadMode::Constant }) = pad.op else { return None };
        let (input, table) = (pad.inputs.first().copied().flatten()?, pad.inputs.get(1).copied().flatten()?);
        let table = i32_values(graph.tensor(table))?;
        let rank = order.len();
        let at = |index: usize| table.get(index).and_then(|&count| u32::try_from(count).ok());
        let pads: Option<Vec<[u32; 2]>> = order.iter().map(|&axis| Some([at(axis)?, at(rank + axis)?])).collect();
        let pads = pads?;
        // Only axes that a window slides over.
        if pads.first() != Some(&[0, 0]) || pads.last() != Some(&[0, 0]) {
            return None;
        }
        let value = pad_value(graph, pad)?;
        let op = padded(graph, users, node, &pads, (input, value))?;
        Some(Self { pad: made, transpose, input, pads, op })
    }

    fn write(&self, rewrite: &mut Rewrite<'_>, node: &Node) -> Result<(), PassError> {
        let mut inputs = Vec::new();
        for (index, input) in node.inputs.iter().enumerate() {
            let id = if index == 0 && self.transpose.is_none() { Some(self.input) } else { *input };
            inputs.push(id.map(|id| rewrite.tensor(id)).transpose()?);
        }
        if let (Op::ConvNd(_), Some(&Some(table))) = (node.op, node.inputs.get(2)) {
            let mut values = i32_values(rewrite.old.tensor(table)).unwrap_or_default();
            let axes = values.len() / 4;
            for (axis, pads) in self.pads.iter().skip(1).take(axes).enumerate() {
                values[2 * axes + axis] += pads[0] as i32;
                values[3 * axes + axis] += pads[1] as i32;
            }
            let name = rewrite.old.tensor(table).name.clone();
            inputs[2] = Some(rewrite.new.add_constant(&name, DType::I32, &[4, axes], &values)?);
        }
        rewrite.write(node, self.op, &inputs)
    }
}

/// The value that a pad adds.
fn pad_value(graph: &Graph, pad: &Node) -> Option<f32> {
    let Some(value) = pad.inputs.get(2).copied().flatten() else { return Some(0.0) };
    let tensor = graph.tensor(value);
    let bytes = tensor.constant.as_deref().map(AlignedBytes::as_slice)?;
    match tensor.spec.dtype {
        DType::F32 => Some(f32::from_le_bytes(bytes.try_into().ok()?)),
        DType::F64 => Some(f64::from_le_bytes(bytes.try_into().ok()?) as f32),
        _ => None,
    }
}

fn wider(window: &Window, pads: &[[u32; 2]]) -> Option<Window> {
    let &[_, rows, columns, _] = pads else { return None };
    let axis = |axis: WindowAxis, [before, after]: [u32; 2]| {
        let (before, after) = (axis.before.checked_add(before)?, axis.after.checked_add(after)?);
        Some(WindowAxis { before, after, ..axis })
    };
    Some(Window { rows: axis(window.rows, rows)?, columns: axis(window.columns, columns)? })
}

/// The node's operator with more padding, where that gives the same.
fn padded(graph: &Graph, users: &Users, node: &Node, pads: &[[u32; 2]], (input, value): (TensorId, f32)) -> Option<Op> {
    let zero = value == 0.0;
    match node.op {
        Op::Conv2d(op) if zero => Some(Op::from(Conv2d { window: wider(&op.window, pads)?, ..op })),
        Op::DepthwiseConv2d(op) if zero => Some(Op::from(DepthwiseConv2d { window: wider(&op.window, pads)?, ..op })),
        Op::ConvNd(op) if zero && op.direction == Direction::Forward => Some(Op::from(op)),
        Op::Pool2d(op) => {
            let window = wider(&op.window, pads)?;
            let own = [op.window.rows, op.window.columns].iter().any(|axis| (axis.before, axis.after) != (0, 0));
            let kind = match op.kind {
                PoolKind::Max if value == f32::NEG_INFINITY => PoolKind::Max,
                PoolKind::Max if zero && holds_elements(&op, &window) && is_positive(graph, users, input) => {
                    PoolKind::Max
                }
                PoolKind::AveragePadded if zero => PoolKind::AveragePadded,
                PoolKind::Average if zero && !own => PoolKind::AveragePadded,
                _ => return None,
            };
            Some(Op::from(Pool2d { kind, window, ..op }))
        }
        _ => None,
    }
}

/// True when each window of a pool that had no padding of its own holds an element of the input.
fn holds_elements(op: &Pool2d, window: &Window) -> bool {
    let axis = |axis: WindowAxis, taps: u32| axis.dilation == 1 && axis.before < taps && axis.after < taps;
    axis(window.rows, op.kernel[0]) && axis(window.columns, op.kernel[1])
}

/// True when no element is below zero.
fn is_positive(graph: &Graph, users: &Users, id: TensorId) -> bool {
    let Some(node) = users.maker(id).map(|maker| &graph.nodes()[maker]) else { return false };
    let moved = node.inputs.first().copied().flatten().and_then(|id| users.maker(id));
    let op = match (node.op, moved) {
        (Op::Transpose(_), Some(maker)) => graph.nodes()[maker].op,
        (op, _) => op,
    };
    match op {
        Op::Unary(Unary { kind: UnaryKind::Relu, .. }) => true,
        Op::Unary(Unary { kind: UnaryKind::Clip, alpha, .. }) => alpha >= 0.0,
        Op::Conv2d(op) => op.clamp.low >= 0.0,
        Op::DepthwiseConv2d(op) => op.clamp.low >= 0.0,
        _ => false,
    }
}
