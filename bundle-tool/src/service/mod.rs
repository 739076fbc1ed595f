//! The service's Python read as data: parsed, never run.

mod error;
mod modules;
mod nesting;
mod scope;
mod source;

pub use error::{NotUnderstood, ServiceError};
pub use modules::Program;
