//! Subscripts.

use std::rc::Rc;

use ekiben_runtime::artifact::manifest::TextFormat;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::gather_elements::GatherElements;
use ekiben_runtime::ops::require_known::RequireKnown;
use ekiben_runtime::{DType, Op};
use ruff_python_ast::ExprSubscript;

use super::super::library;
use super::{Array, Evaluated, Evaluator, Frame, Index, Piece, Place, Stop, Value};
use crate::graph::TensorId;

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn subscript(&mut self, subscript: &'a ExprSubscript) -> Evaluated<'a> {
        let value = self.expression(&subscript.value)?;
        let place = self.place(subscript);
        if let Value::Path(path) = &value {
            return self.fail(place, format!("`{path}` is outside of the service; its contents are not known here"));
        }
        let index = self.expression(&subscript.slice)?;
        if let Some(reversed) = library::reversed_channels(&value, &index) {
            return Ok(reversed);
        }
        let value = self.with_arrays(value, place)?;
        Ok(match (&value, &index) {
            (Value::List(items) | Value::Tuple(items), Value::Int(at)) => match position(*at, items.len()) {
                Some(at) => items[at].clone(),
                None => return self.fail(place, format!("there is no item {at} among {}", items.len())),
            },
            (Value::List(items) | Value::Tuple(items), Value::Array(array)) => self.look_up(items, array, place)?,
            (Value::List(items), Value::Slice(..)) => {
                let chosen = positions(&index, items.len()).unwrap_or_default();
                Value::List(chosen.into_iter().map(|at| items[at].clone()).collect())
            }
            (Value::Tuple(items), Value::Slice(..)) => {
                let chosen = positions(&index, items.len()).unwrap_or_default();
                Value::Tuple(chosen.into_iter().map(|at| items[at].clone()).collect())
            }
            (Value::Text(text), Value::Int(at)) => {
                let letters: Vec<char> = text.chars().collect();
                match position(*at, letters.len()) {
                    Some(at) => Value::Text(letters[at].to_string().into()),
                    None => return self.fail(place, "the text has no such position"),
                }
            }
            (Value::Text(text), Value::Slice(..)) => {
                let letters: Vec<char> = text.chars().collect();
                let chosen = positions(&index, letters.len()).unwrap_or_default();
                Value::Text(chosen.into_iter().map(|at| letters[at]).collect::<String>().into())
            }
            (Value::Dict(items), Value::Array(array)) => return self.looked_up(items, array, None, place),
            (Value::Dict(items), Value::Format(pieces)) => return self.looked_up_written(items, pieces, None, place),
            (Value::Dict(items), key) => match items.iter().find(|(known, _)| known.equals(key) == Some(true)) {
                Some((_, item)) => item.clone(),
                None => return self.fail(place, "this dict has no such key, as far as it is known here"),
            },
            (Value::Json(json), Value::Text(name)) => self.json_member(json, name, None, place)?,
            (Value::Array(array), Value::Text(name)) => match self.open_leaf(array) {
                Some(leaf) => return self.settle_object(leaf, name, place),
                None => self.part(array, std::slice::from_ref(&index), place)?,
            },
            (Value::Array(array), Value::Tuple(indices)) if !array.python => self.part(array, indices, place)?,
            (Value::Array(array), index) => self.part(array, std::slice::from_ref(index), place)?,
            (Value::Frame(frame), index) => self.select(&frame.clone(), index, place)?,
            // The signature's name was chosen when the model was exported.
            (Value::Signature(_), Value::Text(name)) if **name == *"serving_default" => value.clone(),
            (Value::Artifacts, Value::Text(name)) => super::super::library::artifact(self, name, place)?,
            (value, index) => {
                let problem = format!("{} in brackets after {} is not compiled", index.describe(), value.describe());
                return self.fail(place, problem);
            }
        })
    }

    /// `array[i, :, j]`, with `...` and `None` among the indices.
    pub(in crate::service) fn part(&mut self, array: &Array, indices: &[Value<'a>], place: Place) -> Evaluated<'a> {
        if let [Value::Array(positions)] = indices
            && positions.dtype(&self.graph).is_integer()
            && !positions.axes(&self.graph).is_empty()
            && !self.graph.shape(array.tensor).is_batched()
        {
            let (whole, positions) = (self.materialise(array, place)?, self.led(positions, place)?);
            let tensor = self.gathered(whole.tensor, 0, positions.tensor, place)?;
            return Ok(Value::Array(Array { python: false, indices: positions.indices, ..whole.with_tensor(tensor) }));
        }
        let rank = array.axes(&self.graph).len();
        let used = indices.iter().filter(|index| !matches!(index, Value::Ellipsis | Value::None)).count();
        if used > rank {
            return self.fail(place, format!("{used} indices for {rank} axes"));
        }
        let advanced = |index: &&Value<'a>| matches!(index, Value::List(_) | Value::Array(_) | Value::Int(_));
        let listed = indices.iter().any(|index| matches!(index, Value::List(_)));
        if listed && indices.iter().filter(advanced).count() > 1 {
            return self.fail(place, "numpy takes several lists of positions in pairs. Index one axis after the other");
        }
        // `...` stands for the axes that no other index names.
        let whole = Value::Slice(None, None, 1);
        let mut named: Vec<&Value<'a>> = Vec::new();
        for index in indices {
            match index {
                Value::Ellipsis => named.extend(std::iter::repeat_n(&whole, rank - used)),
                other => named.push(other),
            }
        }
        let mut part = array.clone();
        // Own axes of the part so far, and where axes of length 1 come in.
        let mut at = 0;
        let mut added = Vec::new();
        for index in named {
            let axes = part.axes(&self.graph);
            if matches!(index, Value::None) {
                added.push(at);
                at += 1;
                continue;
            }
            let Some(&axis) = axes.get(at - added.len()) else {
                return self.fail(place, "there are more indices than axes");
            };
            match index {
                Value::Slice(None, None, 1) => at += 1,
                Value::Slice(..) | Value::List(_) => {
                    part = self.sliced(&part, axis, index, place)?;
                    at += 1;
                }
                Value::Int(position) => {
                    let position = match part.extent(&self.graph, axis) {
                        (length, false) => self::position(*position, length),
                        (_, true) => usize::try_from(*position).ok(),
                    };
                    let Some(position) = position.and_then(|position| u32::try_from(position).ok()) else {
                        return self.fail(place, "this position is not there, or depends on the number of rows");
                    };
                    part = part.with_index(axis, Index::At(position));
                }
                Value::Array(position) if position.axes(&self.graph).is_empty() => {
                    part = self.element_at(&part, axis, position, place)?;
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
        if added.is_empty() {
            return Ok(Value::Array(part));
        }
        let mut part = self.led(&part, place)?;
        for at in added {
            part = super::super::library::with_new_axis(self, &part, at, place)?;
        }
        Ok(Value::Array(part))
    }

    /// The part of each row of an array at a position that is computed for the row: of its first own axis.
    fn element_at(&mut self, part: &Array, axis: usize, position: &Array, place: Place) -> Result<Array, Stop> {
        let first = part.axes(&self.graph).first() == Some(&axis);
        let part = self.led(part, place)?;
        let position = self.led(position, place)?;
        let axis = part.indices.len();
        // Positions that were found are there; one of the request's own may be behind the end, or count from it.
        let integer = self.is_found(position.tensor);
        let shape = self.graph.shape(part.tensor);
        // One position of several for each row: a loop of its own goes over them.
        let several = position.indices.len() == axis + 1 && position.indices.starts_with(&part.indices);
        let suitable = first && integer && shape.rank() == axis + 1 && position.axes(&self.graph).is_empty();
        if suitable && several {
            let added = self.graph.add("take", GatherElements { axis: axis as u8 }, &[part.tensor, position.tensor]);
            let tensor = self.added(added, place)?;
            return Ok(Array { indices: position.indices, ..part.with_tensor(tensor) });
        }
        if !suitable || position.indices != part.indices {
            return self.fail(
                place,
                "a computed position is compiled where `argmax`, `argmin` or `argsort` of the same row gives it",
            );
        }
        let mut dims: Vec<usize> = self.graph.shape(position.tensor).factors().iter().map(|&f| f as usize).collect();
        dims.push(1);
        let batch = self.graph.shape(position.tensor).batch_axis();
        let at = self.reshaped(position.tensor, &dims, batch, place)?;
        let op = GatherElements { axis: axis as u8 };
        let added = self.graph.add("take", op, &[part.tensor, at]);
        let tensor = self.added(added, place)?;
        dims.pop();
        let tensor = self.reshaped(tensor, &dims, batch, place)?;
        Ok(part.with_tensor(tensor))
    }

    /// Whether a tensor holds positions of largest or smallest elements, or some of them.
    fn is_found(&self, mut tensor: TensorId) -> bool {
        while let Some(node) = self.graph.producer(tensor) {
            match (&node.op, node.inputs.first()) {
                (Op::ArgReduce(_), _) => return true,
                (Op::TopK(_), _) => return node.outputs.get(1) == Some(&tensor),
                (Op::Gather(_) | Op::Reshape(_) | Op::Cast(_), Some(Some(from))) => tensor = *from,
                _ => return false,
            }
        }
        false
    }

    /// The values that a dict of constants with texts for keys has for an integer of a request that is written as a text.
    pub(in crate::service) fn looked_up_written(
        &mut self,
        items: &[(Value<'a>, Value<'a>)],
        pieces: &[Piece<'a>],
        other: Option<&Value<'a>>,
        place: Place,
    ) -> Evaluated<'a> {
        let [(Value::Array(number), TextFormat::Plain)] = pieces else {
            return self.fail(place, "of texts of the request, an integer alone is looked up: `table[str(int(x))]`");
        };
        if !number.dtype(&self.graph).is_integer() {
            return self.fail(place, "a number of the request is looked up by its text only where it is an integer");
        }
        // Keys that no integer is written as are never asked for.
        let as_written = |(key, value): &(Value<'a>, Value<'a>)| match key {
            Value::Text(text) => {
                let number: i64 = text.parse().ok()?;
                (number.to_string() == **text).then(|| (Value::Int(number), value.clone()))
            }
            _ => None,
        };
        let items: Vec<(Value<'a>, Value<'a>)> = items.iter().filter_map(as_written).collect();
        self.looked_up(&items, number, other, place)
    }

    /// The values that a dict of constants has for texts or integers of a request; `other` for those that it does not have.
    pub(in crate::service) fn looked_up(
        &mut self,
        items: &[(Value<'a>, Value<'a>)],
        keys: &Array,
        other: Option<&Value<'a>>,
        place: Place,
    ) -> Evaluated<'a> {
        let keys_of_text: Option<Vec<Rc<str>>> =
            items.iter().map(|(key, _)| if let Value::Text(text) = key { Some(text.clone()) } else { None }).collect();
        let dtype = keys.dtype(&self.graph);
        let mut keys = keys.clone();
        if let Some(texts) = &keys_of_text
            && (dtype == DType::Category
                || (dtype == DType::F64 && (keys.assumed || self.graph.inputs().contains(&keys.tensor))))
        {
            keys = self.text_column(&keys, texts, place)?;
        }
        let Some(other) = other else {
            // Integers from 0 on are positions in a list.
            let positions = (0..).zip(items).all(|(at, (key, _))| matches!(key, Value::Int(key) if *key == at));
            if positions && dtype.is_integer() {
                let values: Vec<Value<'a>> = items.iter().map(|(_, value)| value.clone()).collect();
                return self.look_up(&values, &keys, place);
            }
            return self.known_key(items, &keys, place);
        };
        let float = |value: &Value<'a>| if let Value::Float(number) = value { Some(*number) } else { None };
        let numbers: Option<Vec<f64>> = items.iter().map(|(_, value)| float(value)).collect();
        if let (Some(texts), Some(numbers), Some(other)) = (&keys_of_text, numbers, float(other))
            && keys.dtype(&self.graph) == DType::Category
        {
            let number = |text: &String| texts.iter().position(|key| **key == **text).map_or(other, |at| numbers[at]);
            return self.mapped(&keys, DType::F64, number, other, place).map(Value::Array);
        }
        let mut result = other.clone();
        for (key, value) in items.iter().rev() {
            let equal = self.compared(CompareKind::Equal, &Value::Array(keys.clone()), key, place)?;
            result = self.chosen(&equal, value, &result, place)?;
        }
        Ok(result)
    }

    /// A dict's value for a key that a model's labels hold: every label must be a key.
    fn known_key(&mut self, items: &[(Value<'a>, Value<'a>)], keys: &Array, place: Place) -> Evaluated<'a> {
        let computed = !self.graph.inputs().contains(&keys.tensor);
        let table =
            self.graph.spec(keys.tensor).table.and_then(|table| self.graph.tables().get(table as usize)).cloned();
        let Some(texts) = table.filter(|_| computed && keys.dtype(&self.graph) == DType::Category) else {
            let problem = "a key that is not in this dict would be an error of one request. Use `.get(key, default)`";
            return self.fail(place, problem);
        };
        let mut values = Vec::new();
        for text in &texts {
            let key = Value::Text(text.as_str().into());
            match items.iter().find(|(known, _)| known.equals(&key) == Some(true)) {
                Some((_, value)) => values.push(value.clone()),
                None => return self.fail(place, format!("the dict has no value for {text:?}")),
            }
        }
        // A text of the request that is none of these has no value: the server raises a KeyError there, the run fails.
        let position = |text: &String| texts.iter().position(|known| known == text).map_or(-1, |at| at as i32);
        let numbers = self.mapped(keys, DType::I32, position, -1, place)?;
        let added = self.graph.add("key", RequireKnown { limit: texts.len() as u32 }, &[numbers.tensor]);
        let numbers = numbers.with_tensor(self.added(added, place)?);
        self.look_up(&values, &numbers, place)
    }

    /// The positions that a slice or a list of integers names, of an axis of known length.
    fn sliced(&mut self, part: &Array, axis: usize, index: &Value<'a>, place: Place) -> Result<Array, Stop> {
        let (length, false) = part.extent(&self.graph, axis) else {
            return self.fail(place, "which rows these are depends on the request. Use all rows");
        };
        if self.unsettled(part.tensor).is_some() {
            return self.fail(place, "how long this axis is depends on the request. Declare the shape");
        }
        match positions(index, length).filter(|positions| !positions.is_empty()) {
            Some(positions) => Ok(part.with_tensor(self.taken(part.tensor, axis, &positions, place)?)),
            None => self.fail(place, "these positions are not there"),
        }
    }

    /// `frame["name"]` and `frame[["name", …]]`.
    pub(in crate::service) fn select(&mut self, frame: &Frame, index: &Value<'a>, place: Place) -> Evaluated<'a> {
        if let Value::Text(name) = index {
            let position = self.columns_of(frame, std::slice::from_ref(name), place)?;
            let column = match (frame, position.first()) {
                (Frame::Columns(columns, _), Some(&at)) => columns[at].1.clone(),
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
            Frame::Columns(columns, _) => {
                let chosen = positions.iter().map(|&at| columns[at].clone()).collect();
                Ok(Value::Frame(Rc::new(Frame::Columns(chosen, None))))
            }
            Frame::Table { array, columns, .. } => {
                self.columns_taken(array, columns.as_deref().unwrap_or_default(), &positions, place)
            }
        }
    }

    /// Positions of columns by name. Where the columns of an input are not known, it is settled that these are among them.
    fn columns_of(&mut self, frame: &Frame, names: &[Rc<str>], place: Place) -> Result<Vec<usize>, Stop> {
        let known: Vec<String> = match frame {
            Frame::Columns(columns, _) => columns.iter().map(|(name, _)| name.clone()).collect(),
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
            (None, Frame::Table { input, .. } | Frame::Columns(_, input @ Some(_))) => {
                let missing: Vec<Rc<str>> =
                    names.iter().filter(|name| known.iter().all(|column| **column != ***name)).cloned().collect();
                self.settle_columns(*input, &known, &missing, place)
            }
            (None, Frame::Columns(_, None)) => {
                self.fail(place, format!("the frame has the columns {}", known.join(", ")))
            }
        }
    }
}

/// A Python index into `length` items.
fn position(at: i64, length: usize) -> Option<usize> {
    let at = if at < 0 { at.checked_add(i64::try_from(length).ok()?)? } else { at };
    usize::try_from(at).ok().filter(|at| *at < length)
}

/// The positions of `length` items that a slice or a list of integers names.
fn positions(index: &Value<'_>, length: usize) -> Option<Vec<usize>> {
    let Value::Slice(from, to, step) = index else {
        let at = |item: &Value<'_>| match item {
            Value::Int(at) => position(*at, length),
            _ => None,
        };
        return index.items()?.iter().map(at).collect();
    };
    let length = i64::try_from(length).ok().filter(|_| *step != 0)?;
    let backwards = *step < 0;
    let (low, high) = if backwards { (-1, length - 1) } else { (0, length) };
    let clamp = |at: i64| if at < 0 { at.saturating_add(length).max(low) } else { at.min(high) };
    let mut at = from.map_or(if backwards { high } else { low }, clamp);
    let end = to.map_or(if backwards { low } else { high }, clamp);
    let mut chosen = Vec::new();
    while (backwards && at > end) || (!backwards && at < end) {
        chosen.push(usize::try_from(at).ok()?);
        at = at.checked_add(*step)?;
    }
    Some(chosen)
}
