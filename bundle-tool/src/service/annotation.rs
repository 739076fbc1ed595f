//! Parameter annotations of 1.x APIs, as the types that BentoML makes of them.

use ruff_python_ast::{Expr, ExprSubscript, Operator};

use super::error::ServiceError;
use super::literal::{Literal, literal};
use super::modules::{ModuleId, Modules};
use super::source::Source;
use crate::bundle::ValueSchema;

/// numpy's scalar types whose name is the name of the dtype.
const SCALARS: [&str; 11] =
    ["float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"];
/// Annotations in annotations.
const MAX_DEPTH: usize = 32;

/// The type of a parameter or result annotated with `expression`.
///
/// # Errors
/// An annotation that is not one of BentoML's tensor, frame, file and scalar types or a list of them.
pub(super) fn schema(modules: &Modules<'_>, module: ModuleId, expression: &Expr) -> Result<ValueSchema, ServiceError> {
    Reading { modules, module }.value(expression, 0)
}

struct Reading<'m, 'a> {
    modules: &'m Modules<'a>,
    module: ModuleId,
}

impl Reading<'_, '_> {
    fn value(&self, expression: &Expr, depth: usize) -> Result<ValueSchema, ServiceError> {
        if depth > MAX_DEPTH {
            return Err(self.fail(expression, "is nested too deeply"));
        }
        match expression {
            Expr::NoneLiteral(_) => Ok(ValueSchema::Null),
            Expr::Subscript(subscript) => self.generic(subscript, depth),
            Expr::BinOp(union) if union.op == Operator::BitOr => {
                match (self.value(&union.left, depth + 1)?, self.value(&union.right, depth + 1)?) {
                    (ValueSchema::Null, other) | (other, ValueSchema::Null) => Ok(other),
                    _ => Ok(ValueSchema::Any),
                }
            }
            Expr::StringLiteral(text) => self.quoted(expression, text.value.to_str(), depth),
            _ => match self.modules.path(self.module, expression)?.as_deref().and_then(plain) {
                Some(schema) => Ok(schema),
                None => Err(self.fail(expression, "is no type that a request can carry")),
            },
        }
    }

    /// `Annotated[T, …]`, `Optional[T]`, `List[T]` and the like.
    fn generic(&self, subscript: &ExprSubscript, depth: usize) -> Result<ValueSchema, ServiceError> {
        let path = self.modules.path(self.module, &subscript.value)?.unwrap_or_default();
        let arguments = match &*subscript.slice {
            Expr::Tuple(tuple) => &tuple.elts[..],
            single => std::slice::from_ref(single),
        };
        let Some(first) = arguments.first() else {
            return Err(self.fail(&subscript.slice, "has no type in it"));
        };
        match path.rsplit('.').next().unwrap_or_default() {
            "Annotated" => {
                let mut schema = self.value(first, depth + 1)?;
                for validator in &arguments[1..] {
                    self.validate(validator, &mut schema)?;
                }
                Ok(schema)
            }
            "Optional" => self.value(first, depth + 1),
            "List" | "list" | "Sequence" | "MutableSequence" => {
                Ok(ValueSchema::List(Box::new(self.value(first, depth + 1)?)))
            }
            "NDArray" => self.array(first),
            "ndarray" => match arguments.get(1) {
                Some(Expr::Subscript(dtype)) => self.array(&dtype.slice),
                _ => Ok(tensor()),
            },
            "Dict" | "dict" | "Union" | "Tuple" | "tuple" | "Literal" | "Mapping" => Ok(ValueSchema::Any),
            _ => Err(self.fail(&subscript.value, "is no generic type that a request can carry")),
        }
    }

    /// A numpy array whose elements have the type `scalar`.
    fn array(&self, scalar: &Expr) -> Result<ValueSchema, ServiceError> {
        let path = self.modules.path(self.module, scalar)?;
        let name = path.as_deref().and_then(|path| path.strip_prefix("numpy."));
        let dtype = name.filter(|name| SCALARS.contains(name)).map(str::to_owned);
        Ok(ValueSchema::Tensor { format: "numpy-array".to_owned(), dtype, shape: None })
    }

    /// An annotation in quotes.
    fn quoted(&self, expression: &Expr, text: &str, depth: usize) -> Result<ValueSchema, ServiceError> {
        let inner = Source::parse("", "", text.to_owned()).ok();
        let inner = inner.as_ref().and_then(|source| source.syntax().body.first()?.as_expr_stmt());
        let Some(inner) = inner else {
            return Err(self.fail(expression, "is no annotation in quotes"));
        };
        // Places inside of the quotes are not places in the file.
        self.value(&inner.value, depth + 1).map_err(|_| self.fail(expression, "is no type that a request can carry"))
    }

    /// What one validator of `Annotated` adds: `DType`, `Shape`, `DataframeSchema`, `ContentType`. Others restrict values, which is
    /// for the declaration in the manifest to say.
    fn validate(&self, validator: &Expr, schema: &mut ValueSchema) -> Result<(), ServiceError> {
        let Expr::Call(call) = validator else {
            return Ok(());
        };
        let path = self.modules.path(self.module, &call.func)?.unwrap_or_default();
        let class = path.rsplit('.').next().unwrap_or_default();
        let argument = |position: usize, name: &str| -> Result<Option<Literal>, ServiceError> {
            match call.arguments.find_argument_value(name, position) {
                Some(value) => literal(self.modules, self.module, value).map(Some),
                None => Ok(None),
            }
        };
        match (class, schema) {
            ("DType", ValueSchema::Tensor { dtype, .. }) => {
                *dtype = argument(0, "dtype")?.and_then(|name| name.as_text().map(str::to_owned));
            }
            ("Shape", ValueSchema::Tensor { shape, .. }) => {
                *shape = argument(0, "dimensions")?.and_then(|shape| shape.integers());
            }
            ("DataframeSchema", ValueSchema::Dataframe { orient, columns }) => {
                if let Some(Literal::Text(text)) = argument(0, "orient")? {
                    *orient = text;
                }
                *columns = argument(1, "columns")?.and_then(|columns| columns.texts());
            }
            ("ContentType", ValueSchema::File { content_type, .. }) => {
                *content_type = argument(0, "content_type")?.and_then(|name| name.as_text().map(str::to_owned));
            }
            _ => {}
        }
        Ok(())
    }

    fn fail(&self, expression: &Expr, problem: &str) -> ServiceError {
        self.modules.source(self.module).error(expression, format!("this annotation {problem}"))
    }
}

fn tensor() -> ValueSchema {
    ValueSchema::Tensor { format: "numpy-array".to_owned(), dtype: None, shape: None }
}

/// The type with this full path.
fn plain(path: &str) -> Option<ValueSchema> {
    let file =
        |format: Option<&str>, pil| ValueSchema::File { format: format.map(str::to_owned), content_type: None, pil };
    Some(match path {
        "numpy.ndarray" => tensor(),
        "torch.Tensor" => ValueSchema::Tensor { format: "torch-tensor".to_owned(), dtype: None, shape: None },
        "tensorflow.Tensor" => ValueSchema::Tensor { format: "tf-tensor".to_owned(), dtype: None, shape: None },
        "pandas.DataFrame" | "pandas.core.frame.DataFrame" => {
            ValueSchema::Dataframe { orient: "records".to_owned(), columns: None }
        }
        "pandas.Series" => ValueSchema::Series,
        "pathlib.Path" => file(None, false),
        "PIL.Image.Image" => file(Some("image"), true),
        "builtins.float" => ValueSchema::Number,
        "builtins.int" => ValueSchema::Integer,
        "builtins.bool" => ValueSchema::Boolean,
        "builtins.str" => ValueSchema::Text,
        "builtins.list" | "typing.List" => ValueSchema::List(Box::new(ValueSchema::Any)),
        "builtins.dict" | "typing.Dict" | "typing.Any" | "builtins.object" | "builtins.tuple" => ValueSchema::Any,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::{schema, tensor};
    use crate::bundle::ValueSchema;
    use crate::service::modules::{Modules, program_of};

    fn read(annotation: &str) -> Result<ValueSchema, String> {
        let head = "import numpy as np, pandas as pd, typing as t\nfrom PIL.Image import Image\nfrom bentoml.validators import DType, Shape as S, DataframeSchema\n";
        let program = program_of(&[("s.py", &format!("{head}{annotation}\n"))]).unwrap();
        let modules = Modules::of(&program);
        let body = &modules.source(Modules::ENTRY).syntax().body;
        let expression = &body.last().unwrap().as_expr_stmt().unwrap().value;
        schema(&modules, Modules::ENTRY, expression).map_err(|error| error.to_string())
    }

    #[test]
    fn tensors_and_frames() {
        let typed = ValueSchema::Tensor {
            format: "numpy-array".into(),
            dtype: Some("float64".into()),
            shape: Some(vec![-1, 4]),
        };
        assert_eq!(read("t.Annotated[np.ndarray, DType('float64'), S((-1, 4))]"), Ok(typed));
        let frame = |columns| Ok(ValueSchema::Dataframe { orient: "columns".into(), columns });
        assert_eq!(
            read("t.Annotated[pd.DataFrame, DataframeSchema('columns', ['b', 'a'])]"),
            frame(Some(vec!["b".into(), "a".into()]))
        );
        assert_eq!(read("t.Annotated[pd.DataFrame, DataframeSchema(orient='columns')]"), frame(None));
        let single = ValueSchema::Tensor { format: "numpy-array".into(), dtype: Some("float32".into()), shape: None };
        assert_eq!(read("np.typing.NDArray[np.float32]"), Ok(single.clone()));
        assert_eq!(read("np.ndarray[t.Any, np.dtype[np.float32]]"), Ok(single));
        assert_eq!(read("'np.ndarray'"), Ok(tensor()));
        assert_eq!(
            read("Image"),
            Ok(ValueSchema::File { format: Some("image".into()), content_type: None, pil: true })
        );
    }

    #[test]
    fn scalars_lists_and_options() {
        assert_eq!(read("float"), Ok(ValueSchema::Number));
        assert_eq!(read("t.Optional[int]"), Ok(ValueSchema::Integer));
        assert_eq!(read("bool | None"), Ok(ValueSchema::Boolean));
        assert_eq!(
            read("t.List[list[str]]"),
            Ok(ValueSchema::List(Box::new(ValueSchema::List(Box::new(ValueSchema::Text)))))
        );
        assert_eq!(read("int | str"), Ok(ValueSchema::Any));
    }

    #[test]
    fn others_are_refused_with_their_place() {
        for (annotation, part) in [
            ("socket", "not defined"),
            ("np.random.rand", "no type"),
            ("t.Set[int]", "no generic"),
            ("f()", "no type"),
            ("'x y'", "quotes"),
        ] {
            let error = read(annotation).unwrap_err();
            assert!(error.starts_with("s.py:4:") && error.contains(part), "{annotation}: {error}");
        }
        let deep = "list[".repeat(40) + "int" + &"]".repeat(40);
        assert!(read(&deep).unwrap_err().contains("nested too deeply"));
    }
}
