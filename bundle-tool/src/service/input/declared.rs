//! What the parameters of an API declare.

use ekiben_runtime::artifact::image::Mode;
use ekiben_runtime::artifact::manifest::{Limits, Orient, ScalarKind};
use ekiben_runtime::{DType, Shape};
use ruff_text_size::Ranged;
use serde_json::Value;

use super::super::class::{AdapterDecl, ApiMethod, ServiceClass};
use super::super::error::ServiceError;
use super::super::evaluate::Place;
use super::super::literal::Literal;
use super::{ApiInput, Form, ImageSource, Inputs, Member, Node};
use crate::bundle::{self, ApiDecl, Interface, ValueSchema};

/// Types in types.
const MAX_DEPTH: usize = 16;

/// The inputs of an API.
///
/// # Errors
/// Adapters and parameter types that are not compiled.
pub(in crate::service) fn declared(
    class: &ServiceClass<'_>,
    declared: &ApiDecl,
    method: &ApiMethod<'_>,
) -> Result<Inputs, ServiceError> {
    let mut reader = Reader { class, method, inputs: Inputs::default() };
    match &declared.interface {
        Interface::V0_13 { input, batch, .. } => reader.adapter(input, *batch)?,
        Interface::V1 { parameters, .. } => reader.parameters(parameters)?,
        Interface::Runners { input, classes, fixed_shape, .. } => reader.descriptor(input, &classes.0, *fixed_shape)?,
    }
    Ok(reader.inputs)
}

struct Reader<'r, 'a> {
    class: &'r ServiceClass<'a>,
    method: &'r ApiMethod<'a>,
    inputs: Inputs,
}

impl Reader<'_, '_> {
    fn fail(&self, node: &impl Ranged, problem: impl Into<String>) -> ServiceError {
        self.class.modules.source(self.class.module).error(node, problem)
    }

    /// Where parameter number `index` is declared.
    fn place(&self, index: usize) -> Place {
        let parameter =
            self.method.function.parameters.iter_non_variadic_params().nth(index + usize::from(self.class.takes_self));
        let range = parameter.map_or(self.method.function.name.range(), Ranged::range);
        Place { module: self.class.module, range }
    }

    /// The parameter that an adapter of 0.13 fills.
    fn adapter(&mut self, adapter: &bundle::InputAdapter, batch: bool) -> Result<(), ServiceError> {
        if self.image_adapter(adapter, batch)? {
            return Ok(());
        }
        let name = &self.method.function.name;
        let [parameter] = &self.method.parameters[..] else {
            return Err(self.fail(name, "an API with this input adapter takes one argument after `self`"));
        };
        let node = match adapter {
            bundle::InputAdapter::Dataframe { orient, typ, dtype } => {
                let frame = self.frame_adapter(parameter.name, orient.as_deref(), typ, dtype)?;
                self.leaf(frame)?
            }
            bundle::InputAdapter::Json => {
                self.inputs.is_row = batch;
                Node::Object { members: Vec::new(), open: true }
            }
            bundle::InputAdapter::Text => {
                self.inputs.is_row = batch;
                let shape = self.shape(0, batch)?;
                let form = Form::Scalar { kind: ScalarKind::Text, limits: Limits::default() };
                let leaf = ApiInput::new(parameter.name, self.place(0), form, DType::Category, shape);
                self.leaf(ApiInput { holds: true, ..leaf })?
            }
            bundle::InputAdapter::TfTensor => {
                let shape = self.shape(1, true)?;
                let form = Form::Array { shape: None, dtype: None };
                let leaf = ApiInput::new(parameter.name, self.place(0), form, DType::F32, shape);
                let node = self.leaf(ApiInput { assumed: true, ..leaf })?;
                // The body has it under this name.
                self.inputs.parameters.push(Member { name: "instances".to_owned(), node, default: None });
                return Ok(());
            }
            _ => {
                let class = self.method.input.as_ref().map_or("this adapter", |input| input.class.as_str());
                return Err(self.fail(name, format!("the input adapter {class} is not compiled")));
            }
        };
        // The method of a batch takes a list.
        let node = if self.inputs.is_row { Node::Records(Box::new(node)) } else { node };
        self.inputs.parameters.push(Member { name: parameter.name.to_owned(), node, default: None });
        Ok(())
    }

    /// The parameter that a descriptor of a service with runners fills.
    fn descriptor(&mut self, input: &bundle::Parameter, class: &str, fixed_shape: bool) -> Result<(), ServiceError> {
        let name = &self.method.function.name;
        let [parameter] = &self.method.parameters[..] else {
            return Err(
                self.fail(name, "an API of a service with runners is compiled with one parameter, without a context")
            );
        };
        if !["NumpyNdarray", "PandasDataFrame", "JSON", "Text", "Image", "File"].contains(&class) {
            return Err(self.fail(name, format!("the descriptor {class} is not compiled")));
        }
        let named = bundle::Parameter { name: parameter.name.to_owned(), ..input.clone() };
        let node = self.node(&named, 0, false, 0)?;
        if let Node::Leaf(index) = &node
            && let Some(leaf) = self.inputs.get_mut(*index)
        {
            // A column that is missing stays so.
            leaf.fills = false;
            if let (Form::Array { shape, .. }, true) = (&mut leaf.form, fixed_shape) {
                *shape = None;
            }
        }
        self.inputs.parameters.push(Member { name: named.name, node, default: None });
        Ok(())
    }

    /// The parameters of an adapter of images and files; `false` for any other adapter.
    fn image_adapter(&mut self, adapter: &bundle::InputAdapter, batch: bool) -> Result<bool, ServiceError> {
        use bundle::InputAdapter as Adapter;
        let imageio = |options: &bundle::ImageOptions| {
            let known = Mode::from_name(&options.pilmode).filter(|mode| *mode != Mode::P);
            known.map(ImageSource::Imageio).ok_or_else(|| {
                self.fail(&self.method.function.name, format!("the pilmode {:?} is not compiled", options.pilmode))
            })
        };
        let (source, names) = match adapter {
            Adapter::Image(options) => (imageio(options)?, None),
            Adapter::File => (ImageSource::File, None),
            Adapter::MultiImage { names, image } => (imageio(image)?, Some(names)),
            Adapter::MultiFile { names } => (ImageSource::File, Some(names)),
            Adapter::AnnotatedImage(options) => (imageio(options)?, None),
            _ => return Ok(false),
        };
        let annotated = matches!(adapter, Adapter::AnnotatedImage(_));
        let count = names.map_or(1 + usize::from(annotated), Vec::len);
        if self.method.parameters.len() != count {
            let problem = format!("an API with this input adapter takes {count} arguments after `self`");
            return Err(self.fail(&self.method.function.name, problem));
        }
        self.inputs.is_row = batch;
        for (at, declared) in self.method.parameters.iter().enumerate() {
            let node = if annotated && at == 1 {
                Node::Object { members: Vec::new(), open: true }
            } else {
                Node::Image { source, uses: Vec::new() }
            };
            let node = if batch { Node::Records(Box::new(node)) } else { node };
            let option = ["image_input_name", "annotation_input_name"].get(at).filter(|_| annotated);
            let option = option.and_then(|option| self.adapter_text(option));
            let named = names.and_then(|names| names.get(at)).cloned();
            let default = ["image", "annotations"].get(at).filter(|_| annotated).map(|name| (*name).to_owned());
            let name = option.or(named).or(default).unwrap_or_else(|| declared.name.to_owned());
            self.inputs.parameters.push(Member { name, node, default: None });
        }
        Ok(true)
    }

    /// A shape of `rank` lengths of 1, behind the rows where there are some.
    fn shape(&self, rank: usize, batched: bool) -> Result<Shape, ServiceError> {
        let dims = vec![1; rank + usize::from(batched)];
        let shape = Shape::new(&dims, batched.then_some(0));
        shape.map_err(|error| self.fail(&self.method.function.name, error.to_string()))
    }

    fn leaf(&mut self, leaf: ApiInput) -> Result<Node, ServiceError> {
        match self.inputs.add(leaf) {
            Some(node) => Ok(node),
            None => Err(self.fail(&self.method.function.name, "this API takes too many values")),
        }
    }

    fn frame_adapter(
        &self,
        parameter: &str,
        orient: Option<&str>,
        typ: &str,
        dtype: &[(String, String)],
    ) -> Result<ApiInput, ServiceError> {
        let name = &self.method.function.name;
        if typ != "frame" {
            return Err(self.fail(name, format!("a DataframeInput of the type {typ:?} is not compiled")));
        }
        let orient = match orient {
            None => None,
            Some(name) => Some(Orient::from_name(name).ok_or_else(|| {
                self.fail(&self.method.function.name, format!("the orientation {name:?} is not one of pandas's"))
            })?),
        };
        let mut input = self.frame(parameter, 0, orient, self.adapter_columns()?)?;
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

    /// A text among the arguments of the adapter, which only the source tells.
    fn adapter_text(&self, name: &str) -> Option<String> {
        let options = &self.method.input.as_ref()?.options;
        match options.iter().find(|(known, _)| known == name) {
            Some((_, Literal::Text(text))) => Some(text.clone()),
            _ => None,
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
        let leaf = ApiInput::new(name, place, Form::Frame { orient }, DType::F64, shape);
        let known = columns.is_some();
        Ok(ApiInput { assumed: true, settled: known, columns_declared: known, columns, ..leaf })
    }

    fn parameters(&mut self, parameters: &[bundle::Parameter]) -> Result<(), ServiceError> {
        if parameters.len() != self.method.parameters.len() {
            let problem = "the bento's manifest and this method differ in their parameters. Build the bento again";
            return Err(self.fail(&self.method.function.name, problem));
        }
        // The manifest may list parameters in another order than the method.
        for (index, declared) in self.method.parameters.iter().enumerate() {
            let found =
                parameters.iter().find(|parameter| parameter.name == declared.name || parameter.name.is_empty());
            let Some(parameter) = found else {
                let problem = format!("the bento's manifest does not know the parameter `{}`", declared.name);
                return Err(self.fail(&self.place(index).range, problem));
            };
            let mut member = self.member(parameter, index, false, 0)?;
            member.name = declared.name.to_owned();
            self.inputs.parameters.push(member);
        }
        Ok(())
    }

    /// A parameter or a member of an object, with its default.
    fn member(
        &mut self,
        parameter: &bundle::Parameter,
        index: usize,
        batched: bool,
        depth: usize,
    ) -> Result<Member, ServiceError> {
        let place = self.place(index);
        let annotation = self.method.parameters.get(index).filter(|_| depth == 0).and_then(|known| known.annotation);
        let is_optional = annotation.is_some_and(|annotation| self.class.may_be_none(annotation));
        let known = optional(parameter, is_optional);
        if known.is_none() && parameter.default == Some(Value::Null) {
            let problem = format!(
                "`{}` may be None; of values that may be missing numbers and integers are compiled",
                parameter.name
            );
            return Err(self.fail(&place.range, problem));
        }
        let node = self.node(known.as_ref().unwrap_or(parameter), index, batched, depth)?;
        if let (Some(_), Node::Leaf(leaf)) = (&known, &node)
            && let Some(leaf) = self.inputs.get_mut(*leaf)
        {
            leaf.nullable = true;
        }
        Ok(Member { name: parameter.name.clone(), node, default: parameter.default.clone() })
    }

    /// The tree of a type; `batched` inside of a list with one item for each row.
    fn node(
        &mut self,
        parameter: &bundle::Parameter,
        index: usize,
        batched: bool,
        depth: usize,
    ) -> Result<Node, ServiceError> {
        let place = self.place(index);
        if depth > MAX_DEPTH {
            return Err(self.fail(&place.range, "this type is nested too deeply"));
        }
        let scalar = |kind: ScalarKind, dtype: DType| Some((kind, dtype));
        let scalar = match &parameter.schema {
            ValueSchema::Number => scalar(ScalarKind::Number, DType::F64),
            ValueSchema::Integer => scalar(ScalarKind::Integer, DType::I64),
            ValueSchema::Boolean => scalar(ScalarKind::Boolean, DType::Bool),
            ValueSchema::Text => scalar(ScalarKind::Text, DType::Category),
            _ => None,
        };
        if let Some((kind, dtype)) = scalar {
            let limits = limits(&parameter.declared).map_err(|problem| self.fail(&place.range, problem))?;
            let form = Form::Scalar { kind, limits };
            let leaf = ApiInput::new(&parameter.name, place, form, dtype, self.shape(0, batched)?);
            return self.leaf(ApiInput { holds: true, ..leaf });
        }
        match &parameter.schema {
            ValueSchema::Object(declared) => {
                let mut members = Vec::new();
                for member in declared {
                    members.push(self.member(member, index, batched, depth + 1)?);
                }
                Ok(Node::Object { members, open: false })
            }
            ValueSchema::File { pil, format, .. } if !batched => {
                let image = *pil || format.as_deref() == Some("image");
                let source = if *pil { ImageSource::Pillow } else { ImageSource::File };
                if !image && format.as_deref().is_some_and(|format| format != "binary") {
                    return Err(self.fail(&place.range, "only files that are images are compiled"));
                }
                Ok(Node::Image { source, uses: Vec::new() })
            }
            ValueSchema::List(item) if depth == 0 && matches!(**item, ValueSchema::File { pil: true, .. }) => {
                Ok(Node::Records(Box::new(Node::Image { source: ImageSource::Pillow, uses: Vec::new() })))
            }
            ValueSchema::Any => Ok(Node::Object { members: Vec::new(), open: true }),
            ValueSchema::List(item) if !batched && matches!(**item, ValueSchema::Object(_) | ValueSchema::Any) => {
                let declared = parameter.declared.get("items").cloned().unwrap_or_default();
                let item = bundle::Parameter {
                    name: parameter.name.clone(),
                    schema: (**item).clone(),
                    required: true,
                    default: None,
                    declared,
                };
                Ok(Node::Records(Box::new(self.node(&item, index, true, depth + 1)?)))
            }
            ValueSchema::List(item) if depth > 0 => {
                let dtype = match innermost(item) {
                    ValueSchema::Number => DType::F64,
                    ValueSchema::Integer => DType::I64,
                    _ => return Err(self.fail(&place.range, "only lists of numbers are compiled inside of an object")),
                };
                let mut rank = 1;
                let mut inner = &**item;
                while let ValueSchema::List(item) = inner {
                    (rank, inner) = (rank + 1, item);
                }
                let leaf = ApiInput::new(&parameter.name, place, Form::List, dtype, self.shape(rank, batched)?);
                self.leaf(leaf)
            }
            schema => {
                let leaf = self.parameter(&parameter.name, index, schema)?;
                if batched {
                    return Err(self.fail(&place.range, format!("`{}` in a list is not compiled", parameter.name)));
                }
                self.leaf(leaf)
            }
        }
    }

    fn parameter(&self, name: &str, index: usize, schema: &ValueSchema) -> Result<ApiInput, ServiceError> {
        let place = self.place(index);
        let fail = |problem: String| self.fail(&place.range, problem);
        match schema {
            ValueSchema::Dataframe { orient, columns } => {
                let orient =
                    Orient::from_name(orient).ok_or_else(|| fail(format!("the orientation {orient:?} is unknown")))?;
                let leaf = self.frame(name, index, Some(orient), columns.clone())?;
                Ok(ApiInput { fills: columns.is_some(), ..leaf })
            }
            ValueSchema::Tensor { format, dtype, shape } if format == "numpy-array" => {
                let element = match dtype.as_deref() {
                    None => DType::F64,
                    Some(name) => DType::from_name(name)
                        .filter(|dtype| dtype.is_float() || dtype.is_integer())
                        .ok_or_else(|| fail(format!("arrays of {name} are not compiled")))?,
                };
                let (rows, settled) = declared_shape(shape.as_deref()).map_err(fail)?;
                let form = Form::Array { shape: shape.clone(), dtype: dtype.clone() };
                let leaf = ApiInput::new(name, place, form, element, rows);
                Ok(ApiInput { assumed: dtype.is_none(), settled, ..leaf })
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
                    input.holds = true;
                }
                Ok(input)
            }
            _ => Err(fail(format!(
                "the parameter `{name}` is not of a type that is compiled: numpy.ndarray, pandas.DataFrame, numbers, texts, pydantic models, lists of them, images"
            ))),
        }
    }
}

/// The number or integer that a parameter is where it is not `None`: `float | None`, `Optional[int]`. BentoML's manifest has the type that
/// is not `None` alone; that it may be is told by its default, or by the source, which `is_optional` says.
fn optional(parameter: &bundle::Parameter, is_optional: bool) -> Option<bundle::Parameter> {
    let is_number = matches!(parameter.schema, ValueSchema::Number | ValueSchema::Integer);
    if is_number && (is_optional || parameter.default == Some(Value::Null)) {
        return Some(parameter.clone());
    }
    let kinds = parameter.declared.get("anyOf")?.as_array()?;
    let is_null = |kind: &&Value| kind.get("type").and_then(Value::as_str) == Some("null");
    let mut others = kinds.iter().filter(|kind| !is_null(kind));
    let (Some(declared), None, true) = (others.next(), others.next(), kinds.iter().any(|kind| is_null(&kind))) else {
        return None;
    };
    let schema = match declared.get("type").and_then(Value::as_str)? {
        "number" => ValueSchema::Number,
        "integer" => ValueSchema::Integer,
        _ => return None,
    };
    Some(bundle::Parameter { schema, declared: declared.clone(), ..parameter.clone() })
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

/// The keywords of JSON Schema that a value must hold to.
fn limits(declared: &Value) -> Result<Limits, String> {
    if declared.get("pattern").is_some() {
        return Err("a `pattern` for a text is not compiled".to_owned());
    }
    let number = |key: &str| declared.get(key).and_then(Value::as_f64);
    let length = |key: &str| declared.get(key).and_then(Value::as_u64).and_then(|length| u32::try_from(length).ok());
    let values = declared.get("enum").or(declared.get("const"));
    let one_of = match values {
        Some(Value::Array(values)) => values.iter().map(ToString::to_string).collect(),
        Some(value) => vec![value.to_string()],
        None => Vec::new(),
    };
    Ok(Limits {
        minimum: number("minimum"),
        maximum: number("maximum"),
        exclusive_minimum: number("exclusiveMinimum"),
        exclusive_maximum: number("exclusiveMaximum"),
        multiple_of: number("multipleOf"),
        min_length: length("minLength"),
        max_length: length("maxLength"),
        one_of,
    })
}
