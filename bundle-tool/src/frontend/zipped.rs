//! The files of a zip of stored and deflated members, which is what MOJOs of H2O and models of Keras are.
//!
//! Members are found by the directory at the end, which is what readers of zips go by; their sizes and checksums are held against what is there.

use std::collections::HashMap;
use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;

use super::FrontendError;

/// What an archive may unpack to: members, bytes in all, and bytes for each byte of the file beyond those that are free.
const MAX_MEMBERS: usize = 200_000;
const MAX_BYTES: u64 = 1 << 30;
const RATIO: u64 = 100;
const FREE_BYTES: u64 = 16 << 20;

/// Marks of the records, and their lengths without names.
const END_MARK: &[u8] = b"PK\x05\x06";
const END_LENGTH: usize = 22;
const ENTRY_MARK: &[u8] = b"PK\x01\x02";
const ENTRY_LENGTH: usize = 46;
const LOCAL_MARK: &[u8] = b"PK\x03\x04";
const LOCAL_LENGTH: usize = 30;

/// The files by their names.
pub(super) struct Files {
    members: HashMap<String, Vec<u8>>,
}

fn damaged(reason: impl std::fmt::Display) -> FrontendError {
    FrontendError::malformed("archive", reason)
}

/// A record of known length that begins with `mark`.
fn record<'a>(bytes: &'a [u8], at: usize, mark: &[u8], length: usize) -> Result<&'a [u8], FrontendError> {
    let record = at.checked_add(length).and_then(|end| bytes.get(at..end)).filter(|record| record.starts_with(mark));
    record.ok_or_else(|| damaged(format_args!("there is no record {mark:?} at byte {at}")))
}

fn u16_at(record: &[u8], at: usize) -> usize {
    record.get(at..).and_then(|rest| rest.first_chunk::<2>()).map_or(0, |&word| usize::from(u16::from_le_bytes(word)))
}

fn u32_at(record: &[u8], at: usize) -> u32 {
    record.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |&word| u32::from_le_bytes(word))
}

impl Files {
    /// Unpacks an archive, but for the members whose names `left_out` tells.
    ///
    /// # Errors
    /// A damaged archive, one in ways that no model is written in, or one that unpacks to too much.
    pub(super) fn open(bytes: &[u8], left_out: fn(&str) -> bool) -> Result<Self, FrontendError> {
        // A comment may follow the end's record.
        let last = bytes.len().checked_sub(END_LENGTH).ok_or_else(|| damaged("it is too short"))?;
        let found =
            (last.saturating_sub(usize::from(u16::MAX))..=last).rev().find(|&at| bytes[at..].starts_with(END_MARK));
        let end = record(bytes, found.ok_or_else(|| damaged("its directory is not there"))?, END_MARK, END_LENGTH)?;
        let (count, mut at) = (u16_at(end, 10), u32_at(end, 16) as usize);
        if count > MAX_MEMBERS || count == usize::from(u16::MAX) {
            return Err(damaged("it has more members than are read"));
        }
        let mut left = (bytes.len() as u64).saturating_mul(RATIO).clamp(FREE_BYTES, MAX_BYTES);
        let mut members = HashMap::new();
        for _ in 0..count {
            let entry = record(bytes, at, ENTRY_MARK, ENTRY_LENGTH)?;
            let (name_length, extra, comment) = (u16_at(entry, 28), u16_at(entry, 30), u16_at(entry, 32));
            let name = bytes.get(at + ENTRY_LENGTH..at + ENTRY_LENGTH + name_length);
            let name = name.and_then(|name| std::str::from_utf8(name).ok());
            let name = name.ok_or_else(|| damaged("the name of a member is damaged"))?;
            at += ENTRY_LENGTH + name_length + extra + comment;
            if name.ends_with('/') || left_out(name) {
                continue;
            }
            let content = member(bytes, entry, left).map_err(|reason| damaged(format_args!("{name:?}: {reason}")))?;
            left -= content.len() as u64;
            if members.insert(name.to_owned(), content).is_some() {
                return Err(damaged(format_args!("{name:?} is there twice")));
            }
        }
        Ok(Self { members })
    }

    /// True for an archive that holds a file of this name.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.members.contains_key(name)
    }

    /// The content of a file.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn bytes(&self, name: &str) -> Result<&[u8], FrontendError> {
        let content = self.members.get(name).map(Vec::as_slice);
        content.ok_or_else(|| FrontendError::malformed(name, "it is not in the archive"))
    }

    /// The content of a text file.
    ///
    /// # Errors
    /// When it is not there, or not UTF-8.
    pub(super) fn text(&self, name: &str) -> Result<&str, FrontendError> {
        std::str::from_utf8(self.bytes(name)?).map_err(|_| FrontendError::malformed(name, "it is not UTF-8"))
    }
}

/// The content of a member of at most `most` bytes. Memory grows with what is really there, not with what the directory says.
fn member(bytes: &[u8], entry: &[u8], most: u64) -> Result<Vec<u8>, FrontendError> {
    let (flags, method) = (u16_at(entry, 8), u16_at(entry, 10));
    let (checksum, packed, size, at) =
        (u32_at(entry, 16), u32_at(entry, 20) as usize, u32_at(entry, 24) as usize, u32_at(entry, 42) as usize);
    let local = record(bytes, at, LOCAL_MARK, LOCAL_LENGTH)?;
    let start = at + LOCAL_LENGTH + u16_at(local, 26) + u16_at(local, 28);
    let content = start.checked_add(packed).and_then(|end| bytes.get(start..end));
    let content = content.ok_or_else(|| damaged("it ends in the member"))?;
    let mut unpacked = Vec::new();
    match (flags & 1, method) {
        (0, 0) if content.len() as u64 <= most => unpacked.extend_from_slice(content),
        (0, 0) => return Err(damaged("it unpacks to too much")),
        (0, 8) => {
            let read = DeflateDecoder::new(content).take(most + 1).read_to_end(&mut unpacked).map_err(damaged)?;
            if read as u64 > most {
                return Err(damaged("it unpacks to too much"));
            }
        }
        _ => return Err(damaged(format_args!("the method {method} of compression, or a password, is not supported"))),
    }
    let mut crc = Crc::new();
    crc.update(&unpacked);
    if unpacked.len() != size || crc.sum() != checksum {
        return Err(damaged("its size or checksum is not what the directory says"));
    }
    Ok(unpacked)
}
