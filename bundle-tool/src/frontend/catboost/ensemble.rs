//! A CatBoost model as plain data, and what its parts have to be to belong together.

use std::collections::HashMap;

use crate::frontend::FrontendError;

/// The most columns of an input.
const MAX_FEATURES: usize = 1 << 20;

/// Where NaN of a feature goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NanTreatment {
    /// Below all borders: as a comparison with NaN is false, and `AsFalse`.
    Below,
    /// Above all borders: `AsTrue`.
    Above,
}

/// A column of numbers.
#[derive(Clone, Debug)]
pub(super) struct FloatFeature {
    /// Its number among the columns of numbers.
    pub(super) index: i32,
    /// Its number among all columns.
    pub(super) flat: i32,
    /// Its name, or "".
    pub(super) name: String,
    /// Rising borders; none where trees do not read it.
    pub(super) borders: Vec<f32>,
    /// Where NaN goes.
    pub(super) nan: NanTreatment,
}

/// A column of categories.
#[derive(Clone, Debug)]
pub(super) struct CatFeature {
    /// Its number among the columns of categories.
    pub(super) index: i32,
    /// Its number among all columns.
    pub(super) flat: i32,
    /// Its name, or "".
    pub(super) name: String,
}

/// Categories that trees ask for one by one.
#[derive(Clone, Debug)]
pub(super) struct OneHot {
    /// The column's number among those of categories.
    pub(super) cat: i32,
    /// Hashes of the categories.
    pub(super) values: Vec<i32>,
}

/// Features whose values are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Projection {
    /// Numbers of columns of categories.
    pub(super) cats: Vec<i32>,
    /// Numbers of columns of numbers, and the bits of the border that they are compared with.
    pub(super) floats: Vec<(i32, u32)>,
    /// Numbers of columns of categories, and the hash that they are compared with.
    pub(super) one_hots: Vec<(i32, i32)>,
}

/// What is counted of a combination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum CtrType {
    /// How many targets are above a border.
    Borders,
    /// How many targets are in a bucket.
    Buckets,
    /// The mean of targets in steps.
    BinarizedTargetMeanValue,
    /// The mean of targets.
    FloatTargetMeanValue,
    /// How often a combination occurs.
    Counter,
    /// The same, in training on other hardware.
    FeatureFreq,
}

impl CtrType {
    /// All, by their codes.
    pub(super) const ALL: [(Self, &'static str); 6] = [
        (Self::Borders, "Borders"),
        (Self::Buckets, "Buckets"),
        (Self::BinarizedTargetMeanValue, "BinarizedTargetMeanValue"),
        (Self::FloatTargetMeanValue, "FloatTargetMeanValue"),
        (Self::Counter, "Counter"),
        (Self::FeatureFreq, "FeatureFreq"),
    ];
}

/// What names a table of counts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct CtrBase {
    /// The features.
    pub(super) projection: Projection,
    /// What is counted.
    pub(super) kind: CtrType,
    /// Which borders of the target are meant.
    pub(super) classifier: i32,
}

/// A number made of counts.
#[derive(Clone, Debug)]
pub(super) struct Ctr {
    /// The table.
    pub(super) base: CtrBase,
    /// The border or bucket of the target.
    pub(super) target_border: i32,
    /// Numerator and denominator of the prior.
    pub(super) prior: [f32; 2],
    /// Added first.
    pub(super) shift: f32,
    /// Multiplied by then.
    pub(super) scale: f32,
    /// Rising borders.
    pub(super) borders: Vec<f32>,
}

impl Ctr {
    /// The number for a count among a total, in float32 as CatBoost computes it.
    pub(super) fn value(&self, count: f32, total: f32) -> f32 {
        let ctr = (count + self.prior[0]) / (total + self.prior[1]);
        (ctr + self.shift) * self.scale
    }
}

/// Counts by combination.
#[derive(Clone, Debug, Default)]
pub(super) struct CtrTable {
    /// For each hash of a combination, its place among the counts.
    pub(super) places: HashMap<u64, u32>,
    /// Counts, or pairs of a sum (bits of an f32) and a count.
    pub(super) counts: Vec<i32>,
    /// The total of a counter.
    pub(super) denominator: i32,
    /// Counts of each combination.
    pub(super) classes: usize,
}

/// A question: whether a source's value is above its border number `border`, or is its category number `border`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Split {
    /// The source's number: columns of numbers with borders, then one-hot columns, then statistics.
    pub(super) source: usize,
    /// Number of the border or category.
    pub(super) border: usize,
}

/// A node of a tree that is not oblivious.
#[derive(Clone, Copy, Debug)]
pub(super) enum Node {
    /// A question, and the nodes where the answer is yes and where it is no.
    Split(Split, usize, usize),
    /// The first of a leaf's values.
    Leaf(usize),
}

/// The trees.
#[derive(Clone, Debug)]
pub(super) enum Trees {
    /// One question for all nodes of a depth: the questions of each tree. Leaves follow each other, the first question decides the lowest bit of a
    /// leaf's number.
    Oblivious(Vec<Vec<Split>>),
    /// Nodes of each tree; the first one is the root.
    Free(Vec<Vec<Node>>),
}

/// A model.
#[derive(Clone, Debug)]
pub(super) struct Ensemble {
    /// Columns of numbers.
    pub(super) floats: Vec<FloatFeature>,
    /// Columns of categories.
    pub(super) cats: Vec<CatFeature>,
    /// Categories that trees ask for.
    pub(super) one_hots: Vec<OneHot>,
    /// Statistics that trees ask for.
    pub(super) ctrs: Vec<Ctr>,
    /// Counts.
    pub(super) tables: HashMap<CtrBase, CtrTable>,
    /// The trees.
    pub(super) trees: Trees,
    /// Values of leaves, `dimension` for each.
    pub(super) leaves: Vec<f64>,
    /// Values that the model gives for a row, before any link.
    pub(super) dimension: usize,
    /// What the trees' sum is multiplied by.
    pub(super) scale: f64,
    /// What is added then, one number for each value.
    pub(super) bias: Vec<f64>,
    /// What the file says about itself, by key; structured values as JSON.
    pub(super) info: HashMap<String, String>,
}

/// What trees can ask: borders or categories of each source.
pub(super) struct Questions {
    counts: Vec<usize>,
    starts: Vec<usize>,
}

impl Questions {
    /// The questions about these sources.
    pub(super) fn new(floats: &[FloatFeature], one_hots: &[OneHot], ctrs: &[Ctr]) -> Self {
        let floats = floats.iter().map(|feature| feature.borders.len()).filter(|&count| count > 0);
        let one_hots = one_hots.iter().map(|one_hot| one_hot.values.len());
        let counts: Vec<_> = floats.chain(one_hots).chain(ctrs.iter().map(|ctr| ctr.borders.len())).collect();
        let mut next = 0;
        let mut starts = Vec::with_capacity(counts.len());
        for &count in &counts {
            starts.push(next);
            next += count;
        }
        Self { counts, starts }
    }

    /// The question that a file numbers `index`.
    pub(super) fn get(&self, index: i64) -> Result<Split, FrontendError> {
        let found = usize::try_from(index).ok().and_then(|index| {
            let source = self.starts.partition_point(|&start| start <= index).checked_sub(1)?;
            let border = index - self.starts[source];
            (border < self.counts[source]).then_some(Split { source, border })
        });
        found.ok_or_else(|| {
            FrontendError::malformed("trees", format!("a split asks question {index}, which is not there"))
        })
    }
}

impl Ensemble {
    /// Number of columns of the input, and for each the name and whether it holds categories.
    ///
    /// # Errors
    /// When two features are in one column, or there are too many.
    pub(super) fn columns(&self) -> Result<Vec<(String, bool)>, FrontendError> {
        let floats = self.floats.iter().map(|feature| (feature.flat, &feature.name, false));
        let cats = self.cats.iter().map(|feature| (feature.flat, &feature.name, true));
        let all: Vec<_> = floats.chain(cats).collect();
        let count = all.iter().map(|&(flat, ..)| i64::from(flat) + 1).max().unwrap_or(0);
        let count = usize::try_from(count).ok().filter(|&count| count > 0 && count <= MAX_FEATURES);
        let count = count.ok_or_else(|| FrontendError::malformed("features", "no features, or too many"))?;
        let mut columns: Vec<Option<(String, bool)>> = vec![None; count];
        for (flat, name, is_category) in all {
            let name = if name.is_empty() { flat.to_string() } else { name.clone() };
            match usize::try_from(flat).ok().and_then(|flat| columns.get_mut(flat)) {
                Some(column @ None) => *column = Some((name, is_category)),
                _ => return Err(FrontendError::malformed("features", format!("column {flat} of {name} is taken"))),
            }
        }
        let named = columns.into_iter().enumerate();
        Ok(named.map(|(flat, column)| column.unwrap_or_else(|| (flat.to_string(), false))).collect())
    }

    /// Checks what both formats have in common.
    pub(super) fn check(self) -> Result<Self, FrontendError> {
        let damaged = |path: &str, reason: String| Err(FrontendError::malformed(path, reason));
        let rising = |borders: &[f32]| borders.windows(2).all(|pair| pair[0] < pair[1]);
        if let Some(feature) = self.floats.iter().find(|feature| !rising(&feature.borders)) {
            return damaged("features", format!("borders of column {} do not rise", feature.flat));
        }
        if self.ctrs.iter().any(|ctr| !rising(&ctr.borders)) {
            return damaged("statistics", "borders do not rise".to_owned());
        }
        if self.dimension == 0 || self.bias.len() != self.dimension {
            return damaged("bias", format!("{} numbers for {} values", self.bias.len(), self.dimension));
        }
        let leaves = self.leaves.len();
        match &self.trees {
            Trees::Oblivious(trees) => {
                let count =
                    |splits: &Vec<Split>| 1_usize.checked_shl(splits.len() as u32).filter(|_| splits.len() <= 16);
                let needed = trees.iter().try_fold(0_usize, |sum, splits| sum.checked_add(count(splits)?));
                if needed.and_then(|needed| needed.checked_mul(self.dimension)) != Some(leaves) {
                    return damaged(
                        "trees",
                        format!("{leaves} values of leaves, trees of up to 16 splits need others"),
                    );
                }
            }
            Trees::Free(trees) => {
                let fits = |&first: &usize| first.checked_add(self.dimension).is_some_and(|end| end <= leaves);
                let leaf = |node: &Node| if let Node::Leaf(first) = node { Some(*first) } else { None };
                if !trees.iter().flatten().filter_map(leaf).all(|first| fits(&first)) {
                    return damaged("trees", format!("a leaf's values are not among {leaves}"));
                }
            }
        }
        Ok(self)
    }
}
