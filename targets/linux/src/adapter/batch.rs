//! The inputs of one run while they are collected.

use ekiben_runtime::artifact::plans::ApiRecord;
use ekiben_runtime::artifact::strings::Strings;
use ekiben_runtime::artifact::tensors::TensorRecord;
use ekiben_runtime::{Artifact, DType, Executor, TensorSpec};
use serde_json::Value;

use super::number::{Number, is_missing};

/// Elements of one input of the API.
#[derive(Clone, Debug)]
pub struct InputBuffer<'a> {
    /// Name.
    pub name: String,
    /// Type and shape.
    pub spec: TensorSpec,
    /// Elements of all rows so far, in C order.
    pub bytes: Vec<u8>,
    /// The artifact's strings, which number categories.
    strings: Strings<'a>,
}

impl<'a> InputBuffer<'a> {
    /// An empty buffer for a tensor of an artifact.
    pub fn new(artifact: &Artifact<'a>, record: &TensorRecord) -> Self {
        let strings = artifact.strings();
        Self {
            name: record.name.and_then(|name| strings.get(name)).unwrap_or_default().to_owned(),
            spec: record.spec,
            bytes: Vec::new(),
            strings,
        }
    }

    /// True when the elements are written as numbers.
    pub(super) fn is_numeric(&self) -> bool {
        !matches!(self.spec.dtype, DType::Category | DType::Text)
    }

    /// True for categories of an empty table: whatever stands there is not read.
    pub(super) fn is_ignored(&self) -> bool {
        let length = self.spec.table.and_then(|table| self.strings.list_len(table));
        self.spec.dtype == DType::Category && length == Some(0)
    }

    /// The number of a category.
    fn category(&self, text: &str) -> Option<u32> {
        self.strings.find(self.spec.table?, text)
    }

    fn push_category(&mut self, number: Option<u32>) {
        self.bytes.extend(number.unwrap_or(DType::UNKNOWN_CATEGORY).to_le_bytes());
    }

    /// Appends a text, whose bytes are followed by zeros.
    fn push_free_text(&mut self, text: &str) -> Result<(), String> {
        let most = self.elements_of_text();
        if text.len() > most {
            return Err(format!(
                "a text of {} bytes, the model takes {most} at most; compile it for longer ones",
                text.len()
            ));
        }
        if text.contains('\0') {
            return Err("a text with a NUL character".to_owned());
        }
        let end = self.bytes.len() + most;
        self.bytes.extend(text.as_bytes());
        self.bytes.resize(end, 0);
        Ok(())
    }

    /// Bytes of one text.
    fn elements_of_text(&self) -> usize {
        self.spec.shape.factors().last().map_or(0, |&bytes| bytes as usize)
    }

    /// Appends a field of a text table. A category that the model does not know, but pandas takes for a missing value, is one.
    pub(super) fn push_text(&mut self, field: &str) -> Result<(), String> {
        match self.spec.dtype {
            DType::Category => {
                let missing = || if is_missing(field) { self.category("") } else { None };
                let number = self.category(field).or_else(missing);
                self.push_category(number);
                Ok(())
            }
            DType::Text => self.push_free_text(field),
            dtype => {
                let number = Number::from_text(field).ok_or_else(|| format!("{field:?} is no number"))?;
                number.push(dtype, false, &mut self.bytes)
            }
        }
    }

    /// Appends a cell of a JSON table: numbers, texts that pandas reads as such, and null for a missing value. A number in a column of
    /// categories is a category that the model does not know.
    pub(super) fn push_cell(&mut self, value: &Value) -> Result<(), String> {
        match (value, self.spec.dtype) {
            (Value::String(text), _) => self.push_cell_text(text),
            (Value::Null, DType::Category) => {
                let number = self.category("");
                self.push_category(number);
                Ok(())
            }
            (Value::Null, DType::Text) => Err("a missing value is no text".to_owned()),
            (Value::Null, _) => self.push_float(f64::NAN),
            (Value::Number(_) | Value::Bool(_), DType::Category) => {
                self.push_category(None);
                Ok(())
            }
            (value, _) => self.push_element(value, false),
        }
    }

    /// Appends a cell of a JSON table that is a text.
    pub(super) fn push_cell_text(&mut self, text: &str) -> Result<(), String> {
        if self.spec.dtype == DType::Category {
            let number = self.category(text);
            self.push_category(number);
            return Ok(());
        }
        self.push_text(text)
    }

    /// Appends a float, NaN standing for a missing value.
    ///
    /// # Errors
    /// When the type cannot hold it.
    pub fn push_float(&mut self, value: f64) -> Result<(), String> {
        Number::Float(value).push(self.spec.dtype, false, &mut self.bytes)
    }

    /// Appends an element of a JSON array: a number, or a text for a category or a text. With `truncate`, floats lose their fraction in an integer tensor as
    /// in numpy.
    ///
    /// # Errors
    /// What is wrong with the value, and what the type needs.
    pub fn push_element(&mut self, value: &Value, truncate: bool) -> Result<(), String> {
        match (self.spec.dtype, value) {
            (DType::Category, Value::String(text)) => {
                let number = self.category(text);
                self.push_category(number);
                Ok(())
            }
            (DType::Text, Value::String(text)) => self.push_free_text(text),
            (DType::Category | DType::Text, _) => Err(format!("{value} is no text")),
            (dtype, value) => {
                let number = Number::from_json(value).ok_or_else(|| format!("{value} is no number"))?;
                number.push(dtype, truncate, &mut self.bytes)
            }
        }
    }

    /// Values of one row; a text is one.
    pub fn elements(&self) -> usize {
        let factors = self.spec.shape.factors();
        if let (DType::Text, Some((_, before))) = (self.spec.dtype, factors.split_last()) {
            return before
                .iter()
                .try_fold(1usize, |product, &dim| product.checked_mul(dim as usize))
                .unwrap_or(usize::MAX);
        }
        self.spec.shape.elements().and_then(|elements| usize::try_from(elements).ok()).unwrap_or(usize::MAX)
    }
}

/// The inputs of a run of some rows. The buffers keep their memory from batch to batch.
#[derive(Clone, Debug)]
pub struct Batch<'a> {
    /// One buffer per input of the API.
    pub inputs: Vec<InputBuffer<'a>>,
    /// Rows collected.
    pub rows: usize,
}

impl<'a> Batch<'a> {
    /// An empty batch for an API of an artifact.
    pub fn new(artifact: &Artifact<'a>, api: &ApiRecord) -> Self {
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

    /// Appends the rows of another batch of the same API, all of whose inputs have their rows on the first axis.
    pub fn append(&mut self, other: &Self) {
        self.rows += other.rows;
        for (input, more) in self.inputs.iter_mut().zip(&other.inputs) {
            input.bytes.extend_from_slice(&more.bytes);
        }
    }

    /// The row at `index` as a batch of its own; inputs that the rows share stay whole.
    pub fn row(&self, index: usize) -> Self {
        let row = |input: &InputBuffer<'a>| {
            let shared = !input.spec.shape.is_batched();
            let each = input.bytes.len() / self.rows.max(1);
            let bytes =
                if shared { &input.bytes[..] } else { input.bytes.chunks_exact(each.max(1)).nth(index).unwrap_or(&[]) };
            InputBuffer { bytes: bytes.to_vec(), name: input.name.clone(), ..*input }
        };
        Self { inputs: self.inputs.iter().map(row).collect(), rows: 1 }
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
