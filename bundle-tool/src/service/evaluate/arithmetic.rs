//! Arithmetic: of constants at once, of arrays as nodes with numpy's types.

use std::rc::Rc;

use ekiben_runtime::DType;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::logic::LogicKind;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ruff_python_ast::{Operator, UnaryOp};

use super::super::library;
use super::{Array, Evaluated, Evaluator, Frame, Place, Stop, Value};
use crate::graph::TensorId;

impl<'a> Evaluator<'_, 'a> {
    /// `left operator right`.
    pub(in crate::service) fn binary(
        &mut self,
        operator: Operator,
        left: Value<'a>,
        right: Value<'a>,
        place: Place,
    ) -> Evaluated<'a> {
        if let Some(result) = constants(operator, &left, &right) {
            return result.or_else(|problem| self.fail(place, problem));
        }
        if let (Operator::Div, Value::Stored(path), Value::Text(part)) = (operator, &left, &right) {
            return library::below(self, path, part, place);
        }
        if let Some(length) = self.lengths_combined(operator, &left, &right, place) {
            return length;
        }
        let (left, right) = (self.with_arrays(left, place)?, self.with_arrays(right, place)?);
        let text = |value: &Value<'a>| matches!(value, Value::Text(_) | Value::Format(_));
        if operator == Operator::Add && text(&left) && text(&right) {
            return self.texts_joined(&left, &right, place);
        }
        let kind = match operator {
            Operator::Add => BinaryKind::Add,
            Operator::Sub => BinaryKind::Sub,
            Operator::Mult => BinaryKind::Mul,
            Operator::Div => BinaryKind::Div,
            Operator::Mod => BinaryKind::Mod,
            Operator::Pow => BinaryKind::Pow,
            Operator::FloorDiv => return self.floor_divided(&left, &right, place).map(Value::Array),
            Operator::BitAnd | Operator::BitOr | Operator::BitXor => return self.bitwise(operator, left, right, place),
            Operator::MatMult => return super::super::library::mat_mul(self, &left, &right, place).map(Value::Array),
            _ => return self.fail(place, format!("`{}` is compiled only for constants", operator.as_str())),
        };
        match (&left, &right) {
            (Value::Frame(frame), other) => {
                let frame = frame.clone();
                self.map_frame(&frame, place, |evaluator, array| {
                    evaluator.combine(kind, &Value::Array(array), other, place)
                })
            }
            (other, Value::Frame(frame)) => {
                let frame = frame.clone();
                self.map_frame(&frame, place, |evaluator, array| {
                    evaluator.combine(kind, other, &Value::Array(array), place)
                })
            }
            _ => self.combine(kind, &left, &right, place).map(Value::Array),
        }
    }

    /// A frame with another array, computed element by element of its own.
    pub(in crate::service) fn map_frame(
        &mut self,
        frame: &Frame,
        place: Place,
        map: impl FnOnce(&mut Self, Array) -> Result<Array, Stop>,
    ) -> Evaluated<'a> {
        let array = self.frame_array(frame, place)?;
        let (columns, input) = match frame {
            Frame::Table { columns, input, .. } => (columns.clone(), *input),
            Frame::Columns(..) => (None, None),
        };
        let rank = self.graph.shape(array.tensor).rank();
        let array = map(self, array)?;
        if self.graph.shape(array.tensor).rank() != rank {
            return self.fail(place, "this changes the axes of a frame");
        }
        Ok(Value::Frame(Rc::new(Frame::Table { array, columns, input })))
    }

    /// Two values, of which at least one is an array, combined element by element.
    pub(in crate::service) fn combine(
        &mut self,
        kind: BinaryKind,
        left: &Value<'a>,
        right: &Value<'a>,
        place: Place,
    ) -> Result<Array, Stop> {
        match (left, right) {
            (Value::Array(_), Value::Array(_) | Value::Int(_) | Value::Float(_) | Value::Bool(_))
            | (Value::Int(_) | Value::Float(_) | Value::Bool(_), Value::Array(_)) => {
                let (a, b) = (self.number(left, place)?, self.number(right, place)?);
                self.hint_columns(&a, &b)?;
                if let (Value::Int(0), BinaryKind::Mod, true) = (right, kind, a.dtype(&self.graph).is_integer()) {
                    return self.fail(place, "the remainder of a division by zero is not compiled");
                }
                let to = self.common_type(&[a.clone(), b.clone()], place)?;
                let to = match (kind, to) {
                    _ if a.torch || b.torch => library::result_type(self, &a, &b, kind),
                    (BinaryKind::Div, to) => floating(to),
                    (_, DType::Bool) if a.python && b.python => DType::I64,
                    (_, DType::Bool) => {
                        let problem =
                            "arithmetic of arrays of truths is not compiled. Use `&` and `|`, or `astype(int)`";
                        return self.fail(place, problem);
                    }
                    (_, to) => to,
                };
                for number in [left, right] {
                    if matches!(number, Value::Int(number) if to.is_integer() && !fits(*number, to)) {
                        return self.fail(place, "this number does not fit into the array's type");
                    }
                }
                let x = self.cast(a.tensor, to, place)?;
                let y = self.cast(b.tensor, to, place)?;
                // Beside a float, and divided, integers are floats too.
                let float = [&a, &b].into_iter().any(|array| !array.assumed && array.dtype(&self.graph).is_float());
                let assumed = (a.assumed || b.assumed) && !float && kind != BinaryKind::Div;
                let python = a.python && b.python;
                let (tensors, indices) = self.aligned(&[a.with_tensor(x), b.with_tensor(y)], place)?;
                let like = Array { tensor: tensors[0], indices, python, assumed, torch: a.torch || b.torch };
                self.node(kind, tensors[0], tensors[1], &like, place)
            }
            (left, right) => {
                let problem = format!("arithmetic of {} and {} is not compiled", left.describe(), right.describe());
                self.fail(place, problem)
            }
        }
    }

    /// An array or a constant as something that is computed with.
    fn number(&mut self, value: &Value<'a>, place: Place) -> Result<Array, Stop> {
        match value {
            Value::Array(array) if array.dtype(&self.graph) != DType::Bool => self.computed(array, place),
            Value::Array(array) if array.python && !array.axes(&self.graph).is_empty() => {
                self.fail(place, "arithmetic of lists is not compiled. Compute with arrays")
            }
            value => self.operand(value, place),
        }
    }

    fn node(&mut self, kind: BinaryKind, x: TensorId, y: TensorId, like: &Array, place: Place) -> Result<Array, Stop> {
        let dtype = self.graph.spec(x).dtype;
        if dtype.is_integer() && kind == BinaryKind::Pow {
            return self.fail(place, "`**` of integers is not compiled. Convert them to floats");
        }
        let added = self.graph.add("arithmetic", Binary { kind }, &[x, y]);
        Ok(like.with_tensor(self.added(added, place)?))
    }

    /// An array as it is computed with: Python's numbers have 64 bits.
    pub(in crate::service) fn computed(&mut self, array: &Array, place: Place) -> Result<Array, Stop> {
        if array.python && !array.axes(&self.graph).is_empty() {
            return self.fail(place, "arithmetic of lists is not compiled. Compute with arrays");
        }
        let array = self.widened(array, place)?;
        let dtype = array.dtype(&self.graph);
        if dtype == DType::Bool {
            return Ok(array.with_tensor(self.cast(array.tensor, DType::I64, place)?));
        }
        if !dtype.is_integer() && !matches!(dtype, DType::F32 | DType::F64) {
            return self.fail(place, format!("arithmetic of {dtype} is not compiled. Convert with `astype`"));
        }
        Ok(array)
    }

    /// `left // right`, rounded down.
    fn floor_divided(&mut self, left: &Value<'a>, right: &Value<'a>, place: Place) -> Result<Array, Stop> {
        let known =
            matches!(right, Value::Int(value) if *value != 0) || matches!(right, Value::Float(value) if *value != 0.0);
        if !known {
            return self.fail(place, "`//` is compiled with a constant divisor other than zero");
        }
        let rest = self.combine(BinaryKind::Mod, left, right, place)?;
        let whole = self.combine(BinaryKind::Sub, left, &Value::Array(rest), place)?;
        let integers = whole.dtype(&self.graph).is_integer();
        let array = self.combine(BinaryKind::Div, &Value::Array(whole.clone()), right, place)?;
        // The difference is a multiple of the divisor but for a rounding.
        let array = self.map(&array, UnaryKind::Round, place)?;
        let to = if integers { whole.dtype(&self.graph) } else { array.dtype(&self.graph) };
        Ok(array.with_tensor(self.cast(array.tensor, to, place)?))
    }

    /// `&`, `|` and `^` of truths.
    fn bitwise(&mut self, operator: Operator, left: Value<'a>, right: Value<'a>, place: Place) -> Evaluated<'a> {
        let (a, b) = (self.operand(&left, place)?, self.operand(&right, place)?);
        if a.dtype(&self.graph) != DType::Bool || b.dtype(&self.graph) != DType::Bool {
            return self.fail(place, format!("`{}` is compiled only of truths", operator.as_str()));
        }
        let kind = match operator {
            Operator::BitAnd => LogicKind::And,
            Operator::BitOr => LogicKind::Or,
            _ => LogicKind::Xor,
        };
        self.logical(kind, &a, &b, place).map(Value::Array)
    }

    /// A Python list or number with 64 bits, as numpy takes it.
    pub(in crate::service) fn widened(&mut self, array: &Array, place: Place) -> Result<Array, Stop> {
        let dtype = array.dtype(&self.graph);
        let to = match dtype {
            dtype if !array.python => dtype,
            DType::F32 | DType::F16 | DType::BF16 => DType::F64,
            dtype if dtype.is_integer() && dtype != DType::U64 => DType::I64,
            dtype => dtype,
        };
        Ok(array.with_tensor(self.cast(array.tensor, to, place)?))
    }

    /// `operator operand`.
    pub(super) fn unary(&mut self, operator: UnaryOp, operand: Value<'a>, place: Place) -> Evaluated<'a> {
        Ok(match (operator, operand) {
            (UnaryOp::USub, Value::Int(value)) => match value.checked_neg() {
                Some(value) => Value::Int(value),
                None => return self.fail(place, "this integer does not fit into 64 bits"),
            },
            (UnaryOp::USub, Value::Float(value)) => Value::Float(-value),
            (UnaryOp::UAdd, value @ (Value::Int(_) | Value::Float(_))) => value,
            (UnaryOp::Not, value) => match value.truth() {
                Some(truth) => Value::Bool(!truth),
                None => {
                    let condition = self.condition_of(&value, place)?;
                    Value::Array(self.negated(&condition, place)?)
                }
            },
            (UnaryOp::Invert, Value::Array(array)) if array.dtype(&self.graph) == DType::Bool => {
                Value::Array(self.negated(&array, place)?)
            }
            (UnaryOp::USub, Value::Array(array)) => {
                let array = self.computed(&array, place)?;
                if array.dtype(&self.graph).is_float() {
                    Value::Array(self.map(&array, UnaryKind::Neg, place)?)
                } else {
                    Value::Array(self.combine(BinaryKind::Sub, &Value::Int(0), &Value::Array(array), place)?)
                }
            }
            (_, other) => {
                let problem = format!("`{}` of {} is not compiled", operator.as_str(), other.describe());
                return self.fail(place, problem);
            }
        })
    }

    /// A function of each element of an array of floats.
    pub(in crate::service) fn map(&mut self, array: &Array, kind: UnaryKind, place: Place) -> Result<Array, Stop> {
        let added = self.graph.add("function", Unary::of(kind), &[array.tensor]);
        Ok(array.with_tensor(self.added(added, place)?))
    }
}

/// The type that numpy gives results of two arrays (`numpy.promote_types`).
pub(super) fn promoted(a: DType, b: DType) -> DType {
    let unsigned = |dtype: DType| dtype.name().starts_with('u');
    let signed_of = |bits: u64| match bits {
        ..=8 => DType::I8,
        9..=16 => DType::I16,
        17..=32 => DType::I32,
        _ => DType::I64,
    };
    let float_for = |dtype: DType, other: DType| match (dtype, other.bits()) {
        (DType::F64, _) | (_, 32..) => DType::F64,
        (_, 16) => DType::F32,
        (dtype, _) => dtype,
    };
    match (a, b) {
        (a, b) if a == b => a,
        (DType::Bool, other) | (other, DType::Bool) => other,
        (a, b) if a.is_float() && b.is_float() => {
            if a.bits() > b.bits() {
                a
            } else {
                b
            }
        }
        (a, b) if a.is_float() => float_for(a, b),
        (a, b) if b.is_float() => float_for(b, a),
        (a, b) if unsigned(a) == unsigned(b) => {
            if a.bits() > b.bits() {
                a
            } else {
                b
            }
        }
        (a, b) => {
            let (positive, other) = if unsigned(a) { (a, b) } else { (b, a) };
            match positive.bits() {
                64 => DType::F64,
                bits if other.bits() > bits => other,
                bits => signed_of(bits * 2),
            }
        }
    }
}

/// The floating-point type that numpy computes in with a float.
pub(in crate::service) fn floating(dtype: DType) -> DType {
    if dtype.is_float() { dtype } else { DType::F64 }
}

/// Arithmetic of two constants; `None` where one of them is none.
fn constants<'a>(operator: Operator, left: &Value<'a>, right: &Value<'a>) -> Option<Result<Value<'a>, String>> {
    Some(match (left, right) {
        (Value::Int(a), Value::Int(b)) => integers(operator, *a, *b),
        (Value::Int(a), Value::Float(b)) => floats(operator, *a as f64, *b),
        (Value::Float(a), Value::Int(b)) => floats(operator, *a, *b as f64),
        (Value::Float(a), Value::Float(b)) => floats(operator, *a, *b),
        (Value::Text(a), Value::Text(b)) if operator == Operator::Add && a.len() + b.len() <= super::MAX_TEXT => {
            Ok(Value::Text(format!("{a}{b}").into()))
        }
        (Value::List(a), Value::List(b)) if operator == Operator::Add && a.len() + b.len() <= super::MAX_ITEMS => {
            Ok(Value::List(a.iter().chain(b.iter()).cloned().collect()))
        }
        _ => return None,
    })
}

fn integers<'a>(operator: Operator, a: i64, b: i64) -> Result<Value<'a>, String> {
    let value = match operator {
        Operator::Add => a.checked_add(b),
        Operator::Sub => a.checked_sub(b),
        Operator::Mult => a.checked_mul(b),
        Operator::Div if b != 0 => return Ok(Value::Float(a as f64 / b as f64)),
        Operator::FloorDiv if b != 0 => {
            a.checked_div(b).map(|quotient| if (a % b != 0) && ((a < 0) != (b < 0)) { quotient - 1 } else { quotient })
        }
        Operator::Mod if b != 0 => {
            a.checked_rem(b).map(|rest| if rest != 0 && ((rest < 0) != (b < 0)) { rest + b } else { rest })
        }
        Operator::Pow => u32::try_from(b).ok().and_then(|power| a.checked_pow(power)),
        _ => None,
    };
    value.map(Value::Int).ok_or_else(|| format!("the result of `{}` is not compiled", operator.as_str()))
}

fn floats<'a>(operator: Operator, a: f64, b: f64) -> Result<Value<'a>, String> {
    Ok(Value::Float(match operator {
        Operator::Add => a + b,
        Operator::Sub => a - b,
        Operator::Mult => a * b,
        Operator::Div if b != 0.0 => a / b,
        Operator::Pow if a > 0.0 => a.powf(b),
        _ => return Err(format!("the result of `{}` is not compiled", operator.as_str())),
    }))
}

/// Whether an integer is one of a type.
fn fits(value: i64, dtype: DType) -> bool {
    let bits = dtype.bits();
    match dtype.name().starts_with('u') {
        true => value >= 0 && (bits >= 64 || value < 1 << bits),
        false => bits >= 64 || (-(1i64 << (bits - 1))..1 << (bits - 1)).contains(&value),
    }
}
