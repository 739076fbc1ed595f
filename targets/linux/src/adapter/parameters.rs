//! Request bodies as the bento's own server takes them.

use ekiben_runtime::DType;
use ekiben_runtime::artifact::manifest::{Api, InputAdapter, Parameter, ParameterKind};
use serde_json::{Map, Value};

use super::frame::read_frame;
use super::{Batch, CsvRows, DataError, InputBuffer, Layout, RowSource};

/// Deepest nesting of an array.
const MAX_RANK: usize = 32;

/// Fills `batch` from one request body.
///
/// # Errors
/// [`DataError`] names the parameter or the row and column, and what is needed.
pub fn read_request(api: &Api, body: &[u8], batch: &mut Batch<'_>) -> Result<(), DataError> {
    batch.clear();
    if let (InputAdapter::Dataframe(_), false) = (&api.input, matches!(body.trim_ascii_start(), [b'[' | b'{', ..])) {
        let layout = Layout::new(api, batch)?;
        let mut rows = CsvRows::new(body, &layout).always_headed();
        while rows.read(batch)? {}
        return if batch.rows > 0 { Ok(()) } else { Err(DataError::body("body", "it has no rows")) };
    }
    let body: Value =
        serde_json::from_slice(body).map_err(|error| DataError::body("body", format!("no JSON: {error}")))?;
    let mut rows = RowCount(None);
    match &api.input {
        InputAdapter::Dataframe(frame) => {
            rows.agree("body", read_frame(frame, "body", &body, false, batch)?)?;
        }
        InputAdapter::Value(parameter) => read_parameter(parameter, &body, batch, &mut rows)?,
        InputAdapter::Parameters(parameters) => {
            let Value::Object(members) = &body else {
                return Err(DataError::body("body", format!("it must be an object with {}", names(parameters))));
            };
            for parameter in parameters {
                let missing = || DataError::body(&parameter.name, missing(members));
                let value = members.get(&parameter.name).ok_or_else(missing)?;
                read_parameter(parameter, value, batch, &mut rows)?;
            }
        }
    }
    batch.rows = rows.0.unwrap_or(1);
    Ok(())
}

fn names(parameters: &[Parameter]) -> String {
    let names: Vec<_> = parameters.iter().map(|parameter| format!("{:?}", parameter.name)).collect();
    names.join(", ")
}

/// Other members are not looked at, as in BentoML, but a misspelt one is a likely reason.
fn missing(members: &Map<String, Value>) -> String {
    let others: Vec<_> = members.keys().take(10).map(|key| format!("{key:?}")).collect();
    if others.is_empty() {
        return "this parameter is missing".to_owned();
    }
    format!("this parameter is missing; the body has {}", others.join(", "))
}

fn input<'a, 'b>(batch: &'a mut Batch<'b>, index: u32) -> Result<&'a mut InputBuffer<'b>, DataError> {
    batch
        .inputs
        .get_mut(index as usize)
        .ok_or_else(|| DataError::body("manifest", "it names an input that is not there"))
}

/// Rows of the batch, on which all parameters must agree.
struct RowCount(Option<usize>);

impl RowCount {
    fn agree(&mut self, place: &str, rows: usize) -> Result<(), DataError> {
        match self.0.replace(rows) {
            Some(others) if others != rows => {
                Err(DataError::body(place, format!("{rows} rows, the parameters before it have {others}")))
            }
            _ => Ok(()),
        }
    }
}

fn read_parameter(
    parameter: &Parameter,
    value: &Value,
    batch: &mut Batch<'_>,
    rows: &mut RowCount,
) -> Result<(), DataError> {
    let name = parameter.name.as_str();
    match &parameter.kind {
        ParameterKind::Dataframe(frame) => {
            let found = read_frame(frame, name, value, true, batch)?;
            rows.agree(name, found)
        }
        ParameterKind::Array { shape, input: index, .. } => {
            let buffer = input(batch, *index)?;
            let mut dims = Vec::new();
            read_array(value, 0, &mut dims, buffer).map_err(|reason| DataError::body(name, reason))?;
            let dims = match shape {
                Some(shape) => reshape(&dims, shape).map_err(|reason| DataError::body(name, reason))?,
                None => dims,
            };
            match fit(&dims, buffer).map_err(|reason| DataError::body(name, reason))? {
                Some(found) => rows.agree(name, found),
                None => Ok(()),
            }
        }
    }
}

/// Appends nested lists in C order; `dims` receives their lengths, on which all lists of a depth must agree.
fn read_array(value: &Value, depth: usize, dims: &mut Vec<usize>, input: &mut InputBuffer<'_>) -> Result<(), String> {
    let Value::Array(items) = value else {
        if depth < dims.len() {
            return Err("the nested lists are ragged".to_owned());
        }
        return input.push_element(value, true);
    };
    if depth == MAX_RANK {
        return Err(format!("the lists are nested deeper than {MAX_RANK}"));
    }
    // A depth is met first on the way down to the first number, when nothing has been appended yet.
    match dims.get(depth) {
        Some(&length) if length != items.len() => return Err("the nested lists are ragged".to_owned()),
        None if !input.bytes.is_empty() => return Err("the nested lists are ragged".to_owned()),
        None => dims.push(items.len()),
        Some(_) => {}
    }
    items.iter().try_for_each(|item| read_array(item, depth + 1, dims, input))
}

/// numpy's `reshape` to a declared shape, in which one length may be free.
fn reshape(dims: &[usize], shape: &[i64]) -> Result<Vec<usize>, String> {
    let size: usize = dims.iter().product();
    let refused = || {
        let shape: Vec<_> = shape.iter().map(ToString::to_string).collect();
        format!("cannot reshape array of size {size} into shape ({})", shape.join(","))
    };
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

/// The number of rows of an array in the input's shape; `None` when the shape does not depend on it.
fn fit(dims: &[usize], input: &InputBuffer<'_>) -> Result<Option<usize>, String> {
    let shape = &input.spec.shape;
    // The bytes of a text are no axis of its array.
    let texts = usize::from(input.spec.dtype == DType::Text);
    let refused = || format!("an array of shape {dims:?}, the API takes {shape}");
    if dims.len() + texts != shape.rank() {
        return Err(refused());
    }
    let mut rows = None;
    for (axis, (&given, &factor)) in dims.iter().zip(shape.factors()).enumerate() {
        let factor = factor as usize;
        if shape.is_batch(axis) && given > 0 && given.is_multiple_of(factor.max(1)) {
            rows = Some(given / factor.max(1));
        } else if given != factor || shape.is_batch(axis) {
            return Err(refused());
        }
    }
    Ok(rows)
}
