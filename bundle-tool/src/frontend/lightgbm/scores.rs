//! What a model computes, as operators.

use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::linear_leaves::LinearLeaves;
use ekiben_runtime::ops::reshape::Reshape;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::text::Booster;
use super::tree::Tree;
use crate::frontend::FrontendError;
use crate::frontend::forest::{Aggregate, Combination, Forest};
use crate::graph::{Graph, TensorId};

/// What is asked of a booster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// What it predicts: `[N]`, or `[N, scores]` where there are several.
    Prediction,
    /// The raw scores behind that, of the same shape.
    Raw,
    /// The leaf that a row reaches in each tree: `[N, trees]`, int32.
    Leaves,
}

/// Iterations whose trees are taken: those that are there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Iterations {
    /// The first.
    pub start: usize,
    /// The one after the last. Absent, it is the model's best iteration if training stopped early, else the end.
    pub stop: Option<usize>,
}

impl Booster {
    /// Appends an answer to `x`, numbers `[N, features]`. `path` names the model in messages.
    ///
    /// # Errors
    /// What the graph refuses; leaves of a model without trees.
    pub fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        answer: Answer,
        x: TensorId,
        iterations: Iterations,
    ) -> Result<TensorId, FrontendError> {
        let dtype = graph.spec(x).dtype;
        let linear = answer != Answer::Leaves && self.chosen(iterations).iter().any(|tree| tree.linear.is_some());
        let mut x = x;
        if !dtype.is_float() {
            x = graph.add(&format!("{path}/f32"), Cast { to: DType::F32 }, &[x])?;
        }
        if !matches!(graph.spec(x).dtype, DType::F32 | DType::F64) || linear && graph.spec(x).dtype != DType::F64 {
            x = graph.add(&format!("{path}/f64"), Cast { to: DType::F64 }, &[x])?;
        }
        let scores = match answer {
            Answer::Leaves => return self.leaves(graph, path, x, iterations),
            Answer::Raw => self.raw(graph, path, x, iterations)?,
            Answer::Prediction => self.predict(graph, path, x, iterations)?,
        };
        self.shaped(graph, path, scores)
    }

    /// The trees of some iterations.
    fn chosen(&self, iterations: Iterations) -> &[Tree] {
        let best = self.best_iteration.filter(|_| iterations.start == 0);
        let from = |iteration: usize| iteration.saturating_mul(self.per_iteration).min(self.trees.len());
        let stop = iterations.stop.or(best).unwrap_or(usize::MAX);
        self.trees.get(from(iterations.start)..from(stop)).unwrap_or_default()
    }

    /// Raw scores `[N, per_iteration]`: sums from 0 in the order of the trees.
    fn raw(
        &self,
        graph: &mut Graph,
        path: &str,
        x: TensorId,
        iterations: Iterations,
    ) -> Result<TensorId, FrontendError> {
        let trees = self.chosen(iterations);
        if trees.iter().any(|tree| tree.linear.is_some()) {
            return self.linear_raw(graph, path, x, trees);
        }
        let targets = self.per_iteration as u32;
        let combination = Combination { aggregate: Aggregate::Sum, values: DType::F64, start: None };
        self.forest(path, trees, targets)?.lower(graph, path, x, combination)
    }

    /// Raw scores as the objective has them.
    fn predict(
        &self,
        graph: &mut Graph,
        path: &str,
        x: TensorId,
        iterations: Iterations,
    ) -> Result<TensorId, FrontendError> {
        let mut scores = self.raw(graph, path, x, iterations)?;
        let count = self.chosen(iterations).len() / self.per_iteration;
        if self.average && count > 0 {
            let name = format!("{path}/average");
            let count = graph.add_constant(&name, DType::F64, &[1], &[count as f64])?;
            scores = graph.add(&name, Binary { kind: BinaryKind::Div }, &[scores, count])?;
        }
        self.objective.lower(graph, path, scores)
    }

    /// The leaf that each row reaches in each tree.
    fn leaves(
        &self,
        graph: &mut Graph,
        path: &str,
        x: TensorId,
        iterations: Iterations,
    ) -> Result<TensorId, FrontendError> {
        let trees = self.chosen(iterations);
        if trees.is_empty() {
            return Err(FrontendError::unsupported(path, "predict_leaf", "the model has no trees to name leaves of"));
        }
        self.forest(path, trees, 1)?.lower_leaves(graph, path, x)
    }

    /// The trees with their leaves' values. A model without trees is one of zeros.
    fn forest(&self, path: &str, trees: &[Tree], targets: u32) -> Result<Forest, FrontendError> {
        let mut forest = Forest::new(targets);
        for (index, tree) in trees.iter().enumerate() {
            let target = index as u32 % targets;
            let pairs: Vec<(u32, f64)> = tree.leaves.iter().map(|&value| (target, value)).collect();
            forest.add_tree(&format!("{path}/tree {index}"), &tree.forest_nodes(&pairs), 0)?;
        }
        if trees.is_empty() {
            for target in 0..targets {
                let nothing = Tree { nodes: Vec::new(), leaves: vec![0.0], linear: None };
                forest.add_tree(path, &nothing.forest_nodes(&[(target, 0.0)]), 0)?;
            }
        }
        Ok(forest)
    }

    /// [`Booster::raw`] where leaves are linear functions.
    fn linear_raw(
        &self,
        graph: &mut Graph,
        path: &str,
        x: TensorId,
        trees: &[Tree],
    ) -> Result<TensorId, FrontendError> {
        let reached = self.forest(path, trees, 1)?.lower_leaves(graph, path, x)?;
        let (mut tree_starts, mut term_starts) = (vec![0_u32], vec![0_u32]);
        let (mut features, mut coefficients, mut constants, mut values) = (vec![], vec![], vec![], vec![]);
        let position = |length: usize| {
            u32::try_from(length).map_err(|_| FrontendError::malformed(path, "too many leaves or linear features"))
        };
        for tree in trees {
            for (index, &value) in tree.leaves.iter().enumerate() {
                let linear = tree.linear.as_ref().and_then(|linear| linear.get(index));
                constants.push(linear.map_or(value, |linear| linear.constant));
                values.push(value);
                for &(feature, coefficient) in linear.map_or(&[][..], |linear| &linear.terms) {
                    features.push(feature);
                    coefficients.push(coefficient);
                }
                term_starts.push(position(features.len())?);
            }
            tree_starts.push(position(values.len())?);
        }
        if features.is_empty() {
            // A term that no leaf has: lists are not empty.
            features.push(0);
            coefficients.push(0.0);
        }
        let name = format!("{path}/leaves");
        let mut table = |list: &[u32]| graph.add_constant(&name, DType::U32, &[list.len()], list);
        let [tree_starts, term_starts, features] = [table(&tree_starts)?, table(&term_starts)?, table(&features)?];
        let mut numbers = |list: &[f64]| graph.add_constant(&name, DType::F64, &[list.len()], list);
        let [coefficients, constants, values] = [numbers(&coefficients)?, numbers(&constants)?, numbers(&values)?];
        let inputs = [x, reached, tree_starts, term_starts, features, coefficients, constants, values];
        Ok(graph.add(&name, LinearLeaves { targets: self.per_iteration as u32 }, &inputs)?)
    }

    /// `scores` as the framework gives them: without an axis for one score.
    fn shaped(&self, graph: &mut Graph, path: &str, scores: TensorId) -> Result<TensorId, FrontendError> {
        let spec = graph.spec(scores);
        if self.per_iteration != 1 {
            return Ok(scores);
        }
        let dims: Vec<usize> = spec.shape.factor(0).into_iter().collect();
        let shape =
            Shape::new(&dims, spec.shape.batch_axis()).map_err(|error| FrontendError::malformed(path, error))?;
        Ok(graph.add_declared(&format!("{path}/scores"), Reshape, &[scores], TensorSpec { shape, ..spec })?)
    }
}
