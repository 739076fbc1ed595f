//! Functions of numpy as transformers.
//!
//! Only functions of single numbers are read, by their names; nothing is imported or called.

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::select::Select;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};

use super::normalizer::features_or_any;
use super::transformer::in_f64;
use super::{Estimator, Family, Features, Method, Needs, unsupported};
use crate::frontend::FrontendError;
use crate::frontend::pickle::{Item, Printable};
use crate::graph::{Graph, TensorId};

/// `FunctionTransformer`.
pub(super) const FAMILY: Family = Family {
    classes: &["sklearn.preprocessing._function_transformer.FunctionTransformer"],
    carried: CARRIED,
    decode: |item| Ok(Box::new(FunctionTransformer::decode(item)?)),
};

/// What to do with a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Function {
    /// A function of one number.
    Unary(UnaryKind),
    /// The number times a constant.
    Times(f64),
    /// The nearest integer, of halves the even one, of the number times a power of ten, divided by that power again.
    Round(f64),
    /// The number within bounds.
    Clip(f64, f64),
    /// Numbers instead of NaN, plus infinity and minus infinity.
    Finite {
        /// Instead of NaN.
        nan: f64,
        /// Instead of plus infinity.
        high: f64,
        /// Instead of minus infinity.
        low: f64,
    },
}

macro_rules! functions {
    ($($name:literal => $function:expr,)*) => {
        /// Names of numpy's functions of one number.
        const FUNCTIONS: &[(&str, Function)] = &[$(($name, $function),)*];

        /// The globals that name them: in the modules that releases of numpy give them.
        const CARRIED: &[&str] = &[
            "numpy.core._ufunc_reconstruct",
            "numpy._core._ufunc_reconstruct",
            "numpy.clip",
            "numpy.core.fromnumeric.clip",
            "numpy.nan_to_num",
            "numpy.lib.type_check.nan_to_num",
            "numpy.round",
            "numpy.round_",
            "numpy.around",
            "numpy.core.fromnumeric.round_",
            "numpy.core.fromnumeric.round",
            "numpy.core.fromnumeric.around",
            $(
                concat!("numpy.", $name),
                concat!("numpy.core._multiarray_umath.", $name),
                concat!("numpy._core._multiarray_umath.", $name),
                concat!("numpy.core.umath.", $name),
                concat!("numpy._core.umath.", $name),
            )*
        ];
    };
}

functions! {
    "abs" => Function::Unary(UnaryKind::Abs),
    "absolute" => Function::Unary(UnaryKind::Abs),
    "arccos" => Function::Unary(UnaryKind::Acos),
    "arccosh" => Function::Unary(UnaryKind::Acosh),
    "arcsin" => Function::Unary(UnaryKind::Asin),
    "arcsinh" => Function::Unary(UnaryKind::Asinh),
    "arctan" => Function::Unary(UnaryKind::Atan),
    "arctanh" => Function::Unary(UnaryKind::Atanh),
    "cbrt" => Function::Unary(UnaryKind::Cbrt),
    "ceil" => Function::Unary(UnaryKind::Ceil),
    "cos" => Function::Unary(UnaryKind::Cos),
    "cosh" => Function::Unary(UnaryKind::Cosh),
    "deg2rad" => Function::Times(std::f64::consts::PI / 180.0),
    "degrees" => Function::Times(180.0 / std::f64::consts::PI),
    "exp" => Function::Unary(UnaryKind::Exp),
    "exp2" => Function::Unary(UnaryKind::Exp2),
    "expm1" => Function::Unary(UnaryKind::Expm1),
    "fabs" => Function::Unary(UnaryKind::Abs),
    "floor" => Function::Unary(UnaryKind::Floor),
    "log" => Function::Unary(UnaryKind::Log),
    "log10" => Function::Unary(UnaryKind::Log10),
    "log1p" => Function::Unary(UnaryKind::Log1p),
    "log2" => Function::Unary(UnaryKind::Log2),
    "negative" => Function::Unary(UnaryKind::Neg),
    "positive" => Function::Unary(UnaryKind::Identity),
    "rad2deg" => Function::Times(180.0 / std::f64::consts::PI),
    "radians" => Function::Times(std::f64::consts::PI / 180.0),
    "reciprocal" => Function::Unary(UnaryKind::Reciprocal),
    "rint" => Function::Unary(UnaryKind::Round),
    "sign" => Function::Unary(UnaryKind::Sign),
    "sin" => Function::Unary(UnaryKind::Sin),
    "sinh" => Function::Unary(UnaryKind::Sinh),
    "sqrt" => Function::Unary(UnaryKind::Sqrt),
    "square" => Function::Unary(UnaryKind::Square),
    "tan" => Function::Unary(UnaryKind::Tan),
    "tanh" => Function::Unary(UnaryKind::Tanh),
    "trunc" => Function::Unary(UnaryKind::Trunc),
}

/// Why a function is refused.
const NOT_A_FUNCTION: &str = "only numpy's functions of one number (numpy.log1p, numpy.sqrt, …), numpy.clip, numpy.round and numpy.nan_to_num \
                              are read; nothing was executed. Use one of them, or compute this before the model is called";

/// A function of each number, and its inverse; `None` hands everything on.
#[derive(Debug, Clone, PartialEq)]
pub struct FunctionTransformer {
    /// Columns of the input; 0 for any number of them, where the file does not say.
    pub features: usize,
    /// `func`.
    pub function: Option<Function>,
    /// `inverse_func`; an error where it is not read, as it may never be asked for.
    pub inverse: Result<Option<Function>, String>,
}

impl FunctionTransformer {
    fn decode(item: &Item<'_>) -> Result<FunctionTransformer, FrontendError> {
        let function = Function::decode(&item.get("func")?, &item.get("kw_args")?)?;
        let inverse = Function::decode(&item.get("inverse_func")?, &item.get("inv_kw_args")?);
        Ok(FunctionTransformer {
            features: features_or_any(item)?,
            function,
            inverse: inverse.map_err(|error| error.to_string()),
        })
    }
}

impl Function {
    /// Decodes a function and its keyword arguments.
    fn decode(item: &Item<'_>, keywords: &Item<'_>) -> Result<Option<Function>, FrontendError> {
        if item.is_none() {
            return Ok(None);
        }
        let refused = |name: &str| FrontendError::unsupported(item.path(), Printable(name).to_string(), NOT_A_FUNCTION);
        // Old releases of numpy write functions as calls with a module and a name.
        let name = match item.as_global() {
            Ok(name) => name.to_owned(),
            Err(_) if item.class().is_ok_and(|class| class.ends_with("._ufunc_reconstruct")) => {
                format!("{}.{}", item.argument(0)?.as_str()?, item.argument(1)?.as_str()?)
            }
            Err(_) => return Err(refused(item.class().unwrap_or("a function that the file makes"))),
        };
        let short = match name.rsplit_once('.') {
            Some((module, short)) if module == "numpy" || module.starts_with("numpy.") => short,
            _ => return Err(refused(&name)),
        };
        let mut arguments = Vec::new();
        if !keywords.is_none() {
            for (key, value) in keywords.entries()? {
                arguments.push((key.as_str()?, value));
            }
        }
        let known = |wanted: &[&str]| match arguments.iter().find(|(key, _)| !wanted.contains(key)) {
            Some((key, value)) => Err(unsupported(value, format!("the argument {key:?} of {short} is not read"))),
            None => Ok(()),
        };
        let number = |name: &[&str], default: f64| {
            let given = arguments.iter().find(|(key, value)| name.contains(key) && !value.is_none());
            given.map_or(Ok(default), |(_, value)| value.as_f64().map_err(FrontendError::from))
        };
        let function = match short {
            "clip" => {
                known(&["a_min", "a_max", "min", "max"])?;
                let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
                Function::Clip(number(&["a_min", "min"], low)?, number(&["a_max", "max"], high)?)
            }
            "round" | "round_" | "around" => {
                known(&["decimals"])?;
                let decimals = number(&["decimals"], 0.0)?;
                if !(0.0..=22.0).contains(&decimals) || decimals.fract() != 0.0 {
                    return Err(unsupported(keywords, "decimals other than 0 to 22 are not read"));
                }
                Function::Round(10f64.powi(decimals as i32))
            }
            "nan_to_num" => {
                known(&["copy", "nan", "posinf", "neginf"])?;
                Function::Finite {
                    nan: number(&["nan"], 0.0)?,
                    high: number(&["posinf"], f64::MAX)?,
                    low: number(&["neginf"], f64::MIN)?,
                }
            }
            _ => {
                known(&[])?;
                let found = FUNCTIONS.iter().find(|(name, _)| *name == short);
                found.map(|(_, function)| *function).ok_or_else(|| refused(&name))?
            }
        };
        Ok(Some(function))
    }

    fn lower(self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        let name = format!("{path}/func");
        let unary = |kind, (alpha, beta)| Unary { kind, alpha, beta };
        in_f64(graph, path, x, |graph, x| {
            Ok(match self {
                Function::Unary(kind) => graph.add(&name, unary(kind, (0.0, 0.0)), &[x])?,
                Function::Clip(low, high) => graph.add(&name, unary(UnaryKind::Clip, (low, high)), &[x])?,
                Function::Times(factor) => {
                    let factor = graph.add_constant(&name, DType::F64, &[1], &[factor])?;
                    graph.add(&name, Binary { kind: BinaryKind::Mul }, &[x, factor])?
                }
                Function::Round(power) => {
                    let power = graph.add_constant(&name, DType::F64, &[1], &[power])?;
                    let x = graph.add(&name, Binary { kind: BinaryKind::Mul }, &[x, power])?;
                    let x = graph.add(&name, Unary::of(UnaryKind::Round), &[x])?;
                    graph.add(&name, Binary { kind: BinaryKind::Div }, &[x, power])?
                }
                Function::Finite { nan, high, low } => {
                    let mut y = x;
                    let equal = Compare { kind: CompareKind::Equal };
                    for (odd, instead) in [(f64::INFINITY, high), (f64::NEG_INFINITY, low)] {
                        let odd = graph.add_constant(&name, DType::F64, &[1], &[odd])?;
                        let instead = graph.add_constant(&name, DType::F64, &[1], &[instead])?;
                        let is_odd = graph.add(&name, equal, &[x, odd])?;
                        y = graph.add(&name, Select, &[is_odd, instead, y])?;
                    }
                    let nan = graph.add_constant(&name, DType::F64, &[1], &[nan])?;
                    let is_number = graph.add(&name, equal, &[x, x])?;
                    graph.add(&name, Select, &[is_number, y, nan])?
                }
            })
        })
    }
}

impl Estimator for FunctionTransformer {
    fn features(&self) -> usize {
        self.features
    }

    fn methods(&self) -> &'static [Method] {
        &[Method::Transform]
    }

    fn transformed(&self) -> Option<usize> {
        Some(self.features)
    }

    fn lower(
        &self,
        graph: &mut Graph,
        path: &str,
        _method: Method,
        x: &Features,
    ) -> Result<Vec<TensorId>, FrontendError> {
        let x = x.matrix(graph, path)?;
        match self.function {
            Some(function) => Ok(vec![function.lower(graph, path, x)?]),
            None => Ok(vec![x]),
        }
    }

    fn transform(&self, graph: &mut Graph, path: &str, x: &Features) -> Result<Features, FrontendError> {
        match self.function {
            Some(_) => Ok(Features::of(self.lower(graph, path, Method::Transform, x)?[0])),
            None => Ok(x.clone()),
        }
    }

    fn needs(&self, _path: &str, after: &Needs) -> Result<Needs, FrontendError> {
        Ok(if self.function.is_some() { Needs::Numbers } else { after.clone() })
    }

    fn lower_inverse(&self, graph: &mut Graph, path: &str, x: TensorId) -> Result<TensorId, FrontendError> {
        match &self.inverse {
            Ok(Some(function)) => function.lower(graph, path, x),
            Ok(None) => Ok(x),
            Err(reason) => Err(FrontendError::unsupported(path, "inverse_transform", reason.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frontend::pickle::Limits;

    /// A pickle of a transformer whose function is the opcodes `function`, with keyword arguments.
    fn transformer(function: &[u8], keywords: &[u8]) -> Result<Box<dyn Estimator>, FrontendError> {
        let head = b"\x80\x04csklearn.preprocessing._function_transformer\nFunctionTransformer\n)\x81}(";
        let parts: [&[u8]; 6] = [
            head,
            b"\x8c\x04func",
            function,
            b"\x8c\x07kw_args",
            keywords,
            b"\x8c\x0cinverse_funcN\x8c\x0binv_kw_argsN\x8c\x0en_features_in_K\x02ub.",
        ];
        super::super::read(&parts.concat(), &Limits::default())
    }

    #[test]
    fn functions_of_numpy_are_known_by_any_of_their_names() {
        for name in ["cnumpy\nlog1p\n", "cnumpy.core._multiarray_umath\nlog1p\n", "cnumpy\nround_\n"] {
            assert_eq!(transformer(name.as_bytes(), b"N").unwrap().transformed(), Some(2), "{name}");
        }
        let old = b"cnumpy.core\n_ufunc_reconstruct\n\x8c\x1cnumpy.core._multiarray_umath\x8c\x05log1p\x86R";
        assert!(transformer(old, b"N").is_ok());
    }

    #[test]
    fn other_functions_and_arguments_are_refused_by_name() {
        let error = transformer(b"cmine\nhelper\n", b"N").unwrap_err().to_string();
        assert!(
            error.starts_with("unsupported:\n  func (mine.helper): only numpy's functions of one number"),
            "{error}"
        );
        assert!(!error.contains("\n  byte"), "{error}");
        let error = transformer(b"cnumpy\nlog1p\n", b"}\x8c\x05whereN\x73").unwrap_err().to_string();
        assert!(error.contains("the argument \"where\" of log1p is not read"), "{error}");
    }
}
