//! Perfect hashes of texts: each text of a set has a slot of its own, found with one look at a table of displacements.
//!
//! The hash of a text is 64-bit FNV-1a over its bytes, started from the offset basis with the seed's bits flipped in, then mixed:
//! `h ^= h >> 32; h *= 0xD6E8FEB86659FD93; h ^= h >> 32`. Of `B` displacements the one at `((h >> 32) * B) >> 32` belongs to the text. If
//! its top bit is set, its other bits are the slot. Otherwise the slot among `S` is `(mix(low ^ displacement * 0x9E3779B9) * S) >> 32`, where `low` are
//! the hash's lower 32 bits and `mix` is `x ^= x >> 16; x *= 0x7FEB352D; x ^= x >> 15; x *= 0x846CA68B; x ^= x >> 16`. Products of
//! 32 and 64 bits wrap, those that are shifted by 32 are of 64 bits.
//!
//! A slot says only where the text would be if it is in the set: the text there has to be compared.

/// A displacement with this bit names the slot itself.
const DIRECT: u32 = 1 << 31;

/// The hash of a text, which may come in pieces.
#[derive(Clone, Copy, Debug)]
pub struct TextHash(u64);

impl TextHash {
    /// The hash of nothing yet.
    pub const fn new(seed: u32) -> Self {
        Self(0xCBF2_9CE4_8422_2325 ^ seed as u64)
    }

    /// With further bytes.
    pub fn with(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)))
    }

    /// The finished hash.
    pub const fn finish(self) -> u64 {
        let mut hash = self.0;
        hash ^= hash >> 32;
        hash = hash.wrapping_mul(0xD6E8_FEB8_6659_FD93);
        hash ^ (hash >> 32)
    }
}

/// The upper half of the product.
const fn scaled(value: u32, count: u32) -> u32 {
    ((value as u64 * count as u64) >> 32) as u32
}

/// Which of `count` displacements belongs to a hash; below `count` unless that is 0.
pub const fn bucket(hash: u64, count: u32) -> u32 {
    scaled((hash >> 32) as u32, count)
}

/// The slot among `slots` of a hash with its displacement; it may be outside where the displacement is none that [`build`] made.
pub const fn slot(hash: u64, displacement: u32, slots: u32) -> u32 {
    if displacement & DIRECT != 0 {
        return displacement & !DIRECT;
    }
    let mut mixed = hash as u32 ^ displacement.wrapping_mul(0x9E37_79B9);
    mixed ^= mixed >> 16;
    mixed = mixed.wrapping_mul(0x7FEB_352D);
    mixed ^= mixed >> 15;
    mixed = mixed.wrapping_mul(0x846C_A68B);
    mixed ^= mixed >> 16;
    scaled(mixed, slots)
}

#[cfg(feature = "alloc")]
pub use building::{PerfectHash, build};

#[cfg(feature = "alloc")]
mod building {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::{DIRECT, TextHash, bucket, slot};

    /// A perfect hash of a list of texts.
    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct PerfectHash {
        /// Seed of the hash.
        pub seed: u32,
        /// The displacements, one at least.
        pub displacements: Vec<u32>,
        /// For each slot the position of its text in the list.
        pub slots: Vec<u32>,
    }

    /// Texts that share a displacement, on average.
    const PER_BUCKET: usize = 4;

    /// Displacements that are tried for one bucket before another seed is.
    const TRIES: u32 = 1 << 20;

    /// Seeds that are tried.
    const SEEDS: u32 = 64;

    /// A hash with as many slots as there are different texts; of equal ones the first is found. `None` for no texts, more than 2^31 of them, or
    /// where no seed works, which takes texts that were made for it.
    pub fn build(texts: &[&[u8]]) -> Option<PerfectHash> {
        if texts.is_empty() || texts.len() >= DIRECT as usize {
            return None;
        }
        let mut order: Vec<u32> = (0..texts.len() as u32).collect();
        let text = |at: u32| texts.get(at as usize).copied().unwrap_or_default();
        order.sort_by(|&a, &b| text(a).cmp(text(b)).then(a.cmp(&b)));
        order.dedup_by(|later, first| text(*later) == text(*first));
        (0..SEEDS).find_map(|seed| with_seed(&order, text, seed))
    }

    fn with_seed<'t>(texts: &[u32], text: impl Fn(u32) -> &'t [u8], seed: u32) -> Option<PerfectHash> {
        let count = texts.len() as u32;
        let buckets = texts.len().div_ceil(PER_BUCKET) as u32;
        let mut members: Vec<Vec<(u64, u32)>> = vec![Vec::new(); buckets as usize];
        for &at in texts {
            let hash = TextHash::new(seed).with(text(at)).finish();
            members.get_mut(bucket(hash, buckets) as usize)?.push((hash, at));
        }
        let mut order: Vec<usize> = (0..members.len()).collect();
        order.sort_by_key(|&at| (core::cmp::Reverse(members.get(at).map_or(0, Vec::len)), at));
        let mut displacements = vec![0u32; members.len()];
        let mut slots: Vec<Option<u32>> = vec![None; texts.len()];
        let mut free = 0;
        for at in order {
            let members = members.get(at)?;
            let chosen = match members.as_slice() {
                [] => continue,
                &[(_, text)] => {
                    while slots.get(free)?.is_some() {
                        free += 1;
                    }
                    *slots.get_mut(free)? = Some(text);
                    DIRECT | free as u32
                }
                several => {
                    let mut places = Vec::with_capacity(several.len());
                    let found = (0..TRIES).find(|&displacement| {
                        places.clear();
                        several.iter().all(|&(hash, _)| {
                            let place = slot(hash, displacement, count);
                            let is_free = matches!(slots.get(place as usize), Some(None)) && !places.contains(&place);
                            places.push(place);
                            is_free
                        })
                    })?;
                    for (&place, &(_, text)) in places.iter().zip(several) {
                        *slots.get_mut(place as usize)? = Some(text);
                    }
                    found
                }
            };
            *displacements.get_mut(at)? = chosen;
        }
        let slots = slots.into_iter().collect::<Option<Vec<u32>>>()?;
        Some(PerfectHash { seed, displacements, slots })
    }
}

#[cfg(all(test, feature = "alloc"))]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    fn find(hash: &PerfectHash, texts: &[String], text: &str) -> Option<u32> {
        let value = TextHash::new(hash.seed).with(text.as_bytes()).finish();
        let displacement = hash.displacements[bucket(value, hash.displacements.len() as u32) as usize];
        let at = *hash.slots.get(slot(value, displacement, hash.slots.len() as u32) as usize)?;
        (texts[at as usize] == text).then_some(at)
    }

    #[test]
    fn every_text_has_a_slot_of_its_own() {
        for count in [1, 2, 3, 10, 257, 20_000] {
            let texts: Vec<String> = (0..count).map(|number| format!("word {number}")).collect();
            let hash = build(&texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>()).unwrap();
            assert_eq!(hash.slots.len(), count);
            for (at, text) in texts.iter().enumerate() {
                assert_eq!(find(&hash, &texts, text), Some(at as u32));
            }
            assert_eq!(find(&hash, &texts, "another"), None);
            assert_eq!(find(&hash, &texts, ""), None);
        }
    }

    #[test]
    fn the_first_of_equal_texts_is_found() {
        let texts: Vec<String> = ["b", "a", "b", "", "a"].map(String::from).to_vec();
        let hash = build(&texts.iter().map(|text| text.as_bytes()).collect::<Vec<_>>()).unwrap();
        assert_eq!(hash.slots.len(), 3);
        assert_eq!(["a", "b", "", "c"].map(|text| find(&hash, &texts, text)), [Some(1), Some(0), Some(3), None]);
        assert_eq!(build(&[]), None);
    }

    #[test]
    fn pieces_hash_as_the_whole() {
        let whole = TextHash::new(7).with(b"two words").finish();
        assert_eq!(TextHash::new(7).with(b"two").with(b" ").with(b"words").finish(), whole);
        assert_ne!(TextHash::new(8).with(b"two words").finish(), whole);
    }
}
