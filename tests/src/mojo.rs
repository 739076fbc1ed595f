//! Zips of H2O's models, taken apart and put together for tests.

use std::io::Read;

use flate2::Crc;
use flate2::read::DeflateDecoder;

fn number(bytes: &[u8], at: usize, length: usize) -> usize {
    bytes[at..at + length].iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte))
}

/// The members of a sound zip, whose directory is followed by nothing but the record of its end: their names and contents.
///
/// # Panics
/// On any other bytes.
pub fn unpacked(bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
    let end = bytes.len() - 22;
    let (count, mut at) = (number(bytes, end + 10, 2), number(bytes, end + 16, 4));
    let mut members = Vec::new();
    for _ in 0..count {
        let (method, packed) = (number(bytes, at + 10, 2), number(bytes, at + 20, 4));
        let (name, extra, local) = (number(bytes, at + 28, 2), number(bytes, at + 30, 2), number(bytes, at + 42, 4));
        let start = local + 30 + number(bytes, local + 26, 2) + number(bytes, local + 28, 2);
        let mut content = bytes[start..start + packed].to_vec();
        if method == 8 {
            let deflated = std::mem::take(&mut content);
            DeflateDecoder::new(deflated.as_slice()).read_to_end(&mut content).expect("deflated bytes");
        }
        members.push((String::from_utf8(bytes[at + 46..at + 46 + name].to_vec()).expect("a name"), content));
        at += 46 + name + extra;
    }
    members
}

/// A zip of stored members.
pub fn packed(members: &[(String, Vec<u8>)]) -> Vec<u8> {
    let (mut zip, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in members {
        let mut crc = Crc::new();
        crc.update(content);
        let mut head = vec![20, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        head.extend(crc.sum().to_le_bytes());
        head.extend([content.len() as u32, content.len() as u32].map(u32::to_le_bytes).as_flattened());
        head.extend((name.len() as u16).to_le_bytes());
        head.extend([0, 0]);
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&head);
        directory.extend([0; 10]);
        directory.extend((zip.len() as u32).to_le_bytes());
        directory.extend(name.as_bytes());
        zip.extend(b"PK\x03\x04");
        zip.extend(&head);
        zip.extend(name.as_bytes());
        zip.extend(content);
    }
    let (count, start) = ((members.len() as u16).to_le_bytes(), zip.len() as u32);
    zip.extend(&directory);
    zip.extend(b"PK\x05\x06\0\0\0\0");
    zip.extend([count, count].as_flattened());
    zip.extend([directory.len() as u32, start].map(u32::to_le_bytes).as_flattened());
    zip.extend([0, 0]);
    zip
}

#[cfg(test)]
mod tests {
    use super::{packed, unpacked};

    #[test]
    fn what_is_packed_is_unpacked() {
        let members = vec![("model.ini".to_owned(), b"[info]".to_vec()), ("a/b".to_owned(), Vec::new())];
        assert_eq!(unpacked(&packed(&members)), members);
    }
}
