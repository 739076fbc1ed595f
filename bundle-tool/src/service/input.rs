//! The inputs of an API: what its parameters declare, and the adapter that fills them.

use ekiben_runtime::artifact::manifest::{Frame, InputAdapter, Orient, Parameter, ParameterKind};
use ekiben_runtime::{DType, Shape, TensorSpec};
use ruff_text_size::Ranged;

use super::class::{AdapterDecl, ApiMethod, ServiceClass};
use super::error::ServiceError;
use super::evaluate::Place;
use super::literal::Literal;
use crate::bundle::{self, ApiDecl, Interface, ValueSchema};

/// How a parameter is spelled in a request.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// A table.
    Frame { orient: Option<Orient> },
    /// Nested lists of numbers that become an array.
    Array { shape: Option<Vec<i64>>, dtype: Option<String> },
    /// Nested lists of numbers that stay lists.
    List,
}

/// A parameter of an API, and what is known about it.
#[derive(Clone, Debug)]
pub(super) struct ApiInput {
    pub(super) name: String,
    /// Where it is declared.
    pub(super) place: Place,
    pub(super) form: Form,
    pub(super) dtype: DType,
    /// Whether the request decides about the element type in Python. Then it is `float64` here.
    pub(super) assumed: bool,
    pub(super) shape: Shape,
    /// Whether the shape is declared, or told by what takes it.
    pub(super) settled: bool,
    /// Names of the columns in the tensor's order, where they are known.
    pub(super) columns: Option<Vec<String>>,
    /// Whether the columns are declared, and not only told by their use.
    pub(super) columns_declared: bool,
    /// Types and shapes of the columns, where each is an input of the graph: told by a model that takes columns.
    pub(super) table: Option<Vec<TensorSpec>>,
    /// Where columns are taken by name.
    pub(super) named_use: Option<Place>,
    /// Where all columns are used, whatever their names.
    pub(super) whole_use: Option<Place>,
}

impl ApiInput {
    /// Inputs of the graph that it fills.
    pub(super) fn width(&self) -> usize {
        self.table.as_ref().map_or(1, Vec::len)
    }
}

/// The inputs of an API.
///
/// # Errors
/// Adapters and parameter types that are not compiled.
pub(super) fn declared(
    class: &ServiceClass<'_>,
    declared: &ApiDecl,
    method: &ApiMethod<'_>,
) -> Result<Vec<ApiInput>, ServiceError> {
    let reader = Reader { class, method };
    match &declared.interface {
        Interface::V0_13 { input, .. } => reader.frame_adapter(input).map(|input| vec![input]),
        Interface::V1 { parameters, stream, is_task, .. } => {
            if stream.is_some() || *is_task {
                return Err(reader.fail(&method.function.name, "streams and tasks are not compiled"));
            }
            reader.parameters(parameters)
        }
    }
}

struct Reader<'r, 'a> {
    class: &'r ServiceClass<'a>,
    method: &'r ApiMethod<'a>,
}

impl Reader<'_, '_> {
    fn fail(&self, node: &impl Ranged, problem: impl Into<String>) -> ServiceError {
        self.class.modules.source(self.class.module).error(node, problem)
    }

    /// Where parameter number `index` is declared.
    fn place(&self, index: usize) -> Place {
        let parameter = self.method.function.parameters.iter_non_variadic_params().nth(index + 1);
        let range = parameter.map_or(self.method.function.name.range(), Ranged::range);
        Place { module: self.class.module, range }
    }

    fn frame_adapter(&self, adapter: &bundle::InputAdapter) -> Result<ApiInput, ServiceError> {
        let name = &self.method.function.name;
        let bundle::InputAdapter::Dataframe { orient, typ, dtype } = adapter else {
            let class = self.method.input.as_ref().map_or("this adapter", |input| input.class.as_str());
            return Err(self.fail(name, format!("the input adapter {class} is not compiled; DataframeInput is")));
        };
        let [parameter] = &self.method.parameters[..] else {
            return Err(self.fail(name, "an API with a DataframeInput takes one argument after `self`"));
        };
        if typ != "frame" {
            return Err(self.fail(name, format!("a DataframeInput of the type {typ:?} is not compiled")));
        }
        let orient = match orient.as_deref() {
            None => None,
            Some(name) => Some(Orient::from_name(name).ok_or_else(|| {
                self.fail(&self.method.function.name, format!("the orientation {name:?} is not one of pandas's"))
            })?),
        };
        let mut input = self.frame(parameter.name, 0, orient, self.adapter_columns()?)?;
        if !dtype.is_empty() {
            input.dtype = self.common_type(dtype)?;
            input.assumed = false;
        }
        Ok(input)
    }

    /// `columns=` of the adapter, which only the source tells.
    fn adapter_columns(&self) -> Result<Option<Vec<String>>, ServiceError> {
        let Some(AdapterDecl { options, .. }) = &self.method.input else {
            return Ok(None);
        };
        match options.iter().find(|(name, _)| name == "columns") {
            None | Some((_, Literal::None)) => Ok(None),
            Some((_, value)) => match value.texts() {
                Some(columns) => Ok(Some(columns)),
                None => Err(self.fail(&self.method.function.name, "`columns` of the adapter is no list of names")),
            },
        }
    }

    /// The type of a table whose columns have declared types.
    fn common_type(&self, dtypes: &[(String, String)]) -> Result<DType, ServiceError> {
        let fail = |problem: String| self.fail(&self.method.function.name, problem);
        let mut common = None;
        for (column, name) in dtypes {
            // What a column of texts becomes, a model that takes it tells.
            if matches!(name.as_str(), "object" | "str" | "string" | "category") {
                continue;
            }
            let name = match name.as_str() {
                "float" => "float64",
                "int" => "int64",
                other => other,
            };
            let dtype = DType::from_name(name)
                .filter(|dtype| matches!(dtype, DType::F32 | DType::F64 | DType::I32 | DType::I64))
                .ok_or_else(|| fail(format!("the type {name} of column {column} is not compiled")))?;
            common = match common {
                None => Some(dtype),
                Some(other) if other == dtype => Some(dtype),
                // Integers stand beside 64-bit floats without loss that the floats would not have.
                Some(DType::F64 | DType::I64 | DType::I32) if dtype != DType::F32 => Some(DType::F64),
                Some(other) => return Err(fail(format!("columns of {other} beside {dtype} are not compiled"))),
            };
        }
        Ok(common.unwrap_or(DType::F64))
    }

    fn frame(
        &self,
        name: &str,
        index: usize,
        orient: Option<Orient>,
        columns: Option<Vec<String>>,
    ) -> Result<ApiInput, ServiceError> {
        let width = columns.as_ref().map_or(1, Vec::len);
        let place = self.place(index);
        let shape = Shape::new(&[1, width], Some(0)).map_err(|error| self.fail(&place.range, error.to_string()))?;
        Ok(ApiInput {
            name: name.to_owned(),
            place,
            form: Form::Frame { orient },
            dtype: DType::F64,
            assumed: true,
            shape,
            settled: columns.is_some(),
            columns_declared: columns.is_some(),
            columns,
            table: None,
            named_use: None,
            whole_use: None,
        })
    }

    fn parameters(&self, parameters: &[bundle::Parameter]) -> Result<Vec<ApiInput>, ServiceError> {
        if parameters.len() != self.method.parameters.len() {
            let problem = "the bento's manifest and this method differ in their parameters. Build the bento again";
            return Err(self.fail(&self.method.function.name, problem));
        }
        let mut inputs = Vec::new();
        // The manifest may list parameters in another order than the method.
        for (index, declared) in self.method.parameters.iter().enumerate() {
            let found =
                parameters.iter().find(|parameter| parameter.name == declared.name || parameter.name.is_empty());
            let Some(parameter) = found else {
                let problem = format!("the bento's manifest does not know the parameter `{}`", declared.name);
                return Err(self.fail(&self.place(index).range, problem));
            };
            if declared.default.is_some() {
                return Err(self.fail(&self.place(index).range, "a parameter with a default is not compiled"));
            }
            inputs.push(self.parameter(declared.name, index, &parameter.schema)?);
        }
        Ok(inputs)
    }

    fn parameter(&self, name: &str, index: usize, schema: &ValueSchema) -> Result<ApiInput, ServiceError> {
        let place = self.place(index);
        let fail = |problem: String| self.fail(&place.range, problem);
        match schema {
            ValueSchema::Dataframe { orient, columns } => {
                let orient =
                    Orient::from_name(orient).ok_or_else(|| fail(format!("the orientation {orient:?} is unknown")))?;
                self.frame(name, index, Some(orient), columns.clone())
            }
            ValueSchema::Tensor { format, dtype, shape } if format == "numpy-array" => {
                let element = match dtype.as_deref() {
                    None => DType::F64,
                    Some(name) => DType::from_name(name)
                        .filter(|dtype| dtype.is_float() || dtype.is_integer())
                        .ok_or_else(|| fail(format!("arrays of {name} are not compiled")))?,
                };
                let (rows, settled) = declared_shape(shape.as_deref()).map_err(fail)?;
                Ok(ApiInput {
                    name: name.to_owned(),
                    place,
                    form: Form::Array { shape: shape.clone(), dtype: dtype.clone() },
                    dtype: element,
                    assumed: dtype.is_none(),
                    shape: rows,
                    settled,
                    columns: None,
                    columns_declared: false,
                    table: None,
                    named_use: None,
                    whole_use: None,
                })
            }
            ValueSchema::List(item) => {
                let dtype = match innermost(item) {
                    ValueSchema::Number => DType::F64,
                    ValueSchema::Integer => DType::I64,
                    // A model that takes texts tells how long they may be.
                    ValueSchema::Text if !matches!(**item, ValueSchema::List(_)) => DType::Text,
                    _ => return Err(fail("only lists of numbers and lists of texts are compiled".to_owned())),
                };
                let mut input = self.frame(name, index, None, None)?;
                input.form = Form::List;
                input.dtype = dtype;
                input.assumed = false;
                if !matches!(**item, ValueSchema::List(_)) && dtype != DType::Text {
                    input.shape = Shape::new(&[1], Some(0)).map_err(|error| fail(error.to_string()))?;
                    input.settled = true;
                }
                Ok(input)
            }
            _ => Err(fail(format!(
                "the parameter `{name}` is not of a type that is compiled: numpy.ndarray, pandas.DataFrame, lists of numbers"
            ))),
        }
    }
}

/// The innermost item type of nested lists.
fn innermost(mut schema: &ValueSchema) -> &ValueSchema {
    while let ValueSchema::List(inner) = schema {
        schema = inner;
    }
    schema
}

/// The shape of a declared one, -1 standing for the rows, and whether it is told in full.
fn declared_shape(shape: Option<&[i64]>) -> Result<(Shape, bool), String> {
    let dims = shape.unwrap_or(&[-1, -1]);
    let mut lengths = Vec::new();
    let mut batch = None;
    let mut settled = shape.is_some();
    for (axis, &dim) in dims.iter().enumerate() {
        match usize::try_from(dim) {
            Ok(length) => lengths.push(length),
            Err(_) => {
                lengths.push(1);
                settled &= batch.is_none();
                batch = batch.or(Some(axis));
            }
        }
    }
    Ok((Shape::new(&lengths, batch).map_err(|error| error.to_string())?, settled))
}

/// The adapter that fills the inputs.
pub(super) fn adapter(inputs: &[ApiInput], declared: &ApiDecl) -> InputAdapter {
    // The first input of the graph of each of the API's.
    let place = |index: usize| inputs.iter().take(index).map(ApiInput::width).sum::<usize>() as u32;
    let frame = |input: &ApiInput, index: usize, orient: Option<Orient>| Frame {
        orient,
        columns: input.columns.clone().unwrap_or_default(),
        input: place(index),
        inputs: input.table.as_ref().map(|table| (place(index)..).take(table.len()).collect()).unwrap_or_default(),
    };
    let parameter = |(index, input): (usize, &ApiInput)| {
        let kind = match &input.form {
            Form::Frame { orient } => ParameterKind::Dataframe(frame(input, index, *orient)),
            Form::Array { shape, dtype } => {
                ParameterKind::Array { shape: shape.clone(), dtype: dtype.clone(), input: place(index) }
            }
            Form::List => ParameterKind::Array { shape: None, dtype: None, input: place(index) },
        };
        Parameter { name: input.name.clone(), kind }
    };
    match (&declared.interface, inputs) {
        (Interface::V0_13 { .. }, [ApiInput { form: Form::Frame { orient }, .. }, ..]) => {
            InputAdapter::Dataframe(frame(&inputs[0], 0, *orient))
        }
        (Interface::V1 { root_input: true, .. }, [single]) => InputAdapter::Value(parameter((0, single))),
        _ => InputAdapter::Parameters(inputs.iter().enumerate().map(parameter).collect()),
    }
}
