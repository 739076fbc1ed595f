//! Calls: arguments, and what is called.

use ruff_python_ast::ExprCall;

use super::super::library;
use super::{Evaluated, Evaluator, Kind, Place, Stop, Value};

/// The arguments of one call.
#[derive(Clone)]
pub(in crate::service) struct Call<'a> {
    /// The call.
    pub(in crate::service) place: Place,
    pub(in crate::service) positional: Vec<(Value<'a>, Place)>,
    pub(in crate::service) keywords: Vec<(&'a str, Value<'a>, Place)>,
}

impl<'a> Call<'a> {
    /// The arguments by the names of the function's parameters, which stand in the order of their positions.
    ///
    /// # Errors
    /// An argument that is none of them, or that is given twice.
    pub(in crate::service) fn bind<const N: usize>(
        &self,
        evaluator: &Evaluator<'_, 'a>,
        names: [&str; N],
    ) -> Result<[Option<Value<'a>>; N], Stop> {
        let mut bound: [Option<Value<'a>>; N] = std::array::from_fn(|_| None);
        for (position, (value, place)) in self.positional.iter().enumerate() {
            match bound.get_mut(position) {
                Some(slot) => *slot = Some(value.clone()),
                None => return evaluator.fail(*place, format!("more than {N} arguments are not compiled here")),
            }
        }
        for (name, value, place) in &self.keywords {
            match names.iter().position(|known| known == name).and_then(|position| bound.get_mut(position)) {
                Some(slot) if slot.is_none() => *slot = Some(value.clone()),
                Some(_) => return evaluator.fail(*place, format!("`{name}` is given twice")),
                None => return evaluator.fail(*place, format!("the argument `{name}` is not compiled here")),
            }
        }
        Ok(bound)
    }

    /// The place of an argument, or of the call where there is none.
    pub(in crate::service) fn at(&self, position: usize) -> Place {
        self.positional.get(position).map_or(self.place, |(_, place)| *place)
    }

    /// That there are no arguments.
    pub(in crate::service) fn none(&self, evaluator: &Evaluator<'_, 'a>) -> Result<(), Stop> {
        self.bind::<0>(evaluator, []).map(|_| ())
    }
}

impl<'a> Evaluator<'_, 'a> {
    pub(super) fn call(&mut self, expression: &'a ExprCall) -> Evaluated<'a> {
        let callee = self.expression(&expression.func)?;
        let place = self.place(expression);
        let unknown = match &callee {
            Value::Path(path) if library::function(path).is_none() => Some(format!(
                "`{}` is not a function that can be compiled",
                path.strip_prefix("builtins.").unwrap_or(path)
            )),
            Value::Class(..)
            | Value::Network(..)
            | Value::Signature(_)
            | Value::Path(_)
            | Value::Transforms(_)
            | Value::Closure(..)
            | Value::Function(..)
            | Value::ServiceMethod(..)
            | Value::Method(..) => None,
            other => Some(format!("{} is not called", other.describe())),
        };
        if let Some(problem) = unknown {
            return self.fail(place, problem);
        }
        let call = self.arguments(expression)?;
        // What is done with an image's pixels may still be a step of its adapter; everything else takes arrays.
        let takes_images = match &callee {
            Value::Path(path) => library::takes_images(path),
            Value::Method(receiver, _) => receiver.kind() == Kind::Picture,
            Value::Network(..) | Value::Signature(_) => false,
            _ => true,
        };
        let call = if takes_images { call } else { self.arrays_of(call)? };
        match callee {
            Value::Path(path) => match library::function(&path) {
                Some(function) => function(self, &call),
                None => self.fail(place, "this function is not compiled"),
            },
            Value::Function(module, function) => self.call_function(module, function, None, &call),
            Value::ServiceMethod(service, function, calling) => self.call_service(service, function, calling, &call),
            Value::Class(module, class) => self.made(module, class, &call),
            Value::Closure(callable, id) => self.call_closure(callable, id, &call),
            Value::Transforms(transforms) => library::transformed(self, &transforms, &call),
            network @ (Value::Network(..) | Value::Signature(_)) => library::network_call(self, &network, &call),
            Value::Method(receiver, name) => match library::method(receiver.kind(), name) {
                Some(method) => method(self, &receiver, &call),
                None if receiver.kind() == Kind::Picture => {
                    self.fail(place, format!("`{name}` of an image is not compiled"))
                }
                None => library::model_method(self, &receiver, name, &call),
            },
            other => self.fail(place, format!("{} is not called", other.describe())),
        }
    }

    /// The call with the arrays of images that Python sees as arrays.
    fn arrays_of(&mut self, mut call: Call<'a>) -> Result<Call<'a>, Stop> {
        for (value, place) in &mut call.positional {
            *value = self.with_arrays(value.clone(), *place)?;
        }
        for (_, value, place) in &mut call.keywords {
            *value = self.with_arrays(value.clone(), *place)?;
        }
        Ok(call)
    }

    fn arguments(&mut self, expression: &'a ExprCall) -> Result<Call<'a>, Stop> {
        let mut call = Call { place: self.place(expression), positional: Vec::new(), keywords: Vec::new() };
        for argument in &expression.arguments.args {
            call.positional.push((self.expression(argument)?, self.place(argument)));
        }
        for keyword in &expression.arguments.keywords {
            let Some(name) = &keyword.arg else {
                return self.fail_at(keyword, "`**` in arguments is not compiled");
            };
            call.keywords.push((name.as_str(), self.expression(&keyword.value)?, self.place(keyword)));
        }
        Ok(call)
    }
}
