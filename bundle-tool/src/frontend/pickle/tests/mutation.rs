//! Damaged files: every one must be refused with an error or read as data, never panic.

use super::*;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn limits() -> Limits {
    Limits { memory_bytes: 8 << 20, steps: 200_000, visits: 20_000, ..Limits::default() }
}

/// Changes `file` in one to four places: a byte, an interesting byte, a length, a removed, doubled or moved stretch.
fn damage(file: &mut Vec<u8>, random: &mut Random) {
    const TELLING: &[u8] = b"\x80\x81\x85\x86\x87\x8a\x8c\x93\x94\x95().NRabehjqrstu]}\x00\x7f\xff";
    for _ in 0..=random.below(4) {
        if file.len() < 4 {
            return;
        }
        let at = random.below(file.len());
        let stretch = (1 + random.below(40)).min(file.len() - at);
        match random.below(6) {
            0 => file[at] ^= 1 << random.below(8),
            1 => file[at] = TELLING[random.below(TELLING.len())],
            2 => file[at] = random.next() as u8,
            3 => drop(file.drain(at..at + stretch)),
            4 => {
                let copy = file[at..at + stretch].to_vec();
                file.splice(at..at, copy);
            }
            _ => {
                let copy = file[at..at + stretch].to_vec();
                let to = random.below(file.len());
                file.splice(to..to, copy);
            }
        }
    }
}

/// Gives `count` damaged copies of `file` to `read`, which says whether it refused one; gives how many it did.
pub(in crate::frontend) fn mutate(file: &[u8], count: usize, seed: u64, read: impl Fn(&[u8]) -> bool) -> usize {
    let mut random = Random(seed);
    let mut refused = 0;
    for _ in 0..count {
        let mut copy = file.to_vec();
        damage(&mut copy, &mut random);
        refused += usize::from(read(&copy));
    }
    refused
}

/// Small real files: padded and unpadded joblib, nested pickles of protocol 2 and 5, and plain pickles.
pub(in crate::frontend) const SMALL: &[&str] = &[
    "sklearn/v024_pipeline_scaler_logistic/model.joblib",
    "sklearn/v024_logistic_object_labels/model.joblib",
    "sklearn/v19_logistic_object_labels/model.joblib",
    "sklearn/v19_pipeline_scaler_logistic/model.pkl",
    "sklearn/v19_tree_classifier_single_node/model.joblib",
];

/// A small pickle with one of everything: arrays of each kind, shared values, an object with state.
fn sampler() -> Vec<u8> {
    pickle(&[
        b"\x8c\x07library\x8c\x05Model\x93\x94)\x81\x94}\x94(\x8c\x04dictccollections\nOrderedDict\n)R",
        b"\x8c\x01ah\x01s\x8c\x03numcnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R\x94(K\x01",
        b"K\x02K\x01\x86cnumpy\ndtype\n\x8c\x02f4\x89\x88\x87R\x94(K\x03\x8c\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb",
        b"\x88C\x08\x00\x00\x80\x3f\x00\x00\x00\x40tb\x8c\x06scalarcnumpy.core.multiarray\nscalar\nh\x04C\x04abcd\x86R",
        b"\x8c\x03objcnumpy._core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R(K\x01K\x02\x85cnumpy\n",
        b"dtype\n\x8c\x02O8\x89\x88\x87R\x89](\x8c\x01xh\x01etb\x8c\x04fromcnumpy._core.numeric\n_frombuffer\n(C\x02\x01\x02",
        b"cnumpy\ndtype\n\x8c\x02u1\x89\x88\x87RK\x02\x85\x8c\x01CtR\x8c\x03set\x8f\x94(K\x01G?\xf0\0\0\0\0\0\0\x90ub",
    ])
}

#[test]
fn damaged_copies_never_panic() {
    let document = decode(&sampler()).map(|_| ());
    assert_eq!(document, Ok(()));
    let allow = allow();
    let refuses = |bytes: &[u8]| match read(bytes, &allow, &limits()) {
        Ok(document) => {
            exercise(&document, 100);
            false
        }
        Err(error) => !error.to_string().is_empty(),
    };
    let small = SMALL.iter().map(|path| (fixture(path), 2_000));
    let cases = [(sampler(), 9_000), (forest_024(), 500), (forest_19(), 500)];
    for (seed, (file, count)) in small.chain(cases).enumerate() {
        let refused = mutate(&file, count, seed as u64, refuses);
        assert!(refused > count / 20 && refused < count, "{refused} of {count}");
    }
}

#[test]
fn a_file_cut_anywhere_is_an_error_with_a_place() {
    let allow = allow();
    let files = SMALL.iter().map(|path| fixture(path));
    for file in files.chain([sampler()]) {
        assert!(decode(&file).is_ok());
        for length in 0..file.len() {
            match read(&file[..length], &allow, &limits()) {
                Ok(_) => panic!("{length} of {} bytes were read", file.len()),
                Err(PickleError::NotAPickle { .. }) => assert_eq!(length, 0),
                Err(PickleError::Truncated { offset, .. } | PickleError::Misuse { offset, .. }) => {
                    assert!(offset <= length);
                }
                Err(other) => panic!("{length}: {other}"),
            }
        }
    }
}
