//! Expressions.

use std::rc::Rc;

use ruff_python_ast::{
    CmpOp, Expr, ExprAttribute, ExprCompare, ExprName, FStringPart, InterpolatedStringElement, Number,
};

use super::super::library;
use super::{Evaluated, Evaluator, Kind, MAX_ITEMS, MAX_TEXT, Place, Stop, Value};

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
                    None => return self.fail_at(&*choice.test, "this condition depends on the request"),
                }
            }
            Expr::Compare(comparison) => self.compare(comparison)?,
            Expr::FString(text) => {
                let mut whole = String::new();
                for part in text.value.iter() {
                    match part {
                        FStringPart::Literal(literal) => whole.push_str(&literal.value),
                        FStringPart::FString(inner) => {
                            for element in &inner.elements {
                                whole.push_str(&self.interpolated(element)?);
                            }
                        }
                    }
                }
                if whole.len() > MAX_TEXT {
                    return self.fail_at(expression, format!("this text is longer than {MAX_TEXT} bytes"));
                }
                Value::Text(whole.into())
            }
            Expr::Slice(slice) if slice.step.is_none() => {
                let from = self.bound(slice.lower.as_deref())?;
                Value::Slice(from, self.bound(slice.upper.as_deref())?)
            }
            other => return self.fail_at(other, refusal(other)),
        })
    }

    pub(super) fn expressions(&mut self, expressions: &'a [Expr]) -> Result<Vec<Value<'a>>, Stop> {
        expressions.iter().map(|item| self.expression(item)).collect()
    }

    /// The bound of a slice.
    fn bound(&mut self, bound: Option<&'a Expr>) -> Result<Option<i64>, Stop> {
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
        if let Some(value) = self.scope().locals.get(name.id.as_str()) {
            return Ok(value.clone());
        }
        let place = self.place(name);
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
            Value::Service => return self.service_attribute(name, place),
            Value::Artifacts if self.class.artifacts.iter().any(|artifact| artifact.name == name) => {
                return library::artifact(self, name, place);
            }
            _ => {}
        }
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

    /// `self.name`.
    fn service_attribute(&mut self, name: &'a str, place: Place) -> Evaluated<'a> {
        if let Some(value) = self.attributes.get(name) {
            return Ok(value.clone());
        }
        if let Some(expression) = self.class.attributes.get(name).copied() {
            return self.evaluate_in(place, self.class.module, expression);
        }
        if let Some(function) = self.class.methods.get(name).copied() {
            return Ok(Value::ServiceMethod(function));
        }
        if name == "artifacts" && !self.class.artifacts.is_empty() {
            return Ok(Value::Artifacts);
        }
        self.fail(place, format!("the service has no attribute `{name}`: neither its class nor `__init__` assigns it"))
    }

    /// Comparisons of constants.
    fn compare(&mut self, comparison: &'a ExprCompare) -> Evaluated<'a> {
        let mut left = self.expression(&comparison.left)?;
        for (operator, right) in comparison.ops.iter().zip(comparison.comparators.iter()) {
            let right = self.expression(right)?;
            let order = |wanted: fn(f64, f64) -> bool| Some(wanted(number(&left)?, number(&right)?));
            let contains = || {
                let found: Option<Vec<bool>> = right.items()?.iter().map(|item| item.equals(&left)).collect();
                Some(found?.contains(&true))
            };
            let holds = match operator {
                CmpOp::Eq => left.equals(&right),
                CmpOp::NotEq => left.equals(&right).map(|equal| !equal),
                CmpOp::Is if matches!(right, Value::None) => Some(matches!(left, Value::None)),
                CmpOp::IsNot if matches!(right, Value::None) => Some(!matches!(left, Value::None)),
                CmpOp::Lt => order(|a, b| a < b),
                CmpOp::LtE => order(|a, b| a <= b),
                CmpOp::Gt => order(|a, b| a > b),
                CmpOp::GtE => order(|a, b| a >= b),
                CmpOp::In => contains(),
                CmpOp::NotIn => contains().map(|found| !found),
                CmpOp::Is | CmpOp::IsNot => None,
            };
            match holds {
                Some(false) => return Ok(Value::Bool(false)),
                Some(true) => left = right,
                None => {
                    let problem =
                        format!("{} and {} are not compared; only constants are", left.describe(), right.describe());
                    return self.fail_at(comparison, problem);
                }
            }
        }
        Ok(Value::Bool(true))
    }

    /// A part of an f-string.
    fn interpolated(&mut self, element: &'a InterpolatedStringElement) -> Result<String, Stop> {
        match element {
            InterpolatedStringElement::Literal(literal) => Ok(literal.value.to_string()),
            InterpolatedStringElement::Interpolation(part) => {
                let value = self.expression(&part.expression)?;
                let plain = part.format_spec.is_none() && part.debug_text.is_none();
                match value {
                    Value::Text(text) if plain => Ok(text.to_string()),
                    Value::Int(number) if plain => Ok(number.to_string()),
                    other => self.fail_at(
                        part,
                        format!("{} in a text is not compiled; only constant texts and integers are", other.describe()),
                    ),
                }
            }
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
        Expr::Lambda(_) => "a lambda is not compiled. Write what it does where it is used",
        Expr::Slice(_) => "a slice with a step is not compiled",
        Expr::BoolOp(_) => "`and` and `or` are not compiled",
        Expr::Set(_) | Expr::SetComp(_) => "sets are not compiled. Use a list",
        Expr::Named(_) => "`:=` is not compiled. Assign in a statement before",
        Expr::Starred(_) => "`*` is not compiled. Name the values",
        Expr::BytesLiteral(_) => "bytes are not compiled",
        Expr::EllipsisLiteral(_) => "`...` is not compiled",
        Expr::Await(_) | Expr::Yield(_) | Expr::YieldFrom(_) => "asynchronous code and generators are not compiled",
        _ => "this expression is not compiled",
    }
}
