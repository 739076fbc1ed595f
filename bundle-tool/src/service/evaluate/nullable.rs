//! Numbers of a request that may be `None`: NaN among floats, the least integer among integers.
//!
//! `None` is no number that is computed with. So such an input is read by tests for `None` alone, and by choices that such a test makes:
//! [`Evaluator::check_nullable`].

use std::collections::HashSet;

use ekiben_runtime::Op;
use ekiben_runtime::ops::compare::CompareKind;
use ekiben_runtime::ops::logic::LogicKind;
use ruff_python_ast::{CmpOp, Expr};

use super::{Array, Evaluated, Evaluator, Place, Stop, Value};
use crate::graph::TensorId;

/// What stands for `None` among integers.
const NO_INTEGER: i64 = i64::MIN;

impl<'a> Evaluator<'_, 'a> {
    /// Whether a tensor is an input that may be `None`.
    fn is_nullable(&self, tensor: TensorId) -> bool {
        let at = self.graph.inputs().iter().position(|input| *input == tensor);
        let leaf = at.and_then(|at| self.inputs.leaf_of(at)).and_then(|leaf| self.inputs.leaves.get(leaf));
        leaf.is_some_and(|leaf| leaf.nullable)
    }

    /// Whether a number of the request is `None`; `None` where that is known.
    pub(super) fn none_test(&mut self, value: &Value<'a>, place: Place) -> Result<Option<Array>, Stop> {
        let Value::Array(array) = value else { return Ok(None) };
        if !self.is_nullable(array.tensor) {
            return Ok(None);
        }
        let test = if array.dtype(&self.graph).is_float() {
            // Only NaN differs from itself.
            self.compared(CompareKind::NotEqual, value, value, place)?
        } else {
            self.compared(CompareKind::Equal, value, &Value::Int(NO_INTEGER), place)?
        };
        self.none_tests.insert(test.tensor);
        Ok(Some(test))
    }

    /// The name whose value a test says is `None`, or with `false` is not, where the request decides.
    pub(super) fn named_none_test(&mut self, test: &'a Expr) -> Option<(&'a str, bool)> {
        let Expr::Compare(compare) = test else { return None };
        let (Expr::Name(name), [operator], [Expr::NoneLiteral(_)]) =
            (&*compare.left, &compare.ops[..], &compare.comparators[..])
        else {
            return None;
        };
        let is_none = match operator {
            CmpOp::Is | CmpOp::Eq => true,
            CmpOp::IsNot | CmpOp::NotEq => false,
            _ => return None,
        };
        let value = self.scope().locals.get(name.id.as_str())?.clone();
        match value {
            Value::Array(array) if self.is_nullable(array.tensor) => Some((name.id.as_str(), is_none)),
            _ => None,
        }
    }

    /// The number where it is one, and another one where it is `None`, for code that only runs where it is a number.
    pub(super) fn guarded(&mut self, value: &Value<'a>, place: Place) -> Evaluated<'a> {
        let Some(test) = self.none_test(value, place)? else { return Ok(value.clone()) };
        let is_float = matches!(value, Value::Array(array) if array.dtype(&self.graph).is_float());
        let other = if is_float { Value::Float(1.0) } else { Value::Int(1) };
        self.chosen(&test, &other, value, place)
    }

    /// The value of an expression that is only evaluated in Python where the name of a test for `None` is a number.
    pub(super) fn knowing(
        &mut self,
        guard: Option<(&'a str, bool)>,
        expression: &'a Expr,
        place: Place,
    ) -> Evaluated<'a> {
        let Some((name, _)) = guard else { return self.expression(expression) };
        let Some(open) = self.scope().locals.get(name).cloned() else { return self.expression(expression) };
        let guarded = self.guarded(&open, place)?;
        self.scope().locals.insert(name, guarded);
        let value = self.expression(expression)?;
        self.scope().locals.insert(name, open);
        Ok(value)
    }

    /// That nothing else than a test for `None` and choices by it read a number that may be `None`.
    ///
    /// # Errors
    /// Names the parameter.
    pub(in crate::service) fn check_nullable(&self) -> Result<(), Stop> {
        let negated = |node: &&crate::graph::Node| match (&node.op, node.inputs.first()) {
            (Op::Logic(op), Some(Some(from))) if op.kind == LogicKind::Xor => self.none_tests.contains(from),
            _ => false,
        };
        let tests: HashSet<TensorId> = self.none_tests.iter().copied().collect();
        let negations = self.graph.nodes().iter().filter(negated).flat_map(|node| node.outputs.iter().copied());
        let tests: HashSet<TensorId> = tests.into_iter().chain(negations).collect();
        for (at, &tensor) in self.graph.inputs().iter().enumerate().filter(|(_, tensor)| self.is_nullable(**tensor)) {
            let reads = self.graph.nodes().iter().filter(|node| node.inputs.contains(&Some(tensor)));
            let mut others = reads.filter(|node| {
                let is_test = node.outputs.iter().any(|output| self.none_tests.contains(output));
                let chooses = matches!(node.op, Op::Select(_))
                    && matches!(node.inputs.first(), Some(Some(test)) if tests.contains(test));
                !is_test && !chooses
            });
            if others.next().is_some() || self.graph.outputs().contains(&tensor) {
                let leaf = self.inputs.leaf_of(at).and_then(|leaf| self.inputs.leaves.get(leaf));
                let Some(leaf) = leaf else { continue };
                let name = &leaf.name;
                let problem = format!(
                    "`{name}` may be `None` where it is used. Give it a value before: `if {name} is None: {name} = …`"
                );
                return self.fail(leaf.place, problem);
            }
        }
        Ok(())
    }
}
