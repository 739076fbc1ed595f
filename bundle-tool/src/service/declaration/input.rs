//! Declared inputs as parameters with leaves.

use std::rc::Rc;

use ekiben_runtime::artifact::manifest::{Limits, Orient, ScalarKind};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::super::evaluate::Place;
use super::super::input::{ApiInput, Form, ImageSource, Inputs, Member, Node};
use super::document::{Data, Fault, Item, Table, check_name};

/// Objects in objects.
const MAX_DEPTH: usize = 16;
/// Longest axis, and most samples of a signal.
const MAX_LENGTH: i64 = 1 << 24;

/// Reads one input: its name, type and the keys that the type has.
type Read = fn(&mut Reader, &Table, &str, bool) -> Result<Node, Fault>;

/// Types of inputs with their keys and what reads them.
const TYPES: &[(&str, &[&str], Read)] = &[
    ("table", &["columns", "orient", "dtype", "fills", "single"], |reader, table, name, _| reader.table(table, name)),
    ("array", &["shape", "dtype"], |reader, table, name, _| reader.array(table, name)),
    ("list", &["shape", "dtype"], |reader, table, name, rows| reader.list(table, name, rows)),
    ("audio", &["samples", "dtype"], |reader, table, name, rows| reader.audio(table, name, rows)),
    ("number", LIMITS, |reader, table, name, rows| reader.scalar(table, name, rows, ScalarKind::Number, DType::F64)),
    ("integer", LIMITS, |reader, table, name, rows| reader.scalar(table, name, rows, ScalarKind::Integer, DType::I64)),
    ("boolean", &["default"], |reader, table, name, rows| {
        reader.scalar(table, name, rows, ScalarKind::Boolean, DType::Bool)
    }),
    ("text", &["choices", "default", "bytes"], |reader, table, name, rows| {
        reader.scalar(table, name, rows, ScalarKind::Text, text_type(table))
    }),
    ("value", &["default"], |reader, table, name, rows| reader.scalar(table, name, rows, ScalarKind::Any, DType::F64)),
    ("sound", &["samples", "rate", "fits"], |reader, table, name, rows| reader.sound(table, name, rows)),
    ("image", &[], |_, _, _, _| Ok(Node::Image { source: ImageSource::Pillow, uses: Vec::new() })),
    ("object", &["members"], |reader, table, _, rows| reader.object(table, rows)),
    ("json", &[], |_, _, _, _| Ok(Node::Object { members: Vec::new(), open: true })),
];

const LIMITS: &[&str] =
    &["minimum", "maximum", "exclusive_minimum", "exclusive_maximum", "multiple_of", "choices", "default"];

/// Keys that every input has.
const COMMON: &[&str] = &["name", "type", "rows"];

/// The inputs of an API. With `row`, a request is one row of the only input.
pub(super) fn inputs(declared: &[&Table], row: bool) -> Result<Inputs, Fault> {
    let mut reader = Reader { inputs: Inputs { is_row: row, ..Inputs::default() }, depth: 0, one_row: false };
    for table in declared {
        let member = reader.member(table, false, row)?;
        if reader.inputs.parameters.iter().any(|other| other.name == member.name) {
            return Err(Fault::new(table.place(), format!("an input called `{}` is there already", member.name)));
        }
        reader.inputs.parameters.push(member);
    }
    Ok(reader.inputs)
}

/// The element type that a key names.
pub(super) fn dtype(item: &Item, known: &[DType]) -> Result<DType, Fault> {
    let name = item.text()?;
    let found = DType::from_name(name).filter(|dtype| known.contains(dtype));
    found.ok_or_else(|| {
        let names: Vec<&str> = known.iter().map(|dtype| dtype.name()).collect();
        Fault::new(item.range, format!("`{name}` is no type here; there are {}", names.join(", ")))
    })
}

/// Types of numbers that requests are read into.
pub(super) const NUMBERS: [DType; 9] =
    [DType::F64, DType::F32, DType::I64, DType::I32, DType::I16, DType::I8, DType::U8, DType::U16, DType::U32];

struct Reader {
    inputs: Inputs,
    /// Objects around the input that is read.
    depth: usize,
    /// Whether a request is one row of it.
    one_row: bool,
}

fn place(table: &Table) -> Place {
    Place { module: 0, range: table.place() }
}

impl Reader {
    /// An input or a member of an object. `batched` inside of a list with one item for each row; with `row` it is such a list itself.
    fn member(&mut self, table: &Table, batched: bool, row: bool) -> Result<Member, Fault> {
        let name = table.needed("name", "an input")?;
        // Members are found by the names that requests have; only inputs are named in references.
        let name = if self.depth == 0 { check_name(name)? } else { name.text()?.clone() };
        let kind = table.needed("type", &format!("the input `{name}`"))?;
        let type_name = kind.text()?;
        let Some((known, keys, read)) = TYPES.iter().find(|(known, ..)| **known == **type_name) else {
            let names: Vec<&str> = TYPES.iter().map(|(known, ..)| *known).collect();
            let problem = format!("`{type_name}` is no type of inputs; there are {}", names.join(", "));
            return Err(Fault::new(kind.range, problem));
        };
        table.only(&[COMMON, *keys].concat(), &format!("an input of the type {known}"))?;
        let rows = match table.get("rows") {
            Some(item) if batched || row => {
                return Err(Fault::new(item.range, "rows of rows are not compiled"));
            }
            Some(item) => item.truth()?,
            None => row,
        };
        let has_rows = matches!(*known, "table" | "array");
        if rows && has_rows {
            let problem = match row {
                true => format!("one row of a request is no {known}; it is an object, a list or a value"),
                false => format!("an input of the type {known} has its rows already"),
            };
            return Err(Fault::new(kind.range, problem));
        }
        self.one_row = row;
        let default = table.get("default").map(json).transpose()?;
        let node = read(self, table, &name, rows || batched)?;
        // An array has its rows itself.
        let is_array = |leaf: &ApiInput| matches!(leaf.form, Form::Array { .. });
        let whole = matches!(node, Node::Leaf(index) if self.inputs.leaves.get(index).is_some_and(is_array));
        let node = if rows && !whole { Node::Records(Box::new(node)) } else { node };
        Ok(Member { name: name.to_string(), node, default })
    }

    fn leaf(&mut self, leaf: ApiInput) -> Result<Node, Fault> {
        let range = leaf.place.range;
        self.inputs.add(leaf).ok_or_else(|| Fault::new(range, "an API with so many inputs is not compiled"))
    }

    fn table(&mut self, table: &Table, name: &str) -> Result<Node, Fault> {
        let item = table.needed("columns", &format!("the input `{name}`"))?;
        let orient = match table.get("orient") {
            None => None,
            Some(item) => Some(Orient::from_name(item.text()?).ok_or_else(|| {
                let names: Vec<&str> = Orient::ALL.iter().map(|orient| orient.name()).collect();
                Fault::new(item.range, format!("there are the orientations {}", names.join(", ")))
            })?),
        };
        let flag = |key: &str| table.get(key).map_or(Ok(false), Item::truth);
        let form = Form::Frame { orient };
        let leaf = match &item.data {
            // So many columns without names, taken by their positions.
            Data::Int(_) => {
                let element = table.get("dtype").map_or(Ok(DType::F64), |item| dtype(item, &NUMBERS))?;
                let shape = shape(&[1, length(item)?], Some(0), table)?;
                ApiInput {
                    settled: true,
                    columns_declared: true,
                    fills: flag("fills")?,
                    ..ApiInput::new(name, place(table), form, element, shape)
                }
            }
            _ => {
                let (names, specs) = columns(item, table)?;
                let shape = shape(&[1, names.len()], Some(0), table)?;
                let first = specs[0];
                let one = specs.iter().all(|spec| *spec == first) && !is_text(first.dtype);
                let element = if one { first.dtype } else { DType::F64 };
                let leaf = ApiInput::new(name, place(table), form, element, shape);
                let columns = Some(names);
                let table = (!one).then_some(specs);
                ApiInput { settled: true, columns, columns_declared: true, fills: flag("fills")?, table, ..leaf }
            }
        };
        let leaf = self.leaf(leaf)?;
        Ok(if flag("single")? { Node::Single(Box::new(leaf)) } else { leaf })
    }

    fn array(&mut self, table: &Table, name: &str) -> Result<Node, Fault> {
        let item = table.needed("shape", &format!("the input `{name}`"))?;
        let (dims, batch) = lengths(item)?;
        let element = table.get("dtype").map_or(Ok(DType::F64), |item| dtype(item, &NUMBERS))?;
        let declared = dims.iter().enumerate().map(|(at, &length)| if batch == Some(at) { -1 } else { length as i64 });
        let form = Form::Array { shape: Some(declared.collect()), dtype: Some(element.name().to_owned()) };
        let leaf = ApiInput::new(name, place(table), form, element, shape(&dims, batch, table)?);
        self.leaf(ApiInput { settled: true, ..leaf })
    }

    /// A sound: a file.
    fn sound(&mut self, table: &Table, name: &str, rows: bool) -> Result<Node, Fault> {
        let samples = length(table.needed("samples", &format!("the input `{name}`"))?)?;
        let rate = match table.get("rate") {
            None => None,
            Some(item) => {
                let rate = u32::try_from(item.integer()?).ok().filter(|rate| *rate > 0);
                Some(rate.ok_or_else(|| Fault::new(item.range, "a rate is a number of samples a second"))?)
            }
        };
        let fits = table.get("fits").map_or(Ok(false), Item::truth)?;
        let dims = if rows { vec![1, samples] } else { vec![samples] };
        let shape = shape(&dims, rows.then_some(0), table)?;
        let leaf = ApiInput::new(name, place(table), Form::Sound { rate, fits }, DType::F32, shape);
        self.leaf(ApiInput { settled: true, ..leaf })
    }

    /// A signal: its samples as a list of numbers.
    fn audio(&mut self, table: &Table, name: &str, rows: bool) -> Result<Node, Fault> {
        let samples = length(table.needed("samples", &format!("the input `{name}`"))?)?;
        let element = table.get("dtype").map_or(Ok(DType::F32), |item| dtype(item, &NUMBERS))?;
        let dims = if rows { vec![1, samples] } else { vec![samples] };
        let declared = if rows { vec![-1, samples as i64] } else { vec![samples as i64] };
        let form = match self.depth > 0 || self.one_row {
            true => Form::List,
            false => Form::Array { shape: Some(declared), dtype: Some(element.name().to_owned()) },
        };
        let leaf = ApiInput::new(name, place(table), form, element, shape(&dims, rows.then_some(0), table)?);
        self.leaf(ApiInput { settled: true, ..leaf })
    }

    /// Nested lists of numbers; with `rows`, the shape is that of one row.
    fn list(&mut self, table: &Table, name: &str, rows: bool) -> Result<Node, Fault> {
        let item = table.needed("shape", &format!("the input `{name}`"))?;
        let (mut dims, mut batch) = lengths(item)?;
        if rows {
            if batch.is_some() {
                return Err(Fault::new(item.range, "the shape is that of one row, without \"N\""));
            }
            dims.insert(0, 1);
            batch = Some(0);
        }
        let element = table.get("dtype").map_or(Ok(DType::F64), |item| dtype(item, &NUMBERS))?;
        let leaf = ApiInput::new(name, place(table), Form::List, element, shape(&dims, batch, table)?);
        self.leaf(ApiInput { settled: true, ..leaf })
    }

    fn scalar(&mut self, table: &Table, name: &str, rows: bool, kind: ScalarKind, dtype: DType) -> Result<Node, Fault> {
        let mut dims = if rows { vec![1] } else { Vec::new() };
        if dtype == DType::Text {
            dims.push(length(table.needed("bytes", "a text")?)?);
        }
        let shape = shape(&dims, rows.then_some(0), table)?;
        let form = Form::Scalar { kind, limits: limits(table)? };
        let leaf = ApiInput::new(name, place(table), form, dtype, shape);
        self.leaf(ApiInput { holds: true, ..leaf })
    }

    fn object(&mut self, table: &Table, rows: bool) -> Result<Node, Fault> {
        let item = table.needed("members", "an object")?;
        if self.depth >= MAX_DEPTH {
            return Err(Fault::new(item.range, format!("objects are nested more than {MAX_DEPTH} levels deep")));
        }
        self.depth += 1;
        let mut members: Vec<Member> = Vec::new();
        for declared in item.list()? {
            let declared = declared.table()?;
            let member = self.member(declared, rows, false)?;
            if members.iter().any(|other| other.name == member.name) {
                return Err(Fault::new(declared.place(), format!("a member `{}` is there already", member.name)));
            }
            members.push(member);
        }
        self.depth -= 1;
        if members.is_empty() {
            return Err(Fault::new(item.range, "an object has one member at least"));
        }
        Ok(Node::Object { members, open: false })
    }
}

/// Whether elements of this type are texts.
fn is_text(dtype: DType) -> bool {
    matches!(dtype, DType::Category | DType::Text)
}

/// The type of a text: with `bytes` one that a model takes apart, else one that is compared with others.
fn text_type(table: &Table) -> DType {
    if table.get("bytes").is_some() { DType::Text } else { DType::Category }
}

/// Names and types of a table's columns.
fn columns(item: &Item, whole: &Table) -> Result<(Vec<String>, Vec<TensorSpec>), Fault> {
    let kind = |item: &Item| match &**item.text()? {
        "text" => Ok(DType::Category),
        _ => dtype(item, &NUMBERS).map_err(|fault| Fault::new(fault.range, format!("{}, text", fault.problem))),
    };
    let usual = whole.get("dtype").map_or(Ok(DType::F64), kind)?;
    let (mut names, mut specs): (Vec<String>, Vec<TensorSpec>) = (Vec::new(), Vec::new());
    for column in item.list()? {
        let (name, dtype, bytes) = match &column.data {
            Data::Text(name) => (name.clone(), usual, None),
            _ => {
                let table = column.table()?;
                table.only(&["name", "type", "bytes"], "a column")?;
                let name = table.needed("name", "a column")?.text()?.clone();
                let bytes = table.get("bytes").map(length).transpose()?;
                (name, table.get("type").map_or(Ok(usual), kind)?, bytes)
            }
        };
        if names.iter().any(|known| **known == *name) {
            return Err(Fault::new(column.range, format!("a column `{name}` is there already")));
        }
        let (dtype, dims) = match (dtype, bytes) {
            (DType::Category, Some(bytes)) => (DType::Text, vec![1, bytes]),
            (dtype, _) => (dtype, vec![1]),
        };
        names.push(name.to_string());
        specs.push(TensorSpec::new(dtype, shape(&dims, Some(0), whole)?));
    }
    if names.is_empty() {
        return Err(Fault::new(item.range, "a table has one column at least"));
    }
    Ok((names, specs))
}

fn shape(dims: &[usize], batch: Option<usize>, table: &Table) -> Result<Shape, Fault> {
    Shape::new(dims, batch).map_err(|error| Fault::new(table.place(), error.to_string()))
}

fn length(item: &Item) -> Result<usize, Fault> {
    let length = item.integer()?;
    let known = usize::try_from(length).ok().filter(|_| (1..=MAX_LENGTH).contains(&length));
    known.ok_or_else(|| Fault::new(item.range, format!("a length is 1 to {MAX_LENGTH}")))
}

/// The lengths of a shape, and the axis that is `"N"`, the rows of a request.
fn lengths(item: &Item) -> Result<(Vec<usize>, Option<usize>), Fault> {
    let (mut dims, mut batch) = (Vec::new(), None);
    for (at, axis) in item.list()?.iter().enumerate() {
        match axis.text() {
            Ok(name) if **name == *"N" && at == 0 => {
                batch = Some(at);
                dims.push(1);
            }
            Ok(_) => return Err(Fault::new(axis.range, "only the first axis is \"N\", the rows of a request")),
            Err(_) => dims.push(length(axis)?),
        }
    }
    Ok((dims, batch))
}

fn limits(table: &Table) -> Result<Limits, Fault> {
    let number = |key: &str| table.get(key).map(Item::number).transpose();
    let one_of = match table.get("choices") {
        None => Vec::new(),
        Some(item) => item.list()?.iter().map(|choice| Ok(json(choice)?.to_string())).collect::<Result<_, Fault>>()?,
    };
    Ok(Limits {
        minimum: number("minimum")?,
        maximum: number("maximum")?,
        exclusive_minimum: number("exclusive_minimum")?,
        exclusive_maximum: number("exclusive_maximum")?,
        multiple_of: number("multiple_of")?,
        one_of,
        ..Limits::default()
    })
}

/// A constant as JSON.
fn json(item: &Item) -> Result<serde_json::Value, Fault> {
    Ok(match &item.data {
        Data::Text(text) => Rc::as_ref(text).into(),
        Data::Int(integer) => (*integer).into(),
        Data::Float(number) => (*number).into(),
        Data::Bool(truth) => (*truth).into(),
        Data::List(_) | Data::Table(_) => {
            return Err(Fault::new(item.range, "a number, a text or a truth is needed here"));
        }
    })
}
