//! Looking back from a node over those that make its inputs.

use std::collections::{HashMap, HashSet};

use ekiben_runtime::ops::binary::BinaryKind;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Op, Shape, TensorSpec};

use super::PassError;
use super::rewrite::Rewrite;
use crate::graph::{Graph, Node, TensorId};

/// How many nodes deep an expression of one variable is followed.
const MAX_DEPTH: usize = 12;

/// A graph with what makes and what reads each tensor.
pub(super) struct Links<'a> {
    pub(super) graph: &'a Graph,
    makers: HashMap<TensorId, usize>,
    readers: HashMap<TensorId, Vec<usize>>,
}

/// An operand of a fusion: a tensor, perhaps in another shape.
#[derive(Clone, Copy)]
pub(super) struct Source {
    pub(super) tensor: TensorId,
    pub(super) shape: Option<Shape>,
}

impl From<TensorId> for Source {
    fn from(tensor: TensorId) -> Self {
        Self { tensor, shape: None }
    }
}

/// What takes the place of a node and of those before it that nothing else reads.
pub(super) struct Fusion {
    pub(super) op: Op,
    pub(super) inputs: Vec<Option<Source>>,
}

impl Fusion {
    /// A fusion of tensors as they are.
    pub(super) fn of(op: impl Into<Op>, inputs: &[TensorId]) -> Self {
        Self { op: op.into(), inputs: inputs.iter().map(|&id| Some(id.into())).collect() }
    }
}

/// The graph with every node replaced for which `find` gives a fusion that its operator takes.
pub(super) fn fuse(graph: &Graph, find: impl Fn(&Links<'_>, &Node) -> Option<Fusion>) -> Result<Graph, PassError> {
    let links = Links::new(graph);
    let mut rewrite = Rewrite::new(graph);
    for node in graph.nodes() {
        let Some(Fusion { op, inputs }) = find(&links, node) else {
            rewrite.copy(node)?;
            continue;
        };
        let inputs = inputs.into_iter().map(|input| input.map(|source| operand(&mut rewrite, source)).transpose());
        let inputs = inputs.collect::<Result<Vec<_>, _>>()?;
        if rewrite.write(node, op, &inputs).is_err() {
            rewrite.copy(node)?;
        }
    }
    super::remove_dead_nodes(&rewrite.finish()?)
}

/// The new tensor of an operand.
fn operand(rewrite: &mut Rewrite<'_>, source: Source) -> Result<TensorId, PassError> {
    let tensor = rewrite.old.tensor(source.tensor);
    let Some(shape) = source.shape.filter(|&shape| shape != tensor.spec.shape) else {
        return rewrite.tensor(source.tensor);
    };
    let spec = TensorSpec { shape, ..tensor.spec };
    if let Some(bytes) = &tensor.constant {
        return Ok(rewrite.new.add_shared_constant(&tensor.name, spec, bytes.clone())?);
    }
    let whole = rewrite.tensor(source.tensor)?;
    Ok(rewrite.new.add_declared(&tensor.name, Reshape, &[whole], spec)?)
}

impl<'a> Links<'a> {
    pub(super) fn new(graph: &'a Graph) -> Self {
        let mut links = Self { graph, makers: HashMap::new(), readers: HashMap::new() };
        for (position, node) in graph.nodes().iter().enumerate() {
            links.makers.extend(node.outputs.iter().map(|&id| (id, position)));
            for &id in node.inputs.iter().flatten() {
                links.readers.entry(id).or_default().push(position);
            }
        }
        for id in graph.results() {
            // No node stands there: an output is read from outside.
            links.readers.entry(id).or_default().push(usize::MAX);
        }
        links
    }

    /// The node that makes a tensor.
    pub(super) fn maker(&self, id: TensorId) -> Option<&'a Node> {
        self.makers.get(&id).and_then(|&position| self.graph.nodes().get(position))
    }

    /// The one element of a float constant.
    pub(super) fn scalar(&self, id: TensorId) -> Option<f64> {
        let tensor = self.graph.tensor(id);
        let bytes = tensor.constant.as_ref()?.as_slice();
        match (tensor.spec.dtype, bytes.len()) {
            (DType::F32, 4) => Some(bytemuck::cast_slice::<u8, f32>(bytes)[0].into()),
            (DType::F64, 8) => Some(bytemuck::cast_slice::<u8, f64>(bytes)[0]),
            _ => None,
        }
    }

    /// The operands of the arithmetic that makes a tensor.
    pub(super) fn binary(&self, id: TensorId, kind: BinaryKind) -> Option<[TensorId; 2]> {
        let node = self.maker(id)?;
        match (node.op, node.inputs.as_slice()) {
            (Op::Binary(binary), &[Some(a), Some(b)]) if binary.kind == kind => Some([a, b]),
            _ => None,
        }
    }

    /// The argument of the function that makes a tensor.
    pub(super) fn unary(&self, id: TensorId, kind: UnaryKind) -> Option<(TensorId, Unary)> {
        let node = self.maker(id)?;
        match (node.op, node.inputs.as_slice()) {
            (Op::Unary(unary), &[Some(x)]) if unary.kind == kind => Some((x, unary)),
            _ => None,
        }
    }

    /// `x`, a and b where a tensor is `a * x + b` by numbers, and x is of the tensor's shape; as many steps as there are.
    pub(super) fn affine(&self, id: TensorId) -> (TensorId, f64, f64) {
        let (mut x, mut a, mut b) = (id, 1.0, 0.0);
        for _ in 0..MAX_DEPTH {
            let Some((inner, factor, term)) = self.affine_step(x) else { break };
            (x, b, a) = (inner, a * term + b, a * factor);
        }
        (x, a, b)
    }

    fn affine_step(&self, id: TensorId) -> Option<(TensorId, f64, f64)> {
        let node = self.maker(id)?;
        let (x, a, b) = match (node.op, node.inputs.as_slice()) {
            (Op::Unary(unary), &[Some(x)]) => match unary.kind {
                UnaryKind::Affine => (x, unary.alpha, unary.beta),
                UnaryKind::Neg => (x, -1.0, 0.0),
                UnaryKind::Identity => (x, 1.0, 0.0),
                _ => return None,
            },
            (Op::Binary(binary), &[Some(p), Some(q)]) => match (binary.kind, self.scalar(p), self.scalar(q)) {
                (BinaryKind::Add, None, Some(c)) => (p, 1.0, c),
                (BinaryKind::Add, Some(c), None) => (q, 1.0, c),
                (BinaryKind::Sub, None, Some(c)) => (p, 1.0, -c),
                (BinaryKind::Sub, Some(c), None) => (q, -1.0, c),
                (BinaryKind::Mul, None, Some(c)) => (p, c, 0.0),
                (BinaryKind::Mul, Some(c), None) => (q, c, 0.0),
                (BinaryKind::Div, None, Some(c)) => (p, 1.0 / c, 0.0),
                _ => return None,
            },
            _ => return None,
        };
        (self.graph.shape(x) == self.graph.shape(id)).then_some((x, a, b))
    }

    /// `x` and a where a tensor is `a * x`.
    pub(super) fn scaled(&self, id: TensorId) -> (TensorId, f64) {
        match self.affine(id) {
            (x, a, 0.0) => (x, a),
            _ => (id, 1.0),
        }
    }

    /// The coefficients of a tensor as a polynomial of `x` of the third degree at most.
    pub(super) fn polynomial(&self, id: TensorId, x: TensorId) -> Option<[f64; 4]> {
        self.polynomial_within(id, x, MAX_DEPTH)
    }

    fn polynomial_within(&self, id: TensorId, x: TensorId, depth: usize) -> Option<[f64; 4]> {
        if id == x {
            return Some([0.0, 1.0, 0.0, 0.0]);
        }
        if let Some(c) = self.scalar(id) {
            return Some([c, 0.0, 0.0, 0.0]);
        }
        let node = self.maker(id)?;
        let of = |id: TensorId| self.polynomial_within(id, x, depth.checked_sub(1)?);
        match (node.op, node.inputs.as_slice()) {
            (Op::Unary(unary), &[Some(y)]) => match unary.kind {
                UnaryKind::Affine => {
                    Some(plus(times(of(y)?, [unary.alpha, 0.0, 0.0, 0.0])?, [unary.beta, 0.0, 0.0, 0.0]))
                }
                UnaryKind::Neg => times(of(y)?, [-1.0, 0.0, 0.0, 0.0]),
                UnaryKind::Square => times(of(y)?, of(y)?),
                UnaryKind::Identity => of(y),
                _ => None,
            },
            (Op::Binary(binary), &[Some(p), Some(q)]) => match binary.kind {
                BinaryKind::Add => Some(plus(of(p)?, of(q)?)),
                BinaryKind::Sub => Some(plus(of(p)?, times(of(q)?, [-1.0, 0.0, 0.0, 0.0])?)),
                BinaryKind::Mul => times(of(p)?, of(q)?),
                BinaryKind::Div => times(of(p)?, [1.0 / self.scalar(q)?, 0.0, 0.0, 0.0]),
                BinaryKind::Pow => match self.scalar(q)? {
                    2.0 => times(of(p)?, of(p)?),
                    3.0 => times(of(p)?, times(of(p)?, of(p)?)?),
                    _ => None,
                },
                _ => None,
            },
            _ => None,
        }
    }

    /// True when everything between a node and `leaves` is read by nothing else, so that it is left out with the node.
    pub(super) fn is_closed(&self, node: &Node, leaves: &[TensorId]) -> bool {
        let Some(root) = node.outputs.first().and_then(|id| self.makers.get(id)) else { return false };
        let mut inside = HashSet::from([*root]);
        let mut open: Vec<TensorId> = node.inputs.iter().flatten().copied().collect();
        let mut between = Vec::new();
        while let Some(id) = open.pop() {
            let Some(maker) = self.makers.get(&id).filter(|_| !leaves.contains(&id)) else { continue };
            between.push(id);
            if inside.insert(*maker) {
                open.extend(self.graph.nodes()[*maker].inputs.iter().flatten());
            }
        }
        between.iter().all(|id| self.readers.get(id).is_none_or(|readers| readers.iter().all(|at| inside.contains(at))))
    }
}

fn plus(a: [f64; 4], b: [f64; 4]) -> [f64; 4] {
    std::array::from_fn(|power| a[power] + b[power])
}

/// The product, unless its degree is more than three.
fn times(a: [f64; 4], b: [f64; 4]) -> Option<[f64; 4]> {
    let mut product = [0.0; 4];
    for (i, a) in a.into_iter().enumerate().filter(|&(_, a)| a != 0.0) {
        for (j, b) in b.into_iter().enumerate().filter(|&(_, b)| b != 0.0) {
            *product.get_mut(i + j)? += a * b;
        }
    }
    Some(product)
}

/// True for numbers that are the same but for rounding to f32 and short constants in a source.
pub(super) fn near(a: f64, b: f64) -> bool {
    (a - b).abs() <= 2e-6 * b.abs()
}
