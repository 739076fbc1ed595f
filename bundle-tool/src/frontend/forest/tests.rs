//! Forests through the graph.

use super::*;
use crate::graph::evaluate;
use ekiben_runtime::ops::forest::Forest as ForestOp;
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
    bytemuck::cast_slice(evaluate(&graph, rows.len(), &[bytemuck::cast_slice(rows)]).unwrap()[0].as_slice()).to_vec()
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
    let rows = [[0.0, 0.0], [0.0, 1.0], [1.0, 0.0]];
    let out: Vec<f64> = run(&dense, &rows, DType::F64);
    assert_eq!(out, [1.0, 2.0, 4.0, 8.0, 1.0, 2.0]);
    dense.add_tree("t1", &[TreeNode::Sparse(&[(1, 0.5)])], 0).unwrap();
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

/// What a tree's nodes say of a row, by the words of [`Test`] alone.
fn walked(nodes: &[TreeNode<'_>], root: usize, row: &[f64]) -> usize {
    let mut at = root;
    while let TreeNode::Split(split) = nodes[at] {
        let x = row[split.feature as usize];
        let missing = x.is_nan() || (split.zero_is_missing && x.abs() <= f64::from(1e-35f32));
        let holds = match split.test {
            _ if missing => split.nan_is_true,
            Test::Compare { comparison, threshold } => match comparison {
                Comparison::LessOrEqual => x <= threshold,
                Comparison::Less => x < threshold,
                Comparison::GreaterOrEqual => x >= threshold,
                Comparison::Greater => x > threshold,
                Comparison::Equal => x == threshold,
                Comparison::NotEqual => x != threshold,
            },
            Test::Member { set, outside, fractions } => {
                let whole = x.trunc();
                let below = if fractions { whole < 0.0 } else { x < 0.0 };
                if below || whole >= 32.0 * set.len() as f64 {
                    outside
                } else {
                    set[whole as usize / 32] >> (whole as usize % 32) & 1 == 1
                }
            }
        };
        at = if holds { split.when_true } else { split.when_false };
    }
    at
}

/// Numbers that are the same on every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }

    fn flag(&mut self) -> bool {
        self.below(2) == 1
    }
}

const FEATURES: usize = 5;

/// A tree of `leaves` leaves that asks everything that can be asked, with leaves that hold their own numbers.
fn random_tree<'a>(
    numbers: &mut Numbers,
    leaves: usize,
    thresholds: &[f64],
    sets: &'a [Vec<u32>],
    values: &'a [Vec<f64>],
) -> Vec<TreeNode<'a>> {
    let mut nodes = vec![TreeNode::Dense(&values[0])];
    let mut open = vec![0];
    for _ in 1..leaves {
        let at = open.swap_remove(numbers.below(open.len()));
        let comparisons = [
            Comparison::LessOrEqual,
            Comparison::Less,
            Comparison::GreaterOrEqual,
            Comparison::Greater,
            Comparison::Equal,
            Comparison::NotEqual,
        ];
        let test = match numbers.below(8) {
            0 => {
                let set = &sets[numbers.below(sets.len())];
                Test::Member { set, outside: numbers.flag(), fractions: numbers.flag() }
            }
            kind => Test::Compare {
                comparison: comparisons[if kind < 4 { numbers.below(6) } else { 0 }],
                threshold: thresholds[numbers.below(thresholds.len())],
            },
        };
        let (when_true, when_false) = (nodes.len(), nodes.len() + 1);
        nodes[at] = TreeNode::Split(Split {
            feature: numbers.below(FEATURES) as u32,
            test,
            nan_is_true: numbers.flag(),
            zero_is_missing: numbers.below(4) == 0,
            when_true,
            when_false,
        });
        for _ in 0..2 {
            open.push(nodes.len());
            nodes.push(TreeNode::Dense(&values[numbers.below(values.len())]));
        }
    }
    nodes
}

/// Forests of every size against the words of their tests: values and numbers of leaves, f32 and f64 features, few and many rows.
#[test]
fn forests_decide_as_their_tests_say() {
    let numbers = &mut Numbers(7);
    let special = [
        0.0,
        -0.0,
        1e-35,
        -1e-35,
        1e-36,
        5e-324,
        1e300,
        -1e300,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        0.1,
        16_777_217.0,
    ];
    let sets: Vec<Vec<u32>> =
        [1, 1, 2, 9].map(|len| (0..len).map(|_| (numbers.below(1 << 31) as u32).wrapping_mul(3)).collect()).into();
    // Trees, leaves of a tree, thresholds, targets: narrow and wide splits, one column and several for a feature.
    for (trees, leaves, count, targets) in [
        (3, 7, 20, 1),
        (20, 31, 200, 1),
        (40, 200, 2_000, 1),
        (9, 64, 100, 3),
        (2, 700, 90, 1),
        (30, 255, 9_000, 2),
        (3, 1, 1, 1),
    ] {
        let mut thresholds: Vec<f64> = special.into();
        thresholds.extend((0..count).map(|_| (numbers.below(4_000) as f64 - 2_000.0) / 7.0));
        thresholds.extend((0..60).map(|category| f64::from(category) - 1.0));
        let values: Vec<Vec<f64>> =
            (0..300).map(|_| (0..targets).map(|_| numbers.below(1_000) as f64 / 8.0 - 9.0).collect()).collect();
        let built: Vec<_> = (0..trees).map(|_| random_tree(numbers, leaves, &thresholds, &sets, &values)).collect();
        let mut forest = Forest::new(targets as u32);
        for nodes in &built {
            forest.add_tree("t", nodes, 0).unwrap();
        }
        for dtype in [DType::F32, DType::F64] {
            let mut graph = Graph::new();
            let x = graph.add_input("x", TensorSpec::new(dtype, Shape::new(&[1, FEATURES], Some(0)).unwrap()));
            let start: Vec<f64> = (0..targets).map(|target| target as f64 + 0.5).collect();
            let combination = Combination { aggregate: Aggregate::Sum, values: DType::F64, start: Some(&start) };
            for aggregate in [Aggregate::Min, Aggregate::Max] {
                let combination = Combination { aggregate, start: None, ..combination };
                let y = forest.lower(&mut graph, "extremes", x, combination).unwrap();
                graph.add_output(y);
            }
            let y = forest.lower(&mut graph, "forest", x, combination).unwrap();
            graph.add_output(y);
            let y = forest.lower_leaves(&mut graph, "leaves", x).unwrap();
            graph.add_output(y);
            for rows in [1, 9, 300] {
                let cells: Vec<f64> = (0..rows * FEATURES)
                    .map(|_| match numbers.below(10) {
                        0 => special[numbers.below(special.len())],
                        1 => numbers.below(300) as f64 - 0.5,
                        _ => thresholds[numbers.below(thresholds.len())],
                    })
                    .map(|cell| if dtype == DType::F32 { f64::from(cell as f32) } else { cell })
                    .collect();
                let narrow: Vec<f32> = cells.iter().map(|&cell| cell as f32).collect();
                let bytes: &[u8] =
                    if dtype == DType::F32 { bytemuck::cast_slice(&narrow) } else { bytemuck::cast_slice(&cells) };
                let out = evaluate(&graph, rows, &[bytes]).unwrap();
                let [min, max, sums] = [0, 1, 2].map(|at| bytemuck::cast_slice::<u8, f64>(out[at].as_slice()));
                let leaves = bytemuck::cast_slice::<u8, i32>(out[3].as_slice());
                for (row, cells) in cells.chunks(FEATURES).enumerate() {
                    let mut expected = [start.clone(), vec![f64::INFINITY; targets], vec![f64::NEG_INFINITY; targets]];
                    for (tree, nodes) in built.iter().enumerate() {
                        let at = walked(nodes, 0, cells);
                        let number = nodes[..at].iter().filter(|node| !matches!(node, TreeNode::Split(_))).count();
                        assert_eq!(
                            leaves[row * trees + tree],
                            number as i32,
                            "{trees} trees of {leaves:?}, row {cells:?}"
                        );
                        let TreeNode::Dense(values) = nodes[at] else { panic!("a leaf") };
                        for (target, &value) in values.iter().enumerate() {
                            expected[0][target] += value;
                            expected[1][target] = expected[1][target].min(value);
                            expected[2][target] = expected[2][target].max(value);
                        }
                    }
                    let place = row * targets..(row + 1) * targets;
                    assert_eq!(sums[place.clone()], expected[0], "row {cells:?}");
                    assert_eq!(min[place.clone()], expected[1], "row {cells:?}");
                    assert_eq!(max[place], expected[2], "row {cells:?}");
                }
            }
        }
    }
}

#[test]
fn classes_of_trees_are_targets_of_trees() {
    let mut forest = Forest::new(3);
    for class in [0, 1, 2, 1] {
        let leaves = [[(class, 0.5)], [(class, -2.0)]];
        let nodes = [split(0, 0.5, 1, 2), TreeNode::Sparse(&leaves[0]), TreeNode::Sparse(&leaves[1])];
        forest.add_tree("t", &nodes, 0).unwrap();
    }
    let out: Vec<f32> = run(&forest, &[[0.0, 0.0], [1.0, 0.0]], DType::F32);
    assert_eq!(out, [0.5, 1.0, 0.5, -2.0, -4.0, -2.0]);
}

/// A forest of two trees in the operator's tables: one split of two leaves, and a leaf.
struct Hand {
    groups: Vec<u32>,
    keys: Vec<i32>,
    sets: Vec<u8>,
    trees: Vec<u32>,
    splits: Vec<u32>,
    values: usize,
    targets: Option<Vec<u32>>,
    rows: Option<Vec<u16>>,
    pairs: Option<(Vec<u32>, Vec<u32>)>,
    columns: u32,
}

impl Hand {
    fn new() -> Self {
        Self {
            groups: vec![1, 0, 2, 1],
            keys: vec![0, 5],
            sets: vec![0; 4],
            trees: vec![0, 1, 1],
            splits: vec![1 << 24 | 1 << 8],
            values: 3,
            targets: None,
            rows: None,
            pairs: None,
            columns: 1,
        }
    }

    /// What the operator says.
    fn infer(&self) -> Result<(), String> {
        let mut graph = Graph::new();
        let x = graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 2], Some(0)).unwrap()));
        fn table<T: ekiben_runtime::tensor::Element>(
            graph: &mut Graph,
            dtype: DType,
            dims: &[usize],
            values: &[T],
        ) -> Option<TensorId> {
            Some(graph.add_constant("t", dtype, dims, values).unwrap())
        }
        let list = |graph: &mut Graph, values: &[u32]| table(graph, DType::U32, &[values.len()], values);
        let mut inputs = vec![Some(x), table(&mut graph, DType::U32, &[self.groups.len() / 4, 4], &self.groups)];
        inputs.push(table(&mut graph, DType::I32, &[self.keys.len()], &self.keys));
        inputs.push(table(&mut graph, DType::U8, &[self.sets.len()], &self.sets));
        inputs.extend([list(&mut graph, &self.trees), list(&mut graph, &self.splits)]);
        let dims = [self.values, 1];
        let dims = if self.rows.is_some() { &dims[..] } else { &dims[..1] };
        inputs.push(table(&mut graph, DType::F32, dims, &vec![0f32; self.values]));
        inputs.push(self.targets.as_ref().and_then(|targets| list(&mut graph, targets)));
        inputs.push(self.rows.as_ref().and_then(|rows| table(&mut graph, DType::U16, &[rows.len()], rows)));
        if let Some((starts, targets)) = &self.pairs {
            inputs.extend([list(&mut graph, starts), list(&mut graph, targets)]);
        }
        let op = ForestOp { aggregate: Aggregate::Sum, targets: 1, columns: self.columns };
        graph.add_node("trees", op, &inputs, &[]).map(drop).map_err(|error| error.error.to_string())
    }

    fn with(change: impl Fn(&mut Self)) -> Result<(), String> {
        let mut hand = Self::new();
        change(&mut hand);
        hand.infer()
    }
}

#[test]
fn tables_that_could_lead_astray_are_refused() {
    assert_eq!(Hand::with(|_| {}), Ok(()));
    let value =
        |index: usize, needs: &str| Err(format!("input {index} holds a value outside its range: needs {needs}"));
    let splits = value(5, "splits of columns, whose children lead forward in their tree");
    // No leaf to the left; one too many; a right leaf that is not there; a column that is not there.
    for split in [1 << 8, 2 << 24, 2 << 24 | 1 << 16, 1 << 24 | 1] {
        assert_eq!(Hand::with(|hand| hand.splits[0] = split), splits, "{split:x}");
    }
    let starts = value(4, "positions that rise from 0 to the number of splits");
    for trees in [&[0, 0][..], &[1, 1], &[0, 1, 0, 1], &[0, 2], &[]] {
        assert_eq!(Hand::with(|hand| hand.trees = trees.into()), starts, "{trees:?}");
    }
    let groups = value(1, "groups of features, keys and sets that make up the columns");
    // A feature that is not there, undefined kinds and bits, keys past the end, other numbers of columns.
    for group in [
        [2, 0, 2, 1],
        [3 << 24, 0, 2, 1],
        [1 << 31, 0, 2, 1],
        [1, 1, 2, 1],
        [1, u32::MAX, 2, 1],
        [1, 0, 2, 2],
        [1, 0, 0, 1],
    ] {
        assert_eq!(Hand::with(|hand| hand.groups = group.into()), groups, "{group:?}");
    }
    // Two categories and two rows more, of eight columns or fewer.
    assert_eq!(Hand::with(|hand| (hand.groups, hand.columns) = (vec![1 << 24, 0, 2, 8], 8)), Ok(()));
    for group in [[1 << 24, 0, 2, 9], [1 << 24, 0, 3, 8], [1 << 24, 1, 2, 8], [1 << 24, 0, u32::MAX, u32::MAX]] {
        assert_eq!(Hand::with(|hand| (hand.groups, hand.columns) = (group.into(), group[3])), groups, "{group:?}");
    }
    let shape = Hand::with(|hand| hand.values = 2).unwrap_err();
    assert!(shape.contains("needs a value for each leaf, or rows of one for each target"), "{shape}");
    assert_eq!(Hand::with(|hand| hand.targets = Some(vec![0, 0])), Ok(()));
    let targets = |index| value(index, "targets below the number of targets");
    assert_eq!(Hand::with(|hand| hand.targets = Some(vec![0, 1])), targets(7));
    assert_eq!(Hand::with(|hand| hand.targets = Some(vec![0])), targets(7));
    let rows = |rows: &[u16], values| Hand::with(|hand| (hand.rows, hand.values) = (Some(rows.into()), values));
    assert_eq!(rows(&[0, 1, 1], 2), Ok(()));
    for list in [&[0, 1, 2][..], &[0, 1], &[0; 4]] {
        assert_eq!(rows(list, 2), value(8, "a row of values for each leaf"), "{list:?}");
    }
    let pairs = |starts: &[u32], targets: &[u32]| {
        Hand::with(|hand| (hand.pairs, hand.values) = (Some((starts.into(), targets.into())), targets.len()))
    };
    assert_eq!(pairs(&[0, 1, 1, 2], &[0, 0]), Ok(()));
    for starts in [&[0, 2, 1, 2][..], &[1, 1, 1, 2], &[0, 1, 1, 3], &[]] {
        assert_eq!(pairs(starts, &[0, 0]), value(9, "positions that rise from 0 to the number of pairs"), "{starts:?}");
    }
    assert_eq!(pairs(&[0, 1, 1, 2], &[0, 1]), targets(10));
    assert!(pairs(&[0, 1, 2], &[0, 0]).is_err(), "three leaves, two rows");
}

#[test]
fn trees_that_grow_without_end_when_nodes_are_not_shared_are_refused() {
    let mut nodes: Vec<_> = (0..64).map(|at| split(0, at as f64, at + 1, at + 1)).collect();
    nodes.push(TreeNode::Dense(&[1.0]));
    let mut forest = Forest::new(1);
    forest.add_tree("t", &nodes, 0).unwrap();
    let mut graph = Graph::new();
    let x = graph.add_input("x", TensorSpec::new(DType::F32, Shape::new(&[1, 2], Some(0)).unwrap()));
    let combination = Combination { aggregate: Aggregate::Sum, values: DType::F32, start: None };
    let error = forest.lower(&mut graph, "forest", x, combination).unwrap_err().to_string();
    assert!(error.contains("more nodes"), "{error}");
}
