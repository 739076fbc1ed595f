//! Ensembles of decision trees.

use super::float::Float;

/// Set in a reference to a leaf; the other bits are its index. A reference without it is the index of a split.
pub const LEAF: u32 = 1 << 31;

/// How a feature is compared with a split's threshold. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Comparison {
    /// feature <= threshold.
    LessOrEqual = 0,
    /// feature < threshold.
    Less = 1,
    /// feature >= threshold.
    GreaterOrEqual = 2,
    /// feature > threshold.
    Greater = 3,
    /// feature == threshold.
    Equal = 4,
    /// feature != threshold.
    NotEqual = 5,
}

impl Comparison {
    const ALL: [Self; 6] =
        [Self::LessOrEqual, Self::Less, Self::GreaterOrEqual, Self::Greater, Self::Equal, Self::NotEqual];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The comparison with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    fn holds<F: Float>(self, x: F, threshold: F) -> bool {
        match self {
            Self::LessOrEqual => x <= threshold,
            Self::Less => x < threshold,
            Self::GreaterOrEqual => x >= threshold,
            Self::Greater => x > threshold,
            Self::Equal => x == threshold,
            Self::NotEqual => x != threshold,
        }
    }
}

/// How the leaves of all trees become one value per target. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Aggregate {
    /// The start value (0 without one), then the trees' values in order, added one by one.
    Sum = 0,
    /// The smallest; 0 for a target that no leaf reached speaks of.
    Min = 1,
    /// The largest; 0 for a target that no leaf reached speaks of.
    Max = 2,
}

impl Aggregate {
    const ALL: [Self; 3] = [Self::Sum, Self::Min, Self::Max];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The aggregate with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// The most that a value can differ from 0 and count as missing where zeros are: LightGBM's `kZeroThreshold`.
pub const ZERO_THRESHOLD: f64 = 1e-35f32 as f64;

/// What a split asks of a feature that is not missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// feature comparison threshold.
    Compare(Comparison),
    /// Whether the feature's integer part is in the split's set.
    Member {
        /// What holds for values below 0 and past the set's words.
        outside: bool,
        /// Whether values between -1 and 0 are category 0; they are below 0 otherwise.
        fractions: bool,
    },
}

/// The first word of a split: feature in bits 0 to 23, comparison in 24 to 26 (7: member), "NaN is taken as true" in 27, "zeros are
/// missing as NaN is" in 28, for members "what is outside is taken as true" in 29 and "-0.5 is category 0" in 30, zeros above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitWord {
    /// Index of the feature, below 2^24.
    pub feature: u32,
    /// The decision.
    pub decision: Decision,
    /// Where NaN goes: to the branch taken when the decision holds, or to the other one.
    pub nan_is_true: bool,
    /// Whether values no further than [`ZERO_THRESHOLD`] from 0 go where NaN goes.
    pub zero_is_missing: bool,
}

impl SplitWord {
    /// One more than the largest index of a feature.
    pub const MAX_FEATURES: u32 = 1 << 24;
    const MEMBER: u32 = 7;

    /// The word; `None` when the feature does not fit.
    pub fn pack(self) -> Option<u32> {
        let decision = match self.decision {
            Decision::Compare(comparison) => u32::from(comparison.code()) << 24,
            Decision::Member { outside, fractions } => {
                Self::MEMBER << 24 | u32::from(outside) << 29 | u32::from(fractions) << 30
            }
        };
        let flags = u32::from(self.nan_is_true) << 27 | u32::from(self.zero_is_missing) << 28;
        (self.feature < Self::MAX_FEATURES).then_some(self.feature | decision | flags)
    }

    /// The parts; `None` for an undefined comparison or undefined bits.
    pub fn unpack(word: u32) -> Option<Self> {
        let bit = |at: u32| word >> at & 1 == 1;
        let decision = match word >> 24 & 7 {
            Self::MEMBER => Decision::Member { outside: bit(29), fractions: bit(30) },
            code => Decision::Compare(Comparison::from_code(code as u8)?),
        };
        let parts =
            Self { feature: word & (Self::MAX_FEATURES - 1), decision, nan_is_true: bit(27), zero_is_missing: bit(28) };
        (parts.pack() == Some(word)).then_some(parts)
    }
}

/// What the leaves hold.
#[derive(Clone, Copy, Debug)]
pub enum Leaves<'a, V> {
    /// One value per target for each leaf.
    Dense(&'a [V]),
    /// Values for some targets: leaf `i` has the pairs `starts[i]..starts[i + 1]`.
    Sparse {
        /// First pair of each leaf, and the number of pairs at the end.
        starts: &'a [u32],
        /// Target of each pair.
        targets: &'a [u32],
        /// Value of each pair.
        values: &'a [V],
    },
}

/// An ensemble in tables.
#[derive(Clone, Copy, Debug)]
pub struct Trees<'a, F, V> {
    /// A reference for each tree.
    pub roots: &'a [u32],
    /// For each split: [`SplitWord`], reference where the decision holds, reference where it does not, position of a member's set.
    pub splits: &'a [[u32; 4]],
    /// Sets: at a position the number of words, then the words; bit `c` is set where category `c` is in.
    pub sets: &'a [u32],
    /// Threshold of each split.
    pub thresholds: &'a [F],
    /// The leaves.
    pub leaves: Leaves<'a, V>,
    /// Start values of a sum, one per target.
    pub start: Option<&'a [V]>,
}

impl<F: Float, V: Float> Trees<'_, F, V> {
    /// The leaf that a row reaches. A reference that does not lead forward ends the walk without one.
    fn leaf(&self, row: &[F], root: u32) -> Option<usize> {
        let mut at = root;
        while at & LEAF == 0 {
            let [word, when_true, when_false, set] = *self.splits.get(at as usize)?;
            let split = SplitWord::unpack(word)?;
            let x = *row.get(split.feature as usize)?;
            let zero = split.zero_is_missing && x.abs().to_f64() <= ZERO_THRESHOLD;
            let holds = match split.decision {
                _ if x.is_nan() || zero => split.nan_is_true,
                Decision::Compare(comparison) => comparison.holds(x, *self.thresholds.get(at as usize)?),
                Decision::Member { outside, fractions } => self.is_member(x, fractions, set).unwrap_or(outside),
            };
            let next = if holds { when_true } else { when_false };
            if next <= at {
                return None;
            }
            at = next;
        }
        Some((at & !LEAF) as usize)
    }

    /// Whether a number that is not NaN is in a set; `None` below 0 and past the set's words.
    fn is_member(&self, x: F, fractions: bool, set: u32) -> Option<bool> {
        let x = x.to_f64();
        let least = if fractions { x > -1.0 } else { x >= 0.0 };
        // Conversion saturates: values between -1 and 0 become 0, large ones the largest integer.
        let category = least.then_some(x as u64)?;
        let count = *self.sets.get(set as usize)?;
        let word = u32::try_from(category / 32).ok().filter(|&word| word < count)?;
        let word = self.sets.get(1 + set as usize + word as usize)?;
        Some(word >> (category % 32) & 1 == 1)
    }

    /// Calls `visit` with each target and value of a leaf.
    fn visit_leaf(&self, leaf: usize, targets: usize, mut visit: impl FnMut(usize, V)) {
        match self.leaves {
            Leaves::Dense(values) => {
                let values = values.chunks_exact(targets.max(1)).nth(leaf).unwrap_or_default();
                for (target, &value) in values.iter().enumerate() {
                    visit(target, value);
                }
            }
            Leaves::Sparse { starts, targets, values } => {
                let (Some(&start), Some(&end)) = (starts.get(leaf), starts.get(leaf.saturating_add(1))) else { return };
                let range = start as usize..end as usize;
                let pairs = targets.get(range.clone()).unwrap_or_default().iter();
                for (&target, &value) in pairs.zip(values.get(range).unwrap_or_default()) {
                    visit(target as usize, value);
                }
            }
        }
    }

    /// `out[row, target]`: rows of `features` values in `x`, `targets` values per row in `out`; `seen` holds one byte per target
    /// for minimum and maximum.
    pub fn run(&self, aggregate: Aggregate, features: usize, targets: usize, x: &[F], seen: &mut [u8], out: &mut [V]) {
        for (row, out) in x.chunks_exact(features.max(1)).zip(out.chunks_exact_mut(targets.max(1))) {
            out.fill(V::ZERO);
            if let Some(start) = self.start {
                for (out, &start) in out.iter_mut().zip(start) {
                    *out = start;
                }
            }
            seen.fill(0);
            for &root in self.roots {
                let Some(leaf) = self.leaf(row, root) else { continue };
                self.visit_leaf(leaf, targets, |target, value| {
                    let Some(out) = out.get_mut(target) else { return };
                    let first = seen.get_mut(target).is_some_and(|seen| core::mem::replace(seen, 1) == 0);
                    match aggregate {
                        Aggregate::Sum => *out = *out + value,
                        Aggregate::Min if first || value < *out => *out = value,
                        Aggregate::Max if first || value > *out => *out = value,
                        Aggregate::Min | Aggregate::Max => {}
                    }
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(feature: u32, comparison: Comparison, nan_is_true: bool) -> u32 {
        let decision = Decision::Compare(comparison);
        SplitWord { feature, decision, nan_is_true, zero_is_missing: false }.pack().unwrap()
    }

    #[test]
    fn every_comparison_decides_as_its_sign_says() {
        for (comparison, expected) in [
            (Comparison::LessOrEqual, [1.0, 1.0, 0.0]),
            (Comparison::Less, [1.0, 0.0, 0.0]),
            (Comparison::GreaterOrEqual, [0.0, 1.0, 1.0]),
            (Comparison::Greater, [0.0, 0.0, 1.0]),
            (Comparison::Equal, [0.0, 1.0, 0.0]),
            (Comparison::NotEqual, [1.0, 0.0, 1.0]),
        ] {
            for nan_is_true in [false, true] {
                let trees = Trees::<f32, f64> {
                    roots: &[0],
                    splits: &[[word(0, comparison, nan_is_true), LEAF | 1, LEAF, 0]],
                    sets: &[],
                    thresholds: &[2.0],
                    leaves: Leaves::Dense(&[0.0, 1.0]),
                    start: None,
                };
                let mut out = [9.0; 4];
                trees.run(Aggregate::Sum, 1, 1, &[1.0, 2.0, 3.0, f32::NAN], &mut [], &mut out);
                assert_eq!(out[..3], expected, "{comparison:?}");
                assert_eq!(out[3], f64::from(u8::from(nan_is_true)), "{comparison:?}");
            }
        }
    }

    #[test]
    fn aggregates_over_sparse_leaves() {
        // Three trees of one leaf each; target 2 is never spoken of.
        let trees = Trees::<f64, f32> {
            roots: &[LEAF, LEAF | 1, LEAF | 2],
            splits: &[],
            sets: &[],
            thresholds: &[],
            leaves: Leaves::Sparse { starts: &[0, 2, 3, 4], targets: &[0, 1, 0, 1], values: &[3.0, -1.0, 5.0, -2.0] },
            start: None,
        };
        let mut seen = [0; 3];
        let mut out = [0.0; 3];
        trees.run(Aggregate::Sum, 1, 3, &[0.0], &mut seen, &mut out);
        assert_eq!(out, [8.0, -3.0, 0.0]);
        trees.run(Aggregate::Min, 1, 3, &[0.0], &mut seen, &mut out);
        assert_eq!(out, [3.0, -2.0, 0.0]);
        trees.run(Aggregate::Max, 1, 3, &[0.0], &mut seen, &mut out);
        assert_eq!(out, [5.0, -1.0, 0.0]);
        let started = Trees { start: Some(&[0.5, 0.25, -1.0]), ..trees };
        started.run(Aggregate::Sum, 1, 3, &[0.0], &mut [], &mut out);
        assert_eq!(out, [8.5, -2.75, -1.0]);
    }

    #[test]
    fn a_reference_that_leads_backwards_ends_the_walk() {
        let trees = Trees::<f32, f32> {
            roots: &[0],
            splits: &[[word(0, Comparison::Less, false), 0, 0, 0]],
            sets: &[],
            thresholds: &[0.0],
            leaves: Leaves::Dense(&[1.0]),
            start: None,
        };
        let mut out = [7.0];
        trees.run(Aggregate::Sum, 1, 1, &[0.0], &mut [], &mut out);
        assert_eq!(out, [0.0]);
    }
}
