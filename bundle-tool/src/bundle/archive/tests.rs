use std::collections::BTreeMap;
use std::io::Write;

use tar::{Builder, EntryType, Header};

use super::{Compression, Limits, decode};
use crate::bundle::BundleError;

const LIMITS: Limits = Limits { total_bytes: 1 << 20, members: 20, ratio: 50, ratio_free_bytes: 256 << 10 };

/// A tar of members with names as given, however wrong.
fn tar(members: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, bytes) in members {
        builder.append(&header(name, *kind, bytes.len() as u64), *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn header(name: &str, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let options = lzma_rust2::XzOptions::with_preset(1);
    let mut writer = lzma_rust2::XzWriter::new(Vec::new(), options).unwrap();
    writer.write_all(bytes).unwrap();
    writer.finish().unwrap()
}

fn open(bytes: &[u8], compression: Compression) -> Result<BTreeMap<String, Vec<u8>>, BundleError> {
    decode("t.bento", bytes, bytes.len() as u64, compression, LIMITS)
}

/// The member and the reason of a refusal.
fn refused(members: &[(&str, EntryType, &[u8])]) -> (String, &'static str) {
    match open(&tar(members), Compression::None) {
        Err(BundleError::Member { member, reason, .. }) => (member, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ordinary_members_of_every_compression() {
    let plain = tar(&[
        ("./", EntryType::Directory, b""),
        ("./src/", EntryType::Directory, b""),
        ("./src/a.py", EntryType::Regular, b"x = 1\n"),
        ("bento.yaml", EntryType::Regular, b"name: a\n"),
    ]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).unwrap();
    let mut bzip = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bzip.write_all(&plain).unwrap();
    let cases = [
        (plain.clone(), Compression::None),
        (xz(&plain), Compression::Xz),
        (gzip.finish().unwrap(), Compression::Gzip),
        (bzip.finish().unwrap(), Compression::Bzip2),
    ];
    for (bytes, compression) in cases {
        let members = open(&bytes, compression).unwrap();
        assert_eq!(members.len(), 2, "{compression:?}");
        assert_eq!(members["src/a.py"], b"x = 1\n");
    }
}

#[test]
fn long_names_of_gnu_and_pax() {
    let long = format!("models/{}/file", "m".repeat(150));
    let mut builder = Builder::new(Vec::new());
    let mut plain = Header::new_gnu();
    plain.set_size(1);
    builder.append_data(&mut plain, &long, &b"g"[..]).unwrap();
    builder.append_pax_extensions([("path", b"models/pax".as_slice())]).unwrap();
    builder.append(&header("cut", EntryType::Regular, 1), &b"p"[..]).unwrap();
    let members = open(&builder.into_inner().unwrap(), Compression::None).unwrap();
    assert_eq!(members[&long], b"g");
    assert_eq!(members["models/pax"], b"p");
}

#[test]
fn names_that_leave_the_bento() {
    for name in ["../evil", "a/../../evil", "src/.."] {
        let (member, reason) = refused(&[(name, EntryType::Regular, b"x")]);
        assert_eq!((member.as_str(), reason), (name, "leads out of the bento with `..`"));
    }
    assert_eq!(refused(&[("/etc/passwd", EntryType::Regular, b"x")]).1, "is an absolute path");
    assert_eq!(refused(&[("..\\evil", EntryType::Regular, b"x")]).1, "contains a backslash");
    assert_eq!(refused(&[("../d/", EntryType::Directory, b"")]).1, "leads out of the bento with `..`");
    let deep = "d/".repeat(33) + "f";
    assert_eq!(refused(&[(&deep, EntryType::Regular, b"x")]).1, "is nested in more than 32 directories");
}

#[test]
fn pax_records_cannot_smuggle() {
    let smuggle = |key: &'static str, value: &'static str| {
        let mut builder = Builder::new(Vec::new());
        builder.append_pax_extensions([(key, value.as_bytes())]).unwrap();
        builder.append(&header("ok", EntryType::Regular, 1), &b"p"[..]).unwrap();
        open(&builder.into_inner().unwrap(), Compression::None).unwrap_err().to_string()
    };
    assert!(smuggle("path", "../evil").contains("leads out of the bento"));
    assert!(smuggle("size", "999999999").contains("size in a PAX record"));
    assert!(smuggle("GNU.sparse.major", "1").contains("sparse"));
}

#[test]
fn links_devices_and_doubles() {
    for (kind, reason) in [
        (EntryType::Symlink, "is a symbolic link"),
        (EntryType::Link, "is a hard link"),
        (EntryType::Char, "is a device"),
        (EntryType::Block, "is a device"),
        (EntryType::Fifo, "is a named pipe"),
        (EntryType::GNUSparse, "is a sparse file"),
        (EntryType::Continuous, "is neither a regular file nor a directory"),
    ] {
        assert_eq!(refused(&[("x", kind, b"")]), ("x".to_owned(), reason));
    }
    let file = EntryType::Regular;
    assert_eq!(refused(&[("a", file, b"1"), ("./a", file, b"2")]).1, "occurs twice");
    assert_eq!(refused(&[("a/b", file, b"1"), ("a", file, b"2")]).1, "occurs twice");
    assert_eq!(refused(&[("a", file, b"1"), ("a/b", file, b"2")]).1, "uses the name of a file as a directory");
}

#[test]
fn bombs_are_refused() {
    let zeros = vec![0; 900 << 10];
    let small = xz(&tar(&[("zeros", EntryType::Regular, &zeros)]));
    let error = open(&small, Compression::Xz).unwrap_err();
    assert!(matches!(error, BundleError::ArchiveLimit { .. }), "{error}");

    let many = vec![("d/", EntryType::Directory, &b""[..]); 21];
    let error = open(&tar(&many), Compression::None).unwrap_err();
    assert!(error.to_string().contains("more than 20 members"), "{error}");

    // A header that declares 8 GiB costs no memory.
    let mut lying = header("big", EntryType::Regular, (8 << 30) - 1).as_bytes().to_vec();
    lying.extend([0; 1024]);
    let error = open(&lying, Compression::None).unwrap_err();
    assert!(error.to_string().contains("has 1024 of its 8589934591 bytes"), "{error}");

    let lying = header("name", EntryType::GNULongName, 1 << 20).as_bytes().to_vec();
    let error = open(&lying, Compression::None).unwrap_err();
    assert!(error.to_string().contains("more than 64 KiB"), "{error}");
}

#[test]
fn padding_after_the_end_mark_counts() {
    let mut bytes = tar(&[("a", EntryType::Regular, b"1")]);
    bytes.resize(900 << 10, 0);
    let error = open(&xz(&bytes), Compression::Xz).unwrap_err();
    assert!(matches!(error, BundleError::ArchiveLimit { .. }), "{error}");
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let noise: Vec<u8> = (0..3000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let good = xz(&tar(&[("a", EntryType::Regular, &noise), ("b", EntryType::Regular, b"tail")]));
    for length in 0..good.len() {
        assert!(open(&good[..length], Compression::Xz).is_err(), "cut at {length}");
    }
    let mut flipped = good.clone();
    for index in 0..good.len() {
        for bit in [1, 0x80] {
            flipped[index] ^= bit;
            // Bits that no checksum covers may be ignored; the content then is the same.
            if let Ok(members) = open(&flipped, Compression::Xz) {
                assert_eq!(members["a"], noise, "bit {bit} of byte {index}");
            }
            flipped[index] ^= bit;
        }
    }
    let plain = tar(&[("a", EntryType::Regular, &noise)]);
    for index in 0..512 {
        let mut flipped = plain.clone();
        flipped[index] ^= 0x80;
        assert!(open(&flipped, Compression::None).is_err(), "header byte {index}");
    }
}
