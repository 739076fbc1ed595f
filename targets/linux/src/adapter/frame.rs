//! JSON tables in pandas's orientations.

use ekiben_runtime::artifact::manifest::{Frame, Orient};
use serde_json::{Map, Value};

use super::{Batch, DataError, InputBuffer};

/// Appends the table's rows to the frame's inputs and returns their number. With `by_form` the value's form tells the orientation, whatever is
/// declared, and columns may be lists: so does BentoML 1.x, which hands the value to `pandas.DataFrame`.
pub(super) fn read_frame(
    frame: &Frame,
    place: &str,
    value: &Value,
    by_form: bool,
    batch: &mut Batch<'_>,
) -> Result<usize, DataError> {
    let orient = frame.orient.filter(|_| !by_form).or_else(|| guess(value));
    let refused = |needs: &str| DataError::body(place, format!("the table must be {needs}"));
    let inputs = if frame.inputs.is_empty() { std::slice::from_ref(&frame.input) } else { &frame.inputs };
    if inputs.iter().any(|&input| input as usize >= batch.inputs.len()) {
        return Err(DataError::body("manifest", "it names an input that is not there"));
    }
    let mut table = Table { frame, place, inputs: &mut batch.inputs, rows: 0 };
    match (orient, value) {
        (Some(Orient::Records), Value::Array(rows)) => table.records(rows)?,
        (Some(Orient::Values), Value::Array(rows)) => table.values(rows)?,
        (Some(Orient::Split), Value::Object(parts)) => table.split(parts)?,
        (Some(Orient::Index), Value::Object(rows)) => {
            table.records(rows.values())?;
        }
        (Some(Orient::Columns), Value::Object(columns)) => table.columns(columns, by_form)?,
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

struct Table<'a, 'b> {
    frame: &'a Frame,
    place: &'a str,
    /// The API's inputs, all that the frame names among them.
    inputs: &'a mut [InputBuffer<'b>],
    rows: usize,
}

impl Table<'_, '_> {
    /// Index of the input of the column at `position`.
    fn input(&self, position: usize) -> usize {
        self.frame.inputs.get(position).copied().unwrap_or(self.frame.input) as usize
    }

    /// Number of columns.
    fn width(&self) -> usize {
        match self.frame.inputs.len() {
            0 => self.inputs[self.input(0)].elements(),
            columns => columns,
        }
    }

    fn error(&self, column: Option<&str>, reason: impl Into<String>) -> DataError {
        let column = column.map(|column| format!(", column {column}")).unwrap_or_default();
        DataError::body(format!("{}: row {}{column}", self.place, self.rows), reason)
    }

    fn width_error(&self, given: usize, needed: usize) -> DataError {
        DataError::Width { place: format!("{}: row {}", self.place, self.rows), given, needed }
    }

    /// The names of the columns to take, in the tensor's order: the declared ones, or the table's own. `None` for one that the table lacks and
    /// nothing reads.
    fn header<'h>(&self, names: Vec<&'h str>) -> Result<Vec<Option<&'h str>>, DataError> {
        let wanted = self.width();
        let chosen: Vec<Option<&'h str>> = if self.frame.columns.is_empty() {
            names.into_iter().map(Some).collect()
        } else {
            let find = |(position, declared): (usize, &String)| match names.iter().find(|name| *name == declared) {
                Some(name) => Ok(Some(*name)),
                None if self.frame.fills || self.inputs[self.input(position)].is_ignored() => Ok(None),
                None => Err(self.error(Some(declared), "the table lacks this column")),
            };
            self.frame.columns.iter().enumerate().map(find).collect::<Result<_, _>>()?
        };
        if chosen.len() != wanted {
            return Err(self.width_error(chosen.len(), wanted));
        }
        Ok(chosen)
    }

    /// Appends a cell of the column at `position`; `name` is `None` for a column that nothing reads.
    fn push(&mut self, position: usize, name: Option<&str>, cell: Option<&Value>) -> Result<(), DataError> {
        let input = self.input(position);
        let cell = match name {
            Some(_) if self.frame.fills => cell.unwrap_or(&Value::Null),
            Some(name) => cell.ok_or_else(|| self.error(Some(name), "the row lacks this column"))?,
            None => &Value::Null,
        };
        let pushed = self.inputs[input].push_cell(cell);
        pushed.map_err(|reason| self.error(name, reason))
    }

    fn records<'v>(&mut self, rows: impl IntoIterator<Item = &'v Value>) -> Result<(), DataError> {
        let mut header: Option<Vec<Option<String>>> = None;
        for row in rows {
            let Value::Object(row) = row else { return Err(self.error(None, "this row is no object")) };
            if header.is_none() {
                let names = self.header(row.keys().map(String::as_str).collect())?;
                header = Some(names.into_iter().map(|name| name.map(str::to_owned)).collect());
            }
            for (position, name) in header.iter().flatten().enumerate() {
                let name = name.as_deref();
                self.push(position, name, name.and_then(|name| row.get(name)))?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn values(&mut self, rows: &[Value]) -> Result<(), DataError> {
        let width = self.width();
        for row in rows {
            let Value::Array(row) = row else { return Err(self.error(None, "this row is no list")) };
            if row.len() != width {
                return Err(self.width_error(row.len(), width));
            }
            for (position, cell) in row.iter().enumerate() {
                self.push(position, Some(&position.to_string()), Some(cell))?;
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
        let place = |name: &str| names.iter().position(|other| other == name);
        let order: Vec<Option<usize>> = chosen.iter().map(|name| name.and_then(place)).collect();
        for row in rows {
            let Value::Array(row) = row else { return Err(self.error(None, "this row is no list")) };
            if row.len() != names.len() {
                return Err(self.error(None, format!("{} cells under {} columns", row.len(), names.len())));
            }
            for (position, &place) in order.iter().enumerate() {
                let name = place.map(|place| names[place].as_str());
                self.push(position, name, place.and_then(|place| row.get(place)))?;
            }
            self.rows += 1;
        }
        Ok(())
    }

    fn columns(&mut self, columns: &Map<String, Value>, list_columns: bool) -> Result<(), DataError> {
        let chosen = self.header(columns.keys().map(String::as_str).collect())?;
        let first = chosen.iter().flatten().next().and_then(|name| columns.get(*name));
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
            for (position, &name) in chosen.iter().enumerate() {
                let cell = match name.and_then(|name| columns.get(name)) {
                    None if name.is_none() => None,
                    Some(Value::Object(cells)) if cells.len() == length => cells.get(key),
                    Some(Value::Array(cells)) if list_columns && cells.len() == length => cells.get(row),
                    _ => return Err(self.error(name, "this column does not have the form of the first one")),
                };
                self.push(position, name, cell)?;
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
