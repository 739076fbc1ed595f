//! Gradient boosting over histograms: a baseline and, tree by tree, the values of leaves, added up in float64. Features are float64.

use ekiben_runtime::DType;
use ekiben_runtime::ops::unary::UnaryKind;

use super::gradient_boosting::{Scores, Second};
use super::lowering::At;
use super::members::{Member, offered};
use super::{
    Estimator, Family, Features, Labels, Method, Need, Needs, features_in, inconsistent, unsupported, version,
};
use crate::frontend::FrontendError;
use crate::frontend::forest::{Aggregate, Combination, Comparison, Forest, Split, Test, TreeNode};
use crate::frontend::pickle::{Array, Item};
use crate::graph::{Graph, TensorId};

/// Gradient boosting over histograms.
pub(super) const FAMILY: Family = Family {
    classes: &[
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingClassifier",
        "sklearn.ensemble._hist_gradient_boosting.gradient_boosting.HistGradientBoostingRegressor",
    ],
    // The losses' arithmetic has a shorter module name in scikit-learn 1.4 to 1.8.
    carried: &[
        // As the wheels of some releases from 1.4 on write them.
        "_loss.CyAbsoluteError",
        "_loss.CyExponentialLoss",
        "_loss.CyHalfBinomialLoss",
        "_loss.CyHalfGammaLoss",
        "_loss.CyHalfMultinomialLoss",
        "_loss.CyHalfPoissonLoss",
        "_loss.CyHalfSquaredError",
        "_loss.CyHalfTweedieLoss",
        "_loss.CyHuberLoss",
        "_loss.CyPinballLoss",
        "_loss.__pyx_unpickle_CyAbsoluteError",
        "_loss.__pyx_unpickle_CyExponentialLoss",
        "_loss.__pyx_unpickle_CyHalfBinomialLoss",
        "_loss.__pyx_unpickle_CyHalfGammaLoss",
        "_loss.__pyx_unpickle_CyHalfMultinomialLoss",
        "_loss.__pyx_unpickle_CyHalfPoissonLoss",
        "_loss.__pyx_unpickle_CyHalfSquaredError",
        "_loss.__pyx_unpickle_CyHalfTweedieLoss",
        "_loss.__pyx_unpickle_CyHuberLoss",
        "_loss.__pyx_unpickle_CyPinballLoss",
        "functools.partial",
        "sklearn._loss._loss.CyAbsoluteError",
        "sklearn._loss._loss.CyExponentialLoss",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss._loss.CyHalfGammaLoss",
        "sklearn._loss._loss.CyHalfMultinomialLoss",
        "sklearn._loss._loss.CyHalfPoissonLoss",
        "sklearn._loss._loss.CyHalfSquaredError",
        "sklearn._loss._loss.CyHalfTweedieLoss",
        "sklearn._loss._loss.CyHuberLoss",
        "sklearn._loss._loss.CyPinballLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyAbsoluteError",
        "sklearn._loss._loss.__pyx_unpickle_CyExponentialLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfBinomialLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfGammaLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfMultinomialLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfPoissonLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfSquaredError",
        "sklearn._loss._loss.__pyx_unpickle_CyHalfTweedieLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyHuberLoss",
        "sklearn._loss._loss.__pyx_unpickle_CyPinballLoss",
        "sklearn._loss.link.HalfLogitLink",
        "sklearn._loss.link.IdentityLink",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogLink",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.link.MultinomialLogit",
        "sklearn._loss.loss.AbsoluteError",
        "sklearn._loss.loss.ExponentialLoss",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfGammaLoss",
        "sklearn._loss.loss.HalfMultinomialLoss",
        "sklearn._loss.loss.HalfPoissonLoss",
        "sklearn._loss.loss.HalfSquaredError",
        "sklearn._loss.loss.HuberLoss",
        "sklearn._loss.loss.PinballLoss",
        "sklearn.compose._column_transformer.ColumnTransformer",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.loss.BinaryCrossEntropy",
        "sklearn.ensemble._hist_gradient_boosting.loss.CategoricalCrossEntropy",
        "sklearn.ensemble._hist_gradient_boosting.loss.LeastAbsoluteDeviation",
        "sklearn.ensemble._hist_gradient_boosting.loss.LeastSquares",
        "sklearn.ensemble._hist_gradient_boosting.loss.Poisson",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.preprocessing._function_transformer.FunctionTransformer",
        "sklearn.utils.validation.check_array",
    ],
    decode: |item| Ok(Box::new(HistGradientBoosting::decode(item)?)),
};

/// Categories of one feature at most: those of a bitset.
const CATEGORIES: usize = 256;

/// A set of categories, bit `c` of word `c / 32` for category `c`.
type Bitset = [u32; CATEGORIES / 32];

/// A node of a tree.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    /// What the tree answers.
    Leaf(f64),
    /// A decision; children come after their parent.
    Split {
        /// Column, after those of [`Encoding`] where there is one.
        feature: usize,
        /// The decision.
        goes_left: GoesLeft,
        /// Where NaN goes, and a category that training did not see.
        missing_left: bool,
        /// Node on the left.
        left: usize,
        /// Node on the right.
        right: usize,
    },
}

/// What sends a sample to the left.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum GoesLeft {
    /// A value up to this one.
    UpTo(f64),
    /// A category of this set. Where unknown ones go left, they are in it.
    Among(Bitset),
}

/// Categorical columns, which since scikit-learn 1.4 are encoded first and put before the others.
#[derive(Debug)]
pub(super) struct Encoding {
    /// Gives the categories of the categorical columns, NaN for missing and unknown ones.
    pub encoder: Member,
    /// Positions of the categorical columns.
    pub categorical: Vec<usize>,
    /// Positions of the other columns.
    pub numerical: Vec<usize>,
}

/// Boosted trees.
#[derive(Debug)]
pub(super) struct HistGradientBoosting {
    /// Columns of the input.
    pub features: usize,
    /// What is done to categorical columns first.
    pub encoding: Option<Encoding>,
    /// What the scores start from: one, or one for each of three or more classes.
    pub baseline: Vec<f64>,
    /// The trees, those of one iteration together: one for each score.
    pub trees: Vec<Vec<Node>>,
    /// What the scores stand for.
    pub answer: Scores,
    /// The regressor predicts the exponential of the score.
    pub exponential: bool,
}

impl HistGradientBoosting {
    fn decode(item: &Item<'_>) -> Result<HistGradientBoosting, FrontendError> {
        let features = features_in(item)?;
        let (answer, exponential) = decode_answer(item)?;
        let scores = if let Scores::Classes(labels) = &answer { labels.count() } else { 1 };
        let baseline = item.get("_baseline_prediction")?;
        let start = if baseline.is_array() { baseline.array()?.f64s()? } else { vec![baseline.as_f64()?] };
        if start.len() != scores {
            return Err(inconsistent(&baseline, format!("{} numbers for {scores} scores", start.len())));
        }
        let encoding = match item.find("_preprocessor")?.filter(|preprocessor| !preprocessor.is_none()) {
            Some(preprocessor) => Some(Encoding::decode(&preprocessor, features)?),
            None => None,
        };
        let known = decode_known(item, features)?;
        let iterations = item.get("_predictors")?;
        let mut trees = Vec::new();
        for iteration in iterations.items()? {
            let of_scores = iteration.items()?;
            if of_scores.len() != scores {
                return Err(inconsistent(&iteration, format!("{} trees for {scores} scores", of_scores.len())));
            }
            for tree in of_scores {
                trees.push(decode_tree(&tree, features, &known)?);
            }
        }
        Ok(HistGradientBoosting { features, encoding, baseline: start, trees, answer, exponential })
    }
}

/// What the scores stand for, and whether a regressor predicts exponentials.
fn decode_answer(item: &Item<'_>) -> Result<(Scores, bool), FrontendError> {
    let loss = item.get("loss")?;
    let Ok(loss) = loss.as_str() else {
        return Err(unsupported(&loss, "a loss of one's own; use one of scikit-learn's by its name"));
    };
    if item.class()?.ends_with("Regressor") {
        return match loss {
            "squared_error" | "least_squares" | "absolute_error" | "least_absolute_deviation" | "quantile" => {
                Ok((Scores::Values, false))
            }
            "poisson" | "gamma" => Ok((Scores::Values, true)),
            other => Err(unsupported(item, format!("loss={other:?}; use \"squared_error\""))),
        };
    }
    let labels = Labels::decode(&item.get("classes_")?)?;
    match loss {
        "auto" | "log_loss" | "binary_crossentropy" | "categorical_crossentropy" => {}
        other => return Err(unsupported(item, format!("loss={other:?}; use \"log_loss\""))),
    }
    if labels.count() > 2 {
        return Ok((Scores::Classes(labels), false));
    }
    if labels.count() < 2 {
        return Err(inconsistent(item, "fewer than two classes"));
    }
    let second = if version(item)? < (1, 5) { Second::LargerShare } else { Second::Positive };
    Ok((Scores::Binary { labels, factor: 1.0, second }, false))
}

/// The categories that training saw, of each feature that is categorical.
fn decode_known(item: &Item<'_>, features: usize) -> Result<Vec<Option<Bitset>>, FrontendError> {
    let mut known = vec![None; features];
    let mapper = match item.find("_bin_mapper")? {
        Some(mapper) => mapper,
        // scikit-learn 0.22 and 0.23, which have no categories.
        None => return Ok(known),
    };
    let Some(categorical) = mapper.find("is_categorical_")?.filter(|flags| !flags.is_none()) else {
        return Ok(known);
    };
    let flags = categorical.array()?.bools()?;
    let thresholds = mapper.get("bin_thresholds_")?.items()?;
    if flags.len() != features || thresholds.len() != features {
        return Err(inconsistent(&mapper, "not a list of bins for each feature"));
    }
    for (feature, thresholds) in thresholds.iter().enumerate().filter(|(feature, _)| flags[*feature]) {
        let mut set = Bitset::default();
        for category in thresholds.array()?.f64s()? {
            if !(category >= 0.0 && category < CATEGORIES as f64) {
                return Err(inconsistent(thresholds, format!("category {category}")));
            }
            let category = category as usize;
            set[category / 32] |= 1 << (category % 32);
        }
        known[feature] = Some(set);
    }
    Ok(known)
}

/// Decodes a tree for inputs of `features` columns.
fn decode_tree(item: &Item<'_>, features: usize, known: &[Option<Bitset>]) -> Result<Vec<Node>, FrontendError> {
    let nodes_item = item.get("nodes")?;
    let nodes = nodes_item.array()?;
    let flags = |name: &str| Ok::<_, FrontendError>(nodes.field(name)?.bools()?);
    let ints = |name: &str| Ok::<_, FrontendError>(nodes.field(name)?.i64s()?);
    let (is_leaf, missing_left) = (flags("is_leaf")?, flags("missing_go_to_left")?);
    let (left, right, feature) = (ints("left")?, ints("right")?, ints("feature_idx")?);
    let value = nodes.field("value")?.f64s()?;
    let threshold = nodes.find_field("num_threshold").map_or_else(|| nodes.field("threshold"), Ok)?.f64s()?;
    let is_categorical = match nodes.find_field("is_categorical") {
        Some(field) => field.bools()?,
        None => vec![false; is_leaf.len()],
    };
    let sets = Sets::decode(item, &nodes, &is_categorical)?;
    let mut decoded = Vec::with_capacity(is_leaf.len());
    for node in 0..is_leaf.len() {
        if is_leaf[node] {
            decoded.push(Node::Leaf(value[node]));
            continue;
        }
        let child = |index: i64| usize::try_from(index).ok().filter(|&i| i > node && i < is_leaf.len());
        let column = usize::try_from(feature[node]).ok().filter(|&f| f < features);
        let (Some(left), Some(right), Some(feature)) = (child(left[node]), child(right[node]), column) else {
            return Err(inconsistent(&nodes_item, format!("node {node} names a child or feature that cannot be")));
        };
        let goes_left = if is_categorical[node] {
            let (Some(mut set), Some(Some(known))) = (sets.get(node), known.get(feature)) else {
                return Err(inconsistent(&nodes_item, format!("node {node} has no set of categories")));
            };
            if missing_left[node] {
                (0..set.len()).for_each(|word| set[word] |= !known[word]);
            }
            GoesLeft::Among(set)
        } else {
            GoesLeft::UpTo(threshold[node])
        };
        decoded.push(Node::Split { feature, goes_left, missing_left: missing_left[node], left, right });
    }
    if decoded.is_empty() {
        return Err(inconsistent(&nodes_item, "a tree without nodes"));
    }
    Ok(decoded)
}

/// The sets of categories of a tree's nodes.
struct Sets {
    /// For each node the number of its set.
    indices: Vec<i64>,
    words: Vec<i64>,
}

impl Sets {
    fn decode(item: &Item<'_>, nodes: &Array<'_>, is_categorical: &[bool]) -> Result<Sets, FrontendError> {
        if !is_categorical.contains(&true) {
            return Ok(Sets { indices: Vec::new(), words: Vec::new() });
        }
        let sets = item.get("raw_left_cat_bitsets")?;
        let array = sets.array()?;
        if array.shape().last() != Some(&(CATEGORIES / 32)) || array.shape().len() != 2 {
            return Err(sets.wrong("sets of 8 words").into());
        }
        Ok(Sets { indices: nodes.field("bitset_idx")?.i64s()?, words: array.i64s()? })
    }

    fn get(&self, node: usize) -> Option<Bitset> {
        let set = usize::try_from(*self.indices.get(node)?).ok()?;
        let words = self.words.get(set.checked_mul(8)?..set.checked_add(1)?.checked_mul(8)?)?;
        let mut bits = Bitset::default();
        for (bits, &word) in bits.iter_mut().zip(words) {
            *bits = u32::try_from(word).ok()?;
        }
        Some(bits)
    }
}

impl Encoding {
    /// Decodes the `ColumnTransformer` that an estimator with categories keeps: an encoder of some columns, the others as they are.
    fn decode(item: &Item<'_>, features: usize) -> Result<Encoding, FrontendError> {
        let transformers = item.get("transformers_")?;
        let mut encoder = None;
        let mut categorical = vec![false; features];
        for transformer in transformers.items()? {
            if transformer.at(0)?.as_str()? != "encoder" {
                continue;
            }
            let columns = transformer.at(2)?;
            let flags = if columns.is_array() { columns.array()?.bools()? } else { Vec::new() };
            if flags.len() != features {
                return Err(columns.wrong(&format!("{features} booleans")).into());
            }
            categorical = flags;
            encoder = Some(Member::decode(&transformer.at(1)?)?);
        }
        let Some(encoder) = encoder else {
            return Err(inconsistent(&transformers, "no encoder of categories"));
        };
        let of = |flag: bool| (0..features).filter(|&feature| categorical[feature] == flag).collect::<Vec<_>>();
        Ok(Encoding { encoder, categorical: of(true), numerical: of(false) })
    }

    /// The columns that the trees read.
    fn lower(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let categorical = x.select(graph, path, &self.categorical)?;
        let encoded = self.encoder.estimator.transform(graph, &self.encoder.path, &categorical)?;
        let encoded = encoded.matrix(graph, path)?;
        let encoded = At { graph, path }.numbers(encoded)?;
        if self.numerical.is_empty() {
            return Ok(encoded);
        }
        let numerical = x.select(graph, path, &self.numerical)?.matrix(graph, path)?;
        let mut at = At { graph, path };
        let numerical = at.numbers(numerical)?;
        at.side_by_side(&[encoded, numerical])
    }
}

impl HistGradientBoosting {
    /// The scores `[N, scores]`.
    fn raw(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let x = match &self.encoding {
            Some(encoding) => encoding.lower(graph, path, x)?,
            None => x.matrix(graph, path)?,
        };
        // Float32 decides as float64, to which scikit-learn widens it.
        let x = if graph.spec(x).dtype == DType::F32 { x } else { At { graph, path }.numbers(x)? };
        let scores = self.baseline.len();
        let targets = u32::try_from(scores).map_err(|error| FrontendError::malformed(path, error))?;
        let mut forest = Forest::new(targets);
        for (index, tree) in self.trees.iter().enumerate() {
            let (iteration, score) = (index / scores, index % scores);
            let path = format!("{path}._predictors[{iteration}][{score}]");
            let leaves: Vec<[(u32, f64); 1]> = tree
                .iter()
                .map(|node| [(score as u32, if let Node::Leaf(value) = node { *value } else { 0.0 })])
                .collect();
            let nodes: Vec<TreeNode<'_>> =
                tree.iter().zip(&leaves).map(|(node, leaf)| node.lowered(leaf, scores)).collect();
            forest.add_tree(&path, &nodes, 0)?;
        }
        let combination = Combination { aggregate: Aggregate::Sum, values: DType::F64, start: Some(&self.baseline) };
        forest.lower(graph, &format!("{path}/trees"), x, combination)
    }
}

impl Node {
    /// The node as the forest takes it; `leaf` is its value if it is a leaf.
    fn lowered<'n>(&'n self, leaf: &'n [(u32, f64); 1], scores: usize) -> TreeNode<'n> {
        match self {
            Node::Leaf(value) if scores == 1 => TreeNode::Dense(std::slice::from_ref(value)),
            Node::Leaf(_) => TreeNode::Sparse(leaf),
            Node::Split { feature, goes_left, missing_left, left, right } => TreeNode::Split(Split {
                feature: u32::try_from(*feature).unwrap_or(u32::MAX),
                test: match goes_left {
                    GoesLeft::UpTo(threshold) => {
                        Test::Compare { comparison: Comparison::LessOrEqual, threshold: *threshold }
                    }
                    GoesLeft::Among(set) => Test::Member { set, outside: *missing_left, fractions: false },
                },
                nan_is_true: *missing_left,
                zero_is_missing: false,
                when_true: *left,
                when_false: *right,
            }),
        }
    }
}

impl Estimator for HistGradientBoosting {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        match self.answer {
            Scores::Values => offered(false, false, false),
            _ => offered(true, false, true),
        }
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let scores = self.raw(graph, path, x)?;
        let mut at = At { graph, path };
        let scores = if self.exponential { at.unary(UnaryKind::Exp, scores)? } else { scores };
        Ok(vec![self.answer.lower(&mut at, method, scores)?])
    }

    fn needs(&self, path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        let Some(encoding) = &self.encoding else { return Ok(Needs::Numbers) };
        let of_encoder = encoding.encoder.estimator.needs(path, &Needs::Numbers)?;
        let mut needs = vec![Need::Number; self.features];
        for (index, &column) in encoding.categorical.iter().enumerate() {
            needs[column] = of_encoder.of(index);
        }
        Ok(Needs::columns(needs))
    }
}
