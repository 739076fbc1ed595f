//! Reads what Keras keeps in HDF5 files: groups, attributes and datasets of numbers and texts.
//!
//! Written from the HDF Group's file format specification, version 3.0. Read are superblocks 0 to 3 with addresses of eight bytes, groups as
//! symbol tables and as links, attributes in headers and in heaps, contiguous, compact and chunked datasets, and the filters deflate, shuffle
//! and fletcher32. The file is untrusted: structures are walked within [`MAX_STEPS`] in all, and values unpack to no more than a multiple of the file.

mod chunks;
mod cursor;
mod group;
mod header;
mod heap;
#[cfg(test)]
mod tests;
mod value;

use std::cell::Cell;

use self::cursor::Cursor;
use self::header::Message;
pub(super) use self::value::{Array, Elements};

/// The most structures (headers, messages, nodes, links, heap objects) that are visited in a file, and one more for eight bytes each.
const MAX_STEPS: u64 = 2_000_000;
/// What all values together may take: this many times the file, and as many bytes as are free.
const RATIO: u64 = 4;
const PACKED_RATIO: u64 = 100;
const MAX_PACKED: u64 = 1 << 30;
const FREE_BYTES: u64 = 16 << 20;

const SIGNATURE: [u8; 8] = [0x89, b'H', b'D', b'F', b'\r', b'\n', 0x1a, b'\n'];
/// The address of nothing.
const UNDEFINED: u64 = u64::MAX;

/// What is wrong with a file, or not read.
pub(super) type Read<T> = Result<T, String>;

/// An HDF5 file in memory.
pub(super) struct File<'a> {
    bytes: &'a [u8],
    base: u64,
    root: u64,
    steps: Cell<u64>,
    left: Cell<u64>,
}

impl<'a> File<'a> {
    /// Reads the superblock.
    ///
    /// # Errors
    /// What is not HDF5, or has addresses of other than eight bytes.
    pub(super) fn open(bytes: &'a [u8]) -> Read<Self> {
        let body = bytes.strip_prefix(&SIGNATURE).ok_or("it does not begin as HDF5 does")?;
        let mut cursor = Cursor::new(body);
        let version = cursor.u8()?;
        let (sizes, base, root) = match version {
            0 | 1 => {
                cursor.take(4)?;
                let sizes = [cursor.u8()?, cursor.u8()?];
                cursor.take(if version == 0 { 9 } else { 13 })?;
                let base = cursor.u64()?;
                // Free space, end of file, driver; then the root's link name.
                cursor.take(32)?;
                (sizes, base, cursor.u64()?)
            }
            2 | 3 => {
                let sizes = [cursor.u8()?, cursor.u8()?];
                cursor.u8()?;
                let base = cursor.u64()?;
                cursor.take(16)?;
                (sizes, base, cursor.u64()?)
            }
            other => return Err(format!("superblock version {other} is not read")),
        };
        if sizes != [8, 8] {
            return Err(format!("addresses and lengths of {sizes:?} bytes are not read"));
        }
        let length = bytes.len() as u64;
        let packed = length.saturating_mul(PACKED_RATIO).min(MAX_PACKED);
        let left = length.saturating_mul(RATIO).max(packed).saturating_add(FREE_BYTES);
        Ok(Self { bytes, base, root, steps: Cell::new(MAX_STEPS.saturating_add(length / 8)), left: Cell::new(left) })
    }

    /// The group that all else is in.
    pub(super) fn root(&self) -> Read<Object<'_>> {
        self.object(self.root)
    }

    fn object(&self, address: u64) -> Read<Object<'_>> {
        Ok(Object { file: self, messages: header::messages(self, address)? })
    }

    /// Everything from an address on.
    fn from(&self, address: u64) -> Read<Cursor<'a>> {
        let at = address.checked_add(self.base).and_then(|at| usize::try_from(at).ok());
        let rest = at.and_then(|at| self.bytes.get(at..));
        rest.map(Cursor::new).ok_or_else(|| format!("address {address} is outside the file"))
    }

    /// The bytes at an address.
    fn at(&self, address: u64, length: u64) -> Read<&'a [u8]> {
        let length = usize::try_from(length).map_err(|_| "a length outside the file")?;
        self.from(address)?.take(length)
    }

    /// Counts a visit to a structure.
    fn step(&self) -> Read<()> {
        let left =
            self.steps.get().checked_sub(1).ok_or("it has more structures than are read, or they form a circle")?;
        self.steps.set(left);
        Ok(())
    }

    /// Counts bytes of values before they are allocated.
    fn allot(&self, bytes: u64) -> Read<usize> {
        let left = self
            .left
            .get()
            .checked_sub(bytes)
            .ok_or("its values take more memory than is given to a file of its size")?;
        self.left.set(left);
        usize::try_from(bytes).map_err(|_| "a value that does not fit in memory".to_owned())
    }
}

/// A group or a dataset.
pub(super) struct Object<'f> {
    file: &'f File<'f>,
    messages: Vec<Message<'f>>,
}

impl<'f> Object<'f> {
    /// The first message of a kind.
    fn message(&self, kind: u16) -> Option<&'f [u8]> {
        self.messages.iter().find(|message| message.kind == kind).map(|message| message.body)
    }

    /// What a group has, by name, as the file orders it; nothing for a dataset.
    pub(super) fn children(&self) -> Read<Vec<(String, u64)>> {
        group::children(self)
    }

    /// A member of a group.
    pub(super) fn child(&self, name: &str) -> Read<Option<Object<'f>>> {
        let found = self.children()?.into_iter().find(|(known, _)| known == name);
        found.map(|(_, address)| self.file.object(address)).transpose()
    }

    /// A member of a member, by names with `/` between them.
    pub(super) fn descendant(&self, path: &str) -> Read<Option<Object<'f>>> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        let Some(first) = names.next() else { return Err("an empty path".to_owned()) };
        let mut object = self.child(first)?;
        for name in names {
            object = match object {
                Some(object) => object.child(name)?,
                None => return Ok(None),
            };
        }
        Ok(object)
    }

    /// The values of an attribute.
    pub(super) fn attribute(&self, name: &str) -> Read<Option<Array>> {
        for message in self.messages.iter().filter(|message| message.kind == header::ATTRIBUTE) {
            if let Some(array) = value::attribute(self.file, message.body, name)? {
                return Ok(Some(array));
            }
        }
        for body in heap::attributes(self)? {
            if let Some(array) = value::attribute(self.file, body, name)? {
                return Ok(Some(array));
            }
        }
        Ok(None)
    }

    /// The values of a dataset.
    pub(super) fn array(&self) -> Read<Array> {
        value::dataset(self)
    }
}
