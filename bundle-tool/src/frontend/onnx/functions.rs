//! Functions that a model defines: calls of them are replaced by their nodes before anything is lowered.

use std::collections::HashMap;

use prost::Message;
use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};

use super::FrontendError;

/// How deep functions may call each other.
const MAX_DEPTH: usize = 32;
/// Bytes of nodes that calls may add in any model.
const FREE_BYTES: usize = 4 << 20;
/// Bytes of nodes that calls may add for each byte of the model.
const BYTES_FACTOR: usize = 16;

/// `FunctionProto` with the fields that [`tract_onnx::pb`] lacks.
#[derive(Clone, PartialEq, Message)]
struct Function {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, repeated, tag = "4")]
    input: Vec<String>,
    #[prost(string, repeated, tag = "5")]
    output: Vec<String>,
    #[prost(string, repeated, tag = "6")]
    attribute: Vec<String>,
    #[prost(message, repeated, tag = "7")]
    node: Vec<NodeProto>,
    #[prost(message, repeated, tag = "9")]
    opset_import: Vec<OperatorSetIdProto>,
    #[prost(string, tag = "10")]
    domain: String,
    /// Attributes with defaults.
    #[prost(message, repeated, tag = "11")]
    attribute_proto: Vec<AttributeProto>,
    #[prost(string, tag = "13")]
    overload: String,
}

/// The functions of a `ModelProto`.
#[derive(Clone, PartialEq, Message)]
struct Functions {
    #[prost(message, repeated, tag = "25")]
    functions: Vec<Function>,
}

/// The name of an operator: its domain, with one spelling of the default one, and its type.
fn key<'a>(domain: &'a str, name: &'a str) -> (&'a str, &'a str) {
    (if domain == "ai.onnx" { "" } else { domain }, name)
}

/// Replaces every call of a function in `model`, whose bytes are `bytes`.
///
/// # Errors
/// [`FrontendError::Unsupported`] names a function that calls itself, that is written for other operator sets than the model, or whose
/// calls add too many nodes.
pub(super) fn inline(model: &mut ModelProto, bytes: &[u8]) -> Result<(), FrontendError> {
    if model.functions.is_empty() {
        return Ok(());
    }
    let functions = Functions::decode(bytes).map_err(|error| FrontendError::malformed("model", error))?.functions;
    adopt_opsets(model, &functions)?;
    let by_key = functions.iter().map(|function| (key(&function.domain, &function.name), function)).collect();
    let left = bytes.len().saturating_mul(BYTES_FACTOR).saturating_add(FREE_BYTES);
    let mut inliner = Inliner { functions: by_key, left, calls: 0 };
    if let Some(graph) = &mut model.graph {
        inliner.graph(graph, MAX_DEPTH)?;
    }
    Ok(())
}

/// Checks that functions mean the same operators as the model, which takes over what only they import.
fn adopt_opsets(model: &mut ModelProto, functions: &[Function]) -> Result<(), FrontendError> {
    for function in functions {
        let refused = |reason: String| FrontendError::unsupported(&function.name, "function", reason);
        if !function.overload.is_empty() {
            return Err(refused(format!("overloads are not supported, it is {:?}", function.overload)));
        }
        for import in &function.opset_import {
            let same = |other: &&OperatorSetIdProto| key(&other.domain, "") == key(&import.domain, "");
            match model.opset_import.iter().find(same) {
                Some(other) if other.version != import.version => {
                    return Err(refused(format!(
                        "it is written for version {} of the operator set {:?}, the model for version {}. Convert the model with \
                         onnx.inliner.inline_local_functions",
                        import.version, import.domain, other.version
                    )));
                }
                Some(_) => {}
                None => model.opset_import.push(import.clone()),
            }
        }
    }
    Ok(())
}

struct Inliner<'a> {
    functions: HashMap<(&'a str, &'a str), &'a Function>,
    /// Bytes of nodes that may still be added.
    left: usize,
    /// Calls so far: part of the names of their values.
    calls: usize,
}

impl Inliner<'_> {
    fn graph(&mut self, graph: &mut GraphProto, depth: usize) -> Result<(), FrontendError> {
        let nodes = std::mem::take(&mut graph.node);
        graph.node = self.nodes(nodes, depth)?;
        Ok(())
    }

    fn nodes(&mut self, nodes: Vec<NodeProto>, depth: usize) -> Result<Vec<NodeProto>, FrontendError> {
        let mut inlined = Vec::with_capacity(nodes.len());
        for mut node in nodes {
            for body in
                node.attribute.iter_mut().flat_map(|attribute| attribute.g.iter_mut().chain(&mut attribute.graphs))
            {
                self.graph(body, depth)?;
            }
            match self.functions.get(&key(&node.domain, &node.op_type)).copied() {
                Some(function) => inlined.extend(self.call(&node, function, depth)?),
                None => inlined.push(node),
            }
        }
        Ok(inlined)
    }

    /// The nodes that a call stands for.
    fn call(&mut self, node: &NodeProto, function: &Function, depth: usize) -> Result<Vec<NodeProto>, FrontendError> {
        let name = if node.name.is_empty() { &function.name } else { &node.name };
        let refused = |reason: String| FrontendError::unsupported(name, &function.name, reason);
        let depth = depth
            .checked_sub(1)
            .ok_or_else(|| refused(format!("functions call each other more than {MAX_DEPTH} deep")))?;
        if node.input.len() > function.input.len() || node.output.len() > function.output.len() {
            return Err(refused("it is called with more inputs or outputs than it has".to_owned()));
        }
        self.calls += 1;
        let mut names = Names { prefix: format!("{name}#{}/", self.calls), known: HashMap::new() };
        names.bind(&function.input, &node.input);
        names.bind(&function.output, &node.output);
        let attributes = attributes(node, function).map_err(refused)?;
        let mut nodes = Vec::with_capacity(function.node.len());
        for inner in &function.node {
            let left = self.left.checked_sub(inner.encoded_len());
            self.left = left.ok_or_else(|| refused("calls of functions add too many nodes".to_owned()))?;
            let mut inner = inner.clone();
            names.node(&mut inner);
            fill(&mut inner, &attributes);
            nodes.push(inner);
        }
        self.nodes(nodes, depth)
    }
}

/// The attributes of a call, with the function's defaults; `None` for those that are not given.
fn attributes<'a>(
    node: &'a NodeProto,
    function: &'a Function,
) -> Result<HashMap<&'a str, Option<&'a AttributeProto>>, String> {
    let mut attributes: HashMap<&str, Option<&AttributeProto>> =
        function.attribute.iter().map(|name| (name.as_str(), None)).collect();
    attributes.extend(function.attribute_proto.iter().map(|default| (default.name.as_str(), Some(default))));
    for given in &node.attribute {
        let slot = attributes.get_mut(given.name.as_str());
        *slot.ok_or_else(|| format!("attribute {} is not one of the function's", given.name))? = Some(given);
    }
    Ok(attributes)
}

/// Puts a call's attributes in place of the references to them.
fn fill(node: &mut NodeProto, attributes: &HashMap<&str, Option<&AttributeProto>>) {
    let filled = std::mem::take(&mut node.attribute).into_iter().filter_map(|mut attribute| {
        if !attribute.ref_attr_name.is_empty() {
            // An unknown name stays, to be refused by name when the node is lowered.
            let Some(given) = attributes.get(attribute.ref_attr_name.as_str()) else { return Some(attribute) };
            return given.map(|given| AttributeProto { name: attribute.name, ..given.clone() });
        }
        for body in attribute.g.iter_mut().chain(&mut attribute.graphs) {
            body.node.iter_mut().for_each(|node| fill(node, attributes));
        }
        Some(attribute)
    });
    node.attribute = filled.collect();
}

/// What the names in a function's body become in the model.
struct Names {
    prefix: String,
    known: HashMap<String, String>,
}

impl Names {
    /// Gives parameters the names of a call; those that the call leaves out are absent.
    fn bind(&mut self, parameters: &[String], given: &[String]) {
        for (position, parameter) in parameters.iter().enumerate() {
            let name = given.get(position).cloned().unwrap_or_default();
            self.known.insert(parameter.clone(), name);
        }
    }

    fn rename(&self, name: &mut String) {
        if !name.is_empty() {
            *name = self.known.get(name).cloned().unwrap_or_else(|| format!("{}{name}", self.prefix));
        }
    }

    fn node(&self, node: &mut NodeProto) {
        node.name = format!("{}{}", self.prefix, node.name);
        node.input.iter_mut().chain(&mut node.output).for_each(|name| self.rename(name));
        for attribute in &mut node.attribute {
            for body in attribute.g.iter_mut().chain(&mut attribute.graphs) {
                body.input.iter_mut().chain(&mut body.output).for_each(|value| self.rename(&mut value.name));
                body.initializer.iter_mut().for_each(|tensor| self.rename(&mut tensor.name));
                for sparse in &mut body.sparse_initializer {
                    sparse.values.iter_mut().for_each(|values| self.rename(&mut values.name));
                }
                body.node.iter_mut().for_each(|node| self.node(node));
            }
        }
    }
}
