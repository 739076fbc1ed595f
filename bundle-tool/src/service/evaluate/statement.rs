//! Statements.

use std::collections::HashMap;
use std::rc::Rc;

use ekiben_runtime::ops::logic::LogicKind;
use ruff_python_ast::{Expr, Parameters, Stmt, StmtAugAssign, StmtFunctionDef, StmtIf};
use ruff_text_size::Ranged;

use super::super::modules::ModuleId;
use super::effect::Refusal;
use super::{Array, Callable, Evaluated, Evaluator, Index, Place, Scope, Stop, Value, YIELDED};

/// How a block ends.
pub(super) enum Flow<'a> {
    /// At its end.
    Next,
    /// With a value.
    Return(Value<'a>),
    /// With a value where the condition holds, and at its end elsewhere.
    Perhaps(Array, Value<'a>),
    /// Out of the innermost loop.
    Break,
    /// At the innermost loop's next item.
    Continue,
    /// With an error.
    Raise(Refusal),
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
        let scope = Scope::new(module, locals, constructs);
        let value = self.inside(place, scope, |evaluator| evaluator.function_body(&function.body, place))?;
        Ok(Self::returned(function, value))
    }

    /// What a call of a function gives whose statements return `value`.
    pub(super) fn returned(function: &StmtFunctionDef, value: Value<'a>) -> Value<'a> {
        if function.is_async { Value::Awaitable(Rc::new(value)) } else { value }
    }

    /// The value that the statements of a function return.
    pub(super) fn function_body(&mut self, body: &'a [Stmt], place: Place) -> Evaluated<'a> {
        match self.statements(body)? {
            Flow::Return(_) | Flow::Next if self.scope().locals.contains_key(YIELDED) => {
                Ok(self.scope().locals.get(YIELDED).cloned().unwrap_or(Value::None))
            }
            Flow::Perhaps(..) if self.scope().locals.contains_key(YIELDED) => {
                self.fail(place, "a stream that ends early for some requests is not compiled")
            }
            Flow::Return(value) => Ok(value),
            Flow::Next => Ok(Value::None),
            Flow::Perhaps(condition, value) => self.chosen(&condition, &value, &Value::None, place),
            Flow::Raise(refusal) => self.fail(refusal.place, "this error is raised for every request"),
            Flow::Break | Flow::Continue => self.fail(place, "`break` and `continue` stand in loops"),
        }
    }

    pub(super) fn statements(&mut self, body: &'a [Stmt]) -> Result<Flow<'a>, Stop> {
        for (at, statement) in body.iter().enumerate() {
            match self.statement(statement)? {
                Flow::Next => {}
                Flow::Perhaps(condition, value) => {
                    let place = self.place(statement);
                    let rest = self.statements(&body[at + 1..])?;
                    return self.after(condition, value, rest, place);
                }
                other => return Ok(other),
            }
        }
        Ok(Flow::Next)
    }

    /// How a block ends that returned `value` where `condition` holds and elsewhere went on to `rest`.
    fn after(&mut self, condition: Array, value: Value<'a>, rest: Flow<'a>, place: Place) -> Result<Flow<'a>, Stop> {
        Ok(match rest {
            Flow::Next => Flow::Perhaps(condition, value),
            Flow::Return(other) => Flow::Return(self.chosen(&condition, &value, &other, place)?),
            Flow::Perhaps(also, other) => {
                let value = self.chosen(&condition, &value, &other, place)?;
                Flow::Perhaps(self.logical(LogicKind::Or, &condition, &also, place)?, value)
            }
            Flow::Raise(refusal) => return self.unchecked(refusal),
            Flow::Break | Flow::Continue => {
                return self.fail(place, "whether a loop ends here depends on the request");
            }
        })
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
            Stmt::AugAssign(stmt) => self.augmented(statement, stmt)?,
            Stmt::If(stmt) => return self.condition(stmt),
            Stmt::For(stmt) => return self.for_loop(stmt),
            Stmt::With(stmt) => {
                for item in &stmt.items {
                    self.context(item)?;
                }
                return self.statements(&stmt.body);
            }
            Stmt::Break(_) => return Ok(Flow::Break),
            Stmt::Continue(_) => return Ok(Flow::Continue),
            Stmt::Raise(_) => return Ok(Flow::Raise(Refusal { place: self.place(statement) })),
            Stmt::Assert(stmt) => self.assertion(stmt)?,
            Stmt::FunctionDef(function) => {
                let closure = self.closure(Callable::Function(function));
                self.scope().locals.insert(function.name.as_str(), closure);
            }
            Stmt::Delete(stmt) => {
                for target in &stmt.targets {
                    let Expr::Name(name) = target else {
                        return self.fail_at(target, "only names are deleted");
                    };
                    self.scope().locals.insert(name.id.as_str(), Value::Unset);
                }
            }
            Stmt::Import(_) | Stmt::ImportFrom(_) => self.import(statement)?,
            Stmt::Pass(_) => {}
            Stmt::Expr(stmt) => self.bare(statement, &stmt.value)?,
            other => return self.fail_at(other, refusal(other)),
        }
        Ok(Flow::Next)
    }

    /// `target operator= value`.
    fn augmented(&mut self, statement: &'a Stmt, stmt: &'a StmtAugAssign) -> Result<(), Stop> {
        let place = self.place(statement);
        let left = self.expression(&stmt.target)?;
        let right = self.expression(&stmt.value)?;
        // What can be changed changes for every name that it has; numbers and texts are made new.
        let in_place = match &left {
            Value::Array(array) => !array.python && !array.axes(&self.graph).is_empty(),
            Value::List(_) | Value::Dict(_) | Value::Frame(_) => true,
            _ => false,
        };
        if let Expr::Name(name) = &*stmt.target
            && in_place
            && self.other_names(name.id.as_str(), &left)
        {
            let problem = "this changes a value in place that has another name too. Assign the result to a new name";
            return self.fail(place, problem);
        }
        let mut value = self.binary(stmt.op, left.clone(), right, place)?;
        if let (true, Value::Array(old), Value::Array(new)) = (in_place, &left, &value) {
            value = Value::Array(self.stored(old, new, place)?);
        }
        self.assign(&stmt.target, value)
    }

    /// What is left of `new` where it is written into the array `old`: the element type stays.
    fn stored(&mut self, old: &Array, new: &Array, place: Place) -> Result<Array, Stop> {
        let (from, to) = (new.dtype(&self.graph), old.dtype(&self.graph));
        if from.is_float() && !to.is_float() {
            return self.fail(
                place,
                format!("numpy does not store {from} in an array of {to}. Convert it with `astype` before"),
            );
        }
        Ok(new.with_tensor(self.cast(new.tensor, to, place)?))
    }

    fn condition(&mut self, stmt: &'a StmtIf) -> Result<Flow<'a>, Stop> {
        let clauses = stmt.elif_else_clauses.iter().map(|clause| (clause.test.as_ref(), &clause.body[..]));
        let clauses: Vec<_> = std::iter::once((Some(&*stmt.test), &stmt.body[..])).chain(clauses).collect();
        self.clauses(&clauses)
    }

    /// The first clause whose test holds; where that depends on the request, all that may, and the choice between them.
    fn clauses(&mut self, clauses: &[(Option<&'a Expr>, &'a [Stmt])]) -> Result<Flow<'a>, Stop> {
        let [(test, body), rest @ ..] = clauses else {
            return Ok(Flow::Next);
        };
        let Some(test) = test else {
            return self.statements(body);
        };
        let value = self.expression(test)?;
        match value.truth() {
            Some(true) => return self.statements(body),
            Some(false) => return self.clauses(rest),
            None => {}
        }
        if rest.is_empty() && Self::converts_if_needed(&value, body) {
            return self.statements(body);
        }
        let place = self.place(*test);
        let condition = self.condition_of(&value, place)?;
        let before = self.scope().locals.clone();
        // Where a number of the request is not `None`, it is one that is computed with.
        let guard = self.named_none_test(test);
        let open = guard.and_then(|(name, _)| before.get(name).cloned());
        let guarded = open.as_ref().map(|open| self.guarded(open, place)).transpose()?;
        let know = |evaluator: &mut Self, when: bool| {
            if let (Some((name, is_none)), Some(guarded)) = (guard, &guarded)
                && is_none != when
            {
                evaluator.scope().locals.insert(name, guarded.clone());
            }
        };
        know(self, true);
        let yes = self.statements(body)?;
        let mut after_yes = std::mem::replace(&mut self.scope().locals, before);
        know(self, false);
        let no = self.clauses(rest)?;
        if let (Some((name, _)), Some(open), Some(guarded)) = (guard, open, guarded)
            && matches!((&yes, &no), (Flow::Next, Flow::Next))
        {
            // After both ways it may be `None` again, unless one of them assigned it.
            for locals in [&mut after_yes, &mut self.scope().locals] {
                if locals.get(name).is_some_and(|value| value.equals(&guarded) == Some(true)) {
                    locals.insert(name, open.clone());
                }
            }
        }
        self.met(&condition, (yes, after_yes), no, place)
    }

    /// Puts two ways of the program together. The names of the second are those of the scope.
    fn met(
        &mut self,
        condition: &Array,
        (yes, after_yes): (Flow<'a>, HashMap<&'a str, Value<'a>>),
        no: Flow<'a>,
        place: Place,
    ) -> Result<Flow<'a>, Stop> {
        let elsewhere = self.negated(condition, place)?;
        Ok(match (yes, no) {
            (Flow::Next, Flow::Next) => {
                self.merge(condition, after_yes, place)?;
                Flow::Next
            }
            (Flow::Raise(refusal), _) | (_, Flow::Raise(refusal)) => return self.unchecked(refusal),
            (Flow::Return(a), no) => return self.after(condition.clone(), a, no, place),
            (Flow::Next, Flow::Return(b)) => {
                self.scope().locals = after_yes;
                Flow::Perhaps(elsewhere, b)
            }
            (Flow::Perhaps(inner, a), Flow::Return(b)) => {
                self.scope().locals = after_yes;
                let value = self.chosen(condition, &a, &b, place)?;
                Flow::Perhaps(self.logical(LogicKind::Or, &elsewhere, &inner, place)?, value)
            }
            (Flow::Perhaps(inner, a), Flow::Next) => {
                self.merge(condition, after_yes, place)?;
                Flow::Perhaps(self.logical(LogicKind::And, condition, &inner, place)?, a)
            }
            (Flow::Next, Flow::Perhaps(inner, b)) => {
                self.merge(condition, after_yes, place)?;
                Flow::Perhaps(self.logical(LogicKind::And, &elsewhere, &inner, place)?, b)
            }
            (Flow::Perhaps(first, a), Flow::Perhaps(second, b)) => {
                self.merge(condition, after_yes, place)?;
                let first = self.logical(LogicKind::And, condition, &first, place)?;
                let second = self.logical(LogicKind::And, &elsewhere, &second, place)?;
                let value = self.chosen(condition, &a, &b, place)?;
                Flow::Perhaps(self.logical(LogicKind::Or, &first, &second, place)?, value)
            }
            _ => return self.fail(place, "whether a loop ends here depends on the request"),
        })
    }

    /// Names that have another value after `yes`, where the condition holds, than in the scope: one chosen by it.
    fn merge(&mut self, condition: &Array, yes: HashMap<&'a str, Value<'a>>, place: Place) -> Result<(), Stop> {
        let no = self.scope().locals.clone();
        let mut names: Vec<&'a str> = yes.keys().chain(no.keys()).copied().collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let value = match (yes.get(name), no.get(name)) {
                (Some(a), Some(b)) if a.is_same(b) => continue,
                (Some(a), Some(b)) => match self.chosen(condition, a, b, place) {
                    Err(Stop::Error(_)) => Value::Unset,
                    other => other?,
                },
                _ => Value::Unset,
            };
            self.scope().locals.insert(name, value);
        }
        Ok(())
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
                    Value::Service(service) if self.scope().constructs => {
                        self.set_attribute(service, attribute.attr.as_str(), value);
                        Ok(())
                    }
                    Value::Service(_) => self.fail_at(
                        target,
                        "an attribute of the service changes from request to request; only `__init__` may assign one",
                    ),
                    other => self.fail_at(target, format!("an attribute of {} is not assigned", other.describe())),
                }
            }
            Expr::Subscript(subscript) => self.assign_item(subscript, value),
            other => {
                self.fail_at(other, "only names, tuples of names and items are assigned. Make a new value instead")
            }
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
        let mut bound = receiver;
        for decorator in &function.decorator_list {
            match &decorator.expression {
                Expr::Name(name) if matches!(name.id.as_str(), "staticmethod") => bound = None,
                _ => {
                    let place = Place { module, range: decorator.range() };
                    return self.fail(place, "a decorated function is not evaluated");
                }
            }
        }
        let locals = self.bound(module, &function.parameters, function.name.as_str(), bound, call)?;
        self.body(call.place, function, module, locals, false)
    }

    /// The names of a function's parameters with the values of a call.
    pub(super) fn bound(
        &mut self,
        module: ModuleId,
        parameters: &'a Parameters,
        name: &str,
        receiver: Option<Value<'a>>,
        call: &super::Call<'a>,
    ) -> Result<HashMap<&'a str, Value<'a>>, Stop> {
        let positional = receiver.into_iter().chain(call.positional.iter().map(|(value, _)| value.clone()));
        let mut values: Vec<Value<'a>> = positional.collect();
        let mut locals = HashMap::new();
        let allowed = parameters.posonlyargs.len() + parameters.args.len();
        let rest = values.split_off(values.len().min(allowed));
        match &parameters.vararg {
            Some(variadic) => {
                locals.insert(variadic.name.as_str(), Value::Tuple(rest.into()));
            }
            None if !rest.is_empty() => {
                return self.fail(call.place, format!("`{name}` takes {allowed} arguments by position"));
            }
            None => {}
        }
        let mut given = values.into_iter();
        let mut used: Vec<&str> = Vec::new();
        for parameter in parameters.iter_non_variadic_params() {
            let own = parameter.parameter.name.as_str();
            let keyword = call.keywords.iter().find(|(keyword, ..)| *keyword == own);
            let value = match (given.next(), keyword, parameter.default.as_deref()) {
                (Some(value), None, _) => value,
                (None, Some((keyword, value, _)), _) => {
                    used.push(keyword);
                    value.clone()
                }
                (None, None, Some(default)) => {
                    self.evaluate_in(Place { module, range: default.range() }, module, default)?
                }
                _ => return self.fail(call.place, format!("`{name}` needs one value for `{own}`")),
            };
            locals.insert(own, value);
        }
        let others = call.keywords.iter().filter(|(keyword, ..)| !used.contains(keyword));
        let others: Vec<_> =
            others.map(|(keyword, value, _)| (Value::Text((*keyword).into()), value.clone())).collect();
        match &parameters.kwarg {
            Some(variadic) => {
                locals.insert(variadic.name.as_str(), Value::Dict(others.into()));
            }
            None if !others.is_empty() => {
                return self.fail(call.place, format!("`{name}` has no parameter of one of these names"));
            }
            None => {}
        }
        Ok(locals)
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
        Stmt::Try(_) => {
            "exception handlers are not compiled: the compiled code raises no exceptions. Remove the handler"
        }
        Stmt::Global(_) | Stmt::Nonlocal(_) => "state outside of the request is not compiled. Remove it",
        Stmt::ClassDef(_) => "classes inside of a function are not read. Move it to the top of the module",
        _ => "this statement is not compiled",
    }
}
