//! Models for which tract is no oracle, because it is known to give wrong answers for something in them.
//!
//! Each rule is held by measurements: a test of the repository runs tract over every fixture model that no rule names, and compares
//! with the answers of ONNX Runtime and LiteRT. What tract cannot load needs no rule: it says so itself.

use tract_onnx::pb::{AttributeProto, GraphProto, ModelProto, NodeProto};
use tract_onnx::prelude::Framework;
use tract_tflite::tflite::{self, TensorType};

use crate::bundle::ModelFormat;

/// Nested graphs that are searched; deeper ones are no case for an oracle.
const MAX_DEPTH: usize = 16;

/// Why tract's answers for this model prove nothing; `None` when they can be relied on. The front-end has accepted the file.
pub fn objection(format: ModelFormat, bytes: &[u8]) -> Option<String> {
    match format {
        ModelFormat::Onnx => onnx(bytes),
        ModelFormat::Tflite => tflite(bytes),
        _ => Some("tract reads only ONNX and TFLite".to_owned()),
    }
}

fn onnx(bytes: &[u8]) -> Option<String> {
    let model: Result<ModelProto, _> = tract_onnx::onnx().proto_model_for_read(&mut &*bytes);
    match model.map(|model| model.graph) {
        Ok(Some(graph)) => onnx_graph(&graph, MAX_DEPTH),
        _ => Some("tract cannot decode the file".to_owned()),
    }
}

fn onnx_graph(graph: &GraphProto, depth: usize) -> Option<String> {
    let Some(depth) = depth.checked_sub(1) else { return Some("its graphs are nested too deep".to_owned()) };
    graph.node.iter().find_map(|node| {
        let reason = onnx_node(node).map(|reason| {
            let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
            format!("{reason} ({} {:?})", node.op_type, name.map_or("", String::as_str))
        });
        let bodies = || node.attribute.iter().flat_map(|attribute| attribute.g.iter().chain(&attribute.graphs));
        reason.or_else(|| bodies().find_map(|body| onnx_graph(body, depth)))
    })
}

fn onnx_node(node: &NodeProto) -> Option<&'static str> {
    match node.op_type.as_str() {
        "QuantizeLinear" | "DequantizeLinear" | "DynamicQuantizeLinear" | "ConvInteger" | "MatMulInteger" => {
            Some("tract replaces quantised arithmetic by arithmetic of its own")
        }
        name if name.starts_with("QLinear") || name.starts_with("QGemm") => {
            Some("tract replaces quantised arithmetic by arithmetic of its own")
        }
        "RNN" | "LSTM" | "GRU" if text(node, "direction") == b"reverse" => {
            Some("tract runs reverse recurrent layers forwards")
        }
        "RNN" | "LSTM" | "GRU" if RECURRENT.iter().any(|name| attribute(node, name).is_some()) => {
            Some("tract ignores activations, clipping and coupled gates of recurrent layers")
        }
        "Einsum" => Some("tract sums some equations over other axes"),
        "NonMaxSuppression" => Some("tract gives as many rows as there are boxes, an artifact room for all"),
        "GlobalLpPool" => Some("tract gets global norms wrong"),
        "Resize" | "Upsample" => Some("tract takes other pixels in some modes of resizing"),
        "RotaryEmbedding" => Some("tract rotates what lies outside the rotary dimensions"),
        "Normalizer" if [&b""[..], b"MAX"].contains(&text(node, "norm")) => {
            Some("tract divides by the largest magnitude, not by the largest value")
        }
        "TreeEnsembleClassifier" => tree_classifier(node),
        _ => None,
    }
}

/// Attributes of recurrent layers that tract does not read.
const RECURRENT: [&str; 5] = ["activations", "activation_alpha", "activation_beta", "clip", "input_forget"];

fn tree_classifier(node: &NodeProto) -> Option<&'static str> {
    let labels = |name| attribute(node, name).map_or(0, |labels| labels.ints.len() + labels.strings.len());
    if labels("classlabels_int64s") + labels("classlabels_strings") < 3 {
        return Some("tract gets tree classifiers of two classes wrong");
    }
    let modes = attribute(node, "nodes_modes").map_or(&[][..], |modes| &modes.strings);
    let read = |mode: &Vec<u8>| [&b"BRANCH_LEQ"[..], b"BRANCH_LT", b"LEAF"].contains(&mode.as_slice());
    (!modes.iter().all(read))
        .then_some("tract reads BRANCH_GTE branches as leaves; only BRANCH_LEQ and BRANCH_LT are relied on")
}

fn attribute<'a>(node: &'a NodeProto, name: &str) -> Option<&'a AttributeProto> {
    node.attribute.iter().find(|attribute| attribute.name == name)
}

fn text<'a>(node: &'a NodeProto, name: &str) -> &'a [u8] {
    attribute(node, name).map_or(&[], |attribute| &attribute.s)
}

fn tflite(bytes: &[u8]) -> Option<String> {
    let Ok(model) = tflite::root_as_model(bytes) else { return Some("tract cannot decode the file".to_owned()) };
    let graphs = model.subgraphs().into_iter().flatten();
    let mut tensors = graphs.flat_map(|graph| graph.tensors().into_iter().flatten());
    tensors.find_map(|tensor| {
        let exact = [TensorType::FLOAT32, TensorType::INT32, TensorType::INT64, TensorType::BOOL];
        (!exact.contains(&tensor.type_())).then(|| {
            let kind = tensor.type_().variant_name().unwrap_or("another type");
            let name = tensor.name().unwrap_or_default();
            format!("tract gets quantised and hybrid TFLite models wrong (tensor {name:?} is {kind})")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(operator: &str, attributes: Vec<AttributeProto>) -> NodeProto {
        NodeProto { op_type: operator.to_owned(), name: "n1".to_owned(), attribute: attributes, ..Default::default() }
    }

    fn string(name: &str, text: &str) -> AttributeProto {
        AttributeProto { name: name.to_owned(), s: text.into(), ..Default::default() }
    }

    fn classifier(labels: &[i64], modes: &[&str]) -> NodeProto {
        let ints =
            AttributeProto { name: "classlabels_int64s".to_owned(), ints: labels.to_vec(), ..Default::default() };
        let strings = modes.iter().map(|&mode| mode.into()).collect();
        let modes = AttributeProto { name: "nodes_modes".to_owned(), strings, ..Default::default() };
        node("TreeEnsembleClassifier", vec![ints, modes])
    }

    fn graph(node: NodeProto) -> GraphProto {
        GraphProto { node: vec![NodeProto::default(), node], ..Default::default() }
    }

    fn reason(node: NodeProto) -> Option<String> {
        onnx_graph(&graph(node), MAX_DEPTH)
    }

    #[test]
    fn nodes_that_tract_gets_wrong_are_named() {
        for operator in ["QuantizeLinear", "DequantizeLinear", "QLinearConv", "ConvInteger", "MatMulInteger"] {
            let reason = reason(node(operator, Vec::new())).expect("an objection");
            assert!(reason.contains("quantised") && reason.ends_with(&format!("({operator} \"n1\")")), "{reason}");
        }
        for operator in ["RNN", "LSTM", "GRU"] {
            assert!(reason(node(operator, vec![string("direction", "reverse")])).is_some());
            assert_eq!(reason(node(operator, vec![string("direction", "forward")])), None);
            assert_eq!(reason(node(operator, Vec::new())), None);
        }
        assert!(reason(node("Normalizer", vec![string("norm", "MAX")])).is_some());
        assert!(reason(node("Normalizer", Vec::new())).is_some(), "MAX is the default");
        assert_eq!(reason(node("Normalizer", vec![string("norm", "L2")])), None);
        assert_eq!(reason(node("Conv", Vec::new())), None);
    }

    #[test]
    fn tree_classifiers_are_judged_by_classes_and_branches() {
        assert_eq!(reason(classifier(&[0, 1, 2], &["BRANCH_LEQ", "LEAF", "BRANCH_LT"])), None);
        assert!(
            reason(classifier(&[0, 1], &["BRANCH_LEQ", "LEAF"])).is_some_and(|reason| reason.contains("two classes"))
        );
        for mode in ["BRANCH_GTE", "BRANCH_GT", "BRANCH_EQ", "BRANCH_NEQ"] {
            let reason = reason(classifier(&[0, 1, 2], &["BRANCH_LEQ", mode, "LEAF"]));
            assert!(reason.is_some_and(|reason| reason.contains("branches")), "{mode}");
        }
    }

    #[test]
    fn nested_graphs_are_searched_to_a_depth() {
        let nested = |inner: NodeProto| {
            let body = AttributeProto { name: "body".to_owned(), g: Some(graph(inner)), ..Default::default() };
            node("Loop", vec![body])
        };
        assert!(reason(nested(node("QLinearAdd", Vec::new()))).is_some_and(|reason| reason.contains("QLinearAdd")));
        assert_eq!(reason(nested(node("Add", Vec::new()))), None);
        let deep = (0..MAX_DEPTH).fold(node("Add", Vec::new()), |inner, _| nested(inner));
        assert!(reason(deep).is_some_and(|reason| reason.contains("nested too deep")));
    }

    #[test]
    fn other_formats_and_damaged_files_have_no_oracle() {
        for format in [ModelFormat::Pickle, ModelFormat::Onnx, ModelFormat::Tflite] {
            assert!(objection(format, b"\xFFno model").is_some(), "{format:?}");
        }
    }
}
