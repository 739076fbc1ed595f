//! The constants of counted terms: classes of characters, replacements of accented ones, vocabularies with their perfect hash.

use ekiben_runtime::kernels::reference::perfect_hash::build;
use ekiben_runtime::kernels::reference::text_analysis::{CASED, FIRST_ITEM, IGNORABLE, WORD};
use ekiben_runtime::ops::term_counts::{Accents, TermCounts};
use ekiben_runtime::{DType, Shape, TensorSpec};
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::canonical_combining_class;

use super::pattern::{CharSet, ranges};
use super::unicode;
use crate::frontend::FrontendError;
use crate::graph::{Graph, TensorId};

/// The table of the classes of characters, with those of a token pattern's items.
pub(super) fn classes(graph: &mut Graph, path: &str, items: &[CharSet]) -> Result<TensorId, FrontendError> {
    let mut sets: Vec<(u8, CharSet)> =
        vec![(WORD, ranges(unicode::WORDS)), (CASED, ranges(unicode::CASED)), (IGNORABLE, ranges(unicode::IGNORABLE))];
    sets.extend(items.iter().enumerate().map(|(item, set)| (FIRST_ITEM << item, set.clone())));
    // Between two edges every character has the same classes.
    let mut edges: Vec<(u32, u8)> = Vec::new();
    for (class, set) in &sets {
        for &(first, last) in set {
            edges.push((first, *class));
            edges.push((last + 1, *class));
        }
    }
    edges.sort_unstable();
    let mut table: Vec<i32> = Vec::new();
    let (mut current, mut start) = (0u8, 0u32);
    let mut edges = edges.into_iter().peekable();
    while let Some((place, class)) = edges.next() {
        if current != 0 && place > start {
            table.extend([start as i32, (((place - 1) << 8) | u32::from(current)) as i32]);
        }
        start = place;
        current ^= class;
        while let Some(&(_, class)) = edges.peek().filter(|(next, _)| *next == place) {
            current ^= class;
            edges.next();
        }
    }
    Ok(graph.add_constant(&format!("{path}/classes"), DType::I32, &[table.len() / 2, 2], &table)?)
}

/// The map of accented characters, and the bytes of what replaces them.
pub(super) fn accents(
    graph: &mut Graph,
    path: &str,
    accents: Accents,
) -> Result<Option<(TensorId, Option<TensorId>)>, FrontendError> {
    if accents == Accents::Keep {
        return Ok(None);
    }
    let (mut map, mut bytes): (Vec<i32>, Vec<u8>) = (Vec::new(), Vec::new());
    for character in (0x80..=u32::from(char::MAX)).filter_map(char::from_u32) {
        let parts = std::iter::once(character).nfkd();
        let replacement: String = match accents {
            Accents::MapToAscii => parts.filter(char::is_ascii).collect(),
            // The runtime takes syllables of Hangul apart itself.
            _ if ('\u{AC00}'..='\u{D7A3}').contains(&character) => continue,
            _ => parts.filter(|&part| canonical_combining_class(part) == 0).collect(),
        };
        let is_default = match accents {
            Accents::MapToAscii => replacement.is_empty(),
            _ => replacement.chars().eq([character]),
        };
        if !is_default {
            map.extend([u32::from(character) as i32, bytes.len() as i32, replacement.len() as i32]);
            bytes.extend(replacement.as_bytes());
        }
    }
    let name = format!("{path}/strip_accents");
    let map = graph.add_constant(&name, DType::I32, &[map.len() / 3, 3], &map)?;
    Ok(Some((map, Some(graph.add_constant(&name, DType::U8, &[bytes.len()], &bytes)?))))
}

/// The constants of a vocabulary.
pub(super) struct Vocabulary {
    pub(super) seed: u32,
    pub(super) entries: Option<TensorId>,
    pub(super) displacements: Option<TensorId>,
    pub(super) terms: Option<TensorId>,
}

/// A vocabulary of terms with their columns; none for no terms.
pub(super) fn vocabulary(graph: &mut Graph, path: &str, terms: &[(String, i32)]) -> Result<Vocabulary, FrontendError> {
    if terms.is_empty() {
        return Ok(Vocabulary { seed: 0, entries: None, displacements: None, terms: None });
    }
    let texts: Vec<&[u8]> = terms.iter().map(|(term, _)| term.as_bytes()).collect();
    let hash = build(&texts).ok_or_else(|| FrontendError::malformed(path, "terms that cannot be told apart"))?;
    let (mut entries, mut bytes) = (Vec::with_capacity(terms.len() * 3), Vec::new());
    for &slot in &hash.slots {
        let (term, column) = &terms[slot as usize];
        let place = i32::try_from(bytes.len()).map_err(|error| FrontendError::malformed(path, error))?;
        entries.extend([place, term.len() as i32, *column]);
        bytes.extend(term.as_bytes());
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
    let name = format!("{path}/vocabulary_");
    let displacements: Vec<i32> = hash.displacements.iter().map(|&displacement| displacement as i32).collect();
    Ok(Vocabulary {
        seed: hash.seed,
        entries: Some(graph.add_constant(&name, DType::I32, &[entries.len() / 3, 3], &entries)?),
        displacements: Some(graph.add_constant(&name, DType::I32, &[displacements.len()], &displacements)?),
        terms: Some(graph.add_constant(&name, DType::U8, &[bytes.len()], &bytes)?),
    })
}

/// Adds the operator that counts, with an output of `columns`.
pub(super) fn counted(
    graph: &mut Graph,
    path: &str,
    op: TermCounts,
    inputs: &[Option<TensorId>],
    columns: usize,
) -> Result<TensorId, FrontendError> {
    let text = inputs.first().copied().flatten().map(|text| graph.shape(text)).unwrap_or_else(Shape::scalar);
    let shape = Shape::new(&[text.factor(0).unwrap_or(1), columns], text.batch_axis());
    let shape = shape.map_err(|error| FrontendError::malformed(path, error))?;
    let declared = TensorSpec::new(DType::F64, shape);
    let outputs = graph.add_node(&format!("{path}/counts"), op, inputs, &[declared])?;
    outputs.first().copied().ok_or_else(|| FrontendError::malformed(path, "nothing is counted"))
}
