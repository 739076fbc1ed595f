//! Object headers: lists of messages, in blocks that name one another.

use super::cursor::Cursor;
use super::{File, Read};

pub(super) const DATASPACE: u16 = 0x1;
pub(super) const LINK_INFO: u16 = 0x2;
pub(super) const DATATYPE: u16 = 0x3;
pub(super) const LINK: u16 = 0x6;
pub(super) const LAYOUT: u16 = 0x8;
pub(super) const FILTERS: u16 = 0xb;
pub(super) const ATTRIBUTE: u16 = 0xc;
pub(super) const SYMBOL_TABLE: u16 = 0x11;
pub(super) const ATTRIBUTE_INFO: u16 = 0x15;
const CONTINUATION: u16 = 0x10;
/// Flag of a message that stands elsewhere.
const SHARED: u8 = 2;

/// One message of a header.
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) body: &'a [u8],
}

/// The messages of the header at an address. Those that stand elsewhere are left out.
pub(super) fn messages<'a>(file: &File<'a>, address: u64) -> Read<Vec<Message<'a>>> {
    let mut cursor = file.from(address)?;
    let mut found = Vec::new();
    if cursor.rest().starts_with(b"OHDR") {
        second(file, cursor, &mut found)?;
        return Ok(found);
    }
    if cursor.u8()? != 1 {
        return Err(format!("there is no object header at address {address}"));
    }
    cursor.take(7)?;
    let length = cursor.u32()?;
    cursor.take(4)?;
    let mut blocks = vec![cursor.take(length as usize)?];
    while let Some(block) = blocks.pop() {
        let mut cursor = Cursor::new(block);
        while cursor.rest().len() >= 8 {
            file.step()?;
            let (kind, length, flags) = (cursor.u16()?, cursor.u16()?, cursor.u8()?);
            cursor.take(3)?;
            let body = cursor.take(length.into())?;
            match kind {
                CONTINUATION => blocks.push(continued(file, body)?),
                _ if flags & SHARED == 0 => found.push(Message { kind, body }),
                _ => {}
            }
        }
    }
    Ok(found)
}

/// The block that a message names.
fn continued<'a>(file: &File<'a>, body: &[u8]) -> Read<&'a [u8]> {
    let mut cursor = Cursor::new(body);
    file.at(cursor.u64()?, cursor.u64()?)
}

/// A header of version 2.
fn second<'a>(file: &File<'a>, mut cursor: Cursor<'a>, found: &mut Vec<Message<'a>>) -> Read<()> {
    cursor.mark(b"OHDR")?;
    let (version, flags) = (cursor.u8()?, cursor.u8()?);
    if version != 2 {
        return Err(format!("object header version {version} is not read"));
    }
    cursor.take(if flags & 0x20 != 0 { 16 } else { 0 })?;
    cursor.take(if flags & 0x10 != 0 { 4 } else { 0 })?;
    let length = cursor.number(1 << (flags & 3))?;
    let ordered = flags & 4 != 0;
    let mut blocks = vec![cursor.take(usize::try_from(length).map_err(|_| "a header outside the file")?)?];
    while let Some(block) = blocks.pop() {
        let mut cursor = Cursor::new(block);
        while cursor.rest().len() >= if ordered { 6 } else { 4 } {
            file.step()?;
            let (kind, length, flags) = (u16::from(cursor.u8()?), cursor.u16()?, cursor.u8()?);
            cursor.take(if ordered { 2 } else { 0 })?;
            let body = cursor.take(length.into())?;
            match kind {
                CONTINUATION => {
                    let mut block = Cursor::new(continued(file, body)?);
                    block.mark(b"OCHK")?;
                    let length = block.rest().len().checked_sub(4).ok_or("a header's block is too short")?;
                    blocks.push(block.take(length)?);
                }
                _ if flags & SHARED == 0 => found.push(Message { kind, body }),
                _ => {}
            }
        }
    }
    Ok(())
}
