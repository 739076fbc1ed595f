//! The flags that let the user's interpreter run what a bento holds.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::python::{Interpreter, Limits};

/// Leave to run an interpreter, and what it may use.
#[derive(Args, Debug)]
pub(super) struct PythonFlags {
    /// Run code of the bento in this interpreter, in a separate process with limits: for PyTorch, fast.ai and TensorFlow's SavedModel
    #[arg(
        long = "allow-python",
        value_name = "INTERPRETER",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "python3"
    )]
    interpreter: Option<PathBuf>,
    /// Seconds that one run of the interpreter may take
    #[arg(long = "python-seconds", value_name = "SECONDS", requires = "interpreter",
          value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// MiB of address space that the interpreter may use
    #[arg(long = "python-memory", value_name = "MIB", requires = "interpreter",
          value_parser = clap::value_parser!(u32).range(64..))]
    memory: Option<u32>,
}

impl PythonFlags {
    /// The interpreter, where one is allowed; says on standard error that it is.
    pub(super) fn interpreter(&self) -> Option<Interpreter> {
        let usual = Limits::default();
        let limits = Limits {
            time: self.seconds.map_or(usual.time, |seconds| Duration::from_secs(seconds.into())),
            memory: self.memory.map_or(usual.memory, |memory| u64::from(memory) << 20),
            ..usual
        };
        let interpreter = self.interpreter.clone().map(|program| Interpreter { program, limits });
        if let Some(Interpreter { program, limits }) = &interpreter {
            eprintln!(
                "--allow-python: {} may run code of the bento, {} s and {} MiB at most; this is no sandbox",
                program.display(),
                limits.time.as_secs(),
                limits.memory >> 20
            );
        }
        interpreter
    }
}
