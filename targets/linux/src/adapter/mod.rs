//! Outside data into tensors, and tensors into outside data.

mod batch;
mod direct;
mod form;
mod frame;
mod layout;
mod number;
mod parameters;
mod picture;
mod plain_text;
mod python;
mod returns;
mod rows;
mod scalar;
mod sinks;
mod sound;

pub use batch::{Batch, InputBuffer};
pub use layout::{Column, Layout};
pub use parameters::{BodyKind, first_part, read_csv, read_request, read_request_as};
pub use plain_text::PlainText;
pub use python::write_float;
pub use returns::{Answer, AnswerError};
pub use rows::{CsvRows, JsonLines, RowSource, Table};
pub use sinks::{CsvCells, JsonStyle, JsonText, Scalar, Sink};

pub(crate) use returns::number;

/// Why outside data cannot become tensors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DataError {
    /// A row of a file.
    #[error("line {line}{}: {reason}", column.as_ref().map(|name| format!(", column {name}")).unwrap_or_default())]
    Row {
        /// Line, from 1.
        line: u64,
        /// Name of the column, or its number from 1.
        column: Option<String>,
        /// What is wrong and what is needed.
        reason: String,
    },
    /// A request body.
    #[error("{place}: {reason}")]
    Body {
        /// The part of the body: `input_data`, `row 3, column sl`.
        place: String,
        /// What is wrong and what is needed.
        reason: String,
    },
    /// A request body that is no JSON.
    #[error("body: no JSON: {0}")]
    Json(String),
    /// A value that must be there is not.
    #[error("{place}: this {what} is missing{others}")]
    Missing {
        /// Its name, after those of the objects that it belongs to.
        place: String,
        /// `parameter` or `file`.
        what: &'static str,
        /// The names that are there instead, for the message; may be empty.
        others: String,
    },
    /// A row, or an array's shape, has another width than the model takes.
    #[error("{place}: {given} columns, the API takes {needed}")]
    Width {
        /// The part of the body.
        place: String,
        /// Columns that it has.
        given: usize,
        /// Columns that the API takes.
        needed: usize,
    },
    /// The API takes what this kind of file cannot hold.
    #[error("API {api}: {reason}")]
    Api {
        /// The API.
        api: String,
        /// Why, and what works.
        reason: String,
    },
    /// The file cannot be read.
    #[error("{0}")]
    Read(String),
}

impl DataError {
    pub(crate) fn body(place: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Body { place: place.into(), reason: reason.into() }
    }

    /// The error of a part of a body, where `outer` is the place that the part stands in.
    fn below(self, outer: &str, separator: &str) -> Self {
        match self {
            Self::Body { place, reason } if place.is_empty() => Self::Body { place: outer.to_owned(), reason },
            Self::Body { place, reason } if place != "manifest" => {
                Self::Body { place: format!("{outer}{separator}{place}"), reason }
            }
            Self::Missing { place, what, others } => {
                Self::Missing { place: format!("{outer}{separator}{place}"), what, others }
            }
            other => other,
        }
    }
}
