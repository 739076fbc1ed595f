//! Inputs of a manifest as declared ones.

use std::collections::HashMap;

use ekiben_runtime::artifact::manifest::{Frame, InputAdapter, Limits, Parameter, ParameterKind, Scalar, ScalarKind};
use ekiben_runtime::{DType, Shape};

use super::literal::{json, list, text};
use crate::graph::{Graph, TensorId};

/// Inputs that are written, and what references call the inputs of the graph.
pub(super) struct Written {
    pub(super) lines: String,
    pub(super) names: HashMap<TensorId, String>,
    /// Tables whose columns are inputs of the graph: name, inputs.
    pub(super) tables: Vec<(String, Vec<TensorId>)>,
}

/// The inputs of an adapter.
///
/// # Errors
/// Says what cannot be declared.
pub(super) fn inputs(adapter: &InputAdapter, graph: &Graph) -> Result<Written, String> {
    let mut written = Written { lines: String::new(), names: HashMap::new(), tables: Vec::new() };
    let frame;
    let (parameters, row) = match adapter {
        InputAdapter::Dataframe(inner) => {
            frame =
                [Parameter { name: "table".to_owned(), kind: ParameterKind::Dataframe(inner.clone()), default: None }];
            (&frame[..], false)
        }
        InputAdapter::Parameters(parameters) => (&parameters[..], false),
        InputAdapter::Value(parameter) => (std::slice::from_ref(parameter), false),
        InputAdapter::Text(parameter) | InputAdapter::Row(parameter) => (std::slice::from_ref(parameter), true),
        InputAdapter::File { .. } => return Err("images or files, which are not written".to_owned()),
    };
    for parameter in parameters {
        let plain = parameter.name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
        if !plain || parameter.name.starts_with(|letter: char| letter.is_numeric()) {
            return Err(format!("the input {:?} has no name that a declaration can have", parameter.name));
        }
        let one_row = row && matches!(parameter.kind, ParameterKind::Records(_));
        let mut writer = Writer { graph, written: &mut written };
        let keys = writer.parameter(parameter, &parameter.name, !one_row)?;
        written.lines += "\n[[api.input]]\n";
        for (key, value) in keys {
            written.lines += &format!("{key} = {value}\n");
        }
    }
    Ok(written)
}

struct Writer<'w> {
    graph: &'w Graph,
    written: &'w mut Written,
}

/// Keys of a table with their values as TOML.
pub(super) type Keys = Vec<(&'static str, String)>;

impl Writer<'_> {
    /// The keys of a parameter that references call `path`; `says_rows` where a list with one item for each row is to say so.
    fn parameter(&mut self, parameter: &Parameter, path: &str, says_rows: bool) -> Result<Keys, String> {
        let mut keys = vec![("name", text(&parameter.name))];
        let (kind, rows) = match &parameter.kind {
            ParameterKind::Records(inner) => (&**inner, true),
            kind => (kind, false),
        };
        let (kind, single) = match kind {
            ParameterKind::Single(inner) => (&**inner, true),
            kind => (kind, false),
        };
        keys.extend(self.kind(kind, path, rows)?);
        if rows && says_rows {
            keys.push(("rows", "true".to_owned()));
        }
        if single {
            keys.push(("single", "true".to_owned()));
        }
        if let Some(default) = &parameter.default {
            keys.push(("default", json(default).ok_or("a default that TOML has no value for")?));
        }
        Ok(keys)
    }

    fn tensor(&self, input: u32) -> Result<TensorId, String> {
        self.graph.inputs().get(input as usize).copied().ok_or_else(|| "an input that is not there".to_owned())
    }

    fn kind(&mut self, kind: &ParameterKind, path: &str, rows: bool) -> Result<Keys, String> {
        let quoted = |kind: &str| text(kind);
        Ok(match kind {
            ParameterKind::Dataframe(frame) => self.frame(frame, path)?,
            ParameterKind::Array { shape, dtype, input } => {
                let tensor = self.tensor(*input)?;
                self.written.names.insert(tensor, path.to_owned());
                let spec = self.graph.spec(tensor);
                let kind = if shape.is_none() && dtype.is_none() { "list" } else { "array" };
                let skip = usize::from(rows);
                vec![("type", quoted(kind)), ("shape", dims(&spec.shape, skip)), ("dtype", quoted(spec.dtype.name()))]
            }
            ParameterKind::Scalar(scalar) => self.scalar(scalar, path)?,
            ParameterKind::Object(members) => {
                let mut inner = Vec::new();
                for member in members {
                    let keys = self.parameter(member, &format!("{path}.{}", member.name), true)?;
                    let keys: Vec<String> = keys.iter().map(|(key, value)| format!("{key} = {value}")).collect();
                    inner.push(format!("\n  {{ {} }}", keys.join(", ")));
                }
                vec![("type", quoted("object")), ("members", format!("[{},\n]", inner.join(",")))]
            }
            ParameterKind::Image(_) | ParameterKind::Sound(_) => return Err("files, which are not written".to_owned()),
            ParameterKind::Records(_) | ParameterKind::Single(_) => return Err("lists of lists of rows".to_owned()),
        })
    }

    fn frame(&mut self, frame: &Frame, path: &str) -> Result<Keys, String> {
        let mut keys = vec![("type", text("table"))];
        let first = self.tensor(frame.input)?;
        if frame.inputs.is_empty() {
            self.written.names.insert(first, path.to_owned());
            let spec = self.graph.spec(first);
            let columns = match frame.columns.is_empty() {
                true => spec.shape.factors().get(1).copied().unwrap_or(1).to_string(),
                false => list(frame.columns.iter().map(|name| text(name)).collect()),
            };
            keys.push(("columns", columns));
            keys.push(("dtype", text(spec.dtype.name())));
        } else {
            let (mut columns, mut tensors) = (Vec::new(), Vec::new());
            for (name, &input) in frame.columns.iter().zip(&frame.inputs) {
                let tensor = self.tensor(input)?;
                let spec = self.graph.spec(tensor);
                let (kind, bytes) = match spec.dtype {
                    DType::Category => ("text", String::new()),
                    DType::Text => {
                        let bytes = spec.shape.factors().last().copied().unwrap_or(1);
                        ("text", format!(", bytes = {bytes}"))
                    }
                    dtype => (dtype.name(), String::new()),
                };
                columns.push(format!("\n  {{ name = {}, type = {}{bytes} }}", text(name), text(kind)));
                self.written.names.insert(tensor, format!("{path}.{name}"));
                tensors.push(tensor);
            }
            keys.push(("columns", format!("[{},\n]", columns.join(","))));
            self.written.tables.push((path.to_owned(), tensors));
        }
        if let Some(orient) = frame.orient {
            keys.push(("orient", text(orient.name())));
        }
        if frame.fills {
            keys.push(("fills", "true".to_owned()));
        }
        Ok(keys)
    }

    fn scalar(&mut self, scalar: &Scalar, path: &str) -> Result<Keys, String> {
        let tensor = self.tensor(scalar.input)?;
        self.written.names.insert(tensor, path.to_owned());
        let kind = match scalar.kind {
            ScalarKind::Any => "value",
            ScalarKind::Number => "number",
            ScalarKind::Integer => "integer",
            ScalarKind::Boolean => "boolean",
            ScalarKind::Text => "text",
        };
        let mut keys = vec![("type", text(kind))];
        let spec = self.graph.spec(tensor);
        if let (DType::Text, Some(bytes)) = (spec.dtype, spec.shape.factors().last()) {
            keys.push(("bytes", bytes.to_string()));
        }
        keys.extend(limits(&scalar.limits)?);
        Ok(keys)
    }
}

fn limits(limits: &Limits) -> Result<Keys, String> {
    if limits.min_length.is_some() || limits.max_length.is_some() {
        return Err("limits of the lengths of texts".to_owned());
    }
    let numbers = [
        ("minimum", limits.minimum),
        ("maximum", limits.maximum),
        ("exclusive_minimum", limits.exclusive_minimum),
        ("exclusive_maximum", limits.exclusive_maximum),
        ("multiple_of", limits.multiple_of),
    ];
    let mut keys: Keys =
        numbers.into_iter().filter_map(|(key, number)| Some((key, super::literal::float(number?)))).collect();
    if !limits.one_of.is_empty() {
        let choices = limits.one_of.iter().map(|choice| json(choice)).collect::<Option<_>>();
        keys.push(("choices", list(choices.ok_or("a choice that TOML has no value for")?)));
    }
    Ok(keys)
}

/// A shape without its first `skip` axes.
fn dims(shape: &Shape, skip: usize) -> String {
    let axes = shape.factors().iter().enumerate().skip(skip);
    list(axes.map(|(at, factor)| if shape.is_batch(at) { text("N") } else { factor.to_string() }).collect())
}
