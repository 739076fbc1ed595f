//! Times an API with one matrix input: `bench-rows ARTIFACT API ROWS.f32`.
//!
//! The file holds rows of float32, as many as make up a batch. Prints milliseconds to load, the median of microseconds for one row
//! (another row on every call) and rows per second for all of them at once, as JSON. `tests/long/trees` compares them with other engines'.

use ekiben_runtime::{DType, Error as RunError, Executor, Session};
use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use std::{env, fs};

fn main() -> ExitCode {
    match bench() {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench-rows: {error}");
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Result<String, Box<dyn Error>> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [artifact, api, rows] = arguments.as_slice() else {
        return Err("usage: bench-rows ARTIFACT API ROWS.f32".into());
    };
    let x = fs::read(rows)?;
    let start = Instant::now();
    let mut session = Session::open(Path::new(artifact))?;
    let load = start.elapsed();
    let api = session.artifact().api_index(api).ok_or("there is no such API")?;

    // One executor for one row, as a service holds it.
    let mut one = Vec::new();
    let mut first = Vec::new();
    let mut width = 0;
    session.with_executor(api, 1, |executor| {
        width = executor.input_view(0)?.dims.at(1);
        for _ in 0..3 {
            for row in x.chunks_exact(width * 4).take(2_000) {
                let start = Instant::now();
                fill(executor, row)?;
                executor.run()?;
                one.push(start.elapsed());
                if first.is_empty() {
                    first = values(executor)?;
                }
            }
        }
        Ok::<_, RunError>(())
    })?;
    one.sort();

    let count = x.len() / (width * 4);
    let mut best = Duration::MAX;
    session.with_executor(api, count, |executor| {
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(1) {
            let start = Instant::now();
            fill(executor, &x)?;
            executor.run()?;
            best = best.min(start.elapsed());
        }
        Ok::<_, RunError>(())
    })?;
    Ok(format!(
        "{{\"load_ms\":{:.4},\"one_us\":{:.3},\"rows_per_s\":{:.0},\"first\":{first:?}}}",
        load.as_secs_f64() * 1e3,
        one[one.len() / 2].as_secs_f64() * 1e6,
        count as f64 / best.as_secs_f64(),
    ))
}

/// Gives the input rows of float32.
fn fill(executor: &mut Executor<'_, '_>, rows: &[u8]) -> Result<(), RunError> {
    let cells = rows.as_chunks().0.iter().map(|&cell| f32::from_le_bytes(cell));
    if executor.input_view(0)?.spec.dtype == DType::F64 {
        for (to, cell) in executor.input_mut::<f64>(0)?.iter_mut().zip(cells) {
            *to = cell.into();
        }
    } else {
        for (to, cell) in executor.input_mut::<f32>(0)?.iter_mut().zip(cells) {
            *to = cell;
        }
    }
    Ok(())
}

/// The first values of the output.
fn values(executor: &Executor<'_, '_>) -> Result<Vec<f64>, RunError> {
    Ok(match executor.output_view(0)?.spec.dtype {
        DType::I64 => executor.output::<i64>(0)?.iter().take(3).map(|&value| value as f64).collect(),
        DType::F64 => executor.output::<f64>(0)?.iter().take(3).copied().collect(),
        _ => executor.output::<f32>(0)?.iter().take(3).map(|&value| value.into()).collect(),
    })
}
