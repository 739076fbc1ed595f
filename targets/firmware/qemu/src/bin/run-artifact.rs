//! Runs any artifact on the board: `run-artifact ARTIFACT API ROWS INPUT OUTPUT`.
//!
//! INPUT is a file of the host with the bytes of the API's inputs, one after the other; OUTPUT is written with those of its
//! outputs. What the run took goes to standard output, a name and a number on each line.
#![no_std]
#![no_main]

use core::fmt;
use ekiben_qemu::{Board, HostError};
use ekiben_qemu::{command_line, entry, eprintln, exit, println, read_file, stack_peak, write_file};
use ekiben_runtime::artifact::MEMORY_ALIGNMENT;
use ekiben_runtime::{Artifact, Error, Executor, LoadError};

/// Longest command line.
const LINE_BYTES: usize = 1024;

#[entry]
fn main() -> ! {
    let board = Board::take().expect("nobody took the board before");
    let mut line = [0; LINE_BYTES];
    match run(board, &mut line) {
        Ok(()) => exit(0),
        Err(failure) => {
            eprintln!("run-artifact: {}", failure);
            exit(1)
        }
    }
}

/// Why an artifact was not run.
enum Failure<'a> {
    Usage,
    Host(&'a str, HostError),
    Load(LoadError),
    NoMemory,
    Run(Error),
    /// Bytes that the inputs take, and that the file has.
    InputLength(usize, usize),
}

impl fmt::Display for Failure<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage => f.write_str("usage: run-artifact ARTIFACT API ROWS INPUT OUTPUT"),
            Self::Host(what, error) => write!(f, "{what}: {error}"),
            Self::Load(error) => error.fmt(f),
            Self::NoMemory => f.write_str("the board has too little memory for the arena"),
            Self::Run(error) => error.fmt(f),
            Self::InputLength(needed, given) => write!(f, "the inputs take {needed} bytes, the file has {given}"),
        }
    }
}

struct Arguments<'a> {
    artifact: &'a str,
    api: usize,
    rows: usize,
    input: &'a str,
    output: &'a str,
}

impl<'a> Arguments<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split(' ').skip(1);
        let arguments = Self {
            artifact: words.next()?,
            api: words.next()?.parse().ok()?,
            rows: words.next()?.parse().ok()?,
            input: words.next()?,
            output: words.next()?,
        };
        words.next().is_none().then_some(arguments)
    }
}

fn run(board: Board, line: &mut [u8]) -> Result<(), Failure<'_>> {
    let line = command_line(line).map_err(|error| Failure::Host("command line", error))?;
    let Arguments { artifact: path, api, rows, input, output } = Arguments::parse(line).ok_or(Failure::Usage)?;

    let length = read_file(path, board.memory).map_err(|error| Failure::Host(path, error))?;
    let (bytes, rest) = board.memory.split_at_mut(length.next_multiple_of(MEMORY_ALIGNMENT));
    let (load, artifact) = board.counter.measure(|| Artifact::parse(&bytes[..length]));
    let artifact = artifact.map_err(Failure::Load)?;

    let arena_bytes = artifact.arena_bytes(api, rows).unwrap_or(0);
    let (arena, file) = rest.split_at_mut_checked(arena_bytes).ok_or(Failure::NoMemory)?;
    let mut executor = Executor::new(&artifact, api, rows, arena).map_err(Failure::Run)?;
    let given = read_file(input, file).map_err(|error| Failure::Host(input, error))?;
    fill_inputs(&mut executor, &file[..given])?;

    let (run, result) = board.counter.measure(|| executor.run());
    result.map_err(Failure::Run)?;
    let outputs = gather_outputs(&executor, file)?;
    write_file(output, outputs).map_err(|error| Failure::Host(output, error))?;
    println!("load_instructions {}\nrun_instructions {}", load, run);
    println!("arena_bytes {}\nstack_bytes {}", arena_bytes, stack_peak());
    Ok(())
}

fn fill_inputs<'a>(executor: &mut Executor<'_, '_>, values: &[u8]) -> Result<(), Failure<'a>> {
    let mut left = values;
    let mut needed = 0;
    for index in 0..executor.api().inputs.into() {
        let target = executor.input_view(index).map_err(Failure::Run)?.bytes;
        needed += target.len();
        let (head, tail) = left.split_at_checked(target.len()).unwrap_or_default();
        if head.len() == target.len() {
            target.copy_from_slice(head);
        }
        left = tail;
    }
    if needed == values.len() { Ok(()) } else { Err(Failure::InputLength(needed, values.len())) }
}

fn gather_outputs<'a, 'f>(executor: &Executor<'_, '_>, file: &'f mut [u8]) -> Result<&'f [u8], Failure<'a>> {
    let mut end = 0;
    for index in 0..executor.api().outputs.into() {
        let bytes = executor.output_view(index).map_err(Failure::Run)?.bytes;
        let target = file.get_mut(end..end + bytes.len()).ok_or(Failure::NoMemory)?;
        target.copy_from_slice(bytes);
        end += bytes.len();
    }
    Ok(&file[..end])
}
