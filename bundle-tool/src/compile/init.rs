//! What `ekiben init` writes: a bento's APIs as declarations, with what could be read of them.

use std::fmt::Write;

use ekiben_runtime::DType;
use ekiben_runtime::artifact::manifest::Returns;

use super::{CompileError, CompileOptions, Models, bare, golden, lower_apis, open_models};
use crate::bundle::{ApiDecl, Bundle, InputAdapter, Interface, ModelFile, Parameter, ValueSchema};
use crate::frontend::{Model, format_name};
use crate::graph::{Graph, TensorId};
use crate::lowered::LoweredApi;
use crate::service::declaration::write::{declared, quoted};
use crate::service::{Declarations, ModelCall, ServiceError, read_each};

/// Labels of a class that a comment lists.
const MAX_LABELS: usize = 20;
/// Bytes of golden vectors that two graphs are compared by.
const BUDGET: usize = 16 << 20;

/// The text of declarations for a bento.
///
/// An API that operators can express is written as one, where that gives the same inputs, answers and numbers; of any other there are comments, and its
/// Python is still used. Nothing of the bento is run.
///
/// # Errors
/// A bento whose models cannot be read.
pub fn init(bundle: &Bundle, options: &CompileOptions) -> Result<String, CompileError> {
    let (models, _) = open_models(bundle, &options.lengths)?;
    let mut text = head(bundle, &models);
    if bundle.entry.is_none() {
        return Ok(text + &bare_api(bundle, &models));
    }
    let apis: Vec<&ApiDecl> = bundle.apis.iter().collect();
    match read_each(bundle, &models, &apis) {
        Ok(read) => {
            for (api, result) in apis.into_iter().zip(read) {
                text += &match result {
                    Ok((lowered, calls)) => readable(bundle, &models, &lowered, &calls),
                    Err(error) => refused(bundle, &models, api, &error),
                };
            }
        }
        Err(error) => {
            for api in apis {
                text += &refused(bundle, &models, api, &error);
            }
        }
    }
    Ok(text)
}

/// Version, service and models.
fn head(bundle: &Bundle, models: &Models) -> String {
    let mut text = format!(
        "# Declared APIs of {}, written by `ekiben init`. docs/declarations.md lists inputs, operators and their keys.\n\
         # An API that is declared here replaces the Python of its name; what is a comment is still read from the Python.\n\n\
         version = 1\nservice = {}\n",
        bundle.service,
        quoted(&bundle.service)
    );
    if !bundle.models.is_empty() {
        text += "\n# Models:\n";
    }
    for file in &bundle.models {
        text += &comment(&model(file, models.get(&file.tag()).map(|model| model.as_ref())));
    }
    text
}

/// Every line as a comment.
fn comment(text: &str) -> String {
    text.lines().map(|line| if line.is_empty() { "#\n".to_owned() } else { format!("# {line}\n") }).collect()
}

/// What is known of a model.
fn model(file: &ModelFile, model: Option<&dyn Model>) -> String {
    let mut text = format!("  {} ({})", file.tag(), format_name(file.format));
    let Some(model) = model else { return text };
    let _ = write!(text, ": methods {}", model.methods().join(", "));
    for input in model.inputs() {
        let _ = write!(text, "\n    takes {} {} {}", input.name, input.spec.dtype, input.spec.shape);
    }
    for method in model.methods() {
        let mut graph = Graph::new();
        let inputs: Vec<TensorId> =
            model.inputs().iter().map(|input| graph.add_input(&input.name, input.spec)).collect();
        let Ok(outputs) = model.call(&mut graph, method, &inputs) else { continue };
        for output in outputs {
            let spec = graph.spec(output.tensor);
            let _ = write!(text, "\n    {method} gives {} {} {}", output.name, spec.dtype, spec.shape);
            if let Some(labels) = spec.table.and_then(|table| graph.tables().get(table as usize)) {
                let shown: Vec<String> = labels.iter().take(MAX_LABELS).map(|label| quoted(label)).collect();
                let more = if labels.len() > MAX_LABELS { ", …" } else { "" };
                let _ = write!(text, " of {}{more}", shown.join(", "));
            }
        }
    }
    text
}

/// A bare model's `predict`.
fn bare_api(bundle: &Bundle, models: &Models) -> String {
    let Some(file) = bundle.models.first() else { return String::new() };
    let tag = file.tag();
    let Some(lowered) = models.get(&tag).and_then(|model| Some((model, bare::lower(model.as_ref()).ok()?))) else {
        return "\n# The model cannot be lowered as it is: `ekiben compile` says why.\n".to_owned();
    };
    let (model, api) = lowered;
    let method = model.methods().iter().find(|&&method| method == "predict").or(model.methods().first());
    let outputs = api
        .graph
        .outputs()
        .iter()
        .map(|&tensor| crate::frontend::NamedTensor { name: api.graph.tensor(tensor).name.clone(), tensor });
    let call: ModelCall =
        (tag, method.copied().unwrap_or_default().to_owned(), api.graph.inputs().to_vec(), outputs.collect());
    readable(bundle, models, &api, &[call])
}

/// An API that was read: as a declaration where that means the same.
fn readable(bundle: &Bundle, models: &Models, api: &LoweredApi, calls: &[ModelCall]) -> String {
    let name = &api.manifest.name;
    let problem = match declared(api, calls, models) {
        Ok(text) => match is_same(bundle, models, api, &text) {
            true => {
                return format!("\n# `{name}`: read from the service's Python; this gives the same answers.\n{text}");
            }
            false => "operators would not give just the same".to_owned(),
        },
        Err(problem) => format!("it has {problem}"),
    };
    let inputs = api.graph.inputs().iter().map(|&input| {
        let spec = api.graph.spec(input);
        format!("    {} {} {}\n", api.graph.tensor(input).name, spec.dtype, spec.shape)
    });
    let text = format!(
        "`{name}` is compiled from the service's Python and not written here: {problem}.\n  It takes\n{}  It answers\n    {}\n",
        inputs.collect::<String>(),
        outline(&api.manifest.returns)
    );
    format!("\n{}", comment(&text))
}

/// The shape of an answer.
fn outline(returns: &Returns) -> String {
    match returns {
        Returns::Output { .. } => "…".to_owned(),
        Returns::Rows(inner) => format!("[{}, … for each row]", outline(inner)),
        Returns::Object(members) => {
            let members = members.iter().map(|(key, value)| format!("{}: {}", quoted(key), outline(value)));
            format!("{{{}}}", members.collect::<Vec<_>>().join(", "))
        }
        Returns::List(items) => format!("[{}]", items.iter().map(outline).collect::<Vec<_>>().join(", ")),
        Returns::Frame { columns, orient, .. } => {
            let names: Vec<String> = columns.iter().map(|column| quoted(&column.name)).collect();
            format!("a table of {} ({})", names.join(", "), orient.name())
        }
        Returns::Constant(value) => value.clone(),
        Returns::Text(_) => "a text".to_owned(),
    }
}

/// Whether the declaration gives the same inputs, answer and numbers as the API that it was written of.
fn is_same(bundle: &Bundle, models: &Models, api: &LoweredApi, text: &str) -> bool {
    let whole = format!("version = 1\n{text}");
    let Ok(declarations) = Declarations::parse("", whole) else { return false };
    let written = lower_written(bundle, models, &declarations, &api.manifest.name);
    let Some(written) = written else { return false };
    let (mut a, mut b) = (api.manifest.clone(), written.manifest.clone());
    // The rows of a whole output are the output.
    (a.returns, b.returns) = (plain(&a.returns), plain(&b.returns));
    let specs = |api: &LoweredApi| {
        let all = api.graph.inputs().iter().chain(api.graph.outputs());
        all.map(|&id| (api.graph.spec(id).dtype, api.graph.shape(id))).collect::<Vec<_>>()
    };
    if a != b || specs(api) != specs(&written) {
        return false;
    }
    let numbers = |api: &LoweredApi| {
        let vectors = golden::vectors(std::slice::from_ref(api), BUDGET).ok()?;
        Some(vectors.into_iter().map(|vector| vector.outputs).collect::<Vec<_>>())
    };
    match (numbers(api), numbers(&written)) {
        (Some(a), Some(b)) => !a.is_empty() && a == b,
        _ => false,
    }
}

/// The declared API alone.
fn lower_written(bundle: &Bundle, models: &Models, declarations: &Declarations, name: &str) -> Option<LoweredApi> {
    let mut alone = bundle.clone();
    alone.apis.retain(|api| api.name == name);
    lower_apis(&alone, models, Some(declarations)).ok()?.into_iter().find(|api| api.manifest.name == name)
}

fn plain(returns: &Returns) -> Returns {
    match returns {
        Returns::Rows(inner) => match plain(inner) {
            whole @ Returns::Output { .. } if matches!(&whole, Returns::Output { at, .. } if at.is_empty()) => whole,
            inner => Returns::rows(inner),
        },
        Returns::Object(members) => {
            Returns::Object(members.iter().map(|(key, value)| (key.clone(), plain(value))).collect())
        }
        Returns::List(items) => Returns::List(items.iter().map(plain).collect()),
        other => other.clone(),
    }
}

/// An API that was refused: why, and what a declaration of it may look like.
fn refused(bundle: &Bundle, models: &Models, api: &ApiDecl, error: &ServiceError) -> String {
    let mut text = format!("`{}` is refused:\n", api.name);
    for line in error.to_string().lines() {
        let _ = writeln!(text, "  {line}");
    }
    text += "Declare it so, and remove the `#`:\n\n";
    let _ = write!(text, "[[api]]\nname = {}\n", quoted(&api.name));
    let inputs = inputs(api);
    for (_, lines) in &inputs {
        let _ = write!(text, "\n[[api.input]]\n{lines}");
    }
    let first = inputs.first().map_or("row", |(name, _)| name.as_str());
    let file = bundle.models.iter().find(|file| models.contains_key(&file.tag()));
    if let Some((file, model)) = file.and_then(|file| Some((file, models.get(&file.tag())?))) {
        let method = model.methods().first().copied().unwrap_or("predict");
        let _ = write!(
            text,
            "\n# steps before the model: scale, fill_missing, map, one_hot, clip, log1p, reshape, windows, mfcc, …\n\
             [[api.step]]\nname = \"result\"\nop = \"model\"\nmodel = {}\nmethod = {}\nof = {}\n",
            quoted(&file.tag()),
            quoted(method),
            quoted(first)
        );
    }
    text += "\n# steps after it: softmax, argmax, top_k, threshold, label, nms, …\n[api.answer]\njson = \"$result\"\n";
    format!("\n{}", comment(&text))
}

/// The inputs that the bento declares, as far as they can be told.
fn inputs(api: &ApiDecl) -> Vec<(String, String)> {
    match &api.interface {
        Interface::V0_13 { input, .. } => vec![("row".to_owned(), adapter(input))],
        Interface::V1 { parameters, .. } => parameters
            .iter()
            .map(|parameter| {
                let name = if parameter.name.is_empty() { "row".to_owned() } else { parameter.name.clone() };
                let lines = format!("name = {}\n{}\n", quoted(&name), schema(parameter).join("\n"));
                (name, lines)
            })
            .collect(),
        Interface::Runners { input, .. } => {
            let lines = format!("name = \"row\"\n{}\n", schema(input).join("\n"));
            vec![("row".to_owned(), lines)]
        }
    }
}

/// An input adapter of 0.13.
fn adapter(adapter: &InputAdapter) -> String {
    let lines = match adapter {
        InputAdapter::Dataframe { dtype, .. } if !dtype.is_empty() => {
            let columns: Vec<String> = dtype.iter().map(|(name, dtype)| column(name, dtype)).collect();
            format!("type = \"table\"\ncolumns = [{}]", columns.join(", "))
        }
        InputAdapter::Dataframe { .. } => "type = \"table\"\ncolumns = [\"a\", \"b\"]  # or their number".to_owned(),
        InputAdapter::Json => {
            "type = \"object\"\nmembers = [{ name = \"a\", type = \"number\" }]  # or type = \"json\", \"list\", …"
                .to_owned()
        }
        InputAdapter::Text => "type = \"text\"".to_owned(),
        InputAdapter::TfTensor => "type = \"array\"\nshape = [\"N\", 4]\ndtype = \"float32\"".to_owned(),
        InputAdapter::Image(_)
        | InputAdapter::MultiImage { .. }
        | InputAdapter::AnnotatedImage(_)
        | InputAdapter::File => "type = \"image\"".to_owned(),
        _ => "type = \"array\"\nshape = [\"N\", 4]  # this adapter's own data has no type of input".to_owned(),
    };
    let name = if matches!(adapter, InputAdapter::TfTensor) { "instances" } else { "row" };
    format!("name = \"{name}\"\n{lines}\n")
}

fn column(name: &str, dtype: &str) -> String {
    let dtype = match dtype {
        "float" => "float64",
        "int" => "int64",
        name if DType::from_name(name).is_some_and(|dtype| dtype.is_float() || dtype.is_integer()) => name,
        _ => "text",
    };
    format!("{{ name = {}, type = {} }}", quoted(name), quoted(dtype))
}

/// The keys of a parameter's type.
fn schema(parameter: &Parameter) -> Vec<String> {
    let one = |kind: &str| vec![format!("type = {}", quoted(kind))];
    match &parameter.schema {
        ValueSchema::Number => one("number"),
        ValueSchema::Integer => one("integer"),
        ValueSchema::Boolean => one("boolean"),
        ValueSchema::Text => one("text"),
        ValueSchema::Tensor { dtype, shape, .. } => {
            let dims = shape.clone().unwrap_or_else(|| vec![-1, 4]);
            let dims = dims.iter().map(|dim| if *dim < 0 { quoted("N") } else { dim.to_string() });
            let dims = dims.collect::<Vec<_>>().join(", ");
            let dtype = dtype.as_deref().unwrap_or("float64");
            vec!["type = \"array\"".to_owned(), format!("shape = [{dims}]"), format!("dtype = {}", quoted(dtype))]
        }
        ValueSchema::Dataframe { columns, .. } => {
            let names = columns.clone().unwrap_or_else(|| vec!["a".to_owned(), "b".to_owned()]);
            let names = names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
            vec!["type = \"table\"".to_owned(), format!("columns = [{names}]")]
        }
        ValueSchema::Object(members) => {
            let members = members
                .iter()
                .map(|member| format!("\n  {{ name = {}, {} }}", quoted(&member.name), schema(member).join(", ")));
            let members = members.collect::<Vec<_>>().join(",");
            vec!["type = \"object\"".to_owned(), format!("members = [{members},\n]")]
        }
        ValueSchema::List(item) => {
            let item = Parameter { schema: (**item).clone(), ..parameter.clone() };
            let mut lines = match &item.schema {
                ValueSchema::List(_) => vec!["type = \"list\"".to_owned(), "shape = [4]".to_owned()],
                _ => schema(&item),
            };
            lines.push("rows = true".to_owned());
            lines
        }
        ValueSchema::File { .. } => one("image"),
        _ => one("json"),
    }
}
