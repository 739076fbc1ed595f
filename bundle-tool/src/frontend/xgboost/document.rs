//! The document that JSON and UBJSON files hold, and what it says.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, SeqAccess, Visitor};

use super::model::{Booster, MAX_OUTPUTS, Parts, Tree};
use super::objective::Objective;
use super::ubjson;
use crate::frontend::FrontendError;
use crate::frontend::categories::Column;

/// A model file, or the state of a pickled booster, which has the model file at `Model`.
#[derive(Deserialize)]
struct File {
    learner: Option<Learner>,
    version: Option<Ints<u32>>,
    #[serde(rename = "Model")]
    model: Option<Box<File>>,
    #[serde(rename = "Config")]
    config: Option<Config>,
}

/// What a pickled booster says besides its model.
#[derive(Deserialize)]
pub(super) struct Config {
    learner: Option<ConfigLearner>,
}

#[derive(Deserialize)]
struct ConfigLearner {
    gradient_booster: Option<ConfigBooster>,
}

#[derive(Deserialize)]
struct ConfigBooster {
    gbtree: Option<Box<ConfigBooster>>,
    gbtree_train_param: Option<ConfigTrees>,
}

#[derive(Deserialize)]
struct ConfigTrees {
    num_parallel_tree: Option<Number>,
}

impl Config {
    /// Trees of one output in one round, where models do not say so themselves (before 1.5).
    pub(super) fn parallel_trees(&self) -> Option<usize> {
        let booster = self.learner.as_ref()?.gradient_booster.as_ref()?;
        let trees = booster.gbtree.as_deref().unwrap_or(booster).gbtree_train_param.as_ref()?;
        usize::try_from(trees.num_parallel_tree.as_ref()?.integer()?).ok()
    }
}

#[derive(Deserialize)]
struct Learner {
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    feature_names: Vec<String>,
    gradient_booster: GradientBooster,
    learner_model_param: LearnerParam,
    objective: ObjectiveName,
}

#[derive(Deserialize)]
struct LearnerParam {
    base_score: BaseScore,
    num_class: Number,
    num_feature: Number,
    num_target: Option<Number>,
}

#[derive(Deserialize)]
struct ObjectiveName {
    name: String,
}

#[derive(Deserialize)]
struct GradientBooster {
    name: String,
    model: Option<ModelPart>,
    gbtree: Option<Box<GradientBooster>>,
    weight_drop: Option<Floats>,
}

#[derive(Deserialize)]
struct ModelPart {
    gbtree_model_param: Option<TreesParam>,
    tree_info: Option<Ints<u32>>,
    iteration_indptr: Option<Ints<u64>>,
    trees: Option<Vec<TreePart>>,
    weights: Option<Floats>,
    cats: Option<Categories>,
}

/// The categories of a frame's columns.
#[derive(Deserialize)]
struct Categories {
    /// One for each feature; without values for one of numbers.
    enc: Vec<Encoding>,
}

/// Texts, as bytes one after another and where each starts; or numbers.
#[derive(Deserialize)]
struct Encoding {
    offsets: Option<Ints<u64>>,
    values: Doubles,
}

#[derive(Deserialize)]
struct TreesParam {
    num_parallel_tree: Option<Number>,
}

#[derive(Deserialize)]
struct TreePart {
    tree_param: TreeParam,
    left_children: Ints<i32>,
    right_children: Ints<i32>,
    split_indices: Ints<u32>,
    split_conditions: Floats,
    default_left: Ints<u8>,
    base_weights: Option<Floats>,
    leaf_weights: Option<Floats>,
    categories: Option<Ints<u32>>,
    categories_nodes: Option<Ints<u64>>,
    categories_segments: Option<Ints<u64>>,
    categories_sizes: Option<Ints<u64>>,
}

#[derive(Deserialize)]
struct TreeParam {
    size_leaf_vector: Option<Number>,
}

/// A number, or a text that spells one.
#[derive(Clone, Copy, Debug)]
enum Number {
    Integer(i64),
    Float(f64),
}

impl Number {
    fn integer(&self) -> Option<i64> {
        match *self {
            Number::Integer(value) => Some(value),
            Number::Float(_) => None,
        }
    }

    fn float(self) -> f32 {
        match self {
            Number::Integer(value) => value as f32,
            Number::Float(value) => value as f32,
        }
    }

    fn double(self) -> f64 {
        match self {
            Number::Integer(value) => value as f64,
            Number::Float(value) => value,
        }
    }
}

struct NumberVisitor;

impl Visitor<'_> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Number, E> {
        Ok(Number::Integer(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Number, E> {
        Ok(Number::Integer(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Number, E> {
        i64::try_from(value).map(Number::Integer).map_err(|_| E::custom("an integer above 63 bits"))
    }

    fn visit_f32<E: de::Error>(self, value: f32) -> Result<Number, E> {
        Ok(Number::Float(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Number, E> {
        Ok(Number::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Number, E> {
        if let Ok(value) = value.parse() {
            return Ok(Number::Integer(value));
        }
        value.parse().map(Number::Float).map_err(|_| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

/// A list of floats.
struct Floats(Vec<f32>);

/// A list of floats in their full width.
struct Doubles(Vec<f64>);

/// A list of integers, of which booleans are 0 and 1.
struct Ints<T>(Vec<T>);

/// Reads a list, element by element, in no more memory than its elements take.
struct List<T>(fn(Number) -> Option<T>);

impl<'de, T> Visitor<'de> for List<T> {
    type Value = Vec<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of numbers")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
        // What a file declares is only believed up to here.
        const AT_ONCE: usize = 1 << 12;
        let mut values = Vec::with_capacity(list.size_hint().unwrap_or(0).min(AT_ONCE));
        while let Some(number) = list.next_element::<Number>()? {
            values.push((self.0)(number).ok_or_else(|| de::Error::custom(format!("{number:?} is out of range here")))?);
        }
        Ok(values)
    }
}

impl<'de> Deserialize<'de> for Floats {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(|number| Some(number.float()))).map(Floats)
    }
}

impl<'de> Deserialize<'de> for Doubles {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(|number| Some(number.double()))).map(Doubles)
    }
}

impl<'de, T: TryFrom<i64>> Deserialize<'de> for Ints<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(|number| number.integer()?.try_into().ok())).map(Ints)
    }
}

/// `0.5`, `"5E-1"` or, since 3.1, `"[5E-1,2E-1]"` with one value per output.
struct BaseScore(Vec<f32>);

struct BaseScoreVisitor;

impl<'de> Visitor<'de> for BaseScoreVisitor {
    type Value = Vec<f32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a base score")
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Vec<f32>, E> {
        Ok(vec![value as f32])
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Vec<f32>, E> {
        Ok(vec![value as f32])
    }

    fn visit_f32<E: de::Error>(self, value: f32) -> Result<Vec<f32>, E> {
        Ok(vec![value])
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Vec<f32>, E> {
        Ok(vec![value as f32])
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<f32>, E> {
        let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
        let values: Result<Vec<f32>, _> = inner.split(',').map(|value| value.trim().parse()).collect();
        values.map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<Vec<f32>, A::Error> {
        List(|number| Some(number.float())).visit_seq(list)
    }
}

impl<'de> Deserialize<'de> for BaseScore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BaseScoreVisitor).map(BaseScore)
    }
}

/// Reads a JSON file, or the state of a pickled booster.
///
/// # Errors
/// Text that is no JSON or no model, and objectives that are not known.
pub(super) fn from_json(bytes: &[u8]) -> Result<Booster, FrontendError> {
    let file: File = serde_json::from_slice(&numbers_in_texts(bytes)).map_err(|error| malformed(&error))?;
    file.booster(bytes.len())
}

/// Reads what a pickled booster says besides its model.
pub(super) fn config_from_json(bytes: &[u8]) -> Result<Config, FrontendError> {
    serde_json::from_slice(bytes).map_err(|error| malformed(&error))
}

/// Reads a UBJSON file, or the state of a pickled booster.
///
/// # Errors
/// As [`from_json`].
pub(super) fn from_ubjson(bytes: &[u8]) -> Result<Booster, FrontendError> {
    ubjson::from_slice::<File>(bytes).map_err(|error| malformed(&error))?.booster(bytes.len())
}

fn malformed(error: &dyn fmt::Display) -> FrontendError {
    FrontendError::malformed("xgboost model", error)
}

/// xgboost writes `NaN` and `Infinity` for numbers that JSON does not have; they become texts here.
fn numbers_in_texts(bytes: &[u8]) -> Cow<'_, [u8]> {
    const NUMBERS: [&[u8]; 3] = [b"NaN", b"Infinity", b"-Infinity"];
    let mut text = Vec::new();
    let (mut copied, mut at, mut in_text) = (0, 0, false);
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => at += 1,
            b'N' | b'I' | b'-' if !in_text => {
                let rest = &bytes[at..];
                if let Some(number) = NUMBERS.iter().find(|number| rest.starts_with(number)) {
                    text.extend_from_slice(&bytes[copied..at]);
                    text.push(b'"');
                    text.extend_from_slice(number);
                    text.push(b'"');
                    at += number.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return Cow::Borrowed(bytes);
    }
    text.extend_from_slice(&bytes[copied..]);
    Cow::Owned(text)
}

impl File {
    /// The model of a file of `length` bytes.
    fn booster(self, length: usize) -> Result<Booster, FrontendError> {
        let parallel = self.config.as_ref().and_then(Config::parallel_trees);
        // A set of categories is as long as its largest one, whatever little the file says of it.
        let room = (1 << 20) + 8 * length;
        let (learner, version) = match (self.learner, self.model) {
            (Some(learner), _) => (Some(learner), self.version),
            (None, Some(inner)) => (inner.learner, inner.version),
            (None, None) => (None, None),
        };
        let version = version.map(|version| version.0).unwrap_or_default();
        match learner {
            Some(learner) => learner.booster(&version, parallel, room),
            None => Err(FrontendError::unsupported(
                "file",
                "JSON",
                "it has no `learner`, so it is not a model that xgboost saved; export the model as ONNX or TFLite",
            )),
        }
    }
}

impl Learner {
    fn booster(self, version: &[u32], parallel: Option<usize>, room: usize) -> Result<Booster, FrontendError> {
        let version = (version.first().copied().unwrap_or(1), version.get(1).copied().unwrap_or(0));
        let objective = Objective::named(&self.objective.name)?;
        let count = |name: &str, number: Number| match number.integer().and_then(|count| usize::try_from(count).ok()) {
            Some(count) => Ok(count),
            None => Err(FrontendError::malformed(format!("learner_model_param.{name}"), format!("{number:?}"))),
        };
        let params = &self.learner_model_param;
        let targets = params.num_target.map_or(Ok(1), |number| count("num_target", number))?;
        let outputs = count("num_class", params.num_class)?.max(targets).max(1);
        if outputs > MAX_OUTPUTS {
            return Err(malformed(&format!("{outputs} outputs")));
        }
        let mut base = Vec::new();
        for &score in &params.base_score.0 {
            base.push(objective.margin(version, score)?);
        }
        if let &[base_of_all] = &base[..] {
            base = vec![base_of_all; outputs];
        }
        let best_iteration = self.attributes.get("best_iteration").and_then(|text| text.parse().ok());
        let features = count("num_feature", params.num_feature)?;
        let booster = Booster {
            version,
            objective,
            features,
            names: self.feature_names,
            columns: self.gradient_booster.columns()?,
            outputs,
            base,
            dart: self.gradient_booster.name == "dart",
            parts: self.gradient_booster.parts(outputs, parallel, room)?,
            best_iteration,
            wrapper: self.attributes.get("scikit_learn").cloned(),
        };
        booster.check()?;
        Ok(booster)
    }
}

impl GradientBooster {
    /// What the columns of the frame hold; `None` where none has categories.
    fn columns(&self) -> Result<Option<Vec<Column>>, FrontendError> {
        let model = self.gbtree.as_deref().unwrap_or(self).model.as_ref();
        let Some(categories) = model.and_then(|model| model.cats.as_ref()) else {
            return Ok(None);
        };
        if categories.enc.iter().all(|encoding| encoding.values.0.is_empty()) {
            return Ok(None);
        }
        let columns = categories.enc.iter().enumerate().map(|(index, encoding)| encoding.column(index));
        columns.collect::<Result<_, _>>().map(Some)
    }

    fn parts(self, outputs: usize, parallel: Option<usize>, room: usize) -> Result<Parts, FrontendError> {
        let malformed = |reason: &str| FrontendError::malformed("learner.gradient_booster", reason);
        match self.name.as_str() {
            "gblinear" => {
                let weights = self.model.and_then(|model| model.weights).ok_or_else(|| malformed("no weights"))?;
                Ok(Parts::Linear(weights.0))
            }
            "gbtree" => {
                let model = self.model.ok_or_else(|| malformed("no model"))?;
                model.trees(outputs, parallel, None, room).map(Parts::Trees)
            }
            "dart" => {
                let model = self.gbtree.and_then(|inner| inner.model).ok_or_else(|| malformed("no gbtree.model"))?;
                let weights = self.weight_drop.ok_or_else(|| malformed("no weight_drop"))?.0;
                model.trees(outputs, parallel, Some(&weights), room).map(Parts::Trees)
            }
            name => Err(FrontendError::unsupported(
                "learner.gradient_booster",
                format!("booster {}", name.escape_debug()),
                "it is not read; train with gbtree, dart or gblinear",
            )),
        }
    }
}

impl Encoding {
    fn column(&self, index: usize) -> Result<Column, FrontendError> {
        let path = format!("cats.enc[{index}]");
        let malformed = || FrontendError::malformed(&path, "texts that are not where they should be");
        let starts = match &self.offsets {
            _ if self.values.0.is_empty() => return Ok(Column::Number),
            None => return Ok(Column::Numbers(self.values.0.clone())),
            Some(starts) => &starts.0,
        };
        // Bytes are signed in the file.
        let bytes = self.values.0.iter().map(|&byte| (-128.0..256.0).contains(&byte).then_some(byte as i16 as u8));
        let bytes: Vec<u8> = bytes.collect::<Option<_>>().ok_or_else(malformed)?;
        if !bytes.is_ascii() {
            let reason = "xgboost cuts such texts off when it stores them, so they cannot be told apart; name categories in ASCII, or \
                train on numbers";
            return Err(FrontendError::unsupported(path, "categories with letters beyond ASCII", reason));
        }
        let mut texts = Vec::new();
        for pair in starts.windows(2) {
            let range = usize::try_from(pair[0]).ok().zip(usize::try_from(pair[1]).ok());
            let text = range.and_then(|(start, end)| std::str::from_utf8(bytes.get(start..end)?).ok());
            texts.push(text.ok_or_else(malformed)?.to_owned());
        }
        Column::texts(&path, texts)
    }
}

impl ModelPart {
    fn trees(
        self,
        outputs: usize,
        parallel: Option<usize>,
        weights: Option<&[f32]>,
        room: usize,
    ) -> Result<Vec<Tree>, FrontendError> {
        let malformed = |reason: String| FrontendError::malformed("learner.gradient_booster.model", reason);
        let parts = self.trees.ok_or_else(|| malformed("no trees".to_owned()))?;
        let groups = self.tree_info.map(|groups| groups.0).unwrap_or_default();
        if groups.len() != parts.len() || weights.is_some_and(|weights| weights.len() != parts.len()) {
            let weights = weights.map_or(0, <[f32]>::len);
            return Err(malformed(format!("{} trees, {} groups, {weights} weights", parts.len(), groups.len())));
        }
        let declared = self.gbtree_model_param.and_then(|param| param.num_parallel_tree?.integer());
        let parallel = declared.and_then(|count| usize::try_from(count).ok()).or(parallel).unwrap_or(1).max(1);
        let starts = self.iteration_indptr.map(|starts| starts.0).unwrap_or_default();
        let mut trees = Vec::with_capacity(parts.len());
        let (mut round, mut room) = (0, room);
        for (index, (part, &group)) in parts.into_iter().zip(&groups).enumerate() {
            let mut tree = part.tree(&format!("trees[{index}]"), &mut room)?;
            if starts.is_empty() {
                let per_round = parallel.saturating_mul(if tree.width == 1 { outputs } else { 1 });
                round = index / per_round.max(1);
            } else {
                while starts.get(round + 1).is_some_and(|&next| next <= index as u64) {
                    round += 1;
                }
            }
            tree.group = group;
            tree.round = round;
            tree.weight = weights.and_then(|weights| weights.get(index)).copied().unwrap_or(1.0);
            trees.push(tree);
        }
        Ok(trees)
    }
}

impl TreePart {
    fn tree(self, path: &str, room: &mut usize) -> Result<Tree, FrontendError> {
        let width = self.tree_param.size_leaf_vector.map_or(Some(0), |number| number.integer());
        let width = width.and_then(|width| usize::try_from(width).ok()).filter(|&width| width <= MAX_OUTPUTS);
        let width = width.ok_or_else(|| FrontendError::malformed(path, "size_leaf_vector"))?.max(1);
        let members = self.members(path, room)?;
        let mut tree = Tree {
            width,
            weight: 1.0,
            left: self.left_children.0,
            right: self.right_children.0,
            feature: self.split_indices.0,
            threshold: self.split_conditions.0,
            default_left: self.default_left.0.iter().map(|&left| left != 0).collect(),
            members,
            ..Tree::default()
        };
        tree.values = match (width, self.leaf_weights, self.base_weights) {
            (1, ..) => tree.threshold.clone(),
            // Since 3.1 vectors are stored for leaves only, whose numbers stand in the place of right children.
            (_, Some(Floats(vectors)), _) if !vectors.is_empty() => spread(path, &tree, width, &vectors)?,
            (_, _, weights) => weights.map(|weights| weights.0).unwrap_or_default(),
        };
        tree.check(path)?;
        Ok(tree)
    }

    /// The splits by category; `room` words are left for all sets of the file.
    fn members(&self, path: &str, room: &mut usize) -> Result<BTreeMap<usize, Vec<u32>>, FrontendError> {
        /// Categories are below it: floats hold larger integers no longer exactly.
        const MAX_CATEGORY: u32 = 1 << 24;
        let list = |list: &Option<Ints<u64>>| list.as_ref().map(|list| list.0.clone()).unwrap_or_default();
        let nodes = list(&self.categories_nodes);
        let (segments, sizes) = (list(&self.categories_segments), list(&self.categories_sizes));
        let categories = self.categories.as_ref().map(|list| list.0.as_slice()).unwrap_or_default();
        if segments.len() != nodes.len() || sizes.len() != nodes.len() {
            return Err(FrontendError::malformed(path, "lists of categories of several lengths"));
        }
        let mut members = BTreeMap::new();
        for ((&node, &start), &size) in nodes.iter().zip(&segments).zip(&sizes) {
            let range = usize::try_from(start).ok().zip(usize::try_from(size).ok());
            let own = range.and_then(|(start, size)| categories.get(start..)?.get(..size));
            let node = usize::try_from(node).ok().filter(|&node| node < self.left_children.0.len());
            let (Some(own), Some(node)) = (own, node) else {
                return Err(FrontendError::malformed(path, "categories of a node that is not there"));
            };
            let largest = own.iter().max().copied().unwrap_or(0);
            let length = largest as usize / 32 + 1;
            if largest >= MAX_CATEGORY || length > *room {
                return Err(FrontendError::malformed(path, format!("category {largest}")));
            }
            *room -= length;
            let mut set = vec![0; length];
            for &category in own {
                if let Some(word) = set.get_mut(category as usize / 32) {
                    *word |= 1 << (category % 32);
                }
            }
            members.insert(node, set);
        }
        Ok(members)
    }
}

/// A vector for each node, of vectors that stand at the leaves' numbers; each leaf has its own, and splits have zeros.
fn spread(path: &str, tree: &Tree, width: usize, vectors: &[f32]) -> Result<Vec<f32>, FrontendError> {
    let leaves = tree.left.iter().filter(|&&left| left < 0).count();
    // There is one split less than leaves, so this is at most twice what the file holds.
    if leaves.checked_mul(width) != Some(vectors.len()) || tree.left.len() > 2 * leaves {
        return Err(FrontendError::malformed(path, format!("{} values of {leaves} leaves", vectors.len())));
    }
    let mut values = Vec::new();
    for (&left, &leaf) in tree.left.iter().zip(&tree.right) {
        let vector = usize::try_from(leaf).ok().and_then(|leaf| vectors.chunks_exact(width).nth(leaf));
        match vector {
            _ if left >= 0 => values.resize(values.len() + width, 0.0),
            Some(vector) => values.extend_from_slice(vector),
            None => return Err(FrontendError::malformed(path, format!("leaf {leaf} has no values"))),
        }
    }
    Ok(values)
}
