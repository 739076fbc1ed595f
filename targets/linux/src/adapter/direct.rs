//! Bodies of the usual forms, read from JSON text straight into the inputs, without a tree of values and without an allocation.
//!
//! What is not usual (an error among it) is left to [`super::parameters`], which says what is wrong: this reader either does the same as that one, or
//! nothing.

use std::fmt;

use ekiben_runtime::DType;
use ekiben_runtime::artifact::manifest::{Frame, InputAdapter, Orient, Parameter, ParameterKind};
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Value;

use super::parameters::{push_in_array, rows_of};
use super::{Batch, InputBuffer, scalar};

/// Parameters that are told apart.
const MOST: usize = 64;

/// Fills `batch` from a body; false, and an empty batch, where it is to be read by the way that takes everything.
pub(super) fn read(input: &InputAdapter, body: &[u8], batch: &mut Batch<'_>) -> bool {
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut rows = None;
    let inputs = &mut batch.inputs[..];
    let read = match input {
        InputAdapter::Dataframe(frame) => {
            Rows { frame, inputs, by_form: false }.deserialize(&mut json).map(|found| rows = Some(found))
        }
        InputAdapter::Value(parameter) => One { parameter, inputs, rows: &mut rows }.deserialize(&mut json),
        InputAdapter::Parameters(parameters) if parameters.len() <= MOST => {
            Members { parameters, inputs, rows: &mut rows }.deserialize(&mut json)
        }
        _ => return false,
    };
    if read.and_then(|()| json.end()).is_err() {
        batch.clear();
        return false;
    }
    batch.rows = rows.unwrap_or(1);
    true
}

/// That a body is none of the usual ones. The message is not seen.
fn unusual<E: Error>() -> E {
    E::custom("")
}

fn agree<E: Error>(rows: &mut Option<usize>, found: usize) -> Result<(), E> {
    match rows.replace(found) {
        Some(before) if before != found => Err(unusual()),
        _ => Ok(()),
    }
}

/// The members of an object by the names of parameters.
struct Members<'a, 'b> {
    parameters: &'a [Parameter],
    inputs: &'a mut [InputBuffer<'b>],
    rows: &'a mut Option<usize>,
}

impl<'de> DeserializeSeed<'de> for Members<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Members<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let names = Names(self.parameters.iter().map(|parameter| parameter.name.as_str()));
        let mut seen = 0u64;
        while let Some(found) = map.next_key_seed(names.clone())? {
            let Some(index) = found else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            if seen & (1 << index) != 0 {
                return Err(unusual());
            }
            seen |= 1 << index;
            map.next_value_seed(One { parameter: &self.parameters[index], inputs: self.inputs, rows: self.rows })?;
        }
        if seen.count_ones() as usize == self.parameters.len() { Ok(()) } else { Err(unusual()) }
    }
}

/// The position of a key among names.
#[derive(Clone)]
struct Names<I>(I);

impl<'de, 'n, I: Iterator<Item = &'n str>> DeserializeSeed<'de> for Names<I> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Self::Value, D::Error> {
        json.deserialize_str(self)
    }
}

impl<'n, I: Iterator<Item = &'n str>> Visitor<'_> for Names<I> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(mut self, key: &str) -> Result<Self::Value, E> {
        Ok(self.0.position(|name| name == key))
    }
}

/// The value of a parameter.
struct One<'a, 'b> {
    parameter: &'a Parameter,
    inputs: &'a mut [InputBuffer<'b>],
    rows: &'a mut Option<usize>,
}

impl<'de> DeserializeSeed<'de> for One<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        match &self.parameter.kind {
            ParameterKind::Array { shape, input, .. } => {
                let buffer = self.inputs.get_mut(*input as usize).filter(|buffer| buffer.is_numeric());
                let buffer = buffer.ok_or_else(unusual)?;
                let mut dims = Dims::new();
                Numbers { depth: 0, dims: &mut dims, buffer: &mut *buffer }.deserialize(json)?;
                match fitting_rows(&dims, shape.as_deref(), buffer).ok_or_else(unusual)? {
                    Some(found) => agree(self.rows, found),
                    None => Ok(()),
                }
            }
            ParameterKind::Dataframe(frame) => {
                let found = Rows { frame, inputs: self.inputs, by_form: true }.deserialize(json)?;
                agree(self.rows, found)
            }
            ParameterKind::Scalar(declared) => {
                let buffer = self.inputs.get_mut(declared.input as usize).ok_or_else(unusual)?;
                json.deserialize_any(Cell(|value: Element<'_>| match value {
                    Element::Value(value) => scalar::push(declared, value, false, buffer),
                    Element::Text(_) => Err(String::new()),
                }))
            }
            _ => Err(unusual()),
        }
    }
}

type Dims = heapless::Vec<usize, 8>;

/// Rows of an array of these lengths, whose declared shape needs no reshaping; `None` where it is not what the input takes.
fn fitting_rows(dims: &[usize], declared: Option<&[i64]>, buffer: &InputBuffer<'_>) -> Option<Option<usize>> {
    let shape = &buffer.spec.shape;
    let is_declared = |declared: &[i64]| {
        let same = |(&given, &dim): (&usize, &i64)| dim < 0 || usize::try_from(dim) == Ok(given);
        declared.len() == dims.len() && dims.iter().zip(declared).all(same)
    };
    if dims.len() != shape.rank() || !declared.is_none_or(is_declared) {
        return None;
    }
    rows_of(dims.iter().copied(), shape)
}

/// Nested lists of numbers.
struct Numbers<'a, 'b> {
    depth: usize,
    dims: &'a mut Dims,
    buffer: &'a mut InputBuffer<'b>,
}

impl Numbers<'_, '_> {
    fn number<E: Error>(self, value: &Value) -> Result<(), E> {
        // Lists of one depth that have numbers and lists are ragged.
        if self.depth < self.dims.len() {
            return Err(unusual());
        }
        push_in_array(value, self.buffer).map_err(|_| unusual())
    }
}

impl<'de> DeserializeSeed<'de> for Numbers<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Numbers<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("numbers")
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.number(&value.into())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.number(&value.into())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.number(&value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self { depth, dims, buffer } = self;
        let is_first = depth == dims.len();
        if is_first {
            if !buffer.bytes.is_empty() {
                return Err(unusual());
            }
            dims.push(0).map_err(|_| unusual())?;
        }
        let mut length = 0;
        while items.next_element_seed(Numbers { depth: depth + 1, dims: &mut *dims, buffer: &mut *buffer })?.is_some() {
            length += 1;
        }
        if is_first {
            dims[depth] = length;
        } else if dims[depth] != length {
            return Err(unusual());
        }
        Ok(())
    }
}

/// A table of rows: lists, or objects with the declared columns in their order.
struct Rows<'a, 'b> {
    frame: &'a Frame,
    inputs: &'a mut [InputBuffer<'b>],
    /// Whether the value's form tells its orientation, whatever is declared.
    by_form: bool,
}

impl<'de> DeserializeSeed<'de> for Rows<'_, '_> {
    type Value = usize;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<usize, D::Error> {
        json.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Rows<'_, '_> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("rows")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut rows: A) -> Result<usize, A::Error> {
        let Self { frame, inputs, by_form } = self;
        let orient = frame.orient.filter(|_| !by_form);
        let mut count = 0;
        let mut is_list = None;
        while let Some(found) = rows.next_element_seed(Row { frame, inputs: &mut *inputs, orient })? {
            if is_list.is_some_and(|before| before != found) {
                return Err(unusual());
            }
            is_list = Some(found);
            count += 1;
        }
        if count == 0 { Err(unusual()) } else { Ok(count) }
    }
}

/// A row of a table; gives whether it is a list.
struct Row<'a, 'b> {
    frame: &'a Frame,
    inputs: &'a mut [InputBuffer<'b>],
    orient: Option<Orient>,
}

impl Row<'_, '_> {
    /// Columns of the table.
    fn width(&self) -> usize {
        match self.frame.inputs.len() {
            0 => self.inputs.get(self.frame.input as usize).map_or(usize::MAX, InputBuffer::elements),
            columns => columns,
        }
    }

    /// The input of the column at `position`, where nothing about it is unusual.
    fn input<E: Error>(&mut self, position: usize) -> Result<usize, E> {
        let input = self.frame.inputs.get(position).copied().unwrap_or(self.frame.input) as usize;
        let buffer = self.inputs.get(input).ok_or_else(unusual)?;
        if buffer.is_ignored() || buffer.spec.dtype == DType::Text { Err(unusual()) } else { Ok(input) }
    }
}

impl<'de> DeserializeSeed<'de> for Row<'_, '_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<bool, D::Error> {
        json.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Row<'_, '_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a row")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut cells: A) -> Result<bool, A::Error> {
        let width = self.width();
        if !matches!(self.orient, None | Some(Orient::Values)) {
            return Err(unusual());
        }
        for position in 0..width {
            let input = self.input(position)?;
            let buffer = &mut self.inputs[input];
            cells.next_element_seed(cell(buffer))?.ok_or_else(unusual)?;
        }
        match cells.next_element::<IgnoredAny>()? {
            Some(_) => Err(unusual()),
            None => Ok(true),
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut cells: A) -> Result<bool, A::Error> {
        let columns = &self.frame.columns;
        if !matches!(self.orient, None | Some(Orient::Records)) || columns.is_empty() || columns.len() != self.width() {
            return Err(unusual());
        }
        for (position, column) in columns.iter().enumerate() {
            let key = cells.next_key_seed(Names(std::iter::once(column.as_str())))?;
            if key != Some(Some(0)) {
                return Err(unusual());
            }
            let input = self.input(position)?;
            let buffer = &mut self.inputs[input];
            cells.next_value_seed(cell(buffer))?;
        }
        match cells.next_key::<IgnoredAny>()? {
            Some(_) => Err(unusual()),
            None => Ok(false),
        }
    }
}

/// A single value: a text, or anything else that is no list or object.
enum Element<'v> {
    Text(&'v str),
    Value(&'v Value),
}

/// Takes a single value.
struct Cell<F>(F);

/// Appends a cell of a table.
fn cell<'a>(buffer: &'a mut InputBuffer<'_>) -> Cell<impl FnOnce(Element<'_>) -> Result<(), String> + 'a> {
    Cell(|value: Element<'_>| match value {
        Element::Text(text) => buffer.push_cell_text(text),
        Element::Value(value) => buffer.push_cell(value),
    })
}

impl<'de, F: FnOnce(Element<'_>) -> Result<(), String>> DeserializeSeed<'de> for Cell<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<(), D::Error> {
        json.deserialize_any(self)
    }
}

impl<F: FnOnce(Element<'_>) -> Result<(), String>> Visitor<'_> for Cell<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a single value")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.0(Element::Value(&value.into())).map_err(|_| unusual())
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.0(Element::Value(&value.into())).map_err(|_| unusual())
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.0(Element::Value(&value.into())).map_err(|_| unusual())
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.0(Element::Value(&value.into())).map_err(|_| unusual())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.0(Element::Value(&Value::Null)).map_err(|_| unusual())
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.0(Element::Text(value)).map_err(|_| unusual())
    }
}
