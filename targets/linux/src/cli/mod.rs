//! The verbs that both programs have, as clap arguments with a `run` each.

mod exit;
mod progress;
mod serve;
mod verbs;

pub use exit::{EXIT_CODES, Exit, Failure, finish};
pub use serve::Serve;
pub use verbs::{Bench, Inspect, Score, ScoreOptions, SelfTest, choose_api, open};
