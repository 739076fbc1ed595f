//! Why an operator refuses its operands.

use crate::bytes::BytesError;
use crate::tensor::{ShapeError, ViewError};

/// What is wrong with an operand or an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Problem {
    /// The operand is not there.
    Missing,
    /// Its element type is not one that the operator takes.
    DType,
    /// Its number of axes is not one that the operator takes.
    Rank,
    /// An axis has a length that does not fit the other operands or the attributes.
    Shape,
    /// The batch lies on an axis where the operator cannot have it.
    Batch,
    /// It must be a constant.
    NotConstant,
    /// A value of a constant is outside its range.
    Value,
    /// There are more operands than the operator has.
    Extra,
    /// The declared type or shape is not what the operator makes.
    Declared,
    /// It has the place of an output, so that it cannot be read by itself.
    InPlace,
    /// A view of the bytes failed.
    View(ViewError),
    /// The shape cannot be stored.
    Unrepresentable(ShapeError),
}

/// An operator's refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum OpError {
    /// An input does not fit.
    Input {
        /// Position among the inputs.
        index: usize,
        /// What is wrong.
        problem: Problem,
        /// What the operator needs.
        needs: &'static str,
    },
    /// An output does not fit.
    Output {
        /// Position among the outputs.
        index: usize,
        /// What is wrong.
        problem: Problem,
        /// What the operator makes.
        needs: &'static str,
    },
    /// An attribute is outside its range for these operands.
    Attribute {
        /// Name of the attribute.
        name: &'static str,
        /// What the operator needs.
        needs: &'static str,
    },
    /// The stored attributes cannot be read.
    Bytes(BytesError),
}

impl OpError {
    /// An input does not fit: `needs` completes the sentence "needs …".
    pub const fn input(index: usize, problem: Problem, needs: &'static str) -> Self {
        Self::Input { index, problem, needs }
    }

    /// An output does not fit: `needs` completes the sentence "needs …".
    pub const fn output(index: usize, problem: Problem, needs: &'static str) -> Self {
        Self::Output { index, problem, needs }
    }

    /// An attribute does not fit: `needs` completes the sentence "needs …".
    pub const fn attribute(name: &'static str, needs: &'static str) -> Self {
        Self::Attribute { name, needs }
    }
}

impl From<BytesError> for OpError {
    fn from(error: BytesError) -> Self {
        Self::Bytes(error)
    }
}

impl From<ShapeError> for OpError {
    /// The first output has a shape that cannot be stored.
    fn from(error: ShapeError) -> Self {
        Self::output(0, Problem::Unrepresentable(error), "a storable shape")
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Missing => f.write_str("is missing"),
            Self::DType => f.write_str("has an element type that does not fit"),
            Self::Rank => f.write_str("has a number of axes that does not fit"),
            Self::Shape => f.write_str("has a shape that does not fit"),
            Self::Batch => f.write_str("has the batch on an axis that does not fit"),
            Self::NotConstant => f.write_str("is not a constant"),
            Self::Value => f.write_str("holds a value outside its range"),
            Self::Extra => f.write_str("is one too many"),
            Self::Declared => f.write_str("is declared with another type or shape"),
            Self::InPlace => f.write_str("has the place of an output"),
            Self::View(error) => write!(f, "cannot be viewed: {error}"),
            Self::Unrepresentable(error) => write!(f, "has a shape that cannot be stored: {error}"),
        }
    }
}

impl core::fmt::Display for OpError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Input { index, problem, needs } => write!(f, "input {index} {problem}: needs {needs}"),
            Self::Output { index, problem, needs } => write!(f, "output {index} {problem}: needs {needs}"),
            Self::Attribute { name, needs } => write!(f, "attribute {name}: needs {needs}"),
            Self::Bytes(error) => write!(f, "attributes: {error}"),
        }
    }
}

impl core::error::Error for OpError {}
