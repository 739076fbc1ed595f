//! Why a run cannot be made.

use crate::ops::OpError;
use crate::tensor::ViewError;

/// Why a run cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// The arena does not start at a multiple of 16 bytes.
    Misaligned,
    /// The arena is smaller than the API needs for these rows.
    ArenaTooSmall {
        /// Bytes needed.
        needed: usize,
        /// Bytes given.
        given: usize,
    },
    /// There is no API with this index.
    NoApi {
        /// The index.
        index: usize,
        /// Number of APIs.
        count: usize,
    },
    /// The API cannot run on that many rows.
    Rows {
        /// Rows asked for.
        given: usize,
        /// The only number that it takes; 0 when it takes any but none.
        fixed: usize,
    },
    /// There is no input or output with this index.
    NoTensor {
        /// The index.
        index: usize,
        /// Number of inputs or outputs.
        count: usize,
    },
    /// An input or output has elements of another type.
    View {
        /// Index of the input or output.
        index: usize,
        /// What is wrong.
        error: ViewError,
    },
    /// A state has no place in the arena.
    State {
        /// The index.
        index: usize,
    },
    /// A step failed.
    Step {
        /// Number of the step.
        step: usize,
        /// Why.
        error: OpError,
    },
}

impl core::fmt::Display for Error {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Misaligned => f.write_str("the arena does not start at a multiple of 16 bytes"),
            Self::ArenaTooSmall { needed, given } => write!(f, "the arena has {given} bytes, {needed} are needed"),
            Self::NoApi { index, count } => write!(f, "there is no API {index}, the artifact has {count}"),
            Self::Rows { given, fixed: 0 } => write!(f, "cannot run on {given} rows"),
            Self::Rows { given, fixed } => {
                write!(f, "the model was compiled for a batch of {fixed} rows, not {given}")
            }
            Self::NoTensor { index, count } => write!(f, "there is no tensor {index}, the API has {count}"),
            Self::View { index, error } => write!(f, "tensor {index}: {error}"),
            Self::State { index } => write!(f, "state {index} has no place in the arena"),
            Self::Step { step, error } => write!(f, "step {step}: {error}"),
        }
    }
}

impl core::error::Error for Error {}
