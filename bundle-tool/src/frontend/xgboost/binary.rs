//! The binary format of xgboost before 2.2 (`.model`), little-endian, with or without the four letters `binf` in front.
//!
//! | part | content |
//! |---|---|
//! | parameters | 136 bytes: base score f32, features u32, classes i32, attributes follow i32, metrics follow i32, version u32 u32 (since 1.0), targets u32 (since 1.6) |
//! | objective, booster | texts: u64 length, bytes |
//! | `gbtree` | 160 bytes: trees i32, …, groups i32 at 24; then the trees; then a group i32 for each |
//! | a tree | 148 bytes: …, nodes i32 at 4, …, features i32 at 16, values per leaf i32 at 20; nodes of 20 bytes: parent, left, right i32, feature and default direction u32, threshold or leaf f32; 16 bytes of statistics each |
//! | `dart` | `gbtree`, then u64 count and a weight f32 for each tree |
//! | `gblinear` | 136 bytes of parameters; u64 count and weights f32 |
//! | attributes | u64 count of pairs of texts |

use super::model::{Booster, MAX_OUTPUTS, Parts, Tree};
use super::objective::Objective;
use crate::frontend::FrontendError;

/// Length of the learner's parameters.
const PARAMETERS: usize = 136;
/// Texts longer than this are no names.
const LONGEST_NAME: usize = 64;

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn fail<T>(&self, reason: impl std::fmt::Display) -> Result<T, FrontendError> {
        Err(FrontendError::malformed(format!("byte {}", self.at), reason))
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FrontendError> {
        match self.bytes.get(self.at..).and_then(|rest| rest.get(..length)) {
            Some(taken) => {
                self.at += length;
                Ok(taken)
            }
            None => self.fail(format!("{length} bytes are needed, {} are left", self.bytes.len() - self.at)),
        }
    }

    /// A length that is followed by at least so many things of `each` bytes.
    fn length(&mut self, each: usize) -> Result<usize, FrontendError> {
        let length = self.take(8)?.try_into().map_or(0, u64::from_le_bytes);
        let left = (self.bytes.len() - self.at) / each.max(1);
        match usize::try_from(length) {
            Ok(length) if length <= left => Ok(length),
            _ => self.fail(format!("a count of {length}, with room for {left}")),
        }
    }

    fn text(&mut self) -> Result<&'a [u8], FrontendError> {
        let length = self.length(1)?;
        self.take(length)
    }

    fn name(&mut self) -> Result<&'a str, FrontendError> {
        let text = self.text()?;
        let name = std::str::from_utf8(text).ok().filter(|name| name.len() <= LONGEST_NAME);
        name.map_or_else(|| self.fail("no name"), Ok)
    }

    fn floats(&mut self) -> Result<Vec<f32>, FrontendError> {
        let count = self.length(4)?;
        Ok(words(self.take(4 * count)?).map(f32::from_bits).collect())
    }
}

/// The words that bytes are made of.
fn words(bytes: &[u8]) -> impl Iterator<Item = u32> + '_ {
    bytes.as_chunks::<4>().0.iter().map(|&bytes| u32::from_le_bytes(bytes))
}

/// The word `index` of a record.
fn word(record: &[u8], index: usize) -> u32 {
    words(record).nth(index).unwrap_or(0)
}

/// Reads a file.
///
/// # Errors
/// A file that is damaged, and objectives and boosters that are not known.
pub(super) fn read(bytes: &[u8]) -> Result<Booster, FrontendError> {
    let mut cursor = Cursor { bytes: bytes.strip_prefix(b"binf").unwrap_or(bytes), at: 0 };
    let parameters = cursor.take(PARAMETERS)?;
    let version = (word(parameters, 5), word(parameters, 6));
    let objective = Objective::named(cursor.name()?)?;
    let name = cursor.name()?;
    let classes = usize::try_from(word(parameters, 2) as i32).unwrap_or(0);
    let targets = if version >= (1, 6) { word(parameters, 7) as usize } else { 1 };
    let outputs = classes.max(targets).max(1);
    if outputs > MAX_OUTPUTS {
        return cursor.fail(format!("{outputs} outputs"));
    }
    let parts = match name {
        "gbtree" => Parts::Trees(trees(&mut cursor, outputs)?),
        "dart" => {
            let mut trees = trees(&mut cursor, outputs)?;
            let weights = cursor.floats()?;
            if weights.len() != trees.len() {
                return cursor.fail(format!("{} weights for {} trees", weights.len(), trees.len()));
            }
            trees.iter_mut().zip(weights).for_each(|(tree, weight)| tree.weight = weight);
            Parts::Trees(trees)
        }
        "gblinear" => {
            cursor.take(PARAMETERS)?;
            Parts::Linear(cursor.floats()?)
        }
        name => {
            return Err(FrontendError::unsupported(
                "booster",
                name.escape_debug().to_string(),
                "it is not read; train with gbtree, dart or gblinear",
            ));
        }
    };
    let (mut best_iteration, mut wrapper) = (None, None);
    if word(parameters, 3) != 0 {
        for _ in 0..cursor.length(16)? {
            let (key, value) = (cursor.text()?, String::from_utf8_lossy(cursor.text()?));
            match key {
                b"best_iteration" => best_iteration = value.parse().ok(),
                b"scikit_learn" => wrapper = Some(value.into_owned()),
                _ => {}
            }
        }
    }
    let base = objective.margin(version, f32::from_bits(word(parameters, 0)))?;
    let booster = Booster {
        version,
        objective,
        features: word(parameters, 1) as usize,
        names: Vec::new(),
        columns: None,
        outputs,
        base: vec![base; outputs],
        dart: name == "dart",
        parts,
        best_iteration,
        wrapper,
    };
    booster.check()?;
    Ok(booster)
}

/// Reads the trees and the output of each.
fn trees(cursor: &mut Cursor<'_>, outputs: usize) -> Result<Vec<Tree>, FrontendError> {
    const MODEL: usize = 160;
    const TREE: usize = 148;
    let model = cursor.take(MODEL)?;
    let count = match usize::try_from(word(model, 0) as i32) {
        Ok(count) if count <= (cursor.bytes.len() - cursor.at) / TREE => count,
        _ => return cursor.fail(format!("{} trees", word(model, 0) as i32)),
    };
    let mut trees = Vec::with_capacity(count);
    for index in 0..count {
        let mut tree = tree(cursor, index)?;
        tree.round = index / outputs;
        trees.push(tree);
    }
    for (tree, group) in trees.iter_mut().zip(words(cursor.take(4 * count)?)) {
        tree.group = group;
    }
    Ok(trees)
}

fn tree(cursor: &mut Cursor<'_>, index: usize) -> Result<Tree, FrontendError> {
    const TREE: usize = 148;
    const NODE: usize = 20;
    const STATISTICS: usize = 16;
    let record = cursor.take(TREE)?;
    let nodes = match usize::try_from(word(record, 1) as i32) {
        Ok(nodes) if nodes <= (cursor.bytes.len() - cursor.at) / (NODE + STATISTICS) => nodes,
        _ => return cursor.fail(format!("tree {index} of {} nodes", word(record, 1) as i32)),
    };
    let mut tree = Tree { weight: 1.0, width: 1, ..Tree::default() };
    for node in cursor.take(nodes * NODE)?.chunks_exact(NODE) {
        let split = word(node, 3);
        tree.left.push(word(node, 1) as i32);
        tree.right.push(word(node, 2) as i32);
        tree.feature.push(split & 0x7FFF_FFFF);
        tree.default_left.push(split >> 31 != 0);
        tree.threshold.push(f32::from_bits(word(node, 4)));
    }
    cursor.take(nodes * STATISTICS)?;
    if word(record, 5) > 1 {
        return Err(FrontendError::unsupported(
            format!("trees[{index}]"),
            "leaves of several values",
            "this format never held such trees completely; save the model as JSON or UBJSON",
        ));
    }
    tree.values = tree.threshold.clone();
    Ok(tree)
}
