//! Datasets in chunks, which may be packed.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::cursor::Cursor;
use super::value::MAX_AXES;
use super::{Object, Read, UNDEFINED, header};

const DEFLATE: u16 = 1;
const SHUFFLE: u16 = 2;
const FLETCHER: u16 = 3;

/// The filters in the order in which they were applied.
fn filters(body: Option<&[u8]>) -> Read<Vec<u16>> {
    let Some(body) = body else { return Ok(Vec::new()) };
    let mut cursor = Cursor::new(body);
    let (version, count) = (cursor.u8()?, cursor.u8()?);
    cursor.take(if version == 1 { 6 } else { 0 })?;
    let mut found = Vec::new();
    for _ in 0..count {
        let id = cursor.u16()?;
        let name = if version == 1 || id >= 256 { usize::from(cursor.u16()?) } else { 0 };
        cursor.u16()?;
        let values = usize::from(cursor.u16()?);
        cursor.take(if version == 1 { name.next_multiple_of(8) } else { name })?;
        cursor.take(4 * values + if version == 1 && values % 2 == 1 { 4 } else { 0 })?;
        if ![DEFLATE, SHUFFLE, FLETCHER].contains(&id) {
            return Err(format!("the filter {id} is not read"));
        }
        found.push(id);
    }
    Ok(found)
}

/// A chunk as it was before its filters.
fn unpacked(bytes: &[u8], filters: &[u16], mask: u32, width: usize, length: usize) -> Read<Vec<u8>> {
    let mut held = bytes.to_vec();
    for (at, filter) in filters.iter().enumerate().rev() {
        if mask >> at.min(31) & 1 == 1 {
            continue;
        }
        held = match *filter {
            DEFLATE => {
                let mut content = Vec::new();
                // A checksum may follow what is inside.
                let most = length as u64 + 4;
                let read = ZlibDecoder::new(&held[..]).take(most).read_to_end(&mut content);
                read.map_err(|error| format!("a chunk does not unpack: {error}"))?;
                content
            }
            SHUFFLE => {
                let count = held.len() / width;
                let mut content = held.clone();
                for (at, slot) in content.iter_mut().take(count * width).enumerate() {
                    *slot = held[at % width * count + at / width];
                }
                content
            }
            _ => {
                held.truncate(held.len().saturating_sub(4));
                held
            }
        };
    }
    if held.len() < length {
        return Err("a chunk is shorter than it should be".to_owned());
    }
    Ok(held)
}

/// The bytes of a chunked dataset of `total` bytes; `cursor` stands after the layout's class.
pub(super) fn read(
    object: &Object<'_>,
    mut cursor: Cursor<'_>,
    dims: &[usize],
    width: usize,
    total: usize,
) -> Read<Vec<u8>> {
    let file = object.file;
    let axes = usize::from(cursor.u8()?).checked_sub(1).filter(|&axes| axes == dims.len() && axes <= MAX_AXES);
    let axes = axes.filter(|&axes| axes > 0).ok_or("chunks of other axes than the dataset's")?;
    let tree = cursor.u64()?;
    let chunk = (0..axes).map(|_| cursor.u32().map(|length| length as usize)).collect::<Read<Vec<_>>>()?;
    let length = chunk.iter().try_fold(width, |bytes, &length| bytes.checked_mul(length)).filter(|&length| length > 0);
    let length = length.ok_or("chunks of no length")?;
    file.allot(length as u64)?;
    let filters = filters(object.message(header::FILTERS))?;
    let mut out = vec![0; total];
    let mut open = if tree == UNDEFINED { Vec::new() } else { vec![tree] };
    while let Some(address) = open.pop() {
        file.step()?;
        let mut cursor = file.from(address)?;
        cursor.mark(b"TREE")?;
        let (kind, level, count) = (cursor.u8()?, cursor.u8()?, cursor.u16()?);
        if kind != 1 {
            return Err("a dataset's tree is not one of chunks".to_owned());
        }
        cursor.take(16)?;
        for _ in 0..count {
            file.step()?;
            let (stored, mask) = (cursor.u32()?, cursor.u32()?);
            let origin = (0..axes).map(|_| cursor.u64()).collect::<Read<Vec<_>>>()?;
            cursor.u64()?;
            let child = cursor.u64()?;
            if level > 0 {
                open.push(child);
                continue;
            }
            file.allot(length as u64)?;
            let content = unpacked(file.at(child, stored.into())?, &filters, mask, width, length)?;
            place(&content, &origin, &chunk, dims, width, &mut out)?;
        }
    }
    Ok(out)
}

/// Copies the rows of a chunk that lie in the dataset.
fn place(content: &[u8], origin: &[u64], chunk: &[usize], dims: &[usize], width: usize, out: &mut [u8]) -> Read<()> {
    let origin = origin.iter().map(|&at| usize::try_from(at).map_err(|_| "a chunk outside its dataset".to_owned()));
    let origin = origin.collect::<Read<Vec<_>>>()?;
    if origin.iter().zip(dims).any(|(&at, &length)| at >= length) {
        return Ok(());
    }
    let last = dims.len() - 1;
    let row = chunk[last].min(dims[last] - origin[last]) * width;
    for (number, bytes) in content.chunks_exact(chunk[last] * width).enumerate() {
        let (mut rest, mut at, mut stride) = (number, origin[last], dims[last]);
        let mut inside = true;
        for axis in (0..last).rev() {
            let place = origin[axis] + rest % chunk[axis];
            rest /= chunk[axis];
            inside &= place < dims[axis];
            at = at.saturating_add(place.saturating_mul(stride));
            stride = stride.saturating_mul(dims[axis]);
        }
        let start = at.saturating_mul(width);
        if inside
            && rest == 0
            && let Some(slots) = start.checked_add(row).and_then(|end| out.get_mut(start..end))
        {
            slots.copy_from_slice(&bytes[..row]);
        }
    }
    Ok(())
}
