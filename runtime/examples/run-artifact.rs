//! Runs any artifact: `run-artifact ARTIFACT API ROWS INPUT OUTPUT`.
//!
//! INPUT is a file with the bytes of the API's inputs, one after the other; OUTPUT is written with those of its outputs.
//! The image of the same name in `targets/firmware/qemu` does this on a microcontroller.

use ekiben_runtime::session::ArenaBuffer;
use ekiben_runtime::{Artifact, Executor};
use std::error::Error;
use std::process::ExitCode;
use std::{env, fs};

fn main() -> ExitCode {
    match run_files() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("run-artifact: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_files() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [artifact, api, rows, input, output] = arguments.as_slice() else {
        return Err("usage: run-artifact ARTIFACT API ROWS INPUT OUTPUT".into());
    };
    let (api, rows) = (api.parse()?, rows.parse()?);
    let file = fs::read(artifact)?;
    let (mut model, mut arena) = (ArenaBuffer::default(), ArenaBuffer::default());
    let bytes = &mut model.get(file.len())[..file.len()];
    bytes.copy_from_slice(&file);
    let artifact = Artifact::parse(bytes)?;
    let arena = arena.get(artifact.arena_bytes(api, rows).unwrap_or(0));
    let mut executor = Executor::new(&artifact, api, rows, arena)?;
    Ok(fs::write(output, run(&mut executor, &fs::read(input)?)?)?)
}

fn run(executor: &mut Executor<'_, '_>, values: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut left = values;
    for index in 0..executor.api().inputs.into() {
        let target = executor.input_view(index)?.bytes;
        let (head, tail) = left.split_at_checked(target.len()).ok_or("the file ends before the inputs do")?;
        target.copy_from_slice(head);
        left = tail;
    }
    if !left.is_empty() {
        return Err("bytes follow the inputs".into());
    }
    executor.run()?;
    let mut results = Vec::new();
    for index in 0..executor.api().outputs.into() {
        results.extend_from_slice(executor.output_view(index)?.bytes);
    }
    Ok(results)
}
