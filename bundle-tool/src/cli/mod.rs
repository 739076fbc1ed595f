//! The verbs that only the host program has, and the exit codes of the compiler's errors.

mod compile;
mod declared;
mod exit;
mod init;
mod lengths;
mod package;
mod python;
mod run;
mod verify;

pub use compile::Compile;
pub use init::Init;
pub use package::Package;
pub use run::Run;
pub use verify::Verify;
