//! scikit-learn estimators, decoded from pickles and joblib files into plain data.
//!
//! One file per family of estimators. A family says which classes it decodes and which further globals its files name, and is
//! listed once, in `FAMILIES`. Every attribute that prediction depends on is checked; what it does not depend on
//! (training parameters, random states) is not looked at.

mod error;
mod forest;
mod labels;
mod logistic;
mod pipeline;
mod scaler;
#[cfg(test)]
mod tests;
mod tree;

use super::pickle::{self, AllowList, Item, Limits};
use std::any::Any;
use std::fmt;

pub use error::SklearnError;
pub use forest::Forest;
pub use labels::Labels;
pub use logistic::{Link, LogisticRegression};
pub use pipeline::Pipeline;
pub use scaler::{MinMaxScaler, StandardScaler};
pub use tree::{DecisionTree, Leaves, Split, Tree};

/// What can be asked of an estimator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `predict`
    Predict,
    /// `predict_proba`
    PredictProba,
    /// `transform`
    Transform,
}

/// A fitted estimator as plain data.
pub trait Estimator: fmt::Debug + Any {
    /// Columns of the input.
    fn features(&self) -> usize;

    /// What it can be asked.
    fn methods(&self) -> &'static [Method];

    /// Columns of what `transform` gives; `None` for an estimator that does not transform.
    fn transformed(&self) -> Option<usize> {
        None
    }
}

/// A family of estimators: the contents of one file.
struct Family {
    /// Full names of the classes that `decode` takes.
    classes: &'static [&'static str],
    /// Further globals that files of these classes name, carried as data.
    carried: &'static [&'static str],
    /// Decodes an object of one of `classes`.
    decode: fn(&Item<'_>) -> Result<Box<dyn Estimator>, SklearnError>,
}

/// All families.
const FAMILIES: &[Family] =
    &[forest::FAMILY, tree::FAMILY, logistic::FAMILY, scaler::STANDARD, scaler::MIN_MAX, pipeline::FAMILY];

/// The globals that files of scikit-learn estimators may name.
pub fn allow_list() -> AllowList {
    FAMILIES.iter().fold(AllowList::plumbing(), |list, family| list.with(family.classes).with(family.carried))
}

/// Decodes the estimator in the pickle or joblib file `bytes`.
///
/// # Errors
/// A file that is not readable as data within `limits`, or an estimator that is not supported, with the path to the attribute.
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Box<dyn Estimator>, SklearnError> {
    let document = pickle::read(bytes, &allow_list(), limits)?;
    decode(&document.root())
}

/// Decodes `item`, an estimator of any family.
fn decode(item: &Item<'_>) -> Result<Box<dyn Estimator>, SklearnError> {
    let Ok(class) = item.class() else {
        return Err(item.wrong("a scikit-learn estimator").into());
    };
    match FAMILIES.iter().find(|f| f.classes.contains(&class)) {
        Some(family) => (family.decode)(item),
        None => Err(SklearnError::unsupported(item, format!("`{class}` is not an estimator this tool predicts with"))),
    }
}

/// The release of scikit-learn that wrote an estimator: major and minor number.
fn version(item: &Item<'_>) -> Result<(u32, u32), SklearnError> {
    let attribute = item.get("_sklearn_version")?;
    let mut numbers = attribute.as_str()?.split('.').map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => Ok((major, minor)),
        _ => Err(attribute.wrong("a version like 1.9.1").into()),
    }
}
