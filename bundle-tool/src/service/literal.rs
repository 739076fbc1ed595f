//! Constant Python values: arguments of decorators, adapters and validators.

use ruff_python_ast::{Expr, Number, UnaryOp};

use super::error::ServiceError;
use super::modules::{Meaning, ModuleId, Modules};

/// Levels of values in values, names followed included.
const MAX_DEPTH: usize = 64;
/// Values that one literal may hold, names followed included.
const MAX_VALUES: usize = 100_000;

/// A constant value.
#[derive(Debug, Clone, PartialEq)]
pub enum Literal {
    /// `None`.
    None,
    /// `True` or `False`.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A float.
    Float(f64),
    /// A text.
    Text(String),
    /// A list, or a set in the order it is written.
    List(Vec<Literal>),
    /// A tuple.
    Tuple(Vec<Literal>),
    /// A dict, in the order it is written.
    Dict(Vec<(Literal, Literal)>),
    /// Something outside of the bento, by its full path: `numpy.float32`.
    Path(String),
}

impl Literal {
    /// The text, if it is one.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Literal::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The values of a list or tuple.
    pub fn items(&self) -> Option<&[Literal]> {
        match self {
            Literal::List(items) | Literal::Tuple(items) => Some(items),
            _ => None,
        }
    }

    /// The texts of a list or tuple of texts.
    pub fn texts(&self) -> Option<Vec<String>> {
        self.items()?.iter().map(|item| item.as_text().map(str::to_owned)).collect()
    }

    /// The integers of a list or tuple of integers.
    pub fn integers(&self) -> Option<Vec<i64>> {
        let integer = |item: &Literal| match item {
            Literal::Int(value) => Some(*value),
            _ => None,
        };
        self.items()?.iter().map(integer).collect()
    }
}

/// The constant value of `expression`; names of constants in the bento's modules are followed.
///
/// # Errors
/// Anything that must be run to be known.
pub(super) fn literal(modules: &Modules<'_>, module: ModuleId, expression: &Expr) -> Result<Literal, ServiceError> {
    Reading { modules, values: 0 }.value(module, expression, 0)
}

struct Reading<'m, 'a> {
    modules: &'m Modules<'a>,
    values: usize,
}

impl Reading<'_, '_> {
    fn value(&mut self, module: ModuleId, expression: &Expr, depth: usize) -> Result<Literal, ServiceError> {
        self.values += 1;
        if depth > MAX_DEPTH || self.values > MAX_VALUES {
            return Err(self.fail(module, expression, "is nested too deeply, or too large, for a constant"));
        }
        Ok(match expression {
            Expr::NoneLiteral(_) => Literal::None,
            Expr::BooleanLiteral(literal) => Literal::Bool(literal.value),
            Expr::StringLiteral(literal) => Literal::Text(literal.value.to_str().to_owned()),
            Expr::NumberLiteral(literal) => match &literal.value {
                Number::Int(value) => match value.as_i64() {
                    Some(value) => Literal::Int(value),
                    None => return Err(self.fail(module, expression, "does not fit into 64 bits")),
                },
                Number::Float(value) => Literal::Float(*value),
                Number::Complex { .. } => {
                    return Err(self.fail(module, expression, "is a complex number"));
                }
            },
            Expr::UnaryOp(unary) if unary.op == UnaryOp::USub => {
                match self.value(module, &unary.operand, depth + 1)? {
                    // The magnitude of a literal is below 2^63, so its negative exists.
                    Literal::Int(value) => Literal::Int(-value),
                    Literal::Float(value) => Literal::Float(-value),
                    _ => return Err(self.fail(module, expression, "is no number")),
                }
            }
            Expr::List(list) => Literal::List(self.values(module, &list.elts, depth)?),
            Expr::Set(set) => Literal::List(self.values(module, &set.elts, depth)?),
            Expr::Tuple(tuple) => Literal::Tuple(self.values(module, &tuple.elts, depth)?),
            Expr::Dict(dict) => {
                let mut entries = Vec::new();
                for item in &dict.items {
                    let Some(key) = &item.key else {
                        return Err(self.fail(module, expression, "unpacks another dict"));
                    };
                    let key = self.value(module, key, depth + 1)?;
                    entries.push((key, self.value(module, &item.value, depth + 1)?));
                }
                Literal::Dict(entries)
            }
            Expr::Name(_) | Expr::Attribute(_) => match self.modules.resolve(module, expression)? {
                Some(Meaning::Value(inner, value)) => self.value(inner, value, depth + 1)?,
                Some(Meaning::Outside(path)) => Literal::Path(path),
                Some(Meaning::Function(inner, function)) => {
                    let file = &self.modules.source(inner).name;
                    let problem = format!("is the function `{}` of {file} and no constant", function.name);
                    return Err(self.fail(module, expression, &problem));
                }
                _ => return Err(self.fail(module, expression, "is no constant")),
            },
            _ => return Err(self.fail(module, expression, "is no constant; write its value")),
        })
    }

    fn values(&mut self, module: ModuleId, items: &[Expr], depth: usize) -> Result<Vec<Literal>, ServiceError> {
        items.iter().map(|item| self.value(module, item, depth + 1)).collect()
    }

    fn fail(&self, module: ModuleId, expression: &Expr, problem: &str) -> ServiceError {
        self.modules.source(module).error(expression, format!("this {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::{Literal, literal};
    use crate::service::modules::{Modules, program_of};

    /// The value that the last statement of a file assigns.
    fn read(text: &str) -> Result<Literal, String> {
        let program = program_of(&[("s.py", text)]).unwrap();
        let modules = Modules::of(&program);
        let body = &modules.source(Modules::ENTRY).syntax().body;
        let expression = &body.last().unwrap().as_assign_stmt().unwrap().value;
        literal(&modules, Modules::ENTRY, expression).map_err(|error| error.to_string())
    }

    #[test]
    fn constants() {
        let text = |text: &str| Literal::Text(text.to_owned());
        let expected = Literal::List(vec![
            Literal::Int(-1),
            Literal::Float(2.5),
            text("ab"),
            Literal::Tuple(vec![Literal::None, Literal::Bool(true)]),
            Literal::Dict(vec![(text("k"), Literal::Path("numpy.float32".to_owned()))]),
            text("v"),
        ]);
        assert_eq!(
            read("import numpy as np\nK = 'v'\nX = [-1, 2.5, 'a' 'b', (None, True), {'k': np.float32}, K]").as_ref(),
            Ok(&expected)
        );
    }

    #[test]
    fn what_must_run_is_refused() {
        for text in
            ["f()", "1 + 1", "10 ** 9", "99999999999999999999", "1j", "[x for x in 'a']", "{**{}}", "-'a'", "f'{1}'"]
        {
            let error = read(&format!("def f(): pass\nX = {text}")).unwrap_err();
            assert!(error.starts_with("s.py:2:"), "{text}: {error}");
        }
        let error = read("def f(): pass\nX = f").unwrap_err();
        assert!(error.contains("the function `f` of s.py"), "{error}");
        let error = read("A = B\nB = A\nX = [A]").unwrap_err();
        assert!(error.contains("nested too deeply"), "{error}");
        let bomb = "A = ['x'] \nB = [A, A, A, A, A, A, A, A, A, A, A, A]\nC = [B, B, B, B, B, B, B, B, B, B, B, B]\n\
                    D = [C, C, C, C, C, C, C, C, C, C, C, C]\nE = [D, D, D, D, D, D, D, D, D, D, D, D]\n\
                    F = [E, E, E, E, E, E, E, E, E, E, E, E]\nX = F";
        assert!(read(bomb).unwrap_err().contains("too large"));
    }
}
