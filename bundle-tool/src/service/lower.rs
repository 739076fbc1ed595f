//! From the APIs of a service to graphs, adapters and templates.

use ekiben_runtime::artifact::manifest;
use ekiben_runtime::{DType, Op};
use ruff_text_size::Ranged;

use super::class::{self, ApiMethod, ServiceClass};
use super::declaration::{Declarations, lower_declared};
use super::error::ServiceError;
use super::evaluate::{Evaluator, ModelCall, Models, Place, Stop};
use super::input::{self, ApiInput, Inputs};
use super::modules::Program;
use super::returns;
use crate::bundle::{ApiDecl, Bundle, Interface, ValueSchema};
use crate::graph::{Graph, Node};
use crate::lowered::LoweredApi;

/// Evaluations of one API, each of which knows more about the inputs than the one before.
pub(super) const MAX_ATTEMPTS: usize = 64;

/// Lowers every API of a bento, calling `models` by [`crate::bundle::ModelFile::tag`]. Declared APIs replace those of their names and are added
/// to them; a bare model has those alone.
///
/// # Errors
/// Everything that stands in the way, of all APIs at once: each with file, line, column and source text.
pub fn lower_apis(
    bundle: &Bundle,
    models: &Models,
    declarations: Option<&Declarations>,
) -> Result<Vec<LoweredApi>, ServiceError> {
    let (mut lowered, mut errors) = (Vec::new(), Vec::new());
    if let Some(declarations) = declarations {
        match lower_declared(bundle, models, declarations) {
            Ok(apis) => lowered = apis,
            Err(found) => errors = found,
        }
    }
    let declared = |api: &ApiDecl| declarations.is_some_and(|declarations| declarations.declares(&api.name));
    // Where every API is declared, the Python is not read at all.
    let read: Vec<&ApiDecl> = bundle.apis.iter().filter(|api| !declared(api)).collect();
    if !read.is_empty() || declarations.is_none() {
        match lower_python(bundle, models, &read) {
            Ok(apis) => lowered.extend(apis),
            Err(error) => errors.push(error),
        }
    }
    // In the manifest's order, and those that it does not have after them.
    let place = |api: &LoweredApi| bundle.apis.iter().position(|known| known.name == api.manifest.name);
    lowered.sort_by_key(|api| place(api).unwrap_or(usize::MAX));
    if errors.is_empty() { Ok(lowered) } else { Err(ServiceError::several(errors)) }
}

/// Lowers some APIs as their Python says.
fn lower_python(bundle: &Bundle, models: &Models, apis: &[&ApiDecl]) -> Result<Vec<LoweredApi>, ServiceError> {
    let (mut lowered, mut errors) = (Vec::new(), Vec::new());
    for result in read_each(bundle, models, apis)? {
        match result {
            Ok((api, _)) => lowered.push(api),
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(lowered) } else { Err(ServiceError::several(errors)) }
}

/// An API with the calls of models that its graph holds, or why it is refused.
pub(crate) type ReadApi = Result<(LoweredApi, Vec<ModelCall>), ServiceError>;

/// Reads each API's Python for itself.
///
/// # Errors
/// What no API can be read for.
pub(crate) fn read_each(bundle: &Bundle, models: &Models, apis: &[&ApiDecl]) -> Result<Vec<ReadApi>, ServiceError> {
    let program = Program::load(bundle)?;
    let name = bundle.entry.as_ref().map_or("", |entry| entry.attribute.as_str());
    let class = ServiceClass::read(&program, bundle.generation, name)?;
    Ok(apis.iter().map(|api| lower(bundle, models, &class, api)).collect())
}

fn lower(bundle: &Bundle, models: &Models, class: &ServiceClass<'_>, api: &ApiDecl) -> ReadApi {
    let Some(method) = class.apis.iter().find(|method| method.name == api.name) else {
        let source = class.modules.source(class.module);
        return Err(
            source.missing(format!("`{}` has no API called `{}`, which the manifest lists", class.name, api.name))
        );
    };
    let described = class::described(class, api, method)?;
    let api = &*described;
    let mut inputs = input::declared(class, api, method)?;
    inputs.order = bundle.pass_order();
    for _ in 0..MAX_ATTEMPTS {
        match attempt(bundle, models, class, api, method, inputs) {
            Ok(lowered) => return Ok(lowered),
            Err(Stop::Error(error)) => return Err(error),
            Err(Stop::Settled(known)) => inputs = known,
        }
    }
    let problem = "the shapes of this API's inputs cannot be told. Declare them";
    Err(class.modules.source(class.module).error(&method.function.name, problem))
}

/// One evaluation with what is known about the inputs.
fn attempt(
    bundle: &Bundle,
    models: &Models,
    class: &ServiceClass<'_>,
    api: &ApiDecl,
    method: &ApiMethod<'_>,
    inputs: Inputs,
) -> Result<(LoweredApi, Vec<ModelCall>), Stop> {
    let mut evaluator = Evaluator::new(class, bundle, models, inputs);
    let is_stream = matches!(&api.interface, Interface::V1 { stream: Some(_), .. });
    let value = evaluator.api(method.function, is_stream)?;
    let place = Place { module: class.module, range: method.function.name.range() };
    let returns = returns::template(&mut evaluator, api, &value, place)?;
    tables(&mut evaluator, place)?;
    evaluator.check_nullable()?;
    for input in &evaluator.inputs.leaves {
        settled(&evaluator, input)?;
    }
    let manifest = manifest_api(api, input::adapter(&evaluator.inputs, api), returns);
    Ok((LoweredApi { manifest, graph: evaluator.graph }, evaluator.model_calls))
}

/// Gives texts with other axes the table of those that they are, and the other way round.
pub(super) fn tables(evaluator: &mut Evaluator<'_, '_>, place: Place) -> Result<(), Stop> {
    let same = |node: &Node| match (&node.op, node.inputs.first(), node.outputs.first()) {
        (Op::Reshape(_), Some(Some(from)), Some(to)) => Some((*from, *to)),
        _ => None,
    };
    let pairs: Vec<_> = evaluator.graph.nodes().iter().filter_map(same).collect();
    let text = |graph: &Graph, tensor| graph.spec(tensor).dtype == DType::Category;
    for (from, to) in pairs.iter().rev().chain(&pairs).copied() {
        let graph = &mut evaluator.graph;
        if !text(graph, from) || !text(graph, to) {
            continue;
        }
        match (graph.spec(from).table, graph.spec(to).table) {
            (None, Some(table)) => graph.set_table(from, table),
            (Some(table), None) => graph.set_table(to, table),
            (Some(a), Some(b)) if a != b => {
                return evaluator.fail(place, "a text of the request is given to two that know other texts");
            }
            _ => {}
        }
    }
    Ok(())
}

/// That everything about an input is known.
pub(super) fn settled(evaluator: &Evaluator<'_, '_>, input: &ApiInput) -> Result<(), Stop> {
    if !input.settled && !input.hinted && !input.holds {
        let problem = format!(
            "the shape of `{}` is neither declared nor told by a model that takes it. Declare it (`Shape((-1, 4))`, `columns=[…]`)",
            input.name
        );
        return evaluator.fail(input.place, problem);
    }
    match input.whole_use {
        Some(place) if input.columns.is_some() && !input.columns_declared => evaluator.fail(
            place,
            "all columns are used here and some are used by name elsewhere, but the columns are not declared. Declare `columns=[…]`",
        ),
        _ => Ok(()),
    }
}

fn manifest_api(api: &ApiDecl, input: manifest::InputAdapter, returns: manifest::Returns) -> manifest::Api {
    let (batch, max_batch_size, max_latency_ms) = match &api.interface {
        Interface::V0_13 { batch, max_batch_size, max_latency_ms, .. } => {
            (*batch, Some(*max_batch_size), Some(*max_latency_ms))
        }
        Interface::V1 { batchable, .. } => (*batchable, None, None),
        Interface::Runners { .. } => (false, None, None),
    };
    manifest::Api {
        name: api.name.clone(),
        route: api.route.clone(),
        description: api.docs.clone().unwrap_or_default(),
        batch,
        input,
        returns,
        max_batch_size,
        max_latency_ms,
        is_text: matches!(
            &api.interface,
            Interface::V1 { output: ValueSchema::Text, .. } | Interface::Runners { output: ValueSchema::Text, .. }
        ),
        wire: api.interface.wire(),
    }
}
