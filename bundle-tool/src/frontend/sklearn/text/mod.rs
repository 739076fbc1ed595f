//! Texts as counts and weights of terms: `CountVectorizer`, `TfidfVectorizer`, `TfidfTransformer`, `HashingVectorizer`, `FeatureHasher` of texts.

mod pattern;
mod stop_words;
mod tables;
mod unicode;

use std::collections::BTreeSet;

use ekiben_runtime::DType;
use ekiben_runtime::ops::term_counts::{Accents, Analyzer, MAX_N, TermCounts, TokenPattern};
use ekiben_runtime::ops::term_weights::{Norm, TermWeights};

use self::pattern::CharSet;
use super::{Estimator, Family, Features, Method, Need, Needs, cast, categories, inconsistent, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::Item;
use crate::graph::{Graph, TensorId};

/// Vectorisers.
pub(super) const VECTORIZERS: Family = Family {
    classes: &[
        "sklearn.feature_extraction.text.CountVectorizer",
        "sklearn.feature_extraction.text.TfidfVectorizer",
        "sklearn.feature_extraction.text.HashingVectorizer",
    ],
    carried: &["scipy.sparse.dia.dia_matrix", "scipy.sparse._dia.dia_matrix", "scipy.sparse._dia.dia_array"],
    decode: |item| Ok(Box::new(Vectorizer::decode(item)?)),
};

/// `TfidfTransformer`.
pub(super) const TFIDF: Family = Family {
    classes: &["sklearn.feature_extraction.text.TfidfTransformer"],
    carried: &[],
    decode: |item| Ok(Box::new(TfidfTransformer::decode(item)?)),
};

/// `FeatureHasher`.
pub(super) const HASHER: Family = Family {
    classes: &["sklearn.feature_extraction._hash.FeatureHasher"],
    carried: &[],
    decode: |item| Ok(Box::new(Vectorizer::decode_hasher(item)?)),
};

/// What tells a term's column.
#[derive(Debug, Clone, PartialEq)]
pub enum Terms {
    /// The terms, by column.
    Vocabulary(Vec<String>),
    /// A hash.
    Hash {
        /// Columns.
        columns: usize,
        /// Whether the hash's sign counts.
        signed: bool,
    },
}

/// Counts, or weights, of the terms in one column of texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Vectorizer {
    /// What a text is taken apart into.
    pub analyzer: Analyzer,
    /// The fewest and the most tokens or characters of an n-gram.
    pub n: (u8, u8),
    /// Whether letters become lower-case.
    pub lower: bool,
    /// What becomes of accents.
    pub accents: Accents,
    /// Whether a term that occurs counts 1 and no more.
    pub binary: bool,
    /// What tokens look like.
    pub pattern: TokenPattern,
    /// The classes of the pattern's items.
    items: Vec<CharSet>,
    /// Words that are left out before n-grams are made.
    pub stop_words: BTreeSet<String>,
    /// What tells a term's column.
    pub terms: Terms,
    /// Type of the counts.
    pub dtype: DType,
    /// What is done to the counts.
    pub weights: Option<TfidfTransformer>,
}

/// A pattern for analyzers that need none.
const NO_PATTERN: TokenPattern =
    TokenPattern { prefix: 0, fewest: 1, most: 1, starts_at_edge: false, ends_at_edge: false };

/// An attribute that must be `None`, because what it holds would be called.
fn no_function(item: &Item<'_>, name: &str, instead: &str) -> Result<(), FrontendError> {
    match item.find(name)? {
        Some(value) if !value.is_none() => {
            Err(unsupported(&value, format!("{name} is a function, which is not run; {instead}")))
        }
        _ => Ok(()),
    }
}

impl Vectorizer {
    fn decode(item: &Item<'_>) -> Result<Vectorizer, FrontendError> {
        let class = item.class()?.rsplit('.').next().unwrap_or_default();
        no_function(item, "preprocessor", "use lowercase and strip_accents, or prepare the texts before")?;
        no_function(item, "tokenizer", "use token_pattern")?;
        let input = item.get("input")?;
        if input.as_str() != Ok("content") {
            return Err(unsupported(&input, "texts in files; use input=\"content\""));
        }
        let analyzer = item.get("analyzer")?;
        let kind = match analyzer.as_str() {
            Ok("word") => Analyzer::Words,
            Ok("char") => Analyzer::Characters,
            Ok("char_wb") => Analyzer::CharactersOfWords,
            _ => {
                return Err(unsupported(
                    &analyzer,
                    "an analyzer that is a function; use \"word\", \"char\" or \"char_wb\"",
                ));
            }
        };
        let range = item.get("ngram_range")?;
        let n = (range.at(0)?.as_usize()?, range.at(1)?.as_usize()?);
        if n.0 == 0 || n.0 > n.1 || n.1 > MAX_N {
            return Err(unsupported(&range, format!("n-grams of {} to {}; 1 to {MAX_N} are supported", n.0, n.1)));
        }
        let strip = item.get("strip_accents")?;
        let accents = match strip.as_str() {
            Ok("unicode") => Accents::Map,
            Ok("ascii") => Accents::MapToAscii,
            _ if strip.is_none() => Accents::Keep,
            _ => return Err(unsupported(&strip, "strip_accents is a function; use \"ascii\" or \"unicode\"")),
        };
        let (mut pattern, mut items) = (NO_PATTERN, Vec::new());
        if kind == Analyzer::Words {
            let text = item.get("token_pattern")?;
            let parsed = pattern::parse(text.as_str()?).map_err(|problem| {
                let reason = format!(
                    "the token pattern {:?} has {problem}, which is not supported; use one run of characters, as in r\"(?u)\\b\\w\\w+\\b\"",
                    text.as_str().unwrap_or_default()
                );
                unsupported(&text, reason)
            })?;
            (pattern, items) = (parsed.shape, parsed.items);
        }
        let (terms, weights) = match class {
            "HashingVectorizer" => {
                let columns = hashed_columns(item)?;
                let terms = Terms::Hash { columns, signed: item.get("alternate_sign")?.as_bool()? };
                let norm = decode_norm(&item.get("norm")?)?;
                let plain = TfidfTransformer { features: columns, sublinear: false, idf: None, norm, from_last: false };
                (terms, (norm != Norm::None).then_some(plain))
            }
            "TfidfVectorizer" => {
                let vocabulary = decode_vocabulary(item)?;
                let columns = vocabulary.len();
                let weights = TfidfTransformer::decode_part(&item.get("_tfidf")?, Some(columns))?;
                (Terms::Vocabulary(vocabulary), Some(weights))
            }
            _ => (Terms::Vocabulary(decode_vocabulary(item)?), None),
        };
        Ok(Vectorizer {
            analyzer: kind,
            n: (n.0 as u8, n.1 as u8),
            lower: item.get("lowercase")?.as_bool()?,
            accents,
            binary: item.get("binary")?.as_bool()?,
            pattern,
            items,
            stop_words: if kind == Analyzer::Words { decode_stop_words(item)? } else { BTreeSet::new() },
            terms,
            dtype: categories::dtype(&item.get("dtype")?)?,
            weights,
        })
    }

    fn decode_hasher(item: &Item<'_>) -> Result<Vectorizer, FrontendError> {
        let input = item.get("input_type")?;
        if input.as_str() != Ok("string") {
            let reason =
                "dicts have no form in a table; use input_type=\"string\" on a column of texts, or DictVectorizer";
            return Err(unsupported(&input, reason));
        }
        let columns = hashed_columns(item)?;
        Ok(Vectorizer {
            analyzer: Analyzer::Whole,
            n: (1, 1),
            lower: false,
            accents: Accents::Keep,
            binary: false,
            pattern: NO_PATTERN,
            items: Vec::new(),
            stop_words: BTreeSet::new(),
            terms: Terms::Hash { columns, signed: item.get("alternate_sign")?.as_bool()? },
            dtype: categories::dtype(&item.get("dtype")?)?,
            weights: None,
        })
    }

    fn columns(&self) -> usize {
        match &self.terms {
            Terms::Vocabulary(terms) => terms.len(),
            Terms::Hash { columns, .. } => *columns,
        }
    }

    /// The weighted counts, `[N, columns]`; plain counts in float64.
    fn weighted(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<TensorId, FrontendError> {
        let column = x.column(graph, path, 0)?;
        if graph.spec(column).dtype != DType::Text {
            let reason = format!("the column {:?} is not one of texts", x.name(0));
            return Err(FrontendError::unsupported(path, "column", reason));
        }
        let counts = self.counts(graph, path, column)?;
        match &self.weights {
            Some(weights) => {
                let dtype = if self.dtype == DType::F32 { DType::F32 } else { DType::F64 };
                let counts = cast(graph, path, counts, dtype)?;
                weights.apply(graph, path, counts)
            }
            None => Ok(counts),
        }
    }

    fn counts(&self, graph: &mut Graph, path: &str, column: TensorId) -> Result<TensorId, FrontendError> {
        let mut stopped: Vec<(String, i32)> = self.stop_words.iter().map(|word| (word.clone(), -1)).collect();
        let hashed = match &self.terms {
            Terms::Hash { signed, .. } => Some(*signed),
            Terms::Vocabulary(terms) => {
                let known = terms.iter().zip(0..).filter(|(term, _)| !self.stop_words.contains(*term));
                stopped.extend(known.map(|(term, column)| (term.clone(), column)));
                None
            }
        };
        let vocabulary = tables::vocabulary(graph, path, &stopped)?;
        let classes = tables::classes(graph, path, &self.items)?;
        let map = tables::accents(graph, path, self.accents)?;
        let op = TermCounts {
            analyzer: self.analyzer,
            fewest: self.n.0,
            most: self.n.1,
            accents: self.accents,
            lower: self.lower,
            binary: self.binary,
            hashed,
            leaves_out: !self.stop_words.is_empty(),
            pattern: self.pattern,
            seed: vocabulary.seed,
        };
        let inputs = [
            Some(column),
            Some(classes),
            map.map(|(map, _)| map),
            map.and_then(|(_, replacements)| replacements),
            vocabulary.entries,
            vocabulary.displacements,
            vocabulary.terms,
        ];
        tables::counted(graph, path, op, &inputs, self.columns())
    }
}

/// `n_features` of a hasher.
fn hashed_columns(item: &Item<'_>) -> Result<usize, FrontendError> {
    let columns = item.get("n_features")?;
    match columns.as_usize()? {
        count @ 1..=0x7FFF_FFFF => Ok(count),
        count => Err(inconsistent(&columns, format!("{count} columns"))),
    }
}

/// The terms of a vocabulary by column.
fn decode_vocabulary(item: &Item<'_>) -> Result<Vec<String>, FrontendError> {
    let vocabulary = item.get("vocabulary_")?;
    let entries = vocabulary.entries()?;
    let mut terms: Vec<Option<String>> = vec![None; entries.len()];
    for (term, column) in &entries {
        let place = terms.get_mut(column.as_usize()?).filter(|place| place.is_none());
        let place = place.ok_or_else(|| inconsistent(&vocabulary, "terms do not have a column each"))?;
        *place = Some(term.as_str()?.to_owned());
    }
    let terms: Option<Vec<String>> = terms.into_iter().collect();
    match terms.filter(|terms| !terms.is_empty()) {
        Some(terms) => Ok(terms),
        None => Err(inconsistent(&vocabulary, "a vocabulary without terms")),
    }
}

/// The words that are left out.
fn decode_stop_words(item: &Item<'_>) -> Result<BTreeSet<String>, FrontendError> {
    let words = item.get("stop_words")?;
    if words.is_none() {
        return Ok(BTreeSet::new());
    }
    match words.as_str() {
        Ok("english") => return Ok(stop_words::ENGLISH.split_ascii_whitespace().map(str::to_owned).collect()),
        Ok(other) => return Err(unsupported(&words, format!("stop_words={other:?}; give a list"))),
        Err(_) => {}
    }
    words.items()?.iter().map(|word| Ok(word.as_str()?.to_owned())).collect()
}

/// A norm by its name.
fn decode_norm(item: &Item<'_>) -> Result<Norm, FrontendError> {
    match item.as_str() {
        Ok("l1") => Ok(Norm::Sum),
        Ok("l2") => Ok(Norm::Length),
        _ if item.is_none() => Ok(Norm::None),
        _ => Err(unsupported(item, "a norm other than \"l1\" and \"l2\"")),
    }
}

impl Estimator for Vectorizer {
    fn features(&self) -> usize {
        1
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.columns())
    }

    fn needs(&self, _path: &str, _after: &Needs) -> Result<Needs, FrontendError> {
        Ok(Needs::columns(vec![Need::Text]))
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let weighted = self.weighted(graph, path, x)?;
        let dtype = if self.weights.is_some() { graph.spec(weighted).dtype } else { self.dtype };
        Ok(vec![cast(graph, path, weighted, dtype)?])
    }

    fn transform(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<Features, FrontendError> {
        // Counts are whole numbers in any type; float64 is what comes next.
        let weighted = self.weighted(graph, path, x)?;
        let weighted = if self.dtype == DType::F32 { cast(graph, path, weighted, DType::F32)? } else { weighted };
        Ok(Features::of(weighted))
    }
}

/// Weights of counted terms.
#[derive(Debug, Clone, PartialEq)]
pub struct TfidfTransformer {
    /// Columns.
    pub features: usize,
    /// Whether counts become logarithms.
    pub sublinear: bool,
    /// The weight of each column.
    pub idf: Option<Vec<f64>>,
    /// What rows are divided by.
    pub norm: Norm,
    /// Whether norms are summed from the last column on: until the weights were a sparse matrix, their product had its columns in
    /// that order.
    pub from_last: bool,
}

impl TfidfTransformer {
    fn decode(item: &Item<'_>) -> Result<TfidfTransformer, FrontendError> {
        let features = item.find("n_features_in_")?.map(|features| features.as_usize()).transpose()?;
        Self::decode_part(item, features)
    }

    /// Decodes a transformer of `features` columns; without idf the file may not tell their number.
    fn decode_part(item: &Item<'_>, features: Option<usize>) -> Result<TfidfTransformer, FrontendError> {
        let mut from_last = false;
        let mut idf = None;
        if item.get("use_idf")?.as_bool()? {
            let weights = match item.find("_idf_diag")? {
                Some(diagonal) => {
                    from_last = true;
                    diagonal.get("data")?
                }
                None => item.get("idf_")?,
            };
            idf = Some(weights.array()?.f64s()?);
        }
        let features = match (features, &idf) {
            (Some(features), _) => features,
            (None, Some(idf)) => idf.len(),
            (None, None) => {
                return Err(unsupported(item, "use_idf=False of a release that does not store the number of columns"));
            }
        };
        if idf.as_ref().is_some_and(|idf| idf.len() != features) || features == 0 {
            return Err(inconsistent(item, format!("weights of another number of columns than {features}")));
        }
        let sublinear = item.get("sublinear_tf")?.as_bool()?;
        Ok(TfidfTransformer { features, sublinear, idf, norm: decode_norm(&item.get("norm")?)?, from_last })
    }

    /// Weighs `[N, columns]` of float32 or float64.
    fn apply(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let name = format!("{path}/weights");
        let mut inputs = vec![x];
        if let Some(idf) = &self.idf {
            let dtype = graph.spec(x).dtype;
            let idf = match dtype {
                DType::F32 => {
                    let idf: Vec<f32> = idf.iter().map(|&weight| weight as f32).collect();
                    graph.add_constant(&name, dtype, &[idf.len()], &idf)?
                }
                _ => graph.add_constant(&name, dtype, &[idf.len()], idf)?,
            };
            inputs.push(idf);
        }
        let op = TermWeights { sublinear: self.sublinear, norm: self.norm, from_last: self.from_last };
        Ok(graph.add(&name, op, &inputs)?)
    }
}

impl Estimator for TfidfTransformer {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.features)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        let dtype = if graph.spec(x).dtype == DType::F32 { DType::F32 } else { DType::F64 };
        let x = cast(graph, path, x, dtype)?;
        Ok(vec![self.apply(graph, path, x)?])
    }
}
