//! What a bundle is compiled with.

use super::Recorded;
use crate::frontend::InputLengths;
use crate::python::Interpreter;
use crate::service::Declarations;
use crate::target::Target;

/// What a bundle is compiled with, besides its own contents.
#[derive(Clone, Debug, Default)]
pub struct CompileOptions {
    /// Lengths of inputs that the models leave open.
    pub lengths: InputLengths,
    /// The framework's answers: the artifact is compared with them and takes as many as fit along.
    pub recorded: Option<Recorded>,
    /// Declared APIs; without them those count that come with the bento.
    pub service: Option<Declarations>,
    /// The device that the artifact must fit; without one it is compiled for any.
    pub target: Option<Target>,
    /// The interpreter that may run what the bento holds, for models whose files are code; without one nothing of the bento is run.
    pub python: Option<Interpreter>,
}
