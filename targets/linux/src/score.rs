//! Scores files: one request body, or one record per row in constant memory.

use std::io::{self, BufRead, Read, Write};

use ekiben_runtime::artifact::manifest::Api;
use ekiben_runtime::artifact::plans::ApiRecord;
use ekiben_runtime::{Artifact, Error, Executor};

use crate::adapter::{
    Answer, AnswerError, Batch, CsvCells, CsvRows, DataError, JsonLines, JsonText, Layout, PlainText, RowSource, Sink,
    Table, read_request,
};

/// Rows of a batch, unless the caller or the artifact says otherwise.
pub const DEFAULT_BATCH: usize = 256;

/// The largest request body, in bytes. Larger data belongs in a CSV or JSON lines file.
pub const MAX_BODY: u64 = 256 << 20;

/// Why a file cannot be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The input does not hold what the API takes.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The outputs do not fit the manifest.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// The artifact cannot run.
    #[error("the artifact cannot run: {0}")]
    Run(#[from] Error),
    /// The model refuses a row.
    #[error("row {row}: {error}")]
    Row {
        /// Number of the row, from 1.
        row: u64,
        /// Why.
        error: Error,
    },
    /// A row's answer has other columns than the first row's.
    #[error("row {row}: {found} output columns, the first row has {expected}; write JSON lines instead")]
    Ragged {
        /// Number of the row, from 1.
        row: u64,
        /// Its columns.
        found: usize,
        /// The first row's.
        expected: usize,
    },
    /// The input cannot be read.
    #[error("cannot read the input: {0}")]
    Read(io::Error),
    /// The output cannot be written.
    #[error("cannot write the output: {0}")]
    Write(io::Error),
}

/// One API of an artifact, with the arena to run it on.
#[derive(Debug)]
pub struct Scorer<'a> {
    /// The artifact.
    pub artifact: &'a Artifact<'a>,
    /// The API as the manifest describes it.
    pub api: &'a Api,
    /// The API's plan.
    pub record: ApiRecord,
    /// Its index.
    pub index: usize,
}

impl<'a> Scorer<'a> {
    /// Prepares the API at `index`.
    ///
    /// # Errors
    /// [`Error::NoApi`] when the manifest or the plans have no such API.
    pub fn new(artifact: &'a Artifact<'a>, apis: &'a [Api], index: usize) -> Result<Self, Error> {
        let missing = Error::NoApi { index, count: apis.len() };
        let api = apis.get(index).ok_or(missing)?;
        Ok(Self { artifact, api, record: artifact.api(index).ok_or(missing)?, index })
    }

    /// Rows of a batch: what is asked for, or the number that the model was compiled for. Records that have a value of their
    /// own for an input which a batch shares run one by one.
    pub fn batch_rows(&self, asked: usize) -> usize {
        let inputs = (0..self.record.inputs.into()).filter_map(|index| self.artifact.api_input(&self.record, index));
        match self.record.fixed_rows as usize {
            0 if inputs.map(|input| input.spec.shape).all(|shape| shape.is_batched()) => asked.max(1),
            0 => 1,
            fixed => fixed,
        }
    }

    /// Bytes of arena for a batch of `rows`.
    ///
    /// # Errors
    /// [`Error::ArenaTooSmall`] when they exceed the address space.
    pub fn arena_bytes(&self, rows: usize) -> Result<usize, Error> {
        let bytes = self.artifact.arena_bytes(self.index, rows);
        bytes.ok_or(Error::ArenaTooSmall { needed: usize::MAX, given: 0 })
    }

    /// Scores one request body: with a `format`, one line or row per record; without, the answer that the API gives. Returns
    /// the number of records.
    ///
    /// # Errors
    /// See [`ScoreError`].
    pub fn score_request(
        &self,
        input: impl Read,
        mut out: impl Write,
        format: Option<Table>,
    ) -> Result<u64, ScoreError> {
        let mut body = Vec::new();
        input.take(MAX_BODY + 1).read_to_end(&mut body).map_err(ScoreError::Read)?;
        if body.len() as u64 > MAX_BODY {
            let reason = format!("more than {MAX_BODY} bytes; give CSV or JSON lines, which are read row by row");
            return Err(DataError::Body { place: "body".to_owned(), reason }.into());
        }
        let mut batch = Batch::new(self.artifact, &self.record);
        read_request(self.api, &body, &mut batch)?;
        let mut arena = ekiben_runtime::session::ArenaBuffer::default();
        let arena = arena.get(self.arena_bytes(batch.rows)?);
        let mut executor = Executor::new(self.artifact, self.index, batch.rows, arena)?;
        self.run(&batch, &mut executor, 0)?;
        match format {
            Some(format) => {
                let mut writer = RowWriter::new(&mut out, format);
                writer.write(self, &executor)?;
                writer.finish()?;
            }
            None => {
                let answer = Answer::new(self.artifact, &executor)?;
                let (mut json, mut plain) = (JsonText::default(), PlainText::default());
                let sink: &mut dyn Sink = if self.api.is_text { &mut plain } else { &mut json };
                match self.api.input.is_row() {
                    true => answer.row(&self.api.returns, 0, sink)?,
                    false => answer.whole(&self.api.returns, sink)?,
                }
                let text = plain.finish()?;
                let body = if self.api.is_text { text.as_bytes() } else { json.text() };
                out.write_all(body).and_then(|()| out.write_all(b"\n")).map_err(ScoreError::Write)?;
            }
        }
        out.flush().map_err(ScoreError::Write)?;
        Ok(batch.rows as u64)
    }

    /// Scores one record per row, `rows` at a time; memory does not grow with the file. Returns the number of records.
    ///
    /// # Errors
    /// See [`ScoreError`]; rows before the one at fault may have been written.
    pub fn score_rows(
        &self,
        input: impl BufRead,
        input_format: Table,
        out: impl Write,
        format: Table,
        rows: usize,
    ) -> Result<u64, ScoreError> {
        let mut batch = Batch::new(self.artifact, &self.record);
        let layout = Layout::new(self.api, &batch)?;
        let mut source: Box<dyn RowSource + '_> = match input_format {
            Table::Csv => Box::new(CsvRows::new(input, &layout)),
            Table::JsonLines => Box::new(JsonLines::new(input, &layout)),
        };
        let rows = self.batch_rows(rows);
        let mut arena = ekiben_runtime::session::ArenaBuffer::default();
        let mut executor = Executor::new(self.artifact, self.index, rows, arena.get(self.arena_bytes(rows)?))?;
        let mut writer = RowWriter::new(out, format);
        loop {
            batch.clear();
            while batch.rows < rows && source.read(&mut batch)? {}
            if batch.rows == 0 {
                break;
            }
            self.run(&batch, &mut executor, writer.rows)?;
            writer.write(self, &executor)?;
        }
        writer.finish()
    }

    /// Runs the API on the rows of `batch`, of which `done` came before. Where that fails, the rows run one by one, so that the error can
    /// say which one the model refuses.
    fn run(&self, batch: &Batch<'_>, executor: &mut Executor<'_, '_>, done: u64) -> Result<(), ScoreError> {
        let Err(error) = batch.run(executor) else { return Ok(()) };
        if self.record.fixed_rows == 0 {
            for index in 0..batch.rows {
                if let Err(error) = batch.row(index).run(executor) {
                    return Err(ScoreError::Row { row: done + index as u64 + 1, error });
                }
            }
        }
        Err(error.into())
    }
}

/// Where answers go, one per row.
enum Rows<W: Write> {
    Csv(Box<csv::Writer<W>>, CsvCells),
    JsonLines(W, JsonText),
}

/// Writes one answer per row.
struct RowWriter<W: Write> {
    out: Rows<W>,
    rows: u64,
}

impl<W: Write> RowWriter<W> {
    fn new(out: W, format: Table) -> Self {
        let out = match format {
            Table::Csv => Rows::Csv(Box::new(csv::Writer::from_writer(out)), CsvCells::default()),
            Table::JsonLines => Rows::JsonLines(out, JsonText::default()),
        };
        Self { out, rows: 0 }
    }

    /// Writes the answers to all rows of the executor's last run.
    fn write(&mut self, scorer: &Scorer<'_>, executor: &Executor<'_, '_>) -> Result<(), ScoreError> {
        let answer = Answer::new(scorer.artifact, executor)?;
        for row in 0..executor.rows() {
            self.rows += 1;
            match &mut self.out {
                Rows::JsonLines(out, json) => {
                    json.clear();
                    answer.row(&scorer.api.returns, row, json)?;
                    out.write_all(json.text()).and_then(|()| out.write_all(b"\n")).map_err(ScoreError::Write)?;
                }
                Rows::Csv(out, cells) => {
                    cells.begin_row(self.rows == 1);
                    answer.row(&scorer.api.returns, row, cells)?;
                    write_cells(out, cells, self.rows)?;
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<u64, ScoreError> {
        match &mut self.out {
            Rows::Csv(out, _) => out.flush(),
            Rows::JsonLines(out, _) => out.flush(),
        }
        .map_err(ScoreError::Write)?;
        Ok(self.rows)
    }
}

fn write_cells<W: Write>(out: &mut csv::Writer<W>, cells: &CsvCells, row: u64) -> Result<(), ScoreError> {
    let (found, expected) = (cells.cells().len(), cells.names().len());
    if found != expected {
        return Err(ScoreError::Ragged { row, found, expected });
    }
    let header = if row == 1 { out.write_record(cells.names()) } else { Ok(()) };
    header.and_then(|()| out.write_byte_record(cells.cells())).map_err(write_error)
}

fn write_error(error: csv::Error) -> ScoreError {
    ScoreError::Write(match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    })
}
