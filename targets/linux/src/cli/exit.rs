//! Exit codes, and the only place that maps errors of the device's layers to them.

use std::process::ExitCode;

use ekiben_runtime::executor::self_test::SelfTestError;
use ekiben_runtime::session::OpenError;

use crate::adapter::DataError;
use crate::score::ScoreError;

/// For `--help`.
pub const EXIT_CODES: &str = "Exit codes: 0 ok, 1 failure, 2 usage, 3 unsupported model, 4 does not fit the target, \
                              5 results differ, 6 artifact corrupt or signature bad.";

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Anything that no other code stands for.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The model, or the service around it, uses what is not supported.
    Unsupported = 3,
    /// The model does not fit the target.
    DoesNotFit = 4,
    /// Results differ from the expected ones.
    Differs = 5,
    /// The artifact is corrupt, or its signature is bad.
    Corrupt = 6,
}

/// Why a program ends, for its standard error.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// The message.
    pub message: String,
}

impl Failure {
    /// A failure with a message.
    pub fn new(exit: Exit, message: impl std::fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        let exit = match &error {
            OpenError::Io { .. } => Exit::Failure,
            OpenError::Load { .. } | OpenError::Manifest { .. } => Exit::Corrupt,
        };
        Self::new(exit, error)
    }
}

impl From<SelfTestError> for Failure {
    fn from(error: SelfTestError) -> Self {
        let exit = match &error {
            SelfTestError::Load(_) => Exit::Corrupt,
            SelfTestError::Run { .. } => Exit::Failure,
            SelfTestError::Differs { .. } => Exit::Differs,
        };
        Self::new(exit, error)
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<ScoreError> for Failure {
    fn from(error: ScoreError) -> Self {
        let exit = match &error {
            ScoreError::Answer(crate::adapter::AnswerError::Template(_)) => Exit::Corrupt,
            _ => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<ekiben_runtime::Error> for Failure {
    fn from(error: ekiben_runtime::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Failure, error)
    }
}

/// Prints a failure's message and gives the exit code.
pub fn finish(result: Result<(), Failure>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {}", failure.message);
            ExitCode::from(failure.exit as u8)
        }
    }
}
