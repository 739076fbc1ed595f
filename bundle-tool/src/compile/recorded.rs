//! Golden vectors from recorded examples: inputs, and the framework's own answers to them.
//!
//! Answers are what the API returns, so they are led back to the outputs: the API's template is walked over tensors whose
//! elements say where they stand, and what is found at the same place of a recorded answer is that element's value.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use ekiben_edge::adapter::{
    Answer, Batch, CsvCells, CsvRows, DataError, InputBuffer, JsonLines, JsonText, Layout, RowSource, read_request,
};
use ekiben_edge::score::Scorer;
use ekiben_runtime::artifact::golden::{Difference, Source, VectorHead, compare};
use ekiben_runtime::artifact::manifest::Manifest;
use ekiben_runtime::artifact::{GoldenValues, GoldenVector};
use ekiben_runtime::tensor::View;
use ekiben_runtime::{Artifact, DType, Executor, TensorSpec};
use serde_json::Value;

use super::golden::{HEAD, STORED};
use crate::bundle::MODEL_LIMIT;
use crate::graph::AlignedBytes;

/// The most rows that are compared.
const MAX_ROWS: usize = 4096;

/// Tolerance of float outputs against the framework's.
const TOLERANCE: (f32, f32) = (1e-6, 1e-5);

/// Marks an element that says where it stands; the output's index is above [`OUTPUT_SHIFT`], the element's below.
const MARK: u64 = 1 << 63;
const OUTPUT_SHIFT: u32 = 48;

/// Recorded examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Inputs: `.csv`, `.jsonl`, or a request body.
    pub data: PathBuf,
    /// The framework's answers: for each row of `data` one row or line; for a request one JSON value.
    pub expected: PathBuf,
    /// The API; may be absent when there is only one.
    pub api: Option<String>,
}

/// Why recorded examples cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordedError {
    /// No such API, or several and none named.
    #[error("name the API of the recorded examples with --api: {apis}")]
    Api {
        /// The APIs.
        apis: String,
    },
    /// A file cannot be read.
    #[error("{path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The inputs do not fit the API.
    #[error("{path}: {error}")]
    Data {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        error: DataError,
    },
    /// The API cannot run.
    #[error("the recorded examples cannot be run: {0}")]
    Run(#[from] ekiben_runtime::Error),
    /// Not even one example fits into the space that golden vectors may take.
    #[error("one recorded example takes {needed} bytes, golden vectors may take {budget}")]
    TooLarge {
        /// Bytes of one row's vector.
        needed: usize,
        /// Bytes that there are.
        budget: usize,
    },
    /// The artifact's answer is not the recorded one.
    #[error(
        "the artifact's answer differs from the recorded one: output {output}, element {}: recorded {}, computed {}",
        difference.element, difference.expected, difference.actual
    )]
    Differs {
        /// Index of the output.
        output: usize,
        /// The first element that differs.
        difference: Difference,
    },
}

/// The form of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    Csv,
    JsonLines,
    Json,
}

fn form(path: &Path) -> Form {
    match path.extension().and_then(|extension| extension.to_str()) {
        Some("csv") => Form::Csv,
        Some("jsonl" | "ndjson") => Form::JsonLines,
        _ => Form::Json,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RecordedError> {
    let failed = |reason: String| RecordedError::File { path: path.into(), reason };
    let size = std::fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
    if size > MODEL_LIMIT {
        return Err(failed(format!("{size} bytes; at most {MODEL_LIMIT} are read")));
    }
    std::fs::read(path).map_err(|error| failed(error.to_string()))
}

impl Recorded {
    /// Compares the artifact with all examples and makes a vector of as many rows as fit `budget` bytes, one at least.
    pub(super) fn vector(
        &self,
        artifact: &Artifact<'_>,
        manifest: &Manifest,
        budget: usize,
    ) -> Result<GoldenVector, RecordedError> {
        let apis = &manifest.apis;
        let named = |name: &String| apis.iter().position(|api| api.name == *name);
        let index = self.api.as_ref().map_or((apis.len() == 1).then_some(0), named);
        let names = || apis.iter().map(|api| api.name.as_str()).collect::<Vec<_>>().join(", ");
        let scorer = Scorer::new(artifact, apis, index.ok_or_else(|| RecordedError::Api { apis: names() })?)?;
        let batch = self.inputs(&scorer)?;
        let mut arena = AlignedBytes::zeroed(scorer.arena_bytes(batch.rows)?);
        let mut executor = Executor::new(artifact, scorer.index, batch.rows, arena.as_mut_slice())?;
        batch.run(&mut executor)?;
        let outputs = self.outputs(&scorer, &executor)?;
        let (absolute, relative) = TOLERANCE;
        let head = VectorHead {
            api: scorer.index as u32,
            source: Source::Framework,
            rows: batch.rows as u32,
            absolute,
            relative,
        };
        for (output, expected) in outputs.iter().enumerate() {
            let actual = executor.output_view(output)?;
            if let Some(difference) = compare(&actual.spec, &head, expected, actual.bytes) {
                return Err(RecordedError::Differs { output, difference });
            }
        }
        fit(&scorer, head, &batch, &outputs, budget)
    }

    fn inputs<'a>(&self, scorer: &Scorer<'a>) -> Result<Batch<'a>, RecordedError> {
        let failed = |error| RecordedError::Data { path: self.data.clone(), error };
        let bytes = read(&self.data)?;
        let mut batch = Batch::new(scorer.artifact, &scorer.record);
        if form(&self.data) == Form::Json {
            read_request(scorer.api, &bytes, &mut batch).map_err(failed)?;
            return Ok(batch);
        }
        let layout = Layout::new(scorer.api, &batch).map_err(failed)?;
        let mut rows: Box<dyn RowSource + '_> = match form(&self.data) {
            Form::Csv => Box::new(CsvRows::new(bytes.as_slice(), &layout)),
            _ => Box::new(JsonLines::new(BufReader::new(bytes.as_slice()), &layout)),
        };
        let most = scorer.batch_rows(MAX_ROWS);
        while batch.rows < most && rows.read(&mut batch).map_err(failed)? {}
        Ok(batch)
    }

    /// The outputs that the recorded answers stand for; elements that no answer shows are the executor's own.
    fn outputs(&self, scorer: &Scorer<'_>, executor: &Executor<'_, '_>) -> Result<Vec<Vec<u8>>, RecordedError> {
        let failed = |reason: String| RecordedError::File { path: self.expected.clone(), reason };
        let views = (0..executor.api().outputs.into()).map(|index| executor.output_view(index));
        let views = views.collect::<Result<Vec<_>, _>>()?;
        if views.iter().any(|view| view.spec.dtype == DType::Text) {
            return Err(failed("outputs of type text cannot be recorded".to_owned()));
        }
        let marks: Vec<_> = views.iter().enumerate().map(|(output, view)| marks(output, view)).collect();
        let marked = views.iter().zip(&marks).map(|(view, marks)| View {
            spec: TensorSpec::new(DType::U64, view.spec.shape),
            dims: view.dims,
            bytes: marks.as_slice(),
        });
        let places = Answer::of(marked.collect(), scorer.artifact.strings(), executor.rows());
        let outputs = views.iter().map(|view| view.bytes.to_vec()).collect();
        let mut reader = AnswerReader { scorer, places, rows: executor.rows(), outputs };
        let bytes = read(&self.expected)?;
        match form(&self.expected) {
            Form::Json => reader.whole(&bytes),
            Form::JsonLines => reader.lines(&bytes),
            Form::Csv => reader.table(&bytes),
        }
        .map_err(failed)?;
        Ok(reader.outputs)
    }
}

/// Puts recorded answers into outputs.
struct AnswerReader<'a> {
    scorer: &'a Scorer<'a>,
    /// The outputs with marks for elements.
    places: Answer<'a>,
    rows: usize,
    outputs: Vec<Vec<u8>>,
}

impl AnswerReader<'_> {
    /// One JSON value, the answer to a request.
    fn whole(&mut self, bytes: &[u8]) -> Result<(), String> {
        let answer = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        let mut text = JsonText::default();
        self.places.whole(&self.scorer.api.returns, &mut text).map_err(|error| error.to_string())?;
        self.pair(&parsed(&text), &answer)
    }

    /// One JSON value per row.
    fn lines(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut lines = bytes.split(|&byte| byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
        for row in 0..self.rows {
            let line = lines.next().ok_or_else(|| format!("no answer for row {}", row + 1))?;
            let answer = serde_json::from_slice(line).map_err(|error| format!("answer {}: {error}", row + 1))?;
            let mut text = JsonText::default();
            self.places.row(&self.scorer.api.returns, row, &mut text).map_err(|error| error.to_string())?;
            self.pair(&parsed(&text), &answer).map_err(|reason| format!("answer {}: {reason}", row + 1))?;
        }
        Ok(())
    }

    /// One CSV row per row, under the columns that `score` gives them.
    fn table(&mut self, bytes: &[u8]) -> Result<(), String> {
        let mut table = csv::Reader::from_reader(bytes);
        let header = table.headers().map_err(|error| error.to_string())?.clone();
        let mut cells = CsvCells::default();
        let mut records = table.records();
        for row in 0..self.rows {
            cells.begin_row(row == 0);
            self.places.row(&self.scorer.api.returns, row, &mut cells).map_err(|error| error.to_string())?;
            if !header.iter().eq(cells.names()) {
                return Err(format!("the columns must be {}", cells.names().join(",")));
            }
            let record = records.next().ok_or_else(|| format!("no answer for row {}", row + 1))?;
            let record = record.map_err(|error| error.to_string())?;
            for (place, field) in cells.cells().iter().zip(&record) {
                let place = std::str::from_utf8(place).ok().and_then(|text| text.parse::<u64>().ok());
                let value = serde_json::from_str(field).unwrap_or_else(|_| Value::from(field));
                let paired = self.pair(&place.map_or(Value::Null, Value::from), &value);
                paired.map_err(|reason| format!("answer {}: {reason}", row + 1))?;
            }
        }
        Ok(())
    }

    /// Puts every value of the answer at the element whose mark has its place.
    fn pair(&mut self, places: &Value, answer: &Value) -> Result<(), String> {
        match (places, answer) {
            (Value::Array(places), Value::Array(items)) if places.len() == items.len() => {
                places.iter().zip(items).try_for_each(|(place, item)| self.pair(place, item))
            }
            (Value::Object(places), Value::Object(members)) if places.len() == members.len() => {
                places.iter().try_for_each(|(key, place)| {
                    self.pair(place, members.get(key).ok_or_else(|| format!("the answer lacks {key:?}"))?)
                })
            }
            (place, answer) => match place.as_u64().filter(|&place| place >= MARK) {
                Some(mark) => self.put(mark, answer),
                // A constant of the answer: nothing is computed there.
                None if !place.is_array() && !place.is_object() => Ok(()),
                None => Err(format!("{answer} does not have the form that the API returns")),
            },
        }
    }

    /// Replaces the marked element by a recorded value.
    fn put(&mut self, mark: u64, value: &Value) -> Result<(), String> {
        let output = ((mark & !MARK) >> OUTPUT_SHIFT) as usize;
        let element = (mark & ((1 << OUTPUT_SHIFT) - 1)) as usize;
        let record = self.scorer.artifact.api_output(&self.scorer.record, output).ok_or("no such output")?;
        let mut buffer = InputBuffer::new(self.scorer.artifact, &record);
        match (value, record.spec.dtype) {
            (Value::String(text), dtype) if dtype.is_float() && text.eq_ignore_ascii_case("nan") => {
                buffer.push_float(f64::NAN)?;
            }
            (Value::Null, dtype) if dtype.is_float() => buffer.push_float(f64::NAN)?,
            (value, _) => buffer.push_element(value, false)?,
        }
        let width = buffer.bytes.len();
        let slot = self.outputs.get_mut(output).and_then(|bytes| bytes.get_mut(element * width..(element + 1) * width));
        slot.ok_or("no such element")?.copy_from_slice(&buffer.bytes);
        Ok(())
    }
}

fn parsed(text: &JsonText) -> Value {
    serde_json::from_slice(text.text()).unwrap_or_default()
}

/// A tensor as large as `view` whose elements are marks.
fn marks(output: usize, view: &View<'_>) -> AlignedBytes {
    let mut bytes = AlignedBytes::zeroed(view.dims.elements() * size_of::<u64>());
    for (element, slot) in bytes.as_mut_slice().chunks_exact_mut(size_of::<u64>()).enumerate() {
        slot.copy_from_slice(&(MARK | (output as u64) << OUTPUT_SHIFT | element as u64).to_le_bytes());
    }
    bytes
}

/// The first rows of a vector, as many as fit.
fn fit(
    scorer: &Scorer<'_>,
    head: VectorHead,
    batch: &Batch<'_>,
    outputs: &[Vec<u8>],
    budget: usize,
) -> Result<GoldenVector, RecordedError> {
    let total = head.rows as usize;
    let is_sliced = |spec: &TensorSpec| spec.shape.is_batch(0);
    let records = (0..outputs.len()).filter_map(|index| scorer.artifact.api_output(&scorer.record, index));
    let specs: Vec<_> = batch.inputs.iter().map(|input| input.spec).chain(records.map(|record| record.spec)).collect();
    let values: Vec<&[u8]> =
        batch.inputs.iter().map(|input| input.bytes.as_slice()).chain(outputs.iter().map(Vec::as_slice)).collect();
    // Tensors whose rows are not their first axis go whole or not at all.
    let can_slice = specs.iter().all(|spec| is_sliced(spec) || !spec.shape.is_batched());
    let take = |rows: usize, index: usize| {
        let bytes = values[index];
        if is_sliced(&specs[index]) { &bytes[..bytes.len() / total.max(1) * rows] } else { bytes }
    };
    let size = |rows: usize| {
        let bytes = (0..values.len()).map(|index| STORED + take(rows, index).len());
        HEAD + bytes.sum::<usize>()
    };
    let least = if can_slice { 1 } else { total };
    let rows = (least..=total).rev().find(|&rows| size(rows) <= budget);
    let rows = rows.ok_or_else(|| RecordedError::TooLarge { needed: size(least), budget })?;
    let inputs = (0..batch.inputs.len()).map(|index| GoldenValues::Stored(take(rows, index).to_vec()));
    let outputs = (batch.inputs.len()..values.len()).map(|index| take(rows, index).to_vec());
    let head = VectorHead { rows: rows as u32, ..head };
    Ok(GoldenVector { head, inputs: inputs.collect(), outputs: outputs.collect() })
}
