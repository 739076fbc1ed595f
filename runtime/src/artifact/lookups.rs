//! Perfect hashes of lists of strings, which find a text's place in its list without a heap: see
//! [`perfect_hash`](crate::kernels::reference::perfect_hash) for the function.
//!
//! | part | bytes |
//! |---|---|
//! | count | u32 lists that have a hash |
//! | records | 24 bytes each, lists rising: u32 list, seed, first displacement, displacements (1 or more), first slot, slots (1 or more) |
//! | words | u32 displacements and slots, at the indices that the records name; a slot holds a position in the list |

use super::LoadError;
use super::header::SectionKind;
use super::strings::Strings;
use crate::bytes::u32_at;
use crate::kernels::reference::perfect_hash::{TextHash, bucket, slot};

/// Words of a record.
const RECORD_WORDS: usize = 6;

/// The lookups section.
#[derive(Clone, Copy, Debug)]
pub struct Lookups<'a> {
    bytes: &'a [u8],
}

/// The hash of one list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Record {
    list: u32,
    seed: u32,
    first_displacement: u32,
    displacements: u32,
    first_slot: u32,
    slots: u32,
}

impl<'a> Lookups<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Number of lists that have a hash.
    pub fn len(&self) -> usize {
        u32_at(self.bytes, 0).map_or(0, |count| count as usize)
    }

    /// True when no list has a hash.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn record(&self, index: usize) -> Option<Record> {
        (index < self.len()).then_some(())?;
        let first = index.checked_mul(RECORD_WORDS)?.checked_add(1)?;
        let word = |at: usize| u32_at(self.bytes, first.checked_add(at)?);
        Some(Record {
            list: word(0)?,
            seed: word(1)?,
            first_displacement: word(2)?,
            displacements: word(3)?,
            first_slot: word(4)?,
            slots: word(5)?,
        })
    }

    /// The word at `index` after the records.
    fn word(&self, index: u32) -> Option<u32> {
        let records = self.len().checked_mul(RECORD_WORDS)?.checked_add(1)?;
        u32_at(self.bytes, records.checked_add(index as usize)?)
    }

    fn find_record(&self, list: u32) -> Option<Record> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let record = self.record(middle)?;
            match record.list.cmp(&list) {
                core::cmp::Ordering::Equal => return Some(record),
                core::cmp::Ordering::Less => low = middle + 1,
                core::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }

    /// True when the list has a hash.
    pub fn has(&self, list: u32) -> bool {
        self.find_record(list).is_some()
    }

    /// The only position in the list where `text` can be; `None` where it is not in the list for sure, or the list has no hash.
    pub fn candidate(&self, list: u32, text: &[u8]) -> Option<u32> {
        let record = self.find_record(list)?;
        let hash = TextHash::new(record.seed).with(text).finish();
        let displacement = bucket(hash, record.displacements).checked_add(record.first_displacement)?;
        let slot = slot(hash, self.word(displacement)?, record.slots);
        (slot < record.slots).then_some(())?;
        self.word(record.first_slot.checked_add(slot)?)
    }

    /// Checks every record, and that slots hold positions in their lists.
    pub(super) fn check(&self, strings: &Strings<'_>) -> Result<(), LoadError> {
        let error = |index, problem| LoadError::Record { kind: SectionKind::Lookups, index, problem };
        if self.bytes.is_empty() {
            return Ok(());
        }
        let mut before = None;
        for index in 0..self.len() {
            let record = self.record(index).ok_or(error(index, "the record lies outside the section"))?;
            if before.is_some_and(|before| before >= record.list) {
                return Err(error(index, "the lists do not rise"));
            }
            before = Some(record.list);
            let length = strings.list_len(record.list).ok_or(error(index, "the list is not there"))?;
            let last = |first: u32, count: u32| first.checked_add(count.checked_sub(1)?);
            let in_section = |last: Option<u32>| last.is_some_and(|last| self.word(last).is_some());
            if !in_section(last(record.first_displacement, record.displacements))
                || !in_section(last(record.first_slot, record.slots))
            {
                return Err(error(index, "the words lie outside the section"));
            }
            for slot in 0..record.slots {
                let held = record.first_slot.checked_add(slot).and_then(|word| self.word(word));
                if held.is_none_or(|position| position >= length) {
                    return Err(error(index, "a slot names a string that is not in the list"));
                }
            }
        }
        Ok(())
    }
}
