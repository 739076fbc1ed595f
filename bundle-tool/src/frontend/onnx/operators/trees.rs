//! Tree ensembles of `ai.onnx.ml`, with the special cases of ONNX Runtime.

use std::collections::{BTreeSet, HashMap};

use ekiben_runtime::DType;
use ekiben_runtime::kernels::reference::cast::cast;
use ekiben_runtime::ops::arg_reduce::ArgReduce;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;

use tract_onnx::pb::TensorProto;

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::super::tensor;
use super::indexing::{Part, take};
use super::labels::{Labels, classes};
use super::linear::rows;
use super::post_transform::{PostTransform, SecondClass, is_above};
use crate::frontend::forest::{Aggregate, Combination, Comparison, Forest, Split, Test, TreeNode};
use crate::graph::TensorId;

/// Numbers in an attribute, or in its twin that holds a tensor of f64.
fn numbers(call: &Call<'_>, name: &str) -> Result<Option<Vec<f64>>, Refusal> {
    if let Some(values) = call.attributes.floats(name)?.filter(|values| !values.is_empty()) {
        return Ok(Some(values.iter().map(|&value| value.into()).collect()));
    }
    let name = format!("{name}_as_tensor");
    call.attributes.tensor(&name)?.map(|stored| floats(&name, stored)).transpose()
}

/// The floats of a tensor in the attribute `name`.
pub(super) fn floats(name: &str, stored: &TensorProto) -> Result<Vec<f64>, Refusal> {
    let constant = tensor::read(stored)?;
    let dtype = constant.spec.dtype;
    if !matches!(dtype, DType::F16 | DType::F32 | DType::F64) {
        return Err(Refusal(format!("attribute {name} of type {dtype} is not supported")));
    }
    let mut list = vec![0.0_f64; constant.bytes.len() / (dtype.bits() as usize / 8)];
    cast(dtype, &constant.bytes, DType::F64, bytemuck::cast_slice_mut(&mut list));
    Ok(list)
}

/// The nodes of all trees as the attributes list them.
struct Nodes<'a> {
    trees: &'a [i64],
    ids: &'a [i64],
    features: &'a [i64],
    modes: Vec<&'a str>,
    values: Vec<f64>,
    when_true: &'a [i64],
    when_false: &'a [i64],
    missing: &'a [i64],
}

impl<'a> Nodes<'a> {
    fn read(call: &Call<'a>) -> Result<Self, Refusal> {
        call.attributes.ignore(&["nodes_hitrates", "nodes_hitrates_as_tensor"]);
        let ints = |name: &str| -> Result<&'a [i64], Refusal> {
            call.attributes.ints(name)?.ok_or_else(|| Refusal(format!("attribute {name} is missing")))
        };
        let nodes = Self {
            trees: ints("nodes_treeids")?,
            ids: ints("nodes_nodeids")?,
            features: ints("nodes_featureids")?,
            modes: call.attributes.strings("nodes_modes")?.unwrap_or_default(),
            values: numbers(call, "nodes_values")?.unwrap_or_default(),
            when_true: ints("nodes_truenodeids")?,
            when_false: ints("nodes_falsenodeids")?,
            missing: call.attributes.ints("nodes_missing_value_tracks_true")?.unwrap_or_default(),
        };
        let count = nodes.trees.len();
        let lengths = [nodes.ids.len(), nodes.features.len(), nodes.modes.len(), nodes.values.len()];
        let children = [nodes.when_true.len(), nodes.when_false.len()];
        let missing = nodes.missing.is_empty() || nodes.missing.len() == count;
        if count == 0 || lengths != [count; 4] || children != [count; 2] || !missing {
            return Err("the lists that describe the nodes are not of one length, or empty".into());
        }
        Ok(nodes)
    }

    fn comparison(&self, node: usize) -> Result<Option<Comparison>, Refusal> {
        Ok(Some(match self.modes[node] {
            "LEAF" => return Ok(None),
            "BRANCH_LEQ" => Comparison::LessOrEqual,
            "BRANCH_LT" => Comparison::Less,
            "BRANCH_GTE" => Comparison::GreaterOrEqual,
            "BRANCH_GT" => Comparison::Greater,
            "BRANCH_EQ" => Comparison::Equal,
            "BRANCH_NEQ" => Comparison::NotEqual,
            other => return Err(Refusal(format!("nodes of mode {other:?} are not supported"))),
        }))
    }

    /// Runs of nodes of one tree, in the order of the file.
    fn trees(&self) -> Vec<std::ops::Range<usize>> {
        let mut trees = Vec::new();
        let mut start = 0;
        for node in 1..=self.trees.len() {
            if node == self.trees.len() || self.trees[node] != self.trees[start] {
                trees.push(start..node);
                start = node;
            }
        }
        trees
    }
}

/// A target or class and its weight, by the position of the leaf.
type Weights = HashMap<usize, Vec<(u32, f64)>>;

/// An ensemble and what is known of its leaves.
struct Ensemble {
    forest: Forest,
    trees: usize,
    /// Targets that every row gets a value for, whatever its path.
    always: BTreeSet<u32>,
    /// Targets that some leaf has a value for.
    ever: BTreeSet<u32>,
    /// The smallest weight.
    smallest: f64,
    base: Vec<f64>,
}

/// Reads the ensemble; weights stand in the attributes whose names start with `prefix`.
fn ensemble(call: &Call<'_>, prefix: &str, targets: u32) -> Result<Ensemble, Refusal> {
    let nodes = Nodes::read(call)?;
    let mut positions = HashMap::with_capacity(nodes.ids.len());
    for (position, id) in nodes.trees.iter().zip(nodes.ids).enumerate() {
        if positions.insert(id, position).is_some() {
            return Err(Refusal(format!("tree {} has two nodes {}", id.0, id.1)));
        }
    }
    let weights = weights(call, prefix, &positions)?;
    let mut forest = Forest::new(targets);
    let ranges = nodes.trees();
    let mut result = Ensemble {
        forest: Forest::new(targets),
        trees: ranges.len(),
        always: BTreeSet::new(),
        ever: weights.values().flatten().map(|&(target, _)| target).collect(),
        smallest: weights.values().flatten().map(|&(_, weight)| weight).fold(f64::INFINITY, f64::min),
        base: numbers(call, "base_values")?.unwrap_or_default(),
    };
    for range in ranges {
        let tree = nodes.trees[range.start];
        let at = |id: i64| match positions.get(&(&tree, &id)) {
            Some(position) if range.contains(position) => Ok(position - range.start),
            _ => Err(Refusal(format!("tree {tree} has no node {id}"))),
        };
        let mut built = Vec::with_capacity(range.len());
        let mut covered: Option<BTreeSet<u32>> = None;
        for node in range.clone() {
            built.push(match nodes.comparison(node)? {
                Some(comparison) => TreeNode::Split(Split {
                    feature: u32::try_from(nodes.features[node]).map_err(|_| "a feature has a negative index")?,
                    test: Test::Compare { comparison, threshold: nodes.values[node] },
                    // NaN differs from everything, so it takes the true branch of a != without being told to.
                    nan_is_true: comparison == Comparison::NotEqual || nodes.missing.get(node) == Some(&1),
                    zero_is_missing: false,
                    when_true: at(nodes.when_true[node])?,
                    when_false: at(nodes.when_false[node])?,
                }),
                None => {
                    let pairs = weights.get(&node).map(Vec::as_slice).unwrap_or_default();
                    let here: BTreeSet<u32> = pairs.iter().map(|&(target, _)| target).collect();
                    covered = Some(covered.map_or(here.clone(), |covered| &covered & &here));
                    TreeNode::Sparse(pairs)
                }
            });
        }
        result.always.extend(covered.unwrap_or_default());
        forest.add_tree(&format!("tree {tree}"), &built, 0)?;
    }
    result.forest = forest;
    Ok(result)
}

fn weights(call: &Call<'_>, prefix: &str, positions: &HashMap<(&i64, &i64), usize>) -> Result<Weights, Refusal> {
    let ints = |part: &str| call.attributes.ints(&format!("{prefix}_{part}")).map(Option::unwrap_or_default);
    let (trees, nodes, ids) = (ints("treeids")?, ints("nodeids")?, ints("ids")?);
    let values = numbers(call, &format!("{prefix}_weights"))?.unwrap_or_default();
    if [trees.len(), nodes.len(), values.len()] != [ids.len(); 3] {
        return Err("the lists that describe the weights are not of one length".into());
    }
    let mut weights = Weights::new();
    for (index, &value) in values.iter().enumerate() {
        let (tree, node) = (&trees[index], &nodes[index]);
        let position =
            positions.get(&(tree, node)).ok_or_else(|| Refusal(format!("tree {tree} has no node {node}")))?;
        let target = u32::try_from(ids[index]).map_err(|_| "a weight has a negative target")?;
        weights.entry(*position).or_default().push((target, value));
    }
    Ok(weights)
}

/// Adds the trees; values are combined in f64 where features are f64, as ONNX Runtime does.
fn add_trees(call: &mut Call<'_>, ensemble: &Ensemble, aggregate: Aggregate) -> Result<TensorId, Refusal> {
    let x = rows(call, true)?;
    let combination = Combination { aggregate, values: call.dtype(x), start: None };
    let name = call.name.clone();
    Ok(ensemble.forest.lower(call.graph, &name, x, combination)?)
}

fn add_base(call: &mut Call<'_>, scores: TensorId, base: &[f64]) -> Result<TensorId, Refusal> {
    if base.is_empty() {
        return Ok(scores);
    }
    let base = call.floats_like(scores, &[base.len()], base)?;
    call.add(Binary { kind: BinaryKind::Add }, &[scores, base])
}

/// Scores leave as f32, whatever they were computed in.
fn narrowed(call: &mut Call<'_>, scores: TensorId) -> Result<TensorId, Refusal> {
    if call.dtype(scores) == DType::F32 { Ok(scores) } else { call.add(Cast { to: DType::F32 }, &[scores]) }
}

pub(super) fn regressor(call: &mut Call<'_>) -> Lowered {
    let targets = call.attributes.int("n_targets")?.unwrap_or(1);
    let targets =
        u32::try_from(targets).ok().filter(|&targets| targets > 0).ok_or("attribute n_targets must be 1 or more")?;
    let transform = PostTransform::read(call)?;
    let (aggregate, average) = match call.attributes.string("aggregate_function")?.unwrap_or("SUM") {
        "SUM" => (Aggregate::Sum, false),
        "AVERAGE" => (Aggregate::Sum, true),
        "MIN" => (Aggregate::Min, false),
        "MAX" => (Aggregate::Max, false),
        other => return Err(Refusal(format!("attribute aggregate_function is {other:?}"))),
    };
    let ensemble = ensemble(call, "target", targets)?;
    if !ensemble.base.is_empty() && ensemble.base.len() != targets as usize {
        return Err(Refusal(format!("{} base values for {targets} targets", ensemble.base.len())));
    }
    let scores = add_trees(call, &ensemble, aggregate)?;
    let divisor = average.then_some(ensemble.trees);
    let scores = aggregated(call, scores, divisor, &ensemble.base, targets, transform)?;
    one(narrowed(call, scores)?)
}

/// What a regression gives for the combined values of its trees: divided by `divisor`, with base values, transformed.
pub(super) fn aggregated(
    call: &mut Call<'_>,
    scores: TensorId,
    divisor: Option<usize>,
    base: &[f64],
    targets: u32,
    transform: PostTransform,
) -> Result<TensorId, Refusal> {
    let mut scores = scores;
    if let Some(count) = divisor {
        let count = call.floats_like(scores, &[], &[count as f64])?;
        scores = call.add(Binary { kind: BinaryKind::Div }, &[scores, count])?;
    }
    let scores = add_base(call, scores, base)?;
    // One score has no others to be compared with: only PROBIT changes it.
    if targets > 1 || transform == PostTransform::Probit { transform.apply(call, scores) } else { Ok(scores) }
}

pub(super) fn classifier(call: &mut Call<'_>) -> Lowered {
    let labels = classes(call, "classlabels_int64s")?;
    let transform = PostTransform::read(call)?;
    let count = labels.len() as u32;
    let ensemble = ensemble(call, "class", count)?;
    match count {
        1 => one_class(call, &ensemble, labels, transform),
        2 => two_classes(call, &ensemble, labels, transform),
        0 => Err("it has no class labels".into()),
        _ => many_classes(call, &ensemble, labels, transform),
    }
}

fn many_classes(call: &mut Call<'_>, ensemble: &Ensemble, labels: Labels, transform: PostTransform) -> Lowered {
    let count = labels.len();
    if !ensemble.base.is_empty() && ensemble.base.len() != count {
        return Err(Refusal(format!("{} base values for {count} classes", ensemble.base.len())));
    }
    // A class without a score cannot win, not even against negative ones.
    let scored = ensemble.always.len() == count || !ensemble.base.is_empty();
    if !scored && ensemble.smallest < 0.0 {
        return Err("some rows get no score for some class, and others get negative ones".into());
    }
    let scores = add_trees(call, ensemble, Aggregate::Sum)?;
    let scores = add_base(call, scores, &ensemble.base)?;
    let best = call.add(ArgReduce { axis: 1, smallest: false, last: false, keep: false, wide: false }, &[scores])?;
    let label = labels.pick(call, best)?;
    let scores = transform.apply(call, scores)?;
    Ok(vec![Value::Tensor(label), Value::Tensor(narrowed(call, scores)?)])
}

/// One class, which ONNX Runtime answers with 1 for a score above 0 and with 0 for any other, whatever the label is.
fn one_class(call: &mut Call<'_>, ensemble: &Ensemble, labels: Labels, transform: PostTransform) -> Lowered {
    if !matches!(labels, Labels::Ints(_)) || ensemble.base.len() > 1 {
        return Err("a classifier of one class that is a text, or has several base values".into());
    }
    let scores = add_trees(call, ensemble, Aggregate::Sum)?;
    let mut scores = add_base(call, scores, &ensemble.base)?;
    let index = is_above(call, scores, 0.0)?;
    let label = Labels::Ints(vec![0, 1]).pick(call, index)?;
    if transform == PostTransform::Probit {
        scores = transform.apply(call, scores)?;
    }
    Ok(vec![Value::Tensor(label), Value::Tensor(narrowed(call, scores)?)])
}

/// One column of scores.
fn column(call: &mut Call<'_>, scores: TensorId, start: i64) -> Result<TensorId, Refusal> {
    let mut parts = Part::whole(&call.shape(scores));
    parts[1] = Part { start, step: 1, length: 1 };
    take(call, scores, &parts)
}

/// Two classes: either both have scores, or the scores of one class stand for both.
fn two_classes(call: &mut Call<'_>, ensemble: &Ensemble, labels: Labels, transform: PostTransform) -> Lowered {
    let single = ensemble.ever.len() == 1;
    let second_scored = ensemble.always.contains(&1);
    if !second_scored && ensemble.ever.contains(&1) {
        return Err("some rows get no score for the second class".into());
    }
    let mut scores = add_trees(call, ensemble, Aggregate::Sum)?;
    match (ensemble.base.len(), second_scored) {
        (0, _) => {}
        (1, _) => scores = add_base(call, scores, &[ensemble.base[0], 0.0])?,
        (2, false) => scores = add_base(call, scores, &ensemble.base)?,
        (2, true) if !single => {
            // ONNX Runtime gives the scores of the first class to the second, with its base value.
            let first = column(call, scores, 0)?;
            let second = add_base(call, first, &ensemble.base[1..])?;
            scores = SecondClass::Negative.apply(call, second)?;
        }
        (2, true) => return Err("two base values for one class that has scores are not supported".into()),
        (other, _) => return Err(Refusal(format!("{other} base values for two classes"))),
    }
    let decisive = column(call, scores, second_scored.into())?;
    // Scores that are all positive are probabilities, unless the logistic function is still to make them so (as ONNX Runtime has it
    // since 1.26).
    let positive = single && ensemble.smallest >= 0.0 && transform != PostTransform::Logistic;
    let index = is_above(call, decisive, if positive { 0.5 } else { 0.0 })?;
    // Where both classes have scores ONNX Runtime answers with 0 and 1 whatever the integers of the labels are.
    let labels = match labels {
        Labels::Ints(_) if !single => Labels::Ints(vec![0, 1]),
        labels => labels,
    };
    let label = labels.pick(call, index)?;
    let scores = if second_scored || ensemble.base.len() == 2 {
        transform.apply(call, scores)?
    } else {
        match (transform, positive) {
            (PostTransform::Probit, _) => return Err("PROBIT of one score for two classes is not supported".into()),
            (_, true) => SecondClass::Complement.apply(call, decisive)?,
            (PostTransform::Logistic, false) => SecondClass::Logistic.apply(call, decisive)?,
            (_, false) => SecondClass::Negative.apply(call, decisive)?,
        }
    };
    Ok(vec![Value::Tensor(label), Value::Tensor(narrowed(call, scores)?)])
}
