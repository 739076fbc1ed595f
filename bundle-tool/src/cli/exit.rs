//! Exit codes of the compiler's errors.

use ekiben_edge::cli::{Exit, Failure};

use crate::bundle::{BundleError, DECLARATIONS};
use crate::compile::{CompileError, ExportProblem, ModelError, RecordedError};
use crate::frontend::{FrontendError, LengthsError};
use crate::package::PackageError;
use crate::python::{ExportError, PythonError};
use crate::service::ServiceError;
use crate::target::TargetError;
use crate::verify::VerifyError;

impl From<CompileError> for Failure {
    fn from(error: CompileError) -> Self {
        let exit = match &error {
            CompileError::Models(errors) if errors.iter().any(is_misuse) => Exit::Usage,
            CompileError::Models(errors) if errors.iter().any(is_unsupported) => Exit::Unsupported,
            CompileError::Model(error) if is_unsupported(error) => Exit::Unsupported,
            CompileError::Recorded(RecordedError::Differs { .. }) => Exit::Differs,
            CompileError::DoesNotFit(_) => Exit::DoesNotFit,
            CompileError::Recorded(RecordedError::Api { .. }) => Exit::Usage,
            CompileError::Export(failure) => export_exit(&failure.problem),
            CompileError::Lengths(_) | CompileError::OtherService { .. } => Exit::Usage,
            CompileError::Service(ServiceError::Source(_)) => Exit::Failure,
            CompileError::Service(_) => Exit::Unsupported,
            _ => Exit::Failure,
        };
        // What is refused of the service's Python can be declared; what is wrong with a declaration says so itself.
        match &error {
            CompileError::Service(service) if service.is_of_python() => Self::new(
                exit,
                format!(
                    "{error}\ndeclare the API in {DECLARATIONS}, which replaces its Python (`ekiben init BENTO` writes one): \
                     docs/declarations.md"
                ),
            ),
            _ => Self::new(exit, error),
        }
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        let exit = match &error {
            TargetError::Unknown { .. } => Exit::Usage,
            _ => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<BundleError> for Failure {
    fn from(error: BundleError) -> Self {
        Self::new(Exit::Failure, error)
    }
}

impl From<PackageError> for Failure {
    fn from(error: PackageError) -> Self {
        let exit = match &error {
            PackageError::Load { .. } => Exit::Corrupt,
            _ => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        let exit = match error {
            VerifyError::Open(error) => return error.into(),
            VerifyError::Corrupt(_) => Exit::Corrupt,
            VerifyError::OtherModel { .. } | VerifyError::Interface { .. } => Exit::Differs,
            VerifyError::Model(ref error) if is_unsupported(error) => Exit::Unsupported,
            _ => Exit::Failure,
        };
        Self::new(exit, error)
    }
}

impl From<LengthsError> for Failure {
    fn from(error: LengthsError) -> Self {
        Self::new(Exit::Usage, error)
    }
}

/// What the framework refuses is unsupported; an interpreter that fails is a failure.
fn export_exit(problem: &ExportProblem) -> Exit {
    match problem {
        ExportProblem::Differs { .. } => Exit::Differs,
        ExportProblem::Export(ExportError::Python(PythonError::Refused(_)) | ExportError::Frontend { .. }) => {
            Exit::Unsupported
        }
        _ => Exit::Failure,
    }
}

/// True when the lengths given on the command line contradict the model.
fn is_misuse(error: &ModelError) -> bool {
    matches!(error.error, FrontendError::Lengths(_))
}

/// True when the model is sound but uses what is not supported, or asks for what is refused.
fn is_unsupported(error: &ModelError) -> bool {
    match &error.error {
        FrontendError::Unsupported(_) => true,
        FrontendError::Malformed { .. } => false,
        _ => true,
    }
}
