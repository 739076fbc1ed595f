//! Decisions as ranks: which columns a forest's splits need, and which column and rank each split asks.

use std::collections::{BTreeMap, HashMap};

use ekiben_runtime::ops::forest::{Feature, GroupKind, GroupWord};

use super::{Comparison, Forest, Node, StoredSplit, StoredTest};

/// Most words of a set: categories up to 2^24.
pub(super) const MAX_SET_WORDS: usize = 1 << 19;

/// A group of columns as it is collected; sets of very different sizes are apart, so that small ones do not take the room of large ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct GroupId {
    word: GroupWord,
    size: usize,
}

/// A column of a set: the set's number, what holds outside of it, whether NaN is in.
type SetColumn = (usize, bool, bool);

/// What a split asks: the group, and which of its keys or columns.
#[derive(Clone, Copy, Debug)]
enum Question<K> {
    Key(GroupId, K),
    Set(GroupId, SetColumn),
}

/// A split's question, and whether it goes right where the test holds.
#[derive(Clone, Copy, Debug)]
struct Asked<K> {
    question: Question<K>,
    true_is_right: bool,
}

/// The column and rank of a split: right where `column >= rank`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) column: u32,
    pub(super) rank: u32,
    /// Whether right is where the test holds.
    pub(super) true_is_right: bool,
}

/// The columns of a forest for features of one type.
#[derive(Debug)]
pub(super) struct ColumnTable<K> {
    keys: BTreeMap<GroupId, Vec<K>>,
    sets: BTreeMap<GroupId, Vec<SetColumn>>,
    firsts: HashMap<GroupId, u32>,
    largest_rank: u32,
    /// Number of columns.
    pub(super) count: u32,
}

/// The tables that the operator reads.
#[derive(Debug)]
pub(super) struct Tables<K> {
    pub(super) groups: Vec<u32>,
    pub(super) keys: Vec<K>,
    pub(super) sets: Vec<u8>,
}

/// A type of features, into which thresholds are narrowed with every decision kept.
pub(super) trait Threshold: Feature {
    /// The threshold that decides about every feature as the wide one does.
    fn narrowed(comparison: Comparison, threshold: f64) -> Self;
    /// The key before another.
    fn before(key: Self::Key) -> Self::Key;
}

impl Threshold for f64 {
    fn narrowed(_comparison: Comparison, threshold: f64) -> Self {
        threshold
    }

    fn before(key: i64) -> i64 {
        key.saturating_sub(1)
    }
}

impl Threshold for f32 {
    fn narrowed(comparison: Comparison, threshold: f64) -> Self {
        let nearest = threshold as f32;
        let exact = f64::from(nearest);
        match comparison {
            Comparison::LessOrEqual | Comparison::Greater if exact > threshold => nearest.next_down(),
            Comparison::Less | Comparison::GreaterOrEqual if exact < threshold => nearest.next_up(),
            Comparison::Equal | Comparison::NotEqual if exact != threshold => f32::NAN,
            _ => nearest,
        }
    }

    fn before(key: i32) -> i32 {
        key.saturating_sub(1)
    }
}

/// What a split asks of features of type `F`.
fn asked<F: Threshold>(forest: &Forest, split: &StoredSplit) -> Asked<F::Key> {
    let group = |kind, true_is_right: bool, fractions, size| {
        let nan_is_right = kind != GroupKind::Sets && split.nan_is_true == true_is_right;
        let (feature, zero_is_missing) = (split.feature, split.zero_is_missing);
        GroupId { word: GroupWord { feature, kind, nan_is_right, zero_is_missing, fractions }, size }
    };
    let (comparison, threshold) = match split.test {
        StoredTest::Compare { comparison, threshold } => (comparison, threshold),
        StoredTest::Member { set, outside, fractions } => {
            let size = forest.sets[set].len().next_power_of_two();
            let group = group(GroupKind::Sets, true, fractions, size);
            return Asked { question: Question::Set(group, (set, outside, split.nan_is_true)), true_is_right: true };
        }
    };
    // A rank above a key is: the feature is greater than the key. Less and not less are about the key before.
    let key = F::narrowed(comparison, threshold).key();
    let (kind, key, true_is_right) = match comparison {
        Comparison::LessOrEqual => (GroupKind::Ranks, key.unwrap_or(F::LEAST), false),
        Comparison::Less => (GroupKind::Ranks, key.map_or(F::LEAST, F::before), false),
        Comparison::Greater => (GroupKind::Ranks, key.unwrap_or(F::MOST), true),
        Comparison::GreaterOrEqual => (GroupKind::Ranks, key.map_or(F::MOST, F::before), true),
        Comparison::Equal | Comparison::NotEqual => match key {
            Some(key) => (GroupKind::Equal, key, comparison == Comparison::Equal),
            None => (GroupKind::Ranks, F::MOST, comparison == Comparison::Equal),
        },
    };
    Asked { question: Question::Key(group(kind, true_is_right, false, 0), key), true_is_right }
}

impl<K: Ord + Copy> ColumnTable<K> {
    /// The columns that a forest's splits need, where ranks go up to `largest_rank`.
    pub(super) fn of<F: Threshold<Key = K>>(forest: &Forest, largest_rank: u32) -> Self {
        let (mut keys, mut sets) = (BTreeMap::<_, Vec<K>>::new(), BTreeMap::<_, Vec<SetColumn>>::new());
        for node in forest.trees.iter().flat_map(|tree| &tree.nodes) {
            let Node::Split(split) = node else { continue };
            match asked::<F>(forest, split).question {
                Question::Key(group, key) => keys.entry(group).or_default().push(key),
                Question::Set(group, column) => sets.entry(group).or_default().push(column),
            }
        }
        keys.values_mut().for_each(sort);
        sets.values_mut().for_each(sort);
        let mut table = Self { keys, sets, firsts: HashMap::new(), largest_rank, count: 0 };
        let widths: Vec<_> = table.groups().map(|(id, _)| (id, table.width(id))).collect();
        for (id, width) in widths {
            table.firsts.insert(id, table.count);
            table.count = table.count.saturating_add(width);
        }
        table
    }

    /// All groups in their order, with the number of their keys or sets.
    fn groups(&self) -> impl Iterator<Item = (GroupId, usize)> {
        let keys = self.keys.iter().map(|(id, keys)| (*id, keys.len()));
        keys.chain(self.sets.iter().map(|(id, sets)| (*id, sets.len())))
    }

    /// Columns of a group.
    fn width(&self, id: GroupId) -> u32 {
        let count = match id.word.kind {
            GroupKind::Sets => self.sets[&id].len(),
            GroupKind::Equal => self.keys[&id].len(),
            GroupKind::Ranks => self.keys[&id].len().div_ceil(self.largest_rank as usize),
        };
        count as u32
    }

    /// Where a split finds its answer.
    pub(super) fn place<F: Threshold<Key = K>>(&self, forest: &Forest, split: &StoredSplit) -> Place {
        let Asked { question, true_is_right } = asked::<F>(forest, split);
        let (first, at, largest) = match question {
            Question::Key(id, key) => {
                let at = self.keys[&id].binary_search(&key).unwrap_or_default() as u32;
                (self.firsts[&id], at, if id.word.kind == GroupKind::Equal { 1 } else { self.largest_rank })
            }
            Question::Set(id, column) => {
                (self.firsts[&id], self.sets[&id].binary_search(&column).unwrap_or_default() as u32, 1)
            }
        };
        Place { column: first + at / largest, rank: at % largest + 1, true_is_right }
    }

    /// The tables; `None` when they are too large for one.
    pub(super) fn tables(&self, forest: &Forest) -> Option<Tables<K>> {
        let mut tables = Tables { groups: Vec::new(), keys: Vec::new(), sets: Vec::new() };
        for (id, count) in self.groups() {
            let width = self.width(id);
            let (first, count) = match id.word.kind {
                GroupKind::Sets => {
                    let columns = &self.sets[&id];
                    let categories = columns.iter().map(|column| forest.sets[column.0].len() * 32).max().unwrap_or(0);
                    let first = tables.sets.len();
                    let row = columns.len().div_ceil(8);
                    u32::try_from(first.checked_add((categories + 2).checked_mul(row)?)?).ok()?;
                    for category in 0..categories + 2 {
                        push_bits(&mut tables.sets, columns, |&(set, outside, nan)| {
                            let set = &forest.sets[set];
                            match (category.checked_sub(categories), set.get(category / 32)) {
                                (Some(1), _) => nan,
                                (None, Some(word)) => word >> (category % 32) & 1 == 1,
                                _ => outside,
                            }
                        });
                    }
                    (first, categories)
                }
                GroupKind::Ranks | GroupKind::Equal => {
                    tables.keys.extend_from_slice(&self.keys[&id]);
                    (tables.keys.len() - count, count)
                }
            };
            tables.groups.extend([id.word.pack()?, u32::try_from(first).ok()?, u32::try_from(count).ok()?, width]);
        }
        Some(tables)
    }
}

fn sort<T: Ord>(values: &mut Vec<T>) {
    values.sort_unstable();
    values.dedup();
}

/// Appends a bit for each column, eight to a byte, the earliest one in the lowest bit.
fn push_bits(bytes: &mut Vec<u8>, columns: &[SetColumn], bit: impl Fn(&SetColumn) -> bool) {
    for columns in columns.chunks(8) {
        bytes.push(columns.iter().enumerate().fold(0, |byte, (at, column)| byte | u8::from(bit(column)) << at));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn narrowed_thresholds_decide_as_the_wide_ones() {
        let mut thresholds = vec![0.0, -0.0, 0.1, -0.1, 1e-50, -1e-50, 1e300, -1e300, f64::INFINITY, f64::NEG_INFINITY];
        thresholds.extend([16_777_217.0, f64::NAN, 1.0, 0.3f32 as f64]);
        let mut values = vec![f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, f32::NAN, 0.0, -0.0];
        for &threshold in &thresholds {
            let nearest = threshold as f32;
            values.extend([nearest, nearest.next_up(), nearest.next_down()]);
        }
        for &threshold in &thresholds {
            for &x in &values {
                let wide = f64::from(x);
                for (comparison, expected) in [
                    (Comparison::LessOrEqual, wide <= threshold),
                    (Comparison::Less, wide < threshold),
                    (Comparison::GreaterOrEqual, wide >= threshold),
                    (Comparison::Greater, wide > threshold),
                    (Comparison::Equal, wide == threshold),
                    (Comparison::NotEqual, wide != threshold),
                ] {
                    let t = <f32 as Threshold>::narrowed(comparison, threshold);
                    let got = match comparison {
                        Comparison::LessOrEqual => x <= t,
                        Comparison::Less => x < t,
                        Comparison::GreaterOrEqual => x >= t,
                        Comparison::Greater => x > t,
                        Comparison::Equal => x == t,
                        Comparison::NotEqual => x != t,
                    };
                    assert_eq!(got, expected, "{x:e} {comparison:?} {threshold:e}");
                }
            }
        }
    }
}
