//! Where the fields of one record go: what a row of a CSV or JSON lines file must hold.

use ekiben_runtime::artifact::manifest::{Api, Frame, InputAdapter, ParameterKind};

use super::{Batch, DataError};

/// One parameter's share of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// The parameter's name; `None` where the record is the only value.
    pub(super) name: Option<String>,
    /// Index of the API's input.
    pub(super) input: usize,
    /// Elements in the record.
    pub(super) elements: usize,
    /// True for a data frame's row, whose cells may be missing.
    pub(super) is_frame: bool,
}

/// One field of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Declared name.
    pub name: Option<String>,
    /// Index of the API's input that it belongs to.
    pub input: usize,
}

/// The fields of a record, in the order of the API's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub(super) parts: Vec<Part>,
    columns: Vec<Column>,
}

/// The most fields that a record may have.
const MAX_COLUMNS: usize = 1 << 24;

impl Layout {
    /// The layout of an API's records.
    ///
    /// # Errors
    /// [`DataError::Api`] when an input's rows do not lie one after the other, or an input is not filled by exactly one parameter.
    pub fn new(api: &Api, batch: &Batch) -> Result<Self, DataError> {
        let refused = |reason: String| DataError::Api { api: api.name.clone(), reason };
        let mut layout = Self { parts: Vec::new(), columns: Vec::new() };
        match &api.input {
            InputAdapter::Dataframe(frame) => layout.add_frame(None, frame, batch),
            InputAdapter::Value(parameter) => layout.add(None, &parameter.kind, batch),
            InputAdapter::Parameters(parameters) => {
                parameters.iter().try_for_each(|parameter| layout.add(Some(&parameter.name), &parameter.kind, batch))
            }
        }
        .map_err(refused)?;
        let filled = |input| layout.parts.iter().filter(|part| part.input == input).count() == 1;
        if !(0..batch.inputs.len()).all(filled) {
            return Err(refused("its inputs and its parameters do not match".to_owned()));
        }
        Ok(layout)
    }

    fn add(&mut self, name: Option<&str>, kind: &ParameterKind, batch: &Batch) -> Result<(), String> {
        match kind {
            ParameterKind::Dataframe(frame) => self.add_frame(name, frame, batch),
            ParameterKind::Array { input, .. } => {
                let part = self.part(name, *input, batch)?;
                let only = (part.elements == 1).then(|| name.map(str::to_owned)).flatten();
                self.columns.extend((0..part.elements).map(|_| Column { name: only.clone(), input: part.input }));
                self.parts.push(part);
                Ok(())
            }
        }
    }

    fn add_frame(&mut self, name: Option<&str>, frame: &Frame, batch: &Batch) -> Result<(), String> {
        let part = Part { is_frame: true, ..self.part(name, frame.input, batch)? };
        if !frame.columns.is_empty() && frame.columns.len() != part.elements {
            return Err(format!("its frame names {} columns, its model takes {}", frame.columns.len(), part.elements));
        }
        let named = |index| Column { name: frame.columns.get(index).cloned(), input: part.input };
        self.columns.extend((0..part.elements).map(named));
        self.parts.push(part);
        Ok(())
    }

    fn part(&self, name: Option<&str>, input: u32, batch: &Batch) -> Result<Part, String> {
        let input = input as usize;
        let buffer = batch.inputs.get(input).ok_or("its parameters name an input that it does not have")?;
        let elements = buffer.elements();
        if buffer.spec.shape.batch_axis().is_some_and(|axis| axis != 0) {
            return Err(format!("input {:?} has its rows on another axis than the first; give a request", buffer.name));
        }
        if elements.saturating_add(self.columns.len()) > MAX_COLUMNS {
            return Err(format!("a record would have more than {MAX_COLUMNS} fields"));
        }
        Ok(Part { name: name.map(str::to_owned), input, elements, is_frame: false })
    }

    /// The fields, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// The names of the fields, when all of them have one.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.columns.iter().map(|column| column.name.as_deref()).collect()
    }

    /// How a message calls a field.
    pub fn label(&self, index: usize) -> String {
        let name = self.columns.get(index).and_then(|column| column.name.clone());
        name.unwrap_or_else(|| (index + 1).to_string())
    }
}
