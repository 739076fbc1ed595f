//! The host program `ekiben`.

use clap::{Parser, Subcommand};
use ekiben::cli;
use ekiben_edge::cli as device;

/// Compiles BentoML bentos into memory-mapped artifacts, and runs them.
#[derive(Parser)]
#[command(name = "ekiben", version, after_help = device::EXIT_CODES)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Compile(cli::Compile),
    Init(cli::Init),
    Inspect(device::Inspect),
    Verify(cli::Verify),
    SelfTest(device::SelfTest),
    Score(device::Score),
    Serve(device::Serve),
    Run(cli::Run),
    Bench(device::Bench),
    Package(cli::Package),
}

fn main() -> std::process::ExitCode {
    device::finish(match Arguments::parse().verb {
        Verb::Compile(compile) => compile.run(),
        Verb::Init(init) => init.run(),
        Verb::Inspect(inspect) => inspect.run(),
        Verb::Verify(verify) => verify.run(),
        Verb::SelfTest(self_test) => self_test.run(),
        Verb::Score(score) => score.run(),
        Verb::Serve(serve) => serve.run(),
        Verb::Run(run) => run.run(),
        Verb::Bench(bench) => bench.run(),
        Verb::Package(package) => package.run(),
    })
}
