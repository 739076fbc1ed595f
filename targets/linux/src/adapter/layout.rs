//! Where the fields of one record go: what a row of a CSV or JSON lines file must hold.

use ekiben_runtime::artifact::manifest::{Api, Frame, InputAdapter, Parameter, ParameterKind};

use super::{Batch, DataError, InputBuffer};

/// One parameter's share of a record.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    /// The parameter's name; `None` where the record is the only value.
    pub(super) name: Option<String>,
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
    /// True where nothing reads it, so that it may be lacking.
    pub ignored: bool,
}

/// The fields of a record, in the order of the API's parameters.
#[derive(Clone, Debug, PartialEq)]
pub struct Layout {
    pub(super) parts: Vec<Part>,
    columns: Vec<Column>,
    /// Further fields are passed over: those of tables whose columns have an input each.
    pub(super) passes_others: bool,
    /// The adapter, where records are more than rows of a table or an array: values and objects.
    pub(super) tree: Option<InputAdapter>,
}

/// The most fields that a record may have.
const MAX_COLUMNS: usize = 1 << 24;

impl Layout {
    /// The layout of an API's records.
    ///
    /// # Errors
    /// [`DataError::Api`] when an input's rows do not lie one after the other, or an input is not filled by exactly one parameter.
    pub fn new(api: &Api, batch: &Batch<'_>) -> Result<Self, DataError> {
        let refused = |reason: String| DataError::Api { api: api.name.clone(), reason };
        let mut layout = Self { parts: Vec::new(), columns: Vec::new(), passes_others: false, tree: None };
        if let Some(columns) = tree_columns(&api.input, batch).map_err(refused)? {
            return Ok(Self { columns, tree: Some(api.input.clone()), ..layout });
        }
        match &api.input {
            InputAdapter::Dataframe(frame) => layout.add_frame(None, frame, batch),
            InputAdapter::Value(parameter) | InputAdapter::Row(parameter) | InputAdapter::Text(parameter) => {
                layout.add(None, &parameter.kind, batch)
            }
            InputAdapter::Parameters(parameters) => {
                parameters.iter().try_for_each(|parameter| layout.add(Some(&parameter.name), &parameter.kind, batch))
            }
            InputAdapter::File { .. } => Err("it takes files; give one as a request".to_owned()),
        }
        .map_err(refused)?;
        let mut fields = vec![0usize; batch.inputs.len()];
        for column in &layout.columns {
            fields[column.input] += 1;
        }
        let filled = |(input, fields): (&InputBuffer<'_>, &usize)| input.elements() == *fields;
        if !batch.inputs.iter().zip(&fields).all(filled) {
            return Err(refused("its inputs and its parameters do not match".to_owned()));
        }
        Ok(layout)
    }

    fn add(&mut self, name: Option<&str>, kind: &ParameterKind, batch: &Batch<'_>) -> Result<(), String> {
        match kind {
            ParameterKind::Dataframe(frame) => self.add_frame(name, frame, batch),
            ParameterKind::Array { input, .. } => {
                let part = self.part(name, &[*input], batch)?;
                let only = (part.elements == 1).then(|| name.map(str::to_owned)).flatten();
                let column = Column { name: only, input: *input as usize, ignored: false };
                self.columns.extend(std::iter::repeat_n(column, part.elements));
                self.parts.push(part);
                Ok(())
            }
            _ => Err("its values are read one by one".to_owned()),
        }
    }

    fn add_frame(&mut self, name: Option<&str>, frame: &Frame, batch: &Batch<'_>) -> Result<(), String> {
        let inputs = if frame.inputs.is_empty() { std::slice::from_ref(&frame.input) } else { &frame.inputs };
        let part = Part { is_frame: true, ..self.part(name, inputs, batch)? };
        if !frame.columns.is_empty() && frame.columns.len() != part.elements {
            return Err(format!("its frame names {} columns, its model takes {}", frame.columns.len(), part.elements));
        }
        let column = |index: usize| {
            let input = frame.inputs.get(index).copied().unwrap_or(frame.input) as usize;
            Column { name: frame.columns.get(index).cloned(), input, ignored: batch.inputs[input].is_ignored() }
        };
        self.columns.extend((0..part.elements).map(column));
        self.parts.push(part);
        self.passes_others |= !frame.inputs.is_empty();
        Ok(())
    }

    fn part(&self, name: Option<&str>, inputs: &[u32], batch: &Batch<'_>) -> Result<Part, String> {
        let mut elements = 0usize;
        for &input in inputs {
            let buffer = batch.inputs.get(input as usize);
            let buffer = buffer.ok_or("its parameters name an input that it does not have")?;
            if buffer.spec.shape.batch_axis().is_some_and(|axis| axis != 0) {
                return Err(format!(
                    "input {:?} has its rows on another axis than the first; give a request",
                    buffer.name
                ));
            }
            elements = elements.saturating_add(buffer.elements());
        }
        if elements.saturating_add(self.columns.len()) > MAX_COLUMNS {
            return Err(format!("a record would have more than {MAX_COLUMNS} fields"));
        }
        Ok(Part { name: name.map(str::to_owned), elements, is_frame: false })
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

/// The fields of records that are values and objects; `None` for tables and arrays.
fn tree_columns(input: &InputAdapter, batch: &Batch<'_>) -> Result<Option<Vec<Column>>, String> {
    let parameters = match input {
        InputAdapter::Dataframe(_) | InputAdapter::File { .. } => return Ok(None),
        InputAdapter::Value(parameter) | InputAdapter::Row(parameter) | InputAdapter::Text(parameter) => {
            std::slice::from_ref(parameter)
        }
        InputAdapter::Parameters(parameters) => parameters,
    };
    let plain =
        |parameter: &Parameter| matches!(parameter.kind, ParameterKind::Array { .. } | ParameterKind::Dataframe(_));
    if parameters.iter().all(plain) {
        return Ok(None);
    }
    let mut columns = Vec::new();
    // A list of objects is a record for each; the list's own name is not needed.
    let alone = parameters.len() == 1;
    for parameter in parameters {
        let is_list = matches!(parameter.kind, ParameterKind::Records(_));
        let named = matches!(input, InputAdapter::Parameters(_)) && !(alone && is_list);
        leaves(if named { &parameter.name } else { "" }, &parameter.kind, &mut columns);
    }
    let mut found = Vec::new();
    for (name, input) in columns {
        let buffer = batch.inputs.get(input).ok_or("its parameters name an input that it does not have")?;
        found.push(Column { name: Some(name), input, ignored: buffer.is_ignored() });
    }
    Ok(Some(found))
}

/// The names and inputs of the values below a type. What is no single value has no name that a CSV file could have.
fn leaves(name: &str, kind: &ParameterKind, found: &mut Vec<(String, usize)>) {
    match kind {
        ParameterKind::Scalar(scalar) => {
            let name = if name.is_empty() { "value" } else { name };
            found.push((name.to_owned(), scalar.input as usize));
        }
        ParameterKind::Object(members) => {
            for member in members {
                let name = if name.is_empty() { member.name.clone() } else { format!("{name}.{}", member.name) };
                leaves(&name, &member.kind, found);
            }
        }
        ParameterKind::Records(item) | ParameterKind::Single(item) => leaves(name, item, found),
        ParameterKind::Dataframe(frame) => {
            let inputs = |at: usize| frame.inputs.get(at).copied().unwrap_or(frame.input) as usize;
            found.extend(frame.columns.iter().enumerate().map(|(at, column)| (column.clone(), inputs(at))));
        }
        ParameterKind::Array { input, .. } => found.push((name.to_owned(), *input as usize)),
        // A file has no column.
        ParameterKind::Image(_) | ParameterKind::Sound(_) => {}
    }
}
