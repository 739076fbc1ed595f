//! The inputs of an API: what its parameters declare, and the adapter that fills them.
//!
//! A parameter is a tree whose leaves are [`ApiInput`]s: the inputs of the graph, in the order in which they became known.

mod adapter;
mod declared;
mod tree;

use ekiben_runtime::artifact::manifest::{Limits, Orient, ScalarKind};
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::evaluate::Place;

pub(super) use adapter::{adapter, parameter};
pub(super) use declared::declared;
pub(super) use tree::{ImageSource, Inputs, Member, Node, Step};

/// How a leaf is spelled in a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// A table.
    Frame { orient: Option<Orient> },
    /// Nested lists of numbers that become an array.
    Array { shape: Option<Vec<i64>>, dtype: Option<String> },
    /// Nested lists of numbers that stay lists.
    List,
    /// The pixels of an image.
    Image,
    /// The samples of a sound, with its rate and whether another length is made to fit.
    Sound { rate: Option<u32>, fits: bool },
    /// One value.
    Scalar { kind: ScalarKind, limits: Limits },
}

/// A leaf of a parameter, and what is known about it.
#[derive(Clone, Debug)]
pub(super) struct ApiInput {
    pub(super) name: String,
    /// Where its parameter is declared.
    pub(super) place: Place,
    pub(super) form: Form,
    pub(super) dtype: DType,
    /// Whether the request decides about the element type in Python. Then it is `float64` here.
    pub(super) assumed: bool,
    pub(super) shape: Shape,
    /// Whether the shape is declared, or told by what takes it.
    pub(super) settled: bool,
    /// Whether what it is computed with tells its shape, unless a model tells another one.
    pub(super) hinted: bool,
    /// Whether it is a number that may be `None`.
    pub(super) nullable: bool,
    /// Whether the shape holds where nothing tells another one.
    pub(super) holds: bool,
    /// Names of the columns in the tensor's order, where they are known.
    pub(super) columns: Option<Vec<String>>,
    /// Whether the columns are declared, and not only told by their use.
    pub(super) columns_declared: bool,
    /// Whether a column that a table lacks is one of missing values.
    pub(super) fills: bool,
    /// Types and shapes of the columns, where each is an input of the graph: told by a model that takes columns.
    pub(super) table: Option<Vec<TensorSpec>>,
    /// Where columns are taken by name.
    pub(super) named_use: Option<Place>,
    /// Where all columns are used, whatever their names.
    pub(super) whole_use: Option<Place>,
}

impl ApiInput {
    /// A leaf of which only the form is known.
    pub(super) fn new(name: &str, place: Place, form: Form, dtype: DType, shape: Shape) -> Self {
        Self {
            name: name.to_owned(),
            place,
            form,
            dtype,
            assumed: false,
            shape,
            settled: false,
            hinted: false,
            nullable: false,
            holds: false,
            columns: None,
            columns_declared: false,
            fills: false,
            table: None,
            named_use: None,
            whole_use: None,
        }
    }

    /// A value of JSON whose type the request decides about.
    pub(super) fn any(name: &str, place: Place, shape: Shape) -> Self {
        let form = Form::Scalar { kind: ScalarKind::Any, limits: Limits::default() };
        Self { assumed: true, holds: true, ..Self::new(name, place, form, DType::F64, shape) }
    }

    /// Inputs of the graph that it fills.
    pub(super) fn width(&self) -> usize {
        self.table.as_ref().map_or(1, Vec::len)
    }

    /// Whether it is one value, and not a table or a list.
    pub(super) fn is_scalar(&self) -> bool {
        matches!(self.form, Form::Scalar { .. })
    }
}
