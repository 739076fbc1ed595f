//! Pydantic models that a service makes: their fields by name, with defaults.

use std::rc::Rc;

use ekiben_runtime::DType;
use ruff_python_ast::{Expr, Stmt, StmtAnnAssign, StmtClassDef};

use super::super::modules::{Meaning, ModuleId};
use super::{Array, Call, Evaluated, Evaluator, Place, Stop, Value};

/// Models that models are made of.
const MAX_BASES: usize = 8;

/// A field: where it is declared.
type Field<'a> = (ModuleId, &'a StmtAnnAssign);

impl<'a> Evaluator<'_, 'a> {
    /// What a call of a class of the bento makes.
    pub(super) fn made(&mut self, module: ModuleId, class: &'a StmtClassDef, call: &Call<'a>) -> Evaluated<'a> {
        let mut fields = Vec::new();
        self.fields(module, class, &mut fields, call.place, 0)?;
        if let Some((_, place)) = call.positional.first() {
            return self.fail(*place, "a pydantic model takes its fields by their names");
        }
        let mut items = Vec::new();
        for (module, field) in fields {
            let Expr::Name(name) = &*field.target else { continue };
            let given = call.keywords.iter().find(|(keyword, ..)| *keyword == name.id.as_str());
            let value = match (given, &field.value) {
                (Some((_, value, _)), _) => self.as_field(module, &field.annotation, value.clone(), call.place)?,
                (None, Some(default)) => self.default_of(module, default, call.place)?,
                (None, None) => return self.fail(call.place, format!("the field `{}` is missing", name.id)),
            };
            items.push((Value::Text(Rc::from(name.id.as_str())), value));
        }
        let known = |name: &str| items.iter().any(|(key, _)| matches!(key, Value::Text(key) if **key == *name));
        if let Some((name, _, place)) = call.keywords.iter().find(|(name, ..)| !known(name)) {
            return self.fail(*place, format!("`{}` has no field `{name}`", class.name));
        }
        Ok(Value::Record(items.into()))
    }

    /// The fields of a model, those of the models that it stands on first.
    fn fields(
        &self,
        module: ModuleId,
        class: &'a StmtClassDef,
        found: &mut Vec<Field<'a>>,
        place: Place,
        depth: usize,
    ) -> Result<(), Stop> {
        let refused = |what: &str| {
            let problem = format!("`{}` is a class of the service; {what}", class.name);
            self.fail(place, problem)
        };
        let bases = class.arguments.as_deref().map(|arguments| &arguments.args[..]).unwrap_or_default();
        let [base] = bases else {
            return refused("only its own service class and pydantic models are read");
        };
        match self.class.modules.path(module, base).map_err(Stop::Error)?.as_deref() {
            Some("pydantic.BaseModel" | "pydantic.main.BaseModel") => {}
            _ => match self.base_class(module, base) {
                Some((module, base)) if depth < MAX_BASES => self.fields(module, base, found, place, depth + 1)?,
                _ => return refused("only its own service class and pydantic models are read"),
            },
        }
        if !class.decorator_list.is_empty() {
            return refused("a decorated model is not read");
        }
        for statement in &class.body {
            match statement {
                Stmt::AnnAssign(field) => {
                    let same = |(_, other): &Field<'a>| matches!((&*other.target, &*field.target), (Expr::Name(a), Expr::Name(b)) if a.id == b.id);
                    match found.iter_mut().find(|field| same(field)) {
                        Some(old) => *old = (module, field),
                        None => found.push((module, field)),
                    }
                }
                Stmt::Pass(_) => {}
                Stmt::Expr(text) if text.value.is_string_literal_expr() => {}
                _ => return refused("a model with more than fields, such as validators, is not made here"),
            }
        }
        Ok(())
    }

    /// The class of the bento that a base is.
    fn base_class(&self, module: ModuleId, base: &Expr) -> Option<(ModuleId, &'a StmtClassDef)> {
        let Expr::Name(name) = base else { return None };
        match self.class.modules.named(module, name.id.as_str()) {
            Ok(Meaning::Class(module, class)) => Some((module, class)),
            _ => None,
        }
    }

    /// The default of a field: a value, or that in `Field(default)`.
    fn default_of(&mut self, module: ModuleId, default: &'a Expr, place: Place) -> Evaluated<'a> {
        let Expr::Call(call) = default else {
            return self.evaluate_in(place, module, default);
        };
        let field = self.class.modules.path(module, &call.func).map_err(Stop::Error)?;
        let named = call.arguments.keywords.iter().find(|keyword| keyword.arg.as_deref() == Some("default"));
        let value = call.arguments.args.first().or(named.map(|keyword| &keyword.value));
        match (field.as_deref(), value) {
            (Some("pydantic.Field" | "pydantic.fields.Field"), Some(value)) if !value.is_ellipsis_literal_expr() => {
                self.evaluate_in(place, module, value)
            }
            _ => self.fail(place, "a field of this model is missing, or has a default that is not read"),
        }
    }

    /// A value as a field with this annotation holds it.
    fn as_field(&mut self, module: ModuleId, annotation: &'a Expr, value: Value<'a>, place: Place) -> Evaluated<'a> {
        let path = self.class.modules.path(module, annotation).map_err(Stop::Error)?;
        match (path.as_deref(), &value) {
            (Some("builtins.float"), Value::Int(number)) => Ok(Value::Float(*number as f64)),
            (Some("builtins.float"), Value::Array(array)) if !array.dtype(&self.graph).is_float() => {
                let tensor = self.cast(array.tensor, DType::F64, place)?;
                Ok(Value::Array(Array { python: true, assumed: false, ..array.with_tensor(tensor) }))
            }
            (Some("builtins.float"), Value::Array(array)) => {
                Ok(Value::Array(Array { python: true, assumed: false, ..array.clone() }))
            }
            (Some("builtins.int"), Value::Array(array)) if !array.dtype(&self.graph).is_integer() => {
                self.fail(place, "a field of integers is given something else. Convert it with `int`")
            }
            (Some("builtins.int"), Value::Float(_)) => {
                self.fail(place, "a field of integers is given a float. Convert it with `int`")
            }
            _ => Ok(value),
        }
    }
}
