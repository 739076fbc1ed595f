//! The service class: its decorators, models, helpers and API methods, of both generations.

use std::collections::HashMap;
use std::rc::Rc;

use ruff_python_ast::{Arguments, Decorator, Expr, ExprCall, Stmt, StmtClassDef, StmtFunctionDef};
use ruff_text_size::Ranged;

use super::annotation;
use super::error::ServiceError;
use super::literal::{Literal, literal};
use super::modules::{Meaning, ModuleId, Modules, Program};
use crate::bundle::{Generation, ValueSchema};

/// A service class as its source declares it.
#[derive(Debug)]
pub struct ServiceClass<'a> {
    /// The modules it is made of.
    pub(super) modules: Rc<Modules<'a>>,
    /// Its name.
    pub name: &'a str,
    /// The module it is in.
    pub(super) module: ModuleId,
    /// The artifacts it declares (0.13).
    pub artifacts: Vec<ArtifactDecl>,
    /// Attributes assigned in the class body, among them references to models (1.x).
    pub attributes: HashMap<&'a str, &'a Expr>,
    /// `__init__`, which loads the models (1.x).
    pub init: Option<&'a StmtFunctionDef>,
    /// All methods, the APIs among them.
    pub methods: HashMap<&'a str, &'a StmtFunctionDef>,
    /// The API methods in source order.
    pub apis: Vec<ApiMethod<'a>>,
    /// Whether APIs are methods; those of a service with runners are functions without `self`.
    pub takes_self: bool,
}

/// An artifact of `@artifacts([...])`.
#[derive(Debug, Clone, PartialEq)]
pub struct ArtifactDecl {
    /// The name in `self.artifacts`.
    pub name: String,
    /// The class without its module: `SklearnModelArtifact`.
    pub class: String,
    /// Further arguments: `backend`, `file_extension`, …
    pub options: Vec<(String, Literal)>,
}

/// An adapter as `@api` of BentoML 0.13 constructs it.
#[derive(Debug, Clone, PartialEq)]
pub struct AdapterDecl {
    /// The class without its module: `DataframeInput`.
    pub class: String,
    /// Arguments by name, among them what `bentoml.yml` does not record (`columns`).
    pub options: Vec<(String, Literal)>,
}

/// One API method.
#[derive(Debug)]
pub struct ApiMethod<'a> {
    /// The API's name: the method's, unless `api_name` or `name` gives another.
    pub name: String,
    /// The method.
    pub function: &'a StmtFunctionDef,
    /// Parameters, after `self` where there is one.
    pub parameters: Vec<ParameterDecl<'a>>,
    /// The input adapter (0.13).
    pub input: Option<AdapterDecl>,
    /// The output adapter (0.13), if it is not the default one.
    pub output: Option<AdapterDecl>,
    /// Constant options of the decorator by name: `route`, `batch`, `batchable`, …
    pub options: Vec<(String, Literal)>,
}

/// One parameter of an API method.
#[derive(Debug)]
pub struct ParameterDecl<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its annotation. In 1.x it says the type ([`ServiceClass::schema`]); in 0.13 the adapter does.
    pub annotation: Option<&'a Expr>,
    /// Its default.
    pub default: Option<&'a Expr>,
}

/// BentoML's class decorators that change nothing about what an API answers.
const PASSIVE_CLASS_DECORATORS: [&str; 3] = ["env", "ver", "web_static_content"];

impl<'a> ServiceClass<'a> {
    /// Finds the class `name` from the entry module and reads its declarations.
    ///
    /// # Errors
    /// Names the place of whatever the class has that is not understood: bases, decorators, parameters.
    pub fn read(program: &'a Program, generation: Generation, name: &str) -> Result<ServiceClass<'a>, ServiceError> {
        let modules = Rc::new(Modules::of(program));
        match find(&modules, name)? {
            Found::Class(module, class) => ServiceClass::of(modules, generation, module, class),
            Found::Runners(module, name) => {
                let mut declared = Declared::default();
                let reader = Reader { modules: &modules, module, generation };
                reader.functions(name, &mut declared)?;
                if declared.apis.is_empty() {
                    let problem = format!("the service `{name}` has no function with the decorator `@{name}.api`");
                    return Err(modules.source(module).missing(problem));
                }
                Ok(ServiceClass::declared(modules.clone(), name, module, declared, false))
            }
        }
    }

    /// Reads the declarations of a class.
    ///
    /// # Errors
    /// Those of [`ServiceClass::read`].
    pub(super) fn of(
        modules: Rc<Modules<'a>>,
        generation: Generation,
        module: ModuleId,
        class: &'a StmtClassDef,
    ) -> Result<ServiceClass<'a>, ServiceError> {
        let mut declared = Declared::default();
        let reader = Reader { modules: &modules, module, generation };
        reader.bases(class)?;
        reader.class_decorators(class, &mut declared)?;
        for statement in &class.body {
            reader.member(statement, &mut declared)?;
        }
        if declared.apis.is_empty() {
            return Err(reader.fail(&class.name, "this service class has no method with the decorator `@api`"));
        }
        Ok(ServiceClass::declared(modules.clone(), class.name.as_str(), module, declared, true))
    }

    fn declared(
        modules: Rc<Modules<'a>>,
        name: &'a str,
        module: ModuleId,
        declared: Declared<'a>,
        takes_self: bool,
    ) -> ServiceClass<'a> {
        let Declared { artifacts, attributes, methods, apis } = declared;
        let init = methods.get("__init__").copied();
        ServiceClass { modules, name, module, artifacts, attributes, init, methods, apis, takes_self }
    }

    /// A class that declares nothing, for APIs that are not Python.
    pub(super) fn without_code(program: &'a Program) -> ServiceClass<'a> {
        ServiceClass {
            modules: Rc::new(Modules::of(program)),
            name: "",
            module: Modules::ENTRY,
            artifacts: Vec::new(),
            attributes: HashMap::new(),
            init: None,
            methods: HashMap::new(),
            apis: Vec::new(),
            takes_self: false,
        }
    }

    /// Whether an annotation says that a value may be `None`: `T | None`, `Optional[T]`.
    pub(super) fn may_be_none(&self, annotation: &Expr) -> bool {
        match annotation {
            Expr::BinOp(union) => [&union.left, &union.right].iter().any(|side| side.is_none_literal_expr()),
            Expr::Subscript(subscript) => {
                let path = self.modules.path(self.module, &subscript.value).ok().flatten();
                path.as_deref() == Some("typing.Optional")
            }
            _ => false,
        }
    }

    /// The type that an annotation of one of the class's methods says.
    ///
    /// # Errors
    /// An annotation that is not one of BentoML's tensor, frame, file and scalar types or a list of them.
    pub fn schema(&self, annotation: &Expr) -> Result<ValueSchema, ServiceError> {
        annotation::schema(&self.modules, self.module, annotation)
    }
}

/// What the body and decorators of a class declare.
#[derive(Default)]
struct Declared<'a> {
    artifacts: Vec<ArtifactDecl>,
    attributes: HashMap<&'a str, &'a Expr>,
    methods: HashMap<&'a str, &'a StmtFunctionDef>,
    apis: Vec<ApiMethod<'a>>,
}

/// What the manifest names as the service.
enum Found<'a> {
    Class(ModuleId, &'a StmtClassDef),
    /// An object with runners, by its name in the module that makes it.
    Runners(ModuleId, &'a str),
}

fn find<'a>(modules: &Modules<'a>, name: &str) -> Result<Found<'a>, ServiceError> {
    let source = modules.source(Modules::ENTRY);
    let wanted = |statement: &&'a Stmt| statement.as_class_def_stmt().is_some_and(|class| class.name.as_str() == name);
    if let Some(Stmt::ClassDef(class)) = source.syntax().body.iter().find(wanted) {
        return Ok(Found::Class(Modules::ENTRY, class));
    }
    if let Some(name) = assigned(modules, Modules::ENTRY, |target, _| target == name)? {
        return Ok(Found::Runners(Modules::ENTRY, name));
    }
    match modules.member(Modules::ENTRY, name, 0) {
        Ok(Meaning::Class(module, class)) => Ok(Found::Class(module, class)),
        Ok(Meaning::Value(module, value)) => match assigned(modules, module, |_, made| std::ptr::eq(made, value))? {
            Some(name) => Ok(Found::Runners(module, name)),
            None => Err(source.missing(format!("`{name}`, which the manifest names as the service, is no service"))),
        },
        Ok(_) => Err(source.missing(format!("`{name}`, which the manifest names as the service, is not a class"))),
        Err(why) => Err(source.missing(format!("the service class `{name}` is not found: {why}"))),
    }
}

/// The name at the top of a module to which a service with runners is assigned, of those that are `wanted`.
fn assigned<'a>(
    modules: &Modules<'a>,
    module: ModuleId,
    wanted: impl Fn(&str, &Expr) -> bool,
) -> Result<Option<&'a str>, ServiceError> {
    for statement in &modules.source(module).syntax().body {
        let (target, value) = match statement {
            Stmt::Assign(assign) => match &assign.targets[..] {
                [target] => (target, &*assign.value),
                _ => continue,
            },
            Stmt::AnnAssign(assign) => match &assign.value {
                Some(value) => (&*assign.target, &**value),
                None => continue,
            },
            _ => continue,
        };
        let (Expr::Name(name), Expr::Call(call)) = (target, value) else { continue };
        if wanted(name.id.as_str(), value) && runners::is_service(modules.path(module, &call.func)?.as_deref()) {
            return Ok(Some(name.id.as_str()));
        }
    }
    Ok(None)
}

struct Reader<'m, 'a> {
    modules: &'m Modules<'a>,
    module: ModuleId,
    generation: Generation,
}

impl<'a> Reader<'_, 'a> {
    fn fail(&self, node: &impl Ranged, problem: impl Into<String>) -> ServiceError {
        self.modules.source(self.module).error(node, problem)
    }

    /// The name of something of BentoML, without its module; `None` for anything else.
    fn of_bentoml(&self, expression: &Expr) -> Result<Option<String>, ServiceError> {
        let path = self.modules.path(self.module, expression)?;
        Ok(path.filter(|path| path.starts_with("bentoml.")).and_then(|path| path.rsplit('.').next().map(str::to_owned)))
    }

    fn bases(&self, class: &StmtClassDef) -> Result<(), ServiceError> {
        let Some(arguments) = &class.arguments else {
            return Ok(());
        };
        if let Some(keyword) = arguments.keywords.first() {
            return Err(self.fail(keyword, "class keywords are not read"));
        }
        for base in &arguments.args {
            let known = self.modules.path(self.module, base)?.is_some_and(|path| path == "builtins.object");
            if !known && self.of_bentoml(base)?.as_deref() != Some("BentoService") {
                return Err(self.fail(
                    base,
                    "a service's base class other than BentoService is not read. Move its methods into the service",
                ));
            }
        }
        Ok(())
    }

    fn class_decorators(&self, class: &'a StmtClassDef, declared: &mut Declared<'a>) -> Result<(), ServiceError> {
        for decorator in &class.decorator_list {
            let (function, call) = parts(decorator);
            match (self.of_bentoml(function)?.as_deref(), call) {
                (Some("artifacts"), Some(call)) => declared.artifacts.extend(self.artifacts(call)?),
                (Some("service"), _) if self.generation != Generation::V0_13 => {}
                (Some(name), _) if PASSIVE_CLASS_DECORATORS.contains(&name) => {}
                _ => return Err(self.fail(decorator, "this class decorator is not read")),
            }
        }
        Ok(())
    }

    fn artifacts(&self, call: &'a ExprCall) -> Result<Vec<ArtifactDecl>, ServiceError> {
        let list = match call.arguments.find_argument_value("artifacts", 0) {
            Some(Expr::List(list)) => &list.elts,
            Some(Expr::Tuple(tuple)) => &tuple.elts,
            _ => {
                return Err(self.fail(call, "`@artifacts` is read with a list of artifacts written in it"));
            }
        };
        let mut artifacts = Vec::new();
        for item in list {
            let Expr::Call(item) = item else {
                return Err(self.fail(item, "this artifact is no call of an artifact class"));
            };
            let Some(class) = self.class_name(&item.func)? else {
                return Err(self.fail(&*item.func, "this artifact class is not read"));
            };
            let mut options = self.options(&item.arguments, &["name"])?;
            let position = options.iter().position(|(option, _)| option == "name");
            let name = position.map(|position| options.remove(position).1);
            let Some(Literal::Text(name)) = name else {
                return Err(self.fail(item, "this artifact's name is no text"));
            };
            artifacts.push(ArtifactDecl { name, class, options });
        }
        Ok(artifacts)
    }

    /// The name of a class that is BentoML's or outside of the bento.
    fn class_name(&self, expression: &Expr) -> Result<Option<String>, ServiceError> {
        let path = self.modules.path(self.module, expression)?;
        Ok(path.and_then(|path| path.rsplit('.').next().map(str::to_owned)))
    }

    /// Constant arguments by name; those by position are called `positional` in turn.
    fn options(&self, arguments: &Arguments, positional: &[&str]) -> Result<Vec<(String, Literal)>, ServiceError> {
        let mut options = Vec::new();
        for (index, argument) in arguments.args.iter().enumerate() {
            let Some(name) = positional.get(index) else {
                return Err(self.fail(argument, "this argument is read only by its name"));
            };
            options.push(((*name).to_owned(), literal(self.modules, self.module, argument)?));
        }
        for keyword in &arguments.keywords {
            let Some(name) = &keyword.arg else {
                return Err(self.fail(keyword, "`**` in arguments is not read"));
            };
            options.push((name.to_string(), literal(self.modules, self.module, &keyword.value)?));
        }
        Ok(options)
    }

    fn member(&self, statement: &'a Stmt, declared: &mut Declared<'a>) -> Result<(), ServiceError> {
        match statement {
            Stmt::FunctionDef(function) => self.method(function, declared),
            Stmt::Assign(assign) => {
                for target in &assign.targets {
                    let Expr::Name(name) = target else {
                        return Err(self.fail(target, "this class attribute is not read"));
                    };
                    declared.attributes.insert(name.id.as_str(), &assign.value);
                }
                Ok(())
            }
            Stmt::AnnAssign(assign) => {
                if let (Expr::Name(name), Some(value)) = (&*assign.target, &assign.value) {
                    declared.attributes.insert(name.id.as_str(), value);
                }
                Ok(())
            }
            Stmt::Pass(_) => Ok(()),
            Stmt::Expr(expression)
                if expression.value.is_string_literal_expr() || expression.value.is_ellipsis_literal_expr() =>
            {
                Ok(())
            }
            other => Err(self.fail(other, "this statement in the class body is not read")),
        }
    }

    fn method(&self, function: &'a StmtFunctionDef, declared: &mut Declared<'a>) -> Result<(), ServiceError> {
        let name = function.name.as_str();
        if declared.methods.insert(name, function).is_some() {
            return Err(self.fail(&function.name, "this method is defined twice"));
        }
        for decorator in &function.decorator_list {
            let (decoration, call) = parts(decorator);
            match self.of_bentoml(decoration)?.as_deref() {
                // A task answers at its own route too, like any other API.
                Some("api" | "task") if function.decorator_list.len() == 1 => {
                    declared.apis.push(self.api(function, decorator, call)?)
                }
                Some("on_shutdown") => {}
                Some(_) => return Err(self.fail(decorator, "this method decorator is not read")),
                // A helper: the evaluator refuses what it does not know, if an API calls it.
                None => {}
            }
        }
        Ok(())
    }

    fn api(
        &self,
        function: &'a StmtFunctionDef,
        decorator: &'a Decorator,
        call: Option<&'a ExprCall>,
    ) -> Result<ApiMethod<'a>, ServiceError> {
        let mut api = ApiMethod {
            name: function.name.to_string(),
            function,
            parameters: self.parameters(function, true)?,
            input: None,
            output: None,
            options: Vec::new(),
        };
        if let Some(call) = call {
            if let Some(argument) = call.arguments.args.first() {
                return Err(self.fail(argument, "`@api` is read only with named arguments"));
            }
            for keyword in &call.arguments.keywords {
                let Some(name) = &keyword.arg else {
                    return Err(self.fail(keyword, "`**` in arguments is not read"));
                };
                match name.as_str() {
                    "input" => api.input = Some(self.adapter(&keyword.value)?),
                    "output" if self.generation == Generation::V0_13 => {
                        api.output = Some(self.adapter(&keyword.value)?)
                    }
                    // Types of 1.x given here are in the manifest's schema.
                    "input_spec" | "output_spec" => {}
                    name => api.options.push((name.to_owned(), literal(self.modules, self.module, &keyword.value)?)),
                }
            }
        }
        let name = api.options.iter().find(|(option, _)| option == "api_name" || option == "name");
        if let Some((_, Literal::Text(name))) = name {
            api.name = name.clone();
        }
        if self.generation == Generation::V0_13 && api.input.is_none() {
            return Err(self.fail(decorator, "this API has no `input` adapter"));
        }
        Ok(api)
    }

    fn adapter(&self, expression: &Expr) -> Result<AdapterDecl, ServiceError> {
        let Expr::Call(call) = expression else {
            return Err(self.fail(expression, "this adapter is no call of an adapter class"));
        };
        match self.of_bentoml(&call.func)? {
            Some(class) => Ok(AdapterDecl { class, options: self.options(&call.arguments, &[])? }),
            None => Err(self.fail(&*call.func, "an adapter class that is not BentoML's is not read")),
        }
    }

    /// The parameters, after `self` where the function takes it.
    fn parameters(
        &self,
        function: &'a StmtFunctionDef,
        takes_self: bool,
    ) -> Result<Vec<ParameterDecl<'a>>, ServiceError> {
        let all = &function.parameters;
        if let Some(variadic) = all.vararg.as_ref().or(all.kwarg.as_ref()) {
            return Err(self.fail(&**variadic, "`*` and `**` parameters are not read. Name the parameters"));
        }
        let mut declared = all.iter_non_variadic_params();
        if takes_self && declared.next().is_none() {
            return Err(self.fail(&function.name, "this method has no `self`"));
        }
        declared
            .map(|declared| {
                Ok(ParameterDecl {
                    name: declared.parameter.name.as_str(),
                    annotation: declared.parameter.annotation.as_deref(),
                    default: declared.default.as_deref(),
                })
            })
            .collect()
    }
}

/// A decorator's function, and its call if it is one.
fn parts(decorator: &Decorator) -> (&Expr, Option<&ExprCall>) {
    match &decorator.expression {
        Expr::Call(call) => (&call.func, Some(call)),
        function => (function, None),
    }
}

mod runners;

pub(super) use runners::described;

#[cfg(test)]
mod tests;
