//! Decision trees of any source format on their way to the runtime's [`TreeEnsemble`].
//!
//! A front-end adds trees as it reads them, in the order in which their values are combined, and lowers them once.

use std::collections::HashMap;

use ekiben_runtime::DType;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::tree_ensemble::{Aggregate, Comparison, Decision, LEAF, SplitWord, TreeEnsemble};

use super::FrontendError;
use crate::graph::{Graph, TensorId};

/// What is asked of a feature.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Test<'a> {
    /// feature comparison threshold.
    Compare {
        /// The comparison.
        comparison: Comparison,
        /// The threshold as the source has it. Every decision is kept where features are f32.
        threshold: f64,
    },
    /// Whether the feature's integer part (towards 0) is a category in a set.
    Member {
        /// Words of a bit set: bit `c % 32` of word `c / 32` is set where category `c` is in.
        set: &'a [u32],
        /// What holds for values below 0 and past the words.
        outside: bool,
        /// True where values between -1 and 0 are category 0 (LightGBM), false where they are below 0 (XGBoost, scikit-learn).
        fractions: bool,
    },
}

/// A decision.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Split<'a> {
    /// Index of the feature.
    pub feature: u32,
    /// What is asked of it, unless it is missing.
    pub test: Test<'a>,
    /// True when NaN goes where the test holds.
    pub nan_is_true: bool,
    /// True when values no further than 1e-35 (as f32) from 0 go where NaN goes, as LightGBM has it.
    pub zero_is_missing: bool,
    /// Index among the tree's nodes where the test holds.
    pub when_true: usize,
    /// Index among the tree's nodes where it does not.
    pub when_false: usize,
}

/// A node of one tree.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TreeNode<'a> {
    /// A decision.
    Split(Split<'a>),
    /// A leaf with one value per target.
    Dense(&'a [f64]),
    /// A leaf with values for some targets.
    Sparse(&'a [(u32, f64)]),
}

/// What a forest's trees are combined to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Combination<'a> {
    /// How.
    pub aggregate: Aggregate,
    /// Type in which values are stored and combined: f32 or f64.
    pub values: DType,
    /// What sums start from, one value per target; zeros when absent.
    pub start: Option<&'a [f64]>,
}

/// Trees over the same features, which give values for the same targets.
#[derive(Clone, Debug)]
pub struct Forest {
    targets: u32,
    roots: Vec<u32>,
    splits: Vec<[u32; 4]>,
    thresholds: Vec<f64>,
    comparisons: Vec<Comparison>,
    sets: Vec<u32>,
    set_positions: HashMap<Vec<u32>, u32>,
    /// For each leaf its tree and its number among the leaves of the tree's nodes.
    leaf_numbers: Vec<(u32, u32)>,
    leaf_starts: Vec<u32>,
    pair_targets: Vec<u32>,
    pair_values: Vec<f64>,
}

/// How far the walk over a tree has come with a node.
#[derive(Clone, Copy, PartialEq)]
enum Visit {
    New,
    Open,
    Done,
}

impl Forest {
    /// A forest without trees for `targets` values per row.
    pub fn new(targets: u32) -> Self {
        Self {
            targets,
            roots: Vec::new(),
            splits: Vec::new(),
            thresholds: Vec::new(),
            comparisons: Vec::new(),
            sets: Vec::new(),
            set_positions: HashMap::new(),
            leaf_numbers: Vec::new(),
            leaf_starts: vec![0],
            pair_targets: Vec::new(),
            pair_values: Vec::new(),
        }
    }

    /// Adds the tree whose root is `nodes[root]`; nodes that cannot be reached are left out, shared ones are stored once.
    /// `path` names the tree in messages.
    ///
    /// # Errors
    /// [`FrontendError::Malformed`] when a child is not a node, a node is below itself, or a leaf does not fit the targets.
    pub fn add_tree(&mut self, path: &str, nodes: &[TreeNode<'_>], root: usize) -> Result<(), FrontendError> {
        let order = topological_order(path, nodes, root)?;
        let mut references = vec![0; nodes.len()];
        let is_leaf = nodes.iter().map(|node| !matches!(node, TreeNode::Split(_)));
        let numbers: Vec<u32> =
            is_leaf.scan(0, |leaves, is_leaf| Some(std::mem::replace(leaves, *leaves + u32::from(is_leaf)))).collect();
        let tree = self.roots.len() as u32;
        let mut next_split = self.splits.len() as u32;
        for &index in &order {
            if !matches!(nodes[index], TreeNode::Split(_)) {
                self.leaf_numbers.push((tree, numbers[index]));
            }
            references[index] = match nodes[index] {
                TreeNode::Split(_) => {
                    next_split += 1;
                    next_split - 1
                }
                TreeNode::Dense(values) if values.len() != self.targets as usize => {
                    let reason = format!("leaf {index} has {} values for {} targets", values.len(), self.targets);
                    return Err(FrontendError::malformed(path, reason));
                }
                TreeNode::Dense(values) => {
                    self.add_leaf(path, values.iter().enumerate().map(|(target, &value)| (target as u32, value)))?
                }
                TreeNode::Sparse(pairs) => self.add_leaf(path, pairs.iter().copied())?,
            };
        }
        for &index in &order {
            if let TreeNode::Split(split) = nodes[index] {
                let (decision, threshold, set) = match split.test {
                    Test::Compare { comparison, threshold } => (Decision::Compare(comparison), threshold, 0),
                    Test::Member { set, outside, fractions } => {
                        (Decision::Member { outside, fractions }, 0.0, self.add_set(path, set)?)
                    }
                };
                let (nan_is_true, zero_is_missing) = (split.nan_is_true, split.zero_is_missing);
                let word = SplitWord { feature: split.feature, decision, nan_is_true, zero_is_missing };
                let word = word.pack().ok_or_else(|| {
                    FrontendError::malformed(path, format!("node {index} reads feature {}", split.feature))
                })?;
                self.splits.push([word, references[split.when_true], references[split.when_false], set]);
                self.thresholds.push(threshold);
                self.comparisons.push(match decision {
                    Decision::Compare(comparison) => comparison,
                    Decision::Member { .. } => Comparison::Equal,
                });
            }
        }
        self.roots.push(references[root]);
        if self.splits.len() >= LEAF as usize {
            return Err(FrontendError::malformed(path, "too many nodes"));
        }
        Ok(())
    }

    /// Position of a set of categories among the sets; equal sets are stored once.
    fn add_set(&mut self, path: &str, set: &[u32]) -> Result<u32, FrontendError> {
        if let Some(&position) = self.set_positions.get(set) {
            return Ok(position);
        }
        let too_many = || FrontendError::malformed(path, "too many categories");
        let position = u32::try_from(self.sets.len()).map_err(|_| too_many())?;
        let count = u32::try_from(set.len()).map_err(|_| too_many())?;
        self.sets.push(count);
        self.sets.extend_from_slice(set);
        self.set_positions.insert(set.to_vec(), position);
        Ok(position)
    }

    /// Stores a leaf and returns the reference to it.
    fn add_leaf(&mut self, path: &str, pairs: impl Iterator<Item = (u32, f64)>) -> Result<u32, FrontendError> {
        for (target, value) in pairs {
            if target >= self.targets {
                let reason = format!("a leaf speaks of target {target}, there are {}", self.targets);
                return Err(FrontendError::malformed(path, reason));
            }
            self.pair_targets.push(target);
            self.pair_values.push(value);
        }
        let leaf = self.leaf_starts.len() - 1;
        let end = u32::try_from(self.pair_targets.len()).ok().filter(|_| leaf < LEAF as usize);
        self.leaf_starts.push(end.ok_or_else(|| FrontendError::malformed(path, "too many leaves"))?);
        Ok(LEAF | leaf as u32)
    }

    /// True when every leaf has one value per target, in order.
    fn is_dense(&self) -> bool {
        let targets = self.targets as usize;
        self.leaf_starts.iter().enumerate().all(|(leaf, &start)| start as usize == leaf * targets)
            && self.pair_targets.iter().enumerate().all(|(pair, &target)| target as usize == pair % targets)
    }

    /// Adds the ensemble to `graph`, reading features from the last axis of `x` (f32 or f64). The result has the targets
    /// on its last axis.
    ///
    /// # Errors
    /// [`FrontendError`] when the graph refuses the tables.
    pub fn lower(
        &self,
        graph: &mut Graph,
        name: &str,
        x: TensorId,
        combination: Combination<'_>,
    ) -> Result<TensorId, FrontendError> {
        let targets = self.targets as usize;
        let constant_name = |part: &str| format!("{name}/{part}");
        let roots = graph.add_constant(&constant_name("roots"), DType::U32, &[self.roots.len()], &self.roots)?;
        let words: Vec<u32> = self.splits.iter().flatten().copied().collect();
        let splits = graph.add_constant(&constant_name("splits"), DType::U32, &[self.splits.len(), 4], &words)?;
        let dims = [self.thresholds.len()];
        let thresholds = if graph.spec(x).dtype == DType::F64 {
            graph.add_constant(&constant_name("thresholds"), DType::F64, &dims, &self.thresholds)?
        } else {
            let narrow = self.thresholds.iter().zip(&self.comparisons);
            let narrow: Vec<f32> = narrow.map(|(&threshold, &comparison)| narrowed(comparison, threshold)).collect();
            graph.add_constant(&constant_name("thresholds"), DType::F32, &dims, &narrow)?
        };
        let leaves = self.leaf_starts.len() - 1;
        let dense = self.is_dense();
        let dims: &[usize] = if dense { &[leaves, targets] } else { &[self.pair_values.len()] };
        let values = float_constant(graph, &constant_name("values"), combination.values, dims, &self.pair_values)?;
        let mut inputs = vec![Some(x), Some(roots), Some(splits), Some(thresholds), Some(values)];
        if dense {
            inputs.extend([None, None]);
        } else {
            let dims = [self.leaf_starts.len()];
            inputs.push(Some(graph.add_constant(&constant_name("starts"), DType::U32, &dims, &self.leaf_starts)?));
            let dims = [self.pair_targets.len()];
            inputs.push(Some(graph.add_constant(&constant_name("targets"), DType::U32, &dims, &self.pair_targets)?));
        }
        inputs.push(match combination.start {
            Some(start) => {
                Some(float_constant(graph, &constant_name("start"), combination.values, &[start.len()], start)?)
            }
            None => None,
        });
        if !self.sets.is_empty() {
            inputs.push(Some(graph.add_constant(
                &constant_name("sets"),
                DType::U32,
                &[self.sets.len()],
                &self.sets,
            )?));
        }
        while inputs.last() == Some(&None) {
            inputs.pop();
        }
        let op = TreeEnsemble { aggregate: combination.aggregate, targets: self.targets };
        Ok(graph.add_node(name, op, &inputs, &[])?[0])
    }
}

impl Forest {
    /// Adds to `graph` the number of the leaf that each tree reaches, reading features from the last axis of `x` (f32 or f64): i32
    /// with the trees on the last axis. Leaves are numbered from 0 in the order of the tree's nodes as they were given.
    ///
    /// # Errors
    /// [`FrontendError`] when there is no tree, or the graph refuses the tables.
    pub fn lower_leaves(&self, graph: &mut Graph, name: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        if self.roots.is_empty() {
            return Err(FrontendError::malformed(name, "no trees"));
        }
        // Every tree adds to a target of its own.
        let mut leaves = self.clone();
        leaves.targets = self.roots.len() as u32;
        leaves.leaf_starts = (0..=self.leaf_numbers.len() as u32).collect();
        (leaves.pair_targets, leaves.pair_values) =
            self.leaf_numbers.iter().map(|&(tree, number)| (tree, f64::from(number))).unzip();
        let combination = Combination { aggregate: Aggregate::Sum, values: DType::F64, start: None };
        let numbers = leaves.lower(graph, name, x, combination)?;
        Ok(graph.add(&format!("{name}/leaves"), Cast { to: DType::I32 }, &[numbers])?)
    }
}

/// Adds a constant of type f32 (values rounded to nearest) or f64.
fn float_constant(
    graph: &mut Graph,
    name: &str,
    dtype: DType,
    dims: &[usize],
    values: &[f64],
) -> Result<TensorId, FrontendError> {
    Ok(match dtype {
        DType::F64 => graph.add_constant(name, dtype, dims, values)?,
        _ => {
            let values: Vec<f32> = values.iter().map(|&value| value as f32).collect();
            graph.add_constant(name, DType::F32, dims, &values)?
        }
    })
}

/// The reachable nodes, each before its children and, unless shared, right before where the comparison holds.
fn topological_order(path: &str, nodes: &[TreeNode<'_>], root: usize) -> Result<Vec<usize>, FrontendError> {
    let mut visits = vec![Visit::New; nodes.len()];
    let mut finished = Vec::with_capacity(nodes.len());
    let mut stack = vec![root];
    while let Some(&index) = stack.last() {
        let (Some(node), Some(visit)) = (nodes.get(index), visits.get_mut(index)) else {
            return Err(FrontendError::malformed(path, format!("node {index} is not there")));
        };
        match (*visit, node) {
            (Visit::New, TreeNode::Split(split)) => {
                *visit = Visit::Open;
                for child in [split.when_true, split.when_false] {
                    match visits.get(child) {
                        Some(Visit::Open) => {
                            return Err(FrontendError::malformed(path, format!("node {child} is below itself")));
                        }
                        Some(Visit::Done) => {}
                        Some(Visit::New) | None => stack.push(child),
                    }
                }
            }
            (Visit::Done, _) => {
                stack.pop();
            }
            (Visit::New | Visit::Open, _) => {
                *visit = Visit::Done;
                finished.push(index);
                stack.pop();
            }
        }
    }
    finished.reverse();
    Ok(finished)
}

/// The f32 threshold that decides about every f32 as `threshold` does.
fn narrowed(comparison: Comparison, threshold: f64) -> f32 {
    let nearest = threshold as f32;
    let exact = f64::from(nearest);
    match comparison {
        Comparison::LessOrEqual | Comparison::Greater if exact > threshold => nearest.next_down(),
        Comparison::Less | Comparison::GreaterOrEqual if exact < threshold => nearest.next_up(),
        Comparison::Equal | Comparison::NotEqual if exact != threshold => f32::NAN,
        _ => nearest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::evaluate;
    use ekiben_runtime::{Shape, TensorSpec};

    fn split(feature: u32, threshold: f64, when_true: usize, when_false: usize) -> TreeNode<'static> {
        let test = Test::Compare { comparison: Comparison::LessOrEqual, threshold };
        TreeNode::Split(Split { feature, test, nan_is_true: false, zero_is_missing: false, when_true, when_false })
    }

    fn run<V: bytemuck::Pod>(forest: &Forest, rows: &[[f32; 2]], values: DType) -> Vec<V> {
        let mut graph = Graph::new();
        let x = graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 2], Some(0)).unwrap()));
        let combination = Combination { aggregate: Aggregate::Sum, values, start: None };
        let y = forest.lower(&mut graph, "forest", x, combination).unwrap();
        graph.add_output(y);
        bytemuck::cast_slice(evaluate(&graph, rows.len(), &[bytemuck::cast_slice(rows)]).unwrap()[0].as_slice())
            .to_vec()
    }

    #[test]
    fn narrowed_thresholds_decide_as_the_wide_ones() {
        let mut thresholds = vec![0.0, -0.0, 0.1, -0.1, 1e-50, -1e-50, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY];
        thresholds.extend([16_777_217.0, f64::NAN, 1.0, 0.3f32 as f64]);
        let mut values = vec![f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::NAN, 0.0, -0.0];
        for &threshold in &thresholds {
            let nearest = threshold as f32;
            values.extend([nearest, nearest.next_up(), nearest.next_down()]);
        }
        for &threshold in &thresholds {
            for &x in &values {
                let wide = f64::from(x);
                for (comparison, expected) in [
                    (Comparison::LessOrEqual, wide <= threshold),
                    (Comparison::Less, wide < threshold),
                    (Comparison::GreaterOrEqual, wide >= threshold),
                    (Comparison::Greater, wide > threshold),
                    (Comparison::Equal, wide == threshold),
                    (Comparison::NotEqual, wide != threshold),
                ] {
                    let t = narrowed(comparison, threshold);
                    let got = match comparison {
                        Comparison::LessOrEqual => x <= t,
                        Comparison::Less => x < t,
                        Comparison::GreaterOrEqual => x >= t,
                        Comparison::Greater => x > t,
                        Comparison::Equal => x == t,
                        Comparison::NotEqual => x != t,
                    };
                    assert_eq!(got, expected, "{x:e} {comparison:?} {threshold:e}");
                }
            }
        }
    }

    #[test]
    fn dense_and_sparse_leaves_and_shared_nodes() {
        let mut dense = Forest::new(2);
        let nodes = [
            TreeNode::Dense(&[1.0, 2.0]),
            split(0, 0.5, 2, 0),
            split(1, 0.5, 0, 3),
            TreeNode::Dense(&[4.0, 8.0]),
            TreeNode::Dense(&[9.0, 9.0]),
        ];
        dense.add_tree("t0", &nodes, 1).unwrap();
        assert_eq!(dense.leaf_starts.len() - 1, 2, "the shared leaf is stored once, the unreachable one not at all");
        let rows = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]];
        let out: Vec<f64> = run(&dense, &rows, DType::F64);
        assert_eq!(out, [1.0, 2.0, 4.0, 8.0, 1.0, 2.0]);
        dense.add_tree("t1", &[TreeNode::Sparse(&[(1, 0.5)])], 0).unwrap();
        assert!(!dense.is_dense());
        let out: Vec<f32> = run(&dense, &rows, DType::F32);
        assert_eq!(out, [1.0, 2.5, 4.0, 8.5, 1.0, 2.5]);
    }

    #[test]
    fn categories_zeros_and_missing_values_go_where_the_split_says() {
        let set = [0b101, 1 << 31];
        let rows: Vec<f64> = vec![
            0.0,
            -0.0,
            1.0,
            2.0,
            2.9,
            63.0,
            63.9,
            64.0,
            1e300,
            f64::INFINITY,
            -0.5,
            -1.0,
            f64::NEG_INFINITY,
            1e-35,
            -2e-35,
            f64::NAN,
        ];
        for (outside, fractions, nan_is_true, zero_is_missing) in
            (0..16).map(|bits| (bits & 1 == 1, bits & 2 == 2, bits & 4 == 4, bits & 8 == 8))
        {
            let test = Test::Member { set: &set, outside, fractions };
            let nodes = [
                TreeNode::Split(Split { feature: 0, test, nan_is_true, zero_is_missing, when_true: 2, when_false: 1 }),
                TreeNode::Dense(&[0.0]),
                TreeNode::Dense(&[1.0]),
            ];
            let mut forest = Forest::new(1);
            forest.add_tree("t", &nodes, 0).unwrap();
            let mut graph = Graph::new();
            let x = graph.add_input("x", TensorSpec::new(DType::F64, Shape::new(&[1, 1], Some(0)).unwrap()));
            let combination = Combination { aggregate: Aggregate::Sum, values: DType::F32, start: None };
            let y = forest.lower(&mut graph, "forest", x, combination).unwrap();
            graph.add_output(y);
            let out = evaluate(&graph, rows.len(), &[bytemuck::cast_slice(&rows)]).unwrap();
            let zero = if zero_is_missing { nan_is_true } else { true };
            let tiny = if fractions { true } else { outside };
            let expected = [
                zero,
                zero,
                false,
                true,
                true,
                true,
                true,
                outside,
                outside,
                outside,
                tiny,
                outside,
                outside,
                zero,
                tiny,
                nan_is_true,
            ];
            let got: Vec<bool> = bytemuck::cast_slice::<u8, f32>(out[0].as_slice()).iter().map(|&x| x == 1.0).collect();
            assert_eq!(got, expected, "{:?}", nodes[0]);
        }
    }

    #[test]
    fn leaves_are_numbered_in_the_order_of_the_nodes() {
        let mut forest = Forest::new(1);
        let leaf = TreeNode::Dense(&[0.5]);
        forest.add_tree("t0", &[leaf, split(0, 0.5, 2, 0), split(1, 0.5, 4, 3), leaf, leaf], 1).unwrap();
        forest.add_tree("t1", &[leaf], 0).unwrap();
        let mut graph = Graph::new();
        let x = graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 2], Some(0)).unwrap()));
        let y = forest.lower_leaves(&mut graph, "forest", x).unwrap();
        graph.add_output(y);
        let rows = [[0f32, 0.0], [0.0, 1.0], [1.0, 0.0]];
        let out = evaluate(&graph, rows.len(), &[bytemuck::cast_slice(&rows)]).unwrap();
        assert_eq!(bytemuck::cast_slice::<u8, i32>(out[0].as_slice()), [2, 0, 1, 0, 0, 0]);
        assert!(Forest::new(1).lower_leaves(&mut graph, "none", x).is_err());
    }

    /// What the operator says of hand-made tables.
    fn infer(roots: &[u32], splits: &[u32], leaves: usize, pairs: Option<(&[u32], &[u32])>) -> Result<(), String> {
        let mut graph = Graph::new();
        let x = graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 2], Some(0)).unwrap()));
        let mut table =
            |values: &[u32], dims: &[usize]| Some(graph.add_constant("t", DType::U32, dims, values).unwrap());
        let (roots, words) = (table(roots, &[roots.len()]), table(splits, &[splits.len() / 4, 4]));
        let lists = pairs.map(|(starts, targets)| [table(starts, &[starts.len()]), table(targets, &[targets.len()])]);
        let count = splits.len() / 4;
        let thresholds = graph.add_constant("thresholds", DType::F32, &[count], &vec![0f32; count]).unwrap();
        let dims = [leaves, 1];
        let dims = if pairs.is_some() { &dims[..1] } else { &dims[..] };
        let values = graph.add_constant("values", DType::F32, dims, &vec![0f32; leaves]).unwrap();
        let mut inputs = vec![Some(x), roots, words, Some(thresholds), Some(values)];
        inputs.extend(lists.into_iter().flatten());
        let op = TreeEnsemble { aggregate: Aggregate::Sum, targets: 1 };
        graph.add_node("trees", op, &inputs, &[]).map(drop).map_err(|error| error.error.to_string())
    }

    #[test]
    fn tables_that_could_lead_astray_are_refused() {
        let node = |when_true: u32, when_false: u32| [1, when_true, when_false, 0];
        assert_eq!(infer(&[0], &node(LEAF, LEAF | 1), 2, None), Ok(()));
        let splits = Err(
            "input 2 holds a value outside its range: needs features of input 0, references that lead forward and sets of input 8",
        );
        let refused = |got: Result<(), String>| got.map_err(|text| text.leak() as &str);
        // To itself, to no leaf, to no split, from a feature that is not there, by an undefined comparison, with undefined bits.
        for words in [
            node(0, LEAF),
            node(LEAF, LEAF | 2),
            node(1, LEAF),
            [2, LEAF, LEAF, 0],
            [6 << 24, LEAF, LEAF, 0],
            [1 << 31, LEAF, LEAF, 0],
            [1 << 29, LEAF, LEAF, 0],
            [7 << 24, LEAF, LEAF, 0],
            [0, LEAF, LEAF, 1],
        ] {
            assert_eq!(refused(infer(&[0], &words, 2, None)), splits, "{words:?}");
        }
        let backwards = [node(1, 1), node(0, LEAF)].concat();
        assert_eq!(refused(infer(&[0], &backwards, 2, None)), splits);
        let roots = Err("input 1 holds a value outside its range: needs references to splits or leaves");
        assert_eq!(refused(infer(&[1], &node(LEAF, LEAF), 2, None)), roots);
        assert_eq!(refused(infer(&[LEAF | 2], &node(LEAF, LEAF), 2, None)), roots);
        assert_eq!(infer(&[LEAF | 1], &[], 2, Some((&[0, 1, 2], &[0, 0]))), Ok(()));
        let starts =
            Err("input 5 holds a value outside its range: needs positions that rise from 0 to the number of pairs");
        for list in [&[0, 3][..], &[1, 2], &[0, 2, 1, 2], &[0]] {
            assert_eq!(refused(infer(&[LEAF], &[], 2, Some((list, &[0, 0])))), starts, "{list:?}");
        }
        let targets = Err("input 6 holds a value outside its range: needs targets below the number of targets");
        assert_eq!(refused(infer(&[LEAF], &[], 2, Some((&[0, 2], &[0, 1])))), targets);
    }

    #[test]
    fn malformed_trees_are_refused() {
        let error = |nodes: &[TreeNode<'_>]| Forest::new(1).add_tree("tree 7", nodes, 0).unwrap_err().to_string();
        assert_eq!(error(&[split(0, 0.0, 0, 1), TreeNode::Dense(&[0.0])]), "tree 7: node 0 is below itself");
        assert_eq!(error(&[split(0, 0.0, 1, 1), split(0, 0.0, 0, 0)]), "tree 7: node 0 is below itself");
        assert_eq!(error(&[split(0, 0.0, 1, 9), TreeNode::Dense(&[0.0])]), "tree 7: node 9 is not there");
        assert_eq!(error(&[TreeNode::Dense(&[0.0, 1.0])]), "tree 7: leaf 0 has 2 values for 1 targets");
        assert_eq!(error(&[TreeNode::Sparse(&[(1, 0.0)])]), "tree 7: a leaf speaks of target 1, there are 1");
        assert_eq!(error(&[]), "tree 7: node 0 is not there");
    }
}
