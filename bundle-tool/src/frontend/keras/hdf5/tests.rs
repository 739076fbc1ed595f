use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Array, Elements, File};

/// `tests/fixtures/make/keras_hdf5.py` wrote them.
const EARLY: &[u8] = include_bytes!("../../../../../tests/fixtures/keras_hdf5/early.h5");
const LATE: &[u8] = include_bytes!("../../../../../tests/fixtures/keras_hdf5/late.h5");

fn array(file: &File<'_>, path: &str) -> Array {
    let object = file.root().unwrap().descendant(path).unwrap().unwrap_or_else(|| panic!("{path} is not there"));
    object.array().unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn floats(dims: &[usize], values: impl IntoIterator<Item = f32>) -> Array {
    Array { dims: dims.to_vec(), elements: Elements::Floats(values.into_iter().collect()) }
}

#[test]
fn what_is_not_hdf5_is_refused() {
    assert!(File::open(b"").is_err());
    assert!(File::open(b"\x89HDF\r\n\x1a\n").is_err());
    let mut short = b"\x89HDF\r\n\x1a\n\x02\x08\x08\0".to_vec();
    short.extend([0; 24]);
    short.extend(u64::MAX.to_le_bytes());
    let file = File::open(&short).unwrap();
    assert!(file.root().is_err());
}

#[test]
fn numbers_of_every_type_are_read() {
    for bytes in [EARLY, LATE] {
        let file = File::open(bytes).unwrap();
        for name in [
            "little_f2",
            "little_f4",
            "little_f8",
            "big_f4",
            "big_f8",
            "i1",
            "little_i2",
            "big_i4",
            "little_i8",
            "u1",
            "little_u2",
        ] {
            let expected = floats(&[2, 3], (0..6u8).map(f32::from));
            assert_eq!(array(&file, &format!("numbers/{name}")), expected, "{name}");
        }
        assert_eq!(array(&file, "numbers/bool"), floats(&[3], [1.0, 0.0, 1.0]));
        assert_eq!(array(&file, "numbers/scalar"), floats(&[], [2.5]));
        assert_eq!(array(&file, "numbers/nothing"), floats(&[0, 4], []));
        assert_eq!(array(&file, "numbers/never_written"), floats(&[3], [0.0; 3]));
        assert_eq!(array(&file, "/a/b/c/kernel:0"), floats(&[4], [0.0, 1.0, 2.0, 3.0]));
        assert!(file.root().unwrap().descendant("a/x/c").unwrap().is_none());
    }
}

#[test]
fn texts_and_many_members_are_read() {
    for bytes in [EARLY, LATE] {
        let file = File::open(bytes).unwrap();
        let words = file.root().unwrap().child("words").unwrap().unwrap();
        let texts = |name: &str| words.attribute(name).unwrap().unwrap().into_texts();
        assert_eq!(texts("fixed").unwrap(), ["one", "three"]);
        assert_eq!(texts("list").unwrap(), ["first", "", "third"]);
        assert_eq!(texts("empty"), Some(Vec::new()));
        assert_eq!(words.attribute("long").unwrap().unwrap().as_text(), Some("a text of any length: äöü"));
        assert!(words.attribute("other").unwrap().is_none());
        let many = file.root().unwrap().child("many").unwrap().unwrap();
        let mut names: Vec<String> = many.children().unwrap().into_iter().map(|(name, _)| name).collect();
        names.sort_unstable();
        assert_eq!(names, (0..20).map(|at| format!("child_{at:02}")).collect::<Vec<_>>());
        for at in 0..20u8 {
            let attribute = many.attribute(&format!("attribute_{at:02}")).unwrap().unwrap();
            assert_eq!(attribute, floats(&[], [f32::from(at)]));
            assert_eq!(array(&file, &format!("many/child_{at:02}")), floats(&[2], [f32::from(at); 2]));
        }
    }
}

#[test]
fn chunks_are_put_together() {
    let file = File::open(EARLY).unwrap();
    for name in ["plain", "packed", "grown"] {
        assert_eq!(array(&file, &format!("chunks/{name}")), floats(&[13, 7], (0..91u8).map(f32::from)), "{name}");
    }
}

/// Reads all that a file has.
fn read_all(bytes: &[u8]) {
    let Ok(file) = File::open(bytes) else { return };
    let mut open: Vec<_> = file.root().into_iter().collect();
    let mut left = 200;
    while let Some(object) = open.pop().filter(|_| left > 0) {
        left -= 1;
        let _ = object.attribute("list");
        let _ = object.attribute("attribute_07");
        let _ = object.array();
        for (name, _) in object.children().unwrap_or_default() {
            open.extend(object.child(&name).ok().flatten());
        }
    }
}

#[test]
fn damaged_files_are_refused_without_a_panic() {
    for whole in [EARLY, LATE] {
        for end in (0..whole.len()).step_by(211) {
            read_all(&whole[..end]);
        }
        let mut state = 1u64;
        let mut next = |end: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % end
        };
        for round in 0..400 {
            let mut bytes = whole.to_vec();
            for _ in 0..=next(4) {
                let at = next(bytes.len());
                bytes[at] = [0, 0xff, next(256) as u8, bytes[at] ^ 1 << next(8)][next(4)];
            }
            let survived = catch_unwind(AssertUnwindSafe(|| read_all(&bytes)));
            assert!(survived.is_ok(), "round {round}");
        }
    }
}
