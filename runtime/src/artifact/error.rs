//! Why an artifact is refused.

use super::header::{Digest, FORMAT_VERSION, SectionKind};
use crate::bytes::BytesError;
use crate::ops::OpError;

/// Why an artifact is refused. Each error names the section, the record or the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum LoadError {
    /// The bytes do not start at a multiple of 16: link the artifact with `include_artifact!`.
    Misaligned,
    /// The bytes are not an artifact.
    Magic,
    /// The artifact has another format version.
    Version {
        /// Its version.
        found: u32,
    },
    /// The artifact is cut off or has bytes after its end.
    Length {
        /// Length that the header or the section table declares.
        declared: u64,
        /// Bytes given.
        given: u64,
    },
    /// The header holds an undefined value.
    Header,
    /// The header ends early.
    Truncated(BytesError),
    /// The section table names an unknown kind, or names a kind twice or out of order.
    SectionKind {
        /// The code found.
        code: u32,
    },
    /// A section's place is wrong, or the bytes before it are not zero.
    Section {
        /// The section.
        kind: SectionKind,
    },
    /// A digest does not match: the artifact was changed after it was made.
    Digest {
        /// Which one.
        digest: Digest,
    },
    /// A record of a section holds an undefined value.
    Record {
        /// The section.
        kind: SectionKind,
        /// Number of the record in its section.
        index: usize,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A step uses an operator that this program was built without.
    NoKernel {
        /// Number of the step.
        step: usize,
        /// The operator's tag.
        tag: u16,
        /// The operator's name, where this version knows it.
        name: Option<&'static str>,
    },
    /// A step's operator refuses its operands.
    Operator {
        /// Number of the step.
        step: usize,
        /// The operator.
        operator: &'static str,
        /// Why.
        error: OpError,
    },
    /// Two operands of a step overlap in the arena, or one lies outside it.
    Memory {
        /// Number of the step.
        step: usize,
        /// Position of the operand among the step's.
        operand: usize,
    },
}

impl From<BytesError> for LoadError {
    fn from(error: BytesError) -> Self {
        Self::Truncated(error)
    }
}

impl core::fmt::Display for LoadError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Misaligned => {
                f.write_str("the artifact does not start at a multiple of 16 bytes; link it with include_artifact!")
            }
            Self::Magic => f.write_str("not an Ekiben artifact"),
            Self::Version { found } => write!(
                f,
                "format version {found}, this program reads version {FORMAT_VERSION}; compile the bento again with a matching tool"
            ),
            Self::Length { declared, given } => {
                write!(f, "the artifact should be {declared} bytes long, {given} are there")
            }
            Self::Header => f.write_str("the header holds an undefined value"),
            Self::Truncated(error) => write!(f, "the header ends early: {error}"),
            Self::SectionKind { code } => write!(f, "section kind {code} is unknown, doubled or out of order"),
            Self::Section { kind } => write!(f, "section {} is not where it must be", kind.name()),
            Self::Digest { digest: Digest::Structure } => {
                f.write_str("the structure digest does not match: the artifact was changed or damaged")
            }
            Self::Digest { digest: Digest::Numbers } => {
                f.write_str("the numbers digest does not match: weights or golden vectors were changed or damaged")
            }
            Self::Record { kind, index, problem } => write!(f, "section {}, record {index}: {problem}", kind.name()),
            Self::NoKernel { step, tag, name } => match name {
                Some(name) => write!(f, "step {step} needs operator {name}, which this program was built without"),
                None => write!(f, "step {step} needs operator {tag}, which this version does not know"),
            },
            Self::Operator { step, operator, error } => write!(f, "step {step} ({operator}): {error}"),
            Self::Memory { step, operand } => {
                write!(f, "step {step}: operand {operand} overlaps another one or lies outside the arena")
            }
        }
    }
}

impl core::error::Error for LoadError {}
