//! What in a service's Python was not understood, and where.

use ekiben_runtime::TensorSpec;

use crate::bundle::BundleError;
use crate::frontend::FrontendError;

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
    /// A model that the source calls cannot be compiled.
    #[error("{place}\n{source}")]
    Model {
        /// The call.
        place: Box<NotUnderstood>,
        /// Why.
        source: Box<FrontendError>,
    },
    /// The source calls a model that its framework must export first, and nobody has allowed that.
    #[error("{place}")]
    Unexported {
        /// The call, and what would be run.
        place: Box<NotUnderstood>,
        /// The model's tag.
        model: String,
        /// Types and shapes that it is called with; `None` where they are not known.
        inputs: Option<Vec<TensorSpec>>,
    },
    /// Several APIs, or several places: everything that stands in the way.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Several(Vec<ServiceError>),
}

impl ServiceError {
    /// The first model that must be exported, with the types and shapes that it is called with.
    pub(crate) fn unexported(&self) -> Option<(&str, Option<&[TensorSpec]>)> {
        match self {
            ServiceError::Unexported { model, inputs, .. } => Some((model, inputs.as_deref())),
            ServiceError::Several(errors) => errors.iter().find_map(ServiceError::unexported),
            _ => None,
        }
    }

    /// Whether a place in Python is among what is refused.
    pub(crate) fn is_of_python(&self) -> bool {
        match self {
            ServiceError::At(place) | ServiceError::Model { place, .. } | ServiceError::Unexported { place, .. } => {
                place.file.ends_with(".py")
            }
            ServiceError::File { file, .. } => file.ends_with(".py"),
            ServiceError::Several(errors) => errors.iter().any(ServiceError::is_of_python),
            ServiceError::Source(_) => false,
        }
    }

    /// One error of all in `errors`, each named once.
    pub(super) fn several(errors: Vec<ServiceError>) -> ServiceError {
        let mut different: Vec<ServiceError> = Vec::new();
        for error in errors {
            let text = error.to_string();
            if different.iter().all(|known| known.to_string() != text) {
                different.push(error);
            }
        }
        match different.len() {
            1 => different.remove(0),
            _ => ServiceError::Several(different),
        }
    }
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
