//! The flag that gives declared APIs.

use std::path::PathBuf;

use clap::Args;
use ekiben_edge::cli::{Exit, Failure};

use crate::compile::CompileError;
use crate::service::Declarations;

/// Declared APIs.
#[derive(Args, Debug)]
pub(super) struct ServiceFlag {
    /// Declarations of APIs that cannot be read from the service's Python; otherwise ekiben.toml in the bento or beside it. See docs/declarations.md
    #[arg(long = "service", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl ServiceFlag {
    /// The declarations, where a file is given.
    pub(super) fn declarations(&self) -> Result<Option<Declarations>, Failure> {
        let Some(path) = &self.file else { return Ok(None) };
        let unreadable = |error: crate::bundle::BundleError| Failure::new(Exit::Failure, error);
        let text = crate::bundle::read_declarations(path).map_err(unreadable)?;
        let parsed = Declarations::parse(&path.display().to_string(), text);
        Ok(Some(parsed.map_err(CompileError::from)?))
    }
}
