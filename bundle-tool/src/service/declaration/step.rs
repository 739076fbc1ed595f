//! One step: an operator with its arguments.

use std::rc::Rc;

use super::super::evaluate::{Array, Call, Evaluated, Evaluator, Place, Stop, Value};
use super::super::library;
use super::document::{Data, Fault, Item, Table, check_name};
use super::operators::{self, Operator};
use super::scope::Scope;

/// A step as it is declared.
#[derive(Debug)]
pub(super) struct Step<'d> {
    pub(super) name: Rc<str>,
    pub(super) operator: &'static Operator,
    pub(super) table: &'d Table,
    /// Where the operator's name stands.
    pub(super) place: Place,
}

/// The place of an item.
pub(super) fn place_of(item: &Item) -> Place {
    Place { module: 0, range: item.range }
}

/// The end of an evaluation with a fault of the declaration.
pub(super) fn stop(evaluator: &Evaluator<'_, '_>, fault: Fault) -> Stop {
    match evaluator.fail::<()>(Place { module: 0, range: fault.range }, fault.problem) {
        Err(stop) => stop,
        Ok(()) => unreachable!("`fail` fails"),
    }
}

impl<'d> Step<'d> {
    /// Reads a step and checks that its keys are the operator's.
    pub(super) fn read(table: &'d Table) -> Result<Self, Fault> {
        let name = check_name(table.needed("name", "a step")?)?;
        let op = table.needed("op", &format!("the step `{name}`"))?;
        let Some(operator) = operators::find(op.text()?) else {
            let problem = format!("there is no operator `{}`; there are {}", op.text()?, operators::names());
            return Err(Fault::new(op.range, problem));
        };
        table.only(&[&["name", "op"][..], operator.keys].concat(), &format!("`{}`", operator.name))?;
        Ok(Self { name, operator, table, place: place_of(op) })
    }
}

/// A step that is evaluated, with the values before it.
pub(super) struct Arguments<'c, 'a> {
    pub(super) step: &'c Step<'c>,
    pub(super) scope: &'c Scope<'a>,
}

impl<'a> Arguments<'_, 'a> {
    pub(super) fn place(&self) -> Place {
        self.step.place
    }

    /// The value of a key, where it is given.
    pub(super) fn item(&self, key: &str) -> Option<&Item> {
        self.step.table.get(key)
    }

    /// The place of a key's value, or of the operator.
    pub(super) fn at(&self, key: &str) -> Place {
        self.item(key).map_or(self.step.place, place_of)
    }

    /// The value of a key that must be given.
    pub(super) fn needed(&self, evaluator: &Evaluator<'_, 'a>, key: &str) -> Result<&Item, Stop> {
        match self.item(key) {
            Some(item) => Ok(item),
            None => evaluator.fail(self.place(), format!("`{}` needs `{key}`", self.step.operator.name)),
        }
    }

    /// The value that `item` refers to.
    pub(super) fn reference(&self, evaluator: &mut Evaluator<'_, 'a>, item: &Item) -> Evaluated<'a> {
        let name = item.text().map_err(|fault| stop(evaluator, fault))?;
        self.scope.find(evaluator, name, place_of(item))
    }

    /// The value that a key refers to.
    pub(super) fn value(&self, evaluator: &mut Evaluator<'_, 'a>, key: &str) -> Evaluated<'a> {
        let item = self.needed(evaluator, key)?;
        self.reference(evaluator, item)
    }

    /// The values that a key refers to: a list of references, or one.
    pub(super) fn values(&self, evaluator: &mut Evaluator<'_, 'a>, key: &str) -> Result<Vec<Value<'a>>, Stop> {
        let item = self.needed(evaluator, key)?;
        match &item.data {
            Data::List(items) => items.iter().map(|item| self.reference(evaluator, item)).collect(),
            _ => Ok(vec![self.reference(evaluator, item)?]),
        }
    }

    /// The array that a key refers to; of a table that of all its columns.
    pub(super) fn array(&self, evaluator: &mut Evaluator<'_, 'a>, key: &str) -> Result<Array, Stop> {
        let value = self.value(evaluator, key)?;
        let array = evaluator.operand(&value, self.at(key))?;
        evaluator.led(&array, self.at(key))
    }

    /// A constant.
    pub(super) fn constant(&self, key: &str) -> Option<Value<'a>> {
        self.item(key).map(Item::constant)
    }

    /// A constant, or the value that the key `by` refers to: one of both is given.
    pub(super) fn other(&self, evaluator: &mut Evaluator<'_, 'a>) -> Result<(Value<'a>, Place), Stop> {
        match (self.item("value"), self.item("with")) {
            (Some(item), None) => Ok((item.constant(), place_of(item))),
            (None, Some(item)) => Ok((self.reference(evaluator, item)?, place_of(item))),
            _ => {
                let name = self.step.operator.name;
                evaluator.fail(self.place(), format!("`{name}` needs `with`, a value's name, or `value`, a constant"))
            }
        }
    }

    pub(super) fn number(&self, evaluator: &Evaluator<'_, 'a>, key: &str) -> Result<Option<f64>, Stop> {
        self.item(key).map(Item::number).transpose().map_err(|fault| stop(evaluator, fault))
    }

    pub(super) fn integer(&self, evaluator: &Evaluator<'_, 'a>, key: &str) -> Result<Option<i64>, Stop> {
        self.item(key).map(Item::integer).transpose().map_err(|fault| stop(evaluator, fault))
    }

    pub(super) fn flag(&self, evaluator: &Evaluator<'_, 'a>, key: &str) -> Result<Option<bool>, Stop> {
        self.item(key).map(Item::truth).transpose().map_err(|fault| stop(evaluator, fault))
    }

    pub(super) fn text(&self, evaluator: &Evaluator<'_, 'a>, key: &str) -> Result<Option<Rc<str>>, Stop> {
        self.item(key).map(|item| item.text().cloned()).transpose().map_err(|fault| stop(evaluator, fault))
    }

    /// A length of 1 or more.
    pub(super) fn length(&self, evaluator: &Evaluator<'_, 'a>, key: &str) -> Result<Option<usize>, Stop> {
        match self.integer(evaluator, key)? {
            None => Ok(None),
            Some(length) => match usize::try_from(length) {
                Ok(length @ 1..) => Ok(Some(length)),
                _ => evaluator.fail(self.at(key), format!("`{key}` is an integer from 1 on, not {length}")),
            },
        }
    }

    /// As [`Self::length`], of a key that must be given.
    pub(super) fn needed_length(&self, evaluator: &Evaluator<'_, 'a>, key: &str) -> Result<usize, Stop> {
        self.needed(evaluator, key)?;
        self.length(evaluator, key)?.map_or_else(|| evaluator.fail(self.place(), "a length is needed"), Ok)
    }

    /// An axis among `rank` of them; -1 is the last one.
    pub(super) fn axis(
        &self,
        evaluator: &Evaluator<'_, 'a>,
        key: &str,
        rank: usize,
        usual: i64,
    ) -> Result<usize, Stop> {
        let axis = self.integer(evaluator, key)?.unwrap_or(usual);
        let counted = if axis < 0 { axis.checked_add(rank as i64) } else { Some(axis) };
        match counted.and_then(|axis| usize::try_from(axis).ok()).filter(|&axis| axis < rank) {
            Some(axis) => Ok(axis),
            None => evaluator.fail(self.at(key), format!("there is no axis {axis} among {rank}")),
        }
    }

    /// A function of a library, called with values by position and by name.
    pub(super) fn call(
        &self,
        evaluator: &mut Evaluator<'_, 'a>,
        path: &str,
        positional: Vec<Value<'a>>,
        named: Vec<(&'static str, Value<'a>)>,
    ) -> Evaluated<'a> {
        let place = self.place();
        let call = Call {
            place,
            positional: positional.into_iter().map(|value| (value, place)).collect(),
            keywords: named.into_iter().map(|(name, value)| (name, value, place)).collect(),
        };
        match library::function(path) {
            Some(function) => function(evaluator, &call),
            None => evaluator.fail(place, "this operator is not compiled"),
        }
    }

    /// A method of a value, called with values by position.
    pub(super) fn method(
        &self,
        evaluator: &mut Evaluator<'_, 'a>,
        receiver: &Value<'a>,
        name: &str,
        positional: Vec<Value<'a>>,
    ) -> Evaluated<'a> {
        let place = self.place();
        let positional = positional.into_iter().map(|value| (value, place)).collect();
        let call = Call { place, positional, keywords: Vec::new() };
        match library::method(receiver.kind(), name) {
            Some(method) => method(evaluator, receiver, &call),
            None => {
                let problem = format!("`{}` of {} is not compiled", self.step.operator.name, receiver.describe());
                evaluator.fail(self.at("of"), problem)
            }
        }
    }
}
