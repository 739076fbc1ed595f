//! Expressions.

use std::rc::Rc;

use ekiben_runtime::DType;
use ekiben_runtime::artifact::image::Mode;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::logic::LogicKind;
use ruff_python_ast::{BoolOp, CmpOp, Expr, ExprAttribute, ExprBoolOp, ExprCompare, ExprName, Number};

use super::super::library;
use super::{Array, Callable, Evaluated, Evaluator, Kind, MAX_ITEMS, Place, Stop, Value};

impl<'a> Evaluator<'_, 'a> {
    /// The value of an expression.
    pub(super) fn expression(&mut self, expression: &'a Expr) -> Evaluated<'a> {
        let place = self.place(expression);
        let value = self.nested(place, |evaluator| evaluator.evaluated(expression))?;
        if !expression.is_name_expr() && !expression.is_attribute_expr() {
            self.charge_value(&value, place)?;
        }
        Ok(value)
    }

    fn evaluated(&mut self, expression: &'a Expr) -> Evaluated<'a> {
        Ok(match expression {
            Expr::NoneLiteral(_) => Value::None,
            Expr::BooleanLiteral(literal) => Value::Bool(literal.value),
            Expr::StringLiteral(literal) => Value::Text(literal.value.to_str().into()),
            Expr::NumberLiteral(literal) => match &literal.value {
                Number::Float(value) => Value::Float(*value),
                Number::Int(value) => match value.as_i64() {
                    Some(value) => Value::Int(value),
                    None => return self.fail_at(expression, "this integer does not fit into 64 bits"),
                },
                Number::Complex { .. } => return self.fail_at(expression, "complex numbers are not compiled"),
            },
            Expr::List(list) => Self::list(self.expressions(&list.elts)?),
            Expr::Tuple(tuple) => Value::Tuple(self.expressions(&tuple.elts)?.into()),
            Expr::Dict(dict) => {
                let mut items = Vec::new();
                for item in &dict.items {
                    let Some(key) = &item.key else {
                        return self.fail_at(&item.value, "`**` in a dict is not compiled");
                    };
                    items.push((self.expression(key)?, self.expression(&item.value)?));
                }
                self.dict(items, self.place(expression))?
            }
            Expr::Name(name) => self.name(name)?,
            Expr::Attribute(attribute) => self.attribute_expression(attribute)?,
            Expr::Subscript(subscript) => self.subscript(subscript)?,
            Expr::Call(call) => self.call(call)?,
            Expr::ListComp(comprehension) => {
                self.comprehension(expression, &comprehension.elt, &comprehension.generators)?
            }
            Expr::Generator(comprehension) => {
                self.comprehension(expression, &comprehension.elt, &comprehension.generators)?
            }
            Expr::DictComp(comprehension) => self.dict_comprehension(comprehension)?,
            Expr::BinOp(operation) => {
                let left = self.expression(&operation.left)?;
                let right = self.expression(&operation.right)?;
                self.binary(operation.op, left, right, self.place(expression))?
            }
            Expr::UnaryOp(operation) => {
                let operand = self.expression(&operation.operand)?;
                self.unary(operation.op, operand, self.place(expression))?
            }
            Expr::If(choice) => {
                let test = self.expression(&choice.test)?;
                match test.truth() {
                    Some(true) => self.expression(&choice.body)?,
                    Some(false) => self.expression(&choice.orelse)?,
                    None => {
                        let place = self.place(&*choice.test);
                        let condition = self.condition_of(&test, place)?;
                        let guard = self.named_none_test(&choice.test);
                        let yes = self.knowing(guard.filter(|(_, is_none)| !is_none), &choice.body, place)?;
                        let no = self.knowing(guard.filter(|(_, is_none)| *is_none), &choice.orelse, place)?;
                        self.chosen(&condition, &yes, &no, self.place(expression))?
                    }
                }
            }
            Expr::BoolOp(operation) => self.either(operation)?,
            Expr::Lambda(lambda) => self.closure(Callable::Lambda(lambda)),
            Expr::Named(named) => {
                let known = matches!(&*named.target, Expr::Name(name) if self.local(name.id.as_str()).is_some());
                if known && self.scope().comprehensions > 0 {
                    return self.fail_at(expression, "a name that items of a comprehension hand on is not compiled");
                }
                let value = self.expression(&named.value)?;
                self.assign(&named.target, value.clone())?;
                value
            }
            Expr::Compare(comparison) => self.compare(comparison)?,
            Expr::FString(text) => self.formatted(text, self.place(expression))?,
            Expr::Slice(slice) => {
                let from = self.slice_bound(slice.lower.as_deref())?;
                let to = self.slice_bound(slice.upper.as_deref())?;
                match self.slice_bound(slice.step.as_deref())? {
                    Some(0) => return self.fail_at(expression, "a slice has a step other than zero"),
                    step => Value::Slice(from, to, step.unwrap_or(1)),
                }
            }
            Expr::EllipsisLiteral(_) => Value::Ellipsis,
            Expr::Await(awaited) => match self.expression(&awaited.value)? {
                Value::Awaitable(value) => (*value).clone(),
                other => {
                    let problem = format!("{} is not what `await` takes", other.describe());
                    return self.fail_at(expression, problem);
                }
            },
            other => return self.fail_at(other, refusal(other)),
        })
    }

    pub(super) fn expressions(&mut self, expressions: &'a [Expr]) -> Result<Vec<Value<'a>>, Stop> {
        expressions.iter().map(|item| self.expression(item)).collect()
    }

    /// The bound of a slice.
    fn slice_bound(&mut self, bound: Option<&'a Expr>) -> Result<Option<i64>, Stop> {
        match bound.map(|bound| self.expression(bound)).transpose()? {
            None | Some(Value::None) => Ok(None),
            Some(Value::Int(value)) => Ok(Some(value)),
            Some(other) => match bound {
                Some(node) => self.fail_at(node, format!("{} as a bound of a slice is not compiled", other.describe())),
                None => Ok(None),
            },
        }
    }

    /// A dict; where a key stands twice, the last value holds in the first place, as in Python.
    pub(in crate::service) fn dict(&self, items: Vec<(Value<'a>, Value<'a>)>, place: Place) -> Evaluated<'a> {
        let mut unique: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        if items.len() > MAX_ITEMS {
            return self.fail(place, format!("this dict has more than {MAX_ITEMS} items"));
        }
        for (key, value) in items {
            if !matches!(key.kind(), Kind::Constant | Kind::Text) {
                return self.fail(place, format!("a key of this dict is {} and no constant", key.describe()));
            }
            match unique.iter_mut().find(|(known, _)| known.equals(&key) == Some(true)) {
                Some((_, old)) => *old = value,
                None => unique.push((key, value)),
            }
        }
        Ok(Value::Dict(unique.into()))
    }

    fn name(&mut self, name: &'a ExprName) -> Evaluated<'a> {
        let place = self.place(name);
        match self.local(name.id.as_str()) {
            Some(Value::Unset | Value::Growing(..)) => return self.unset(name.id.as_str(), place),
            Some(value) => return Ok(value),
            None => {}
        }
        if name.id.as_str() == "__file__" {
            return Ok(library::Stored::module(&self.class.modules.source(place.module).name).value());
        }
        match self.class.modules.named(place.module, name.id.as_str()) {
            Ok(meaning) => self.meaning(place, meaning),
            Err(problem) => self.fail(place, problem),
        }
    }

    fn attribute_expression(&mut self, attribute: &'a ExprAttribute) -> Evaluated<'a> {
        let owner = self.expression(&attribute.value)?;
        self.attribute(owner, attribute.attr.as_str(), self.place(attribute))
    }

    /// `owner.name`.
    fn attribute(&mut self, owner: Value<'a>, name: &'a str, place: Place) -> Evaluated<'a> {
        match &owner {
            Value::Path(path) => {
                let path = format!("{path}.{name}");
                return Ok(library::constant(&path).unwrap_or(Value::Path(path.into())));
            }
            Value::Module(module) => {
                return match self.class.modules.member(*module, name, 0) {
                    Ok(meaning) => self.meaning(place, meaning),
                    Err(problem) => self.fail(place, problem),
                };
            }
            Value::Service(service) => return self.service_attribute(*service, name, place),
            Value::Dependency(service, calling) => return self.dependency_attribute(*service, *calling, name, place),
            Value::Runner(model) => return library::runner_attribute(self, model, name, place),
            Value::Record(items) => {
                if let Some((_, item)) = items.iter().find(|(key, _)| matches!(key, Value::Text(key) if **key == *name))
                {
                    return Ok(item.clone());
                }
            }
            Value::Artifacts if self.class.artifacts.iter().any(|artifact| artifact.name == name) => {
                return library::artifact(self, name, place);
            }
            _ => {}
        }
        // What only numpy's arrays have is theirs.
        let owner = match owner.kind() {
            Kind::Picture if !library::has(Kind::Picture, name) => self.with_arrays(owner, place)?,
            _ => owner,
        };
        if let Some(property) = library::property(owner.kind(), name) {
            return property(self, &owner, place);
        }
        if library::method(owner.kind(), name).is_some() {
            return Ok(Value::Method(Rc::new(owner), name));
        }
        if let Value::Estimator(model) = &owner {
            let Some(loaded) = self.models.get(&**model) else {
                return self.missing_model(model, place);
            };
            if loaded.methods().contains(&name) {
                return Ok(Value::Method(Rc::new(owner.clone()), name));
            }
            let known = loaded.methods().join(", ");
            return self.fail(place, format!("`{name}` of the model `{model}` is not compiled. It has: {known}"));
        }
        let names = library::names(owner.kind());
        let known = if names.is_empty() { String::new() } else { format!(" Known: {names}") };
        self.fail(place, format!("`{name}` of {} is not compiled.{known}", owner.describe()))
    }

    /// `a and b`, `a or b`: of constants one of the values, of what depends on the request a truth.
    fn either(&mut self, operation: &'a ExprBoolOp) -> Evaluated<'a> {
        let (kind, ends) = match operation.op {
            BoolOp::And => (LogicKind::And, false),
            BoolOp::Or => (LogicKind::Or, true),
        };
        let place = self.place(operation);
        let mut result: Option<Array> = None;
        let mut last = Value::None;
        for operand in &operation.values {
            let value = self.expression(operand)?;
            match (value.truth(), result.take()) {
                (Some(truth), None) if truth == ends => return Ok(value),
                (Some(_), None) => last = value,
                (Some(truth), Some(before)) => {
                    let truth = self.operand(&Value::Bool(truth), place)?;
                    result = Some(self.logical(kind, &before, &truth, place)?);
                }
                (None, before) => {
                    let boolean = matches!(&value, Value::Array(array) if array.dtype(&self.graph) == DType::Bool);
                    if !boolean {
                        let what = value.describe();
                        return self
                            .fail_at(operand, format!("`and` and `or` are compiled of comparisons, not of {what}"));
                    }
                    let condition = self.condition_of(&value, self.place(operand))?;
                    result = Some(match before {
                        Some(before) => self.logical(kind, &before, &condition, place)?,
                        None => condition,
                    });
                }
            }
        }
        Ok(result.map_or(last, Value::Array))
    }

    /// Comparisons: of constants at once, of arrays element by element.
    fn compare(&mut self, comparison: &'a ExprCompare) -> Evaluated<'a> {
        let mut left = self.expression(&comparison.left)?;
        let mut result: Option<Array> = None;
        let place = self.place(comparison);
        for (operator, right) in comparison.ops.iter().zip(comparison.comparators.iter()) {
            let right = self.expression(right)?;
            match self.comparison(*operator, &left, &right, place)? {
                Value::Bool(false) => return Ok(Value::Bool(false)),
                Value::Bool(true) => {}
                Value::Array(truths) if comparison.ops.len() == 1 => return Ok(Value::Array(truths)),
                Value::Frame(frame) => return Ok(Value::Frame(frame)),
                test @ Value::ModeTest(..) if comparison.ops.len() == 1 => return Ok(test),
                truths => {
                    let condition = self.condition_of(&truths, place)?;
                    result = Some(match result {
                        Some(before) => self.logical(LogicKind::And, &before, &condition, place)?,
                        None => condition,
                    });
                }
            }
            left = right;
        }
        Ok(result.map_or(Value::Bool(true), Value::Array))
    }

    /// `left operator right`.
    fn comparison(&mut self, operator: CmpOp, left: &Value<'a>, right: &Value<'a>, place: Place) -> Evaluated<'a> {
        if let Some(test) = mode_test(operator, left, right) {
            return Ok(test);
        }
        if let (CmpOp::Is | CmpOp::IsNot | CmpOp::Eq | CmpOp::NotEq, Value::None) = (operator, right)
            && let Some(test) = self.none_test(left, place)?
        {
            let negates = matches!(operator, CmpOp::IsNot | CmpOp::NotEq);
            return Ok(Value::Array(if negates { self.negated(&test, place)? } else { test }));
        }
        let order = |wanted: fn(f64, f64) -> bool| Some(wanted(number(left)?, number(right)?));
        let contains = || {
            let found: Option<Vec<bool>> = match right {
                Value::Dict(items) => items.iter().map(|(key, _)| key.equals(left)).collect(),
                Value::Text(text) => match left {
                    Value::Text(part) => return Some(text.contains(&**part)),
                    _ => return None,
                },
                _ => right.items()?.iter().map(|item| item.equals(left)).collect(),
            };
            Some(found?.contains(&true))
        };
        let texts = |wanted: fn(&str, &str) -> bool| match (left, right) {
            (Value::Text(a), Value::Text(b)) => Some(wanted(a, b)),
            _ => None,
        };
        let holds = match operator {
            CmpOp::Eq => left.equals(right),
            CmpOp::NotEq => left.equals(right).map(|equal| !equal),
            CmpOp::Is if matches!(right, Value::None) => Some(matches!(left, Value::None)),
            CmpOp::IsNot if matches!(right, Value::None) => Some(!matches!(left, Value::None)),
            CmpOp::Lt => order(|a, b| a < b).or(texts(|a, b| a < b)),
            CmpOp::LtE => order(|a, b| a <= b).or(texts(|a, b| a <= b)),
            CmpOp::Gt => order(|a, b| a > b).or(texts(|a, b| a > b)),
            CmpOp::GtE => order(|a, b| a >= b).or(texts(|a, b| a >= b)),
            CmpOp::In => contains(),
            CmpOp::NotIn => contains().map(|found| !found),
            CmpOp::Is | CmpOp::IsNot => match (left, right) {
                (Value::Bool(a), Value::Bool(b)) => Some((a == b) == (operator == CmpOp::Is)),
                _ => None,
            },
        };
        if let Some(holds) = holds {
            return Ok(Value::Bool(holds));
        }
        let kind = match operator {
            CmpOp::Eq => CompareKind::Equal,
            CmpOp::NotEq => CompareKind::NotEqual,
            CmpOp::Lt => CompareKind::Less,
            CmpOp::LtE => CompareKind::LessOrEqual,
            CmpOp::Gt => CompareKind::Greater,
            CmpOp::GtE => CompareKind::GreaterOrEqual,
            CmpOp::In | CmpOp::NotIn => return self.membership(operator == CmpOp::NotIn, left, right, place),
            CmpOp::Is | CmpOp::IsNot => {
                let problem = format!("whether {} is {} is not known here", left.describe(), right.describe());
                return self.fail(place, problem);
            }
        };
        match (left, right) {
            (Value::Frame(frame), other) => {
                let frame = frame.clone();
                self.map_frame(&frame, place, |evaluator, array| {
                    evaluator.compared(kind, &Value::Array(array), other, place)
                })
            }
            (Value::Array(_), _) | (_, Value::Array(_)) => self.compared(kind, left, right, place).map(Value::Array),
            _ => self.fail(place, format!("{} and {} are not compared", left.describe(), right.describe())),
        }
    }

    /// `left in right` of an element that depends on the request.
    fn membership(&mut self, inverted: bool, left: &Value<'a>, right: &Value<'a>, place: Place) -> Evaluated<'a> {
        let items = match right {
            Value::Dict(items) => items.iter().map(|(key, _)| key.clone()).collect(),
            other => other.items().map(<[_]>::to_vec).unwrap_or_default(),
        };
        let element = matches!(left, Value::Array(array) if array.axes(&self.graph).is_empty());
        if !element || items.is_empty() {
            let problem = format!("whether {} is in {} is not compiled", left.describe(), right.describe());
            return self.fail(place, problem);
        }
        let found = self.any_of(left, &items, place)?;
        Ok(Value::Array(if inverted { self.negated(&found, place)? } else { found }))
    }

    /// Whether each element equals one of some constants.
    pub(in crate::service) fn any_of(
        &mut self,
        value: &Value<'a>,
        items: &[Value<'a>],
        place: Place,
    ) -> Result<Array, Stop> {
        let texts: Option<Vec<Rc<str>>> =
            items.iter().map(|item| if let Value::Text(text) = item { Some(text.clone()) } else { None }).collect();
        if let (Some(texts), Value::Array(array)) = (texts, value) {
            let array = self.text_column(array, &texts, place)?;
            let among = |known: &String| u8::from(texts.iter().any(|text| **text == **known));
            return self.mapped(&array, DType::Bool, among, 0, place);
        }
        let mut found: Option<Array> = None;
        for item in items {
            let equal = self.compared(CompareKind::Equal, value, item, place)?;
            found = Some(match found {
                Some(before) => self.logical(LogicKind::Or, &before, &equal, place)?,
                None => equal,
            });
        }
        match found {
            Some(found) => Ok(found),
            None => self.fail(place, "there is nothing to compare with"),
        }
    }
}

/// The number of a constant.
fn number(value: &Value<'_>) -> Option<f64> {
    match value {
        Value::Int(value) if value.unsigned_abs() < 1 << 53 => Some(*value as f64),
        Value::Float(value) => Some(*value),
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        _ => None,
    }
}

/// Why a kind of expression is not evaluated.
fn refusal(expression: &Expr) -> &'static str {
    match expression {
        Expr::Set(_) | Expr::SetComp(_) => "sets are not compiled. Use a list",
        Expr::Starred(_) => "`*` is not compiled. Name the values",
        Expr::BytesLiteral(_) => "bytes are not compiled",
        Expr::Yield(_) | Expr::YieldFrom(_) => "generators are not compiled. Return the whole answer",
        _ => "this expression is not compiled",
    }
}

/// Whether the mode of an image of the request is a known one.
fn mode_test<'a>(operator: CmpOp, left: &Value<'a>, right: &Value<'a>) -> Option<Value<'a>> {
    let (Value::Mode, Value::Text(name)) = (left, right) else { return None };
    let equal = match operator {
        CmpOp::Eq => true,
        CmpOp::NotEq => false,
        _ => return None,
    };
    Some(Value::ModeTest(Mode::from_name(name)?, equal))
}
