//! The stack machine: follows the opcodes of a pickle and builds data. Nothing is imported or called; where Python would
//! call, an object records what would have been called with what.

use super::builder::Builder;
use super::cursor::Cursor;
use super::document::{Node, Value};
use super::error::PickleError;
use super::globals::Role;
use super::joblib::Wrapper;
use super::opcode::{Container, Op, lookup, refused};
use std::collections::HashMap;

/// Where a pickle stands in its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// It is the file; array data may stand between its opcodes.
    File,
    /// It is the content of one array of objects.
    Nested,
}

/// Runs the pickle that is all of `builder.bytes`, and gives its value.
pub(super) fn run(builder: &mut Builder<'_>) -> Result<Value, PickleError> {
    let cursor = Cursor::at(builder.bytes, 0);
    Machine::new(builder, cursor, Place::File).run().map(|(value, _)| value)
}

/// The state of one pickle being read. Marks are indices into the stack.
struct Machine<'m, 'b> {
    builder: &'m mut Builder<'b>,
    cursor: Cursor<'b>,
    place: Place,
    stack: Vec<Value>,
    /// The largest length of the stack so far, which is paid for.
    paid: usize,
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<'m, 'b> Machine<'m, 'b> {
    fn new(builder: &'m mut Builder<'b>, cursor: Cursor<'b>, place: Place) -> Machine<'m, 'b> {
        Machine { builder, cursor, place, stack: Vec::new(), paid: 0, marks: Vec::new(), memo: HashMap::new() }
    }

    /// Runs to STOP; gives the value and the offset behind it.
    fn run(mut self) -> Result<(Value, usize), PickleError> {
        loop {
            let offset = self.cursor.position();
            self.builder.budget.step(offset)?;
            let [byte] = self.cursor.array("opcode")?;
            let Some((op, name)) = lookup(byte) else {
                let (name, reason) = refused(byte);
                return Err(PickleError::Opcode { offset, opcode: byte, name, reason });
            };
            self.builder.offset = offset;
            self.builder.opcode = name;
            if op == Op::Stop {
                return Ok((self.pop()?, self.cursor.position()));
            }
            self.step(op)?;
        }
    }

    fn step(&mut self, op: Op) -> Result<(), PickleError> {
        match op {
            Op::Stop => Ok(()),
            Op::Proto => self.protocol(),
            Op::Frame => self.frame(),
            Op::Mark => self.mark(),
            Op::Pop => self.discard(),
            Op::PopMark => self.pop_to_mark().map(|_| ()),
            Op::Dup => self.top().and_then(|v| self.push(v)),
            Op::None => self.push(Value::None),
            Op::Bool(b) => self.push(Value::Bool(b)),
            Op::Int(_) | Op::Long(_) | Op::Float => self.number(op).and_then(|v| self.push(v)),
            Op::Text(_) | Op::Ascii(_) | Op::Bytes(_) => self.blob(op).and_then(|v| self.push(v)),
            Op::Tuple(n) => self.pop_many(n).and_then(|items| self.push_tuple(items)),
            Op::TupleFromMark => self.pop_to_mark().and_then(|items| self.push_tuple(items)),
            Op::Empty(container) => self.container(container, Vec::new()),
            Op::FromMark(container) => {
                let items = self.pop_to_mark()?;
                self.container(container, items)
            }
            Op::Append => self.pop().and_then(|v| self.append(&[v])),
            Op::Appends => self.pop_to_mark().and_then(|items| self.append(&items)),
            Op::SetItem => self.pop_many(2).and_then(|items| self.set_items(&items)),
            Op::SetItems => self.pop_to_mark().and_then(|items| self.set_items(&items)),
            Op::AddItems => self.pop_to_mark().and_then(|items| self.add_items(&items)),
            Op::Memoize => u32::try_from(self.memo.len())
                .map_err(|_| self.builder.malformed("the memo is full"))
                .and_then(|slot| self.memoize(slot)),
            Op::Put(width) => self.slot(width).and_then(|slot| self.memoize(slot)),
            Op::Get(width) => self.slot(width).and_then(|slot| self.recall(slot)),
            Op::Global => self.global(),
            Op::StackGlobal => self.stack_global(),
            Op::Reduce => self.reduce(),
            Op::NewObj => self.new_object(false),
            Op::NewObjEx => self.new_object(true),
            Op::Build => self.build(),
        }
    }

    // ---- The stack ----

    /// Where the values above the last mark start.
    fn base(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn push(&mut self, value: Value) -> Result<(), PickleError> {
        if self.stack.len() >= self.paid {
            self.builder.charge_values(1)?;
            self.paid += 1;
        }
        self.stack.push(value);
        Ok(())
    }

    fn push_tuple(&mut self, items: Vec<Value>) -> Result<(), PickleError> {
        let tuple = self.builder.tuple(items)?;
        self.push(tuple)
    }

    fn pop(&mut self) -> Result<Value, PickleError> {
        if self.stack.len() <= self.base() {
            return Err(self.underflow());
        }
        self.stack.pop().ok_or_else(|| self.underflow())
    }

    fn top(&self) -> Result<Value, PickleError> {
        match self.stack.last() {
            Some(&value) if self.stack.len() > self.base() => Ok(value),
            _ => Err(self.underflow()),
        }
    }

    /// The topmost `count` values, in the order they were pushed.
    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, PickleError> {
        match self.stack.len().checked_sub(count) {
            Some(start) if start >= self.base() => Ok(self.stack.split_off(start)),
            _ => Err(self.underflow()),
        }
    }

    fn mark(&mut self) -> Result<(), PickleError> {
        let depth = self.builder.budget.limits().depth;
        if self.marks.len() >= depth as usize {
            return Err(PickleError::Limit {
                offset: self.builder.offset,
                what: "containers inside each other",
                limit: u64::from(depth),
            });
        }
        self.marks.push(self.stack.len());
        Ok(())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, PickleError> {
        match self.marks.pop() {
            Some(mark) if mark <= self.stack.len() => Ok(self.stack.split_off(mark)),
            _ => Err(self.builder.malformed("there is no mark on the stack")),
        }
    }

    /// POP: a value, or the mark where there is no value above it.
    fn discard(&mut self) -> Result<(), PickleError> {
        if self.stack.len() > self.base() {
            return self.pop().map(|_| ());
        }
        match self.marks.pop() {
            Some(_) => Ok(()),
            None => Err(self.underflow()),
        }
    }

    fn underflow(&self) -> PickleError {
        self.builder.malformed("there are too few values on the stack")
    }

    // ---- Values in the file ----

    fn protocol(&mut self) -> Result<(), PickleError> {
        let [protocol] = self.cursor.array("protocol number")?;
        match protocol {
            2..=5 => Ok(()),
            _ => Err(self.builder.malformed(format!("protocol {protocol} is not read, 2 to 5 are"))),
        }
    }

    fn frame(&mut self) -> Result<(), PickleError> {
        let needed = self.cursor.unsigned(8, "frame length")?;
        let remaining = self.cursor.remaining();
        if needed > remaining as u64 {
            return Err(PickleError::Truncated { offset: self.cursor.position(), what: "frame", needed, remaining });
        }
        Ok(())
    }

    fn number(&mut self, op: Op) -> Result<Value, PickleError> {
        match op {
            Op::Int(4) => Ok(Value::Int(i64::from(i32::from_le_bytes(self.cursor.array("integer")?)))),
            // At most two bytes wide here, so it fits.
            Op::Int(width) => Ok(Value::Int(self.cursor.unsigned(width, "integer")? as i64)),
            Op::Float => Ok(Value::Float(f64::from_be_bytes(self.cursor.array("float")?))),
            Op::Long(width) => {
                let length = self.cursor.unsigned(width, "length of an integer")?;
                let start = self.cursor.skip(length, "integer")?;
                self.builder.integer(start, self.cursor.position() - start)
            }
            _ => Err(self.builder.malformed("not a number")),
        }
    }

    fn blob(&mut self, op: Op) -> Result<Value, PickleError> {
        let (Op::Text(width) | Op::Ascii(width) | Op::Bytes(width)) = op else {
            return Err(self.builder.malformed("not text or bytes"));
        };
        let length = self.cursor.unsigned(width, "length of text or bytes")?;
        let start = self.cursor.skip(length, "text or bytes")?;
        let length = self.cursor.position() - start;
        match op {
            Op::Bytes(_) => self.builder.bytes_at(start, length),
            Op::Ascii(_) => self.builder.ascii(start, length),
            _ => self.builder.text(start, length),
        }
    }

    // ---- Containers ----

    fn container(&mut self, container: Container, items: Vec<Value>) -> Result<(), PickleError> {
        self.builder.charge_values(items.len())?;
        let node = match container {
            Container::List => Node::List(items),
            Container::Set => {
                self.hashable(items.iter())?;
                Node::Set(items)
            }
            Container::Dict => Node::Dict(self.pairs(&items)?),
        };
        let value = self.builder.add(node)?;
        self.push(value)
    }

    fn append(&mut self, items: &[Value]) -> Result<(), PickleError> {
        let target = self.top()?;
        self.builder.charge_values(items.len())?;
        match self.builder.contents.node_mut(target) {
            Some(Node::List(list)) => list.extend_from_slice(items),
            Some(Node::Object(object)) => object.elements.extend_from_slice(items),
            _ => return Err(self.unfit(target, "a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[Value]) -> Result<(), PickleError> {
        let target = self.top()?;
        self.builder.charge_values(items.len())?;
        let pairs = self.pairs(items)?;
        match self.builder.contents.node_mut(target) {
            Some(Node::Dict(entries)) => entries.extend(pairs),
            Some(Node::Object(object)) => object.entries.extend(pairs),
            _ => return Err(self.unfit(target, "a dict")),
        }
        Ok(())
    }

    fn add_items(&mut self, items: &[Value]) -> Result<(), PickleError> {
        let target = self.top()?;
        self.builder.charge_values(items.len())?;
        self.hashable(items.iter())?;
        match self.builder.contents.node_mut(target) {
            Some(Node::Set(set)) => set.extend_from_slice(items),
            _ => return Err(self.unfit(target, "a set")),
        }
        Ok(())
    }

    /// Keys and values that alternate in `items`.
    fn pairs(&self, items: &[Value]) -> Result<Vec<(Value, Value)>, PickleError> {
        if !items.len().is_multiple_of(2) {
            return Err(self.builder.malformed("a key has no value"));
        }
        self.hashable(items.iter().step_by(2))?;
        Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    /// Checks that all of `keys` can be keys; Python refuses the others as unhashable.
    fn hashable<'v>(&self, mut keys: impl Iterator<Item = &'v Value>) -> Result<(), PickleError> {
        let contents = &self.builder.contents;
        let unhashable = |key: &&Value| {
            matches!(contents.node(**key), Some(Node::List(_) | Node::Dict(_) | Node::Set(_) | Node::Array(_)))
        };
        match keys.find(unhashable) {
            Some(&key) => Err(self.builder.malformed(format!("{} cannot be a key", contents.describe(key)))),
            None => Ok(()),
        }
    }

    fn unfit(&self, target: Value, wanted: &str) -> PickleError {
        let found = self.builder.contents.describe(target);
        self.builder.malformed(format!("it needs {wanted}, found {found}"))
    }

    // ---- The memo ----

    fn slot(&mut self, width: usize) -> Result<u32, PickleError> {
        // At most four bytes wide, so it fits.
        Ok(self.cursor.unsigned(width.min(4), "memo index")? as u32)
    }

    fn memoize(&mut self, slot: u32) -> Result<(), PickleError> {
        let value = self.top()?;
        let limit = self.builder.budget.limits().memo_entries;
        if self.memo.len() >= limit as usize {
            return Err(PickleError::Limit {
                offset: self.builder.offset,
                what: "memo entries",
                limit: u64::from(limit),
            });
        }
        self.builder.charge_values(2)?;
        self.memo.insert(slot, value);
        Ok(())
    }

    fn recall(&mut self, slot: u32) -> Result<(), PickleError> {
        match self.memo.get(&slot) {
            Some(&value) => self.push(value),
            None => Err(self.builder.malformed(format!("memo entry {slot} was never stored"))),
        }
    }

    // ---- Globals and objects ----

    fn global(&mut self) -> Result<(), PickleError> {
        let module = self.cursor.line("name of a module")?;
        let name = self.cursor.line("name of a global")?;
        let (Ok(module), Ok(name)) = (std::str::from_utf8(module), std::str::from_utf8(name)) else {
            return Err(self.builder.malformed("the name is not UTF-8"));
        };
        let value = self.builder.global(module, name)?;
        self.push(value)
    }

    fn stack_global(&mut self) -> Result<(), PickleError> {
        let parts = self.pop_many(2)?;
        let text = |v: Value| self.builder.as_name(v).map(str::to_owned);
        let (Some(module), Some(name)) = (text(parts[0]), text(parts[1])) else {
            return Err(self.builder.malformed("the name of a global is not text of ordinary length"));
        };
        let value = self.builder.global(&module, &name)?;
        self.push(value)
    }

    fn reduce(&mut self) -> Result<(), PickleError> {
        let parts = self.pop_many(2)?;
        let (callable, args) = (self.builder.callable(parts[0])?, parts[1]);
        let value = self.builder.apply(callable, args)?;
        self.push(value)
    }

    fn new_object(&mut self, with_keywords: bool) -> Result<(), PickleError> {
        let kwargs = if with_keywords { Some(self.pop()?) } else { None };
        let parts = self.pop_many(2)?;
        let (class, args) = (self.builder.callable(parts[0])?, parts[1]);
        let plain = matches!(self.builder.role(class), Role::Data | Role::Refused | Role::ArrayWrapper);
        let value = if plain {
            self.builder.check_args(args)?;
            self.builder.object(class, args, kwargs)?
        } else {
            self.builder.apply(class, args)?
        };
        self.push(value)
    }

    fn build(&mut self) -> Result<(), PickleError> {
        let state = self.pop()?;
        let target = self.top()?;
        if let Some(wrapper) = self.builder.build(target, state)? {
            let array = self.wrapped_array(&wrapper)?;
            self.pop()?;
            self.push(array)?;
        }
        Ok(())
    }

    /// The array that follows a joblib wrapper.
    fn wrapped_array(&mut self, wrapper: &Wrapper) -> Result<Value, PickleError> {
        if self.place == Place::Nested {
            return Err(self.builder.malformed("array data inside a nested pickle; joblib never writes that"));
        }
        if !wrapper.is_nested() {
            return wrapper.read(self.builder, &mut self.cursor);
        }
        // A nested pickle holds no further one, so this recursion is one level deep.
        let machine = Machine::new(self.builder, self.cursor.clone(), Place::Nested);
        let (value, end) = machine.run()?;
        self.cursor = Cursor::at(self.builder.bytes, end);
        match self.builder.contents.node(value) {
            Some(Node::Array(_)) => Ok(value),
            _ => Err(self.unfit(value, "an array in the nested pickle")),
        }
    }
}
