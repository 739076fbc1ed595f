//! The symbolic evaluator: runs a service's Python on values that stand for the data of any request.
//!
//! One mechanism for every API: statements and expressions are walked as Python would run them, on [`Value`]s. What does not
//! depend on the request is computed at once; what does becomes nodes of a [`Graph`]. What functions and methods of libraries
//! mean is in [`super::library`]. Nothing is skipped: a statement or expression that is not understood is an error with its place.
//!
//! The width of an API's input is often not in the source. It is then assumed; the first model that takes the input settles it,
//! and the evaluation starts again ([`Stop::Settled`]).

mod arithmetic;
mod broadcast;
mod call;
mod comprehension;
mod dependency;
mod effect;
mod expression;
mod format;
mod loops;
mod model;
mod nullable;
mod picture;
mod pydantic;
mod request;
mod statement;
mod subscript;
mod take;
mod value;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use ruff_python_ast::{Expr, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};

pub(super) use arithmetic::floating;
pub(super) use call::Call;
pub(super) use picture::{Picture, Resized};
pub(super) use value::{Array, Callable, Calling, Frame, Index, Json, Kind, LoopId, Piece, ScopeId, ServiceId, Value};

use super::class::ServiceClass;
use super::data;
use super::error::ServiceError;
use super::input::Inputs;
use super::modules::{Meaning, ModuleId};
use crate::bundle::Bundle;
use crate::frontend::{Model, NamedTensor};
use crate::graph::{Graph, TensorId};

/// Statements and expressions that one API may take to evaluate.
const MAX_STEPS: usize = 200_000;
/// Functions in functions, and names that lead to other names.
const MAX_DEPTH: usize = 32;
/// Expressions and blocks in each other, through all functions: what the program's stack holds.
const MAX_NESTING: usize = 128;
/// Values in values.
const MAX_VALUE_DEPTH: usize = 32;
/// Bytes of a text that is put together.
const MAX_TEXT: usize = 10_000;
/// Calls of models that differ in the model, the method or the inputs.
const MAX_MODEL_CALLS: usize = 64;
/// Items of a list, dict or loop whose length is known.
pub(super) const MAX_ITEMS: usize = 10_000;

/// Where something stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) module: ModuleId,
    pub(super) range: TextRange,
}

/// Why an evaluation ends without a value.
#[derive(Debug)]
pub(super) enum Stop {
    /// Something is not understood.
    Error(ServiceError),
    /// More is known about the inputs; evaluate again with these.
    Settled(Inputs),
}

impl From<ServiceError> for Stop {
    fn from(error: ServiceError) -> Self {
        Stop::Error(error)
    }
}

/// What evaluating gives.
pub(super) type Evaluated<'a> = Result<Value<'a>, Stop>;

/// The models of a bento, by tag.
pub(super) type Models = BTreeMap<String, Box<dyn Model>>;

/// A call of a model: its tag, the method, what it was given and what it gave.
pub(crate) type ModelCall = (String, String, Vec<TensorId>, Vec<NamedTensor>);

/// The names that the code of one function sees.
struct Scope<'a> {
    module: ModuleId,
    /// The function's own names; `None` at the top of a module or class.
    locals: HashMap<&'a str, Value<'a>>,
    /// Whether attributes of `self` may be assigned: in `__init__`.
    constructs: bool,
    /// The scope of the function that this one stands in.
    parent: Option<ScopeId>,
    /// Its number among all scopes.
    number: usize,
    /// Comprehensions that run.
    comprehensions: usize,
}

impl<'a> Scope<'a> {
    fn new(module: ModuleId, locals: HashMap<&'a str, Value<'a>>, constructs: bool) -> Self {
        Self { module, locals, constructs, parent: None, number: 0, comprehensions: 0 }
    }
}

/// The name of what an API yields among its names, which no name of Python's is.
const YIELDED: &str = "yield";

/// The evaluation of one API.
pub(super) struct Evaluator<'e, 'a> {
    pub(super) class: &'e ServiceClass<'a>,
    pub(super) bundle: &'e Bundle,
    pub(super) models: &'e Models,
    /// What is computed of the request.
    pub(super) graph: Graph,
    /// The API's parameters and their leaves, with what is known about them.
    pub(super) inputs: Inputs,
    /// Attributes of `self` that `__init__` assigned, of each service.
    attributes: Vec<HashMap<&'a str, Value<'a>>>,
    /// The services that the one which answers depends on, itself or through others.
    dependencies: Vec<Rc<ServiceClass<'a>>>,
    /// Length of each loop over rows: the factor, and whether the number of rows multiplies it.
    pub(super) loops: Vec<(usize, bool)>,
    /// Values of expressions at the top of modules and classes, and of parameters' defaults: objects that every request shares.
    shared: HashMap<(ModuleId, TextRange), Value<'a>>,
    /// Look-up tables of the bento, by name.
    data: HashMap<String, Value<'a>>,
    /// Names of the outputs of each session.
    output_names: HashMap<String, Vec<String>>,
    /// What models gave for the inputs that they were called with.
    pub(super) model_calls: Vec<ModelCall>,
    scopes: Vec<Scope<'a>>,
    /// Tests of numbers of the request for `None`.
    none_tests: HashSet<TensorId>,
    /// Columns of texts of which only those are known that they are compared with.
    compared_texts: Vec<TensorId>,
    /// Scopes that there ever were.
    scope_count: usize,
    steps: usize,
    depth: usize,
    nesting: usize,
}

impl<'e, 'a> Evaluator<'e, 'a> {
    pub(super) fn new(
        class: &'e ServiceClass<'a>,
        bundle: &'e Bundle,
        models: &'e Models,
        inputs: Inputs,
    ) -> Evaluator<'e, 'a> {
        let scopes = vec![Scope::new(class.module, HashMap::new(), false)];
        Evaluator {
            class,
            bundle,
            models,
            graph: Graph::new(),
            inputs,
            attributes: vec![HashMap::new()],
            dependencies: Vec::new(),
            loops: Vec::new(),
            shared: HashMap::new(),
            data: HashMap::new(),
            output_names: HashMap::new(),
            model_calls: Vec::new(),
            scopes,
            none_tests: HashSet::new(),
            compared_texts: Vec::new(),
            scope_count: 0,
            steps: 0,
            depth: 0,
            nesting: 0,
        }
    }

    /// Evaluates `__init__` and then the API's method on its inputs.
    /// With `is_stream` the function is a generator, and its value is the text of all that it yields.
    pub(super) fn api(&mut self, function: &'a StmtFunctionDef, is_stream: bool) -> Evaluated<'a> {
        let module = self.class.module;
        if let Some(init) = self.class.init {
            self.construct(0, module, init)?;
        }
        let takes_self = self.class.takes_self;
        let mut locals = if takes_self { Self::with_self(0, function) } else { HashMap::new() };
        let values = self.input_values();
        let names = function.parameters.iter_non_variadic_params().skip(usize::from(takes_self));
        for (parameter, value) in names.zip(values) {
            locals.insert(parameter.parameter.name.as_str(), value);
        }
        if is_stream {
            locals.insert(YIELDED, Value::List([].into()));
        }
        let place = self.place(&function.name);
        let value = match self.body(place, function, module, locals, false)? {
            // The server awaits it.
            Value::Awaitable(value) => (*value).clone(),
            value => value,
        };
        if is_stream { self.streamed(&value, place) } else { Ok(value) }
    }

    /// Evaluates `__init__` of a service.
    fn construct(&mut self, service: ServiceId, module: ModuleId, init: &'a StmtFunctionDef) -> Result<(), Stop> {
        let place = Place { module, range: init.name.range() };
        if let Some(parameter) = init.parameters.iter_non_variadic_params().nth(1) {
            let place = Place { module, range: parameter.range() };
            return self.fail(place, "a parameter of `__init__` has no value here");
        }
        let locals = Self::with_self(service, init);
        self.body(place, init, module, locals, true).map(|_| ())
    }

    /// The names of a method before it runs: its `self`.
    fn with_self(service: ServiceId, function: &'a StmtFunctionDef) -> HashMap<&'a str, Value<'a>> {
        let first = function.parameters.iter_non_variadic_params().next();
        first.map(|parameter| (parameter.parameter.name.as_str(), Value::Service(service))).into_iter().collect()
    }

    fn scope(&mut self) -> &mut Scope<'a> {
        if self.scopes.is_empty() {
            self.scopes.push(Scope::new(self.class.module, HashMap::new(), false));
        }
        let last = self.scopes.len() - 1;
        &mut self.scopes[last]
    }

    /// A function or lambda of the code that runs, which sees its names.
    fn closure(&self, callable: Callable<'a>) -> Value<'a> {
        let position = self.scopes.len().saturating_sub(1);
        let number = self.scopes.last().map_or(0, |scope| scope.number);
        Value::Closure(callable, ScopeId { position, number })
    }

    /// What a call of a closure gives.
    pub(super) fn call_closure(&mut self, callable: Callable<'a>, id: ScopeId, call: &Call<'a>) -> Evaluated<'a> {
        let Some(parent) = self.scopes.get(id.position).filter(|scope| scope.number == id.number) else {
            return self.fail(call.place, "this function is called after the one that it stands in has ended");
        };
        let module = parent.module;
        match callable {
            Callable::Function(function) => {
                if let Some(decorator) = function.decorator_list.first() {
                    return self.fail_at(decorator, "a decorated function is not evaluated");
                }
                let locals = self.bound(module, &function.parameters, function.name.as_str(), None, call)?;
                let scope = Scope { parent: Some(id), ..Scope::new(module, locals, false) };
                let value =
                    self.inside(call.place, scope, |evaluator| evaluator.function_body(&function.body, call.place))?;
                Ok(Self::returned(function, value))
            }
            Callable::Lambda(lambda) => {
                let locals = match &lambda.parameters {
                    Some(parameters) => self.bound(module, parameters, "lambda", None, call)?,
                    None => HashMap::new(),
                };
                let scope = Scope { parent: Some(id), ..Scope::new(module, locals, false) };
                self.inside(call.place, scope, |evaluator| evaluator.expression(&lambda.body))
            }
        }
    }

    /// What a local name stands for, in the scope that runs and those around it.
    fn local(&self, name: &str) -> Option<Value<'a>> {
        let mut scope = self.scopes.last()?;
        loop {
            if let Some(value) = scope.locals.get(name) {
                return Some(value.clone());
            }
            let parent = scope.parent?;
            scope = self.scopes.get(parent.position).filter(|scope| scope.number == parent.number)?;
        }
    }

    /// The module whose code runs.
    pub(super) fn module(&self) -> ModuleId {
        self.scopes.last().map_or(self.class.module, |scope| scope.module)
    }

    /// The place of `node` in the code that runs.
    pub(super) fn place(&self, node: &impl Ranged) -> Place {
        Place { module: self.module(), range: node.range() }
    }

    /// The end with an error at a place.
    pub(super) fn fail<T>(&self, place: Place, problem: impl Into<String>) -> Result<T, Stop> {
        Err(Stop::Error(self.class.modules.source(place.module).error(&place.range, problem)))
    }

    /// The end with an error at a node of the code that runs.
    pub(super) fn fail_at<T>(&self, node: &impl Ranged, problem: impl Into<String>) -> Result<T, Stop> {
        self.fail(self.place(node), problem)
    }

    /// Counts steps.
    fn charge(&mut self, steps: usize, place: Place) -> Result<(), Stop> {
        self.steps = self.steps.saturating_add(steps);
        if self.steps > MAX_STEPS {
            return self.fail(place, format!("this API takes more than {MAX_STEPS} steps to evaluate"));
        }
        Ok(())
    }

    /// Counts a value that was put together as one step for each value in it.
    pub(super) fn charge_value(&mut self, value: &Value<'a>, place: Place) -> Result<(), Stop> {
        match value.size(MAX_VALUE_DEPTH, MAX_STEPS) {
            Some(size) => self.charge(size, place),
            None => self.fail(place, "this value is too large, or nested too deeply, to be compiled"),
        }
    }

    /// Evaluates something inside of something else, with bounded nesting.
    fn nested<T>(&mut self, place: Place, run: impl FnOnce(&mut Self) -> Result<T, Stop>) -> Result<T, Stop> {
        if self.nesting >= MAX_NESTING {
            let problem = format!("this is nested more than {MAX_NESTING} levels deep, with the calls that lead to it");
            return self.fail(place, problem);
        }
        self.charge(1, place)?;
        self.nesting += 1;
        let result = run(self);
        self.nesting -= 1;
        result
    }

    /// Evaluates in another scope, with bounded depth.
    fn inside<T>(
        &mut self,
        place: Place,
        mut scope: Scope<'a>,
        run: impl FnOnce(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, Stop> {
        if self.depth >= MAX_DEPTH {
            return self.fail(place, format!("calls and names lead more than {MAX_DEPTH} levels deep"));
        }
        self.depth += 1;
        self.scope_count += 1;
        scope.number = self.scope_count;
        self.scopes.push(scope);
        let result = run(self);
        self.scopes.pop();
        self.depth -= 1;
        result
    }

    /// The value of an expression at the top of a module or of the service class, or of a parameter's default.
    fn evaluate_in(&mut self, place: Place, module: ModuleId, expression: &'a Expr) -> Evaluated<'a> {
        let key = (module, expression.range());
        if let Some(value) = self.shared.get(&key) {
            return Ok(value.clone());
        }
        let scope = Scope::new(module, HashMap::new(), false);
        let value = self.inside(place, scope, |evaluator| evaluator.expression(expression))?;
        self.shared.insert(key, value.clone());
        Ok(value)
    }

    /// The value of an artifact that is a look-up table; `None` where it is a model.
    pub(super) fn data(&mut self, tag: &str, place: Place) -> Result<Option<Value<'a>>, Stop> {
        if let Some(value) = self.data.get(tag) {
            return Ok(Some(value.clone()));
        }
        let Some(file) = self.bundle.model(tag).filter(|_| !self.models.contains_key(tag)) else { return Ok(None) };
        match data::constant(file) {
            None => Ok(None),
            Some(Ok(value)) => {
                self.charge_value(&value, place)?;
                self.data.insert(tag.to_owned(), value.clone());
                Ok(Some(value))
            }
            Some(Err(problem)) => self.fail(place, format!("{}: {problem}", file.describe())),
        }
    }

    /// The value of what a name means at the top of a module.
    fn meaning(&mut self, place: Place, meaning: Meaning<'a>) -> Evaluated<'a> {
        match meaning {
            Meaning::Outside(path) => Ok(Value::Path(path.into())),
            Meaning::Module(module) => Ok(Value::Module(module)),
            Meaning::Function(module, function) => Ok(Value::Function(module, function)),
            Meaning::Value(module, expression) => self.evaluate_in(place, module, expression),
            Meaning::Class(module, class) => Ok(Value::Class(module, class)),
        }
    }
}
