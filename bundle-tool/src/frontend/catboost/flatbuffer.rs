//! Reads tables of a flatbuffer, every offset checked against the bytes that are there.
//!
//! Offsets may share parts of a buffer, so a small file could be unfolded to a very large model: what is read is counted, and ends at a multiple
//! of the file's length.

use std::cell::Cell;

use crate::frontend::FrontendError;

/// How often a byte of a buffer is read on average, at most. CatBoost shares the combinations of features among what is counted of them.
const MOST_READS: usize = 16;

/// What may be read of a buffer in any case.
const FREE_READS: usize = 1 << 16;

/// A buffer with what may still be read of it.
pub(super) struct Buffer<'a> {
    bytes: &'a [u8],
    path: &'static str,
    left: Cell<usize>,
}

/// A table of a buffer.
#[derive(Clone, Copy)]
pub(super) struct Table<'b, 'a> {
    buffer: &'b Buffer<'a>,
    start: usize,
    fields: usize,
    fields_end: usize,
}

impl<'a> Buffer<'a> {
    /// The buffer in `bytes`, called `path` in messages.
    pub(super) fn new(bytes: &'a [u8], path: &'static str) -> Self {
        let left = Cell::new(bytes.len().saturating_mul(MOST_READS).saturating_add(FREE_READS));
        Self { bytes, path, left }
    }

    fn damaged(&self, reason: impl std::fmt::Display) -> FrontendError {
        FrontendError::malformed(self.path, reason)
    }

    /// The bytes `at..at + count`.
    fn take(&self, at: usize, count: usize) -> Result<&'a [u8], FrontendError> {
        let left = self.left.get().checked_sub(count.max(1));
        self.left.set(left.ok_or_else(|| self.damaged("parts of the file are used too often"))?);
        let bytes = at.checked_add(count).and_then(|end| self.bytes.get(at..end));
        bytes.ok_or_else(|| self.damaged(format_args!("{count} bytes at {at} of {} are not there", self.bytes.len())))
    }

    fn word(&self, at: usize) -> Result<u32, FrontendError> {
        let bytes = self.take(at, 4)?;
        Ok(bytes.iter().rev().fold(0, |word, &byte| word << 8 | u32::from(byte)))
    }

    /// Where the offset at `at` leads.
    fn follow(&self, at: usize) -> Result<usize, FrontendError> {
        let target = at.checked_add(self.word(at)? as usize);
        target
            .filter(|&target| target <= self.bytes.len())
            .ok_or_else(|| self.damaged("an offset leads out of the file"))
    }

    /// The root table.
    pub(super) fn root(&self) -> Result<Table<'_, 'a>, FrontendError> {
        self.table(self.follow(0)?)
    }

    fn table(&self, start: usize) -> Result<Table<'_, 'a>, FrontendError> {
        let back = i64::from(self.word(start)? as i32);
        let fields = i64::try_from(start).ok().and_then(|start| usize::try_from(start - back).ok());
        let fields = fields.ok_or_else(|| self.damaged("a table's fields lie before the file"))?;
        let length = usize::from(u16::from_le_bytes(self.take(fields, 2)?.try_into().unwrap_or_default()));
        Ok(Table { buffer: self, start, fields, fields_end: fields.saturating_add(length) })
    }

    /// The bytes of a vector of elements of `size` bytes.
    fn vector(&self, at: usize, size: usize) -> Result<&'a [u8], FrontendError> {
        let count = self.word(at)? as usize;
        self.take(at.saturating_add(4), count.saturating_mul(size))
    }
}

/// The elements of `bytes` by `read`.
fn elements<T, const SIZE: usize>(bytes: &[u8], read: fn([u8; SIZE]) -> T) -> Vec<T> {
    bytes.as_chunks::<SIZE>().0.iter().map(|&chunk| read(chunk)).collect()
}

impl<'b, 'a> Table<'b, 'a> {
    /// Where field `index` lies; `None` for one that is not written.
    fn field(&self, index: usize) -> Result<Option<usize>, FrontendError> {
        let at = self.fields + 4 + 2 * index;
        if at + 2 > self.fields_end {
            return Ok(None);
        }
        let offset = u16::from_le_bytes(self.buffer.take(at, 2)?.try_into().unwrap_or_default());
        Ok((offset != 0).then(|| self.start + usize::from(offset)))
    }

    fn scalar<const SIZE: usize>(&self, index: usize) -> Result<Option<[u8; SIZE]>, FrontendError> {
        let Some(at) = self.field(index)? else { return Ok(None) };
        Ok(self.buffer.take(at, SIZE)?.try_into().ok())
    }

    /// An integer, or its default.
    pub(super) fn i32(&self, index: usize, default: i32) -> Result<i32, FrontendError> {
        Ok(self.scalar(index)?.map_or(default, i32::from_le_bytes))
    }

    /// A byte, or its default.
    pub(super) fn u8(&self, index: usize, default: u8) -> Result<u8, FrontendError> {
        Ok(self.scalar(index)?.map_or(default, u8::from_le_bytes))
    }

    /// A float, or its default.
    pub(super) fn f32(&self, index: usize, default: f32) -> Result<f32, FrontendError> {
        Ok(self.scalar(index)?.map_or(default, f32::from_le_bytes))
    }

    /// A wide float, or its default.
    pub(super) fn f64(&self, index: usize, default: f64) -> Result<f64, FrontendError> {
        Ok(self.scalar(index)?.map_or(default, f64::from_le_bytes))
    }

    /// A table, if it is there.
    pub(super) fn table(&self, index: usize) -> Result<Option<Table<'b, 'a>>, FrontendError> {
        let Some(at) = self.field(index)? else { return Ok(None) };
        self.buffer.table(self.buffer.follow(at)?).map(Some)
    }

    /// A vector of bytes, empty if it is not there.
    pub(super) fn bytes(&self, index: usize) -> Result<&'a [u8], FrontendError> {
        self.sized(index, 1)
    }

    fn sized(&self, index: usize, size: usize) -> Result<&'a [u8], FrontendError> {
        let Some(at) = self.field(index)? else { return Ok(&[]) };
        self.buffer.vector(self.buffer.follow(at)?, size)
    }

    /// A text, empty if it is not there.
    pub(super) fn text(&self, index: usize) -> Result<String, FrontendError> {
        let text = String::from_utf8(self.bytes(index)?.to_vec());
        text.map_err(|_| self.buffer.damaged("a text is not UTF-8"))
    }

    /// A vector of integers.
    pub(super) fn i32s(&self, index: usize) -> Result<Vec<i32>, FrontendError> {
        Ok(elements(self.sized(index, 4)?, i32::from_le_bytes))
    }

    /// A vector of words.
    pub(super) fn u32s(&self, index: usize) -> Result<Vec<u32>, FrontendError> {
        Ok(elements(self.sized(index, 4)?, u32::from_le_bytes))
    }

    /// A vector of floats.
    pub(super) fn f32s(&self, index: usize) -> Result<Vec<f32>, FrontendError> {
        Ok(elements(self.sized(index, 4)?, f32::from_le_bytes))
    }

    /// A vector of wide floats.
    pub(super) fn f64s(&self, index: usize) -> Result<Vec<f64>, FrontendError> {
        Ok(elements(self.sized(index, 8)?, f64::from_le_bytes))
    }

    /// A vector of structures of eight bytes.
    pub(super) fn pairs(&self, index: usize) -> Result<Vec<[[u8; 4]; 2]>, FrontendError> {
        let halves = |[a, b, c, d, e, f, g, h]: [u8; 8]| [[a, b, c, d], [e, f, g, h]];
        Ok(elements(self.sized(index, 8)?, halves))
    }

    /// A vector of tables, each read by `read`.
    pub(super) fn tables<T>(
        &self,
        index: usize,
        mut read: impl FnMut(Table<'b, 'a>) -> Result<T, FrontendError>,
    ) -> Result<Vec<T>, FrontendError> {
        let Some(at) = self.field(index)? else { return Ok(Vec::new()) };
        let at = self.buffer.follow(at)?;
        let count = self.buffer.vector(at, 4)?.len() / 4;
        (0..count).map(|entry| read(self.buffer.table(self.buffer.follow(at + 4 + 4 * entry)?)?)).collect()
    }

    /// A vector of texts.
    pub(super) fn texts(&self, index: usize) -> Result<Vec<String>, FrontendError> {
        let Some(at) = self.field(index)? else { return Ok(Vec::new()) };
        let at = self.buffer.follow(at)?;
        let count = self.buffer.vector(at, 4)?.len() / 4;
        let text = |entry| {
            let bytes = self.buffer.vector(self.buffer.follow(at + 4 + 4 * entry)?, 1)?;
            String::from_utf8(bytes.to_vec()).map_err(|_| self.buffer.damaged("a text is not UTF-8"))
        };
        (0..count).map(text).collect()
    }
}
