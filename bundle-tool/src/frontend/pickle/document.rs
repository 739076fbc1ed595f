//! The decoded pickle: nodes in one table that refer to each other by index, so that shared and self-containing structures
//! are represented as they are, and dropping them never recurses.

use super::array::NdArray;
use super::dtype::Dtype;
use super::error::{Printable, Refused};
use super::globals::Role;
use super::item::Item;
use super::limits::Limits;
use std::borrow::Cow;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Index of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct NodeId(pub(super) u32);

/// A decoded value: small ones in place, the others as a node.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Node(NodeId),
}

/// Bytes of the file, used in place, or bytes that had to be made.
#[derive(Clone, Debug)]
pub(super) enum Blob {
    /// Offset and length in the document's buffer, checked when the span was made.
    Span(usize, usize),
    Owned(Box<[u8]>),
}

impl Blob {
    /// The bytes, given the buffer that spans refer to.
    pub(super) fn resolve<'d>(&'d self, buffer: &'d [u8]) -> &'d [u8] {
        match self {
            Blob::Span(start, length) => buffer.get(*start..*start + *length).unwrap_or_default(),
            Blob::Owned(bytes) => bytes,
        }
    }

    pub(super) fn len(&self) -> usize {
        match self {
            Blob::Span(_, length) => *length,
            Blob::Owned(bytes) => bytes.len(),
        }
    }
}

/// What a class or function of the allow-list was applied to, as data.
#[derive(Clone, Debug)]
pub(super) struct Object {
    /// Index of the class or function in [`Contents::globals`].
    pub(super) callable: u32,
    /// A tuple.
    pub(super) args: Value,
    /// A dict, where the opcode has keyword arguments.
    pub(super) kwargs: Option<Value>,
    /// What BUILD gave: the attributes, as a rule.
    pub(super) state: Option<Value>,
    /// Elements, for a subclass of `list`.
    pub(super) elements: Vec<Value>,
    /// Entries, for a subclass of `dict`.
    pub(super) entries: Vec<(Value, Value)>,
}

/// A value that does not fit into [`Value`].
#[derive(Clone, Debug)]
pub(super) enum Node {
    /// UTF-8, checked.
    Text(Blob),
    Bytes(Blob),
    /// A little-endian two's complement integer of more than 64 bits.
    BigInt(Blob),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Set(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    /// A global that is itself a value, as an index into [`Contents::globals`].
    Global(u32),
    Object(Box<Object>),
    Dtype(Dtype),
    Array(Box<NdArray>),
}

/// A global that the pickle names.
#[derive(Clone, Debug)]
pub(super) struct GlobalName {
    pub(super) name: Cow<'static, str>,
    pub(super) role: Role,
}

/// All nodes and globals of a document.
#[derive(Clone, Debug, Default)]
pub(super) struct Contents {
    pub(super) nodes: Vec<Node>,
    pub(super) globals: Vec<GlobalName>,
    /// Globals that are not on the allow-list, each once.
    pub(super) refused: Vec<Refused>,
}

impl Contents {
    /// The node of `value`, if it is one.
    pub(super) fn node(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(NodeId(index)) => self.nodes.get(index as usize),
            _ => None,
        }
    }

    pub(super) fn node_mut(&mut self, value: Value) -> Option<&mut Node> {
        match value {
            Value::Node(NodeId(index)) => self.nodes.get_mut(index as usize),
            _ => None,
        }
    }

    /// The elements of a list, tuple or set.
    pub(super) fn sequence(&self, value: Value) -> Option<&[Value]> {
        match self.node(value)? {
            Node::List(items) | Node::Tuple(items) | Node::Set(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn global(&self, index: u32) -> Option<&GlobalName> {
        self.globals.get(index as usize)
    }

    /// What `value` is, in a few words.
    pub(super) fn describe(&self, value: Value) -> String {
        match value {
            Value::None => "None".to_owned(),
            Value::Bool(b) => format!("the bool {}", if b { "True" } else { "False" }),
            Value::Int(i) => format!("the int {i}"),
            Value::Float(x) => format!("the float {x}"),
            Value::Node(_) => match self.node(value) {
                Some(node) => self.describe_node(node),
                None => "nothing".to_owned(),
            },
        }
    }

    fn describe_node(&self, node: &Node) -> String {
        let name = |index: u32| Printable(self.global(index).map_or("?", |g| &g.name));
        match node {
            Node::Text(_) => "a str".to_owned(),
            Node::Bytes(blob) => format!("{} bytes", blob.len()),
            Node::BigInt(blob) => format!("an int of {} bits", 8 * blob.len()),
            Node::List(items) => format!("a list of {}", items.len()),
            Node::Tuple(items) => format!("a tuple of {}", items.len()),
            Node::Set(items) => format!("a set of {}", items.len()),
            Node::Dict(entries) => format!("a dict of {}", entries.len()),
            Node::Global(index) => format!("the global `{}`", name(*index)),
            Node::Object(object) => format!("an object of `{}`", name(object.callable)),
            Node::Dtype(dtype) => format!("the dtype {dtype}"),
            Node::Array(array) => format!("an array of {} {:?}", array.dtype, array.shape),
        }
    }
}

/// A decoded pickle. It borrows the file's bytes unless they were compressed.
pub struct Document<'a> {
    pub(super) buffer: Cow<'a, [u8]>,
    pub(super) contents: Contents,
    pub(super) limits: Limits,
    root: Value,
    visits: AtomicU64,
}

impl<'a> Document<'a> {
    pub(super) fn new(buffer: Cow<'a, [u8]>, contents: Contents, root: Value, limits: &Limits) -> Document<'a> {
        Document { buffer, contents, limits: *limits, root, visits: AtomicU64::new(0) }
    }

    /// The value that was pickled.
    pub fn root(&self) -> Item<'_> {
        Item::root(self, self.root)
    }

    /// The globals that the pickle names, each once, in order of first use.
    pub fn globals(&self) -> impl Iterator<Item = &str> + '_ {
        self.contents.globals.iter().map(|g| g.name.as_ref())
    }

    /// The globals that the pickle names and the allow-list does not have, each once, in order of first use. Objects of them are
    /// data without meaning.
    pub fn refused(&self) -> &[Refused] {
        &self.contents.refused
    }

    /// Accounts for `count` values handed out; false when the limit is reached.
    pub(super) fn visit(&self, count: usize) -> bool {
        let before = self.visits.fetch_add(count as u64, Ordering::Relaxed);
        before.saturating_add(count as u64) <= self.most_visits()
    }

    /// How many values accessors hand out at most; see [`Limits::visits`].
    pub(super) fn most_visits(&self) -> u64 {
        const PER_BYTE: u64 = 4;
        let bytes = self.buffer.len() as u64;
        self.limits.visits.saturating_add(PER_BYTE * bytes)
    }

    pub(super) fn bytes<'d>(&'d self, blob: &'d Blob) -> &'d [u8] {
        blob.resolve(&self.buffer)
    }
}

impl fmt::Debug for Document<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document")
            .field("root", &self.contents.describe(self.root))
            .field("nodes", &self.contents.nodes.len())
            .finish_non_exhaustive()
    }
}
