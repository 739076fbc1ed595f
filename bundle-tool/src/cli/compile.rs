//! `compile`.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use ekiben_edge::cli::{Exit, Failure};
use ekiben_edge::inspect::inspect;
use ekiben_edge::output_file::OutputFile;
use ekiben_runtime::Artifact;

use super::declared::ServiceFlag;
use super::lengths::LengthFlags;
use super::python::PythonFlags;
use crate::bundle::Bundle;
use crate::compile::{CompileOptions, Recorded, compile};
use crate::target::Target;

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
    /// Device that the artifact must fit: a built-in name, as `stm32f4` or `raspberry-pi-5`, or a .toml file; see docs/targets.md
    #[arg(long)]
    target: Option<String>,
    #[command(flatten)]
    service: ServiceFlag,
    #[command(flatten)]
    lengths: LengthFlags,
    #[command(flatten)]
    python: PythonFlags,
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
    /// Exit 3 when the model or the service uses what is not supported, listing everything that stands in the way; exit 4
    /// with a table of what is needed when it does not fit the target.
    pub fn run(&self) -> Result<(), Failure> {
        let target = self.target.as_deref().map(Target::open).transpose()?;
        let bundle = Bundle::open(&self.bento, self.store.as_deref())?;
        let recorded = self.data.clone().zip(self.expected.clone());
        let recorded = recorded.map(|(data, expected)| Recorded { data, expected, api: self.api.clone() });
        let options = CompileOptions {
            lengths: self.lengths.lengths()?,
            recorded,
            target,
            python: self.python.interpreter(),
            service: self.service.declarations()?,
        };
        let compiled = compile(&bundle, &options)?;
        let unwritable = |error| Failure::new(Exit::Failure, format!("{}: {error}", self.output.display()));
        OutputFile::write(&self.output, compiled.bytes()).map_err(unwritable)?;
        let artifact = Artifact::parse(compiled.bytes()).map_err(|error| Failure::new(Exit::Failure, error))?;
        write!(io::stdout(), "{}", inspect(&artifact, &compiled.manifest))?;
        if let Some(fit) = &compiled.fit {
            write!(io::stdout(), "{fit}")?;
        }
        Ok(())
    }
}
