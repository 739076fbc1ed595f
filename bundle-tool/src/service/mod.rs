//! The service's Python read as data: parsed, never run.
//!
//! [`Program::load`] parses the entry file and the modules of its own that it imports. [`ServiceClass::read`] finds the service
//! class in it and what it declares: artifacts and model references, helpers, and the API methods with their adapters or typed
//! parameters. What it does not understand is refused with file, line, column and source text ([`NotUnderstood`]).

mod annotation;
mod class;
mod error;
mod literal;
mod modules;
mod nesting;
mod scope;
mod source;

pub use class::{AdapterDecl, ApiMethod, ArtifactDecl, ParameterDecl, ServiceClass};
pub use error::{NotUnderstood, ServiceError};
pub use literal::Literal;
pub use modules::Program;
