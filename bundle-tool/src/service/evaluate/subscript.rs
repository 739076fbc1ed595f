//! Subscripts.

use std::rc::Rc;

use ruff_python_ast::ExprSubscript;

use super::{Array, Evaluated, Evaluator, Frame, Index, Place, Stop, Value};

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn subscript(&mut self, subscript: &'a ExprSubscript) -> Evaluated<'a> {
        let value = self.expression(&subscript.value)?;
        let place = self.place(subscript);
        if let Value::Path(path) = &value {
            return self.fail(place, format!("`{path}` is outside of the service; its contents are not known here"));
        }
        let index = self.expression(&subscript.slice)?;
        match (&value, &index) {
            (Value::List(items) | Value::Tuple(items), Value::Int(at)) => match position(*at, items.len()) {
                Some(at) => Ok(items[at].clone()),
                None => self.fail(place, format!("there is no item {at} among {}", items.len())),
            },
            (Value::List(items) | Value::Tuple(items), Value::Array(array)) => self.look_up(items, array, place),
            (Value::List(items), Value::Slice(from, to)) => {
                let (from, to) = range(*from, *to, items.len());
                Ok(Value::List(items[from..to].into()))
            }
            (Value::Dict(items), key) => match items.iter().find(|(known, _)| known.equals(key) == Some(true)) {
                Some((_, item)) => Ok(item.clone()),
                None => self.fail(place, "this dict has no such key, as far as it is known here"),
            },
            (Value::Array(array), Value::Tuple(indices)) if !array.python => self.part(array, indices, place),
            (Value::Array(array), index) => self.part(array, std::slice::from_ref(index), place),
            (Value::Frame(frame), index) => self.select(&frame.clone(), index, place),
            (Value::Artifacts, Value::Text(name)) => super::super::library::artifact(self, name, place),
            (value, index) => {
                self.fail(place, format!("{} in brackets after {} is not compiled", index.describe(), value.describe()))
            }
        }
    }

    /// `array[i, :, j]`.
    fn part(&mut self, array: &Array, indices: &[Value<'a>], place: Place) -> Evaluated<'a> {
        let axes = array.axes(&self.graph);
        if indices.len() > axes.len() {
            return self.fail(place, format!("{} indices for {} axes", indices.len(), axes.len()));
        }
        let mut part = array.clone();
        for (index, &axis) in indices.iter().zip(&axes) {
            match index {
                Value::Slice(None, None) => {}
                Value::Slice(..) | Value::List(_) => part = self.sliced(&part, axis, index, place)?,
                Value::Int(at) => {
                    let at = match array.extent(&self.graph, axis) {
                        (length, false) => position(*at, length),
                        (_, true) => usize::try_from(*at).ok(),
                    };
                    let Some(at) = at.and_then(|at| u32::try_from(at).ok()) else {
                        return self.fail(place, "this position is not there, or depends on the number of rows");
                    };
                    part = part.with_index(axis, Index::At(at));
                }
                other => {
                    let problem = format!(
                        "only integers and `:` are compiled in brackets after an array, not {}",
                        other.describe()
                    );
                    return self.fail(place, problem);
                }
            }
        }
        Ok(Value::Array(part))
    }

    /// The positions that a slice or a list of integers names, of an axis of known length.
    fn sliced(&mut self, part: &Array, axis: usize, index: &Value<'a>, place: Place) -> Result<Array, Stop> {
        let (length, false) = part.extent(&self.graph, axis) else {
            return self.fail(place, "which rows these are depends on the request. Use all rows");
        };
        let positions: Option<Vec<usize>> = match index {
            Value::Slice(from, to) => {
                let (from, to) = range(*from, *to, length);
                Some((from..to).collect())
            }
            index => index
                .items()
                .unwrap_or_default()
                .iter()
                .map(|item| match item {
                    Value::Int(at) => position(*at, length),
                    _ => None,
                })
                .collect(),
        };
        match positions.filter(|positions| !positions.is_empty()) {
            Some(positions) => Ok(part.with_tensor(self.taken(part.tensor, axis, &positions, place)?)),
            None => self.fail(place, "these positions are not there"),
        }
    }

    /// `frame["name"]` and `frame[["name", …]]`.
    fn select(&mut self, frame: &Frame, index: &Value<'a>, place: Place) -> Evaluated<'a> {
        if let Value::Text(name) = index {
            let position = self.columns_of(frame, std::slice::from_ref(name), place)?;
            let column = match (frame, position.first()) {
                (Frame::Columns(columns), Some(&at)) => columns[at].1.clone(),
                (Frame::Table { array, .. }, Some(&at)) => array.with_index(1, Index::At(at as u32)),
                (_, None) => return self.fail(place, "this column is not there"),
            };
            return Ok(Value::Array(column));
        }
        let Some(names) = index.texts() else {
            return self.fail(place, "a frame is compiled with the name of a column, or a list of names, in brackets");
        };
        let positions = self.columns_of(frame, &names, place)?;
        match frame {
            Frame::Columns(columns) => {
                let chosen = positions.iter().map(|&at| columns[at].clone()).collect();
                Ok(Value::Frame(Rc::new(Frame::Columns(chosen))))
            }
            Frame::Table { array, columns, .. } => {
                self.columns_taken(array, columns.as_deref().unwrap_or_default(), &positions, place)
            }
        }
    }

    /// Positions of columns by name. Where the columns of an input are not known, it is settled that these are among them.
    fn columns_of(&mut self, frame: &Frame, names: &[Rc<str>], place: Place) -> Result<Vec<usize>, Stop> {
        let known: Vec<String> = match frame {
            Frame::Columns(columns) => columns.iter().map(|(name, _)| name.clone()).collect(),
            Frame::Table { columns: Some(columns), input, .. } => {
                self.note_named_use(*input, place);
                columns.clone()
            }
            Frame::Table { columns: None, .. } => Vec::new(),
        };
        let positions: Option<Vec<usize>> =
            names.iter().map(|name| known.iter().position(|column| **column == **name)).collect();
        match (positions, frame) {
            (Some(positions), _) => Ok(positions),
            (None, Frame::Table { input, .. }) => self.settle_columns(*input, &known, names, place),
            (None, Frame::Columns(_)) => self.fail(place, format!("the frame has the columns {}", known.join(", "))),
        }
    }
}

/// A Python index into `length` items.
fn position(at: i64, length: usize) -> Option<usize> {
    let at = if at < 0 { at.checked_add(i64::try_from(length).ok()?)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// The positions `from..to` of `length` items, as Python counts them.
fn range(from: Option<i64>, to: Option<i64>, length: usize) -> (usize, usize) {
    let length = i64::try_from(length).unwrap_or(i64::MAX);
    let clamp = |at: i64| if at < 0 { at.saturating_add(length).max(0) } else { at.min(length) };
    let from = clamp(from.unwrap_or(0));
    let to = clamp(to.unwrap_or(length)).max(from);
    (from as usize, to as usize)
}
