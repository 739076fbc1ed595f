//! Counts of terms in texts: by a vocabulary, or by hashing.

use super::perfect_hash::{TextHash, bucket, slot};
use super::text_analysis::{
    Classes, MAX_N, Preparation, TokenPattern, character_grams, squeeze_spaces, word_bounded_grams,
};

/// What a text is taken apart into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Analyzer {
    /// N-grams of tokens, joined by spaces.
    Words = 0,
    /// N-grams of characters.
    Characters = 1,
    /// N-grams of characters inside of words and the spaces around them.
    CharactersOfWords = 2,
    /// The text as it is.
    Whole = 3,
}

/// Terms with a column each.
#[derive(Clone, Copy, Debug)]
pub struct Vocabulary<'a> {
    /// In the order of a perfect hash's slots: start and length of each term among the terms' bytes, and its column; -1 for a word that is left out.
    pub entries: &'a [[i32; 3]],
    /// The hash's displacements.
    pub displacements: &'a [i32],
    /// Its seed.
    pub seed: u32,
    /// The terms' bytes.
    pub terms: &'a [u8],
}

impl Vocabulary<'_> {
    /// The column of the term that `pieces` make.
    fn column<'p>(&self, pieces: impl Iterator<Item = &'p [u8]> + Clone) -> Option<i32> {
        let hash = pieces.clone().fold(TextHash::new(self.seed), TextHash::with).finish();
        let displacement = *self.displacements.get(bucket(hash, self.displacements.len() as u32) as usize)?;
        let slot = slot(hash, displacement as u32, self.entries.len() as u32);
        let &[start, length, column] = self.entries.get(slot as usize)?;
        let mut term = self.terms.get(start as usize..(start as usize).checked_add(length as usize)?)?;
        for piece in pieces {
            term = term.strip_prefix(piece)?;
        }
        term.is_empty().then_some(column)
    }
}

/// How terms are counted.
#[derive(Clone, Copy, Debug)]
pub struct Counter<'a> {
    /// Terms that have a column, and words that are left out.
    pub vocabulary: Option<Vocabulary<'a>>,
    /// Whether tokens are looked up to be left out.
    pub leaves_out: bool,
    /// Whether columns are told by a hash instead of the vocabulary, and whether its sign counts.
    pub hashed: Option<bool>,
    /// Whether a term that occurs counts 1 and no more.
    pub binary: bool,
}

impl Counter<'_> {
    fn is_left_out(&self, token: &str) -> bool {
        let column = |vocabulary: &Vocabulary<'_>| vocabulary.column(core::iter::once(token.as_bytes()));
        self.leaves_out && self.vocabulary.as_ref().and_then(column) == Some(-1)
    }

    fn count<'p>(&self, pieces: impl Iterator<Item = &'p [u8]> + Clone, counts: &mut [f64]) {
        let (column, step) = match (self.hashed, &self.vocabulary) {
            (Some(signed), _) => {
                let hash = murmur3(pieces);
                let columns = counts.len().max(1);
                let column = hash.unsigned_abs() as usize % columns;
                (column, if signed && hash < 0 { -1.0 } else { 1.0 })
            }
            (None, Some(vocabulary)) => {
                let column = vocabulary.column(pieces).and_then(|column| usize::try_from(column).ok());
                (column.unwrap_or(usize::MAX), 1.0)
            }
            (None, None) => return,
        };
        if let Some(count) = counts.get_mut(column) {
            *count = if self.binary { 1.0 } else { *count + step };
        }
    }
}

/// How a text is taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Analysis<'a> {
    /// What comes before.
    pub preparation: Preparation<'a>,
    /// What it is taken apart into.
    pub analyzer: Analyzer,
    /// What tokens look like.
    pub pattern: TokenPattern,
    /// The fewest and the most tokens or characters of an n-gram, [`MAX_N`] at most.
    pub n: (usize, usize),
}

impl Analysis<'_> {
    /// Adds the terms of one text, which ends before its zeros or where it is not UTF-8. `memory` holds the prepared text.
    pub fn count(&self, text: &[u8], memory: &mut [u8], counter: &Counter<'_>, counts: &mut [f64]) {
        let length = text.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
        let text = valid(text.get(..length).unwrap_or_default());
        if self.analyzer == Analyzer::Whole {
            return counter.count(core::iter::once(text.as_bytes()), counts);
        }
        let mut length = self.preparation.write(text, memory);
        let memory = memory.get_mut(..length).unwrap_or_default();
        if self.analyzer != Analyzer::Words {
            length = squeeze_spaces(memory);
        }
        let text = valid(memory.get(..length).unwrap_or_default());
        match self.analyzer {
            Analyzer::Words => self.count_words(text, self.preparation.classes, counter, counts),
            Analyzer::Characters => {
                character_grams(text, self.n, |gram| counter.count(core::iter::once(gram.as_bytes()), counts));
            }
            _ => word_bounded_grams(text, self.n, |pieces| {
                counter.count(pieces.iter().map(|piece| piece.as_bytes()), counts);
            }),
        }
    }

    fn count_words(&self, text: &str, classes: &Classes<'_>, counter: &Counter<'_>, counts: &mut [f64]) {
        let mut last = [""; MAX_N];
        let mut seen = 0usize;
        self.pattern.tokens(text, classes, |token| {
            if counter.is_left_out(token) {
                return;
            }
            last.rotate_left(1);
            if let Some(slot) = last.last_mut() {
                *slot = token;
            }
            seen = seen.saturating_add(1);
            for n in self.n.0..=self.n.1.min(seen).min(MAX_N) {
                let tokens = last.get(MAX_N - n..).unwrap_or_default();
                let pieces = tokens.iter().enumerate().flat_map(|(at, token)| {
                    let space: &[u8] = if at == 0 { b"" } else { b" " };
                    [space, token.as_bytes()]
                });
                counter.count(pieces, counts);
            }
        });
    }
}

/// The part of bytes that is UTF-8, from their start.
fn valid(bytes: &[u8]) -> &str {
    match core::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let start = bytes.get(..error.valid_up_to()).unwrap_or_default();
            core::str::from_utf8(start).unwrap_or_default()
        }
    }
}

/// MurmurHash3 of 32 bits with seed 0 (the public-domain function x86_32), as a signed integer.
pub fn murmur3<'p>(pieces: impl Iterator<Item = &'p [u8]>) -> i32 {
    let (mut hash, mut block, mut length) = (0u32, 0u32, 0u32);
    let scrambled = |block: u32| block.wrapping_mul(0xCC9E_2D51).rotate_left(15).wrapping_mul(0x1B87_3593);
    for &byte in pieces.flatten() {
        block |= u32::from(byte) << (8 * (length % 4));
        length = length.wrapping_add(1);
        if length.is_multiple_of(4) {
            hash = (hash ^ scrambled(block)).rotate_left(13).wrapping_mul(5).wrapping_add(0xE654_6B64);
            block = 0;
        }
    }
    hash ^= scrambled(block);
    hash ^= length;
    hash ^= hash >> 16;
    hash = hash.wrapping_mul(0x85EB_CA6B);
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(0xC2B2_AE35);
    (hash ^ (hash >> 16)) as i32
}

#[cfg(test)]
mod tests {
    use super::murmur3;

    #[test]
    fn hashes_are_those_of_murmur3() {
        // From sklearn.utils.murmurhash3_32.
        let hash = |text: &str| murmur3(core::iter::once(text.as_bytes()));
        assert_eq!(hash(""), 0);
        assert_eq!(hash("foo"), -156_908_512);
        assert_eq!(hash("hello world, again"), HELLO);
        assert_eq!(murmur3(["hello ".as_bytes(), b"", b"world, again"].into_iter()), HELLO);
    }

    const HELLO: i32 = 715_829_902;
}
