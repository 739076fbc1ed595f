//! Little-endian reading within the bytes that are there.

use super::Read;

/// What is left of some bytes.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    rest: &'a [u8],
    taken: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(rest: &'a [u8]) -> Self {
        Self { rest, taken: 0 }
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(super) fn take(&mut self, count: usize) -> Read<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or("it ends too early")?;
        self.rest = rest;
        self.taken += count;
        Ok(taken)
    }

    /// An unsigned number of `width` bytes, eight at most.
    pub(super) fn number(&mut self, width: usize) -> Read<u64> {
        let bytes = self.take(width)?;
        Ok(bytes.iter().rev().take(8).fold(0, |value, &byte| value << 8 | u64::from(byte)))
    }

    pub(super) fn u8(&mut self) -> Read<u8> {
        Ok(self.number(1)? as u8)
    }

    pub(super) fn u16(&mut self) -> Read<u16> {
        Ok(self.number(2)? as u16)
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        Ok(self.number(4)? as u32)
    }

    pub(super) fn u64(&mut self) -> Read<u64> {
        self.number(8)
    }

    /// Takes a mark that a structure begins with.
    pub(super) fn mark(&mut self, mark: &[u8; 4]) -> Read<()> {
        if self.take(4)? == mark {
            return Ok(());
        }
        Err(format!("a structure does not begin with {:?}", String::from_utf8_lossy(mark)))
    }

    /// Leaves out what brings the bytes taken to a multiple of eight.
    pub(super) fn align(&mut self) -> Read<()> {
        self.take(self.taken.next_multiple_of(8) - self.taken).map(|_| ())
    }
}

/// The text of bytes, up to the first zero.
pub(super) fn text(bytes: &[u8]) -> Read<String> {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    std::str::from_utf8(&bytes[..end]).map(str::to_owned).map_err(|_| "a text is not UTF-8".to_owned())
}
