//! Texts into tokens and n-grams, as scikit-learn's vectorisers take them apart. Classes of characters come from a table; lower case is
//! `core`'s.

/// A character of words, for `\b`.
pub const WORD: u8 = 1;
/// A cased letter that is not ignored beside one, for the two forms of the lower-case sigma.
pub const CASED: u8 = 2;
/// A character that is ignored beside a cased letter.
pub const IGNORABLE: u8 = 4;
/// The class of the pattern's first item; the next ones follow, [`MAX_ITEMS`] in all.
pub const FIRST_ITEM: u8 = 8;
/// Items of a token's pattern, at most.
pub const MAX_ITEMS: usize = 5;
/// Tokens or characters of an n-gram, at most.
pub const MAX_N: usize = 8;

/// Classes of characters.
#[derive(Clone, Copy, Debug)]
pub struct Classes<'a> {
    /// Ranges, rising: the first character, then the last one times 256 plus the range's classes.
    ranges: &'a [[i32; 2]],
    ascii: [u8; 128],
}

impl<'a> Classes<'a> {
    /// The classes that a table of ranges states.
    pub fn new(ranges: &'a [[i32; 2]]) -> Self {
        let mut classes = Self { ranges, ascii: [0; 128] };
        for code in 0..128u8 {
            let found = classes.search(code.into());
            if let Some(slot) = classes.ascii.get_mut(usize::from(code)) {
                *slot = found;
            }
        }
        classes
    }

    fn search(&self, code: u32) -> u8 {
        let after = self.ranges.partition_point(|[first, _]| *first <= code as i32);
        match after.checked_sub(1).and_then(|at| self.ranges.get(at)) {
            Some(&[_, last]) if last >> 8 >= code as i32 => last as u8,
            _ => 0,
        }
    }

    /// The classes of a character.
    pub fn of(&self, character: char) -> u8 {
        let code = u32::from(character);
        self.ascii.get(code as usize).copied().unwrap_or_else(|| self.search(code))
    }

    fn has(&self, character: char, class: u8) -> bool {
        self.of(character) & class != 0
    }
}

/// What becomes of accents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Accents {
    /// They stay.
    Keep = 0,
    /// Characters are replaced as the map says; syllables of Hangul are taken apart.
    Map = 1,
    /// As [`Accents::Map`], and characters beyond ASCII that the map does not have are left out.
    MapToAscii = 2,
}

/// What is done to a text before it is taken apart.
#[derive(Clone, Copy, Debug)]
pub struct Preparation<'a> {
    /// Whether letters become lower-case.
    pub lower: bool,
    /// What becomes of accents.
    pub accents: Accents,
    /// Classes of characters.
    pub classes: &'a Classes<'a>,
    /// Replacements, rising: a character beyond ASCII, and start and length of what replaces it.
    pub map: &'a [[i32; 3]],
    /// The replacements' bytes.
    pub replacements: &'a [u8],
}

/// A text that is written into memory of a fixed size; what does not fit is left out.
struct Buffer<'a> {
    bytes: &'a mut [u8],
    length: usize,
}

impl Buffer<'_> {
    fn push_bytes(&mut self, bytes: &[u8]) {
        let end = self.length.saturating_add(bytes.len());
        if let Some(slot) = self.bytes.get_mut(self.length..end) {
            slot.copy_from_slice(bytes);
            self.length = end;
        }
    }

    fn push(&mut self, character: char) {
        self.push_bytes(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

impl Preparation<'_> {
    /// Writes the prepared text and returns its length. `memory` must be large enough: see [`super::text_analysis`]'s users.
    pub fn write(&self, text: &str, memory: &mut [u8]) -> usize {
        let mut buffer = Buffer { bytes: memory, length: 0 };
        for (at, character) in text.char_indices() {
            if !self.lower {
                self.replace(character, &mut buffer);
            } else if character.is_ascii() {
                buffer.push(character.to_ascii_lowercase());
            } else if character == 'Σ' {
                let is_final = self.ends_word(text, at);
                self.replace(if is_final { 'ς' } else { 'σ' }, &mut buffer);
            } else {
                character.to_lowercase().for_each(|lower| self.replace(lower, &mut buffer));
            }
        }
        buffer.length
    }

    /// Whether the character at `at` stands after a cased letter and before none, ignorable characters aside.
    fn ends_word(&self, text: &str, at: usize) -> bool {
        let cased = |mut characters: &mut dyn Iterator<Item = char>| {
            let next = (&mut characters).find(|&character| !self.classes.has(character, IGNORABLE));
            next.is_some_and(|character| self.classes.has(character, CASED))
        };
        let (before, rest) = text.split_at_checked(at).unwrap_or_default();
        cased(&mut before.chars().rev()) && !cased(&mut rest.chars().skip(1))
    }

    fn replace(&self, character: char, buffer: &mut Buffer<'_>) {
        if self.accents == Accents::Keep || character.is_ascii() {
            return buffer.push(character);
        }
        let code = u32::from(character) as i32;
        if let Ok(at) = self.map.binary_search_by(|entry| entry[0].cmp(&code)) {
            let [_, start, length] = self.map.get(at).copied().unwrap_or_default();
            let range = start as usize..(start as usize).saturating_add(length as usize);
            return buffer.push_bytes(self.replacements.get(range).unwrap_or_default());
        }
        if self.accents == Accents::MapToAscii {
            return;
        }
        match u32::from(character).checked_sub(0xAC00).filter(|&syllable| syllable < 11_172) {
            Some(syllable) => {
                let last = syllable % 28;
                let parts = [0x1100 + syllable / 588, 0x1161 + syllable % 588 / 28, 0x11A7 + last];
                let count = if last == 0 { 2 } else { 3 };
                parts.iter().take(count).filter_map(|&code| char::from_u32(code)).for_each(|part| buffer.push(part));
            }
            None => buffer.push(character),
        }
    }
}

/// Python's `str.isspace`.
pub fn is_space(character: char) -> bool {
    character.is_whitespace() || ('\u{1C}'..='\u{1F}').contains(&character)
}

/// Replaces runs of two and more spaces of any kind by one space, in place; returns the new length.
pub fn squeeze_spaces(text: &mut [u8]) -> usize {
    let (mut read, mut written) = (0, 0);
    while let Some(character) = text.get(read..).and_then(first_char) {
        let start = read;
        let mut end = read + character.len_utf8();
        let mut run = usize::from(is_space(character));
        if run > 0 {
            while let Some(next) = text.get(end..).and_then(first_char).filter(|&next| is_space(next)) {
                end += next.len_utf8();
                run += 1;
            }
        }
        read = end;
        if run > 1 {
            if let Some(slot) = text.get_mut(written) {
                *slot = b' ';
            }
            written += 1;
        } else {
            text.copy_within(start..end, written);
            written += end - start;
        }
    }
    written
}

/// The first character of bytes that are UTF-8.
fn first_char(bytes: &[u8]) -> Option<char> {
    let head = bytes.get(..bytes.len().min(4))?;
    match core::str::from_utf8(head) {
        Ok(text) => text.chars().next(),
        Err(error) => core::str::from_utf8(head.get(..error.valid_up_to())?).ok()?.chars().next(),
    }
}

/// What a token looks like: characters of one class each, then some of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenPattern {
    /// Characters at the start that have a class of their own, less than [`MAX_ITEMS`].
    pub prefix: u8,
    /// The fewest characters of the last class, the prefix's not counted. A token has one character at least.
    pub fewest: u32,
    /// The most of them.
    pub most: u32,
    /// Whether a token starts at the edge of a word.
    pub starts_at_edge: bool,
    /// Whether it ends at one.
    pub ends_at_edge: bool,
}

impl TokenPattern {
    /// Calls `found` with the tokens of `text`, from left to right: as long as possible, none overlapping.
    pub fn tokens<'t>(&self, text: &'t str, classes: &Classes<'_>, mut found: impl FnMut(&'t str)) {
        let mut start = 0;
        let mut before = None;
        while let Some(character) = text.get(start..).and_then(|rest| rest.chars().next()) {
            match self.token_at(text, start, before, classes).filter(|&end| end > start) {
                Some(end) => {
                    let token = text.get(start..end).unwrap_or_default();
                    found(token);
                    before = token.chars().next_back();
                    start = end;
                }
                None => {
                    before = Some(character);
                    start += character.len_utf8();
                }
            }
        }
    }

    /// The end of the token that starts at `start`, where the character before is `before`.
    fn token_at(&self, text: &str, start: usize, before: Option<char>, classes: &Classes<'_>) -> Option<usize> {
        let is_word = |character: Option<char>| character.is_some_and(|character| classes.has(character, WORD));
        let rest = text.get(start..)?;
        if self.starts_at_edge && is_word(before) == is_word(rest.chars().next()) {
            return None;
        }
        let mut characters = rest.chars();
        let mut end = start;
        for item in 0..self.prefix {
            let character = characters.next().filter(|&character| classes.has(character, FIRST_ITEM << item))?;
            end += character.len_utf8();
        }
        let class = FIRST_ITEM.checked_shl(self.prefix.into()).unwrap_or(0);
        let mut count = 0;
        while count < self.most {
            let Some(character) = characters.next().filter(|&character| classes.has(character, class)) else { break };
            end += character.len_utf8();
            count += 1;
        }
        while count >= self.fewest {
            let (token, after) = (text.get(..end)?, text.get(end..)?);
            if !self.ends_at_edge || is_word(token.chars().next_back()) != is_word(after.chars().next()) {
                return Some(end);
            }
            if count == 0 {
                return None;
            }
            end -= token.chars().next_back()?.len_utf8();
            count -= 1;
        }
        None
    }
}

/// Calls `found` with all n-grams of `fewest` to `most` characters of `text`.
pub fn character_grams<'t>(text: &'t str, (fewest, most): (usize, usize), mut found: impl FnMut(&'t str)) {
    for (start, _) in text.char_indices() {
        let rest = text.get(start..).unwrap_or_default();
        let ends = rest.char_indices().map(|(at, character)| at + character.len_utf8());
        for end in ends.take(most).skip(fewest.saturating_sub(1)) {
            found(rest.get(..end).unwrap_or_default());
        }
    }
}

/// Calls `found` with the n-grams of each word of `text` with a space on either side, in three pieces: the space before, characters of the
/// word, the space after. A word that is shorter than an n-gram counts once, with no longer n-gram after it.
pub fn word_bounded_grams<'t>(text: &'t str, (fewest, most): (usize, usize), mut found: impl FnMut([&'t str; 3])) {
    for word in text.split(is_space).filter(|word| !word.is_empty()) {
        let length = word.chars().count() + 2;
        for n in fewest..=most {
            let mut starts = word.char_indices().map(|(at, _)| at);
            let mut ends = word.char_indices().map(|(at, character)| at + character.len_utf8());
            // Characters of the word in the first n-gram, after its space.
            let mut end = match n.saturating_sub(1).min(length - 2) {
                0 => 0,
                count => ends.nth(count - 1).unwrap_or(word.len()),
            };
            let closing = |offset: usize| if offset + n >= length { " " } else { "" };
            found([if n > 0 { " " } else { "" }, word.get(..end).unwrap_or_default(), closing(0)]);
            let mut offset = 0;
            while offset + n < length {
                offset += 1;
                let start = starts.next().unwrap_or(word.len());
                end = ends.next().unwrap_or(end);
                found(["", word.get(start..end).unwrap_or_default(), closing(offset)]);
            }
            if offset == 0 {
                break;
            }
        }
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::string::String;
    use alloc::vec::Vec;
    use alloc::{format, vec};

    /// ASCII letters and digits are characters of words and of the first two items; Greek letters are cased.
    const RANGES: [[i32; 2]; 5] = [
        [0x30, 0x39 << 8 | (WORD | FIRST_ITEM | FIRST_ITEM << 1) as i32],
        [0x41, 0x5A << 8 | (WORD | CASED | FIRST_ITEM | FIRST_ITEM << 1) as i32],
        [0x61, 0x7A << 8 | (WORD | CASED | FIRST_ITEM | FIRST_ITEM << 1) as i32],
        [0xB7, 0xB7 << 8 | IGNORABLE as i32],
        [0x391, 0x3C9 << 8 | (WORD | CASED) as i32],
    ];

    fn prepared(text: &str, accents: Accents, map: &[[i32; 3]], replacements: &[u8]) -> String {
        let classes = Classes::new(&RANGES);
        let preparation = Preparation { lower: true, accents, classes: &classes, map, replacements };
        let mut memory = vec![0; 100];
        let length = preparation.write(text, &mut memory);
        String::from_utf8(memory[..length].to_vec()).unwrap()
    }

    #[test]
    fn texts_become_lower_case_as_in_python() {
        for text in ["ABC", "ΟΔΟΣ", "ΟΔΟΣ·Α ΣΑΣ", "Σ", "İstanbul ẞ", "ΑΣ."] {
            assert_eq!(prepared(text, Accents::Keep, &[], &[]), text.to_lowercase(), "{text}");
        }
    }

    #[test]
    fn no_lower_case_takes_twice_the_bytes() {
        for character in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let lower: usize = character.to_lowercase().map(char::len_utf8).sum();
            assert!(lower <= 2 * character.len_utf8(), "{character}");
        }
    }

    #[test]
    fn accents_are_mapped() {
        let map = [[0xE9, 0, 1], [0x142, 1, 0]];
        assert_eq!(prepared("Éał한", Accents::Map, &map, b"e"), "ea\u{1112}\u{1161}\u{11AB}");
        assert_eq!(prepared("Éał한z", Accents::MapToAscii, &map, b"e"), "eaz");
    }

    #[test]
    fn spaces_are_squeezed() {
        for (text, squeezed) in [("a  b", "a b"), ("a\nb", "a\nb"), (" \u{3000}é\t\t", " é "), ("", ""), ("ab", "ab")]
        {
            let mut bytes = text.as_bytes().to_vec();
            let length = squeeze_spaces(&mut bytes);
            assert_eq!(core::str::from_utf8(&bytes[..length]), Ok(squeezed));
        }
    }

    fn tokens(pattern: TokenPattern, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        pattern.tokens(text, &Classes::new(&RANGES), |token| all.push(String::from(token)));
        all
    }

    #[test]
    fn tokens_are_those_of_the_pattern() {
        let words = TokenPattern { prefix: 1, fewest: 1, most: u32::MAX, starts_at_edge: true, ends_at_edge: true };
        assert_eq!(tokens(words, "a bc, d3f-gh i é"), ["bc", "d3f", "gh"]);
        // A Greek letter is one of words, but of no item: no edge lies before it.
        assert_eq!(tokens(words, "abα cd"), ["cd"]);
        let pairs = TokenPattern { prefix: 0, fewest: 2, most: 2, starts_at_edge: false, ends_at_edge: false };
        assert_eq!(tokens(pairs, "abcde"), ["ab", "cd"]);
    }

    #[test]
    fn grams_of_characters() {
        let mut all = Vec::new();
        character_grams("añb", (2, 3), |gram| all.push(String::from(gram)));
        assert_eq!(all, ["añ", "añb", "ñb"]);
        let mut all = Vec::new();
        word_bounded_grams("ab\tñ", (3, 4), |pieces| all.push(pieces.concat()));
        assert_eq!(all, [" ab", "ab ", " ab ", " ñ "]);
        let mut all = Vec::new();
        word_bounded_grams("abc", (1, 1), |pieces| all.push(format!("{}|", pieces.concat())));
        assert_eq!(all.concat(), " |a|b|c| |");
    }
}
