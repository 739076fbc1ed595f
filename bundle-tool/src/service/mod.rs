//! The service's Python read as data: parsed, never run.
//!
//! [`lower_apis`] evaluates every API of a bento symbolically and gives its graph, adapter and answer. Before that,
//! [`Program::load`] parses the entry file and the modules of its own that it imports, and [`ServiceClass::read`] finds the
//! service class and what it declares: artifacts and model references, helpers, and the API methods with their adapters or typed
//! parameters. What is not understood is refused with file, line, column and source text ([`NotUnderstood`]).

mod annotation;
mod class;
mod data;
pub(crate) mod declaration;
mod error;
mod evaluate;
mod input;
mod library;
mod literal;
mod lower;
mod modules;
mod nesting;
mod returns;
mod scope;
mod source;

pub(crate) use data::is_data;

pub use class::{AdapterDecl, ApiMethod, ArtifactDecl, ParameterDecl, ServiceClass};
pub use declaration::Declarations;
pub use error::{NotUnderstood, ServiceError};
pub(crate) use evaluate::ModelCall;
pub use literal::Literal;
pub use lower::lower_apis;
pub(crate) use lower::read_each;
pub use modules::Program;
