//! Names of requests and tasks.

use std::fmt::Write;

/// Makes names that nobody else makes.
#[derive(Debug)]
pub(super) struct Identities {
    state: u64,
}

impl Identities {
    /// Starts from the system's randomness; from the clock on a system that has none yet.
    pub(super) fn new() -> Self {
        let mut seed = [0; 8];
        if getrandom::fill(&mut seed).is_err() {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            seed = (now.unwrap_or_default().as_nanos() as u64).to_le_bytes();
        }
        Self { state: u64::from_le_bytes(seed) }
    }

    /// 64 bits: SplitMix64 (Steele, Lea, Flood, 2014).
    pub(super) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

/// A version 4 UUID (RFC 9562) of two words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Uuid(pub(super) u64, pub(super) u64);

impl std::fmt::Display for Uuid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (high, low) = ((self.0 & !0xf000) | 0x4000, (self.1 & !(0b11 << 62)) | (0b10 << 62));
        write!(f, "{:08x}-{:04x}-{:04x}-", high >> 32, (high >> 16) & 0xffff, high & 0xffff)?;
        write!(f, "{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
    }
}

impl Uuid {
    /// As 32 hexadecimal digits: how BentoML 1.x names tasks.
    pub(super) fn hex(self) -> String {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = write!(text, "{self}");
        text.retain(|letter| letter != '-');
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_says_its_version_and_variant() {
        let text = Uuid(u64::MAX, u64::MAX).to_string();
        assert_eq!(text, "ffffffff-ffff-4fff-bfff-ffffffffffff");
        assert_eq!(Uuid(0, 1).hex(), "00000000000040008000000000000001");
        let mut identities = Identities::new();
        assert_ne!(identities.next(), identities.next());
    }
}
