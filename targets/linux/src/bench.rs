//! How fast an artifact runs on this device.

use std::path::Path;
use std::time::{Duration, Instant};

use ekiben_runtime::executor::Error;
use ekiben_runtime::kernels::reference::cast::cast;
use ekiben_runtime::{DType, Executor, Session};
use serde::Serialize;

use crate::adapter::{Batch, Scalar, number};
use crate::score::Scorer;

/// Measured runs take this long at least, and there are [`MIN_RUNS`] of them at least.
const MIN_TIME: Duration = Duration::from_secs(1);
/// Fewest measured runs.
const MIN_RUNS: usize = 20;
/// Runs before those that are measured.
const WARM_UP: usize = 3;
/// A slow model stops here even with fewer than [`MIN_RUNS`].
const MAX_TIME: Duration = Duration::from_secs(20);
/// Output values that are reported.
const VALUES: usize = 4;

/// What a measurement found. Its fields are the keys of `bench --json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Measurement {
    /// Milliseconds to map and check the artifact.
    pub load_ms: f64,
    /// Milliseconds of the first run, arena and pages included.
    pub first_ms: f64,
    /// Median of the measured runs, in microseconds.
    pub median_us: f64,
    /// Number of measured runs.
    pub n: usize,
    /// Threads that ran.
    pub threads: usize,
    /// Rows of each run.
    pub batch: usize,
    /// Bytes of the arena.
    pub arena_bytes: usize,
    /// Bytes of the artifact.
    pub artifact_bytes: usize,
    /// Resident memory of the process afterwards, in KiB.
    pub rss_kb: u64,
    /// First values of the first output.
    pub out: Vec<serde_json::Value>,
}

/// Measures API `api` of the artifact at `path` on batches of `batch` rows, with inputs that depend on nothing but their position.
///
/// # Errors
/// [`Error`] when the API cannot run on that many rows. `open` is called to load the artifact.
pub fn bench<E: From<Error>>(
    path: &Path,
    open: impl FnOnce(&Path) -> Result<Session, E>,
    choose: impl FnOnce(&Session) -> Result<usize, E>,
    batch: Option<usize>,
) -> Result<Measurement, E> {
    let start = Instant::now();
    let session = open(path)?;
    let load = start.elapsed();
    let index = choose(&session)?;
    let artifact = session.artifact();
    let scorer = Scorer::new(&artifact, &session.manifest().apis, index)?;
    let rows = match batch {
        Some(rows) => rows,
        None => scorer.batch_rows(1),
    };
    let inputs = inputs(&scorer, rows);
    let start = Instant::now();
    let arena_bytes = scorer.arena_bytes(rows)?;
    let mut buffer = ekiben_runtime::session::ArenaBuffer::default();
    let mut executor = Executor::new(&artifact, index, rows, buffer.get(arena_bytes))?;
    inputs.run(&mut executor)?;
    let first = start.elapsed();
    let out = first_values(&executor)?;
    for _ in 0..WARM_UP {
        inputs.run(&mut executor)?;
    }
    let mut times = Vec::new();
    let start = Instant::now();
    while (times.len() < MIN_RUNS || start.elapsed() < MIN_TIME) && (times.is_empty() || start.elapsed() < MAX_TIME) {
        let run = Instant::now();
        inputs.run(&mut executor)?;
        times.push(run.elapsed());
    }
    times.sort();
    Ok(Measurement {
        load_ms: nanoseconds(load) / 1e6,
        first_ms: nanoseconds(first) / 1e6,
        median_us: nanoseconds(times[times.len() / 2]) / 1e3,
        n: times.len(),
        threads: 1,
        batch: rows,
        arena_bytes,
        artifact_bytes: artifact.bytes().len(),
        rss_kb: resident_kib(),
        out,
    })
}

/// Inputs whose floats are in [-1, 1) and whose 8-bit integers take any value, others 0 and 1: a hash of the element's position.
fn inputs<'a>(scorer: &Scorer<'a>, rows: usize) -> Batch<'a> {
    let mut batch = Batch::new(scorer.artifact, &scorer.record);
    batch.rows = rows;
    for input in &mut batch.inputs {
        let rows = if input.spec.shape.is_batched() { rows } else { 1 };
        let width = (input.spec.dtype.bits() / 8).max(1) as usize;
        let elements = input.spec.shape.elements().unwrap_or(0).saturating_mul(rows as u64);
        let bytes = input.spec.dtype.bytes(elements).unwrap_or(0) as usize;
        input.bytes.resize(bytes, 0);
        for (position, element) in input.bytes.chunks_exact_mut(width).enumerate() {
            let hash = hash(position as u32);
            if width == 1 && input.spec.dtype != DType::Bool {
                element[0] = (hash >> 24) as u8;
                continue;
            }
            let is_float = input.spec.dtype.is_float();
            let value = if is_float { f64::from(hash) / 2f64.powi(31) - 1.0 } else { f64::from(hash & 1) };
            let to = if input.spec.dtype == DType::Category { DType::U32 } else { input.spec.dtype };
            cast(DType::F64, &value.to_le_bytes(), to, element);
        }
    }
    batch
}

/// A hash of 32 bits that spreads over all of them.
fn hash(value: u32) -> u32 {
    let mut hash = value.wrapping_mul(2_654_435_761).wrapping_add(12345);
    hash ^= hash >> 15;
    hash = hash.wrapping_mul(2_246_822_519);
    hash ^ (hash >> 13)
}

fn first_values(executor: &Executor<'_, '_>) -> Result<Vec<serde_json::Value>, Error> {
    let view = executor.output_view(0)?;
    let values = (0..view.dims.elements().min(VALUES)).map(|index| match number(view.spec.dtype, view.bytes, index) {
        Scalar::Bool(flag) => flag.into(),
        Scalar::Integer(integer) => i64::try_from(integer).map_or(serde_json::Value::Null, Into::into),
        Scalar::Float(value) => value.into(),
        Scalar::Text(text) => text.into(),
        Scalar::Null => serde_json::Value::Null,
    });
    Ok(values.collect())
}

/// Resident memory of this process in KiB, 0 where the system does not tell.
fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

/// Whole nanoseconds: what is printed then has no more digits than the clock.
fn nanoseconds(time: Duration) -> f64 {
    time.as_nanos() as f64
}
