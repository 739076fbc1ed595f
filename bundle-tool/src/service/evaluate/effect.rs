//! Statements that are done for their effect: lists and dicts that grow, messages to nobody, assertions.

use std::rc::Rc;

use ekiben_runtime::Op;
use ruff_python_ast::{Expr, ExprCall, ExprSubscript, Stmt, StmtAssert, WithItem};

use super::{Array, Evaluated, Evaluator, Frame, Index, Kind, Place, Stop, Value, YIELDED};
use crate::graph::TensorId;

/// Functions that leave nothing in the answer: what they write has no reader on a device.
const SILENT: [&str; 9] = [
    "builtins.print",
    "logging",
    "warnings.warn",
    "warnings.filterwarnings",
    "warnings.simplefilter",
    "gc.collect",
    "h2o.init",
    "h2o.connect",
    "h2o.no_progress",
];

/// Contexts that change nothing of what is computed.
const CONTEXTS: [&str; 9] = [
    "torch.no_grad",
    "torch.inference_mode",
    "torch.set_grad_enabled",
    "torch.autograd.no_grad",
    "numpy.errstate",
    "warnings.catch_warnings",
    "contextlib.nullcontext",
    "tensorflow.device",
    "torch.device",
];

/// An error that a service raises.
#[derive(Clone, Copy, Debug)]
pub(in crate::service) struct Refusal {
    pub(in crate::service) place: Place,
}

impl<'a> Evaluator<'_, 'a> {
    /// A statement that is an expression: a text documents, a method may change a list or dict, a message is left out.
    pub(super) fn bare(&mut self, statement: &'a Stmt, expression: &'a Expr) -> Result<(), Stop> {
        if expression.is_string_literal_expr() || expression.is_ellipsis_literal_expr() {
            return Ok(());
        }
        if let Expr::Call(call) = expression {
            if self.is_silent(call) {
                return Ok(());
            }
            if let Expr::Attribute(method) = &*call.func
                && self.grown(&method.value, method.attr.as_str(), call)?
            {
                return Ok(());
            }
        }
        if let Expr::Yield(yielded) = expression {
            return self.yielded(yielded.value.as_deref(), self.place(statement));
        }
        // An expression that is not understood says more about itself than its effect does.
        let value = self.expression(expression)?;
        if matches!((&value, expression), (Value::None, Expr::Call(_))) {
            // A function of the service that checks something.
            return Ok(());
        }
        if matches!(value, Value::Network(..)) {
            // `net.eval()`: the way in which it is compiled.
            return Ok(());
        }
        self.fail_at(statement, "the value of this statement is not used, and its effect cannot be compiled. Remove it")
    }

    /// `yield value` of an API that answers with a stream.
    fn yielded(&mut self, value: Option<&'a Expr>, place: Place) -> Result<(), Stop> {
        let value = value.map_or(Ok(Value::None), |value| self.expression(value))?;
        let yielded = match self.scope().locals.get(YIELDED).cloned() {
            Some(Value::List(items)) => Value::List(items.iter().cloned().chain([value]).collect()),
            Some(Value::Growing(before, items)) => {
                Value::Growing(before, items.iter().cloned().chain([value]).collect())
            }
            _ => return self.fail(place, "generators are compiled where an API itself is one. Return a list"),
        };
        self.scope().locals.insert(YIELDED, yielded);
        Ok(())
    }

    /// The text of a stream whose API yielded these values.
    pub(super) fn streamed(&mut self, value: &Value<'a>, place: Place) -> Evaluated<'a> {
        let Value::List(items) = value else {
            return self.fail(place, "how many texts this stream has depends on the request, which is not compiled");
        };
        let mut text = Value::Text("".into());
        for item in items.iter() {
            let item = match item {
                Value::Text(_) | Value::Format(_) => item.clone(),
                Value::Array(_) => self.as_text(item.clone(), place)?,
                other => {
                    let problem = format!("a stream is compiled of texts, and {} is yielded", other.describe());
                    return self.fail(place, problem);
                }
            };
            text = self.texts_joined(&text, &item, place)?;
        }
        Ok(text)
    }

    /// Whether a call only tells something to somebody who is not there.
    fn is_silent(&mut self, call: &'a ExprCall) -> bool {
        let silent = |path: &str| {
            let is = |name: &str| path == name || path.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'));
            SILENT.iter().any(|name| is(name))
        };
        let root = |mut expression: &'a Expr| loop {
            match expression {
                Expr::Attribute(attribute) => expression = &attribute.value,
                other => return other,
            }
        };
        if !matches!(root(&call.func), Expr::Name(_)) {
            return false;
        }
        matches!(self.expression(&call.func), Ok(Value::Path(path)) if silent(&path))
    }

    /// Whether `receiver.method(…)` changes a list or dict that has no other name, which is done then.
    fn grown(&mut self, receiver: &'a Expr, method: &str, call: &'a ExprCall) -> Result<bool, Stop> {
        let Expr::Name(name) = receiver else { return Ok(false) };
        let name = name.id.as_str();
        let place = self.place(call);
        let Some(value) = self.scope().locals.get(name).cloned() else { return Ok(false) };
        let value = match value {
            Value::Growing(before, items) if method == "append" => {
                let [argument] = &call.arguments.args[..] else {
                    return self.fail(place, "`append` takes one item");
                };
                let item = self.expression(argument)?;
                if self.other_names(name, &Value::List(before.clone())) {
                    return self.fail(place, "this changes a value that has another name too. Copy it first");
                }
                let items = items.iter().cloned().chain([item]).collect();
                self.scope().locals.insert(name, Value::Growing(before, items));
                return Ok(true);
            }
            value => value,
        };
        let known = match &value {
            Value::List(_) => ["append", "extend", "insert"].contains(&method),
            Value::Dict(_) => ["update", "setdefault"].contains(&method),
            _ => false,
        };
        if !known {
            return Ok(false);
        }
        let mut given = Vec::new();
        for argument in &call.arguments.args {
            given.push(self.expression(argument)?);
        }
        if let Some(keyword) = call.arguments.keywords.first().filter(|_| method != "update") {
            return self.fail_at(keyword, "this argument is not compiled here");
        }
        if self.other_names(name, &value) {
            return self.fail(place, "this changes a value that has another name too. Copy it first");
        }
        let changed = match (&value, method, &given[..]) {
            (Value::List(items), "append", [item]) => {
                Value::List(items.iter().cloned().chain([item.clone()]).collect())
            }
            (Value::List(items), "extend", [more]) => match self.known_items(more, false, place)? {
                Some(more) => Value::List(items.iter().cloned().chain(more).collect()),
                None if items.is_empty() && matches!(more, Value::Rows(..)) => more.clone(),
                None => return self.fail(place, "how many items this list gets depends on the request"),
            },
            (Value::List(items), "insert", [Value::Int(0), item]) => {
                Value::List([item.clone()].into_iter().chain(items.iter().cloned()).collect())
            }
            (Value::Dict(items), "update", more) => {
                let mut all = items.to_vec();
                for more in more {
                    let Value::Dict(more) = more else {
                        return self.fail(place, "a dict is updated with a dict");
                    };
                    all.extend(more.iter().cloned());
                }
                for keyword in &call.arguments.keywords {
                    let Some(name) = &keyword.arg else {
                        return self.fail_at(keyword, "`**` in arguments is not compiled");
                    };
                    all.push((Value::Text(name.as_str().into()), self.expression(&keyword.value)?));
                }
                self.dict(all, place)?
            }
            _ => return self.fail(place, format!("`{method}` with these arguments is not compiled")),
        };
        self.scope().locals.insert(name, changed);
        Ok(true)
    }

    /// Whether a value that can be changed is known by another name than `name`, or stands in another value.
    pub(super) fn other_names(&self, name: &str, value: &Value<'a>) -> bool {
        let own = self.scopes.last().map(|scope| &scope.locals);
        let elsewhere = self.scopes.iter().rev().skip(1).flat_map(|scope| scope.locals.values());
        let here = own.into_iter().flat_map(|locals| locals.iter().filter(|(other, _)| **other != name));
        let mut others = here
            .map(|(_, value)| value)
            .chain(elsewhere)
            .chain(self.attributes.iter().flat_map(std::collections::HashMap::values))
            .chain(self.shared.values());
        let base = |array: &Array| self.base(array.tensor);
        others.any(|other| other.holds(value, &base))
    }

    /// The tensor whose memory numpy may share with `tensor`: reshapes, transposes and parts are views.
    fn base(&self, mut tensor: TensorId) -> TensorId {
        while let Some(node) = self.graph.producer(tensor)
            && matches!(node.op, Op::Reshape(_) | Op::Transpose(_) | Op::Gather(_) | Op::Slice(_) | Op::Expand(_))
            && let Some(Some(from)) = node.inputs.first()
        {
            tensor = *from;
        }
        tensor
    }

    /// `value[index] = item`: of a dict or frame that has no other name.
    pub(super) fn assign_item(&mut self, target: &'a ExprSubscript, item: Value<'a>) -> Result<(), Stop> {
        let place = self.place(target);
        let Expr::Name(name) = &*target.value else {
            return self.fail(place, "an item is assigned only of a name. Make a new value instead");
        };
        let name = name.id.as_str();
        let Some(value) = self.scope().locals.get(name).cloned() else {
            return self.fail(place, "an item of something outside of this function is not assigned");
        };
        let index = self.expression(&target.slice)?;
        if self.other_names(name, &value) {
            return self.fail(place, "this changes a value that has another name too. Copy it first");
        }
        let changed = match (&value, &index) {
            (Value::Dict(items), key) => {
                let all = items.iter().cloned().chain([(key.clone(), item)]);
                self.dict(all.collect(), place)?
            }
            (Value::List(items), Value::Int(at)) => {
                let mut all = items.to_vec();
                let at = if *at < 0 { *at + all.len() as i64 } else { *at };
                match usize::try_from(at).ok().and_then(|at| all.get_mut(at)) {
                    Some(slot) => *slot = item,
                    None => return self.fail(place, "the list has no such position"),
                }
                Value::List(all.into())
            }
            (Value::Frame(frame), Value::Text(column)) => {
                let column = self.column_value(frame, &item, place)?.map(|array| (column.to_string(), array));
                let Some(column) = column else {
                    return self.fail(place, "a column has one element for each row, or is one constant");
                };
                self.with_columns(frame, vec![column], place)?
            }
            (other, _) => return self.fail(place, format!("an item of {} is not assigned", other.describe())),
        };
        self.scope().locals.insert(name, changed);
        Ok(())
    }

    /// A value as a column of a frame; `None` where it is none.
    pub(in crate::service) fn column_value(
        &mut self,
        frame: &Frame,
        value: &Value<'a>,
        place: Place,
    ) -> Result<Option<Array>, Stop> {
        let array = match value {
            Value::Array(array) => {
                let axes = array.axes(&self.graph);
                match axes[..] {
                    [axis] if array.extent(&self.graph, axis) == (1, true) => return Ok(Some(array.clone())),
                    [] if array.indices.iter().all(|index| !matches!(index, Index::Loop(_))) => array.clone(),
                    _ => return Ok(None),
                }
            }
            Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Bool(_) => self.operand(value, place)?,
            _ => return Ok(None),
        };
        // One value for all rows.
        let like = match frame {
            Frame::Table { array, .. } => array.tensor,
            Frame::Columns(columns, _) => match columns.first() {
                Some((_, array)) => array.tensor,
                None => return Ok(None),
            },
        };
        let Some(axis) = self.graph.shape(like).batch_axis() else { return Ok(None) };
        let Ok(shape) = ekiben_runtime::Shape::new(&[self.graph.shape(like).factor(axis).unwrap_or(1)], Some(0)) else {
            return Ok(None);
        };
        let array = self.led(&array, place)?;
        let tensor = self.expanded(array.tensor, shape, place)?;
        Ok(Some(Array { python: false, ..Array::whole(tensor) }))
    }

    /// A frame with more columns, or others under the same names.
    pub(in crate::service) fn with_columns(
        &mut self,
        frame: &Rc<Frame>,
        more: Vec<(String, Array)>,
        place: Place,
    ) -> Result<Value<'a>, Stop> {
        let (mut columns, input) = match &**frame {
            Frame::Columns(columns, input) => (columns.clone(), *input),
            Frame::Table { array, columns, input } => {
                let open = input.filter(|index| self.inputs.get(*index).is_some_and(|input| !input.columns_declared));
                let Some(names) = columns.clone().or(open.map(|_| Vec::new())) else {
                    return self.fail(place, "the columns of this frame depend on the request");
                };
                let column = |(at, name): (usize, &String)| (name.clone(), array.with_index(1, Index::At(at as u32)));
                (names.iter().enumerate().map(column).collect(), open)
            }
        };
        for (name, array) in more {
            match columns.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = array,
                None => columns.push((name, array)),
            }
        }
        Ok(Value::Frame(Rc::new(Frame::Columns(columns, input))))
    }

    /// A context that a `with` statement enters.
    pub(super) fn context(&mut self, item: &'a WithItem) -> Result<(), Stop> {
        let callee = match &item.context_expr {
            Expr::Call(call) => &*call.func,
            other => other,
        };
        let callee = self.expression(callee)?;
        let opens = match &callee {
            Value::Path(path) => &**path == "builtins.open",
            Value::Method(receiver, name) => receiver.kind() == Kind::Stored && *name == "open",
            _ => false,
        };
        if opens {
            let file = self.expression(&item.context_expr)?;
            if let Some(variable) = &item.optional_vars {
                self.assign(variable, file)?;
            }
            return Ok(());
        }
        let known = matches!(callee, Value::Path(path) if CONTEXTS.contains(&&*path));
        if !known || item.optional_vars.is_some() {
            return self
                .fail_at(&item.context_expr, "a `with` statement acts on something outside of the request. Remove it");
        }
        Ok(())
    }

    /// `assert test`.
    pub(super) fn assertion(&mut self, stmt: &'a StmtAssert) -> Result<(), Stop> {
        let place = self.place(stmt);
        let value = self.expression(&stmt.test)?;
        match value.truth() {
            Some(true) => return Ok(()),
            Some(false) => return self.fail(place, "this assertion fails for every request"),
            None => {}
        }
        self.unchecked(Refusal { place })
    }

    /// The end at an error that is raised for some requests only.
    pub(super) fn unchecked<T>(&self, refusal: Refusal) -> Result<T, Stop> {
        self.fail(
            refusal.place,
            "whether this error is raised depends on the request, and checks are not compiled. Remove it",
        )
    }
}
