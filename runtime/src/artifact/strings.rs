//! Strings and lists of strings: names of tensors and APIs, class labels.
//!
//! | part | bytes |
//! |---|---|
//! | counts | u32 strings, u32 lists |
//! | strings | u32 offset in the text, u32 length, each |
//! | lists | u32 first string, u32 number of strings, each |
//! | text | UTF-8 |

use super::LoadError;
use super::header::SectionKind;
use super::lookups::Lookups;
use crate::bytes::u32_at;

const COUNTS_BYTES: usize = 8;
const ENTRY_BYTES: usize = 8;

/// The strings section.
#[derive(Clone, Copy, Debug)]
pub struct Strings<'a> {
    bytes: &'a [u8],
    lookups: Lookups<'a>,
}

impl<'a> Strings<'a> {
    pub(super) fn new(bytes: &'a [u8], lookups: &'a [u8]) -> Self {
        Self { bytes, lookups: Lookups::new(lookups) }
    }

    /// Number of strings.
    pub fn len(&self) -> usize {
        u32_at(self.bytes, 0).map_or(0, |count| count as usize)
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of lists.
    pub fn list_count(&self) -> usize {
        u32_at(self.bytes, 1).map_or(0, |count| count as usize)
    }

    fn pair(&self, entry: usize) -> Option<(usize, usize)> {
        let at = entry.checked_mul(2)?.checked_add(COUNTS_BYTES / 4)?;
        Some((u32_at(self.bytes, at)? as usize, u32_at(self.bytes, at.checked_add(1)?)? as usize))
    }

    fn text(&self) -> Option<&'a [u8]> {
        let entries = self.len().checked_add(self.list_count())?;
        self.bytes.get(COUNTS_BYTES.checked_add(entries.checked_mul(ENTRY_BYTES)?)?..)
    }

    /// The string at `index`.
    pub fn get(&self, index: u32) -> Option<&'a str> {
        let index = index as usize;
        (index < self.len()).then_some(())?;
        let (offset, length) = self.pair(index)?;
        core::str::from_utf8(self.text()?.get(offset..offset.checked_add(length)?)?).ok()
    }

    /// Number of strings in the list at `list`.
    pub fn list_len(&self, list: u32) -> Option<u32> {
        let list = list as usize;
        (list < self.list_count()).then_some(())?;
        u32::try_from(self.pair(self.len().checked_add(list)?)?.1).ok()
    }

    /// String number `index` of the list at `list`.
    pub fn list_item(&self, list: u32, index: u32) -> Option<&'a str> {
        (index < self.list_len(list)?).then_some(())?;
        let first = self.pair(self.len().checked_add(list as usize)?)?.0;
        self.get(u32::try_from(first).ok()?.checked_add(index)?)
    }

    /// Position of `text` in the list at `list`, of equal strings the first. Takes one look at the list where it has a perfect hash
    /// (as lists of categories that an API reads have), and compares with each string where it has none.
    pub fn find(&self, list: u32, text: &str) -> Option<u32> {
        if self.lookups.has(list) {
            let position = self.lookups.candidate(list, text.as_bytes())?;
            return (self.list_item(list, position)? == text).then_some(position);
        }
        (0..self.list_len(list)?).find(|&position| self.list_item(list, position) == Some(text))
    }

    /// The perfect hashes of lists.
    pub fn lookups(&self) -> Lookups<'a> {
        self.lookups
    }

    /// Checks every entry.
    pub(super) fn check(&self) -> Result<(), LoadError> {
        let error = |index, problem| LoadError::Record { kind: SectionKind::Strings, index, problem };
        if self.bytes.is_empty() {
            return self.lookups.check(self);
        }
        if self.bytes.len() < COUNTS_BYTES || self.text().is_none() {
            return Err(error(0, "the counts exceed the section"));
        }
        for index in 0..self.len() {
            if self.get(index as u32).is_none() {
                return Err(error(index, "the string lies outside the section or is not UTF-8"));
            }
        }
        for list in 0..self.list_count() {
            let index = self.len() + list;
            let (first, count) = self.pair(index).ok_or(error(index, "the list lies outside the section"))?;
            if first.checked_add(count).is_none_or(|end| end > self.len()) {
                return Err(error(index, "the list names strings that are not there"));
            }
        }
        self.lookups.check(self)
    }
}
