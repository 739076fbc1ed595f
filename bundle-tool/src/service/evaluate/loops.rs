//! `for` statements: over items that are known, one after the other; over rows, once for all of them.

use std::collections::BTreeSet;

use ruff_python_ast::{Expr, Stmt, StmtFor};

use super::comprehension::Iteration;
use super::statement::Flow;
use super::{Evaluator, LoopId, Place, Stop, Value, YIELDED};

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn for_loop(&mut self, stmt: &'a StmtFor) -> Result<Flow<'a>, Stop> {
        let place = self.place(&*stmt.iter);
        if stmt.is_async || !stmt.orelse.is_empty() {
            return self.fail(place, "`async for` and `else` after a loop are not compiled");
        }
        let value = self.expression(&stmt.iter)?;
        match self.iterate(&value, true, place)? {
            Iteration::Items(items) => {
                for item in items {
                    self.assign(&stmt.target, item)?;
                    match self.statements(&stmt.body)? {
                        Flow::Next | Flow::Continue => {}
                        Flow::Break => break,
                        Flow::Perhaps(..) => {
                            return self.fail(place, "whether this loop returns depends on the request");
                        }
                        other => return Ok(other),
                    }
                }
                Ok(Flow::Next)
            }
            Iteration::Rows(id, row) => self.row_loop(stmt, id, row),
        }
    }

    /// A loop over rows: its body stands for every row at once. A row knows nothing of the rows before it, and what is left of it are
    /// the lists to which it appends one item.
    fn row_loop(&mut self, stmt: &'a StmtFor, id: LoopId, row: Value<'a>) -> Result<Flow<'a>, Stop> {
        let place = self.place(stmt);
        let mut changed = Changes::default();
        changed.statements(&stmt.body);
        changed.target(&stmt.target);
        let appended: Vec<&'a str> = changed.appended.difference(&changed.assigned).copied().collect();
        for name in &appended {
            let Some(Value::List(items)) = self.scope().locals.get(name).filter(|list| list.truth() == Some(false))
            else {
                let problem =
                    format!("`{name}` gets an item for each row, and is no empty list of this function before");
                return self.fail(place, problem);
            };
            let growing = Value::Growing(items.clone(), [].into());
            self.scope().locals.insert(name, growing);
        }
        for name in &changed.assigned {
            if self.scope().locals.contains_key(name) {
                self.scope().locals.insert(name, Value::Unset);
            }
        }
        self.assign(&stmt.target, row)?;
        match self.statements(&stmt.body)? {
            Flow::Next | Flow::Continue => {}
            _ => return self.fail(place, "a loop over the rows of a request does not end before the last one"),
        }
        for name in appended {
            let item = match self.scope().locals.get(name) {
                Some(Value::Growing(_, items)) if items.len() == 1 => items[0].clone(),
                _ => return self.fail(place, format!("`{name}` does not get one item for each row")),
            };
            let rows = self.rows(id, item, place)?;
            self.scope().locals.insert(name, rows);
        }
        // What a row assigned is gone: after the loop it would be the last row's.
        for name in changed.assigned {
            self.scope().locals.insert(name, Value::Unset);
        }
        Ok(Flow::Next)
    }

    /// The end at a name whose value depends on rows before or on the way that the request took.
    pub(super) fn unset<T>(&self, name: &str, place: Place) -> Result<T, Stop> {
        let problem = format!(
            "the value of `{name}` here depends on other rows of the request, or on a condition under which it has another form"
        );
        self.fail(place, problem)
    }
}

/// Names that statements change.
#[derive(Default)]
struct Changes<'a> {
    assigned: BTreeSet<&'a str>,
    /// Lists that get an item by `append`.
    appended: BTreeSet<&'a str>,
}

impl<'a> Changes<'a> {
    fn statements(&mut self, body: &'a [Stmt]) {
        for statement in body {
            match statement {
                Stmt::Assign(stmt) => stmt.targets.iter().for_each(|target| self.target(target)),
                Stmt::AnnAssign(stmt) => self.target(&stmt.target),
                Stmt::AugAssign(stmt) => self.target(&stmt.target),
                Stmt::For(stmt) => {
                    self.target(&stmt.target);
                    self.statements(&stmt.body);
                }
                Stmt::If(stmt) => {
                    self.statements(&stmt.body);
                    stmt.elif_else_clauses.iter().for_each(|clause| self.statements(&clause.body));
                }
                Stmt::With(stmt) => self.statements(&stmt.body),
                Stmt::Try(stmt) => self.statements(&stmt.body),
                Stmt::FunctionDef(function) => {
                    self.assigned.insert(function.name.as_str());
                }
                Stmt::Expr(stmt) => self.method(&stmt.value),
                _ => {}
            }
        }
    }

    fn method(&mut self, expression: &'a Expr) {
        if expression.is_yield_expr() {
            self.appended.insert(YIELDED);
        }
        if let Expr::Call(call) = expression
            && let Expr::Attribute(method) = &*call.func
            && let Expr::Name(name) = &*method.value
        {
            match method.attr.as_str() {
                "append" => self.appended.insert(name.id.as_str()),
                "extend" | "insert" | "update" | "setdefault" | "pop" | "remove" | "clear" | "sort" | "reverse" => {
                    self.assigned.insert(name.id.as_str())
                }
                _ => false,
            };
        }
    }

    fn target(&mut self, target: &'a Expr) {
        match target {
            Expr::Name(name) => {
                self.assigned.insert(name.id.as_str());
            }
            Expr::Tuple(tuple) => tuple.elts.iter().for_each(|target| self.target(target)),
            Expr::List(list) => list.elts.iter().for_each(|target| self.target(target)),
            Expr::Subscript(subscript) => self.target(&subscript.value),
            Expr::Starred(starred) => self.target(&starred.value),
            _ => {}
        }
    }
}
