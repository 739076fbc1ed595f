//! Request bodies as the bento's own server takes them.

use ekiben_runtime::artifact::manifest::{Api, InputAdapter, Parameter, ParameterKind};
use ekiben_runtime::{DType, Shape};
use serde_json::{Map, Value};

use super::form::{self, Part};
use super::frame::read_frame;
use super::{Batch, CsvRows, DataError, InputBuffer, Layout, RowSource, direct, picture, scalar, sound};

/// Deepest nesting of an array.
const MAX_RANK: usize = 32;

/// What is known of a body besides its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyKind {
    /// Nothing: its first bytes tell what it is.
    Unknown,
    /// JSON, whatever it looks like.
    Json,
    /// A form of several parts.
    Form,
    /// A form in one line.
    UrlEncoded,
}

/// Fills `batch` from one request body, by its first bytes.
///
/// # Errors
/// [`DataError`] names the parameter or the row and column, and what is needed.
pub fn read_request(api: &Api, body: &[u8], batch: &mut Batch<'_>) -> Result<(), DataError> {
    read_request_as(api, body, BodyKind::Unknown, batch)
}

/// Fills `batch` from one request body of this kind.
///
/// # Errors
/// As [`read_request`].
pub fn read_request_as(api: &Api, body: &[u8], kind: BodyKind, batch: &mut Batch<'_>) -> Result<(), DataError> {
    batch.clear();
    let is_json = matches!(body.trim_ascii_start(), [b'[' | b'{', ..]);
    if let (InputAdapter::Dataframe(_), BodyKind::Unknown, false) = (&api.input, kind, is_json) {
        return read_csv(api, body, batch);
    }
    if let Some(rows) = read_files(&api.input, body, kind, batch)? {
        batch.rows = rows;
        return Ok(());
    }
    if direct::read(&api.input, body, batch) {
        return Ok(());
    }
    let body = if matches!(api.input, InputAdapter::Text(_)) {
        let text = std::str::from_utf8(body).map_err(|error| DataError::body("body", format!("no UTF-8: {error}")))?;
        Value::from(text)
    } else {
        parse_json(body)?
    };
    let mut filling = Filling { batch, rows: None, as_text: false, files: &[] };
    match &api.input {
        InputAdapter::Dataframe(frame) => {
            let found = read_frame(frame, "body", &body, false, filling.batch)?;
            filling.agree("body", found)?;
        }
        InputAdapter::Value(parameter) => filling.named(parameter, &body, false)?,
        InputAdapter::Row(parameter) | InputAdapter::Text(parameter) => filling.row(parameter, &body)?,
        InputAdapter::Parameters(parameters) => {
            let members = object("body", parameters, &body)?;
            parameters.iter().try_for_each(|parameter| filling.member(parameter, members, false))?;
        }
        InputAdapter::File { .. } => return Err(DataError::body("body", "a file is needed")),
    }
    batch.rows = filling.rows.unwrap_or(1);
    Ok(())
}

/// JSON as Python reads it: `NaN` is a number, which stands here as null.
fn parse_json(body: &[u8]) -> Result<Value, DataError> {
    let refused = |error: serde_json::Error| DataError::Json(error.to_string());
    let error = match serde_json::from_slice(body) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    if memchr::memmem::find(body, b"NaN").is_none() {
        return Err(refused(error));
    }
    let (mut out, mut rest, mut in_text) = (Vec::with_capacity(body.len() + 8), body, false);
    while let [first, after @ ..] = rest {
        let taken = match first {
            b'\\' if in_text => 2,
            b'"' => {
                in_text = !in_text;
                1
            }
            b'N' if !in_text && after.starts_with(b"aN") => {
                out.extend_from_slice(b"null");
                rest = &rest[3..];
                continue;
            }
            _ => 1,
        };
        let (head, tail) = rest.split_at(taken.min(rest.len()));
        out.extend_from_slice(head);
        rest = tail;
    }
    serde_json::from_slice(&out).map_err(refused)
}

/// The contents of the first file of a form, or of its first part.
///
/// # Errors
/// [`DataError`] where the form is broken, or has no part.
pub fn first_part(body: &[u8]) -> Result<Vec<u8>, DataError> {
    let parts = form::parts(body)?;
    let part = parts.iter().find(|part| part.is_file).or(parts.first());
    Ok(part.ok_or_else(|| DataError::body("form", "it has no part"))?.bytes.to_vec())
}

/// Fills `batch` from a body that is CSV with a header.
///
/// # Errors
/// [`DataError`] names the line and column, and what is needed.
pub fn read_csv(api: &Api, body: &[u8], batch: &mut Batch<'_>) -> Result<(), DataError> {
    batch.clear();
    let layout = Layout::new(api, batch)?;
    let mut rows = CsvRows::new(body, &layout).always_headed();
    while rows.read(batch)? {}
    if batch.rows > 0 { Ok(()) } else { Err(DataError::body("body", "it has no rows")) }
}

/// Fills `batch` from a body that is a form or a file, and gives its rows; `None` for bodies that are a table, JSON or a text.
fn read_files(
    input: &InputAdapter,
    body: &[u8],
    kind: BodyKind,
    batch: &mut Batch<'_>,
) -> Result<Option<usize>, DataError> {
    let is_file = |parameter: &Parameter| matches!(parameter.kind, ParameterKind::Image(_) | ParameterKind::Sound(_));
    let is_form = match kind {
        BodyKind::Unknown => form::is_form(body),
        BodyKind::Json => false,
        BodyKind::Form | BodyKind::UrlEncoded => true,
    };
    let (parameters, row) = match input {
        InputAdapter::Parameters(parameters) if is_form => (&parameters[..], false),
        InputAdapter::Value(parameter) if is_file(parameter) => (std::slice::from_ref(parameter), false),
        InputAdapter::File { parameters, row } => (&parameters[..], *row),
        _ => return Ok(None),
    };
    let files = match (kind, parameters) {
        (BodyKind::UrlEncoded, _) => form::fields(body)?,
        _ if is_form => form::parts(body)?,
        (_, [parameter, ..]) => vec![Part { name: parameter.name.clone(), is_file: true, bytes: body.into() }],
        (_, []) => Vec::new(),
    };
    let alone = parameters.len() == 1 && !matches!(input, InputAdapter::Parameters(_));
    let mut fields = Map::new();
    // A file's contents are a value where a value is needed.
    let is_value = |part: &&Part<'_>| !part.is_file || parameters.iter().any(|p| p.name == part.name && !takes_file(p));
    for part in files.iter().filter(is_value) {
        let text = String::from_utf8_lossy(&part.bytes);
        fields.insert(part.name.clone(), serde_json::from_str(&text).unwrap_or_else(|_| Value::from(&*text)));
    }
    let mut filling = Filling { batch, rows: None, as_text: false, files: &files };
    for parameter in parameters {
        match (&parameter.kind, row) {
            (ParameterKind::Records(item), true) => {
                filling.file_or_member(parameter, item, &fields, alone)?;
                filling.agree(&parameter.name, 1)?;
            }
            (kind, _) => filling.file_or_member(parameter, kind, &fields, alone)?,
        }
    }
    Ok(Some(filling.rows.unwrap_or(1)))
}

/// Appends one record of a file to `batch`: the members of a request's body with one item for each list of rows. With `as_text`, numbers and
/// truths stand as texts, as in a CSV file.
pub(super) fn append_record(
    input: &InputAdapter,
    value: &Value,
    as_text: bool,
    batch: &mut Batch<'_>,
) -> Result<(), DataError> {
    let mut filling = Filling { batch, rows: None, as_text, files: &[] };
    match input {
        InputAdapter::Dataframe(frame) => {
            read_frame(frame, "record", &Value::Array(vec![value.clone()]), false, filling.batch)?;
        }
        InputAdapter::Value(parameter) | InputAdapter::Row(parameter) | InputAdapter::Text(parameter) => {
            filling.row(parameter, value)?;
        }
        InputAdapter::File { .. } => {
            return Err(DataError::body("record", "this API takes files; give it a file as a request"));
        }
        InputAdapter::Parameters(parameters) => {
            let named =
                value.as_object().is_some_and(|members| parameters.iter().all(|p| members.contains_key(&p.name)));
            match &parameters[..] {
                [parameter] if !named && matches!(parameter.kind, ParameterKind::Records(_)) => {
                    filling.row(parameter, value)?;
                }
                parameters => {
                    let members = object("record", parameters, value)?;
                    for parameter in parameters {
                        match (members.get(&parameter.name), &parameter.kind) {
                            (Some(item), ParameterKind::Records(_)) => filling.row(parameter, item)?,
                            _ => filling.member(parameter, members, false)?,
                        }
                    }
                }
            }
        }
    }
    batch.rows += 1;
    Ok(())
}

/// The members of a value that must be an object with some of `parameters`.
fn object<'v>(place: &str, parameters: &[Parameter], value: &'v Value) -> Result<&'v Map<String, Value>, DataError> {
    let refused = || DataError::body(place, format!("it must be an object with {}", names(parameters)));
    value.as_object().ok_or_else(refused)
}

fn names(parameters: &[Parameter]) -> String {
    let names: Vec<_> = parameters.iter().map(|parameter| format!("{:?}", parameter.name)).collect();
    names.join(", ")
}

/// What a body is asked for that does not have a member.
fn missing(name: &str, members: &Map<String, Value>) -> DataError {
    // Other members are not looked at, as in BentoML, but a misspelt one is a likely reason.
    let others: Vec<_> = members.keys().take(10).map(|key| format!("{key:?}")).collect();
    let others = if others.is_empty() { String::new() } else { format!("; the body has {}", others.join(", ")) };
    DataError::Missing { place: name.to_owned(), what: "parameter", others }
}

/// Whether a parameter is a file, or a list of files.
fn takes_file(parameter: &Parameter) -> bool {
    let is_file = |kind: &ParameterKind| matches!(kind, ParameterKind::Image(_) | ParameterKind::Sound(_));
    match &parameter.kind {
        ParameterKind::Records(item) => is_file(item),
        kind => is_file(kind),
    }
}

/// Whether a form has files, all of one name.
fn one_name(files: &[Part<'_>]) -> bool {
    let mut names = files.iter().filter(|file| file.is_file).map(|file| &file.name);
    let first = names.next();
    first.is_some() && names.all(|name| Some(name) == first)
}

fn file_missing(name: &str) -> DataError {
    DataError::Missing { place: name.to_owned(), what: "file", others: String::new() }
}

/// The inputs of one request while its values are put there.
struct Filling<'f, 'b> {
    batch: &'f mut Batch<'b>,
    /// Rows, on which all parameters must agree.
    rows: Option<usize>,
    /// Whether numbers may stand as texts wherever a number is needed.
    as_text: bool,
    /// The parts of a form.
    files: &'f [Part<'f>],
}

impl<'b> Filling<'_, 'b> {
    fn input(&mut self, index: u32) -> Result<&mut InputBuffer<'b>, DataError> {
        let input = self.batch.inputs.get_mut(index as usize);
        input.ok_or_else(|| DataError::body("manifest", "it names an input that is not there"))
    }

    fn agree(&mut self, place: &str, rows: usize) -> Result<(), DataError> {
        match self.rows.replace(rows) {
            Some(others) if others != rows => {
                Err(DataError::body(place, format!("{rows} rows, the parameters before it have {others}")))
            }
            _ => Ok(()),
        }
    }

    /// One row of a parameter that is a list with one item for each row.
    fn row(&mut self, parameter: &Parameter, value: &Value) -> Result<(), DataError> {
        match &parameter.kind {
            ParameterKind::Records(item) => {
                self.value(&parameter.name, item, value, true)?;
                self.agree(&parameter.name, 1)
            }
            kind => self.value(&parameter.name, kind, value, false),
        }
    }

    fn named(&mut self, parameter: &Parameter, value: &Value, in_list: bool) -> Result<(), DataError> {
        self.value(&parameter.name, &parameter.kind, value, in_list)
    }

    /// A parameter of an API that takes files: an image among them, or a value of the other fields. A file that is `alone` may have any name.
    fn file_or_member(
        &mut self,
        parameter: &Parameter,
        kind: &ParameterKind,
        fields: &Map<String, Value>,
        alone: bool,
    ) -> Result<(), DataError> {
        let name = &parameter.name;
        let (kind, several) = match kind {
            ParameterKind::Image(_) | ParameterKind::Sound(_) => (kind, false),
            ParameterKind::Records(item) => match &**item {
                kind @ (ParameterKind::Image(_) | ParameterKind::Sound(_)) => (kind, true),
                _ => return self.member(parameter, fields, false),
            },
            ParameterKind::Object(_) if !fields.contains_key(name) => return self.json_file(name, kind),
            _ => return self.member(parameter, fields, false),
        };
        let all = self.files;
        let files: Vec<&Part<'_>> = match all {
            files if alone && one_name(files) => files.iter().filter(|file| file.is_file).collect(),
            files => files.iter().filter(|file| file.name == *name).collect(),
        };
        match (&files[..], several) {
            ([], _) => Err(file_missing(name)),
            // Of several files of one name the first counts, as in BentoML.
            ([file, ..], false) => self.file(kind, &file.bytes, name),
            (files, true) => {
                for (at, file) in files.iter().enumerate() {
                    self.file(kind, &file.bytes, &format!("{name}[{at}]"))?;
                }
                self.agree(name, files.len())
            }
        }
    }

    /// The contents of a file that is an image or a sound.
    fn file(&mut self, kind: &ParameterKind, bytes: &[u8], place: &str) -> Result<(), DataError> {
        match kind {
            ParameterKind::Image(image) => picture::push(image, bytes, place, &mut self.batch.inputs),
            ParameterKind::Sound(declared) => sound::push(declared, bytes, place, &mut self.batch.inputs),
            _ => Err(DataError::body(place, "no file is taken here")),
        }
    }

    /// A value whose JSON is a file of its own.
    fn json_file(&mut self, name: &str, kind: &ParameterKind) -> Result<(), DataError> {
        let file = self.files.iter().find(|file| file.name == *name);
        let file = file.ok_or_else(|| file_missing(name))?;
        let value = serde_json::from_slice(&file.bytes);
        let value: Value = value.map_err(|error| DataError::body(name, format!("no JSON: {error}")))?;
        self.value(name, kind, &value, false)
    }

    /// A parameter or a member of an object, of which `members` are those that there are; where it is not given, its default.
    fn member(&mut self, parameter: &Parameter, members: &Map<String, Value>, in_list: bool) -> Result<(), DataError> {
        let name = &parameter.name;
        match (members.get(name), &parameter.default) {
            (Some(value), _) => self.named(parameter, value, in_list),
            (None, Some(default)) => {
                let default: Value = serde_json::from_str(default)
                    .map_err(|error| DataError::body("manifest", format!("the default of {name}: {error}")))?;
                self.named(parameter, &default, in_list)
            }
            (None, None) => Err(missing(name, members)),
        }
    }

    /// A value of a type at `place`; `in_list` where it is an item of a list with one for each row, or stands in one.
    fn value(&mut self, place: &str, kind: &ParameterKind, value: &Value, in_list: bool) -> Result<(), DataError> {
        let refused = |reason: String| DataError::body(place, reason);
        match kind {
            ParameterKind::Dataframe(frame) => {
                let found = read_frame(frame, place, value, true, self.batch)?;
                if in_list { Ok(()) } else { self.agree(place, found) }
            }
            ParameterKind::Array { shape, input: index, .. } => {
                let buffer = self.input(*index)?;
                let start = buffer.bytes.len();
                let mut dims = Vec::new();
                read_array(value, 0, &mut dims, start, buffer).map_err(refused)?;
                let dims = match shape {
                    Some(shape) => reshape(&dims, shape).map_err(refused)?,
                    None => dims,
                };
                match fit(&dims, buffer, in_list).map_err(refused)? {
                    Some(found) if !in_list => self.agree(place, found),
                    _ => Ok(()),
                }
            }
            ParameterKind::Scalar(declared) => {
                let as_text = self.as_text;
                scalar::push(declared, value, as_text, self.input(declared.input)?).map_err(refused)
            }
            ParameterKind::Object(parameters) => {
                let members = object(place, parameters, value)?;
                let mut each = parameters.iter();
                each.try_for_each(|parameter| self.member(parameter, members, in_list).map_err(|e| e.below(place, ".")))
            }
            ParameterKind::Records(item) => {
                let Value::Array(items) = value else { return Err(refused("it must be a list".to_owned())) };
                if items.is_empty() {
                    return Err(refused("one item at least is needed".to_owned()));
                }
                for (at, value) in items.iter().enumerate() {
                    self.value("", item, value, true).map_err(|e| e.below(&format!("{place}[{at}]"), "."))?;
                }
                self.agree(place, items.len())
            }
            ParameterKind::Image(_) | ParameterKind::Sound(_) => Err(refused("it must be a file of a form".to_owned())),
            ParameterKind::Single(item) => self.value(place, item, &Value::Array(vec![value.clone()]), in_list),
        }
    }
}

/// Appends nested lists in C order, behind the first `start` bytes; `dims` receives their lengths, on which all lists of a depth must agree.
fn read_array(
    value: &Value,
    depth: usize,
    dims: &mut Vec<usize>,
    start: usize,
    input: &mut InputBuffer<'_>,
) -> Result<(), String> {
    let Value::Array(items) = value else {
        if depth < dims.len() {
            return Err(ragged(&dims[..depth]));
        }
        return push_in_array(value, input);
    };
    if depth == MAX_RANK {
        return Err(format!("the lists are nested deeper than {MAX_RANK}"));
    }
    // A depth is met first on the way down to the first number, when nothing has been appended yet.
    match dims.get(depth) {
        Some(&length) if length != items.len() => return Err(ragged(&dims[..depth])),
        None if input.bytes.len() > start => return Err(ragged(&dims[..depth])),
        None => dims.push(items.len()),
        Some(_) => {}
    }
    items.iter().try_for_each(|item| read_array(item, depth + 1, dims, start, input))
}

/// What numpy says of nested lists that agree on these lengths and then differ.
fn ragged(dims: &[usize]) -> String {
    let spelt: Vec<String> = dims.iter().map(ToString::to_string).collect();
    let comma = if dims.len() == 1 { "," } else { "" };
    format!(
        "setting an array element with a sequence. The requested array has an inhomogeneous shape after {} dimensions. \
         The detected shape was ({}{comma}) + inhomogeneous part.",
        dims.len(),
        spelt.join(", ")
    )
}

/// Appends an element as numpy converts it: null is NaN among floats, and a text that spells a number is one.
pub(super) fn push_in_array(value: &Value, input: &mut InputBuffer<'_>) -> Result<(), String> {
    let is_float = input.spec.dtype.is_float();
    match value {
        Value::Null if is_float => input.push_float(f64::NAN),
        Value::String(text) if is_float => {
            let number = text.trim().parse().map_err(|_| format!("could not convert string to float: '{text}'"))?;
            input.push_float(number)
        }
        value => input.push_element(value, true),
    }
}

/// A shape as numpy's messages spell it: free lengths at the start are left out, and later ones called `newaxis`.
fn spelt_shape(shape: &[i64]) -> String {
    let known = shape.iter().skip_while(|&&dim| dim < 0);
    let dims: Vec<_> = known.map(|&dim| if dim < 0 { "newaxis".to_owned() } else { dim.to_string() }).collect();
    match (dims.is_empty(), shape.len()) {
        (true, _) => "()".to_owned(),
        (false, 1) => format!("({},)", dims[0]),
        (false, _) => format!("({})", dims.join(",")),
    }
}

/// numpy's `reshape` to a declared shape, in which one length may be free.
fn reshape(dims: &[usize], shape: &[i64]) -> Result<Vec<usize>, String> {
    let size: usize = dims.iter().product();
    let refused = || format!("cannot reshape array of size {size} into shape {}", spelt_shape(shape));
    let known = shape.iter().filter_map(|&dim| usize::try_from(dim).ok());
    let known = known.fold(1usize, usize::saturating_mul);
    match shape.iter().filter(|&&dim| dim < 0).count() {
        0 if known == size => {}
        // Several free lengths: each is what was given, if the given shape fits.
        free if free > 1 => {
            let fits = |(&given, &dim): (&usize, &i64)| dim < 0 || usize::try_from(dim) == Ok(given);
            let fits = dims.len() == shape.len() && dims.iter().zip(shape).all(fits);
            return if fits { Ok(dims.to_vec()) } else { Err(refused()) };
        }
        1 if known > 0 && size.is_multiple_of(known) => {}
        _ => return Err(refused()),
    }
    Ok(shape.iter().map(|&dim| usize::try_from(dim).unwrap_or(size / known.max(1))).collect())
}

/// The number of rows of an array in the input's shape; `None` when the shape does not depend on it. With `one_row`, the array is one row.
fn fit(dims: &[usize], input: &InputBuffer<'_>, one_row: bool) -> Result<Option<usize>, String> {
    let shape = &input.spec.shape;
    // The bytes of a text are no axis of its array.
    let texts = usize::from(input.spec.dtype == DType::Text);
    let refused = || format!("an array of shape {dims:?}, the API takes {shape}");
    let rows_of_one = if one_row && shape.batch_axis() == Some(0) { vec![1] } else { Vec::new() };
    let given: Vec<usize> = rows_of_one.iter().chain(dims).copied().collect();
    if given.len() + texts != shape.rank() {
        return Err(refused());
    }
    rows_of(given.into_iter(), shape).ok_or_else(refused)
}

/// Rows of lengths that there are as many of as the shape has axes, `Some(None)` where it has no batch axis; `None` where they are not of the shape.
pub(super) fn rows_of(given: impl Iterator<Item = usize>, shape: &Shape) -> Option<Option<usize>> {
    let mut rows = None;
    for (axis, (given, &factor)) in given.zip(shape.factors()).enumerate() {
        let factor = factor as usize;
        if shape.is_batch(axis) && given > 0 && given.is_multiple_of(factor.max(1)) {
            rows = Some(given / factor.max(1));
        } else if given != factor || shape.is_batch(axis) {
            return None;
        }
    }
    Some(rows)
}
