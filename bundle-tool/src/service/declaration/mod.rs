//! APIs that a file declares, `ekiben.toml`: what cannot be read from the service's Python.
//!
//! A declared API is inputs, steps and an answer. A step is an operator with the values before it; what an operator does is done by the
//! same functions on the same [`Value`](super::evaluate::Value)s as the functions of Python's libraries, so that one name has one meaning.
//! `docs/declarations.md` lists operators and keys.

mod answer;
mod api;
mod document;
mod input;
mod operators;
mod scope;
mod step;
pub(crate) mod write;

use ekiben_runtime::artifact::manifest;

use super::class::ServiceClass;
use super::error::ServiceError;
use super::evaluate::{Evaluator, Models, Place, Stop};
use super::input::{Inputs, parameter};
use super::lower::{MAX_ATTEMPTS, settled, tables};
use super::modules::Program;
use super::returns;
use crate::bundle::{self, ApiDecl, Bundle, Interface};
use crate::lowered::LoweredApi;

use api::{Answer, Body, DeclaredApi};
use document::{Fault, Table};
use scope::Scope;
use step::{Arguments, stop};

/// The version of the file's form.
const VERSION: i64 = 1;

/// A file of declarations.
#[derive(Clone, Debug)]
pub struct Declarations {
    label: String,
    text: String,
    root: Table,
}

impl Declarations {
    /// Reads `text`, which messages call `label`.
    ///
    /// # Errors
    /// Text that is not TOML, or has another form than declarations.
    pub fn parse(label: &str, text: String) -> Result<Self, ServiceError> {
        let root = document::parse(&text).and_then(|root| {
            root.only(&["version", "service", "api"], "a declaration")?;
            let version = root.needed("version", "a declaration")?;
            match version.integer()? {
                VERSION => {}
                other => {
                    let problem = format!("the version {other} of declarations is not known; this is {VERSION}");
                    return Err(Fault::new(version.range, problem));
                }
            }
            root.get("service").map(|item| item.text().map(drop)).transpose()?;
            let mut names: Vec<&str> = Vec::new();
            for table in root.tables("api")? {
                let api = DeclaredApi::read(table)?;
                if let Some(name) = table.get("name").and_then(|item| item.text().ok()) {
                    if names.contains(&&**name) {
                        return Err(Fault::new(api.range, format!("an API `{name}` is declared already")));
                    }
                    names.push(name);
                }
            }
            Ok(root)
        });
        match root {
            Ok(root) => Ok(Self { label: label.to_owned(), text, root }),
            Err(fault) => Err(super::source::error_in(label, &text, fault.range, fault.problem)),
        }
    }

    /// The service that the file says it is for.
    pub fn service(&self) -> Option<&str> {
        self.root.get("service").and_then(|item| item.text().ok()).map(|name| &**name)
    }

    /// The file's text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether an API of this name is declared.
    pub fn declares(&self, name: &str) -> bool {
        self.names().any(|known| known == name)
    }

    /// Names of the declared APIs.
    fn names(&self) -> impl Iterator<Item = &str> {
        let tables = self.root.tables("api").unwrap_or_default();
        tables.into_iter().filter_map(|table| table.get("name")?.text().ok().map(|name| &**name))
    }
}

/// Lowers every declared API.
///
/// # Errors
/// Everything that is wrong with them, each with file, line, column and text.
pub(super) fn lower_declared(
    bundle: &Bundle,
    models: &Models,
    declarations: &Declarations,
) -> Result<Vec<LoweredApi>, Vec<ServiceError>> {
    let program = Program::of_text(&declarations.label, &declarations.text).map_err(|error| vec![error])?;
    let class = ServiceClass::without_code(&program);
    let (mut lowered, mut errors) = (Vec::new(), Vec::new());
    for table in declarations.root.tables("api").unwrap_or_default() {
        let source = class.modules.source(0);
        match DeclaredApi::read(table) {
            Ok(api) => match lower(bundle, models, &class, &api) {
                Ok(api) => lowered.push(api),
                Err(error) => errors.push(error),
            },
            Err(fault) => errors.push(source.error(&fault.range, fault.problem)),
        }
    }
    if errors.is_empty() { Ok(lowered) } else { Err(errors) }
}

fn lower(
    bundle: &Bundle,
    models: &Models,
    class: &ServiceClass<'_>,
    api: &DeclaredApi<'_>,
) -> Result<LoweredApi, ServiceError> {
    let source = class.modules.source(0);
    let replaced = bundle.api(&api.name);
    let body = api.body.unwrap_or_else(|| replaced.map_or(Body::Members, body_of));
    let one = api.inputs.len() == 1;
    if !matches!(body, Body::Members | Body::File) && !one {
        let problem = format!("the body of `{}` is one value, so it has one input, not {}", api.name, api.inputs.len());
        return Err(source.error(&api.range, problem));
    }
    let fail = |fault: Fault| source.error(&fault.range, fault.problem);
    let mut inputs = input::inputs(&api.inputs, body == Body::Row).map_err(fail)?;
    inputs.order = bundle.pass_order();
    for _ in 0..MAX_ATTEMPTS {
        match attempt(bundle, models, class, api, inputs, body) {
            Ok((graph, inputs, returns)) => {
                let manifest = manifest(bundle, api, replaced, adapter(bundle, body, &inputs), returns);
                return Ok(LoweredApi { manifest, graph });
            }
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::Settled(known)) => inputs = known,
        }
    }
    Err(source.error(&api.range, "what this API's inputs are cannot be told. Declare their types"))
}

/// What a request of the bento's own API is.
fn body_of(api: &ApiDecl) -> Body {
    match &api.interface {
        Interface::V0_13 { input: bundle::InputAdapter::Json, batch: true, .. } => Body::Row,
        Interface::V0_13 { input: bundle::InputAdapter::TfTensor, .. } => Body::Members,
        Interface::V0_13 { input: bundle::InputAdapter::Text, .. } => Body::Text,
        Interface::V0_13 {
            input:
                bundle::InputAdapter::Image(_)
                | bundle::InputAdapter::MultiImage { .. }
                | bundle::InputAdapter::AnnotatedImage(_)
                | bundle::InputAdapter::File
                | bundle::InputAdapter::MultiFile { .. },
            ..
        } => Body::File,
        Interface::Runners { classes, .. } => match classes.0.as_str() {
            "Image" | "File" => Body::File,
            "Text" => Body::Text,
            _ => Body::Value,
        },
        Interface::V0_13 { .. } | Interface::V1 { root_input: true, .. } => Body::Value,
        Interface::V1 { .. } => Body::Members,
    }
}

type Attempt = (crate::graph::Graph, Inputs, manifest::Returns);

/// One evaluation with what is known about the inputs.
fn attempt(
    bundle: &Bundle,
    models: &Models,
    class: &ServiceClass<'_>,
    api: &DeclaredApi<'_>,
    inputs: Inputs,
    body: Body,
) -> Result<Attempt, Stop> {
    let mut evaluator = Evaluator::new(class, bundle, models, inputs);
    let mut scope = Scope::default();
    let values = evaluator.input_values();
    let names: Vec<String> = evaluator.inputs.parameters.iter().map(|member| member.name.clone()).collect();
    for (name, value) in names.iter().zip(values) {
        scope.add_input(name, value);
    }
    for step in &api.steps {
        let value = (step.operator.lower)(&mut evaluator, &Arguments { step, scope: &scope })?;
        if !scope.add(&step.name, value) {
            let range = step.table.get("name").map_or(step.place.range, |item| item.range);
            return Err(stop(&evaluator, Fault::new(range, format!("a value `{}` is there already", step.name))));
        }
    }
    let value = answer::value(&mut evaluator, &scope, &api.answer, body == Body::Row)?;
    let place = Place { module: 0, range: api.answer.range() };
    let returns = returns::declared(&mut evaluator, &value, place)?;
    tables(&mut evaluator, Place { module: 0, range: api.range })?;
    for input in &evaluator.inputs.leaves {
        settled(&evaluator, input)?;
    }
    Ok((evaluator.graph, evaluator.inputs, returns))
}

/// The adapter that fills the inputs.
fn adapter(bundle: &Bundle, body: Body, inputs: &Inputs) -> manifest::InputAdapter {
    let mut parameters: Vec<manifest::Parameter> =
        inputs.parameters.iter().map(|member| parameter(inputs, member)).collect();
    if body == Body::File {
        return manifest::InputAdapter::File { parameters, row: false };
    }
    if body == Body::Members || parameters.len() != 1 {
        return manifest::InputAdapter::Parameters(parameters);
    }
    let only = parameters.remove(0);
    let is_old = bundle.generation == bundle::Generation::V0_13;
    match (body, only) {
        (Body::Row, only) => manifest::InputAdapter::Row(only),
        (Body::Text, only) => manifest::InputAdapter::Text(only),
        (_, manifest::Parameter { kind: manifest::ParameterKind::Dataframe(frame), .. }) if is_old => {
            manifest::InputAdapter::Dataframe(frame)
        }
        (_, only) => manifest::InputAdapter::Value(only),
    }
}

fn manifest(
    bundle: &Bundle,
    api: &DeclaredApi<'_>,
    replaced: Option<&ApiDecl>,
    input: manifest::InputAdapter,
    returns: manifest::Returns,
) -> manifest::Api {
    let (batch, max_batch_size, max_latency_ms) = match replaced.map(|api| &api.interface) {
        Some(Interface::V0_13 { batch, max_batch_size, max_latency_ms, .. }) => {
            (*batch, Some(*max_batch_size), Some(*max_latency_ms))
        }
        Some(Interface::V1 { batchable, .. }) => (*batchable, None, None),
        Some(Interface::Runners { .. }) => (false, None, None),
        None => (bundle.generation == bundle::Generation::Bare, None, None),
    };
    let route = api.route.as_deref().map(|route| route.trim_start_matches('/'));
    manifest::Api {
        name: api.name.to_string(),
        route: route.or(replaced.map(|api| api.route.as_str())).unwrap_or(&api.name).to_owned(),
        description: api
            .description
            .as_deref()
            .or(replaced.and_then(|api| api.docs.as_deref()))
            .unwrap_or("")
            .to_owned(),
        batch,
        input,
        returns,
        max_batch_size,
        max_latency_ms,
        is_text: matches!(api.answer, Answer::Text(_)),
        wire: replaced.map(|api| api.interface.wire()).unwrap_or_default(),
    }
}
