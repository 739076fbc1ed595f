//! The verbs that only the host program has, and the exit codes of the compiler's errors.

mod compile;
mod exit;
mod lengths;
mod package;
mod python;
mod run;
mod verify;

pub use compile::Compile;
pub use package::Package;
pub use run::Run;
pub use verify::Verify;
