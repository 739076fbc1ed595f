//! A bounded reader over the bytes of a pickle.

use super::error::PickleError;

/// A position in a byte slice; every read is checked against its end.
#[derive(Debug, Clone)]
pub(super) struct Cursor<'b> {
    bytes: &'b [u8],
    position: usize,
}

impl<'b> Cursor<'b> {
    /// A cursor at `position`, which may be the end of `bytes`.
    pub(super) fn at(bytes: &'b [u8], position: usize) -> Cursor<'b> {
        Cursor { bytes, position: position.min(bytes.len()) }
    }

    /// Offset of the next byte from the start of the slice.
    pub(super) fn position(&self) -> usize {
        self.position
    }

    /// Bytes that are left.
    pub(super) fn remaining(&self) -> usize {
        self.bytes.len() - self.position
    }

    /// The offset at which `length` bytes start, which the cursor then skips; nothing is copied.
    pub(super) fn skip(&mut self, length: u64, what: &'static str) -> Result<usize, PickleError> {
        let start = self.position;
        match usize::try_from(length) {
            Ok(n) if n <= self.remaining() => {
                self.position += n;
                Ok(start)
            }
            _ => Err(PickleError::Truncated { offset: start, what, needed: length, remaining: self.remaining() }),
        }
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], PickleError> {
        let start = self.skip(N as u64, what)?;
        let mut out = [0; N];
        out.copy_from_slice(&self.bytes[start..start + N]);
        Ok(out)
    }

    /// A little-endian unsigned integer of `width` bytes, 8 at most.
    pub(super) fn unsigned(&mut self, width: usize, what: &'static str) -> Result<u64, PickleError> {
        let width = width.min(8);
        let start = self.skip(width as u64, what)?;
        let mut out = [0; 8];
        out[..width].copy_from_slice(&self.bytes[start..start + width]);
        Ok(u64::from_le_bytes(out))
    }

    /// The bytes up to the next line feed, which is skipped. A line is at most 4096 bytes long.
    pub(super) fn line(&mut self, what: &'static str) -> Result<&'b [u8], PickleError> {
        const LONGEST: usize = 4096;
        let rest = &self.bytes[self.position..];
        let window = &rest[..rest.len().min(LONGEST)];
        match window.iter().position(|&b| b == b'\n') {
            Some(end) => {
                self.position += end + 1;
                Ok(&window[..end])
            }
            None => Err(PickleError::Truncated {
                offset: self.position,
                what,
                needed: window.len() as u64 + 1,
                remaining: self.remaining(),
            }),
        }
    }
}
