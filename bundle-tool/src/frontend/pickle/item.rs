//! Walking a document: every accessor says, when it fails, which attribute it was at and what it found there.

use super::array::Array;
use super::document::{Document, Node, Object, Value};
use super::error::Printable;
use std::fmt;
use std::rc::Rc;

/// A value of a document is not what the reader of an estimator expects.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: expected {expected}, found {found}")]
pub struct AccessError {
    /// The way from the root: `steps[1][1].coef_`; `model` for the root itself.
    pub path: String,
    /// What was wanted there.
    pub expected: String,
    /// What is there.
    pub found: String,
}

/// One step of a path.
#[derive(Debug)]
enum Step<'d> {
    Attribute(&'d str),
    Index(usize),
    Argument(usize),
}

/// The way from the root to a value. Its length is bounded by [`Limits::path_depth`](super::Limits::path_depth).
#[derive(Debug)]
struct Path<'d> {
    parent: Option<Rc<Path<'d>>>,
    step: Step<'d>,
    depth: u32,
}

/// A value of a document, with the path that leads to it.
#[derive(Clone)]
pub struct Item<'d> {
    document: &'d Document<'d>,
    value: Value,
    path: Option<Rc<Path<'d>>>,
}

impl<'d> Item<'d> {
    pub(super) fn root(document: &'d Document<'d>, value: Value) -> Item<'d> {
        Item { document, value, path: None }
    }

    pub(super) fn document(&self) -> &'d Document<'d> {
        self.document
    }

    /// The way from the root, as in `steps[1][1].coef_`; `model` for the root.
    pub fn path(&self) -> String {
        let mut steps = Vec::new();
        let mut next = self.path.as_ref();
        while let Some(path) = next {
            steps.push(&path.step);
            next = path.parent.as_ref();
        }
        let mut text = String::new();
        for step in steps.into_iter().rev() {
            match step {
                Step::Attribute(name) if text.is_empty() => text += &Printable(name).to_string(),
                Step::Attribute(name) => text += &format!(".{}", Printable(name)),
                Step::Index(i) => text += &format!("[{i}]"),
                Step::Argument(i) => text += &format!(".__init__[{i}]"),
            }
        }
        if text.is_empty() {
            text += "model";
        }
        text
    }

    /// What the value is, in a few words: `an array of float64 [3, 4]`.
    pub fn describe(&self) -> String {
        self.document.contents.describe(self.value)
    }

    /// An error saying that something else was `expected` here.
    pub fn wrong(&self, expected: &str) -> AccessError {
        AccessError { path: self.path(), expected: expected.to_owned(), found: self.describe() }
    }

    /// Whether the value is `None`.
    pub fn is_none(&self) -> bool {
        self.value == Value::None
    }

    /// A bool, or a numpy bool.
    pub fn as_bool(&self) -> Result<bool, AccessError> {
        match self.value {
            Value::Bool(b) => Ok(b),
            _ => Err(self.wrong("a bool")),
        }
    }

    /// An int, a numpy integer, or an array of integers that has no dimension.
    pub fn as_i64(&self) -> Result<i64, AccessError> {
        match self.value {
            Value::Int(i) => Ok(i),
            _ => {
                let values = self.scalar_array().map(|a| a.i64s());
                match values {
                    Some(Ok(values)) if values.len() == 1 => Ok(values[0]),
                    _ => Err(self.wrong("an int")),
                }
            }
        }
    }

    /// A number of things: [`Item::as_i64`], not negative.
    pub fn as_usize(&self) -> Result<usize, AccessError> {
        let value = self.as_i64()?;
        usize::try_from(value).map_err(|_| self.wrong("an int that is not negative"))
    }

    /// A float or an int, numpy's too, or an array of numbers that has no dimension.
    pub fn as_f64(&self) -> Result<f64, AccessError> {
        match self.value {
            Value::Float(x) => Ok(x),
            Value::Int(i) => Ok(i as f64),
            _ => {
                let values = self.scalar_array().map(|a| a.f64s());
                match values {
                    Some(Ok(values)) if values.len() == 1 => Ok(values[0]),
                    _ => Err(self.wrong("a float")),
                }
            }
        }
    }

    /// Text.
    pub fn as_str(&self) -> Result<&'d str, AccessError> {
        let text = match self.node() {
            Some(Node::Text(blob)) => std::str::from_utf8(self.document.bytes(blob)).ok(),
            _ => None,
        };
        text.ok_or_else(|| self.wrong("a str"))
    }

    /// Bytes.
    pub fn as_bytes(&self) -> Result<&'d [u8], AccessError> {
        match self.node() {
            Some(Node::Bytes(blob)) => Ok(self.document.bytes(blob)),
            _ => Err(self.wrong("bytes")),
        }
    }

    /// The full name of a class or function that is itself the value.
    pub fn as_global(&self) -> Result<&'d str, AccessError> {
        match self.node() {
            Some(Node::Global(index)) => Ok(self.global_name(*index)),
            _ => Err(self.wrong("a class or function")),
        }
    }

    /// An array.
    pub fn array(&self) -> Result<Array<'d>, AccessError> {
        match self.node() {
            Some(Node::Array(array)) => Ok(Array::new(self.clone(), array)),
            _ => Err(self.wrong("an array")),
        }
    }

    /// Whether the value is an array.
    pub fn is_array(&self) -> bool {
        matches!(self.node(), Some(Node::Array(_)))
    }

    /// The full name of an object's class, or of the function that would have made the object.
    pub fn class(&self) -> Result<&'d str, AccessError> {
        let object = self.object()?;
        Ok(self.global_name(object.callable))
    }

    /// Argument `index` that an object was to be made with.
    pub fn argument(&self, index: usize) -> Result<Item<'d>, AccessError> {
        let args = self.document.contents.sequence(self.object()?.args);
        match args.and_then(|a| a.get(index)) {
            Some(&value) => self.child(value, Step::Argument(index)),
            None => Err(self.wrong(&format!("an object made with {} arguments", index + 1))),
        }
    }

    /// Keyword argument `name` that an object was to be made with, if it is there.
    pub fn find_keyword(&self, name: &str) -> Result<Option<Item<'d>>, AccessError> {
        match self.object()?.kwargs {
            Some(kwargs) => self.child(kwargs, Step::Attribute("__init__"))?.find(name),
            None => Ok(None),
        }
    }

    /// The whole state of an object, for classes whose state is not a dict of attributes.
    pub fn state(&self) -> Result<Item<'d>, AccessError> {
        match self.object()?.state {
            Some(state) => self.child(state, Step::Attribute("__state__")),
            None => Err(self.wrong("an object with state")),
        }
    }

    /// Attribute `name` of an object, or the value at key `name` of a dict.
    pub fn get(&self, name: &str) -> Result<Item<'d>, AccessError> {
        match self.find(name)? {
            Some(item) => Ok(item),
            None => Err(self.wrong(&format!("something with an attribute `{name}`"))),
        }
    }

    /// [`Item::get`], or `None` where there is no such attribute or key.
    pub fn find(&self, name: &str) -> Result<Option<Item<'d>>, AccessError> {
        for entries in self.attribute_tables()? {
            // The last of equal keys counts, as in Python.
            let hit = entries.iter().rev().find_map(|&(key, value)| {
                let same = self.text_bytes(key)? == name.as_bytes();
                same.then_some((key, value))
            });
            if let Some((key, value)) = hit {
                let key = self.text(key).unwrap_or_default();
                return self.child(value, Step::Attribute(key)).map(Some);
            }
        }
        Ok(None)
    }

    /// Element `index` of a list or tuple.
    pub fn at(&self, index: usize) -> Result<Item<'d>, AccessError> {
        match self.sequence()?.get(index) {
            Some(&value) => self.child(value, Step::Index(index)),
            None => Err(self.wrong(&format!("at least {} elements", index + 1))),
        }
    }

    /// The elements of a list, tuple, set, list subclass or array of objects.
    pub fn items(&self) -> Result<Vec<Item<'d>>, AccessError> {
        if self.is_array() {
            return self.array()?.objects();
        }
        self.elements(self.sequence()?)
    }

    /// Keys and values of a dict or dict subclass, in the order of the file.
    pub fn entries(&self) -> Result<Vec<(Item<'d>, Item<'d>)>, AccessError> {
        let entries: &[(Value, Value)] = match self.node() {
            Some(Node::Dict(entries)) => entries,
            Some(Node::Object(object)) => &object.entries,
            _ => return Err(self.wrong("a dict")),
        };
        let pair = |(i, &(key, value)): (usize, &(Value, Value))| {
            let step = match self.text(key) {
                Some(key) => Step::Attribute(key),
                None => Step::Index(i),
            };
            Ok((self.child(key, Step::Index(i))?, self.child(value, step)?))
        };
        entries.iter().enumerate().map(pair).collect()
    }

    /// The given values as elements of this one.
    pub(super) fn elements(&self, values: &[Value]) -> Result<Vec<Item<'d>>, AccessError> {
        let child = |(i, &value): (usize, &Value)| self.child(value, Step::Index(i));
        values.iter().enumerate().map(child).collect()
    }

    fn child(&self, value: Value, step: Step<'d>) -> Result<Item<'d>, AccessError> {
        let depth = self.path.as_ref().map_or(1, |p| p.depth.saturating_add(1));
        let limits = &self.document.limits;
        if depth > limits.path_depth {
            return Err(self.wrong(&format!("a structure at most {} levels deep", limits.path_depth)));
        }
        self.visit(1)?;
        Ok(Item {
            document: self.document,
            value,
            path: Some(Rc::new(Path { parent: self.path.clone(), step, depth })),
        })
    }

    /// Accounts for `count` values handed out.
    pub(super) fn visit(&self, count: usize) -> Result<(), AccessError> {
        if self.document.visit(count) {
            return Ok(());
        }
        let most = self.document.most_visits();
        Err(self.wrong(&format!("at most {most} values in all")))
    }

    fn node(&self) -> Option<&'d Node> {
        self.document.contents.node(self.value)
    }

    fn object(&self) -> Result<&'d Object, AccessError> {
        match self.node() {
            Some(Node::Object(object)) => Ok(object),
            _ => Err(self.wrong("an object")),
        }
    }

    fn sequence(&self) -> Result<&'d [Value], AccessError> {
        if let Some(Node::Object(object)) = self.node() {
            return Ok(&object.elements);
        }
        let sequence = self.document.contents.sequence(self.value);
        sequence.ok_or_else(|| self.wrong("a list or tuple"))
    }

    /// The tables that attributes are looked up in: the entries of a dict; the state of an object, which is a dict, or a pair
    /// of dicts where the class has slots.
    fn attribute_tables(&self) -> Result<Vec<&'d [(Value, Value)]>, AccessError> {
        let contents = &self.document.contents;
        let table = |value: Value| match contents.node(value) {
            Some(Node::Dict(entries)) => Some(entries.as_slice()),
            _ => None,
        };
        match self.node() {
            Some(Node::Dict(entries)) => Ok(vec![entries]),
            Some(Node::Object(object)) => {
                let Some(state) = object.state else {
                    return Ok(vec![&object.entries]);
                };
                let mut tables: Vec<&[(Value, Value)]> = match contents.sequence(state) {
                    Some(parts) => parts.iter().take(2).filter_map(|&v| table(v)).collect(),
                    None => table(state).into_iter().collect(),
                };
                tables.push(&object.entries);
                Ok(tables)
            }
            _ => Err(self.wrong("an object with attributes")),
        }
    }

    fn scalar_array(&self) -> Option<Array<'d>> {
        self.array().ok().filter(|a| a.shape().is_empty())
    }

    fn text(&self, value: Value) -> Option<&'d str> {
        std::str::from_utf8(self.text_bytes(value)?).ok()
    }

    fn text_bytes(&self, value: Value) -> Option<&'d [u8]> {
        match self.document.contents.node(value)? {
            Node::Text(blob) => Some(self.document.bytes(blob)),
            _ => None,
        }
    }

    fn global_name(&self, index: u32) -> &'d str {
        self.document.contents.global(index).map_or("?", |g| &g.name)
    }
}

impl fmt::Debug for Item<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path(), self.describe())
    }
}
