//! Runs an int8 model from flash: samples go in, predictions come out.
//!
//! There is no heap. The artifact and the samples are constants, the arena is one static array, and only the kernels that the
//! artifact needs are linked.
#![no_std]
#![no_main]

/// What `ekiben package` wrote.
mod model {
    include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../generated/model.rs"));
}

use core::fmt;
use cortex_m::singleton;
use ekiben_qemu::{Board, InstructionCounter, entry, eprintln, exit, print, println, stack_peak};
use ekiben_runtime::executor::self_test::{SelfTestError, self_test};
use ekiben_runtime::{Aligned, Artifact, Error, Executor, LoadError};

/// Rows of int8, one after the other.
static SAMPLES: &[u8] = include_bytes!("../../samples.bin");

#[entry]
fn main() -> ! {
    let board = Board::take().expect("nobody took the board before");
    let arena: Option<&mut Aligned<[u8; model::PREDICT_ARENA_BYTES]>> =
        singleton!(: Aligned<[u8; model::PREDICT_ARENA_BYTES]> = Aligned([0; model::PREDICT_ARENA_BYTES]));
    match predict(&board.counter, &mut arena.expect("main runs once").0) {
        Ok(()) => exit(0),
        Err(failure) => {
            eprintln!("{}", failure);
            exit(1)
        }
    }
}

enum Failure {
    Load(LoadError),
    SelfTest(SelfTestError),
    Run(Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Load(error) => write!(f, "the model is refused: {error}"),
            Self::SelfTest(error) => write!(f, "the self-test failed: {error}"),
            Self::Run(error) => error.fmt(f),
        }
    }
}

fn predict(counter: &InstructionCounter, arena: &mut [u8]) -> Result<(), Failure> {
    let (load_instructions, artifact) = counter.measure(|| Artifact::parse_with(model::ARTIFACT, model::KERNELS));
    let artifact = artifact.map_err(Failure::Load)?;
    let report = self_test(&artifact, arena).map_err(Failure::SelfTest)?;

    let mut run_instructions = 0;
    let mut executor = Executor::new(&artifact, model::PREDICT_API, 1, arena).map_err(Failure::Run)?;
    let length = executor.input_mut::<i8>(0).map_err(Failure::Run)?.len();
    for (row, sample) in SAMPLES.chunks_exact(length).enumerate() {
        let input = executor.input_mut::<i8>(0).map_err(Failure::Run)?;
        for (value, byte) in input.iter_mut().zip(sample) {
            *value = byte.cast_signed();
        }
        let (instructions, result) = counter.measure(|| executor.run());
        result.map_err(Failure::Run)?;
        run_instructions = instructions;
        print!("prediction {}:", row);
        for score in executor.output::<i8>(0).map_err(Failure::Run)? {
            print!(" {}", score);
        }
        println!("");
    }
    println!("self_test_vectors {}", report.total());
    println!("arena_bytes {}\nstack_bytes {}", model::PREDICT_ARENA_BYTES, stack_peak());
    println!("load_instructions {}\nrun_instructions {}", load_instructions, run_instructions);
    Ok(())
}
