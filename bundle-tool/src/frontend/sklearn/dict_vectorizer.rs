//! `DictVectorizer`: records of keys and values as columns. The keys are the columns of a table: of texts where the fitted names are `key=text`,
//! of numbers otherwise.

use std::collections::HashMap;

use ekiben_runtime::DType;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::one_hot::OneHot;
use ekiben_runtime::ops::select::Select;

use super::categories::{self, Categories};
use super::{Estimator, Family, Features, Method, Need, Needs, cast, features, unsupported, with_columns};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// `DictVectorizer`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.feature_extraction._dict_vectorizer.DictVectorizer"],
    carried: &[],
    decode: |item| Ok(Box::new(DictVectorizer::decode(item)?)),
};

/// A key of the records.
#[derive(Debug, Clone, PartialEq)]
pub struct DictKey {
    /// The key.
    pub name: String,
    /// The texts that it was seen with, and the output column of each; `None` for a key of numbers.
    pub texts: Option<Categories>,
    /// Output columns: one for each text, or one.
    pub places: Vec<usize>,
}

/// Keys and values as columns. What a record lacks is 0, and so are texts that were not seen.
#[derive(Debug, Clone, PartialEq)]
pub struct DictVectorizer {
    /// The keys, in the order of their first columns.
    pub keys: Vec<DictKey>,
    /// Type of the output.
    pub dtype: DType,
}

impl DictVectorizer {
    fn decode(item: &Item<'_>) -> Result<DictVectorizer, FrontendError> {
        let separator = item.get("separator")?;
        let separator = separator.as_str()?;
        let names = item.get("feature_names_")?;
        let mut keys: Vec<(String, Vec<String>, Vec<usize>)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for (place, name) in names.items()?.iter().enumerate() {
            let name = name.as_str()?;
            let (key, text) = match name.split_once(separator).filter(|_| !separator.is_empty()) {
                Some((key, text)) => (key, Some(text)),
                None => (name, None),
            };
            let at = *known.entry(key.to_owned()).or_insert_with(|| {
                keys.push((key.to_owned(), Vec::new(), Vec::new()));
                keys.len() - 1
            });
            let (_, texts, places) = &mut keys[at];
            if texts.len() != places.len() || text.is_none() && !places.is_empty() {
                return Err(unsupported(&names, format!("the key {key:?} has texts and numbers; use a key for each")));
            }
            texts.extend(text.map(str::to_owned));
            places.push(place);
        }
        if keys.is_empty() {
            return Err(unsupported(item, "a vectorizer that gives no columns"));
        }
        let key = |(name, texts, places): (String, Vec<String>, Vec<usize>)| {
            let texts = (!texts.is_empty()).then_some(Categories::Texts(texts));
            DictKey { name, texts, places }
        };
        let dtype = categories::dtype(&item.get("dtype")?)?;
        Ok(DictVectorizer { keys: keys.into_iter().map(key).collect(), dtype })
    }
}

/// The keys of a fitted vectorizer: the names of its columns.
pub(super) fn keys(item: &Item<'_>) -> Result<Vec<String>, FrontendError> {
    Ok(DictVectorizer::decode(item)?.keys.into_iter().map(|key| key.name).collect())
}

impl Estimator for DictVectorizer {
    fn features(&self) -> usize {
        self.keys.len()
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.keys.iter().map(|key| key.places.len()).sum())
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        let need = |key: &DictKey| key.texts.as_ref().map_or(Need::Number, Categories::need);
        Ok(Needs::columns(self.keys.iter().map(need).collect()))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let mut parts = Vec::with_capacity(self.keys.len());
        for (index, key) in self.keys.iter().enumerate() {
            let name = format!("{path}/{}", key.name);
            let part = match &key.texts {
                Some(texts) => {
                    let count = texts.count() as i32;
                    let places: Vec<i32> = (0..count).collect();
                    let places = texts.codes(graph, path, (x, index), &places, count)?;
                    let values = graph.add_constant(&name, DType::F64, &[2], &[0.0, 1.0])?;
                    graph.add(&name, OneHot { axis: 1, depth: count as u32 }, &[places, values])?
                }
                None => {
                    let column = x.column(graph, path, index)?;
                    let column = cast(graph, path, column, DType::F64)?;
                    let column = with_columns(graph, path, column, &[1])?;
                    let lacks = graph.add(&name, Compare { kind: CompareKind::NotEqual }, &[column, column])?;
                    let zero = graph.add_constant(&name, DType::F64, &[1], &[0.0])?;
                    graph.add(&name, Select, &[lacks, zero, column])?
                }
            };
            parts.push(Features::of(part));
        }
        let joined = Features::join(graph, path, parts)?.matrix(graph, path)?;
        let order: Vec<usize> = self.keys.iter().flat_map(|key| key.places.iter().copied()).collect();
        let mut taken = vec![0; order.len()];
        for (from, &to) in order.iter().enumerate() {
            taken[to] = from;
        }
        let ordered = features::take(graph, path, joined, &taken)?;
        Ok(vec![cast(graph, path, ordered, self.dtype)?])
    }
}
