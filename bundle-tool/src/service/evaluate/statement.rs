//! Statements.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::{Expr, Stmt, StmtFunctionDef, StmtIf};
use ruff_text_size::Ranged;

use super::super::modules::ModuleId;
use super::{Evaluated, Evaluator, Index, Place, Scope, Stop, Value};

/// How a block ends.
enum Flow<'a> {
    /// At its end.
    Next,
    /// With a value.
    Return(Value<'a>),
}

impl<'a> Evaluator<'_, 'a> {
    /// The value that a function returns that is called at `place`.
    pub(super) fn body(
        &mut self,
        place: Place,
        function: &'a StmtFunctionDef,
        module: ModuleId,
        locals: HashMap<&'a str, Value<'a>>,
        constructs: bool,
    ) -> Evaluated<'a> {
        if function.is_async {
            return self.fail(place, "an `async` function is not evaluated. Write it with plain `def`");
        }
        let flow =
            self.inside(place, Scope { module, locals, constructs }, |evaluator| evaluator.statements(&function.body))?;
        Ok(match flow {
            Flow::Return(value) => value,
            Flow::Next => Value::None,
        })
    }

    fn statements(&mut self, body: &'a [Stmt]) -> Result<Flow<'a>, Stop> {
        for statement in body {
            if let Flow::Return(value) = self.statement(statement)? {
                return Ok(Flow::Return(value));
            }
        }
        Ok(Flow::Next)
    }

    fn statement(&mut self, statement: &'a Stmt) -> Result<Flow<'a>, Stop> {
        let place = self.place(statement);
        self.nested(place, |evaluator| evaluator.executed(statement))
    }

    fn executed(&mut self, statement: &'a Stmt) -> Result<Flow<'a>, Stop> {
        match statement {
            Stmt::Return(stmt) => {
                let value = stmt.value.as_deref().map(|value| self.expression(value)).transpose()?;
                return Ok(Flow::Return(value.unwrap_or(Value::None)));
            }
            Stmt::Assign(stmt) => {
                let value = self.expression(&stmt.value)?;
                for target in &stmt.targets {
                    self.assign(target, value.clone())?;
                }
            }
            Stmt::AnnAssign(stmt) => {
                if let Some(value) = &stmt.value {
                    let value = self.expression(value)?;
                    self.assign(&stmt.target, value)?;
                }
            }
            Stmt::AugAssign(stmt) => {
                let Expr::Name(_) = &*stmt.target else {
                    return self.fail_at(statement, "only a name is changed in place. Assign the result to a new name");
                };
                let left = self.expression(&stmt.target)?;
                let right = self.expression(&stmt.value)?;
                let place = self.place(statement);
                let value = self.binary(stmt.op, left, right, place)?;
                self.assign(&stmt.target, value)?;
            }
            Stmt::If(stmt) => return self.condition(stmt),
            Stmt::Import(_) | Stmt::ImportFrom(_) => self.import(statement)?,
            Stmt::Pass(_) => {}
            Stmt::Expr(stmt) => self.bare(statement, &stmt.value)?,
            other => return self.fail_at(other, refusal(other)),
        }
        Ok(Flow::Next)
    }

    /// A statement that is an expression: a text documents, anything else would be done for its effect.
    fn bare(&mut self, statement: &'a Stmt, expression: &'a Expr) -> Result<(), Stop> {
        if expression.is_string_literal_expr() || expression.is_ellipsis_literal_expr() {
            return Ok(());
        }
        // An expression that is not understood says more about itself than its effect does.
        self.expression(expression)?;
        self.fail_at(
            statement,
            "the value of this statement is not used, and an effect (printing, logging, changing a list) cannot be \
             compiled. Remove it",
        )
    }

    fn condition(&mut self, stmt: &'a StmtIf) -> Result<Flow<'a>, Stop> {
        let clauses = stmt.elif_else_clauses.iter().map(|clause| (clause.test.as_ref(), &clause.body));
        for (test, body) in std::iter::once((Some(&*stmt.test), &stmt.body)).chain(clauses) {
            let Some(test) = test else {
                return self.statements(body);
            };
            let value = self.expression(test)?;
            match value.truth() {
                Some(true) => return self.statements(body),
                Some(false) => {}
                None => {
                    let problem = format!(
                        "this condition depends on the request ({}); one plan serves all requests",
                        value.describe()
                    );
                    return self.fail_at(test, problem);
                }
            }
        }
        Ok(Flow::Next)
    }

    /// Gives a target of an assignment its value.
    pub(super) fn assign(&mut self, target: &'a Expr, value: Value<'a>) -> Result<(), Stop> {
        match target {
            Expr::Name(name) => {
                self.scope().locals.insert(name.id.as_str(), value);
                Ok(())
            }
            Expr::Tuple(tuple) => self.unpack(target, &tuple.elts, &value),
            Expr::List(list) => self.unpack(target, &list.elts, &value),
            Expr::Attribute(attribute) => {
                let owner = self.expression(&attribute.value)?;
                match owner {
                    Value::Service if self.scope().constructs => {
                        self.attributes.insert(attribute.attr.as_str(), value);
                        Ok(())
                    }
                    Value::Service => self.fail_at(
                        target,
                        "an attribute of the service changes from request to request; only `__init__` may assign one",
                    ),
                    other => self.fail_at(target, format!("an attribute of {} is not assigned", other.describe())),
                }
            }
            other => self.fail_at(other, "only names, and tuples of names, are assigned. Make a new value instead"),
        }
    }

    /// Gives each of `targets` its part of `value`.
    fn unpack(&mut self, place: &'a Expr, targets: &'a [Expr], value: &Value<'a>) -> Result<(), Stop> {
        let parts: Vec<Value<'a>> = match value {
            Value::List(items) | Value::Tuple(items) => items.to_vec(),
            Value::Array(array) => {
                let Some(&axis) = array.axes(&self.graph).first() else {
                    return self.fail_at(place, "a number cannot be unpacked");
                };
                match array.extent(&self.graph, axis) {
                    (length, false) if length == targets.len() => (0..length)
                        .map(|position| Value::Array(array.with_index(axis, Index::At(position as u32))))
                        .collect(),
                    (_, true) => {
                        return self.fail_at(place, "rows cannot be unpacked: their number depends on the request");
                    }
                    (length, false) => {
                        return self
                            .fail_at(place, format!("{length} values are unpacked into {} names", targets.len()));
                    }
                }
            }
            other => return self.fail_at(place, format!("{} is not unpacked", other.describe())),
        };
        if parts.len() != targets.len() {
            return self.fail_at(place, format!("{} values are unpacked into {} names", parts.len(), targets.len()));
        }
        targets.iter().zip(parts).try_for_each(|(target, part)| self.assign(target, part))
    }

    /// An import in a function binds names as one at the top of the module does.
    fn import(&mut self, statement: &'a Stmt) -> Result<(), Stop> {
        let module = self.module();
        let bound = self.class.modules.local_imports(module, statement)?;
        let place = self.place(statement);
        for (name, meaning) in bound {
            let value = self.meaning(place, meaning)?;
            self.scope().locals.insert(name, value);
        }
        Ok(())
    }

    /// What a function of the bento returns, `receiver` standing before the arguments of a method.
    pub(super) fn call_function(
        &mut self,
        module: ModuleId,
        function: &'a StmtFunctionDef,
        receiver: Option<Value<'a>>,
        call: &super::Call<'a>,
    ) -> Evaluated<'a> {
        if let Some(decorator) = function.decorator_list.first() {
            return self.fail(Place { module, range: decorator.range() }, "a decorated function is not evaluated");
        }
        let parameters = &function.parameters;
        if let Some(variadic) = parameters.vararg.as_ref().or(parameters.kwarg.as_ref()) {
            return self.fail(Place { module, range: variadic.range() }, "`*` and `**` parameters are not evaluated");
        }
        let positional = receiver.into_iter().chain(call.positional.iter().map(|(value, _)| value.clone()));
        let mut values: Vec<Value<'a>> = positional.collect();
        let mut locals = HashMap::new();
        let allowed = parameters.posonlyargs.len() + parameters.args.len();
        if values.len() > allowed {
            return self.fail(call.place, format!("`{}` takes {allowed} arguments by position", function.name));
        }
        let mut given = values.drain(..);
        let mut used = 0;
        for parameter in parameters.iter_non_variadic_params() {
            let name = parameter.parameter.name.as_str();
            let keyword = call.keywords.iter().find(|(keyword, ..)| *keyword == name);
            let value = match (given.next(), keyword, parameter.default.as_deref()) {
                (Some(value), None, _) => value,
                (None, Some((_, value, _)), _) => {
                    used += 1;
                    value.clone()
                }
                (None, None, Some(default)) => {
                    self.evaluate_in(Place { module, range: default.range() }, module, default)?
                }
                _ => return self.fail(call.place, format!("`{}` needs one value for `{name}`", function.name)),
            };
            locals.insert(name, value);
        }
        drop(given);
        if used != call.keywords.len() {
            return self.fail(call.place, format!("`{}` has no parameter of one of these names", function.name));
        }
        self.body(call.place, function, module, locals, false)
    }

    /// A list whose items are known.
    pub(super) fn list(items: Vec<Value<'a>>) -> Value<'a> {
        Value::List(Rc::from(items))
    }
}

/// Why a kind of statement is not evaluated.
fn refusal(statement: &Stmt) -> &'static str {
    match statement {
        Stmt::While(_) => {
            "how often a `while` loop runs depends on the data; only comprehensions over rows are compiled"
        }
        Stmt::For(_) => "a `for` statement is not compiled. Write the loop as a comprehension",
        Stmt::With(_) => "a `with` statement acts on something outside of the request. Remove it",
        Stmt::Try(_) => {
            "exception handlers are not compiled: the compiled code raises no exceptions. Remove the handler"
        }
        Stmt::Global(_) | Stmt::Nonlocal(_) => "state outside of the request is not compiled. Remove it",
        Stmt::Raise(_) | Stmt::Assert(_) => "checks are not compiled. Remove it",
        Stmt::Delete(_) => "`del` is not compiled. Remove it",
        Stmt::FunctionDef(_) | Stmt::ClassDef(_) => {
            "functions and classes inside of a function are not read. Move it to the top of the module"
        }
        _ => "this statement is not compiled",
    }
}
