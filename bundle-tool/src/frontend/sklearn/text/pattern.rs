//! Token patterns: the regular expressions that say what a word is, as far as they are one run of characters.

use ekiben_runtime::ops::term_counts::{MAX_ITEMS, TokenPattern};

use super::unicode;

/// Characters, as rising ranges that do not touch.
pub(super) type CharSet = Vec<(u32, u32)>;

/// The last character.
const LAST: u32 = char::MAX as u32;

/// A token pattern, and the class of each of its items.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pattern {
    pub(super) shape: TokenPattern,
    pub(super) items: Vec<CharSet>,
}

/// The ranges of a list in hexadecimal.
pub(super) fn ranges(list: &str) -> CharSet {
    let code = |text: &str| u32::from_str_radix(text, 16).unwrap_or(0);
    let range = |word: &str| match word.split_once('-') {
        Some((first, last)) => (code(first), code(last)),
        None => (code(word), code(word)),
    };
    list.split_ascii_whitespace().map(range).collect()
}

/// Ranges in order and joined.
fn normalised(mut ranges: CharSet) -> CharSet {
    ranges.sort_unstable();
    let mut joined: CharSet = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(before) if first <= before.1.saturating_add(1) => before.1 = before.1.max(last),
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// All characters that are not in a normalised set.
fn complement(ranges: &CharSet) -> CharSet {
    let mut next = 0;
    let mut rest = Vec::new();
    for &(first, last) in ranges {
        if first > next {
            rest.push((next, first - 1));
        }
        next = last + 1;
    }
    if next <= LAST {
        rest.push((next, LAST));
    }
    rest
}

/// One item of a pattern: characters of a set, so many times.
struct Item {
    set: CharSet,
    fewest: u32,
    most: u32,
}

/// A place in the pattern's text.
struct Cursor<'t> {
    rest: &'t str,
}

impl Cursor<'_> {
    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    fn takes(&mut self, text: &str) -> bool {
        match self.rest.strip_prefix(text) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// The set of the escape after a backslash.
    fn escape(&mut self) -> Result<CharSet, String> {
        let named = |list: &str| normalised(ranges(list));
        let next = self.next().ok_or("a backslash at its end")?;
        Ok(match next {
            'w' => named(unicode::WORDS),
            'd' => named(unicode::DIGITS),
            's' => named(unicode::SPACES),
            'W' => complement(&named(unicode::WORDS)),
            'D' => complement(&named(unicode::DIGITS)),
            'S' => complement(&named(unicode::SPACES)),
            'n' => single('\n'),
            't' => single('\t'),
            'r' => single('\r'),
            other if !other.is_ascii_alphanumeric() => single(other),
            other => return Err(format!("`\\{other}`")),
        })
    }

    /// The set after an opening bracket.
    fn bracket(&mut self) -> Result<CharSet, String> {
        let negated = self.takes("^");
        let mut set = Vec::new();
        let mut is_first = true;
        loop {
            let next = self.next().ok_or("a bracket that is not closed")?;
            if next == ']' && !is_first {
                break;
            }
            is_first = false;
            let part = if next == '\\' { self.escape()? } else { single(next) };
            let start = match part.as_slice() {
                &[(first, last)] if first == last => first,
                _ => {
                    set.extend(part);
                    continue;
                }
            };
            let is_range = self.rest.starts_with('-') && !self.rest.starts_with("-]");
            if !is_range {
                set.push((start, start));
                continue;
            }
            self.takes("-");
            let end = match self.next() {
                Some('\\') => self.escape()?,
                Some(end) => single(end),
                None => return Err("a bracket that is not closed".to_owned()),
            };
            match end.as_slice() {
                &[(first, last)] if first == last && first >= start => set.push((start, last)),
                _ => return Err("a range that does not rise".to_owned()),
            }
        }
        let set = normalised(set);
        Ok(if negated { complement(&set) } else { set })
    }

    /// How often the item before may stand.
    fn quantifier(&mut self) -> Result<(u32, u32), String> {
        let counts = match self.rest.chars().next() {
            Some('+') => (1, u32::MAX),
            Some('*') => (0, u32::MAX),
            Some('?') => (0, 1),
            Some('{') => {
                let (inside, rest) = self.rest[1..].split_once('}').ok_or("a brace that is not closed")?;
                self.rest = rest;
                let number = |text: &str| text.trim().parse::<u32>().map_err(|_| format!("`{{{inside}}}`"));
                let counts = match inside.split_once(',') {
                    None => (number(inside)?, number(inside)?),
                    Some((fewest, most)) => {
                        let fewest = if fewest.trim().is_empty() { 0 } else { number(fewest)? };
                        (fewest, if most.trim().is_empty() { u32::MAX } else { number(most)? })
                    }
                };
                return self.greedy(counts);
            }
            _ => return Ok((1, 1)),
        };
        self.next();
        self.greedy(counts)
    }

    fn greedy(&self, counts: (u32, u32)) -> Result<(u32, u32), String> {
        if self.rest.starts_with(['?', '+', '*']) {
            return Err("a repetition that is not greedy".to_owned());
        }
        Ok(counts)
    }
}

fn single(character: char) -> CharSet {
    vec![(character.into(), character.into())]
}

/// Reads a token pattern.
///
/// # Errors
/// What in it is not understood.
pub(super) fn parse(text: &str) -> Result<Pattern, String> {
    let mut cursor = Cursor { rest: text.strip_prefix("(?u)").unwrap_or(text) };
    let starts_at_edge = cursor.takes(r"\b");
    let group = cursor.takes("(?:") || !cursor.rest.starts_with("(?") && cursor.takes("(");
    let inner_start = group && cursor.takes(r"\b");
    let (mut items, mut closed, mut ends_at_edge) = (Vec::new(), !group, false);
    while !cursor.rest.is_empty() {
        if cursor.takes(r"\b") {
            ends_at_edge = true;
            if group && !closed {
                closed = cursor.takes(")");
            }
            if !cursor.rest.is_empty() {
                return Err(r"`\b` in its middle".to_owned());
            }
            break;
        }
        if group && !closed && cursor.takes(")") {
            closed = true;
            if cursor.rest.starts_with(['+', '*', '?', '{']) {
                return Err("a group that repeats".to_owned());
            }
            continue;
        }
        if closed && group {
            return Err("something beside its group".to_owned());
        }
        let set = match cursor.next() {
            Some('\\') => cursor.escape()?,
            Some('[') => cursor.bracket()?,
            Some('.') => complement(&single('\n')),
            Some(other) if "()|^$*+?{}".contains(other) => return Err(format!("`{other}`")),
            Some(other) => single(other),
            None => break,
        };
        let (fewest, most) = cursor.quantifier()?;
        items.push(Item { set, fewest, most });
    }
    if !closed {
        return Err("a group that is not closed".to_owned());
    }
    shaped(items, starts_at_edge || inner_start, ends_at_edge)
}

/// The items as single characters and a run of the last one's class.
fn shaped(items: Vec<Item>, starts_at_edge: bool, ends_at_edge: bool) -> Result<Pattern, String> {
    let mut items = items.into_iter().rev();
    let Some(Item { set, mut fewest, mut most }) = items.next() else {
        return Err("nothing".to_owned());
    };
    let mut before: Vec<CharSet> = Vec::new();
    for item in items {
        if item.fewest != item.most {
            return Err("several runs of characters".to_owned());
        }
        if before.is_empty() && item.set == set {
            fewest = fewest.saturating_add(item.fewest);
            most = most.saturating_add(item.most);
            continue;
        }
        before.extend(std::iter::repeat_n(item.set, item.fewest.min(MAX_ITEMS as u32) as usize));
    }
    if before.len() >= MAX_ITEMS {
        return Err(format!("more than {} characters before its run", MAX_ITEMS - 1));
    }
    if before.is_empty() && fewest == 0 {
        return Err("tokens of no characters".to_owned());
    }
    if fewest > most {
        return Err("a run whose bounds do not rise".to_owned());
    }
    before.reverse();
    let prefix = before.len() as u8;
    before.push(set);
    let shape = TokenPattern { prefix, fewest, most, starts_at_edge, ends_at_edge };
    Ok(Pattern { shape, items: before })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_are_read() {
        let default = parse(r"(?u)\b\w\w+\b").unwrap();
        let shape = TokenPattern { prefix: 0, fewest: 2, most: u32::MAX, starts_at_edge: true, ends_at_edge: true };
        assert_eq!(default.shape, shape);
        assert_eq!(parse(r"(?u)\b(\w{2,})\b").unwrap(), default);
        assert_eq!(parse(r"(?:\b\w\w+\b)").unwrap(), default);
        let letter = parse(r"\b[a-zA-Z][\w'-]{1,7}\b").unwrap();
        assert_eq!((letter.shape.prefix, letter.shape.fewest, letter.shape.most), (1, 1, 7));
        assert_eq!(letter.items[0], [(0x41, 0x5A), (0x61, 0x7A)]);
        assert!(letter.items[1].contains(&(0x27, 0x27)) && letter.items[1].contains(&(0x2D, 0x2D)));
        assert_eq!(parse(r"[^\s,]+").unwrap().items[0][0], (0, 8));
        assert_eq!(parse(r"[]a]+").unwrap().items[0], [(0x5D, 0x5D), (0x61, 0x61)]);
        for refused in [
            r"\w*",
            r"\w+|\d+",
            r"(\w+)(\d+)",
            r"\w+\s+",
            r"(?i)[a-z]+",
            r"\w+?",
            r"[a-",
            r"(\w)+",
            "",
            r"\p",
            "x{2,1}",
        ] {
            assert!(parse(refused).is_err(), "{refused}");
        }
    }
}
