//! The adapter that fills the leaves from a request.

use ekiben_runtime::artifact::image::{Image, ImageUse};
use ekiben_runtime::artifact::manifest::{Frame, InputAdapter, Orient, Parameter, ParameterKind, Scalar, Sound};

use super::{ApiInput, Form, Inputs, Member, Node};
use crate::bundle::{self, ApiDecl, Interface, ValueSchema};

/// The adapter that fills the leaves.
pub(in crate::service) fn adapter(inputs: &Inputs, declared: &ApiDecl) -> InputAdapter {
    let mut parameters: Vec<Parameter> = inputs.parameters.iter().map(|member| parameter(inputs, member)).collect();
    let single = parameters.len() == 1;
    match &declared.interface {
        Interface::V0_13 { input: bundle::InputAdapter::TfTensor, .. } => InputAdapter::Parameters(parameters),
        Interface::V0_13 { input: bundle::InputAdapter::Text, .. } if single => {
            InputAdapter::Text(parameters.remove(0))
        }
        Interface::V0_13 { .. } | Interface::Runners { .. }
            if inputs.parameters.iter().any(|member| has_image(&member.node)) =>
        {
            InputAdapter::File { parameters, row: inputs.is_row }
        }
        Interface::V0_13 { .. } if single => match (parameters.remove(0), inputs.is_row) {
            (parameter, true) => InputAdapter::Row(parameter),
            (Parameter { kind: ParameterKind::Dataframe(frame), .. }, false) => InputAdapter::Dataframe(frame),
            (parameter, false) => InputAdapter::Value(parameter),
        },
        Interface::Runners { input, .. } if single => match (parameters.remove(0), &input.schema) {
            (parameter, ValueSchema::Text) => InputAdapter::Text(parameter),
            // CSV is taken too.
            (Parameter { kind: ParameterKind::Dataframe(frame), .. }, _) => InputAdapter::Dataframe(frame),
            (parameter, _) => InputAdapter::Value(parameter),
        },
        Interface::V1 { root_input: true, .. } if single => InputAdapter::Value(parameters.remove(0)),
        _ => InputAdapter::Parameters(parameters),
    }
}

/// A parameter of the manifest.
pub(in crate::service) fn parameter(inputs: &Inputs, member: &Member) -> Parameter {
    Parameter {
        name: member.name.clone(),
        kind: kind(inputs, &member.node),
        default: member.default.as_ref().map(ToString::to_string),
    }
}

fn kind(inputs: &Inputs, node: &Node) -> ParameterKind {
    match node {
        Node::Leaf(index) => match inputs.leaves.get(*index) {
            Some(leaf) => leaf_kind(leaf, inputs.first_input(*index) as u32),
            None => ParameterKind::Object(Vec::new()),
        },
        Node::Object { members, .. } => {
            ParameterKind::Object(members.iter().map(|member| parameter(inputs, member)).collect())
        }
        Node::Records(item) => ParameterKind::Records(Box::new(kind(inputs, item))),
        Node::Single(item) => ParameterKind::Single(Box::new(kind(inputs, item))),
        Node::Image { uses, .. } => {
            let input = |leaf: usize| inputs.first_input(leaf) as u32;
            let uses = uses.iter().map(|(steps, leaf)| ImageUse { steps: steps.to_vec(), input: input(*leaf) });
            ParameterKind::Image(Image { uses: uses.collect(), order: inputs.order })
        }
    }
}

/// Whether there is an image below a node.
fn has_image(node: &Node) -> bool {
    match node {
        Node::Image { .. } => true,
        Node::Records(item) | Node::Single(item) => has_image(item),
        Node::Leaf(_) | Node::Object { .. } => false,
    }
}

fn leaf_kind(leaf: &ApiInput, input: u32) -> ParameterKind {
    match &leaf.form {
        Form::Frame { orient } => ParameterKind::Dataframe(frame(leaf, input, *orient)),
        Form::Array { shape, dtype } => ParameterKind::Array { shape: shape.clone(), dtype: dtype.clone(), input },
        Form::List | Form::Image => ParameterKind::Array { shape: None, dtype: None, input },
        Form::Sound { rate, fits } => ParameterKind::Sound(Sound { input, rate: *rate, fits: *fits }),
        Form::Scalar { kind, limits } => {
            let nullable = leaf.nullable;
            ParameterKind::Scalar(Scalar { kind: *kind, limits: limits.clone(), nullable, input })
        }
    }
}

fn frame(leaf: &ApiInput, input: u32, orient: Option<Orient>) -> Frame {
    Frame {
        orient,
        columns: leaf.columns.clone().unwrap_or_default(),
        fills: leaf.fills,
        input,
        inputs: leaf.table.as_ref().map(|table| (input..).take(table.len()).collect()).unwrap_or_default(),
    }
}
