//! The services of a bento: attributes of `self`, and what `bentoml.depends` gives.
//!
//! A service that another one depends on runs elsewhere in BentoML; here its methods are evaluated where they are called. Its parameters are
//! converted as its own server would.

use std::collections::HashMap;
use std::rc::Rc;

use ekiben_runtime::{DType, Shape, TensorSpec};
use ruff_python_ast::{Expr, Parameters, StmtClassDef, StmtFunctionDef};

use super::super::class::ServiceClass;
use super::super::modules::ModuleId;
use super::super::{annotation, library};
use super::{Array, Call, Calling, Evaluated, Evaluator, Place, ServiceId, Stop, Value};
use crate::bundle::{Generation, ValueSchema};
use crate::frontend::ModelInput;

/// Services that one service may depend on, itself or through others.
const MAX_SERVICES: usize = 64;

impl<'a> Evaluator<'_, 'a> {
    /// The module and a part of the declarations of a service.
    fn of_service<T>(&self, service: ServiceId, take: impl FnOnce(&ServiceClass<'a>) -> T) -> T {
        match service.checked_sub(1).and_then(|index| self.dependencies.get(index)) {
            Some(class) => take(class),
            None => take(self.class),
        }
    }

    /// `self.name = value` in `__init__`.
    pub(super) fn set_attribute(&mut self, service: ServiceId, name: &'a str, value: Value<'a>) {
        if let Some(attributes) = self.attributes.get_mut(service) {
            attributes.insert(name, value);
        }
    }

    /// `self.name`.
    pub(super) fn service_attribute(&mut self, service: ServiceId, name: &'a str, place: Place) -> Evaluated<'a> {
        if let Some(value) = self.attributes.get(service).and_then(|attributes| attributes.get(name)) {
            return Ok(value.clone());
        }
        let (module, attribute, method) = self.of_service(service, |class| {
            (class.module, class.attributes.get(name).copied(), class.methods.get(name).copied())
        });
        if let Some(expression) = attribute {
            return self.evaluate_in(place, module, expression);
        }
        if let Some(function) = method {
            return Ok(Value::ServiceMethod(service, function, Calling::Own));
        }
        if name == "artifacts" && !self.class.artifacts.is_empty() {
            return Ok(Value::Artifacts);
        }
        self.fail(place, format!("the service has no attribute `{name}`: neither its class nor `__init__` assigns it"))
    }

    /// `self.other.name`, of a service that this one depends on: one of its APIs.
    pub(super) fn dependency_attribute(
        &mut self,
        service: ServiceId,
        calling: Calling,
        name: &'a str,
        place: Place,
    ) -> Evaluated<'a> {
        match (name, calling) {
            ("to_async", Calling::Plain) => return Ok(Value::Dependency(service, Calling::Async)),
            ("to_sync", Calling::Plain) => return Ok(Value::Dependency(service, Calling::Sync)),
            _ => {}
        }
        let (class, found) = self.of_service(service, |class| {
            let api = class.apis.iter().find(|api| api.function.name.as_str() == name);
            (class.name, api.map(|api| api.function))
        });
        match found {
            Some(function) => Ok(Value::ServiceMethod(service, function, calling)),
            None => self.fail(place, format!("`{class}`, on which this service depends, has no API `{name}`")),
        }
    }

    /// `bentoml.depends(Class)`.
    pub(in crate::service) fn depends(
        &mut self,
        module: ModuleId,
        class: &'a StmtClassDef,
        place: Place,
    ) -> Evaluated<'a> {
        let is_it = |known: &Rc<ServiceClass<'a>>| known.module == module && known.name == class.name.as_str();
        if let Some(index) = self.dependencies.iter().position(is_it) {
            return Ok(Value::Dependency(index + 1, Calling::Plain));
        }
        if self.dependencies.len() >= MAX_SERVICES {
            return self
                .fail(place, format!("a service that depends on more than {MAX_SERVICES} others is not compiled"));
        }
        let read = ServiceClass::of(self.class.modules.clone(), Generation::V1, module, class)?;
        let init = read.init;
        self.dependencies.push(Rc::new(read));
        self.attributes.push(HashMap::new());
        let service = self.dependencies.len();
        if let Some(init) = init {
            self.construct(service, module, init)?;
        }
        Ok(Value::Dependency(service, Calling::Plain))
    }

    /// What a method of a service gives.
    pub(super) fn call_service(
        &mut self,
        service: ServiceId,
        function: &'a StmtFunctionDef,
        calling: Calling,
        call: &Call<'a>,
    ) -> Evaluated<'a> {
        let module = self.of_service(service, |class| class.module);
        let this = Value::Service(service);
        if calling == Calling::Own && !self.is_api(service, function) {
            return self.call_function(module, function, Some(this), call);
        }
        let mut locals = self.bound(module, &function.parameters, function.name.as_str(), Some(this), call)?;
        if calling != Calling::Own {
            self.convert(module, &function.parameters, &mut locals, call.place)?;
        }
        let value = self.body(call.place, function, module, locals, false)?;
        Ok(match (calling, value) {
            (Calling::Sync, Value::Awaitable(value)) => (*value).clone(),
            (Calling::Async, value) if !matches!(value, Value::Awaitable(_)) => Value::Awaitable(Rc::new(value)),
            (_, value) => value,
        })
    }

    fn is_api(&self, service: ServiceId, function: &StmtFunctionDef) -> bool {
        self.of_service(service, |class| class.apis.iter().any(|api| std::ptr::eq(api.function, function)))
    }

    /// Makes of the arguments of an API what its server would give to it.
    fn convert(
        &mut self,
        module: ModuleId,
        parameters: &'a Parameters,
        locals: &mut HashMap<&'a str, Value<'a>>,
        place: Place,
    ) -> Result<(), Stop> {
        for declared in parameters.iter_non_variadic_params().skip(1) {
            let name = declared.parameter.name.as_str();
            let (Some(annotation), Some(value)) = (declared.parameter.annotation.as_deref(), locals.get(name).cloned())
            else {
                continue;
            };
            locals.insert(name, self.as_parameter(module, annotation, name, value, place)?);
        }
        Ok(())
    }

    /// A value as a parameter with this annotation takes it.
    fn as_parameter(
        &mut self,
        module: ModuleId,
        annotation: &'a Expr,
        name: &str,
        value: Value<'a>,
        place: Place,
    ) -> Evaluated<'a> {
        // A pydantic model of the bento's own has its fields checked where it is made.
        let Ok(schema) = annotation::schema(&self.class.modules, module, annotation) else { return Ok(value) };
        match (&schema, &value) {
            (ValueSchema::Tensor { dtype, shape, .. }, _) => {
                let array = library::array_of(self, &value, place)?;
                let array = match dtype.as_deref().map(DType::from_name) {
                    None => array,
                    Some(Some(to)) => {
                        let tensor = self.cast(array.tensor, to, place)?;
                        Array { assumed: false, ..array.with_tensor(tensor) }
                    }
                    Some(None) => return self.fail(place, format!("the type of `{name}` is not compiled")),
                };
                self.check_shape(&array, shape.as_deref(), name, place)?;
                Ok(Value::Array(array))
            }
            (ValueSchema::Number, Value::Int(number)) => Ok(Value::Float(*number as f64)),
            (ValueSchema::Number, Value::Array(array)) if array.axes(&self.graph).is_empty() => {
                let tensor = self.cast(array.tensor, DType::F64, place)?;
                Ok(Value::Array(Array { python: true, assumed: false, ..array.with_tensor(tensor) }))
            }
            (ValueSchema::Integer, Value::Float(_)) | (ValueSchema::Integer | ValueSchema::Text, Value::List(_)) => {
                self.fail(place, format!("`{name}` of this API takes another type. Convert it"))
            }
            (ValueSchema::Integer, Value::Array(array)) if !array.dtype(&self.graph).is_integer() => {
                self.fail(place, format!("`{name}` of this API takes an integer. Convert it with `int`"))
            }
            (ValueSchema::List(_), Value::Array(array)) if !array.python => self.fail(
                place,
                format!("`{name}` of this API takes a list, and this is an array. Convert it with `tolist`"),
            ),
            (ValueSchema::Dataframe { .. }, value) if !matches!(value, Value::Frame(_)) => {
                self.fail(place, format!("`{name}` of this API takes a frame, not {}", value.describe()))
            }
            _ => Ok(value),
        }
    }

    /// That an array has the shape that a parameter declares; another one would be made of it there.
    fn check_shape(&mut self, array: &Array, shape: Option<&[i64]>, name: &str, place: Place) -> Result<(), Stop> {
        let Some(shape) = shape else { return Ok(()) };
        let axes = array.axes(&self.graph);
        let fits = |(&axis, &wanted): (&usize, &i64)| match array.extent(&self.graph, axis) {
            _ if wanted < 0 => true,
            (length, batched) => !batched && length as i64 == wanted,
        };
        if axes.len() == shape.len() && axes.iter().zip(shape).all(fits) {
            return Ok(());
        }
        let batch = shape.iter().position(|&length| length < 0);
        let lengths: Vec<usize> = shape.iter().map(|&length| usize::try_from(length).unwrap_or(1)).collect();
        match Shape::new(&lengths, batch) {
            Ok(shape) if self.unsettled(array.tensor).is_some() => {
                let spec = TensorSpec::new(array.dtype(&self.graph), shape);
                let wanted = ModelInput { name: name.to_owned(), spec, columns: Vec::new() };
                self.settle_shape(array.tensor, &wanted, place)
            }
            _ => self.fail(place, format!("`{name}` of this API declares another shape. Reshape it before the call")),
        }
    }
}
