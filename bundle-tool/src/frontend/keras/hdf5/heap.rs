//! Fractal heaps and B-trees of version 2, which keep the links and attributes of objects that have many.

use super::cursor::Cursor;
use super::{File, Object, Read, UNDEFINED, header};

/// Kinds of records, with where in a record the heap's identifier stands.
const LINKS_BY_NAME: (u8, usize) = (5, 4);
const ATTRIBUTES_BY_NAME: (u8, usize) = (8, 0);
/// The most that a tree may be deep.
const MAX_DEPTH: u16 = 32;

/// The link messages in an object's heap.
pub(super) fn links<'f>(object: &Object<'f>) -> Read<Vec<&'f [u8]>> {
    let Some(body) = object.message(header::LINK_INFO) else { return Ok(Vec::new()) };
    let mut cursor = Cursor::new(body);
    cursor.u8()?;
    let flags = cursor.u8()?;
    cursor.take(if flags & 1 != 0 { 8 } else { 0 })?;
    objects(object.file, cursor.u64()?, cursor.u64()?, LINKS_BY_NAME)
}

/// The attribute messages in an object's heap.
pub(super) fn attributes<'f>(object: &Object<'f>) -> Read<Vec<&'f [u8]>> {
    let Some(body) = object.message(header::ATTRIBUTE_INFO) else { return Ok(Vec::new()) };
    let mut cursor = Cursor::new(body);
    cursor.u8()?;
    let flags = cursor.u8()?;
    cursor.take(if flags & 1 != 0 { 2 } else { 0 })?;
    objects(object.file, cursor.u64()?, cursor.u64()?, ATTRIBUTES_BY_NAME)
}

/// The objects of a heap that the records of a tree name.
fn objects<'f>(file: &'f File<'f>, heap: u64, tree: u64, kind: (u8, usize)) -> Read<Vec<&'f [u8]>> {
    if heap == UNDEFINED || tree == UNDEFINED {
        return Ok(Vec::new());
    }
    let heap = Heap::open(file, heap)?;
    let mut found = Vec::new();
    for record in records(file, tree, kind.0)? {
        let id = record.get(kind.1..).ok_or("a record is too short")?;
        found.push(heap.object(id)?);
    }
    Ok(found)
}

/// Bytes that numbers up to `most` take.
fn width(most: u64) -> usize {
    (64 - most.leading_zeros() as usize).div_ceil(8).max(1)
}

/// The records of a tree, in no particular order.
fn records<'a>(file: &File<'a>, address: u64, kind: u8) -> Read<Vec<&'a [u8]>> {
    let mut cursor = file.from(address)?;
    cursor.mark(b"BTHD")?;
    if [cursor.u8()?, cursor.u8()?] != [0, kind] {
        return Err("a tree is not of the kind that it should be".to_owned());
    }
    let (node_size, record_size, depth) = (cursor.u32()?, usize::from(cursor.u16()?), cursor.u16()?);
    cursor.take(2)?;
    let (root, count) = (cursor.u64()?, cursor.u16()?);
    if depth > MAX_DEPTH || record_size == 0 {
        return Err(format!("a tree {depth} deep of records of {record_size} bytes"));
    }
    // What nodes of each depth hold at most decides how wide the counts of their parents are.
    let usable = u64::from(node_size).saturating_sub(10);
    let mut most = vec![usable / record_size as u64];
    let mut all = vec![most[0]];
    let count_width = width(most[0]);
    for level in 1..=usize::from(depth) {
        let total = if level > 1 { width(all[level - 1]) } else { 0 };
        let pointer = (8 + count_width + total) as u64;
        let here = usable.saturating_sub(pointer) / (record_size as u64 + pointer);
        most.push(here);
        all.push(here.saturating_add(1).saturating_mul(all[level - 1]).saturating_add(here));
    }
    let mut found = Vec::new();
    let mut open = vec![(root, u64::from(count), usize::from(depth))];
    while let Some((address, count, level)) = open.pop() {
        file.step()?;
        if address == UNDEFINED {
            continue;
        }
        let mut cursor = file.from(address)?;
        cursor.mark(if level == 0 { b"BTLF" } else { b"BTIN" })?;
        cursor.take(2)?;
        for _ in 0..count {
            file.step()?;
            found.push(cursor.take(record_size)?);
        }
        for _ in 0..if level == 0 { 0 } else { count + 1 } {
            let (address, count) = (cursor.u64()?, cursor.number(count_width)?);
            cursor.take(if level > 1 { width(all[level - 1]) } else { 0 })?;
            open.push((address, count, level - 1));
        }
    }
    Ok(found)
}

/// A fractal heap: a table of blocks whose lengths double.
struct Heap<'f> {
    file: &'f File<'f>,
    offset_width: usize,
    length_width: usize,
    columns: u64,
    first_block: u64,
    largest_block: u64,
    root: u64,
    root_rows: u64,
}

impl<'f> Heap<'f> {
    fn open(file: &'f File<'f>, address: u64) -> Read<Self> {
        let mut cursor = file.from(address)?;
        cursor.mark(b"FRHP")?;
        cursor.u8()?;
        let _id_length = cursor.u16()?;
        if cursor.u16()? != 0 {
            return Err("packed heaps are not read".to_owned());
        }
        cursor.u8()?;
        let largest_object = cursor.u32()?;
        // Identifiers of large objects, free space, and counts of objects.
        cursor.take(12 * 8)?;
        let (columns, first_block, largest_block) = (cursor.u16()?, cursor.u64()?, cursor.u64()?);
        let bits = cursor.u16()?;
        cursor.u16()?;
        let (root, root_rows) = (cursor.u64()?, cursor.u16()?);
        if columns == 0 || first_block == 0 || largest_block < first_block || bits > 64 {
            return Err("a heap without columns or with blocks of no length".to_owned());
        }
        Ok(Self {
            file,
            offset_width: usize::from(bits).div_ceil(8),
            length_width: width(largest_block.min(largest_object.into())),
            columns: columns.into(),
            first_block,
            largest_block,
            root,
            root_rows: root_rows.into(),
        })
    }

    /// The length of the blocks of a row: the first two rows are alike, each other one doubles.
    fn block_length(&self, row: u64) -> u64 {
        let doublings = u32::try_from(row.saturating_sub(1)).unwrap_or(u32::MAX);
        1u64.checked_shl(doublings).and_then(|factor| self.first_block.checked_mul(factor)).unwrap_or(u64::MAX)
    }

    /// The object with an identifier, which must be one among others in a block.
    fn object(&self, id: &[u8]) -> Read<&'f [u8]> {
        let mut cursor = Cursor::new(id);
        if cursor.u8()? & 0x30 != 0 {
            return Err("objects that a heap keeps elsewhere are not read".to_owned());
        }
        let (mut offset, length) = (cursor.number(self.offset_width)?, cursor.number(self.length_width)?);
        let (mut block, mut rows) = (self.root, self.root_rows);
        while rows > 0 {
            self.file.step()?;
            (block, rows) = self.below(block, rows, &mut offset)?;
        }
        self.file.at(block.checked_add(offset).ok_or("an object outside the file")?, length)
    }

    /// The block that holds `offset`, which is made relative to it, and its rows, which are 0 for a block of objects.
    fn below(&self, block: u64, rows: u64, offset: &mut u64) -> Read<(u64, u64)> {
        let mut cursor = self.file.from(block)?;
        cursor.mark(b"FHIB")?;
        cursor.take(9 + self.offset_width)?;
        for row in 0..rows {
            let length = self.block_length(row);
            for _ in 0..self.columns {
                self.file.step()?;
                let address = cursor.u64()?;
                if *offset >= length {
                    *offset -= length;
                    continue;
                }
                if length <= self.largest_block {
                    return Ok((address, 0));
                }
                let below = (1..64).find(|&rows| {
                    let all = (0..rows).map(|row| self.block_length(row)).fold(0, u64::saturating_add);
                    all.saturating_mul(self.columns) >= length
                });
                return Ok((address, below.ok_or("a heap without rows")?));
            }
        }
        Err("an object outside its heap".to_owned())
    }
}
