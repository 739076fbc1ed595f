//! What groups have: symbol tables, and links in headers and heaps.

use super::cursor::{Cursor, text};
use super::{File, Object, Read, UNDEFINED, header, heap};

/// Names and addresses of a group's members.
pub(super) fn children(object: &Object<'_>) -> Read<Vec<(String, u64)>> {
    let mut found = Vec::new();
    if let Some(body) = object.message(header::SYMBOL_TABLE) {
        let mut cursor = Cursor::new(body);
        let (tree, names) = (cursor.u64()?, cursor.u64()?);
        symbols(object.file, tree, local_heap(object.file, names)?, &mut found)?;
    }
    for message in object.messages.iter().filter(|message| message.kind == header::LINK) {
        found.extend(link(object.file, message.body)?);
    }
    for body in heap::links(object)? {
        found.extend(link(object.file, body)?);
    }
    Ok(found)
}

/// The names of a symbol table.
fn local_heap<'a>(file: &File<'a>, address: u64) -> Read<&'a [u8]> {
    let mut cursor = file.from(address)?;
    cursor.mark(b"HEAP")?;
    cursor.take(4)?;
    let length = cursor.u64()?;
    cursor.u64()?;
    file.at(cursor.u64()?, length)
}

/// The symbols below a node of a B-tree, from left to right.
fn symbols(file: &File<'_>, tree: u64, names: &[u8], found: &mut Vec<(String, u64)>) -> Read<()> {
    let mut open = vec![tree];
    while let Some(address) = open.pop() {
        file.step()?;
        let mut cursor = file.from(address)?;
        if cursor.rest().starts_with(b"SNOD") {
            cursor.take(6)?;
            for _ in 0..cursor.u16()? {
                file.step()?;
                let (name, header) = (cursor.u64()?, cursor.u64()?);
                cursor.take(24)?;
                let name = usize::try_from(name).ok().and_then(|at| names.get(at..));
                found.push((text(name.ok_or("a name outside its heap")?)?, header));
            }
            continue;
        }
        cursor.mark(b"TREE")?;
        if cursor.u8()? != 0 {
            return Err("a group's tree is not one of symbols".to_owned());
        }
        cursor.u8()?;
        let count = cursor.u16()?;
        cursor.take(16)?;
        let below = open.len();
        for _ in 0..count {
            file.step()?;
            cursor.u64()?;
            open.push(cursor.u64()?);
        }
        open[below..].reverse();
    }
    Ok(())
}

/// The name and address of a hard link; links to other files and paths are left out.
fn link(file: &File<'_>, body: &[u8]) -> Read<Option<(String, u64)>> {
    file.step()?;
    let mut cursor = Cursor::new(body);
    let (version, flags) = (cursor.u8()?, cursor.u8()?);
    if version != 1 {
        return Err(format!("links of version {version} are not read"));
    }
    let kind = if flags & 8 != 0 { cursor.u8()? } else { 0 };
    cursor.take(if flags & 4 != 0 { 8 } else { 0 })?;
    cursor.take(if flags & 16 != 0 { 1 } else { 0 })?;
    let length = cursor.number(1 << (flags & 3))?;
    let name = text(cursor.take(usize::try_from(length).map_err(|_| "a name outside the file")?)?)?;
    let address = if kind == 0 { cursor.u64()? } else { UNDEFINED };
    Ok((address != UNDEFINED).then_some((name, address)))
}
