//! The text format: a header of `key=value` lines, a block of them for each tree, and what follows the trees.

use std::collections::HashMap;

use super::objective::Objective;
use super::tree::Tree;
use super::{Column, categories};
use crate::frontend::FrontendError;

/// The most values per row that are read: a model of one class per tree has more.
const MAX_CLASSES: usize = 1 << 16;
/// The most features that are read.
const MAX_FEATURES: usize = 1 << 24;

/// A whole model.
#[derive(Clone, Debug, PartialEq)]
pub struct Booster {
    /// Columns of the input.
    pub features: usize,
    /// Names of the columns; empty where the file has the names that LightGBM makes up.
    pub feature_names: Vec<String>,
    /// Trees per iteration: tree `i` adds to the raw score of number `i % per_iteration`.
    pub per_iteration: usize,
    /// The trees, whole iterations.
    pub trees: Vec<Tree>,
    /// What raw scores stand for.
    pub objective: Objective,
    /// Raw scores are divided by the number of iterations before anything else.
    pub average: bool,
    /// Iterations up to the best one, where training stopped early and the file has more.
    pub best_iteration: Option<usize>,
    /// What each column holds, if the model was trained on a pandas frame with columns of categories.
    pub columns: Option<Vec<Column>>,
}

/// The `key=value` lines of one block. Of equal keys the last one counts, as in LightGBM.
pub(super) struct Block<'t> {
    /// Where it is, for messages.
    pub(super) path: String,
    values: HashMap<&'t str, &'t str>,
}

impl<'t> Block<'t> {
    fn new(path: String) -> Self {
        Self { path, values: HashMap::new() }
    }

    fn read(&mut self, line: &'t str) {
        let (key, value) = line.split_once('=').unwrap_or((line, ""));
        self.values.insert(key.trim(), value.trim());
    }

    /// The value of a key.
    pub(super) fn find(&self, key: &str) -> Option<&'t str> {
        self.values.get(key).copied()
    }

    /// The value of a key that must be there.
    pub(super) fn get(&self, key: &str) -> Result<&'t str, FrontendError> {
        self.find(key).ok_or_else(|| FrontendError::malformed(&self.path, format!("there is no {key}")))
    }

    /// The one number of a key.
    pub(super) fn number<T: std::str::FromStr>(&self, key: &str) -> Result<T, FrontendError> {
        let text = self.get(key)?;
        text.parse().map_err(|_| self.wrong(key, text))
    }

    /// The numbers of a key, `count` of them.
    pub(super) fn numbers<T: std::str::FromStr>(&self, key: &str, count: usize) -> Result<Vec<T>, FrontendError> {
        let text = if count == 0 { self.find(key).unwrap_or_default() } else { self.get(key)? };
        let mut numbers = Vec::new();
        for word in text.split_ascii_whitespace() {
            numbers.push(word.parse().map_err(|_| self.wrong(key, word))?);
        }
        if numbers.len() != count {
            let reason = format!("{key} has {} numbers, {count} are needed", numbers.len());
            return Err(FrontendError::malformed(&self.path, reason));
        }
        Ok(numbers)
    }

    fn wrong(&self, key: &str, text: &str) -> FrontendError {
        let text: String = text.chars().take(40).collect();
        FrontendError::malformed(&self.path, format!("{key} has {text:?} where a number is needed"))
    }
}

/// Reads a model.
///
/// # Errors
/// [`FrontendError::Malformed`] for a damaged file, [`FrontendError::Unsupported`] for versions and objectives that are not known.
pub fn read(bytes: &[u8]) -> Result<Booster, FrontendError> {
    let text = std::str::from_utf8(bytes).map_err(|error| FrontendError::malformed("model", error))?;
    let mut lines = text.lines().map(|line| line.trim_end_matches('\r'));
    if lines.next() != Some("tree") {
        return Err(FrontendError::malformed("model", "the first line is not \"tree\""));
    }
    let mut header = Block::new("header".to_owned());
    let mut blocks: Vec<Block<'_>> = Vec::new();
    let mut footer = false;
    let mut parameters = HashMap::new();
    let mut pandas = None;
    for line in lines {
        if let Some(list) = line.strip_prefix("pandas_categorical:") {
            pandas = Some(list);
        } else if footer {
            let parameter = line.strip_prefix('[').and_then(|line| line.strip_suffix(']'));
            parameters.extend(parameter.and_then(|parameter| parameter.split_once(": ")));
        } else if line.starts_with("Tree=") {
            blocks.push(Block::new(format!("tree {}", blocks.len())));
        } else if line == "end of trees" || line.starts_with("feature importances:") || line == "parameters:" {
            footer = true;
        } else if !line.trim().is_empty() {
            blocks.last_mut().unwrap_or(&mut header).read(line);
        }
    }
    check_version(&header)?;
    let per_iteration = match header.find("num_tree_per_iteration") {
        Some(_) => header.number("num_tree_per_iteration")?,
        None => header.number("num_class")?,
    };
    if !(1..=MAX_CLASSES).contains(&per_iteration) {
        let reason = format!("{per_iteration} trees per iteration, 1 to {MAX_CLASSES} are read");
        return Err(FrontendError::malformed("header", reason));
    }
    let features = header.number::<usize>("max_feature_idx")?.saturating_add(1);
    if features > MAX_FEATURES {
        return Err(FrontendError::malformed(
            "header",
            format!("{features} features, at most {MAX_FEATURES} are read"),
        ));
    }
    check_count(&header, blocks.len(), per_iteration)?;
    let trees: Result<Vec<Tree>, _> = blocks.iter().map(|block| Tree::read(block, features)).collect();
    let names: Vec<&str> = header.find("feature_names").unwrap_or_default().split_ascii_whitespace().collect();
    if !names.is_empty() && names.len() != features {
        let reason = format!("{} feature names for {features} features", names.len());
        return Err(FrontendError::malformed("header", reason));
    }
    let infos = header.find("feature_infos").unwrap_or_default();
    let columns = categories::columns(pandas, parameters.get("categorical_feature").copied(), infos, features)?;
    let made_up = names.iter().enumerate().all(|(index, name)| *name == format!("Column_{index}"));
    Ok(Booster {
        features,
        feature_names: if made_up { Vec::new() } else { names.into_iter().map(str::to_owned).collect() },
        per_iteration,
        trees: trees?,
        objective: Objective::read(header.find("objective"), per_iteration)?,
        average: header.find("average_output").is_some(),
        best_iteration: None,
        columns,
    })
}

impl Booster {
    /// Name of column number `index`.
    pub fn name(&self, index: usize) -> String {
        self.feature_names.get(index).cloned().unwrap_or_else(|| format!("Column_{index}"))
    }
}

fn check_version(header: &Block<'_>) -> Result<(), FrontendError> {
    match header.find("version") {
        Some("v2" | "v3" | "v4") => Ok(()),
        version => {
            let version = version.unwrap_or("none");
            let reason = "versions v2 to v4 of the text format are read; load the model with LightGBM 2.1 to 4.x and save it again";
            Err(FrontendError::unsupported("header", format!("version {version}"), reason))
        }
    }
}

/// Checks the number of trees against the list of their sizes, which tells a file that was cut off.
fn check_count(header: &Block<'_>, trees: usize, per_iteration: usize) -> Result<(), FrontendError> {
    if let Some(sizes) = header.find("tree_sizes") {
        let stated = sizes.split_ascii_whitespace().count();
        if stated != trees {
            return Err(FrontendError::malformed("model", format!("{trees} trees, the header lists {stated}")));
        }
    }
    if !trees.is_multiple_of(per_iteration) {
        let reason = format!("{trees} trees are no whole iterations of {per_iteration}");
        return Err(FrontendError::malformed("model", reason));
    }
    Ok(())
}
