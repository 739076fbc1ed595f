//! Folds factors and offsets of channels (batch normalisation, biases) before and after convolutions and matrix products into their
//! weights and biases.
//!
//! Products are regrouped, so results change by a rounding error. An offset before a convolution is folded where there is no padding,
//! which it would not reach; a factor always. Weights that others read too are left alone, so that a graph's constants never grow.

use std::collections::{HashMap, HashSet};

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::conv_nd::Direction;
use ekiben_runtime::ops::conv2d::{Clamp, Window};
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Op};

use super::PassError;
use super::rewrite::Rewrite;
use super::users::Users;
use crate::graph::{Graph, Node, TensorId, i32_values};

/// The graph with factors and offsets of channels in the weights and biases next to them.
///
/// # Errors
/// [`PassError`] as for every pass.
pub fn fold_scales(graph: &Graph) -> Result<Graph, PassError> {
    let users = Users::new(graph);
    let mut absorbed = HashSet::new();
    let mut folds = HashMap::new();
    for (position, node) in graph.nodes().iter().enumerate() {
        if let Some(fold) = Fold::of(graph, &users, position, node, &absorbed) {
            absorbed.extend(fold.first.iter().chain(&fold.then));
            folds.insert(position, fold);
        }
    }
    let passed: HashMap<usize, TensorId> =
        folds.values().flat_map(|fold| fold.then.iter().copied().zip(fold.data.iter().copied())).collect();
    let mut rewrite = Rewrite::new(graph);
    for (position, node) in graph.nodes().iter().enumerate() {
        if let Some(fold) = folds.get(&position) {
            fold.write(&mut rewrite, node)?;
        } else if let Some(&data) = passed.get(&position) {
            let id = rewrite.tensor(data)?;
            rewrite.put(node.outputs[0], id);
        } else if !absorbed.contains(&position) {
            rewrite.copy(node)?;
        }
    }
    rewrite.finish()
}

/// `x * scale + shift`, channel by channel.
#[derive(Clone, Debug, PartialEq)]
struct Step {
    scale: Vec<f64>,
    shift: Vec<f64>,
}

impl Step {
    fn nothing(channels: usize) -> Self {
        Self { scale: vec![1.0; channels], shift: vec![0.0; channels] }
    }

    /// This step, then another.
    fn then(&self, next: &Self) -> Self {
        let scale = self.scale.iter().zip(&next.scale).map(|(a, b)| a * b).collect();
        let shift = self.shift.iter().zip(&next.scale).zip(&next.shift).map(|((a, b), c)| a * b + c).collect();
        Self { scale, shift }
    }

    fn scales(&self) -> bool {
        self.scale.iter().any(|&scale| scale != 1.0)
    }

    fn shifts(&self) -> bool {
        self.shift.iter().any(|&shift| shift != 0.0)
    }

    fn is_finite(&self) -> bool {
        self.scale.iter().chain(&self.shift).all(|value| value.is_finite())
    }

    /// What a node does to `data`, whose last axis has `channels` elements.
    fn of(graph: &Graph, node: &Node, data: TensorId, channels: usize) -> Option<Self> {
        let fill = |scale: f64, shift: f64| Self { scale: vec![scale; channels], shift: vec![shift; channels] };
        let step = match (node.op, &node.inputs[..]) {
            (Op::Unary(Unary { kind: UnaryKind::Affine, alpha, beta }), _) => fill(alpha, beta),
            (Op::Unary(Unary { kind: UnaryKind::Neg, .. }), _) => fill(-1.0, 0.0),
            (Op::Binary(Binary { kind }), &[Some(a), Some(b)]) => {
                let (first, constant) = if a == data { (true, b) } else { (false, a) };
                let values = of_channels(graph, constant, channels)?;
                let nothing = Self::nothing(channels);
                match (kind, first) {
                    (BinaryKind::Mul, _) => Self { scale: values, ..nothing },
                    (BinaryKind::Div, true) => {
                        Self { scale: values.iter().map(|value| 1.0 / value).collect(), ..nothing }
                    }
                    (BinaryKind::Add, _) => Self { shift: values, ..nothing },
                    (BinaryKind::Sub, true) => Self { shift: values.iter().map(|value| -value).collect(), ..nothing },
                    (BinaryKind::Sub, false) => Self { shift: values, ..fill(-1.0, 0.0) },
                    _ => return None,
                }
            }
            _ => return None,
        };
        let same = |&output: &TensorId| graph.spec(output) == graph.spec(data);
        (node.outputs.len() == 1 && node.outputs.iter().all(same) && step.is_finite()).then_some(step)
    }
}

/// The elements of a constant of float type.
fn floats(graph: &Graph, id: TensorId) -> Option<Vec<f64>> {
    let tensor = graph.tensor(id);
    let bytes = tensor.constant.as_ref()?.as_slice();
    match tensor.spec.dtype {
        DType::F32 => Some(bytemuck::cast_slice::<u8, f32>(bytes).iter().map(|&value| value.into()).collect()),
        DType::F64 => Some(bytemuck::cast_slice(bytes).to_vec()),
        _ => None,
    }
}

/// The elements of a constant with one value for each element of the last axis, or one for all.
fn of_channels(graph: &Graph, id: TensorId, channels: usize) -> Option<Vec<f64>> {
    let shape = graph.shape(id);
    let last = shape.factors().last().copied().unwrap_or(1) as usize;
    if shape.elements() != Some(last as u64) {
        return None;
    }
    let values = floats(graph, id)?;
    match values[..] {
        [value] => Some(vec![value; channels]),
        _ => (values.len() == channels).then_some(values),
    }
}

/// A node whose outputs are sums of products of its input with weights.
#[derive(Clone, Copy, Debug)]
struct Linear {
    weights: TensorId,
    /// Input that holds the bias.
    bias: usize,
    /// Channels of the input and of the output.
    inputs: usize,
    outputs: usize,
    /// Elements of the weights that one output channel has side by side, and for convolutions of one group or more the input
    /// channels that a filter sees.
    layout: Layout,
    /// True when every product counts for every element: no padding.
    whole: bool,
}

#[derive(Clone, Copy, Debug)]
enum Layout {
    /// `[outputs, …, width]`, filters of one group together.
    Filters { filter: usize, width: usize, per_group: usize },
    /// `[…, outputs]`, each input channel having as many outputs.
    Depthwise { multiplier: usize },
    /// `[inputs, outputs]`.
    Matrix,
}

impl Linear {
    fn of(graph: &Graph, node: &Node) -> Option<Self> {
        let (&Some(Some(x)), &Some(Some(weights))) = (&node.inputs.first(), &node.inputs.get(1)) else { return None };
        let last = |id: TensorId| graph.shape(id).factors().last().map(|&dim| dim as usize);
        let (inputs, outputs) = (last(*x)?, last(*node.outputs.first()?)?);
        let elements = usize::try_from(graph.shape(*weights).elements()?).ok()?;
        let filters = |groups: u32| Layout::Filters {
            filter: elements / outputs.max(1),
            width: inputs / (groups as usize).max(1),
            per_group: outputs / (groups as usize).max(1),
        };
        let (bias, layout, whole) = match node.op {
            Op::Conv2d(op) if op.clamp == Clamp::NONE => (2, filters(op.groups), is_bare(&op.window)),
            Op::DepthwiseConv2d(op) if op.clamp == Clamp::NONE => {
                (2, Layout::Depthwise { multiplier: outputs / inputs.max(1) }, is_bare(&op.window))
            }
            Op::ConvNd(op) if op.clamp == Clamp::NONE => {
                let table = i32_values(graph.tensor(node.inputs.get(2).copied().flatten()?))?;
                let bare = table[table.len() / 2..].iter().all(|&pad| pad == 0);
                (3, filters(op.groups), op.direction == Direction::Forward && bare)
            }
            Op::MatMul(op) if op.transpose_b => (2, filters(1), true),
            Op::MatMul(_) => (2, Layout::Matrix, true),
            _ => return None,
        };
        (elements > 0 && outputs > 0).then_some(Self { weights: *weights, bias, inputs, outputs, layout, whole })
    }

    /// Input and output channel of the weight at `index`.
    fn channels(&self, index: usize) -> (usize, usize) {
        match self.layout {
            Layout::Filters { filter, width, per_group } => {
                let output = index / filter.max(1);
                (output / per_group.max(1) * width + index % width.max(1), output)
            }
            Layout::Depthwise { multiplier } => {
                let output = index % self.outputs;
                (output / multiplier.max(1), output)
            }
            Layout::Matrix => (index / self.outputs, index % self.outputs),
        }
    }
}

fn is_bare(window: &Window) -> bool {
    [window.rows, window.columns].iter().all(|axis| (axis.before, axis.after) == (0, 0))
}

/// What is folded into one node.
struct Fold {
    linear: Linear,
    before: Step,
    after: Step,
    /// What the node reads instead of its input.
    input: TensorId,
    /// Positions of the nodes before that it stands for too.
    first: Vec<usize>,
    /// Positions of the nodes after, and what each of them reads.
    then: Vec<usize>,
    data: Vec<TensorId>,
}

impl Fold {
    fn of(graph: &Graph, users: &Users, position: usize, node: &Node, taken: &HashSet<usize>) -> Option<Self> {
        let linear = Linear::of(graph, node)?;
        // Weights may be changed where they are known and nobody else reads them.
        let own = users.only_reader(linear.weights) == Some(position) && floats(graph, linear.weights).is_some();
        let bias = node.inputs.get(linear.bias).copied().flatten();
        if bias.is_some_and(|bias| floats(graph, bias).is_none()) {
            return None;
        }
        let mut fold = Self {
            linear,
            before: Step::nothing(linear.inputs),
            after: Step::nothing(linear.outputs),
            input: node.inputs.first().copied().flatten()?,
            first: Vec::new(),
            then: Vec::new(),
            data: Vec::new(),
        };
        fold.follow(graph, users, *node.outputs.first()?, own);
        if own {
            fold.precede(graph, users, position, taken);
        }
        (!fold.first.is_empty() || !fold.then.is_empty()).then_some(fold)
    }

    /// Takes in the nodes after `output`, also behind reshapes that leave the channels.
    fn follow(&mut self, graph: &Graph, users: &Users, mut output: TensorId, own: bool) {
        while let Some((reader, data)) = users.only_reader_of_rows(graph, output) {
            let Some(step) = Step::of(graph, &graph.nodes()[reader], data, self.linear.outputs) else { return };
            let after = self.after.then(&step);
            if !after.is_finite() || (after.scales() && !own) {
                return;
            }
            self.after = after;
            self.then.push(reader);
            self.data.push(data);
            output = graph.nodes()[reader].outputs[0];
        }
    }

    /// Takes in the nodes before, from the nearest on.
    fn precede(&mut self, graph: &Graph, users: &Users, position: usize, taken: &HashSet<usize>) {
        let mut reader = position;
        while let Some(maker) = users.maker(self.input).filter(|maker| !taken.contains(maker)) {
            let node = &graph.nodes()[maker];
            if users.only_reader(self.input) != Some(reader) {
                return;
            }
            let data = node.inputs.iter().flatten().copied().find(|&id| graph.tensor(id).constant.is_none());
            let Some(data) = data else { return };
            let Some(step) = Step::of(graph, node, data, self.linear.inputs) else { return };
            let before = step.then(&self.before);
            if !before.is_finite() || (before.shifts() && !self.linear.whole) {
                return;
            }
            self.before = before;
            self.input = data;
            self.first.push(maker);
            reader = maker;
        }
    }

    /// The weights and the bias with both steps in them.
    fn folded(&self, graph: &Graph, bias: Option<TensorId>) -> (Option<Vec<f64>>, Option<Vec<f64>>) {
        let stated = bias.and_then(|bias| floats(graph, bias));
        let mut sums = stated.clone().unwrap_or_else(|| vec![0.0; self.linear.outputs]);
        let mut weights = floats(graph, self.linear.weights)
            .filter(|_| self.before.scales() || self.before.shifts() || self.after.scales());
        for (index, weight) in weights.iter_mut().flatten().enumerate() {
            let (input, output) = self.linear.channels(index);
            sums[output] += *weight * self.before.shift[input];
            *weight *= self.before.scale[input] * self.after.scale[output];
        }
        for ((sum, scale), shift) in sums.iter_mut().zip(&self.after.scale).zip(&self.after.shift) {
            *sum = *sum * scale + shift;
        }
        let biased = stated.is_some() || self.before.shifts() || self.after.shifts();
        (weights, biased.then_some(sums))
    }

    fn write(&self, rewrite: &mut Rewrite<'_>, node: &Node) -> Result<(), PassError> {
        let graph = rewrite.old;
        let bias = node.inputs.get(self.linear.bias).copied().flatten();
        let (weights, sums) = self.folded(graph, bias);
        let mut inputs = node.inputs.iter().map(|input| input.map(|id| rewrite.tensor(id)).transpose());
        let mut inputs = inputs.by_ref().skip(1).collect::<Result<Vec<_>, _>>()?;
        inputs.insert(0, Some(rewrite.tensor(self.input)?));
        inputs.resize(inputs.len().max(self.linear.bias), None);
        if let Some(weights) = weights {
            let dims: Vec<usize> = graph.shape(self.linear.weights).factors().iter().map(|&dim| dim as usize).collect();
            inputs[1] = Some(constant(rewrite, self.linear.weights, &dims, &weights)?);
        }
        if let Some(sums) = sums {
            let like = bias.unwrap_or(self.linear.weights);
            let id = constant(rewrite, like, &[self.linear.outputs], &sums)?;
            inputs.truncate(self.linear.bias);
            inputs.push(Some(id));
        }
        rewrite.write(node, node.op, &inputs)
    }
}

/// Adds a constant with the name and the type of another.
fn constant(rewrite: &mut Rewrite<'_>, like: TensorId, dims: &[usize], values: &[f64]) -> Result<TensorId, PassError> {
    let tensor = rewrite.old.tensor(like);
    Ok(match tensor.spec.dtype {
        DType::F64 => rewrite.new.add_constant(&tensor.name, DType::F64, dims, values)?,
        _ => {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            rewrite.new.add_constant(&tensor.name, DType::F32, dims, &values)?
        }
    })
}
