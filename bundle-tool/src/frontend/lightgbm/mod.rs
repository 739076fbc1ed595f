//! LightGBM's text format, as 2.1 to 4.x save it: under any file name, or inside the pickle of a `Booster` or of a wrapper for
//! scikit-learn.
//!
//! A model takes features `[N, features]` and computes what LightGBM's predictor computes: numbers of at most 1e-35 (as float32) are 0;
//! decisions are made on float64 thresholds; values of trees are added in float64 from 0, in the order of the trees; a random
//! forest's sums are divided by the number of iterations; then comes the objective's link. Features of float32 are taken as they are,
//! integers become float32 first, as the Python package has it for arrays.
//!
//! A model that was trained on a pandas frame with columns of categories takes the columns of a table.

mod categories;
mod model;
mod objective;
mod scores;
#[cfg(test)]
mod tests;
mod text;
mod tree;

pub use super::categories::Column;
pub use categories::matrix;
pub use model::LightgbmModel;
pub use objective::Objective;
pub use scores::{Answer, Iterations};
pub use text::{Booster, read};
pub use tree::{Child, Linear, Missing, Node, Question, Tree};

use super::{FrontendError, Model};

/// Opens a text file.
///
/// # Errors
/// Those of [`read`].
pub fn open(bytes: &[u8]) -> Result<Box<dyn Model>, FrontendError> {
    Ok(Box::new(LightgbmModel::new(read(bytes)?)?))
}
