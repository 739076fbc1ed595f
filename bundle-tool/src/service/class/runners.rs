//! Services with runners (`spec: 1`): an object whose APIs are functions of its module, each with a descriptor in and one out.

use std::borrow::Cow;

use ruff_python_ast::{Decorator, Expr, ExprCall, Stmt, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::{AdapterDecl, ApiMethod, Declared, Reader, ServiceClass, parts};
use crate::bundle::{ApiDecl, Interface, ValueSchema};
use crate::service::error::ServiceError;
use crate::service::literal::{Literal, literal};
use crate::service::modules::{Meaning, ModuleId};

/// Names that lead from one to another.
const MAX_DEPTH: usize = 8;
/// Arguments of descriptors, in the order of their positions.
const ARGUMENTS: [(&str, &[&str]); 6] = [
    ("NumpyNdarray", &["dtype", "enforce_dtype", "shape", "enforce_shape"]),
    (
        "PandasDataFrame",
        &[
            "orient",
            "columns",
            "apply_column_names",
            "dtype",
            "enforce_dtype",
            "shape",
            "enforce_shape",
            "default_format",
        ],
    ),
    // The manifest's description of the API has the types of a pydantic model.
    ("JSON", &["pydantic_model", "validate_json"]),
    ("Text", &[]),
    // The mode is that of images that are returned.
    ("Image", &["pilmode", "mime_type", "allowed_mime_types"]),
    ("File", &["kind", "mime_type"]),
];

/// Whether `value` makes a service with runners.
pub(super) fn is_service(path: Option<&str>) -> bool {
    matches!(path, Some("bentoml.Service" | "bentoml.legacy.Service"))
}

impl<'a> Reader<'_, 'a> {
    /// The functions that `@service.api` makes APIs of.
    pub(super) fn functions(&self, service: &str, declared: &mut Declared<'a>) -> Result<(), ServiceError> {
        for statement in &self.modules.source(self.module).syntax().body {
            let Stmt::FunctionDef(function) = statement else { continue };
            for decorator in &function.decorator_list {
                let (decoration, call) = parts(decorator);
                let is_api = matches!(decoration, Expr::Attribute(method)
                    if method.attr.as_str() == "api"
                        && matches!(&*method.value, Expr::Name(owner) if owner.id.as_str() == service));
                match call {
                    Some(call) if is_api && function.decorator_list.len() == 1 => {
                        declared.apis.push(self.function(function, decorator, call)?);
                    }
                    _ if is_api => return Err(self.fail(decorator, "this decorator is read only alone, and called")),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    fn function(
        &self,
        function: &'a StmtFunctionDef,
        decorator: &'a Decorator,
        call: &'a ExprCall,
    ) -> Result<ApiMethod<'a>, ServiceError> {
        let descriptor = |name: &str, position: usize| match call.arguments.find_argument_value(name, position) {
            Some(value) => self.descriptor(self.module, value, 0).map(Some),
            None => Err(self.fail(decorator, format!("this API has no `{name}` descriptor"))),
        };
        let mut api = ApiMethod {
            name: function.name.to_string(),
            function,
            parameters: self.parameters(function, false)?,
            input: descriptor("input", 0)?,
            output: descriptor("output", 1)?,
            options: Vec::new(),
        };
        for keyword in &call.arguments.keywords {
            match keyword.arg.as_deref() {
                Some("input" | "output" | "doc" | "route") => {}
                Some("name") => match literal(self.modules, self.module, &keyword.value)? {
                    Literal::Text(name) => api.name = name,
                    Literal::None => {}
                    _ => return Err(self.fail(keyword, "this name is no text")),
                },
                _ => return Err(self.fail(keyword, "this argument is not read")),
            }
        }
        Ok(api)
    }

    /// A descriptor where it is made; names of descriptors are followed.
    fn descriptor(&self, module: ModuleId, expression: &'a Expr, depth: usize) -> Result<AdapterDecl, ServiceError> {
        let fail = |node: &dyn Ranged, problem: &str| self.modules.source(module).error(&node.range(), problem);
        let Expr::Call(call) = expression else {
            return match self.modules.resolve(module, expression)? {
                Some(Meaning::Value(inner, value)) if depth < MAX_DEPTH => self.descriptor(inner, value, depth + 1),
                _ => Err(fail(expression, "this descriptor is no call of a class of `bentoml.io`")),
            };
        };
        let path = self.modules.path(module, &call.func)?.unwrap_or_default();
        let class = path.rsplit('.').next().unwrap_or_default().to_owned();
        if !path.starts_with("bentoml.") {
            return Err(fail(&*call.func, "a descriptor that is not BentoML's is not read"));
        }
        let Some((_, names)) = ARGUMENTS.iter().find(|(known, _)| *known == class) else {
            let known = "NumpyNdarray, PandasDataFrame, JSON, Text, Image and File, made by their classes";
            return Err(fail(&*call.func, &format!("this descriptor is not compiled; those that are: {known}")));
        };
        if let Some(argument) = call.arguments.args.get(names.len()) {
            return Err(fail(argument, &format!("{class} takes fewer arguments by position")));
        }
        let positional = names.iter().copied().zip(&call.arguments.args);
        let keywords = call.arguments.keywords.iter();
        let named = keywords.filter_map(|keyword| Some((keyword.arg.as_ref()?.as_str(), &keyword.value)));
        let mut options = Vec::new();
        for (name, value) in positional.chain(named) {
            if !names.contains(&name) {
                return Err(fail(value, &format!("the argument `{name}` of {class} is not compiled")));
            }
            if name != "pydantic_model" {
                options.push((name.to_owned(), literal(self.modules, module, value)?));
            }
        }
        Ok(AdapterDecl { class, options })
    }
}

/// An API with what the source says about its descriptors.
///
/// # Errors
/// Arguments that are not compiled, and descriptors that are not those of the manifest.
pub(in crate::service) fn described<'d>(
    class: &ServiceClass<'_>,
    declared: &'d ApiDecl,
    method: &ApiMethod<'_>,
) -> Result<Cow<'d, ApiDecl>, ServiceError> {
    let Interface::Runners { input, output, classes, .. } = &declared.interface else {
        return Ok(Cow::Borrowed(declared));
    };
    let fail = |problem: String| class.modules.source(class.module).error(&method.function.name, problem);
    let (Some(given), Some(returned)) = (&method.input, &method.output) else {
        return Err(fail("this API has no descriptors".to_owned()));
    };
    if (&given.class, &returned.class) != (&classes.0, &classes.1) {
        let problem = "the bento's manifest and this function differ in their descriptors. Build the bento again";
        return Err(fail(problem.to_owned()));
    }
    let mut input = input.clone();
    input.schema = refined(&input.schema, given).map_err(fail)?;
    let fixed_shape = flag(given, "enforce_shape");
    let output = refined(output, returned).map_err(fail)?;
    let interface = Interface::Runners { input, output, classes: classes.clone(), fixed_shape };
    Ok(Cow::Owned(ApiDecl { interface, ..declared.clone() }))
}

fn option<'o>(descriptor: &'o AdapterDecl, name: &str) -> Option<&'o Literal> {
    let found = descriptor.options.iter().find(|(known, _)| known == name).map(|(_, value)| value);
    found.filter(|value| **value != Literal::None)
}

fn flag(descriptor: &AdapterDecl, name: &str) -> bool {
    option(descriptor, name) == Some(&Literal::Bool(true))
}

/// A descriptor's type with its arguments.
fn refined(schema: &ValueSchema, descriptor: &AdapterDecl) -> Result<ValueSchema, String> {
    match schema {
        ValueSchema::Tensor { format, .. } => {
            let dtype = match option(descriptor, "dtype") {
                None => None,
                Some(value) => Some(dtype(value).ok_or("`dtype` of this descriptor is no type of numpy's")?),
            };
            let shape = match option(descriptor, "shape") {
                None => None,
                Some(value) => Some(value.integers().ok_or("`shape` of this descriptor is no tuple of integers")?),
            };
            Ok(ValueSchema::Tensor { format: format.clone(), dtype, shape })
        }
        ValueSchema::Dataframe { orient, .. } => {
            if flag(descriptor, "apply_column_names") || flag(descriptor, "enforce_dtype") {
                return Err(
                    "`apply_column_names` and `enforce_dtype` of a frame are not compiled. Convert in the API".into()
                );
            }
            if option(descriptor, "default_format").is_some_and(|format| format.as_text() != Some("json")) {
                return Err("a frame with another `default_format` than \"json\" is not compiled".into());
            }
            let orient = match option(descriptor, "orient") {
                None => orient.clone(),
                Some(value) => value.as_text().ok_or("`orient` of this descriptor is no text")?.to_owned(),
            };
            let columns = match option(descriptor, "columns") {
                None => None,
                Some(value) => Some(value.texts().ok_or("`columns` of this descriptor is no list of names")?),
            };
            Ok(ValueSchema::Dataframe { orient, columns })
        }
        other => Ok(other.clone()),
    }
}

/// numpy's name of an element type.
fn dtype(value: &Literal) -> Option<String> {
    let name = match value {
        Literal::Text(name) => name.as_str(),
        Literal::Path(path) => path.strip_prefix("numpy.").or(path.strip_prefix("builtins."))?,
        _ => return None,
    };
    Some(match name {
        "float" | "double" | "float_" => "float64".to_owned(),
        "int" | "int_" => "int64".to_owned(),
        "single" => "float32".to_owned(),
        other => other.to_owned(),
    })
}
