//! Files with one record per row: CSV and JSON lines.

use std::io::{BufRead, Read};

use csv::{ByteRecord, ReaderBuilder};
use serde_json::Value;

use super::layout::{Column, Layout, Part};
use super::number::Number;
use super::parameters::append_record;
use super::{Batch, DataError};

/// The longest line of a JSON lines file, in bytes.
const MAX_LINE: u64 = 64 << 20;

/// Something that gives one record after the other.
pub trait RowSource {
    /// Appends the next record to `batch`; false at the end.
    ///
    /// # Errors
    /// [`DataError`] names line and column. The batch is then not to be used.
    fn read(&mut self, batch: &mut Batch<'_>) -> Result<bool, DataError>;
}

/// The kind of a table file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Table {
    /// Comma-separated values.
    Csv,
    /// One JSON value per line.
    JsonLines,
}

/// A CSV file. A first row in which some field of a number is none, or that has just the columns' names, is the header: it is matched by name where the API names its
/// columns, and else only counted.
pub struct CsvRows<'l, R> {
    reader: csv::Reader<R>,
    layout: &'l Layout,
    record: ByteRecord,
    /// For each column of the layout, the field that holds it; one past the last for a column that is lacking.
    order: Option<Vec<usize>>,
    /// Fields of a record.
    width: usize,
    always_headed: bool,
}

impl<'l, R: Read> CsvRows<'l, R> {
    /// Reads records of `layout` from `source`.
    pub fn new(source: R, layout: &'l Layout) -> Self {
        let reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(source);
        Self { reader, layout, record: ByteRecord::new(), order: None, width: 0, always_headed: false }
    }

    /// Takes the first row for the header, whatever it holds, as pandas does.
    pub fn always_headed(self) -> Self {
        Self { always_headed: true, ..self }
    }

    fn next(&mut self) -> Result<bool, DataError> {
        self.reader.read_byte_record(&mut self.record).map_err(|error| DataError::Read(error.to_string()))
    }

    fn line(&self) -> u64 {
        self.record.position().map_or(0, csv::Position::line)
    }

    /// The order of the columns, from the first row; true when that row is a header.
    fn set_order(&mut self, batch: &Batch<'_>) -> Result<bool, DataError> {
        let columns = self.layout.columns();
        let in_order = (0..columns.len()).collect();
        let is_word = |field: &[u8]| text(field).and_then(Number::from_text).is_none();
        // Columns of text say nothing, unless all are.
        let mut numeric = self.record.iter().zip(columns).filter(|(_, column)| batch.inputs[column.input].is_numeric());
        let names = self.layout.names();
        let all_named = || {
            names.as_ref().is_some_and(|names| {
                let fields: Vec<&str> =
                    self.record.iter().map(|field| text(field).unwrap_or_default().trim()).collect();
                let others = self.layout.passes_others;
                (others || fields.len() == names.len() && fields.iter().all(|field| names.contains(field)))
                    && names.iter().zip(columns).all(|(name, column)| column.ignored || fields.contains(name))
            })
        };
        let is_header = self.always_headed || numeric.any(|(field, _)| is_word(field)) || all_named();
        let order = match names {
            Some(names) if is_header => self.order_by_name(&names)?,
            _ => in_order,
        };
        self.width = if is_header && self.layout.passes_others { self.record.len() } else { columns.len() };
        self.order = Some(order);
        Ok(is_header)
    }

    fn order_by_name(&self, names: &[&str]) -> Result<Vec<usize>, DataError> {
        let fields: Vec<&str> = self.record.iter().map(|field| text(field).unwrap_or_default().trim()).collect();
        let error = |column: &str, reason: String| DataError::Row {
            line: self.line(),
            column: Some(column.to_owned()),
            reason,
        };
        if let Some(extra) = fields.iter().find(|field| !self.layout.passes_others && !names.contains(field)) {
            return Err(error(extra, format!("this column is not one of the API's: {}", names.join(", "))));
        }
        let columns = self.layout.columns();
        let place = |(name, column): (&&str, &Column)| match fields.iter().filter(|field| *field == name).count() {
            0 if column.ignored => Ok(fields.len()),
            0 => Err(error(name, "the header has no such column".to_owned())),
            1 => Ok(fields.iter().position(|field| field == name).unwrap_or_default()),
            _ => Err(error(name, "the header has this column more than once".to_owned())),
        };
        names.iter().zip(columns).map(place).collect()
    }
}

impl<R: Read> CsvRows<'_, R> {
    /// The record as an object; a name with dots is that of a member of a member.
    fn record_value(&self) -> Result<Value, DataError> {
        let mut record = Value::Object(serde_json::Map::new());
        for (column, &field) in self.layout.columns().iter().zip(self.order.iter().flatten()) {
            let name = column.name.as_deref().unwrap_or_default();
            let field = text(self.record.get(field).unwrap_or_default()).ok_or_else(|| DataError::Row {
                line: self.line(),
                column: Some(name.to_owned()),
                reason: "the field is not UTF-8 text".to_owned(),
            })?;
            let mut place = &mut record;
            for part in name.split('.') {
                if !place.is_object() {
                    *place = Value::Object(serde_json::Map::new());
                }
                place = &mut place[part];
            }
            *place = Value::from(field);
        }
        let only = self.layout.columns().len() == 1;
        Ok(match record.get("value") {
            Some(value) if only => value.clone(),
            _ => record,
        })
    }
}

/// The error of a record in line `line` of a file.
fn row_error(line: u64, error: DataError) -> DataError {
    match error {
        DataError::Body { place, reason } => DataError::Row { line, column: Some(place), reason },
        DataError::Missing { place, what, others } => {
            DataError::Row { line, column: Some(place), reason: format!("this {what} is missing{others}") }
        }
        other => other,
    }
}

fn text(field: &[u8]) -> Option<&str> {
    std::str::from_utf8(field).ok()
}

impl<R: Read> RowSource for CsvRows<'_, R> {
    fn read(&mut self, batch: &mut Batch<'_>) -> Result<bool, DataError> {
        if !self.next()? || (self.order.is_none() && self.set_order(batch)? && !self.next()?) {
            return Ok(false);
        }
        let columns = self.layout.columns();
        if self.record.len() != self.width {
            let reason = format!("{} fields, the API takes {}", self.record.len(), self.width);
            return Err(DataError::Row { line: self.line(), column: None, reason });
        }
        if let Some(tree) = &self.layout.tree {
            let value = self.record_value()?;
            let appended = append_record(tree, &value, true, batch);
            return appended.map(|()| true).map_err(|error| row_error(self.line(), error));
        }
        for (index, (column, &field)) in columns.iter().zip(self.order.iter().flatten()).enumerate() {
            let field = self.record.get(field).unwrap_or_default();
            let input = &mut batch.inputs[column.input];
            let field = text(field).ok_or_else(|| "the field is not UTF-8 text".to_owned());
            field.and_then(|field| input.push_text(field)).map_err(|reason| DataError::Row {
                line: self.line(),
                column: Some(self.layout.label(index)),
                reason,
            })?;
        }
        batch.rows += 1;
        Ok(true)
    }
}

/// A file with one JSON value per line: the record's numbers as a list (of lists), or an object by column or parameter name. Empty
/// lines are skipped.
pub struct JsonLines<'l, R> {
    reader: R,
    layout: &'l Layout,
    line: Vec<u8>,
    number: u64,
}

impl<'l, R: BufRead> JsonLines<'l, R> {
    /// Reads records of `layout` from `source`.
    pub fn new(source: R, layout: &'l Layout) -> Self {
        Self { reader: source, layout, line: Vec::new(), number: 0 }
    }

    fn next(&mut self) -> Result<bool, DataError> {
        loop {
            self.line.clear();
            let read = self.reader.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.line);
            let read = read.map_err(|error| DataError::Read(error.to_string()))?;
            self.number += 1;
            if read as u64 == MAX_LINE {
                return Err(self.error(None, format!("the line is longer than {MAX_LINE} bytes")));
            }
            if read == 0 || !self.line.trim_ascii().is_empty() {
                return Ok(read > 0);
            }
        }
    }

    fn error(&self, column: Option<String>, reason: String) -> DataError {
        DataError::Row { line: self.number, column, reason }
    }
}

impl<R: BufRead> RowSource for JsonLines<'_, R> {
    fn read(&mut self, batch: &mut Batch<'_>) -> Result<bool, DataError> {
        if !self.next()? {
            return Ok(false);
        }
        let value: Value =
            serde_json::from_slice(&self.line).map_err(|error| self.error(None, format!("no JSON: {error}")))?;
        if let Some(tree) = &self.layout.tree {
            let appended = append_record(tree, &value, false, batch);
            return appended.map(|()| true).map_err(|error| row_error(self.number, error));
        }
        let record = Record { layout: self.layout, batch };
        record.fill(&value).map_err(|(column, reason)| self.error(column, reason))?;
        batch.rows += 1;
        Ok(true)
    }
}

/// The column and the reason of a refusal.
type Refusal = (Option<String>, String);

struct Record<'a, 'b> {
    layout: &'a Layout,
    batch: &'a mut Batch<'b>,
}

impl Record<'_, '_> {
    fn fill(mut self, value: &Value) -> Result<(), Refusal> {
        let parts = &self.layout.parts;
        let member = |part: &Part| value.as_object()?.get(part.name.as_deref()?);
        let named = value.as_object().is_some_and(|object| object.len() == parts.len())
            && parts.iter().all(|part| member(part).is_some());
        match (named, parts.as_slice()) {
            (true, parts) => {
                let mut first = 0;
                for part in parts {
                    self.fill_part(part, first, member(part).unwrap_or(&Value::Null))?;
                    first += part.elements;
                }
                Ok(())
            }
            (false, [part]) => self.fill_part(part, 0, value),
            (false, parts) => {
                let names: Vec<_> = parts.iter().filter_map(|part| part.name.as_deref()).collect();
                Err((None, format!("needs an object with exactly the members {}", names.join(", "))))
            }
        }
    }

    /// Fills one parameter from its value; its columns start at `first`.
    fn fill_part(&mut self, part: &Part, first: usize, value: &Value) -> Result<(), Refusal> {
        let mut filled = 0;
        match value {
            Value::Object(object) if part.is_frame => {
                let names = self.layout.names();
                if self.layout.passes_others {
                    for (index, column) in self.layout.columns().iter().enumerate().skip(first).take(part.elements) {
                        let cell = column.name.as_ref().and_then(|name| object.get(name));
                        let cell = if column.ignored { cell.or(Some(&Value::Null)) } else { cell };
                        let cell = cell.ok_or_else(|| (column.name.clone(), "the row lacks this column".to_owned()))?;
                        self.push(part, index, cell).map_err(|reason| (column.name.clone(), reason))?;
                    }
                    return Ok(());
                }
                if object.len() != part.elements {
                    return Err((None, format!("{} members, the API takes {}", object.len(), part.elements)));
                }
                for (position, (key, cell)) in object.iter().enumerate() {
                    let by_name = names.as_ref().and_then(|names| names.get(first + position));
                    let cell = by_name.map_or(Some((key.as_str(), cell)), |name| Some((*name, object.get(*name)?)));
                    let missing = || (by_name.map(|name| (*name).to_owned()), "the row lacks this column".to_owned());
                    let (name, cell) = cell.ok_or_else(missing)?;
                    self.push(part, first + position, cell).map_err(|reason| (Some(name.to_owned()), reason))?;
                    filled += 1;
                }
            }
            value => self.flatten(part, first, value, &mut filled)?,
        }
        if filled == part.elements {
            return Ok(());
        }
        Err((part.name.clone(), format!("{filled} numbers, the API takes {}", part.elements)))
    }

    fn flatten(&mut self, part: &Part, first: usize, value: &Value, filled: &mut usize) -> Result<(), Refusal> {
        if let Value::Array(items) = value {
            return items.iter().try_for_each(|item| self.flatten(part, first, item, filled));
        }
        let index = first + *filled;
        self.push(part, index, value).map_err(|reason| (Some(self.layout.label(index)), reason))?;
        *filled += 1;
        Ok(())
    }

    /// Appends a value to the input of the field at `index`.
    fn push(&mut self, part: &Part, index: usize, value: &Value) -> Result<(), String> {
        let field = self.layout.columns().get(index).ok_or("there are more values than the API takes")?;
        let input = &mut self.batch.inputs[field.input];
        if part.is_frame { input.push_cell(value) } else { input.push_element(value, false) }
    }
}
