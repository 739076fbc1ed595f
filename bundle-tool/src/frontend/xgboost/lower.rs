//! A booster in the graph: sums as xgboost's CPU predictor makes them, in float32, and the objective's link.

use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::pad::{Pad, PadMode};
use ekiben_runtime::ops::reduce::{Reduce, ReduceKind};
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::model::{Booster, Parts, Tree};
use super::objective::Link;
use crate::frontend::FrontendError;
use crate::frontend::forest::{Aggregate, Combination, Comparison, Forest, Split, Test, TreeNode};
use crate::graph::{Graph, TensorId};

/// How many rounds count, and which of xgboost's predictors is followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Way {
    /// The first round that counts.
    pub(crate) from: usize,
    /// The round before which counting ends; the end of them when absent.
    pub(crate) to: Option<usize>,
    /// As `Booster.inplace_predict` does, which scikit-learn's wrapper uses: `dart`'s products are rounded differently.
    pub(crate) in_place: bool,
}

impl Booster {
    /// The sums of rows `x` (f32, `[N, features]`, NaN = missing): f32 `[N, outputs]`.
    pub(crate) fn margins(
        &self,
        graph: &mut Graph,
        path: &str,
        x: TensorId,
        way: Way,
    ) -> Result<TensorId, FrontendError> {
        match &self.parts {
            Parts::Trees(trees) => self.tree_sums(graph, path, trees, x, way),
            Parts::Linear(weights) => self.linear_sums(graph, path, weights, x),
        }
    }

    /// The base score and, tree by tree, the leaves reached, added in float32; before 1.3 the base score came last.
    fn tree_sums(
        &self,
        graph: &mut Graph,
        path: &str,
        trees: &[Tree],
        x: TensorId,
        way: Way,
    ) -> Result<TensorId, FrontendError> {
        let mut forest = Forest::new(self.outputs as u32);
        let counts = |tree: &Tree| tree.round >= way.from && way.to.is_none_or(|to| tree.round < to);
        for (index, tree) in trees.iter().enumerate().filter(|(_, tree)| counts(tree)) {
            self.add_tree(&mut forest, &format!("{path}/trees[{index}]"), tree, way)?;
        }
        let name = format!("{path}/trees");
        let start: Vec<f64> = self.base.iter().map(|&base| base.into()).collect();
        let combination = Combination { aggregate: Aggregate::Sum, values: DType::F32, start: Some(&start) };
        if self.version >= (1, 3) {
            return forest.lower(graph, &name, x, combination);
        }
        let sum = forest.lower(graph, &name, x, Combination { start: None, ..combination })?;
        let base = graph.add_constant(&format!("{path}/base_score"), DType::F32, &[self.outputs], &self.base)?;
        Ok(graph.add(&format!("{path}/sums"), Binary { kind: BinaryKind::Add }, &[base, sum])?)
    }

    fn add_tree(&self, forest: &mut Forest, path: &str, tree: &Tree, way: Way) -> Result<(), FrontendError> {
        let output = |index: usize| if tree.width == 1 { tree.group as usize } else { index % tree.width };
        let values = tree.values.iter().enumerate();
        let values = values.map(|(index, &value)| f64::from(self.weighted(tree.weight, value, output(index), way)));
        let values: Vec<f64> = values.collect();
        let pairs: Vec<(u32, f64)> = match tree.width {
            1 => values.iter().map(|&value| (tree.group, value)).collect(),
            _ => Vec::new(),
        };
        let mut nodes = Vec::with_capacity(tree.left.len());
        for (node, (&left, &right)) in tree.left.iter().zip(&tree.right).enumerate() {
            if left < 0 {
                nodes.push(match tree.width {
                    1 => TreeNode::Sparse(&pairs[node..=node]),
                    width => TreeNode::Dense(&values[node * width..][..width]),
                });
                continue;
            }
            let (Ok(left), Ok(right)) = (usize::try_from(left), usize::try_from(right)) else {
                return Err(FrontendError::malformed(path, format!("node {node} has the children {left} and {right}")));
            };
            let feature = tree.feature[node];
            if feature as usize >= self.features {
                let reason = format!("node {node} reads feature {feature} of {}", self.features);
                return Err(FrontendError::malformed(path, reason));
            }
            let default_left = tree.default_left[node];
            let split = match tree.members.get(&node) {
                // Listed categories go right; no category, and one past the list, goes left.
                Some(set) => Split {
                    feature,
                    test: Test::Member { set, outside: false, fractions: false },
                    nan_is_true: !default_left,
                    zero_is_missing: false,
                    when_true: right,
                    when_false: left,
                },
                None => Split {
                    feature,
                    test: Test::Compare { comparison: Comparison::Less, threshold: tree.threshold[node].into() },
                    nan_is_true: default_left,
                    zero_is_missing: false,
                    when_true: left,
                    when_false: right,
                },
            };
            nodes.push(TreeNode::Split(split));
        }
        forest.add_tree(path, &nodes, 0)
    }

    /// What a leaf of a tree of weight `weight` adds to `output`. In place, `dart` takes each tree's sum with the base score in it and
    /// takes that off again, which rounds.
    fn weighted(&self, weight: f32, value: f32, output: usize, way: Way) -> f32 {
        if !self.dart {
            return value;
        }
        let base =
            if way.in_place && self.version >= (1, 4) { self.base.get(output).copied().unwrap_or(0.0) } else { 0.0 };
        ((base + value) - base) * weight
    }

    /// `bias + base score`, then the products of features and weights added in order, in float32; a missing value adds nothing. The base
    /// score is the first output's for all of them, as xgboost 3 has it where they differ.
    fn linear_sums(
        &self,
        graph: &mut Graph,
        path: &str,
        weights: &[f32],
        x: TensorId,
    ) -> Result<TensorId, FrontendError> {
        let (features, outputs) = (self.features, self.outputs);
        let name = |part: &str| format!("{path}/{part}");
        let zero = graph.add_constant(&name("zero"), DType::F32, &[], &[0.0_f32])?;
        let is_there = graph.add(&name("is_there"), Compare { kind: CompareKind::Equal }, &[x, x])?;
        let x = graph.add(&name("present"), Select, &[is_there, x, zero])?;
        // A first column of ones, whose weight is what the sum starts from.
        let around = graph.add_constant(&name("around"), DType::I32, &[2, 2], &[0, 1, 0, 0])?;
        let one = graph.add_constant(&name("one"), DType::F32, &[], &[1.0_f32])?;
        let x = graph.add(&name("with_one"), Pad { mode: PadMode::Constant }, &[x, around, one])?;
        let mut rows = Vec::with_capacity(weights.len());
        for output in 0..outputs {
            rows.push(weights[features * outputs + output] + self.base[0]);
            rows.extend((0..features).map(|feature| weights[feature * outputs + output]));
        }
        let rows = graph.add_constant(&name("weights"), DType::F32, &[outputs, features + 1], &rows)?;
        Ok(graph.add(&name("sums"), MatMul { transpose_b: true }, &[x, rows])?)
    }

    /// What the objective makes of `margins`, without its last axis where it has one value per row.
    pub(crate) fn predictions(
        &self,
        graph: &mut Graph,
        path: &str,
        margins: TensorId,
    ) -> Result<TensorId, FrontendError> {
        let name = |part: &str| format!("{path}/{part}");
        let values = match self.objective.link {
            Link::Identity => margins,
            Link::Logistic => self.logistic(graph, path, margins)?,
            Link::Exp => graph.add(&name("exp"), Unary::of(UnaryKind::Exp), &[margins])?,
            Link::Hinge => {
                let zero = graph.add_constant(&name("zero"), DType::F32, &[], &[0.0_f32])?;
                let above = graph.add(&name("above"), Compare { kind: CompareKind::Greater }, &[margins, zero])?;
                graph.add(&name("hinge"), Cast { to: DType::F32 }, &[above])?
            }
            Link::Class => {
                let largest = ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false };
                let class = graph.add(&name("class"), largest, &[margins])?;
                return Ok(graph.add(&name("label"), Cast { to: DType::F32 }, &[class])?);
            }
            Link::Softmax => softmax(graph, path, margins)?,
        };
        self.squeezed(graph, path, values)
    }

    /// `values` as `[N]` where there is one per row.
    pub(crate) fn squeezed(&self, graph: &mut Graph, path: &str, values: TensorId) -> Result<TensorId, FrontendError> {
        let spec = graph.spec(values);
        if self.outputs != 1 {
            return Ok(values);
        }
        let rows = spec.shape.factor(0).unwrap_or(1);
        let shape =
            Shape::new(&[rows], spec.shape.batch_axis()).map_err(|error| FrontendError::malformed(path, error))?;
        Ok(graph.add_declared(&format!("{path}/squeeze"), Reshape, &[values], TensorSpec { shape, ..spec })?)
    }

    /// `1 / (1 + exp(-x))`, operation by operation in float32; since 1.5, `-x` is 88.7 at most.
    fn logistic(&self, graph: &mut Graph, path: &str, margins: TensorId) -> Result<TensorId, FrontendError> {
        let mut unary = |part: &str, op: Unary, x: TensorId| graph.add(&format!("{path}/{part}"), op, &[x]);
        let mut x = margins;
        if self.version >= (1, 5) {
            x = unary("bounded", Unary { kind: UnaryKind::Clip, alpha: -f64::from(88.7_f32), beta: f64::INFINITY }, x)?;
        }
        x = unary("negative", Unary::of(UnaryKind::Neg), x)?;
        x = unary("exp", Unary::of(UnaryKind::Exp), x)?;
        x = unary("plus_one", Unary { kind: UnaryKind::Affine, alpha: 1.0, beta: 1.0 }, x)?;
        Ok(unary("logistic", Unary::of(UnaryKind::Reciprocal), x)?)
    }
}

/// Softmax over the outputs: powers in float32, their sum in float64, which is rounded to float32 before the division.
pub(crate) fn softmax(graph: &mut Graph, path: &str, margins: TensorId) -> Result<TensorId, FrontendError> {
    let name = |part: &str| format!("{path}/{part}");
    let largest = Reduce { kind: ReduceKind::Max, axes: 1 << 1, keep: true };
    let largest = graph.add(&name("largest"), largest, &[margins])?;
    let shifted = graph.add(&name("shifted"), Binary { kind: BinaryKind::Sub }, &[margins, largest])?;
    let powers = graph.add(&name("powers"), Unary::of(UnaryKind::Exp), &[shifted])?;
    let wide = graph.add(&name("wide"), Cast { to: DType::F64 }, &[powers])?;
    let sum = graph.add(&name("sum"), Reduce { kind: ReduceKind::Sum, axes: 1 << 1, keep: true }, &[wide])?;
    let sum = graph.add(&name("narrow"), Cast { to: DType::F32 }, &[sum])?;
    Ok(graph.add(&name("softmax"), Binary { kind: BinaryKind::Div }, &[powers, sum])?)
}

/// `x` in float32 with NaN where a value is missing: NaN itself, and values equal to `missing` in float32.
pub(crate) fn with_missing(
    graph: &mut Graph,
    path: &str,
    x: TensorId,
    missing: f32,
) -> Result<TensorId, FrontendError> {
    let name = |part: &str| format!("{path}/{part}");
    let x =
        if graph.spec(x).dtype == DType::F32 { x } else { graph.add(&name("f32"), Cast { to: DType::F32 }, &[x])? };
    if missing.is_nan() {
        return Ok(x);
    }
    let value = graph.add_constant(&name("missing"), DType::F32, &[], &[missing])?;
    let nan = graph.add_constant(&name("nan"), DType::F32, &[], &[f32::NAN])?;
    let is_missing = graph.add(&name("is_missing"), Compare { kind: CompareKind::Equal }, &[x, value])?;
    Ok(graph.add(&name("x"), Select, &[is_missing, nan, x])?)
}
