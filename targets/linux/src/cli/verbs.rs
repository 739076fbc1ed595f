//! `score`, `inspect`, `self-test`, `bench`.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use ekiben_runtime::Session;

use super::progress::Progress;
use super::{Exit, Failure};
use crate::adapter::Table;
use crate::output_file::OutputFile;
use crate::score::{DEFAULT_BATCH, ScoreError, Scorer};
use crate::{bench, inspect};

/// The name that stands for standard input and output.
const STANDARD: &str = "-";

/// Maps an artifact.
///
/// # Errors
/// Exit 1 when it cannot be read, 6 when it is refused.
pub fn open(path: &Path) -> Result<Session, Failure> {
    let session = Session::open(path)?;
    let (plans, apis) = (session.artifact().api_count(), session.manifest().apis.len());
    if plans != apis {
        let message = format!("{}: the manifest describes {apis} APIs, the plans {plans}", path.display());
        return Err(Failure::new(Exit::Corrupt, message));
    }
    Ok(session)
}

/// Index of the API called `name`, or of the only one.
///
/// # Errors
/// Exit 2, listing the APIs, when there is none of that name, or several and no name.
pub fn choose_api(session: &Session, name: Option<&str>) -> Result<usize, Failure> {
    let apis = &session.manifest().apis;
    let names: Vec<_> = apis.iter().map(|api| api.name.as_str()).collect();
    let listed = names.join(", ");
    match name {
        Some(name) => names
            .iter()
            .position(|other| *other == name)
            .ok_or_else(|| Failure::new(Exit::Usage, format!("the artifact has no API {name:?}; it has: {listed}"))),
        None if names.len() == 1 => Ok(0),
        None => Err(Failure::new(Exit::Usage, format!("name one of the artifact's APIs with --api: {listed}"))),
    }
}

/// A table format on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum TableArgument {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON value per line.
    Jsonl,
}

impl From<TableArgument> for Table {
    fn from(argument: TableArgument) -> Self {
        match argument {
            TableArgument::Csv => Self::Csv,
            TableArgument::Jsonl => Self::JsonLines,
        }
    }
}

/// An input format on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum InputArgument {
    /// Comma-separated values, one record per row.
    Csv,
    /// One record per line, as JSON.
    Jsonl,
    /// One request body, as the bento's own server takes it.
    Request,
}

/// Score a file with an artifact
#[derive(Args, Debug)]
pub struct Score {
    /// The artifact
    artifact: PathBuf,
    #[command(flatten)]
    options: ScoreOptions,
}

/// What to score, and where the answers go.
#[derive(Args, Debug)]
pub struct ScoreOptions {
    /// CSV, JSON lines, or a request body; - for standard input
    input: PathBuf,
    /// File to write the answers to; - for standard output
    #[arg(short, long, default_value = STANDARD)]
    output: PathBuf,
    /// API to call, where the artifact has several
    #[arg(long)]
    api: Option<String>,
    /// Format of the input [default: by its extension]
    #[arg(long, value_enum)]
    input_format: Option<InputArgument>,
    /// Format of the output [default: by its extension, else the input's; a request is answered with what the API returns]
    #[arg(long, value_enum)]
    format: Option<TableArgument>,
    /// Rows to run at a time
    #[arg(long, default_value_t = DEFAULT_BATCH, value_parser = at_least_one)]
    batch: usize,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|&number| number > 0).ok_or_else(|| "needs a whole number from 1".to_owned())
}

impl Score {
    /// Runs the verb.
    ///
    /// # Errors
    /// See [`Exit`].
    pub fn run(&self) -> Result<(), Failure> {
        self.options.run(&self.artifact)
    }
}

fn extension(path: &Path) -> Option<InputArgument> {
    match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
        "csv" => Some(InputArgument::Csv),
        "jsonl" | "ndjson" => Some(InputArgument::Jsonl),
        "json" | "png" | "jpg" | "jpeg" | "bmp" | "gif" | "webp" | "pbm" | "pgm" | "ppm" | "wav" => {
            Some(InputArgument::Request)
        }
        _ => None,
    }
}

fn table(input: InputArgument) -> Option<Table> {
    match input {
        InputArgument::Csv => Some(Table::Csv),
        InputArgument::Jsonl => Some(Table::JsonLines),
        InputArgument::Request => None,
    }
}

impl ScoreOptions {
    /// Scores with the artifact at `path`.
    ///
    /// # Errors
    /// See [`Exit`].
    pub fn run(&self, path: &Path) -> Result<(), Failure> {
        let session = open(path)?;
        let api = choose_api(&session, self.api.as_deref())?;
        let input_format = self.input_format.or_else(|| extension(&self.input)).ok_or_else(|| {
            let message = "the input's name does not tell its format; give --input-format csv, jsonl or request";
            Failure::new(Exit::Usage, message)
        })?;
        let by_extension = extension(&self.output).and_then(table);
        let format = self.format.map(Table::from).or(by_extension);
        let artifact = session.artifact();
        let scorer = Scorer::new(&artifact, &session.manifest().apis, api)?;
        let input = self.open_input()?;
        self.write(|out| match table(input_format) {
            None => scorer.score_request(input, out, format),
            Some(table) => scorer.score_rows(BufReader::new(input), table, out, format.unwrap_or(table), self.batch),
        })
    }

    fn open_input(&self) -> Result<Progress<Box<dyn Read>>, Failure> {
        if self.input == Path::new(STANDARD) {
            return Ok(Progress::new(Box::new(io::stdin()), None));
        }
        let unreadable = |error| Failure::new(Exit::Failure, format!("{}: {error}", self.input.display()));
        let file = File::open(&self.input).map_err(unreadable)?;
        let length = file.metadata().map_err(unreadable)?.len();
        Ok(Progress::new(Box::new(file), Some(length)))
    }

    /// Lets `score` write to the output, which takes its name only when all is written. A reader of standard output that has
    /// enough is no failure.
    fn write(&self, score: impl FnOnce(&mut dyn Write) -> Result<u64, ScoreError>) -> Result<(), Failure> {
        if self.output == Path::new(STANDARD) {
            return match score(&mut io::BufWriter::new(io::stdout().lock())) {
                Err(ScoreError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
                Err(error) => Err(error.into()),
                Ok(_) => Ok(()),
            };
        }
        let unwritable = |error| Failure::new(Exit::Failure, format!("{}: {error}", self.output.display()));
        let mut file = OutputFile::create(&self.output).map_err(unwritable)?;
        let rows = score(&mut file)?;
        file.finish().map_err(unwritable)?;
        eprintln!("{rows} rows scored to {}", self.output.display());
        Ok(())
    }
}

/// Show what an artifact holds
#[derive(Args, Debug)]
pub struct Inspect {
    /// The artifact
    artifact: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Inspect {
    /// Runs the verb.
    ///
    /// # Errors
    /// See [`Exit`].
    pub fn run(&self) -> Result<(), Failure> {
        let session = open(&self.artifact)?;
        let inspection = inspect::inspect(&session.artifact(), session.manifest());
        if self.json { print_json(&inspection) } else { Ok(write!(io::stdout(), "{inspection}")?) }
    }
}

fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::new(Exit::Failure, error))?;
    Ok(writeln!(io::stdout(), "{text}")?)
}

/// Check an artifact's digests and run its golden vectors
#[derive(Args, Debug)]
pub struct SelfTest {
    /// The artifact
    artifact: PathBuf,
}

impl SelfTest {
    /// Runs the verb.
    ///
    /// # Errors
    /// Exit 5 when results differ, 6 when the artifact is corrupt.
    pub fn run(&self) -> Result<(), Failure> {
        let report = open(&self.artifact)?.self_test()?;
        let counts = [("framework", report.framework), ("oracle", report.oracle), ("reference", report.reference)];
        let counts: Vec<_> = counts.iter().filter(|(_, count)| *count > 0).collect();
        let counts: Vec<_> = counts.into_iter().map(|(source, count)| format!("{source} {count}")).collect();
        let by = if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) };
        writeln!(io::stdout(), "digests match; {} golden vectors pass{by}", report.total())?;
        Ok(())
    }
}

/// Measure how fast an artifact runs here
#[derive(Args, Debug)]
pub struct Bench {
    /// The artifact
    artifact: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// API to run, where the artifact has several
    #[arg(long)]
    api: Option<String>,
    /// Threads; only 1 is there
    #[arg(long, default_value_t = 1)]
    threads: usize,
    /// Rows of each run [default: 1]
    #[arg(long, value_parser = at_least_one)]
    batch: Option<usize>,
}

impl Bench {
    /// Runs the verb.
    ///
    /// # Errors
    /// See [`Exit`].
    pub fn run(&self) -> Result<(), Failure> {
        if self.threads != 1 {
            return Err(Failure::new(Exit::Usage, "runs take one thread: give --threads 1"));
        }
        let choose = |session: &Session| choose_api(session, self.api.as_deref());
        let found = bench::bench(&self.artifact, open, choose, self.batch)?;
        if self.json {
            return print_json(&found);
        }
        let mut out = io::stdout();
        writeln!(out, "load {:.3} ms, first run {:.3} ms", found.load_ms, found.first_ms)?;
        writeln!(out, "median of {} runs {:.1} µs, batch {}", found.n, found.median_us, found.batch)?;
        writeln!(
            out,
            "artifact {} bytes, arena {} bytes, resident {} KiB",
            found.artifact_bytes, found.arena_bytes, found.rss_kb
        )?;
        Ok(())
    }
}
