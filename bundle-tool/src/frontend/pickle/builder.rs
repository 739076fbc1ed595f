//! Makes the nodes of a document, within its budget.

use super::document::{Blob, Contents, GlobalName, Node, NodeId, Object, Value};
use super::error::{PickleError, Refused};
use super::globals::{AllowList, Role};
use super::limits::{Budget, Limits};
use std::collections::HashMap;

/// The nodes made so far, and everything needed to make more.
pub(super) struct Builder<'b> {
    /// The whole (decompressed) file.
    pub(super) bytes: &'b [u8],
    pub(super) contents: Contents,
    pub(super) budget: Budget,
    /// Where the opcode at work starts, and its name: for messages.
    pub(super) offset: usize,
    pub(super) opcode: &'static str,
    allow: &'b AllowList,
    global_index: HashMap<&'static str, u32>,
    refused_index: HashMap<String, u32>,
}

impl<'b> Builder<'b> {
    pub(super) fn new(bytes: &'b [u8], allow: &'b AllowList, limits: &Limits) -> Builder<'b> {
        Builder {
            bytes,
            contents: Contents::default(),
            budget: Budget::new(limits),
            offset: 0,
            opcode: "PROTO",
            allow,
            global_index: HashMap::new(),
            refused_index: HashMap::new(),
        }
    }

    /// An error about the opcode at work.
    pub(super) fn malformed(&self, reason: impl Into<String>) -> PickleError {
        PickleError::Malformed { offset: self.offset, opcode: self.opcode, reason: reason.into() }
    }

    /// An error about the use of a global.
    pub(super) fn misuse(&self, global: u32, reason: impl Into<String>) -> PickleError {
        PickleError::Misuse { offset: self.offset, global: self.name(global).to_owned(), reason: reason.into() }
    }

    /// Accounts for `count` values stored in a container; twice their size, since vectors grow by doubling.
    pub(super) fn charge_values(&mut self, count: usize) -> Result<(), PickleError> {
        self.budget.allocate(count, 2 * size_of::<Value>(), self.offset)
    }

    /// Accounts for `count` bytes copied.
    pub(super) fn charge_bytes(&mut self, count: usize) -> Result<(), PickleError> {
        self.budget.allocate(count, 1, self.offset)
    }

    /// A new node. What its containers hold is the caller's to account for.
    pub(super) fn add(&mut self, node: Node) -> Result<Value, PickleError> {
        self.budget.allocate(1, 2 * size_of::<Node>(), self.offset)?;
        let index = u32::try_from(self.contents.nodes.len()).map_err(|_| self.malformed("more than 2^32 values"))?;
        self.contents.nodes.push(node);
        Ok(Value::Node(NodeId(index)))
    }

    /// A new tuple.
    pub(super) fn tuple(&mut self, items: Vec<Value>) -> Result<Value, PickleError> {
        self.charge_values(items.len())?;
        self.add(Node::Tuple(items))
    }

    /// Text out of a span of the file, which must be UTF-8.
    pub(super) fn text(&mut self, start: usize, length: usize) -> Result<Value, PickleError> {
        let blob = Blob::Span(start, length);
        if std::str::from_utf8(blob.resolve(self.bytes)).is_err() {
            return Err(self.malformed("the text is not UTF-8"));
        }
        self.add(Node::Text(blob))
    }

    /// Text made here.
    pub(super) fn made_text(&mut self, text: String) -> Result<Value, PickleError> {
        self.charge_bytes(text.len())?;
        self.add(Node::Text(Blob::Owned(text.into_bytes().into())))
    }

    /// An integer out of a span of little-endian two's complement bytes.
    pub(super) fn integer(&mut self, start: usize, length: usize) -> Result<Value, PickleError> {
        let blob = Blob::Span(start, length);
        let bytes = blob.resolve(self.bytes);
        let Some(&top) = bytes.last() else {
            return Ok(Value::Int(0));
        };
        let fill = if top & 0x80 != 0 { 0xff } else { 0 };
        let (low, high) = bytes.split_at(bytes.len().min(8));
        let sign_fits = low.last().is_some_and(|&b| b & 0x80 == fill & 0x80);
        let fits = high.is_empty() || sign_fits && high.iter().all(|&b| b == fill);
        if !fits {
            return self.add(Node::BigInt(blob));
        }
        let mut wide = [fill; 8];
        wide[..low.len()].copy_from_slice(low);
        Ok(Value::Int(i64::from_le_bytes(wide)))
    }

    /// The text of `value`, if it is text as short as names are: whoever looks at it again and again must not pay for its
    /// length each time.
    pub(super) fn as_name(&self, value: Value) -> Option<&str> {
        const LONGEST: usize = 4096;
        match self.contents.node(value)? {
            Node::Text(blob) if blob.len() <= LONGEST => std::str::from_utf8(blob.resolve(self.bytes)).ok(),
            _ => None,
        }
    }

    /// Whether `value` is the text `name`.
    pub(super) fn is_text(&self, value: Value, name: &str) -> bool {
        match self.contents.node(value) {
            Some(Node::Text(blob)) => blob.resolve(self.bytes) == name.as_bytes(),
            _ => false,
        }
    }

    /// A global as a value. One that is not on the allow-list is noted, and stands for nothing.
    pub(super) fn global(&mut self, module: &str, name: &str) -> Result<Value, PickleError> {
        let full = format!("{module}.{name}");
        let Some((name, role)) = self.allow.role(&full) else {
            let index = self.refuse(full)?;
            return self.add(Node::Global(index));
        };
        let next = self.contents.globals.len() as u32;
        let index = *self.global_index.entry(name).or_insert(next);
        if index == next {
            self.contents.globals.push(GlobalName { name: name.into(), role });
        }
        self.add(Node::Global(index))
    }

    /// Notes a global that is not on the allow-list. A file with very many of them is not worth reading on.
    fn refuse(&mut self, name: String) -> Result<u32, PickleError> {
        const MOST: usize = 64;
        if let Some(&index) = self.refused_index.get(&name) {
            return Ok(index);
        }
        self.contents.refused.push(Refused { name: name.clone(), offset: self.offset });
        if self.contents.refused.len() >= MOST {
            return Err(PickleError::GlobalsNotAllowed(self.contents.refused.clone()));
        }
        let index = self.contents.globals.len() as u32;
        self.refused_index.insert(name.clone(), index);
        self.contents.globals.push(GlobalName { name: name.into(), role: Role::Refused });
        Ok(index)
    }

    /// The global that `value` is, or an error that says what it is instead.
    pub(super) fn callable(&self, value: Value) -> Result<u32, PickleError> {
        match self.contents.node(value) {
            Some(Node::Global(index)) => Ok(*index),
            // What a refused function would have made, as a class.
            Some(Node::Object(object)) if self.role(object.callable) == Role::Refused => Ok(object.callable),
            _ => Err(self.malformed(format!(
                "expected a class or function, found {}; classes and functions defined inside a pickle are not read, and \
                 nothing was executed",
                self.contents.describe(value)
            ))),
        }
    }

    pub(super) fn role(&self, global: u32) -> Role {
        self.contents.global(global).map_or(Role::Data, |g| g.role)
    }

    pub(super) fn name(&self, global: u32) -> &str {
        self.contents.global(global).map_or("?", |g| &g.name)
    }

    /// The elements of the tuple `args`, copied; only for globals that take few.
    pub(super) fn few_args(&self, global: u32, args: Value) -> Result<Vec<Value>, PickleError> {
        const MOST: usize = 16;
        match self.contents.node(args) {
            Some(Node::Tuple(items)) if items.len() <= MOST => Ok(items.clone()),
            _ => Err(self.misuse(global, "its arguments are not a short tuple")),
        }
    }

    /// An object of `callable` as plain data.
    pub(super) fn object(&mut self, callable: u32, args: Value, kwargs: Option<Value>) -> Result<Value, PickleError> {
        self.budget.allocate(1, size_of::<Object>(), self.offset)?;
        self.add(Node::Object(Box::new(Object {
            callable,
            args,
            kwargs,
            state: None,
            elements: Vec::new(),
            entries: Vec::new(),
        })))
    }
}
