//! Zips, as `bentoml export` writes them with `.zip`: stored and deflated members.
//!
//! The directory at the end of a zip says what is in it. Each member's own header has to agree with it, sizes and checksums are
//! compared with what is there, and no byte may belong to two members, which is how small zips unpack to huge ones.

use std::io::Read;
use std::path::Path;

use flate2::read::DeflateDecoder;
use rawzip::{CompressionMethod, ZipArchive, ZipFileHeaderRecord, ZipSliceArchive, ZipSliceEntry};

use super::super::error::BundleError;
use super::super::files::{Files, normal_name, read_regular};
use super::{Limits, Unpacking};

/// How many bytes before the end the directory's own end may be: a comment follows it.
const END_SEARCH: u64 = 1 << 16;

/// Bits of Unix's file types, which a zip holds in the upper half of a member's attributes, and the types themselves.
const TYPE_BITS: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const DIRECTORY: u32 = 0o040_000;
const SYMBOLIC_LINK: u32 = 0o120_000;

/// Decodes the zip at `path` into memory if one of its members satisfies `is_manifest`; `None` for any other zip, such as a model that is
/// one.
pub(in crate::bundle) fn open(
    path: &Path,
    limits: Limits,
    is_manifest: impl Fn(&str) -> bool,
) -> Result<Option<Files>, BundleError> {
    let label = path.display().to_string();
    let bytes = read_regular(path, &label, limits.total_bytes)?;
    let mut unpacking = Unpacking::new(&label, limits);
    let archive = unpacking.directory(&bytes)?;
    if !unpacking.has(&archive, is_manifest)? {
        return Ok(None);
    }
    unpacking.unzip(&archive, bytes.len() as u64)?;
    let members = unpacking.members;
    Ok(Some(Files::memory(&label, members)))
}

impl Unpacking<'_> {
    /// The directory of a zip.
    pub(super) fn directory<'b>(&self, bytes: &'b [u8]) -> Result<ZipSliceArchive<&'b [u8]>, BundleError> {
        let locator = ZipArchive::with_max_search_space(END_SEARCH);
        locator.locate_in_slice(bytes).map_err(|(_, error)| self.damaged(&error))
    }

    /// Whether a member's name satisfies `wanted`.
    fn has(&self, archive: &ZipSliceArchive<&[u8]>, wanted: impl Fn(&str) -> bool) -> Result<bool, BundleError> {
        for (index, entry) in archive.entries().enumerate() {
            self.check_count(index)?;
            let entry = entry.map_err(|error| self.damaged(&error))?;
            let name = std::str::from_utf8(entry.file_path().as_bytes()).ok();
            if name.and_then(|name| normal_name(name).ok()).is_some_and(|name| wanted(&name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Decodes all members of a zip of `compressed` bytes.
    pub(super) fn unzip(&mut self, archive: &ZipSliceArchive<&[u8]>, compressed: u64) -> Result<(), BundleError> {
        let allowed = self.limits.allowed(compressed);
        let mut left = allowed;
        let mut spans = Vec::new();
        for (index, entry) in archive.entries().enumerate() {
            self.check_count(index)?;
            let entry = entry.map_err(|error| self.damaged(&error))?;
            let stored = entry.file_path().as_bytes().to_vec();
            let text =
                std::str::from_utf8(&stored).map_err(|_| self.refuse(&stored, "has a name that is not UTF-8"))?;
            let name = normal_name(text).map_err(|reason| self.refuse(&stored, reason))?;
            let member = archive.get_entry(entry.wayfinder()).map_err(|error| self.damaged(&error))?;
            self.check_header(&entry, &member, &stored)?;
            spans.push((entry.local_header_offset(), member.compressed_data_range().1));
            if self.is_folder(&entry, &stored)? {
                self.add_folder(&name, &stored)?;
                continue;
            }
            self.announce_file(&name, text)?;
            let bytes = self.inflated(&member, entry.compression_method(), &stored, left)?;
            let Some(rest) = bytes.and_then(|bytes| {
                let rest = left.checked_sub(bytes.len() as u64);
                self.members.insert(name, bytes);
                rest
            }) else {
                let problem = format!("unpacks to more than {allowed} bytes from {compressed}");
                return Err(BundleError::ArchiveLimit { archive: self.label.to_owned(), problem });
            };
            left = rest;
        }
        self.check_overlap(spans)
    }

    /// That a member's own header tells the same as the directory, and that nothing is encrypted.
    fn check_header(
        &self,
        entry: &ZipFileHeaderRecord<'_>,
        member: &ZipSliceEntry<'_>,
        stored: &[u8],
    ) -> Result<(), BundleError> {
        let own = member.local_header();
        if own.file_path().as_bytes() != stored || own.compression_method() != entry.compression_method() {
            return Err(self.refuse(stored, "has another name or compression in its own header than in the directory"));
        }
        if entry.flags().is_encrypted() || own.flags().is_encrypted() {
            return Err(self.refuse(stored, "is encrypted"));
        }
        Ok(())
    }

    /// Whether a member is a directory; one that is neither that nor a regular file is refused.
    fn is_folder(&self, entry: &ZipFileHeaderRecord<'_>, stored: &[u8]) -> Result<bool, BundleError> {
        match (entry.external_attributes() >> 16 & TYPE_BITS, stored.ends_with(b"/")) {
            (0 | DIRECTORY, true) => Ok(true),
            (0 | REGULAR, false) => Ok(false),
            (SYMBOLIC_LINK, _) => Err(self.refuse(stored, "is a symbolic link")),
            (REGULAR, true) => Err(self.refuse(stored, "is a file with the name of a directory")),
            (DIRECTORY, false) => Err(self.refuse(stored, "is a directory with the name of a file")),
            _ => Err(self.refuse(stored, "is neither a regular file nor a directory")),
        }
    }

    /// A member's bytes; `None` if they are more than `most`. Memory grows with what is really there.
    fn inflated(
        &self,
        member: &ZipSliceEntry<'_>,
        method: CompressionMethod,
        stored: &[u8],
        most: u64,
    ) -> Result<Option<Vec<u8>>, BundleError> {
        let decoder: Box<dyn Read + '_> = match method {
            CompressionMethod::STORE => Box::new(member.data()),
            CompressionMethod::DEFLATE => Box::new(DeflateDecoder::new(member.data())),
            _ => return Err(self.refuse(stored, "is compressed in a way other than deflate")),
        };
        let mut bytes = Vec::new();
        let mut reader = member.verifying_reader(decoder).take(most.saturating_add(1));
        reader.read_to_end(&mut bytes).map_err(|error| {
            let detail = format!("member {:?}: {error}", String::from_utf8_lossy(stored));
            BundleError::Archive { archive: self.label.to_owned(), detail }
        })?;
        bytes.shrink_to_fit();
        Ok((bytes.len() as u64 <= most).then_some(bytes))
    }

    /// That no two of the members' spans, from header to end, share a byte.
    fn check_overlap(&self, mut spans: Vec<(u64, u64)>) -> Result<(), BundleError> {
        spans.sort_unstable();
        match spans.windows(2).any(|pair| pair[0].1 > pair[1].0) {
            true => Err(self.damaged(&"two members share bytes")),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
