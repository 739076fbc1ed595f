//! What in a service's Python was not understood, and where.

use crate::bundle::BundleError;

/// Why a service was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// A source file cannot be read.
    #[error(transparent)]
    Source(#[from] BundleError),
    /// A source file is not Python that the parser accepts, or is nested beyond reason.
    #[error("{file}: {problem}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it and what to do next.
        problem: String,
    },
    /// One place in the source.
    #[error(transparent)]
    At(#[from] Box<NotUnderstood>),
}

/// A place in a Python source and why it cannot be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {problem}\n  {line} | {expression}")]
pub struct NotUnderstood {
    /// The file.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The source text of the place, on one line and shortened.
    pub expression: String,
    /// What was not understood and what to do next.
    pub problem: String,
}
