//! The verbs that both programs have, as clap arguments with a `run` each.

mod exit;
mod progress;
mod verbs;

pub use exit::{EXIT_CODES, Exit, Failure, finish};
pub use verbs::{Bench, Inspect, Score, ScoreOptions, SelfTest, choose_api, open};
