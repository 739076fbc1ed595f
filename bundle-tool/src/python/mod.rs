//! The user's own Python: for models whose files are code (PyTorch, fast.ai, TensorFlow's SavedModel), and to ask a bento's own service.
//!
//! The only place of this tool that runs what a bento holds, and only with `--allow-python`. A script that ships inside of the tool is run in a
//! separate process with a limit of time, of memory and of what it may write ([`Interpreter::run`]). It is given files and one JSON value and answers
//! with files and one JSON value; nothing of the answer is trusted more than any other file. Limits are no sandbox: what runs can do what the
//! user can do.

mod convert;
mod error;
mod export;
mod framework;
mod process;
mod service;

pub use convert::{Converted, convert, needs_conversion};
pub use error::PythonError;
pub use export::{Export, ExportError, ExportedModel, Sample, export};
pub use framework::Framework;
pub use process::{Interpreter, Limits, Workplace};
pub use service::{AskError, ServiceAnswer, ServiceRequest, ask_service};
