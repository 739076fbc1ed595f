//! JSON tables in pandas's orientations.

use ekiben_runtime::artifact::manifest::{Frame, Orient};
use serde_json::{Map, Value};

use super::{DataError, InputBuffer};

/// Appends the table's rows to the frame's input and returns their number. `list_columns` admits columns given as lists, which
/// BentoML 1.x takes and 0.13 does not.
pub(super) fn read_frame(
    frame: &Frame,
    place: &str,
    value: &Value,
    list_columns: bool,
    input: &mut InputBuffer,
) -> Result<usize, DataError> {
    let orient = frame.orient.or_else(|| guess(value));
    let refused = |needs: &str| DataError::body(place, format!("the table must be {needs}"));
    let mut table = Table { frame, place, input, rows: 0 };
    match (orient, value) {
        (Some(Orient::Records), Value::Array(rows)) => table.records(rows)?,
        (Some(Orient::Values), Value::Array(rows)) => table.values(rows)?,
        (Some(Orient::Split), Value::Object(parts)) => table.split(parts)?,
        (Some(Orient::Index), Value::Object(rows)) => {
            table.records(rows.values())?;
        }
        (Some(Orient::Columns), Value::Object(columns)) => table.columns(columns, list_columns)?,
        (Some(orient), _) => return Err(refused(&format!("JSON of orientation {:?}", orient.name()))),
        (None, _) => return Err(refused("a list of rows, or an object of columns")),
    }
    match table.rows {
        0 => Err(refused("one row at least")),
        rows => Ok(rows),
    }
}

/// The orientation that BentoML 0.13 takes a body for.
fn guess(value: &Value) -> Option<Orient> {
    match value {
        Value::Array(rows) if rows.first().is_some_and(Value::is_object) => Some(Orient::Records),
        Value::Array(_) => Some(Orient::Values),
        Value::Object(object) => {
            let is_split =
                object.len() == 3 && ["columns", "index", "data"].iter().all(|key| object.contains_key(*key));
            Some(if is_split { Orient::Split } else { Orient::Columns })
        }
        _ => None,
    }
}

struct Table<'a> {
    frame: &'a Frame,
    place: &'a str,
    input: &'a mut InputBuffer,
    rows: usize,
}

impl Table<'_> {
    fn error(&self, column: Option<&str>, reason: impl Into<String>) -> DataError {
        let column = column.map(|column| format!(", column {column}")).unwrap_or_default();
        DataError::body(format!("{}: row {}{column}", self.place, self.rows), reason)
    }

    /// The names of the columns to take, in the tensor's order: the declared ones, or the table's own.
    fn header<'h>(&self, names: Vec<&'h str>) -> Result<Vec<&'h str>, DataError> {
        let wanted = self.input.elements();
        let chosen: Vec<&'h str> = if self.frame.columns.is_empty() {
            names
        } else {
            let find = |declared: &String| names.iter().copied().find(|name| name == declared);
            let missing = |declared: &String| self.error(Some(declared), "the table lacks this column");
            let columns = self.frame.columns.iter();
            columns.map(|declared| find(declared).ok_or_else(|| missing(declared))).collect::<Result<_, _>>()?
        };
        if chosen.len() != wanted {
            return Err(self.error(None, format!("{} columns, the API takes {wanted}", chosen.len())));
        }
        Ok(chosen)
    }

    fn push(&mut self, column: &str, cell: Option<&Value>) -> Result<(), DataError> {
        let cell = cell.ok_or_else(|| self.error(Some(column), "the row lacks this column"))?;
        let pushed = self.input.push_cell(cell);
        pushed.map_err(|reason| self.error(Some(column), reason))
    }

    fn records<'v>(&mut self, rows: impl IntoIterator<Item = &'v Value>) -> Result<(), DataError> {
        let mut header: Option<Vec<String>> = None;
        for row in rows {
            let Value::Object(row) = row else { return Err(self.error(None, "this row is no object")) };
            if header.is_none() {
                let names = self.header(row.keys().map(String::as_str).collect())?;
                header = Some(names.into_iter().map(str::to_owned).collect());
            }
            for column in header.iter().flatten() {
                self.push(column, row.get(column))?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn values(&mut self, rows: &[Value]) -> Result<(), DataError> {
        let width = self.input.elements();
        for row in rows {
            let Value::Array(row) = row else { return Err(self.error(None, "this row is no list")) };
            if row.len() != width {
                return Err(self.error(None, format!("{} columns, the API takes {width}", row.len())));
            }
            for (position, cell) in row.iter().enumerate() {
                self.push(&position.to_string(), Some(cell))?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn split(&mut self, parts: &Map<String, Value>) -> Result<(), DataError> {
        let (Some(Value::Array(columns)), Some(Value::Array(rows))) = (parts.get("columns"), parts.get("data")) else {
            return Err(self.error(None, "a split table needs the lists \"columns\" and \"data\""));
        };
        let names: Vec<String> = columns.iter().map(spelled).collect();
        let chosen = self.header(names.iter().map(String::as_str).collect())?;
        let position = |name: &&str| names.iter().position(|other| other == name).unwrap_or_default();
        let order: Vec<usize> = chosen.iter().map(position).collect();
        for row in rows {
            let Value::Array(row) = row else { return Err(self.error(None, "this row is no list")) };
            if row.len() != names.len() {
                return Err(self.error(None, format!("{} cells under {} columns", row.len(), names.len())));
            }
            for &position in &order {
                self.push(&names[position], row.get(position))?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn columns(&mut self, columns: &Map<String, Value>, list_columns: bool) -> Result<(), DataError> {
        let chosen = self.header(columns.keys().map(String::as_str).collect())?;
        let first = chosen.first().and_then(|name| columns.get(*name));
        let length = first.map_or(0, |column| match column {
            Value::Array(cells) => cells.len(),
            Value::Object(cells) => cells.len(),
            _ => 1,
        });
        let keys: Vec<String> = match first {
            Some(Value::Object(cells)) => cells.keys().cloned().collect(),
            _ => (0..length).map(|row| row.to_string()).collect(),
        };
        for (row, key) in keys.iter().enumerate() {
            for name in &chosen {
                let cell = match columns.get(*name) {
                    Some(Value::Object(cells)) if cells.len() == length => cells.get(key),
                    Some(Value::Array(cells)) if list_columns && cells.len() == length => cells.get(row),
                    _ => return Err(self.error(Some(name), "this column does not have the form of the first one")),
                };
                self.push(name, cell)?;
            }
            self.rows += 1;
        }
        Ok(())
    }
}

/// A column's name as text.
fn spelled(name: &Value) -> String {
    name.as_str().map_or_else(|| name.to_string(), str::to_owned)
}
