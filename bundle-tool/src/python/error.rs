//! What can go wrong while the user's interpreter works.

use std::path::PathBuf;
use std::time::Duration;

/// Why the interpreter has no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PythonError {
    /// The interpreter cannot be started.
    #[error("{} cannot be started: {reason}. Name a Python interpreter with --allow-python=INTERPRETER", interpreter.display())]
    Interpreter {
        /// The interpreter as the user named it.
        interpreter: PathBuf,
        /// The system's reason.
        reason: String,
    },
    /// A package that the work needs is not installed for the interpreter.
    #[error(
        "{} lacks the Python package {package:?} ({message}). Install it there, or name another interpreter with \
         --allow-python=INTERPRETER",
        interpreter.display()
    )]
    Package {
        /// The interpreter.
        interpreter: PathBuf,
        /// The package as Python imports it.
        package: String,
        /// Python's message.
        message: String,
    },
    /// The framework says that it cannot do this.
    #[error("{0}")]
    Refused(String),
    /// The script ended with an error, or was ended by a signal.
    #[error("{} failed ({status}); the last lines of its standard error:\n{stderr}", interpreter.display())]
    Failed {
        /// The interpreter.
        interpreter: PathBuf,
        /// How the process ended, or the exception.
        status: String,
        /// The end of what it wrote.
        stderr: String,
    },
    /// It did not end in time.
    #[error("{} has not answered within {} seconds and was ended; --python-seconds gives it more", interpreter.display(), limit.as_secs_f64())]
    OutOfTime {
        /// The interpreter.
        interpreter: PathBuf,
        /// The limit.
        limit: Duration,
    },
    /// It needed more memory than it may have.
    #[error("{} ran out of memory; --python-memory gives it more than {} MiB", interpreter.display(), limit >> 20)]
    OutOfMemory {
        /// The interpreter.
        interpreter: PathBuf,
        /// The limit, in bytes of address space.
        limit: u64,
    },
    /// It wrote more than it may write.
    #[error("{} wrote more than {limit} bytes and was ended", interpreter.display())]
    TooMuchOutput {
        /// The interpreter.
        interpreter: PathBuf,
        /// The limit, in bytes.
        limit: u64,
    },
    /// Its answer is not what was asked for.
    #[error("the answer of {} cannot be used: {reason}", interpreter.display())]
    Answer {
        /// The interpreter.
        interpreter: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The folder that the process works in cannot be written or read.
    #[error("the interpreter's temporary folder: {0}")]
    Folder(#[from] std::io::Error),
}
