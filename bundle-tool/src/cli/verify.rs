//! `verify`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use ekiben_edge::cli::{Exit, Failure};

use crate::bundle::Bundle;
use crate::verify::{Verdict, verify};

/// Compare an artifact with its bento by way of an independent engine
#[derive(Args, Debug)]
pub struct Verify {
    /// The artifact
    artifact: PathBuf,
    /// The bento, archive or model file that the artifact was compiled from
    #[arg(long, value_name = "BENTO")]
    against: PathBuf,
    /// CSV file with rows of numbers to compare on, besides random ones
    #[arg(long)]
    data: Option<PathBuf>,
    /// Folder with BentoML's models, for a 1.x bento that does not hold its own
    #[arg(long)]
    store: Option<PathBuf>,
}

impl Verify {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 5 when something differs, 1 when nothing independent could be compared.
    pub fn run(&self) -> Result<(), Failure> {
        let bundle = Bundle::open(&self.against, self.store.as_deref())?;
        let report = verify(&self.artifact, &bundle, self.data.as_deref())?;
        write!(io::stdout(), "{report}")?;
        match report.verdict() {
            Verdict::Agrees => Ok(()),
            Verdict::Differs => Err(Failure::new(Exit::Differs, "the artifact differs from its bento")),
            Verdict::NoOracle => Err(Failure::new(Exit::Failure, "not verified (oracle: none)")),
        }
    }
}
