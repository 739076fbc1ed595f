//! Header and section table.
//!
//! | offset | type | field |
//! |---|---|---|
//! | 0 | 8 bytes | magic `EKIBEN\r\n` |
//! | 8 | u32 | format version, 1 |
//! | 12 | u32 | number of sections, at most [`MAX_SECTIONS`] |
//! | 16 | u64 | length of the artifact |
//! | 24 | u64 | zero |
//! | 32 | 32 bytes | structure digest (BLAKE3) |
//! | 64 | 32 bytes | numbers digest (BLAKE3) |
//! | 96 | 24 bytes each | section table: u32 kind, u32 zero, u64 offset, u64 length |
//!
//! Kinds rise from entry to entry, so each occurs once at most. A section starts at the first multiple of 64 after the
//! one before it (the first one after the table); the bytes between are zero.

use super::{LoadError, SECTION_ALIGNMENT};
use crate::bytes::{Reader, round_up};

/// First bytes of every artifact. The line end shows a transfer that changed line ends.
pub const MAGIC: [u8; 8] = *b"EKIBEN\r\n";

/// Version of the format that this crate reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// The most sections.
pub const MAX_SECTIONS: usize = 9;

/// Bytes before the section table.
pub const FIXED_BYTES: usize = 96;

/// Bytes of a section table entry.
pub const ENTRY_BYTES: usize = 24;

/// What a section holds. The discriminant is the code in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[repr(u32)]
pub enum SectionKind {
    /// CBOR manifest.
    Manifest = 1,
    /// Tensor records.
    Tensors = 2,
    /// Plans.
    Plans = 3,
    /// Constants whose values can be anything.
    Weights = 4,
    /// Constants used as indices, lengths or bounds.
    Tables = 5,
    /// Strings.
    Strings = 6,
    /// Golden vectors.
    Golden = 7,
    /// Signature over both digests.
    Signature = 8,
    /// Perfect hashes of lists of strings.
    Lookups = 9,
}

impl SectionKind {
    /// All kinds, in the order of their codes.
    pub const ALL: [Self; MAX_SECTIONS] = [
        Self::Manifest,
        Self::Tensors,
        Self::Plans,
        Self::Weights,
        Self::Tables,
        Self::Strings,
        Self::Golden,
        Self::Signature,
        Self::Lookups,
    ];

    /// Code in the section table.
    pub const fn code(self) -> u32 {
        self as u32
    }

    fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }

    /// Name for messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Manifest => "manifest",
            Self::Tensors => "tensors",
            Self::Plans => "plans",
            Self::Weights => "weights",
            Self::Tables => "tables",
            Self::Strings => "strings",
            Self::Golden => "golden",
            Self::Signature => "signature",
            Self::Lookups => "lookups",
        }
    }

    /// The digest that covers the section.
    pub const fn digest(self) -> Option<Digest> {
        match self {
            Self::Weights | Self::Golden => Some(Digest::Numbers),
            Self::Signature => None,
            _ => Some(Digest::Structure),
        }
    }
}

/// One of the two digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Digest {
    /// Header, section table and everything used as index, offset, length or bound.
    Structure,
    /// Weights and golden vectors.
    Numbers,
}

/// The checked header: where each section lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// BLAKE3 of the structure.
    pub structure_digest: [u8; 32],
    /// BLAKE3 of the numbers.
    pub numbers_digest: [u8; 32],
    table_end: usize,
    /// Start and end by kind; an absent section is empty.
    sections: [(usize, usize); MAX_SECTIONS],
}

impl Header {
    /// Reads the header and checks the section table against the artifact's length.
    pub fn parse(bytes: &[u8]) -> Result<Self, LoadError> {
        let mut reader = Reader::new(bytes);
        if reader.take(MAGIC.len())? != MAGIC {
            return Err(LoadError::Magic);
        }
        let version = reader.u32()?;
        if version != FORMAT_VERSION {
            return Err(LoadError::Version { found: version });
        }
        let count = reader.u32()? as usize;
        let length = reader.u64()?;
        let reserved = reader.u64()?;
        if length != bytes.len() as u64 {
            return Err(LoadError::Length { declared: length, given: bytes.len() as u64 });
        }
        if count > MAX_SECTIONS || reserved != 0 {
            return Err(LoadError::Header);
        }
        let mut header = Self {
            structure_digest: digest_bytes(&mut reader)?,
            numbers_digest: digest_bytes(&mut reader)?,
            table_end: FIXED_BYTES + count * ENTRY_BYTES,
            sections: [(0, 0); MAX_SECTIONS],
        };
        let mut end = header.table_end;
        let mut last = 0;
        for _ in 0..count {
            let code = reader.u32()?;
            let kind = SectionKind::from_code(code).filter(|_| code > last);
            let kind = kind.ok_or(LoadError::SectionKind { code })?;
            last = code;
            let zero = reader.u32()?;
            let (offset, length) = (reader.u64()?, reader.u64()?);
            let start = end.next_multiple_of(SECTION_ALIGNMENT);
            let past = offset.checked_add(length).filter(|&past| past <= bytes.len() as u64);
            let gap = bytes.get(end..start).unwrap_or_default();
            if zero != 0 || offset != start as u64 || past.is_none() || gap.iter().any(|&byte| byte != 0) {
                return Err(LoadError::Section { kind });
            }
            end = start + length as usize;
            header.sections[code as usize - 1] = (start, end);
        }
        if end != bytes.len() {
            return Err(LoadError::Length { declared: end as u64, given: bytes.len() as u64 });
        }
        Ok(header)
    }

    /// Bytes of a section of `bytes`, the artifact that this header was read from.
    pub fn section<'a>(&self, kind: SectionKind, bytes: &'a [u8]) -> &'a [u8] {
        let (start, end) = self.sections[kind.code() as usize - 1];
        bytes.get(start..end).unwrap_or_default()
    }

    /// Position of a section in the artifact.
    pub fn section_range(&self, kind: SectionKind) -> core::ops::Range<usize> {
        let (start, end) = self.sections[kind.code() as usize - 1];
        start..end
    }

    /// The digest of what `digest` covers in `bytes`.
    pub fn compute(&self, digest: Digest, bytes: &[u8]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new();
        if digest == Digest::Structure {
            hasher.update(bytes.get(..32).unwrap_or_default());
            hasher.update(bytes.get(FIXED_BYTES..self.table_end).unwrap_or_default());
        }
        for kind in SectionKind::ALL {
            if kind.digest() == Some(digest) {
                hasher.update(self.section(kind, bytes));
            }
        }
        *hasher.finalize().as_bytes()
    }

    /// Checks the structure digest.
    pub fn verify_structure(&self, bytes: &[u8]) -> Result<(), LoadError> {
        if self.compute(Digest::Structure, bytes) == self.structure_digest {
            Ok(())
        } else {
            Err(LoadError::Digest { digest: Digest::Structure })
        }
    }

    /// Checks the numbers digest.
    pub fn verify_numbers(&self, bytes: &[u8]) -> Result<(), LoadError> {
        if self.compute(Digest::Numbers, bytes) == self.numbers_digest {
            Ok(())
        } else {
            Err(LoadError::Digest { digest: Digest::Numbers })
        }
    }
}

fn digest_bytes(reader: &mut Reader<'_>) -> Result<[u8; 32], LoadError> {
    let mut digest = [0; 32];
    digest.copy_from_slice(reader.take(32)?);
    Ok(digest)
}

/// The first position at or after `end` where a section may start.
pub fn section_start(end: usize) -> Option<usize> {
    usize::try_from(round_up(end as u64, SECTION_ALIGNMENT as u64)?).ok()
}
