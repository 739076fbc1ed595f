//! What REDUCE and BUILD make of the globals of the allow-list.

use super::builder::Builder;
use super::document::{Blob, Node, Value};
use super::error::PickleError;
use super::globals::Role;
use super::joblib::Wrapper;

impl Builder<'_> {
    /// Bytes out of a span of the file.
    pub(super) fn bytes_at(&mut self, start: usize, length: usize) -> Result<Value, PickleError> {
        self.add(Node::Bytes(Blob::Span(start, length)))
    }

    /// Text out of a span of the file that must be ASCII: a Python 2 `str` can be text or bytes.
    pub(super) fn ascii(&mut self, start: usize, length: usize) -> Result<Value, PickleError> {
        if !Blob::Span(start, length).resolve(self.bytes).is_ascii() {
            return Err(
                self.malformed("a Python 2 string that is not ASCII; load the model in Python 3 and save it again")
            );
        }
        self.text(start, length)
    }

    /// Checks that arguments are a tuple.
    pub(super) fn check_args(&self, args: Value) -> Result<(), PickleError> {
        match self.contents.node(args) {
            Some(Node::Tuple(_)) => Ok(()),
            _ => Err(self.malformed(format!("the arguments are not a tuple but {}", self.contents.describe(args)))),
        }
    }

    /// What `callable(*args)` stands for. Nothing is called.
    pub(super) fn apply(&mut self, callable: u32, args: Value) -> Result<Value, PickleError> {
        self.check_args(args)?;
        match self.role(callable) {
            Role::Data | Role::Refused | Role::ArrayWrapper => self.object(callable, args, None),
            Role::ArrayClass => Err(self.misuse(callable, "arrays are not made this way")),
            Role::Reconstruct => self.reconstruct(callable, args),
            Role::FromBuffer => self.array_from_buffer(callable, args),
            Role::Scalar => self.scalar(callable, args),
            Role::Dtype => self.make_dtype(callable, args),
            Role::Encode => self.encode(callable, args),
            Role::Reconstructor => self.reconstructor(callable, args),
            Role::Dict => self.dict(callable, args),
            Role::Set => self.set(callable, args),
            Role::Bytes => self.make_bytes(callable, args),
        }
    }

    /// `_codecs.encode(text, 'latin1')`.
    fn encode(&mut self, global: u32, args: Value) -> Result<Value, PickleError> {
        let args = self.few_args(global, args)?;
        let text = match args.first().and_then(|&a| self.contents.node(a)) {
            Some(Node::Text(blob)) => blob.clone(),
            _ => return Err(self.misuse(global, "it is not applied to text")),
        };
        let encoding = args.get(1).and_then(|&a| self.as_name(a));
        if !matches!(encoding, Some("latin1" | "latin-1")) {
            return Err(self.misuse(global, "only text in latin1 is read"));
        }
        // Twice: the text is copied if it was made here, and the bytes are.
        self.charge_bytes(text.len())?;
        self.charge_bytes(text.len())?;
        let text = std::str::from_utf8(text.resolve(self.bytes)).unwrap_or_default();
        let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
        let Some(bytes) = bytes else {
            return Err(self.misuse(global, "the text is not latin1"));
        };
        self.add(Node::Bytes(Blob::Owned(bytes.into())))
    }

    /// `copyreg._reconstructor(class, base, state)` for a class whose base is `object`.
    fn reconstructor(&mut self, global: u32, args: Value) -> Result<Value, PickleError> {
        let args = self.few_args(global, args)?;
        let &[class, _, base_state] = args.as_slice() else {
            return Err(self.misuse(global, "it takes a class, its base and a state"));
        };
        let class = self.callable(class)?;
        match self.role(class) {
            Role::Data | Role::ArrayWrapper if base_state != Value::None => {
                Err(self.misuse(global, "the class has a base other than object"))
            }
            Role::Data | Role::Refused | Role::ArrayWrapper => {
                let none = self.tuple(Vec::new())?;
                self.object(class, none, None)
            }
            _ => Err(self.misuse(class, "it is not made this way")),
        }
    }

    /// An empty dict; entries follow in SETITEMS. The argument, if any, is a default factory.
    fn dict(&mut self, global: u32, args: Value) -> Result<Value, PickleError> {
        let args = self.few_args(global, args)?;
        let fits = match args.as_slice() {
            [] | [Value::None] => true,
            [factory] => self.callable(*factory).is_ok(),
            _ => false,
        };
        if !fits {
            return Err(self.misuse(global, "it is made from something other than nothing"));
        }
        self.add(Node::Dict(Vec::new()))
    }

    fn set(&mut self, global: u32, args: Value) -> Result<Value, PickleError> {
        let args = self.few_args(global, args)?;
        let items = match args.as_slice() {
            [] => Vec::new(),
            &[items] => {
                let count = self.contents.sequence(items).map(<[Value]>::len);
                let Some(count) = count else {
                    return Err(self.misuse(global, "it is not made from a list"));
                };
                self.charge_values(count)?;
                self.contents.sequence(items).unwrap_or_default().to_vec()
            }
            _ => return Err(self.misuse(global, "it has more than one argument")),
        };
        self.add(Node::Set(items))
    }

    /// `bytes()`, or `bytearray(bytes)`.
    fn make_bytes(&mut self, global: u32, args: Value) -> Result<Value, PickleError> {
        let args = self.few_args(global, args)?;
        match args.as_slice() {
            [] => self.bytes_at(0, 0),
            &[value] if matches!(self.contents.node(value), Some(Node::Bytes(_))) => Ok(value),
            _ => Err(self.misuse(global, "it is not made from bytes")),
        }
    }

    /// Applies BUILD's `state` to `target`. Gives the wrapper where array data follows in the file.
    pub(super) fn build(&mut self, target: Value, state: Value) -> Result<Option<Wrapper>, PickleError> {
        let global = match self.contents.node(target) {
            Some(Node::Object(object)) if object.state.is_some() => {
                return Err(self.malformed("the object has its state already"));
            }
            Some(Node::Object(object)) => object.callable,
            Some(Node::Dtype(dtype)) => {
                let dtype = self.set_dtype(&dtype.clone(), state)?;
                return self.replace(target, Node::Dtype(dtype)).map(|()| None);
            }
            _ => {
                let found = self.contents.describe(target);
                return Err(self.malformed(format!("it needs an object, found {found}")));
            }
        };
        match self.role(global) {
            Role::Reconstruct => {
                let array = self.array_from_state(global, state)?;
                self.replace(target, Node::Array(Box::new(array)))?;
                Ok(None)
            }
            Role::ArrayWrapper => Wrapper::parse(self, global, state).map(Some),
            _ => {
                if let Some(Node::Object(object)) = self.contents.node_mut(target) {
                    object.state = Some(state);
                }
                Ok(None)
            }
        }
    }

    fn replace(&mut self, target: Value, node: Node) -> Result<(), PickleError> {
        match self.contents.node_mut(target) {
            Some(slot) => {
                *slot = node;
                Ok(())
            }
            None => Err(self.malformed("it needs an object")),
        }
    }
}
