//! `compile`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use ekiben_edge::cli::{Exit, Failure};
use ekiben_edge::inspect::inspect;
use ekiben_edge::output_file::OutputFile;
use ekiben_runtime::Artifact;

use crate::compile::compile_path;

/// Compile a bento, an archive or a model file into an artifact
#[derive(Args, Debug)]
pub struct Compile {
    /// BentoML 0.13 bundle, BentoML 1.x bento or .bento archive, or a bare .onnx, .tflite or scikit-learn pickle file
    bento: PathBuf,
    /// File to write the artifact to
    #[arg(short, long)]
    output: PathBuf,
    /// Folder with BentoML's models, for a 1.x bento that does not hold its own
    #[arg(long)]
    store: Option<PathBuf>,
}

impl Compile {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 3 when the model or the service uses what is not supported, listing everything that stands in the way.
    pub fn run(&self) -> Result<(), Failure> {
        let compiled = compile_path(&self.bento, self.store.as_deref())?;
        let unwritable = |error| Failure::new(Exit::Failure, format!("{}: {error}", self.output.display()));
        OutputFile::write(&self.output, compiled.bytes()).map_err(unwritable)?;
        let artifact = Artifact::parse(compiled.bytes()).map_err(|error| Failure::new(Exit::Failure, error))?;
        write!(io::stdout(), "{}", inspect(&artifact, &compiled.manifest))?;
        Ok(())
    }
}
