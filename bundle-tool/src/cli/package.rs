//! `package`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use ekiben_edge::cli::Failure;

use crate::package::write_firmware;

/// What a package is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// C and Rust sources: the artifact, its arena's size, names, and the kernels that it needs
    Firmware,
}

/// Package an artifact for a device
#[derive(Args, Debug)]
pub struct Package {
    /// The artifact
    artifact: PathBuf,
    /// Kind of the package
    #[arg(long = "as", value_enum)]
    kind: Kind,
    /// Folder for the package's files
    #[arg(short, long)]
    output: PathBuf,
}

impl Package {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 6 when the artifact is corrupt, 1 when a file cannot be read or written.
    pub fn run(&self) -> Result<(), Failure> {
        let files = match self.kind {
            Kind::Firmware => write_firmware(&self.artifact, &self.output)?,
        };
        for file in files {
            writeln!(io::stdout(), "{}", file.display())?;
        }
        Ok(())
    }
}
