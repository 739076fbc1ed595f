//! `compile`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use ekiben_edge::cli::{Exit, Failure};
use ekiben_edge::inspect::inspect;
use ekiben_edge::output_file::OutputFile;
use ekiben_runtime::Artifact;

use super::lengths::LengthFlags;
use crate::bundle::Bundle;
use crate::compile::{CompileOptions, Recorded, compile};

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
    #[command(flatten)]
    lengths: LengthFlags,
    /// Inputs whose answers by the framework are in --expected: a .csv, .jsonl or .json (request) file
    #[arg(long, requires = "expected")]
    data: Option<PathBuf>,
    /// The framework's answers to --data, as `score` writes them: compared, and kept in the artifact as golden vectors
    #[arg(long, requires = "data")]
    expected: Option<PathBuf>,
    /// API that --data is for, where the bento has several
    #[arg(long, requires = "data")]
    api: Option<String>,
}

impl Compile {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 3 when the model or the service uses what is not supported, listing everything that stands in the way.
    pub fn run(&self) -> Result<(), Failure> {
        let bundle = Bundle::open(&self.bento, self.store.as_deref())?;
        let recorded = self.data.clone().zip(self.expected.clone());
        let recorded = recorded.map(|(data, expected)| Recorded { data, expected, api: self.api.clone() });
        let options = CompileOptions { lengths: self.lengths.lengths()?, recorded };
        let compiled = compile(&bundle, &options)?;
        let unwritable = |error| Failure::new(Exit::Failure, format!("{}: {error}", self.output.display()));
        OutputFile::write(&self.output, compiled.bytes()).map_err(unwritable)?;
        let artifact = Artifact::parse(compiled.bytes()).map_err(|error| Failure::new(Exit::Failure, error))?;
        write!(io::stdout(), "{}", inspect(&artifact, &compiled.manifest))?;
        Ok(())
    }
}
