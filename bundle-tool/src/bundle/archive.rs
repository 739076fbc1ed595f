//! Archived bentos: zip, or tar, plain or compressed with xz (`.bento`, `.bentomodel`), gzip or bzip2, decoded into memory.
//!
//! Only regular files and directories are accepted. Names come from the plain header, a GNU long name or a PAX `path`
//! record; a PAX `size`, a sparse member, a link or a device is refused, for tools disagree about what they mean.

mod zip;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use tar::{Archive, Entry, EntryType, PaxExtensions};

pub(super) use zip::open as open_zip;

use super::error::BundleError;
use super::files::{Files, normal_name};

/// How the tar is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    /// Not at all.
    None,
    /// xz.
    Xz,
    /// gzip, as BentoML 0.13 writes to object storage.
    Gzip,
    /// bzip2.
    Bzip2,
}

/// What an archive may unpack to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes after decompression, headers and padding included.
    pub(super) total_bytes: u64,
    /// Members, extension headers included.
    pub(super) members: usize,
    /// Decompressed bytes per compressed byte, once `ratio_free_bytes` are exceeded.
    pub(super) ratio: u64,
    /// Decompressed bytes for which the ratio does not count: small texts and zeros compress very well.
    pub(super) ratio_free_bytes: u64,
}

impl Limits {
    /// Generous for bentos of models that run on small devices, harmless for a host.
    pub(super) const DEFAULT: Limits =
        Limits { total_bytes: 2 << 30, members: 100_000, ratio: 100, ratio_free_bytes: 64 << 20 };

    /// Bytes that an archive of `compressed` bytes may unpack to.
    fn allowed(&self, compressed: u64) -> u64 {
        self.total_bytes.min(compressed.saturating_mul(self.ratio).max(self.ratio_free_bytes))
    }
}

/// Memory for an xz dictionary, in KiB; `xz -9e` needs 65 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;
/// Bytes of a long name or a PAX header.
const EXTENSION_LIMIT: u64 = 64 << 10;

/// Decodes the archive at `path` into memory.
pub(super) fn open(path: &Path, compression: Compression, limits: Limits) -> Result<Files, BundleError> {
    let label = path.display().to_string();
    let io = |source| BundleError::Io { path: label.clone(), source };
    let file = File::open(path).map_err(io)?;
    let compressed = file.metadata().map_err(io)?.len();
    let members = decode(&label, BufReader::new(file), compressed, compression, limits)?;
    Ok(Files::memory(&label, members))
}

/// The first `count` bytes of what a compressed file unpacks to, fewer if it ends before.
pub(super) fn head(path: &Path, label: &str, compression: Compression, count: u64) -> Result<Vec<u8>, BundleError> {
    let file = File::open(path).map_err(|source| BundleError::Io { path: label.to_owned(), source })?;
    let mut head = Vec::new();
    decoder(BufReader::new(file), compression)
        .take(count)
        .read_to_end(&mut head)
        .map_err(|error| BundleError::Archive { archive: label.to_owned(), detail: format!("{error} at its start") })?;
    Ok(head)
}

fn decoder<'a>(input: impl Read + 'a, compression: Compression) -> Box<dyn Read + 'a> {
    match compression {
        Compression::None => Box::new(input),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(input, true, XZ_MEMORY_KIB)),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(input)),
        Compression::Bzip2 => Box::new(bzip2::read::MultiBzDecoder::new(input)),
    }
}

/// Decodes an archive of `compressed` bytes from `input`.
fn decode(
    label: &str,
    input: impl Read,
    compressed: u64,
    compression: Compression,
    limits: Limits,
) -> Result<BTreeMap<String, Vec<u8>>, BundleError> {
    let decoder = decoder(input, compression);
    let exceeded = Rc::new(Cell::new(false));
    let allowed = limits.allowed(compressed);
    let reader = Metered { inner: decoder, remaining: allowed, exceeded: Rc::clone(&exceeded) };
    let mut unpacking = Unpacking::new(label, limits);
    let result = unpacking.run(reader);
    if exceeded.get() {
        let problem = format!("unpacks to more than {allowed} bytes from {compressed}");
        return Err(BundleError::ArchiveLimit { archive: label.to_owned(), problem });
    }
    result.map(|()| unpacking.members)
}

/// Stops with an error, and says so in `exceeded`, after `remaining` bytes.
struct Metered<R> {
    inner: R,
    remaining: u64,
    exceeded: Rc<Cell<bool>>,
}

impl<R: Read> Read for Metered<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.exceeded.get() {
            return Err(io::Error::other("limit reached"));
        }
        let count = self.inner.read(buffer)?;
        match self.remaining.checked_sub(count as u64) {
            Some(rest) => {
                self.remaining = rest;
                Ok(count)
            }
            None => {
                self.exceeded.set(true);
                Err(io::Error::other("limit reached"))
            }
        }
    }
}

struct Unpacking<'a> {
    label: &'a str,
    limits: Limits,
    members: BTreeMap<String, Vec<u8>>,
    folders: BTreeSet<String>,
}

impl<'a> Unpacking<'a> {
    fn new(label: &'a str, limits: Limits) -> Self {
        Unpacking { label, limits, members: BTreeMap::new(), folders: BTreeSet::new() }
    }
}

impl Unpacking<'_> {
    fn run(&mut self, reader: impl Read) -> Result<(), BundleError> {
        let mut archive = Archive::new(reader);
        let mut name: Option<Vec<u8>> = None;
        let entries = archive.entries().map_err(|error| self.damaged(&error))?;
        for (index, entry) in entries.raw(true).enumerate() {
            self.check_count(index)?;
            let mut entry = entry.map_err(|error| self.damaged(&error))?;
            let stored = name.clone().unwrap_or_else(|| entry.header().path_bytes().into_owned());
            match entry.header().entry_type() {
                EntryType::GNULongName => {
                    let mut long = self.extension(&mut entry)?;
                    if long.last() == Some(&0) {
                        long.pop();
                    }
                    name = Some(long);
                }
                EntryType::XHeader => {
                    let records = self.extension(&mut entry)?;
                    if let Some(path) = self.pax_path(&records, &stored)? {
                        name = Some(path);
                    }
                }
                EntryType::XGlobalHeader => {
                    let records = self.extension(&mut entry)?;
                    if self.pax_path(&records, &stored)?.is_some() {
                        return Err(self.refuse(&stored, "gives one path to all later members"));
                    }
                }
                kind => {
                    self.member(&mut entry, kind, &stored)?;
                    name = None;
                }
            }
        }
        // What follows the end mark is only padding, but the checksums of the compression come after it.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| self.damaged(&error))?;
        Ok(())
    }

    fn member<R: Read>(&mut self, entry: &mut Entry<'_, R>, kind: EntryType, stored: &[u8]) -> Result<(), BundleError> {
        let text = std::str::from_utf8(stored).map_err(|_| self.refuse(stored, "has a name that is not UTF-8"))?;
        let name = normal_name(text).map_err(|reason| self.refuse(stored, reason))?;
        match kind {
            EntryType::Directory => self.add_folder(&name, stored),
            EntryType::Regular => {
                self.announce_file(&name, text)?;
                let bytes = self.content(entry, stored)?;
                self.members.insert(name, bytes);
                Ok(())
            }
            EntryType::Symlink => Err(self.refuse(stored, "is a symbolic link")),
            EntryType::Link => Err(self.refuse(stored, "is a hard link")),
            EntryType::Char | EntryType::Block => Err(self.refuse(stored, "is a device")),
            EntryType::Fifo => Err(self.refuse(stored, "is a named pipe")),
            EntryType::GNUSparse => Err(self.refuse(stored, "is a sparse file")),
            _ => Err(self.refuse(stored, "is neither a regular file nor a directory")),
        }
    }

    /// That a file may be called `name`, which the archive spells `stored`, beside what is already there.
    fn announce_file(&mut self, name: &str, stored: &str) -> Result<(), BundleError> {
        if stored.ends_with('/') || name.is_empty() {
            return Err(self.refuse(stored.as_bytes(), "is a file with the name of a directory"));
        }
        if self.members.contains_key(name) || self.folders.contains(name) {
            return Err(self.refuse(stored.as_bytes(), "occurs twice"));
        }
        match name.rsplit_once('/') {
            Some((parent, _)) => self.add_folder(parent, stored.as_bytes()),
            None => Ok(()),
        }
    }

    /// Notes the directory `name` and all directories above it.
    fn add_folder(&mut self, name: &str, stored: &[u8]) -> Result<(), BundleError> {
        let mut folder = name;
        while !folder.is_empty() {
            if self.members.contains_key(folder) {
                return Err(self.refuse(stored, "uses the name of a file as a directory"));
            }
            if !self.folders.insert(folder.to_owned()) {
                break;
            }
            folder = folder.rsplit_once('/').map_or("", |(parent, _)| parent);
        }
        Ok(())
    }

    /// A member's bytes. Memory grows with what is really there, not with what the header says.
    fn content<R: Read>(&self, entry: &mut Entry<'_, R>, stored: &[u8]) -> Result<Vec<u8>, BundleError> {
        let size = entry.size();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).map_err(|error| self.damaged(&error))?;
        if bytes.len() as u64 != size {
            let detail =
                format!("member {:?} has {} of its {size} bytes", String::from_utf8_lossy(stored), bytes.len());
            return Err(BundleError::Archive { archive: self.label.to_owned(), detail });
        }
        bytes.shrink_to_fit();
        Ok(bytes)
    }

    /// The bytes of a long name or a PAX header.
    fn extension<R: Read>(&self, entry: &mut Entry<'_, R>) -> Result<Vec<u8>, BundleError> {
        if entry.size() > EXTENSION_LIMIT {
            return Err(self.refuse(&entry.header().path_bytes(), "is an extension header of more than 64 KiB"));
        }
        self.content(entry, b"extension header")
    }

    /// The `path` record of a PAX header; records that change what a member is are refused.
    fn pax_path(&self, records: &[u8], stored: &[u8]) -> Result<Option<Vec<u8>>, BundleError> {
        let mut path = None;
        for record in PaxExtensions::new(records) {
            let record = record.map_err(|error| self.damaged(&error))?;
            match record.key_bytes() {
                b"path" => path = Some(record.value_bytes().to_vec()),
                b"size" => return Err(self.refuse(stored, "has its size in a PAX record")),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(self.refuse(stored, "is a sparse file"));
                }
                _ => {}
            }
        }
        Ok(path)
    }

    /// That one more member than `before` may be there.
    fn check_count(&self, before: usize) -> Result<(), BundleError> {
        if before < self.limits.members {
            return Ok(());
        }
        let problem = format!("holds more than {} members", self.limits.members);
        Err(BundleError::ArchiveLimit { archive: self.label.to_owned(), problem })
    }

    fn refuse(&self, stored: &[u8], reason: &'static str) -> BundleError {
        let member = String::from_utf8_lossy(stored).into_owned();
        BundleError::Member { archive: self.label.to_owned(), member, reason }
    }

    fn damaged(&self, error: &dyn std::fmt::Display) -> BundleError {
        let after = match self.members.last_key_value() {
            Some(_) => format!(" after {} members", self.members.len()),
            None => " before its first member".to_owned(),
        };
        BundleError::Archive { archive: self.label.to_owned(), detail: format!("{error}{after}") }
    }
}

#[cfg(test)]
mod tests;
