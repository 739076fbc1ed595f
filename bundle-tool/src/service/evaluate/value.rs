//! What an expression of a service can stand for while the service is evaluated.

use std::rc::Rc;

use ekiben_runtime::DType;
use ekiben_runtime::artifact::image::Mode;
use ekiben_runtime::artifact::manifest::TextFormat;
use ruff_python_ast::{ExprLambda, StmtClassDef, StmtFunctionDef};

use super::super::input::Step;
use super::super::library::{Stored, Transform};
use super::super::modules::ModuleId;
use super::picture::{Length, Picture};
use crate::graph::{Graph, TensorId};
use crate::python::Framework;

/// One loop over the rows of arrays.
pub(in crate::service) type LoopId = usize;

/// A value. Everything that depends on the request is an [`Array`] or made of them; the rest is known now.
#[derive(Clone, Debug)]
pub(in crate::service) enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(Rc<str>),
    List(Rc<[Value<'a>]>),
    Tuple(Rc<[Value<'a>]>),
    /// In the order of the keys; no key stands twice.
    Dict(Rc<[(Value<'a>, Value<'a>)]>),
    /// A text with values of the request in it.
    Format(Rc<[Piece<'a>]>),
    /// An object of the request whose members are known: a pydantic model.
    Record(Rc<[(Value<'a>, Value<'a>)]>),
    /// A value of the request of which only its uses tell what it is.
    Json(Json),
    /// A path in the bento, or an open file of it.
    Stored(Rc<Stored>),
    /// A file of the request: its bytes, or what reads them.
    File(Rc<Json>),
    /// An image of the request.
    Picture(Rc<Picture>),
    /// A length that the size of an image decides about.
    Length(Rc<Length>),
    /// The mode of an image, where the request decides about it.
    Mode,
    /// Whether the mode of an image is this one; with `false`, whether it is another one.
    ModeTest(Mode, bool),
    /// Steps of torchvision that take an image or a tensor.
    Transforms(Rc<[Transform]>),
    /// The number of rows of a request, times a factor.
    Count(usize),
    /// `...`
    Ellipsis,
    /// `a:b:step` in a subscript.
    Slice(Option<i64>, Option<i64>, i64),
    /// Integers from a start to an end.
    Range(i64, i64),
    Zip(Rc<[Value<'a>]>),
    Enumerate(Rc<Value<'a>>, i64),
    /// Numbers or labels that depend on the request, or a constant array.
    Array(Array),
    /// Complex numbers: real and imaginary parts stand on a last axis that is not the value's own.
    Complex(Array),
    /// A list with one item for each position of a loop.
    Rows(LoopId, Rc<Value<'a>>),
    /// A pandas frame.
    Frame(Rc<Frame>),
    /// An `xgboost.DMatrix`: float32, NaN where a value is missing.
    Matrix(Array),
    /// A name whose value is not known here.
    Unset,
    /// A list to which each row of a loop appends, while the loop runs: the list before, and what one row appended.
    Growing(Rc<[Value<'a>]>, Rc<[Value<'a>]>),
    /// A function or lambda inside of a function, with the scope whose names it sees.
    Closure(Callable<'a>, ScopeId),
    /// `self` of the service with this number.
    Service(ServiceId),
    /// Another service as the one that depends on it sees it: its APIs.
    Dependency(ServiceId, Calling),
    /// What `await` takes, and gives this value.
    Awaitable(Rc<Value<'a>>),
    /// `self.artifacts`.
    Artifacts,
    /// A reference to a model of the bento, by its name.
    Reference(Rc<str>),
    /// A model with a method for each thing that it computes, by its name.
    Estimator(Rc<str>),
    /// An ONNX Runtime session, by the model's name.
    Session(Rc<str>),
    /// What runs a model of a service with runners, by the model's name.
    Runner(Rc<str>),
    /// A method of a runner, by the names of the model and the method.
    RunnerMethod(Rc<str>, Rc<str>),
    /// A network of PyTorch, fast.ai or TensorFlow that is called itself, by the model's name.
    Network(Rc<str>, Framework),
    /// `network.signatures["name"]` of TensorFlow, or `network.signatures`, by the model's name: it is called with arguments by name.
    Signature(Rc<str>),
    /// What a session's `get_inputs` and `get_outputs` list, by its name.
    Port(Rc<str>),
    /// Something outside of the bento, by its full path.
    Path(Rc<str>),
    /// One of the bento's modules.
    Module(ModuleId),
    /// A class of the bento.
    Class(ModuleId, &'a StmtClassDef),
    /// A function of the bento.
    Function(ModuleId, &'a StmtFunctionDef),
    /// A method of a service.
    ServiceMethod(ServiceId, &'a StmtFunctionDef, Calling),
    /// A method of a value.
    Method(Rc<Value<'a>>, &'a str),
}

/// A service of the bento: 0 is the one that answers, others are those that it depends on.
pub(in crate::service) type ServiceId = usize;

/// Who calls a method of a service, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Calling {
    /// The service itself.
    Own,
    /// A service that depends on it.
    Plain,
    /// The same through `to_async`.
    Async,
    /// The same through `to_sync`.
    Sync,
}

/// A part of a text: a known text, or a single value and how it is written.
pub(in crate::service) type Piece<'a> = (Value<'a>, TextFormat);

/// A value of a request of which only its uses tell what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::service) struct Json {
    /// Index of the API's parameter.
    pub(in crate::service) parameter: usize,
    /// The way down its tree.
    pub(in crate::service) path: Rc<[Step]>,
    /// The row that it belongs to, inside of a list with one item for each.
    pub(in crate::service) row: Option<Index>,
}

impl Json {
    /// The same value of another row.
    fn at_row(&self, row: Index) -> Self {
        Self { row: Some(row), ..self.clone() }
    }
}

/// A scope: its position among those that are open, and its number among all that ever were.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) struct ScopeId {
    pub(in crate::service) position: usize,
    pub(in crate::service) number: usize,
}

/// What is called.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) enum Callable<'a> {
    Function(&'a StmtFunctionDef),
    Lambda(&'a ExprLambda),
}

/// What kind of value a method or an attribute belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Kind {
    Constant,
    Count,
    Text,
    Format,
    List,
    Dict,
    Record,
    Json,
    File,
    Picture,
    Stored,
    Array,
    /// An array of PyTorch.
    Tensor,
    Complex,
    Frame,
    Matrix,
    Service,
    Artifacts,
    Reference,
    Runner,
    Awaitable,
    Estimator,
    Session,
    Network,
    Signature,
    Port,
    Function,
    Iterator,
}

impl Value<'_> {
    /// What kind of value it is.
    pub(in crate::service) fn kind(&self) -> Kind {
        match self {
            Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Slice(..) | Value::Ellipsis => {
                Kind::Constant
            }
            Value::Count(_) => Kind::Count,
            Value::Text(_) => Kind::Text,
            Value::Format(_) => Kind::Format,
            Value::List(_) | Value::Tuple(_) | Value::Rows(..) => Kind::List,
            Value::Array(array) if array.python => Kind::List,
            Value::Dict(_) => Kind::Dict,
            Value::Record(_) => Kind::Record,
            Value::Json(_) => Kind::Json,
            Value::File(_) => Kind::File,
            Value::Stored(_) => Kind::Stored,
            Value::Picture(_) => Kind::Picture,
            Value::Array(array) if array.torch => Kind::Tensor,
            Value::Array(_) => Kind::Array,
            Value::Complex(_) => Kind::Complex,
            Value::Range(..) | Value::Zip(_) | Value::Enumerate(..) => Kind::Iterator,
            Value::Frame(_) => Kind::Frame,
            Value::Matrix(_) => Kind::Matrix,
            Value::Service(_) | Value::Dependency(..) => Kind::Service,
            Value::Runner(_) | Value::RunnerMethod(..) => Kind::Runner,
            Value::Awaitable(_) => Kind::Awaitable,
            Value::Artifacts => Kind::Artifacts,
            Value::Reference(_) => Kind::Reference,
            Value::Estimator(_) => Kind::Estimator,
            Value::Session(_) => Kind::Session,
            Value::Network(..) => Kind::Network,
            Value::Signature(_) => Kind::Signature,
            Value::Port(_) => Kind::Port,
            Value::Path(_)
            | Value::Transforms(_)
            | Value::Length(_)
            | Value::Mode
            | Value::ModeTest(..)
            | Value::Module(_)
            | Value::Class(..)
            | Value::Closure(..)
            | Value::Unset
            | Value::Growing(..)
            | Value::Function(..)
            | Value::ServiceMethod(..)
            | Value::Method(..) => Kind::Function,
        }
    }

    /// The value as messages call it.
    pub(in crate::service) fn describe(&self) -> String {
        match self {
            Value::None => "None".to_owned(),
            Value::Bool(_) => "a bool".to_owned(),
            Value::Int(_) => "an integer".to_owned(),
            Value::Float(_) => "a float".to_owned(),
            Value::Length(_) => "the size of an image of the request".to_owned(),
            Value::Mode | Value::ModeTest(..) => "the mode of an image of the request".to_owned(),
            Value::Transforms(_) => "a transform".to_owned(),
            Value::Slice(..) => "a slice".to_owned(),
            Value::Tuple(_) => "a tuple".to_owned(),
            Value::Path(path) => format!("`{path}`"),
            Value::Module(_) => "a module".to_owned(),
            Value::Class(_, class) => format!("the class `{}`", class.name),
            Value::Function(_, function) | Value::ServiceMethod(_, function, _) => {
                format!("the function `{}`", function.name)
            }
            Value::Method(_, name) => format!("the method `{name}`"),
            Value::Closure(..) => "a function".to_owned(),
            Value::Unset | Value::Growing(..) => "a name that is not known here".to_owned(),
            other => other.kind().describe().to_owned(),
        }
    }

    /// The items of a list or tuple that is known now.
    pub(in crate::service) fn items(&self) -> Option<&[Self]> {
        match self {
            Value::List(items) | Value::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// A list or tuple of texts.
    pub(in crate::service) fn texts(&self) -> Option<Vec<Rc<str>>> {
        let text = |item: &Self| match item {
            Value::Text(text) => Some(text.clone()),
            _ => None,
        };
        self.items()?.iter().map(text).collect()
    }

    /// Python's `==` between two constants that can be dict keys; `None` where it cannot be told.
    pub(in crate::service) fn equals(&self, other: &Self) -> Option<bool> {
        let number = |value: &Self| match value {
            Value::Bool(value) => Some(f64::from(u8::from(*value))),
            Value::Int(value) if value.unsigned_abs() < 1 << 53 => Some(*value as f64),
            Value::Float(value) => Some(*value),
            _ => None,
        };
        match (self, other) {
            (Value::Int(a), Value::Int(b)) => Some(a == b),
            (Value::Text(a), Value::Text(b)) => Some(a == b),
            (Value::None, Value::None) => Some(true),
            (Value::Tuple(a), Value::Tuple(b)) | (Value::List(a), Value::List(b)) => {
                let pairs = a.iter().zip(b.iter()).map(|(a, b)| a.equals(b));
                Some(a.len() == b.len() && pairs.collect::<Option<Vec<_>>>()?.into_iter().all(|equal| equal))
            }
            _ => match (number(self), number(other)) {
                (Some(a), Some(b)) => Some(a == b),
                (None, None) if self.is_constant() && other.is_constant() => Some(false),
                (a, b) if a.is_some() != b.is_some() && self.is_constant() && other.is_constant() => Some(false),
                _ => None,
            },
        }
    }

    /// Whether Python takes the value as true; `None` where it depends on the request.
    pub(in crate::service) fn truth(&self) -> Option<bool> {
        Some(match self {
            Value::None => false,
            Value::Bool(value) => *value,
            Value::Int(value) => *value != 0,
            Value::Float(value) => *value != 0.0,
            Value::Text(text) => !text.is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.is_empty(),
            Value::Dict(items) => !items.is_empty(),
            _ => return None,
        })
    }

    /// Whether both are one value: the same object, or equal constants of one type.
    pub(in crate::service) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Value::Array(a), Value::Array(b))
            | (Value::Complex(a), Value::Complex(b))
            | (Value::Matrix(a), Value::Matrix(b)) => {
                a.tensor == b.tensor && a.indices == b.indices && (a.python, a.torch) == (b.python, b.torch)
            }
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => Rc::ptr_eq(a, b),
            (Value::Dict(a), Value::Dict(b)) | (Value::Record(a), Value::Record(b)) => Rc::ptr_eq(a, b),
            (Value::Json(a), Value::Json(b)) => a == b,
            (Value::File(a), Value::File(b)) => a == b,
            (Value::Stored(a), Value::Stored(b)) => a == b,
            (Value::Picture(a), Value::Picture(b)) => a == b,
            (Value::Length(a), Value::Length(b)) => a == b,
            (Value::Frame(a), Value::Frame(b)) => Rc::ptr_eq(a, b),
            (Value::Rows(a, x), Value::Rows(b, y)) => a == b && Rc::ptr_eq(x, y),
            (Value::Function(_, a), Value::Function(_, b)) => std::ptr::eq(*a, *b),
            (Value::Path(a), Value::Path(b)) => a == b,
            (Value::Growing(a, x), Value::Growing(b, y)) => Rc::ptr_eq(a, b) && Rc::ptr_eq(x, y),
            (Value::Closure(_, a), Value::Closure(_, b)) => a == b,
            (Value::Estimator(a), Value::Estimator(b))
            | (Value::Session(a), Value::Session(b))
            | (Value::Network(a, _), Value::Network(b, _))
            | (Value::Signature(a), Value::Signature(b))
            | (Value::Runner(a), Value::Runner(b))
            | (Value::Reference(a), Value::Reference(b)) => a == b,
            (Value::Service(a), Value::Service(b)) => a == b,
            (Value::Artifacts, Value::Artifacts) | (Value::None, Value::None) => true,
            (a, b) => std::mem::discriminant(a) == std::mem::discriminant(b) && a.equals(b) == Some(true),
        }
    }

    /// Whether this value is the object `other`, or has it in it; `base` tells the memory of an array. Constants are no objects that change.
    pub(in crate::service) fn holds(&self, other: &Self, base: &dyn Fn(&Array) -> TensorId) -> bool {
        let same = match (self, other) {
            (Value::List(a), Value::List(b)) => Rc::ptr_eq(a, b),
            (Value::Dict(a), Value::Dict(b)) | (Value::Record(a), Value::Record(b)) => Rc::ptr_eq(a, b),
            (Value::Json(a), Value::Json(b)) => a == b,
            (Value::Frame(a), Value::Frame(b)) => Rc::ptr_eq(a, b),
            (Value::Array(a), Value::Array(b)) => base(a) == base(b),
            _ => false,
        };
        same || match self {
            Value::List(items) | Value::Tuple(items) | Value::Zip(items) => {
                items.iter().any(|item| item.holds(other, base))
            }
            Value::Dict(items) | Value::Record(items) => items.iter().any(|(_, item)| item.holds(other, base)),
            Value::Enumerate(inner, _) | Value::Rows(_, inner) | Value::Method(inner, _) | Value::Awaitable(inner) => {
                inner.holds(other, base)
            }
            Value::Frame(frame) => match (&**frame, other) {
                (Frame::Table { array, .. }, Value::Array(part)) => base(array) == base(part),
                (Frame::Columns(columns, _), Value::Array(part)) => {
                    columns.iter().any(|(_, array)| base(array) == base(part))
                }
                _ => false,
            },
            _ => false,
        }
    }

    fn is_constant(&self) -> bool {
        matches!(self, Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_))
    }

    /// The value with the rows of loop `from` replaced by `to`.
    pub(in crate::service) fn substitute(&self, from: LoopId, to: Index) -> Self {
        let all = |items: &Rc<[Self]>| items.iter().map(|item| item.substitute(from, to)).collect();
        let members = |items: &Rc<[(Self, Self)]>| {
            items.iter().map(|(key, value)| (key.clone(), value.substitute(from, to))).collect()
        };
        match self {
            Value::Array(array) => Value::Array(array.substitute(from, to)),
            Value::Complex(array) => Value::Complex(array.substitute(from, to)),
            Value::List(items) => Value::List(all(items)),
            Value::Tuple(items) => Value::Tuple(all(items)),
            Value::Zip(items) => Value::Zip(all(items)),
            Value::Enumerate(inner, start) => Value::Enumerate(Rc::new(inner.substitute(from, to)), *start),
            Value::Format(pieces) => {
                Value::Format(pieces.iter().map(|(value, format)| (value.substitute(from, to), *format)).collect())
            }
            Value::Dict(items) => Value::Dict(members(items)),
            Value::Record(items) => Value::Record(members(items)),
            Value::Json(json) if json.row == Some(Index::Loop(from)) => {
                Value::Json(Json { row: Some(to), ..json.clone() })
            }
            Value::File(at) if at.row == Some(Index::Loop(from)) => Value::File(Rc::new(at.at_row(to))),
            Value::Picture(picture) if picture.at.row == Some(Index::Loop(from)) => {
                Value::Picture(Rc::new(Picture { at: picture.at.at_row(to), ..(**picture).clone() }))
            }
            Value::Rows(id, item) => Value::Rows(*id, Rc::new(item.substitute(from, to))),
            Value::Awaitable(item) => Value::Awaitable(Rc::new(item.substitute(from, to))),
            other => other.clone(),
        }
    }

    /// The number of values that this one is made of, itself among them; `None` above `limit`, or where they are more than `depth`
    /// levels deep.
    pub(in crate::service) fn size(&self, depth: usize, limit: usize) -> Option<usize> {
        let depth = depth.checked_sub(1)?;
        let all = |items: &mut dyn Iterator<Item = &Self>| {
            let mut total = 1usize;
            for item in items {
                total = total.checked_add(item.size(depth, limit.checked_sub(total)?)?)?;
            }
            Some(total)
        };
        match self {
            Value::List(items) | Value::Tuple(items) | Value::Zip(items) => all(&mut items.iter()),
            Value::Dict(items) | Value::Record(items) => all(&mut items.iter().flat_map(|(key, value)| [key, value])),
            Value::Format(pieces) => all(&mut pieces.iter().map(|(value, _)| value)),
            Value::Enumerate(inner, _) | Value::Rows(_, inner) | Value::Awaitable(inner) => {
                all(&mut std::iter::once(&**inner))
            }
            _ => (limit > 0).then_some(1),
        }
    }

    /// Whether the value reads the rows of loop `id`.
    pub(in crate::service) fn reads(&self, id: LoopId) -> bool {
        match self {
            Value::Array(array) | Value::Complex(array) => array.indices.contains(&Index::Loop(id)),
            Value::List(items) | Value::Tuple(items) | Value::Zip(items) => items.iter().any(|item| item.reads(id)),
            Value::Enumerate(inner, _) | Value::Rows(_, inner) | Value::Awaitable(inner) => inner.reads(id),
            Value::Dict(items) | Value::Record(items) => items.iter().any(|(_, value)| value.reads(id)),
            Value::Json(json) => json.row == Some(Index::Loop(id)),
            Value::File(at) => at.row == Some(Index::Loop(id)),
            Value::Picture(picture) => picture.at.row == Some(Index::Loop(id)),
            Value::Format(pieces) => pieces.iter().any(|(value, _)| value.reads(id)),
            _ => false,
        }
    }
}

impl Kind {
    /// The kind as messages call it.
    pub(in crate::service) fn describe(self) -> &'static str {
        match self {
            Kind::Constant => "a constant",
            Kind::Count => "the number of rows of a request",
            Kind::Text => "a text",
            Kind::Format => "a text with values of the request in it",
            Kind::List => "a list",
            Kind::Dict => "a dict",
            Kind::Record => "an object of the request",
            Kind::Json => "a value of the request",
            Kind::File => "a file of the request",
            Kind::Stored => "a file of the bento",
            Kind::Picture => "an image",
            Kind::Array => "an array",
            Kind::Complex => "an array of complex numbers",
            Kind::Frame => "a data frame",
            Kind::Matrix => "a `DMatrix`",
            Kind::Service => "the service",
            Kind::Artifacts => "the service's artifacts",
            Kind::Reference => "a reference to a model",
            Kind::Runner => "a runner",
            Kind::Awaitable => "what is to be awaited",
            Kind::Estimator => "a model",
            Kind::Session => "an ONNX Runtime session",
            Kind::Network => "a network",
            Kind::Signature => "a signature of a network",
            Kind::Tensor => "a tensor",
            Kind::Port => "an input or output of a session",
            Kind::Function => "a function",
            Kind::Iterator => "an iterator",
        }
    }
}

/// What a position on an axis is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::service) enum Index {
    /// Every position: the axis is one of the value's own.
    All,
    /// The row of a loop.
    Loop(LoopId),
    /// One position.
    At(u32),
}

/// A part of a tensor of the graph: the whole, a row of a loop, a column, one element.
#[derive(Clone, Debug)]
pub(in crate::service) struct Array {
    /// The whole tensor.
    pub(in crate::service) tensor: TensorId,
    /// What stands on its leading axes; further axes are the value's own.
    pub(in crate::service) indices: Vec<Index>,
    /// A Python list or number, not numpy's: of 64 bits where it is computed with.
    pub(in crate::service) python: bool,
    /// Whether the element type was assumed, where the request decides in Python.
    pub(in crate::service) assumed: bool,
    /// PyTorch's, whose methods are not numpy's.
    pub(in crate::service) torch: bool,
}

impl Array {
    /// A whole tensor as numpy's array.
    pub(in crate::service) fn whole(tensor: TensorId) -> Self {
        Self { tensor, indices: Vec::new(), python: false, assumed: false, torch: false }
    }

    /// The same part of another tensor of the same shape.
    pub(in crate::service) fn with_tensor(&self, tensor: TensorId) -> Self {
        Self { tensor, ..self.clone() }
    }

    /// Element type.
    pub(in crate::service) fn dtype(&self, graph: &Graph) -> DType {
        graph.spec(self.tensor).dtype
    }

    /// The tensor's axes that are the value's own. The bytes of a text are none.
    pub(in crate::service) fn axes(&self, graph: &Graph) -> Vec<usize> {
        let free = |axis: &usize| matches!(self.indices.get(*axis), None | Some(Index::All));
        let spec = graph.spec(self.tensor);
        let rank = spec.shape.rank().saturating_sub((spec.dtype == DType::Text).into());
        (0..rank).filter(free).collect()
    }

    /// Length of a tensor's axis: the factor, and whether the number of rows multiplies it.
    pub(in crate::service) fn extent(&self, graph: &Graph, axis: usize) -> (usize, bool) {
        let shape = graph.shape(self.tensor);
        (shape.factor(axis).unwrap_or(1), shape.is_batch(axis))
    }

    /// The part where `index` stands on the tensor's axis `axis`.
    pub(in crate::service) fn with_index(&self, axis: usize, index: Index) -> Self {
        let mut part = self.clone();
        if part.indices.len() <= axis {
            part.indices.resize(axis + 1, Index::All);
        }
        part.indices[axis] = index;
        part
    }

    fn substitute(&self, from: LoopId, to: Index) -> Self {
        let replace = |index: &Index| if *index == Index::Loop(from) { to } else { *index };
        Self { indices: self.indices.iter().map(replace).collect(), ..self.clone() }
    }
}

/// A pandas frame.
#[derive(Clone, Debug)]
pub(in crate::service) enum Frame {
    /// The table of an API's input, or one computed of it element by element.
    Table {
        /// Two axes: rows and columns.
        array: Array,
        /// Names of the columns, where they are known.
        columns: Option<Vec<String>>,
        /// The input that it is, where not only named columns of it were taken.
        input: Option<usize>,
    },
    /// Columns put together, each of one axis; and the input of which they are some, where its other columns are not known.
    Columns(Vec<(String, Array)>, Option<usize>),
}
