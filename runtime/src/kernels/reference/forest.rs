//! Forests of decision trees over ranks.
//!
//! A forest asks few questions of a feature, over and over. So a row is first turned into *columns*: for a feature and its thresholds, how
//! many of them are below the value; for a feature and sets of categories, one column per set that is 1 where the category is in.
//! Every decision is then `column >= rank` between small integers, whatever the source compared, and a node takes four or eight bytes.
//! Decisions are those of the source to the bit: thresholds are kept in the feature's own type, as integers of the same order.
//!
//! A tree's splits are stored in preorder, and its leaves are numbered from left to right. A split that has `k` leaves to its left has
//! `k - 1` splits there, so its right child is `k` splits further on and `k` leaves further right.

use bytemuck::Pod;

use super::float::Float;
use crate::tensor::Element;

/// The most that a value can differ from 0 and count as missing where zeros are: LightGBM's `kZeroThreshold`.
pub const ZERO_THRESHOLD: f64 = 1e-35f32 as f64;

/// A feature's type, whose values have keys: integers of the same order.
pub trait Feature: Float {
    /// The integers.
    type Key: Element + Ord + core::fmt::Debug;
    /// A key below those of all values.
    const LEAST: Self::Key;
    /// A key above those of all values.
    const MOST: Self::Key;
    /// The key of a value, the same for 0 and -0; `None` for NaN.
    fn key(self) -> Option<Self::Key>;
    /// The category that a value that is not NaN belongs to: its integer part, unless that is below 0.
    fn category(self, fractions: bool) -> Option<u32>;
    /// True for values no further than [`ZERO_THRESHOLD`] from 0.
    fn is_zero(self) -> bool;
}

macro_rules! feature {
    ($float:ty, $int:ty) => {
        impl Feature for $float {
            type Key = $int;
            const LEAST: $int = <$int>::MIN;
            const MOST: $int = <$int>::MAX;

            #[inline(always)]
            fn key(self) -> Option<$int> {
                let bits = self.to_bits() as $int;
                let magnitude = bits & <$int>::MAX;
                if magnitude > <$float>::INFINITY.to_bits() as $int {
                    return None;
                }
                // The magnitude of a negative value counts downwards from -1, and -0 is 0.
                Some(if bits < 0 { -magnitude } else { bits })
            }

            #[inline(always)]
            fn category(self, fractions: bool) -> Option<u32> {
                // The conversion cuts fractions off and saturates.
                let inside = if fractions { self > -1.0 } else { self >= 0.0 };
                inside.then_some(self as u32)
            }

            #[inline(always)]
            fn is_zero(self) -> bool {
                // Compared as integers: the same whatever a processor does to denormals.
                (self.to_bits() << 1) <= ((ZERO_THRESHOLD as $float).to_bits() << 1)
            }
        }
    };
}

feature!(f32, i32);
feature!(f64, i64);

/// A column's type.
pub trait Rank: Copy + Ord + Default {
    /// The largest rank.
    const MAX: u32;
    /// The rank, at most [`Self::MAX`].
    fn new(rank: u32) -> Self;
}

impl Rank for u8 {
    const MAX: u32 = u8::MAX as u32;
    fn new(rank: u32) -> Self {
        rank as u8
    }
}

impl Rank for u16 {
    const MAX: u32 = u16::MAX as u32;
    fn new(rank: u32) -> Self {
        rank as u16
    }
}

/// A split: to the right where `column >= rank`.
pub trait Node: Element {
    /// Type of the columns.
    type Rank: Rank + Pod;
    /// Index of the column.
    fn column(self) -> usize;
    /// The smallest rank that goes right.
    fn rank(self) -> Self::Rank;
    /// Leaves to the left, 1 at least.
    fn left_leaves(self) -> u32;
    /// Whether the leaf to the right that a node names is one of a tree of `splits` splits.
    fn ends_within(self, splits: usize) -> bool;
    /// The nodes, if they are narrow.
    fn narrow(nodes: &[Self]) -> Option<&[u32]>;
}

/// Four bytes for up to 256 columns and trees of up to [`NARROW_LEAVES`] leaves: column, rank, the tree's first leaf below the split, the
/// first leaf to its right.
impl Node for u32 {
    type Rank = u8;
    #[inline(always)]
    fn column(self) -> usize {
        (self & 0xff) as usize
    }
    #[inline(always)]
    fn rank(self) -> u8 {
        (self >> 8) as u8
    }
    #[inline(always)]
    fn left_leaves(self) -> u32 {
        (self >> 24).wrapping_sub(self >> 16 & 0xff)
    }
    fn ends_within(self, splits: usize) -> bool {
        (self >> 24) as usize <= splits && self >> 24 > self >> 16 & 0xff
    }
    fn narrow(nodes: &[Self]) -> Option<&[u32]> {
        Some(nodes)
    }
}

/// Eight bytes: column in bits 0 to 23, rank in 24 to 39, leaves to the left in 40 to 63.
impl Node for u64 {
    type Rank = u16;
    #[inline(always)]
    fn column(self) -> usize {
        (self & 0xff_ffff) as usize
    }
    #[inline(always)]
    fn rank(self) -> u16 {
        (self >> 24) as u16
    }
    #[inline(always)]
    fn left_leaves(self) -> u32 {
        (self >> 40) as u32
    }
    fn ends_within(self, _splits: usize) -> bool {
        true
    }
    fn narrow(_nodes: &[Self]) -> Option<&[u32]> {
        None
    }
}

/// Most leaves of a tree of narrow nodes; 255 is no leaf, which blocks of rows make use of.
pub const NARROW_LEAVES: usize = 255;

/// What a group of columns is made of. The discriminant is the code in an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum GroupKind {
    /// The number of keys below the value, in as many columns as it takes: the `j`th has what is above `j` times the largest rank.
    Ranks = 0,
    /// One column for each set, 1 where the value's category is in.
    Sets = 1,
    /// One column for each key, 1 where it is the value's.
    Equal = 2,
}

/// The first word of a group: feature in bits 0 to 23, kind in 24 and 25, flags in 26 to 28, zeros above.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupWord {
    /// Index of the feature, below 2^24.
    pub feature: u32,
    /// What the columns hold.
    pub kind: GroupKind,
    /// Whether NaN goes right everywhere; for ranks and keys.
    pub nan_is_right: bool,
    /// Whether values that [`Feature::is_zero`] are missing as NaN is.
    pub zero_is_missing: bool,
    /// Whether values between -1 and 0 are of category 0; for sets.
    pub fractions: bool,
}

impl GroupWord {
    /// One more than the largest index of a feature.
    pub const MAX_FEATURES: u32 = 1 << 24;

    /// The word; `None` when the feature does not fit.
    pub fn pack(self) -> Option<u32> {
        let flag = |set: bool, bit: u32| u32::from(set) << bit;
        let flags = flag(self.nan_is_right, 26) | flag(self.zero_is_missing, 27) | flag(self.fractions, 28);
        (self.feature < Self::MAX_FEATURES).then_some(self.feature | (self.kind as u32) << 24 | flags)
    }

    /// The parts; `None` for an undefined kind or undefined bits.
    pub fn unpack(word: u32) -> Option<Self> {
        let kind = match word >> 24 & 3 {
            0 => GroupKind::Ranks,
            1 => GroupKind::Sets,
            2 => GroupKind::Equal,
            _ => return None,
        };
        let flag = |bit: u32| word >> bit & 1 == 1;
        let feature = word & (Self::MAX_FEATURES - 1);
        let parts = Self { feature, kind, nan_is_right: flag(26), zero_is_missing: flag(27), fractions: flag(28) };
        (parts.pack() == Some(word)).then_some(parts)
    }
}

/// How rows become columns.
#[derive(Clone, Copy, Debug)]
pub struct Columns<'a, F: Feature> {
    /// For each group of columns: [`GroupWord`], first key (ranks, keys) or first byte (sets), number of keys or categories, number of
    /// columns.
    pub groups: &'a [[u32; 4]],
    /// Keys, rising within a group.
    pub keys: &'a [F::Key],
    /// For a group of sets and each of its categories, then for values of no category, then for missing ones: a bit for each column.
    pub sets: &'a [u8],
    /// Columns of all groups.
    pub count: usize,
}

/// Number of keys below `key`, where keys rise; some number up to theirs where they do not.
#[inline(always)]
pub(crate) fn rank_among<K: Ord + Copy>(keys: &[K], key: K) -> usize {
    let below = |at: usize| keys.get(at).is_some_and(|&other| other < key);
    let (mut base, mut left) = (0, keys.len());
    while left > 1 {
        let half = left / 2;
        base = core::hint::select_unpredictable(below(base + half), base + half, base);
        left -= half;
    }
    base + usize::from(below(base))
}

impl<'a, F: Feature> Columns<'a, F> {
    /// The keys of a group.
    pub(crate) fn keys_of(&self, group: &[u32; 4]) -> &'a [F::Key] {
        let first = group[1] as usize;
        self.keys.get(first..first.saturating_add(group[2] as usize)).unwrap_or_default()
    }

    /// The bits of a group's columns for a value.
    pub(crate) fn set_bits(&self, word: GroupWord, group: &[u32; 4], x: F) -> &'a [u8] {
        let [_, first, categories, columns] = *group;
        let missing = x.is_nan() || (word.zero_is_missing && x.is_zero());
        let row = match x.category(word.fractions) {
            _ if missing => categories.saturating_add(1),
            Some(category) => category.min(categories),
            None => categories,
        };
        let width = columns.div_ceil(8) as usize;
        let start = (row as usize).saturating_mul(width).saturating_add(first as usize);
        self.sets.get(start..start.saturating_add(width)).unwrap_or_default()
    }

    /// The key of a value, unless it is missing.
    #[inline(always)]
    pub(crate) fn present_key(word: GroupWord, x: F) -> Option<F::Key> {
        if word.zero_is_missing && x.is_zero() { None } else { x.key() }
    }

    /// The columns of one row.
    #[inline(never)] // once for all types of nodes and values: flash is short where this is called
    pub fn fill<R: Rank>(&self, row: &[F], columns: &mut [R]) {
        self.fill_with(row, columns, rank_among);
    }

    /// [`Self::fill`] with a way to find ranks: as [`rank_among`] where keys rise.
    #[inline(always)]
    pub(crate) fn fill_with<R: Rank>(
        &self,
        row: &[F],
        mut columns: &mut [R],
        rank_among: impl Fn(&[F::Key], F::Key) -> usize,
    ) {
        for group in self.groups {
            let Some((out, rest)) = core::mem::take(&mut columns).split_at_mut_checked(group[3] as usize) else {
                return;
            };
            columns = rest;
            let Some(word) = GroupWord::unpack(group[0]) else { continue };
            let Some(&x) = row.get(word.feature as usize) else { continue };
            match word.kind {
                GroupKind::Ranks => {
                    let keys = self.keys_of(group);
                    let rank = match Self::present_key(word, x) {
                        Some(key) => rank_among(keys, key),
                        None if word.nan_is_right => keys.len(),
                        None => 0,
                    };
                    let mut left = rank as u32;
                    for out in out {
                        let here = left.min(R::MAX);
                        *out = R::new(here);
                        left -= here;
                    }
                }
                GroupKind::Sets => {
                    let bits = self.set_bits(word, group, x);
                    for (at, out) in out.iter_mut().enumerate() {
                        let byte = bits.get(at / 8).copied().unwrap_or(0);
                        *out = R::new(u32::from(byte >> (at % 8) & 1));
                    }
                }
                GroupKind::Equal => {
                    let key = Self::present_key(word, x);
                    out.fill(R::new(u32::from(key.is_none() && word.nan_is_right)));
                    let found = key.and_then(|key| self.keys_of(group).binary_search(&key).ok());
                    if let Some(out) = found.and_then(|at| out.get_mut(at)) {
                        *out = R::new(1);
                    }
                }
            }
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
    /// Every tree's by itself: a target for each tree.
    Each = 3,
}

impl Aggregate {
    const ALL: [Self; 4] = [Self::Sum, Self::Min, Self::Max, Self::Each];

    /// Code in an artifact.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The aggregate with this code.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

/// What the leaves hold; leaves are numbered through all trees.
#[derive(Clone, Copy, Debug)]
pub enum Leaves<'a, V> {
    /// One value for each leaf.
    Single {
        /// The values.
        values: &'a [V],
        /// Target of each tree; 0 when absent.
        targets: Option<&'a [u32]>,
    },
    /// Rows of one value per target.
    Dense {
        /// The rows.
        values: &'a [V],
        /// Row of each leaf; its own number when absent.
        rows: Option<&'a [u16]>,
    },
    /// Rows of values for some targets: row `i` has the pairs `starts[i]..starts[i + 1]`.
    Sparse {
        /// First pair of each row, and the number of pairs at the end.
        starts: &'a [u32],
        /// Target of each pair.
        targets: &'a [u32],
        /// Value of each pair.
        values: &'a [V],
        /// Row of each leaf; its own number when absent.
        rows: Option<&'a [u16]>,
    },
}

/// Row of a leaf.
#[inline(always)]
fn row_of(rows: Option<&[u16]>, leaf: usize) -> Option<usize> {
    match rows {
        Some(rows) => rows.get(leaf).map(|&row| row.into()),
        None => Some(leaf),
    }
}

impl<V: Copy> Leaves<'_, V> {
    /// Calls `visit` with each target and value of a leaf of a tree.
    #[inline(always)]
    fn visit(&self, tree: usize, leaf: usize, targets: usize, mut visit: impl FnMut(usize, V)) {
        match *self {
            Self::Single { values, targets } => {
                let target = targets.map_or(Some(0), |targets| targets.get(tree).copied());
                if let (Some(&value), Some(target)) = (values.get(leaf), target) {
                    visit(target as usize, value);
                }
            }
            Self::Dense { values, rows } => {
                let Some(start) = row_of(rows, leaf).and_then(|row| row.checked_mul(targets)) else { return };
                let values = values.get(start..start.saturating_add(targets)).unwrap_or_default();
                for (target, &value) in values.iter().enumerate() {
                    visit(target, value);
                }
            }
            Self::Sparse { starts, targets, values, rows } => {
                let Some(row) = row_of(rows, leaf) else { return };
                let (Some(&start), Some(&end)) = (starts.get(row), starts.get(row.saturating_add(1))) else { return };
                let range = start as usize..end as usize;
                let pairs = targets.get(range.clone()).unwrap_or_default().iter();
                for (&target, &value) in pairs.zip(values.get(range).unwrap_or_default()) {
                    visit(target as usize, value);
                }
            }
        }
    }
}

/// The type of leaves' values.
pub trait Value: Element + PartialOrd + Default {
    /// The sum.
    fn plus(self, other: Self) -> Self;
}

impl Value for f32 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

impl Value for f64 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self + other
    }
}

impl Value for i32 {
    #[inline(always)]
    fn plus(self, other: Self) -> Self {
        self.wrapping_add(other)
    }
}

/// What becomes of the leaves that a row reaches.
#[derive(Clone, Copy, Debug)]
pub struct Combination<'a, V> {
    /// What the leaves hold.
    pub leaves: Leaves<'a, V>,
    /// How trees are combined.
    pub aggregate: Aggregate,
    /// Start values of a sum, one per target.
    pub start: Option<&'a [V]>,
    /// Values per row.
    pub targets: usize,
}

impl<V: Value> Combination<'_, V> {
    /// Gives a row's values what they start from.
    #[inline(never)]
    pub(crate) fn begin(&self, out: &mut [V]) {
        out.fill(V::default());
        for (out, &start) in out.iter_mut().zip(self.start.unwrap_or_default()) {
            *out = start;
        }
    }

    /// Adds the value of a leaf of a tree; `seen` has a byte per target for minimum and maximum.
    #[inline(always)]
    pub(crate) fn add(&self, tree: usize, leaf: usize, seen: &mut [u8], out: &mut [V]) {
        if let (Aggregate::Sum, Leaves::Dense { values, rows }) = (self.aggregate, self.leaves) {
            let start = row_of(rows, leaf).and_then(|row| row.checked_mul(self.targets));
            let values = start.and_then(|start| values.get(start..start.checked_add(self.targets)?));
            for (out, &value) in out.iter_mut().zip(values.unwrap_or_default()) {
                *out = out.plus(value);
            }
        } else {
            self.add_by_target(tree, leaf, seen, out);
        }
    }

    /// [`Self::add`], once for all types of features and nodes.
    #[inline(never)]
    fn add_shared(&self, tree: usize, leaf: usize, seen: &mut [u8], out: &mut [V]) {
        self.add(tree, leaf, seen, out);
    }

    /// [`Self::add`], value by value.
    #[inline(never)]
    fn add_by_target(&self, tree: usize, leaf: usize, seen: &mut [u8], out: &mut [V]) {
        self.leaves.visit(tree, leaf, self.targets, |target, value| {
            let target = if self.aggregate == Aggregate::Each { tree } else { target };
            let Some(out) = out.get_mut(target) else { return };
            let mut first = || seen.get_mut(target).is_some_and(|seen| core::mem::replace(seen, 1) == 0);
            match self.aggregate {
                Aggregate::Sum => *out = out.plus(value),
                Aggregate::Each => *out = value,
                Aggregate::Min if first() || value < *out => *out = value,
                Aggregate::Max if first() || value > *out => *out = value,
                Aggregate::Min | Aggregate::Max => {}
            }
        });
    }
}

/// Trees in tables.
#[derive(Clone, Copy, Debug)]
pub struct Trees<'a, N> {
    /// First split of each tree, and the number of splits at the end. A tree has one more leaf than splits.
    pub starts: &'a [u32],
    /// Splits of all trees.
    pub nodes: &'a [N],
}

impl<'a, N> Trees<'a, N> {
    /// Number of trees.
    pub fn len(&self) -> usize {
        self.starts.len().saturating_sub(1)
    }

    /// True when there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Position of a tree's first split among all.
    #[inline(always)]
    pub(crate) fn start(&self, tree: usize) -> usize {
        self.starts.get(tree).map_or(0, |&split| split as usize)
    }

    /// The splits of a tree.
    #[inline(always)]
    pub(crate) fn splits(&self, tree: usize) -> &'a [N] {
        self.nodes.get(self.start(tree)..self.start(tree + 1)).unwrap_or_default()
    }

    /// Number of a tree's first leaf among those of all trees.
    #[inline(always)]
    pub(crate) fn first_leaf(&self, tree: usize) -> usize {
        self.start(tree) + tree
    }
}

/// A forest in tables.
#[derive(Clone, Copy, Debug)]
pub struct Forest<'a, F: Feature, N, V> {
    /// How rows become columns.
    pub columns: Columns<'a, F>,
    /// The trees.
    pub trees: Trees<'a, N>,
    /// What their leaves become.
    pub combination: Combination<'a, V>,
}

impl<F: Feature, N: Node, V: Value> Forest<'_, F, N, V> {
    /// `out[row, target]`: rows of `features` values in `x`. `columns` has room for those of one row; `seen` holds a byte per target for
    /// minimum and maximum.
    pub fn run(&self, features: usize, x: &[F], columns: &mut [N::Rank], seen: &mut [u8], out: &mut [V]) {
        let targets = self.combination.targets;
        for (row, out) in x.chunks_exact(features.max(1)).zip(out.chunks_exact_mut(targets.max(1))) {
            self.columns.fill(row, columns);
            self.combination.begin(out);
            seen.fill(0);
            for tree in 0..self.trees.len() {
                if let Some(leaf) = walk(self.trees.splits(tree), columns) {
                    self.combination.add_shared(tree, self.trees.first_leaf(tree) + leaf, seen, out);
                }
            }
        }
    }
}

/// The leaf of a tree that a row's columns lead to; `None` where splits are no tree in preorder and lead out of it.
#[inline(never)]
pub fn walk<N: Node>(nodes: &[N], columns: &[N::Rank]) -> Option<usize> {
    let (mut at, mut leaf, mut leaves) = (0, 0, nodes.len() + 1);
    while leaves > 1 {
        let node = *nodes.get(at)?;
        let left = node.left_leaves() as usize;
        if *columns.get(node.column())? >= node.rank() {
            at += left;
            leaf += left;
            leaves = leaves.wrapping_sub(left);
        } else {
            at += 1;
            leaves = left;
        }
    }
    Some(leaf)
}
