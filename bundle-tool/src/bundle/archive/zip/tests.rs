use std::collections::BTreeMap;
use std::io::Write;

use rawzip::path::EntryPath;
use rawzip::{CompressionMethod, ZipArchiveWriter, ZipDataWriter};

use super::super::{Limits, Unpacking};
use crate::bundle::BundleError;

const LIMITS: Limits = Limits { total_bytes: 1 << 20, members: 20, ratio: 50, ratio_free_bytes: 256 << 10 };

/// A zip of members with names and modes as given, however wrong; deflated or stored.
fn zip(members: &[(&str, Option<u32>, &[u8])], deflated: bool) -> Vec<u8> {
    let mut archive = ZipArchiveWriter::new(Vec::new());
    let method = if deflated { CompressionMethod::DEFLATE } else { CompressionMethod::STORE };
    for (name, mode, bytes) in members {
        let mut builder = archive.new_file(EntryPath::verbatim(name.as_bytes())).compression_method(method);
        if let Some(mode) = mode {
            builder = builder.unix_permissions(*mode);
        }
        let (mut entry, config) = builder.start().unwrap();
        let descriptor = if deflated {
            let encoder = flate2::write::DeflateEncoder::new(&mut entry, flate2::Compression::fast());
            let mut writer = config.wrap(encoder);
            writer.write_all(bytes).unwrap();
            let (encoder, descriptor) = writer.finish().unwrap();
            encoder.finish().unwrap();
            descriptor
        } else {
            let mut writer: ZipDataWriter<_> = config.wrap(&mut entry);
            writer.write_all(bytes).unwrap();
            writer.finish().unwrap().1
        };
        entry.finish(descriptor).unwrap();
    }
    archive.finish().unwrap()
}

fn open(bytes: &[u8]) -> Result<BTreeMap<String, Vec<u8>>, BundleError> {
    let mut unpacking = Unpacking::new("t.zip", LIMITS);
    let archive = unpacking.directory(bytes)?;
    unpacking.unzip(&archive, bytes.len() as u64)?;
    Ok(unpacking.members)
}

/// The member and the reason of a refusal.
fn refused(members: &[(&str, Option<u32>, &[u8])]) -> (String, &'static str) {
    match open(&zip(members, false)) {
        Err(BundleError::Member { member, reason, .. }) => (member, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn stored_and_deflated_members() {
    for deflated in [false, true] {
        let bytes =
            zip(&[("src/", None, b""), ("src/a.py", Some(0o100_644), b"x = 1\n"), ("./b", None, b"")], deflated);
        let members = open(&bytes).unwrap();
        assert_eq!(members.keys().collect::<Vec<_>>(), ["b", "src/a.py"]);
        assert_eq!(members["src/a.py"], b"x = 1\n");
    }
}

#[test]
fn names_that_leave_the_bento() {
    for name in ["../evil", "a/../../evil", "src/.."] {
        let (member, reason) = refused(&[(name, None, b"x")]);
        assert_eq!((member.as_str(), reason), (name, "leads out of the bento with `..`"));
    }
    assert_eq!(refused(&[("/etc/passwd", None, b"x")]).1, "is an absolute path");
    assert_eq!(refused(&[("..\\evil", None, b"x")]).1, "contains a backslash");
    let deep = "d/".repeat(33) + "f";
    assert_eq!(refused(&[(&deep, None, b"x")]).1, "is nested in more than 32 directories");
}

#[test]
fn links_devices_and_doubles() {
    assert_eq!(refused(&[("x", Some(0o120_777), b"/etc/passwd")]).1, "is a symbolic link");
    assert_eq!(refused(&[("x", Some(0o020_644), b"")]).1, "is neither a regular file nor a directory");
    assert_eq!(refused(&[("x", Some(0o040_755), b"")]).1, "is a directory with the name of a file");
    assert_eq!(refused(&[("a", None, b"1"), ("./a", None, b"2")]).1, "occurs twice");
    assert_eq!(refused(&[("a/b", None, b"1"), ("a", None, b"2")]).1, "occurs twice");
    assert_eq!(refused(&[("a", None, b"1"), ("a/b", None, b"2")]).1, "uses the name of a file as a directory");
}

#[test]
fn bombs_are_refused() {
    let error = open(&zip(&[("zeros", None, &vec![0; 900 << 10])], true)).unwrap_err();
    assert!(matches!(error, BundleError::ArchiveLimit { .. }), "{error}");
    let many: Vec<String> = (0..21).map(|index| format!("m{index}")).collect();
    let many: Vec<(&str, Option<u32>, &[u8])> = many.iter().map(|name| (name.as_str(), None, &b""[..])).collect();
    let error = open(&zip(&many, false)).unwrap_err();
    assert!(error.to_string().contains("more than 20 members"), "{error}");
}

/// The places of the records of a directory.
fn records(bytes: &[u8]) -> Vec<usize> {
    (0..bytes.len()).filter(|&at| bytes[at..].starts_with(b"PK\x01\x02")).collect()
}

#[test]
fn members_that_share_bytes_or_disagree_with_the_directory() {
    // The second member of the directory is made to be the first's bytes, under its own name.
    let good = zip(&[("a", None, b"same"), ("b", None, b"same")], false);
    let mut shared = good.clone();
    let second = records(&good)[1];
    shared[second + 42..second + 46].fill(0);
    let error = open(&shared).unwrap_err().to_string();
    assert!(error.contains("another name or compression"), "{error}");
    shared[second + 46] = b'a';
    assert!(open(&shared).unwrap_err().to_string().contains("occurs twice"));
    let mut encrypted = good.clone();
    encrypted[records(&good)[0] + 8] |= 1;
    assert!(open(&encrypted).unwrap_err().to_string().contains("is encrypted"));
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    let noise: Vec<u8> = (0..900_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let good = zip(&[("a", None, &noise), ("b", None, b"tail")], true);
    for length in 0..good.len() {
        assert!(open(&good[..length]).is_err(), "cut at {length}");
    }
    let mut flipped = good.clone();
    for index in 0..good.len() {
        for bit in [1, 0x80] {
            flipped[index] ^= bit;
            // Bits that no checksum covers may be ignored; the content of the members is the same.
            if let Ok(members) = open(&flipped) {
                assert!(members.values().all(|bytes| *bytes == noise || bytes == b"tail"), "bit {bit} of {index}");
            }
            flipped[index] ^= bit;
        }
    }
}

#[test]
fn other_compressions_are_refused() {
    let mut bytes = zip(&[("a", None, b"x")], false);
    let listed = records(&bytes)[0] + 10;
    // bzip2, in the member's own header and in the directory.
    (bytes[8], bytes[listed]) = (12, 12);
    let error = open(&bytes).unwrap_err().to_string();
    assert!(error.contains("compress"), "{error}");
}
