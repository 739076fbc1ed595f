//! Reads what CatBoost saves with `format="json"`.
//!
//! Numbers are read as they stand, to the nearest float64. (CatBoost's own reader of this format misses it by a unit in the last place at times.)

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::ensemble::{
    CatFeature, Ctr, CtrBase, CtrTable, CtrType, Ensemble, FloatFeature, NanTreatment, Node, OneHot, Projection,
    Questions, Split, Trees,
};
use super::refuse_feature;
use crate::frontend::FrontendError;

/// A value of the document with its path.
#[derive(Clone)]
struct At<'a> {
    value: &'a Value,
    path: String,
}

const NOTHING: &Value = &Value::Null;

impl<'a> At<'a> {
    fn wrong(&self, needs: &str) -> FrontendError {
        FrontendError::malformed(&self.path, format!("it needs to be {needs}"))
    }

    /// The member `key`; null where it is not there.
    fn get(&self, key: &str) -> At<'a> {
        At { value: self.value.get(key).unwrap_or(NOTHING), path: format!("{}.{key}", self.path) }
    }

    fn object(&self) -> Result<&'a Map<String, Value>, FrontendError> {
        self.value.as_object().ok_or_else(|| self.wrong("an object"))
    }

    /// The elements of a list; none where it is not there.
    fn list(&self) -> Result<Vec<At<'a>>, FrontendError> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            Value::Array(values) => {
                let elements = values.iter().enumerate();
                Ok(elements.map(|(index, value)| At { value, path: format!("{}[{index}]", self.path) }).collect())
            }
            _ => Err(self.wrong("a list")),
        }
    }

    fn number(&self) -> Result<f64, FrontendError> {
        self.value.as_f64().ok_or_else(|| self.wrong("a number"))
    }

    fn numbers(&self) -> Result<Vec<f64>, FrontendError> {
        let Value::Array(values) = self.value else { return Err(self.wrong("a list of numbers")) };
        let numbers = values.iter().map(|value| value.as_f64());
        numbers.collect::<Option<_>>().ok_or_else(|| self.wrong("a list of numbers"))
    }

    fn integer(&self) -> Result<i64, FrontendError> {
        self.value.as_i64().ok_or_else(|| self.wrong("an integer"))
    }

    fn i32(&self) -> Result<i32, FrontendError> {
        self.integer()?.try_into().map_err(|_| self.wrong("an integer of 32 bits"))
    }

    /// A hash, which is written with or without a sign.
    fn hash(&self) -> Result<i32, FrontendError> {
        let hash = self.integer()?;
        let hash = i32::try_from(hash).or_else(|_| u32::try_from(hash).map(|hash| hash as i32));
        hash.map_err(|_| self.wrong("a hash of 32 bits"))
    }

    /// Borders, which are of 32 bits.
    fn borders(&self) -> Result<Vec<f32>, FrontendError> {
        match self.value {
            Value::Null => Ok(Vec::new()),
            _ => Ok(self.numbers()?.into_iter().map(|border| border as f32).collect()),
        }
    }

    fn text(&self) -> Result<&'a str, FrontendError> {
        self.value.as_str().ok_or_else(|| self.wrong("a text"))
    }

    /// The name of a feature, or "".
    fn name(&self) -> String {
        let name = ["feature_id", "feature_name"].into_iter().find_map(|key| self.value.get(key)?.as_str());
        name.unwrap_or_default().to_owned()
    }
}

/// Reads a document.
pub(super) fn read(bytes: &[u8]) -> Result<Ensemble, FrontendError> {
    let document: Value = serde_json::from_slice(bytes).map_err(|error| FrontendError::malformed("file", error))?;
    let root = At { value: &document, path: "model".to_owned() };
    let features = root.get("features_info");
    for kind in ["text", "embedding"] {
        if let Some(feature) = features.get(&format!("{kind}_features")).list()?.first() {
            return Err(refuse_feature(&feature.name(), feature.get("flat_feature_index").i32().unwrap_or(-1), kind));
        }
    }
    let floats = features.get("float_features").list()?.iter().map(read_float).collect::<Result<Vec<_>, _>>()?;
    let (mut cats, mut one_hots) = (Vec::new(), Vec::new());
    for cat in features.get("categorical_features").list()? {
        let index = cat.get("feature_index").i32()?;
        cats.push(CatFeature { index, flat: cat.get("flat_feature_index").i32()?, name: cat.name() });
        let values = cat.get("values").list()?.iter().map(At::hash).collect::<Result<Vec<_>, _>>()?;
        if !values.is_empty() {
            one_hots.push(OneHot { cat: index, values });
        }
    }
    let ctrs = features.get("ctrs").list()?.iter().map(read_ctr).collect::<Result<Vec<_>, _>>()?;
    let mut tables = HashMap::new();
    let counts = root.get("ctr_data");
    if *counts.value != Value::Null {
        for (key, value) in counts.object()? {
            let (base, table) = read_counts(key, &At { value, path: format!("{}.{key}", counts.path) })?;
            tables.insert(base, table);
        }
    }
    let questions = Questions::new(&floats, &one_hots, &ctrs);
    let (mut scale, mut bias) = (1.0, Vec::new());
    if let [factor, offsets] = root.get("scale_and_bias").list()?.as_slice() {
        scale = factor.number()?;
        bias = match offsets.value {
            Value::Array(_) => offsets.numbers()?,
            _ => vec![offsets.number()?],
        };
    }
    let mut leaves = Leaves { values: Vec::new(), dimension: None };
    let oblivious = root.get("oblivious_trees");
    let trees = if oblivious.value.is_null() {
        let trees = root.get("trees").list()?;
        Trees::Free(trees.iter().map(|tree| leaves.free(tree, &questions)).collect::<Result<_, _>>()?)
    } else {
        let trees = oblivious.list()?;
        Trees::Oblivious(trees.iter().map(|tree| leaves.oblivious(tree, &questions)).collect::<Result<_, _>>()?)
    };
    let dimension = leaves.dimension.unwrap_or(bias.len().max(1));
    if bias.is_empty() {
        bias = vec![0.0; dimension];
    }
    let info = root.get("model_info");
    let info = match info.value {
        Value::Null => HashMap::new(),
        _ => {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            info.object()?.iter().map(|(key, value)| (key.clone(), text(value))).collect()
        }
    };
    let leaves = leaves.values;
    Ensemble { floats, cats, one_hots, ctrs, tables, trees, leaves, dimension, scale, bias, info }.check()
}

fn read_float(feature: &At<'_>) -> Result<FloatFeature, FrontendError> {
    let has_nan = feature.get("has_nans").value.as_bool().unwrap_or(false);
    let above = has_nan && feature.get("nan_value_treatment").value.as_str() == Some("AsTrue");
    Ok(FloatFeature {
        index: feature.get("feature_index").i32()?,
        flat: feature.get("flat_feature_index").i32()?,
        name: feature.name(),
        borders: feature.get("borders").borders()?,
        nan: if above { NanTreatment::Above } else { NanTreatment::Below },
    })
}

fn read_projection(elements: &At<'_>) -> Result<Projection, FrontendError> {
    let mut projection = Projection { cats: Vec::new(), floats: Vec::new(), one_hots: Vec::new() };
    for element in elements.list()? {
        let cat = || element.get("cat_feature_index").i32();
        match element.get("combination_element").text()? {
            "cat_feature_value" => projection.cats.push(cat()?),
            "cat_feature_exact_value" => projection.one_hots.push((cat()?, element.get("value").hash()?)),
            "float_feature" => {
                let border = element.get("border").number()? as f32;
                projection.floats.push((element.get("float_feature_index").i32()?, border.to_bits()));
            }
            other => return Err(element.wrong(&format!("a known element of a combination, not {other:?}"))),
        }
    }
    Ok(projection)
}

fn read_base(kind: &At<'_>, elements: &At<'_>, classifier: &At<'_>) -> Result<CtrBase, FrontendError> {
    let name = kind.text()?;
    let known = CtrType::ALL.iter().find(|(_, known)| *known == name);
    let &(known, _) = known.ok_or_else(|| kind.wrong("a known kind of statistic"))?;
    let classifier = if classifier.value.is_null() { 0 } else { classifier.i32()? };
    Ok(CtrBase { projection: read_projection(elements)?, kind: known, classifier })
}

/// Name of the number of the borders of the target, where there are several.
const CLASSIFIER: &str = "target_border_classifier_idx";

fn read_ctr(ctr: &At<'_>) -> Result<Ctr, FrontendError> {
    let number = |key| Ok::<_, FrontendError>(ctr.get(key).number()? as f32);
    Ok(Ctr {
        base: read_base(&ctr.get("ctr_type"), &ctr.get("elements"), &ctr.get(CLASSIFIER))?,
        target_border: ctr.get("target_border_idx").i32()?,
        // The file's own spelling.
        prior: [number("prior_numerator")?, number("prior_denomerator")?],
        shift: number("shift")?,
        scale: number("scale")?,
        borders: ctr.get("borders").borders()?,
    })
}

fn read_counts(key: &str, table: &At<'_>) -> Result<(CtrBase, CtrTable), FrontendError> {
    let identifier: Value = serde_json::from_str(key).map_err(|error| FrontendError::malformed(&table.path, error))?;
    let identifier = At { value: &identifier, path: table.path.clone() };
    let base = read_base(&identifier.get("type"), &identifier.get("identifier"), &identifier.get(CLASSIFIER))?;
    let stride = table.get("hash_stride");
    let stride = usize::try_from(stride.integer()?).ok().filter(|&stride| stride > 1);
    let stride = stride.ok_or_else(|| table.wrong("a table with a hash and counts in each entry"))?;
    let is_mean = matches!(base.kind, CtrType::BinarizedTargetMeanValue | CtrType::FloatTargetMeanValue);
    let mut made = CtrTable { classes: stride - 1, ..CtrTable::default() };
    let map = table.get("hash_map");
    let Value::Array(entries) = map.value else { return Err(map.wrong("a list")) };
    for entry in entries.chunks(stride) {
        let hash = entry[0].as_str().and_then(|hash| hash.parse().ok());
        let hash: u64 = hash.ok_or_else(|| map.wrong("a list in which each hash is a text"))?;
        let place = u32::try_from(made.places.len()).unwrap_or(u32::MAX);
        // Free places of the table are written too.
        if hash == u64::MAX || entry.len() < stride || made.places.insert(hash, place).is_some() {
            continue;
        }
        for (at, count) in entry[1..].iter().enumerate() {
            let number = count.as_f64().ok_or_else(|| map.wrong("a list of hashes and counts"))?;
            made.counts.push(if is_mean && at == 0 { (number as f32).to_bits() as i32 } else { number as i32 });
        }
    }
    let denominator = table.get("counter_denominator");
    if !denominator.value.is_null() {
        made.denominator = denominator.i32()?;
    }
    Ok((base, made))
}

/// Values of leaves as trees are read.
struct Leaves {
    values: Vec<f64>,
    dimension: Option<usize>,
}

impl Leaves {
    /// Notes that a leaf of `at` has so many values.
    fn check(&mut self, at: &At<'_>, count: usize) -> Result<(), FrontendError> {
        if count == 0 || *self.dimension.get_or_insert(count) != count {
            return Err(at.wrong("as many values for each leaf as in the other trees"));
        }
        Ok(())
    }

    fn oblivious(&mut self, tree: &At<'_>, questions: &Questions) -> Result<Vec<Split>, FrontendError> {
        let splits = tree.get("splits").list()?;
        let splits = splits.iter().map(|split| questions.get(split.get("split_index").integer()?));
        let splits = splits.collect::<Result<Vec<_>, _>>()?;
        let values = tree.get("leaf_values").numbers()?;
        let count = 1_usize.checked_shl(splits.len() as u32).filter(|count| values.len() % count == 0);
        self.check(tree, count.map_or(0, |count| values.len() / count))?;
        self.values.extend(values);
        Ok(splits)
    }

    fn free(&mut self, tree: &At<'_>, questions: &Questions) -> Result<Vec<Node>, FrontendError> {
        let mut nodes = Vec::new();
        self.node(tree, questions, &mut nodes)?;
        Ok(nodes)
    }

    /// Adds a node and what is below it; the document is not deeper than its reader allows.
    fn node(&mut self, at: &At<'_>, questions: &Questions, nodes: &mut Vec<Node>) -> Result<usize, FrontendError> {
        let place = nodes.len();
        let split = at.get("split");
        if split.value.is_null() {
            let value = at.get("value");
            let values = if value.value.is_array() { value.numbers()? } else { vec![value.number()?] };
            self.check(at, values.len())?;
            nodes.push(Node::Leaf(self.values.len()));
            self.values.extend(values);
            return Ok(place);
        }
        nodes.push(Node::Leaf(0));
        let no = self.node(&at.get("left"), questions, nodes)?;
        let yes = self.node(&at.get("right"), questions, nodes)?;
        nodes[place] = Node::Split(questions.get(split.get("split_index").integer()?)?, yes, no);
        Ok(place)
    }
}
