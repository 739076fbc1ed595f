//! Why an estimator is not read.

use crate::frontend::pickle::{AccessError, Item, PickleError};

/// Why an estimator is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SklearnError {
    /// The file itself is refused.
    #[error(transparent)]
    Pickle(#[from] PickleError),
    /// An attribute is missing or of another type than scikit-learn writes.
    #[error(transparent)]
    Attribute(#[from] AccessError),
    /// The estimator, or a parameter of it, is not supported.
    #[error("{path}: not supported: {reason}")]
    Unsupported {
        /// The way from the root.
        path: String,
        /// What is not supported.
        reason: String,
    },
    /// An attribute's value contradicts the others.
    #[error("{path}: damaged model: {reason}")]
    Inconsistent {
        /// The way from the root.
        path: String,
        /// What does not fit.
        reason: String,
    },
}

impl SklearnError {
    /// `reason` why `item` is not supported.
    pub(super) fn unsupported(item: &Item<'_>, reason: impl Into<String>) -> SklearnError {
        SklearnError::Unsupported { path: item.path(), reason: reason.into() }
    }

    /// `reason` why `item` cannot be right.
    pub(super) fn inconsistent(item: &Item<'_>, reason: impl Into<String>) -> SklearnError {
        SklearnError::Inconsistent { path: item.path(), reason: reason.into() }
    }
}
