//! Damaged files.

use super::*;

const MODEL: &[u8] = include_bytes!("../../../../tests/fixtures/tflite/odd_shapes_int8/model.tflite");

/// Xorshift, as good as any for choosing places.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn damaged_files_are_refused_or_read_but_never_panic() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let mut refused = 0;
    for _ in 0..4000 {
        let mut bytes = MODEL.to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] ^= 1 << random.below(8),
                1 => bytes[at] = [0, 1, 0x7F, 0x80, 0xFF][random.below(5)],
                2 => bytes.truncate(at.max(8)),
                _ => {
                    let from = random.below(bytes.len());
                    let length = random.below(32).min(bytes.len() - from.max(at));
                    bytes.copy_within(from..from + length, at);
                }
            }
        }
        if let Err(error) = TfliteModel::open(&bytes) {
            refused += 1;
            assert!(!error.to_string().is_empty());
        }
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn every_truncation_is_refused() {
    for length in (0..MODEL.len()).step_by(7) {
        assert!(TfliteModel::open(&MODEL[..length]).is_err(), "{length}");
    }
}
