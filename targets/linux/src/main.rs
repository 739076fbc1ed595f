//! The device program `ekiben-edge`.

use clap::{Parser, Subcommand};
use ekiben_edge::cli::{self, Failure};

/// Runs Ekiben artifacts on this device.
#[derive(Parser)]
#[command(name = "ekiben-edge", version, after_help = cli::EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Score(cli::Score),
    Serve(cli::Serve),
    Inspect(cli::Inspect),
    SelfTest(cli::SelfTest),
    Bench(cli::Bench),
}

fn run() -> Result<(), Failure> {
    match Arguments::parse().verb {
        Verb::Score(score) => score.run(),
        Verb::Serve(serve) => serve.run(),
        Verb::Inspect(inspect) => inspect.run(),
        Verb::SelfTest(self_test) => self_test.run(),
        Verb::Bench(bench) => bench.run(),
    }
}

fn main() -> std::process::ExitCode {
    cli::finish(run())
}
