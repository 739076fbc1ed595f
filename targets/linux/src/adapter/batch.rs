//! The inputs of one run while they are collected.

use std::collections::HashMap;

use ekiben_runtime::artifact::plans::ApiRecord;
use ekiben_runtime::artifact::strings::Strings;
use ekiben_runtime::artifact::tensors::TensorRecord;
use ekiben_runtime::{Artifact, DType, Executor, TensorSpec};
use serde_json::Value;

use super::number::Number;

/// Elements of one input of the API.
#[derive(Clone, Debug)]
pub struct InputBuffer {
    /// Name.
    pub name: String,
    /// Type and shape.
    pub spec: TensorSpec,
    /// Elements of all rows so far, in C order.
    pub bytes: Vec<u8>,
    /// For a category: the number of each string.
    categories: HashMap<String, u32>,
}

/// The numbers of a table's strings; the first of equal ones counts.
fn categories(strings: &Strings<'_>, table: u32) -> HashMap<String, u32> {
    let mut numbers = HashMap::new();
    for number in 0..strings.list_len(table).unwrap_or(0) {
        if let Some(string) = strings.list_item(table, number) {
            numbers.entry(string.to_owned()).or_insert(number);
        }
    }
    numbers
}

impl InputBuffer {
    /// An empty buffer for a tensor of an artifact.
    pub fn new(artifact: &Artifact<'_>, record: &TensorRecord) -> Self {
        let strings = artifact.strings();
        Self {
            name: record.name.and_then(|name| strings.get(name)).unwrap_or_default().to_owned(),
            spec: record.spec,
            bytes: Vec::new(),
            categories: record.spec.table.map(|table| categories(&strings, table)).unwrap_or_default(),
        }
    }

    /// True when the elements are written as numbers.
    pub(super) fn is_numeric(&self) -> bool {
        self.spec.dtype != DType::Category
    }

    fn push_category(&mut self, text: &str) {
        let number = self.categories.get(text).copied().unwrap_or(DType::UNKNOWN_CATEGORY);
        self.bytes.extend(number.to_le_bytes());
    }

    /// Appends a field of a text table.
    pub(super) fn push_text(&mut self, field: &str) -> Result<(), String> {
        if self.spec.dtype == DType::Category {
            self.push_category(field);
            return Ok(());
        }
        let number = Number::from_text(field).ok_or_else(|| format!("{field:?} is no number"))?;
        number.push(self.spec.dtype, false, &mut self.bytes)
    }

    /// Appends a cell of a JSON table: numbers, texts that pandas reads as such, and null for a missing value.
    pub(super) fn push_cell(&mut self, value: &Value) -> Result<(), String> {
        match (value, self.spec.dtype) {
            (Value::String(text), _) => self.push_text(text),
            (Value::Null, DType::Category) => self.push_text(""),
            (Value::Null, _) => self.push_float(f64::NAN),
            (value, _) => self.push_element(value, false),
        }
    }

    /// Appends a float, NaN standing for a missing value.
    ///
    /// # Errors
    /// When the type cannot hold it.
    pub fn push_float(&mut self, value: f64) -> Result<(), String> {
        Number::Float(value).push(self.spec.dtype, false, &mut self.bytes)
    }

    /// Appends an element of a JSON array: a number, or a text for a category. With `truncate`, floats lose their fraction in an integer tensor as in numpy.
    ///
    /// # Errors
    /// What is wrong with the value, and what the type needs.
    pub fn push_element(&mut self, value: &Value, truncate: bool) -> Result<(), String> {
        match (self.spec.dtype, value) {
            (DType::Category, Value::String(text)) => {
                self.push_category(text);
                Ok(())
            }
            (DType::Category, _) => Err(format!("{value} is no text")),
            (dtype, value) => {
                let number = Number::from_json(value).ok_or_else(|| format!("{value} is no number"))?;
                number.push(dtype, truncate, &mut self.bytes)
            }
        }
    }

    /// Elements of one row.
    pub fn elements(&self) -> usize {
        self.spec.shape.elements().and_then(|elements| usize::try_from(elements).ok()).unwrap_or(usize::MAX)
    }
}

/// The inputs of a run of some rows. The buffers keep their memory from batch to batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// One buffer per input of the API.
    pub inputs: Vec<InputBuffer>,
    /// Rows collected.
    pub rows: usize,
}

impl Batch {
    /// An empty batch for an API of an artifact.
    pub fn new(artifact: &Artifact<'_>, api: &ApiRecord) -> Self {
        let records = (0..api.inputs.into()).filter_map(|index| artifact.api_input(api, index));
        let inputs = records.map(|record| InputBuffer::new(artifact, &record));
        Self { inputs: inputs.collect(), rows: 0 }
    }

    /// Forgets the rows and keeps the memory.
    pub fn clear(&mut self) {
        self.rows = 0;
        for input in &mut self.inputs {
            input.bytes.clear();
        }
    }

    /// Runs the API on the rows.
    ///
    /// # Errors
    /// Those of [`Executor::set_rows`] and [`Executor::run`].
    pub fn run(&self, executor: &mut Executor<'_, '_>) -> Result<(), ekiben_runtime::Error> {
        executor.set_rows(self.rows)?;
        for (index, input) in self.inputs.iter().enumerate() {
            let view = executor.input_view(index)?;
            let (given, needed) = (input.bytes.len(), view.bytes.len());
            if given != needed {
                return Err(ekiben_runtime::Error::ArenaTooSmall { needed, given });
            }
            view.bytes.copy_from_slice(&input.bytes);
        }
        executor.run()
    }
}
