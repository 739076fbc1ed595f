//! The text of a declaration as a tree whose parts know where they stand.

use std::rc::Rc;

use ruff_text_size::{TextRange, TextSize};
use toml::de::{DeTable, DeValue};

use super::super::evaluate::Value;

/// Largest file, in bytes.
const MAX_BYTES: u64 = 1 << 20;
/// Values of one file.
const MAX_ITEMS: usize = 100_000;
/// Tables and lists in each other.
const MAX_DEPTH: usize = 24;

/// What is wrong at a place of a declaration.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) range: TextRange,
    pub(super) problem: String,
}

impl Fault {
    pub(super) fn new(range: TextRange, problem: impl Into<String>) -> Self {
        Self { range, problem: problem.into() }
    }
}

/// A value of the file.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) range: TextRange,
    pub(super) data: Data,
}

/// What a value of the file is.
#[derive(Clone, Debug)]
pub(super) enum Data {
    Text(Rc<str>),
    Int(i64),
    Float(f64),
    Bool(bool),
    List(Vec<Item>),
    Table(Table),
}

/// A table in the order in which it is written.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) range: TextRange,
    pub(super) entries: Vec<Entry>,
}

/// A key of a table with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) key: Rc<str>,
    /// Where the key stands.
    pub(super) range: TextRange,
    pub(super) item: Item,
}

/// Reads a whole file.
pub(super) fn parse(text: &str) -> Result<Table, Fault> {
    let whole = range(0..text.len());
    if text.len() as u64 > MAX_BYTES {
        return Err(Fault::new(range(0..0), format!("a declaration has {MAX_BYTES} bytes at most")));
    }
    let parsed = DeTable::parse(text).map_err(|error| {
        let place = error.span().map_or(whole, range);
        Fault::new(place, format!("not valid TOML: {}", error.message().replace('\n', ", ")))
    })?;
    let mut left = MAX_ITEMS;
    table(parsed.get_ref(), whole, 0, &mut left)
}

fn range(span: std::ops::Range<usize>) -> TextRange {
    let size = |at: usize| TextSize::new(u32::try_from(at).unwrap_or(u32::MAX));
    TextRange::new(size(span.start), size(span.end.max(span.start)))
}

fn table(table: &DeTable<'_>, place: TextRange, depth: usize, left: &mut usize) -> Result<Table, Fault> {
    let mut entries = Vec::new();
    for (key, value) in table.iter() {
        entries.push(Entry {
            key: Rc::from(&**key.get_ref()),
            range: range(key.span()),
            item: item(value.get_ref(), range(value.span()), depth, left)?,
        });
    }
    entries.sort_by_key(|entry: &Entry| entry.range.start());
    Ok(Table { range: place, entries })
}

fn item(value: &DeValue<'_>, place: TextRange, depth: usize, left: &mut usize) -> Result<Item, Fault> {
    if depth > MAX_DEPTH {
        return Err(Fault::new(place, format!("values are nested more than {MAX_DEPTH} levels deep")));
    }
    *left = left
        .checked_sub(1)
        .ok_or_else(|| Fault::new(place, format!("a declaration has {MAX_ITEMS} values at most")))?;
    let data = match value {
        DeValue::String(text) => Data::Text(Rc::from(&**text)),
        DeValue::Boolean(truth) => Data::Bool(*truth),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(integer) => Data::Int(integer),
            Err(_) => return Err(Fault::new(place, "this integer does not fit into 64 bits")),
        },
        DeValue::Float(float) => match float.as_str().parse() {
            Ok(float) => Data::Float(float),
            Err(_) => return Err(Fault::new(place, "this number is not understood")),
        },
        DeValue::Datetime(_) => return Err(Fault::new(place, "a date has no meaning here. Write it as a text")),
        DeValue::Array(items) => {
            let mut list = Vec::new();
            for value in items.iter() {
                list.push(item(value.get_ref(), range(value.span()), depth + 1, left)?);
            }
            Data::List(list)
        }
        DeValue::Table(inner) => Data::Table(table(inner, place, depth + 1, left)?),
    };
    Ok(Item { range: place, data })
}

impl Item {
    /// What messages call it.
    pub(super) fn describe(&self) -> &'static str {
        match &self.data {
            Data::Text(_) => "a text",
            Data::Int(_) => "an integer",
            Data::Float(_) => "a number",
            Data::Bool(_) => "a truth",
            Data::List(_) => "a list",
            Data::Table(_) => "a table",
        }
    }

    /// That it is not what is needed.
    fn unlike<T>(&self, needed: &str) -> Result<T, Fault> {
        Err(Fault::new(self.range, format!("{needed} is needed, and this is {}", self.describe())))
    }

    pub(super) fn text(&self) -> Result<&Rc<str>, Fault> {
        match &self.data {
            Data::Text(text) => Ok(text),
            _ => self.unlike("a text"),
        }
    }

    pub(super) fn truth(&self) -> Result<bool, Fault> {
        match &self.data {
            Data::Bool(truth) => Ok(*truth),
            _ => self.unlike("true or false"),
        }
    }

    pub(super) fn integer(&self) -> Result<i64, Fault> {
        match &self.data {
            Data::Int(integer) => Ok(*integer),
            _ => self.unlike("an integer"),
        }
    }

    pub(super) fn number(&self) -> Result<f64, Fault> {
        match &self.data {
            Data::Int(integer) => Ok(*integer as f64),
            Data::Float(number) => Ok(*number),
            _ => self.unlike("a number"),
        }
    }

    pub(super) fn list(&self) -> Result<&[Item], Fault> {
        match &self.data {
            Data::List(items) => Ok(items),
            _ => self.unlike("a list"),
        }
    }

    pub(super) fn table(&self) -> Result<&Table, Fault> {
        match &self.data {
            Data::Table(table) => Ok(table),
            _ => self.unlike("a table"),
        }
    }

    /// The constant that it is.
    pub(super) fn constant<'a>(&self) -> Value<'a> {
        match &self.data {
            Data::Text(text) => Value::Text(text.clone()),
            Data::Int(integer) => Value::Int(*integer),
            Data::Float(number) => Value::Float(*number),
            Data::Bool(truth) => Value::Bool(*truth),
            Data::List(items) => Value::List(items.iter().map(Item::constant).collect()),
            Data::Table(table) => {
                let pair = |entry: &Entry| (Value::Text(entry.key.clone()), entry.item.constant());
                Value::Dict(table.entries.iter().map(pair).collect())
            }
        }
    }
}

impl Table {
    /// The entry with this key.
    pub(super) fn get(&self, key: &str) -> Option<&Item> {
        self.entries.iter().find(|entry| &*entry.key == key).map(|entry| &entry.item)
    }

    /// The entry with this key, which `what` must have.
    pub(super) fn needed(&self, key: &str, what: &str) -> Result<&Item, Fault> {
        self.get(key).ok_or_else(|| Fault::new(self.place(), format!("{what} needs `{key}`")))
    }

    /// Where the table begins: its first key, which shows more than its brackets.
    pub(super) fn place(&self) -> TextRange {
        self.entries.first().map_or(self.range, |entry| TextRange::new(entry.range.start(), entry.item.range.end()))
    }

    /// That it has no keys besides `known`.
    pub(super) fn only(&self, known: &[&str], what: &str) -> Result<(), Fault> {
        match self.entries.iter().find(|entry| !known.contains(&&*entry.key)) {
            None => Ok(()),
            Some(entry) => {
                let problem = format!("{what} has no key `{}`; it has {}", entry.key, known.join(", "));
                Err(Fault::new(entry.range, problem))
            }
        }
    }

    /// The tables of a list of tables; none where the key is absent.
    pub(super) fn tables(&self, key: &str) -> Result<Vec<&Table>, Fault> {
        match self.get(key) {
            None => Ok(Vec::new()),
            Some(item) => item.list()?.iter().map(Item::table).collect(),
        }
    }
}

/// That `name` can stand in references: letters, digits and `_`, the first no digit.
pub(super) fn check_name(item: &Item) -> Result<Rc<str>, Fault> {
    let name = item.text()?;
    let plain = name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    match name.chars().next() {
        Some(first) if plain && !first.is_numeric() => Ok(name.clone()),
        _ => Err(Fault::new(item.range, "a name has letters, digits and `_`, and begins with no digit")),
    }
}
