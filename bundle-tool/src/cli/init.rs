//! `init`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use ekiben_edge::cli::{Exit, Failure};
use ekiben_edge::output_file::OutputFile;

use super::lengths::LengthFlags;
use crate::bundle::Bundle;
use crate::compile::{CompileOptions, init};

/// Write declarations of a bento's APIs, with comments: what could be read, and what could not
#[derive(Args, Debug)]
pub struct Init {
    /// A bento, an archive or a model file
    bento: PathBuf,
    /// File to write to, as ekiben.toml in the bento or beside it; standard output otherwise
    #[arg(short, long)]
    output: Option<PathBuf>,
    /// Folder with BentoML's models, for a 1.x bento that does not hold its own
    #[arg(long)]
    store: Option<PathBuf>,
    #[command(flatten)]
    lengths: LengthFlags,
}

impl Init {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 3 when a model is not supported; exit 1 when the file is there already or cannot be written.
    pub fn run(&self) -> Result<(), Failure> {
        let bundle = Bundle::open(&self.bento, self.store.as_deref())?;
        let options = CompileOptions { lengths: self.lengths.lengths()?, ..CompileOptions::default() };
        let text = init(&bundle, &options)?;
        let Some(output) = &self.output else {
            write!(io::stdout(), "{text}")?;
            return Ok(());
        };
        let failure = |problem: String| Failure::new(Exit::Failure, format!("{}: {problem}", output.display()));
        if output.exists() {
            return Err(failure(
                "it is there already, and declarations are written by hand too; remove it first".into(),
            ));
        }
        OutputFile::write(output, text.as_bytes()).map_err(|error| failure(error.to_string()))
    }
}
