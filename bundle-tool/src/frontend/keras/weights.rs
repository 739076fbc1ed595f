//! Which array of a file is which weight of a layer.
//!
//! Keras 2's own files (and `.h5` of Keras 3) list arrays for each layer of the outermost model, in the order in which layers make them, what is
//! trained first. The format of `.keras` keeps them in groups by the layers' classes and members.

use std::collections::HashMap;

use serde_json::Value;

use super::config::{Layer, Network};
use super::hdf5::{Array, Object};
use crate::frontend::FrontendError;

/// A weight of a class of layers.
struct Slot {
    /// What it is to the layer.
    role: String,
    /// The member of the layer that has it, in names that releases give it; `""` for the layer itself.
    members: &'static [&'static str],
    /// Position among that member's weights.
    index: usize,
    /// False for what training does not change by gradients.
    trained: bool,
}

const OWN: &[&str] = &[""];
const CELL: &[&str] = &["cell"];

fn flag(layer: &Layer, key: &str) -> bool {
    layer.config.get(key).and_then(Value::as_bool).unwrap_or(true)
}

fn list(members: &'static [&'static str], prefix: &str, roles: &[(&str, bool)]) -> Vec<Slot> {
    let there = roles.iter().filter(|(_, there)| *there).enumerate();
    let slot = |(index, (role, _)): (usize, &(&str, bool))| Slot {
        role: format!("{prefix}{role}"),
        members,
        index,
        trained: !matches!(*role, "moving_mean" | "moving_variance" | "mean" | "variance" | "count"),
    };
    there.map(slot).collect()
}

/// The weights of a layer that wraps no other, in the order in which it makes them.
fn slots(layer: &Layer) -> Vec<Slot> {
    let bias = flag(layer, "use_bias");
    let affine = [("gamma", flag(layer, "scale")), ("beta", flag(layer, "center"))];
    match layer.class.as_str() {
        "Dense"
        | "Conv1D"
        | "Conv2D"
        | "Conv3D"
        | "Conv1DTranspose"
        | "Conv2DTranspose"
        | "Convolution1D"
        | "Convolution2D"
        | "Convolution2DTranspose"
        | "EinsumDense" => {
            let bias = if layer.class == "EinsumDense" {
                layer.config.get("bias_axes").is_some_and(|axes| !axes.is_null())
            } else {
                bias
            };
            list(OWN, "", &[("kernel", true), ("bias", bias)])
        }
        "DepthwiseConv1D" | "DepthwiseConv2D" => list(OWN, "", &[("depthwise_kernel", true), ("bias", bias)]),
        "SeparableConv1D" | "SeparableConv2D" | "SeparableConvolution1D" | "SeparableConvolution2D" => {
            list(OWN, "", &[("depthwise_kernel", true), ("pointwise_kernel", true), ("bias", bias)])
        }
        "BatchNormalization" | "BatchNormalizationV1" | "SyncBatchNormalization" => {
            list(OWN, "", &[affine[0], affine[1], ("moving_mean", true), ("moving_variance", true)])
        }
        "LayerNormalization" | "GroupNormalization" => list(OWN, "", &affine),
        "RMSNormalization" => list(OWN, "", &[("scale", true)]),
        "Normalization" if layer.config.get("mean").is_none_or(Value::is_null) => {
            list(OWN, "", &[("mean", true), ("variance", true), ("count", true)])
        }
        "Embedding" => list(OWN, "", &[("embeddings", true)]),
        "PReLU" => list(OWN, "", &[("alpha", true)]),
        "SimpleRNN" | "LSTM" | "GRU" | "CuDNNLSTM" | "CuDNNGRU" => {
            list(CELL, "", &[("kernel", true), ("recurrent_kernel", true), ("bias", bias)])
        }
        "MultiHeadAttention" => {
            let parts: [(&'static [&'static str], &str); 4] = [
                (&["query_dense", "_query_dense"], "query."),
                (&["key_dense", "_key_dense"], "key."),
                (&["value_dense", "_value_dense"], "value."),
                (&["output_dense", "_output_dense"], "output."),
            ];
            let all =
                parts.into_iter().map(|(members, prefix)| list(members, prefix, &[("kernel", true), ("bias", bias)]));
            all.flatten().collect()
        }
        "Attention" => {
            list(OWN, "", &[("scale", layer.config.get("use_scale").and_then(Value::as_bool) == Some(true))])
        }
        "AdditiveAttention" => list(OWN, "", &[("scale", flag(layer, "use_scale"))]),
        _ => Vec::new(),
    }
}

/// The slots of a layer and of all in it, each with the layer's number, in the order of an `.h5` file.
fn ordered(layer: &Layer, trained: bool, found: &mut Vec<(usize, Slot)>) {
    let trained = trained && flag(layer, "trainable");
    let mut own: Vec<(usize, Slot)> = Vec::new();
    if let Some(network) = &layer.network {
        network.layers.iter().for_each(|inner| ordered(inner, trained, &mut own));
    }
    layer.wrapped.iter().for_each(|inner| ordered(inner, trained, &mut own));
    own.extend(slots(layer).into_iter().map(|slot| (layer.id, Slot { trained: slot.trained && trained, ..slot })));
    // A stable sort: what is trained comes first.
    own.sort_by_key(|(_, slot)| !slot.trained);
    found.extend(own);
}

fn damaged(path: &str, reason: impl std::fmt::Display) -> FrontendError {
    FrontendError::malformed(path, reason)
}

/// The texts of an attribute, which may be in several parts.
fn names(group: &Object<'_>, key: &str, path: &str) -> Result<Vec<String>, FrontendError> {
    let read = |key: &str| group.attribute(key).map_err(|reason| damaged(path, format_args!("{key}: {reason}")));
    let texts = |array: Array| array.into_texts().ok_or_else(|| damaged(path, format_args!("{key} are not texts")));
    if let Some(array) = read(key)? {
        return texts(array);
    }
    let mut all = Vec::new();
    while let Some(part) = read(&format!("{key}{}", all.len()))? {
        all.push(texts(part)?);
    }
    match all.is_empty() {
        true => Err(damaged(path, format_args!("{key} are not there"))),
        false => Ok(all.concat()),
    }
}

/// Reads the weights of an `.h5` file: `group` is the file, or `model_weights` in it.
pub(super) fn from_layers(network: &mut Network, group: &Object<'_>) -> Result<(), FrontendError> {
    let stored = names(group, "layer_names", "weights")?;
    let mut arrays: HashMap<(usize, String), Array> = HashMap::new();
    for layer in &network.layers {
        let mut slots = Vec::new();
        ordered(layer, true, &mut slots);
        if slots.is_empty() {
            continue;
        }
        let path = &layer.path;
        let absent = || damaged(path, "the file has no weights of this layer");
        if !stored.contains(&layer.name) {
            return Err(absent());
        }
        let wrong = |reason: String| damaged(path, reason);
        let own = group.descendant(&layer.name).map_err(wrong)?.ok_or_else(absent)?;
        let mut found = Vec::new();
        for name in names(&own, "weight_names", path)? {
            let dataset = own.descendant(&name).map_err(wrong)?;
            let array = dataset.ok_or_else(|| damaged(path, format_args!("{name:?} is not there")))?.array();
            found.push(array.map_err(|reason| damaged(path, format_args!("{name:?}: {reason}")))?);
        }
        // Keras 3 does not count what `Normalization` has seen.
        if slots.len() == found.len() + 1 && layer.class == "Normalization" {
            slots.pop();
        }
        if slots.len() != found.len() {
            let reason = format!("it has {} weights, and the file has {}", slots.len(), found.len());
            return Err(damaged(path, reason));
        }
        arrays.extend(slots.into_iter().zip(found).map(|((id, slot), array)| ((id, slot.role), array)));
    }
    hand_out(network, &mut arrays);
    Ok(())
}

/// Gives layers their arrays.
fn hand_out(network: &mut Network, arrays: &mut HashMap<(usize, String), Array>) {
    for layer in &mut network.layers {
        give(layer, arrays);
    }
}

fn give(layer: &mut Layer, arrays: &mut HashMap<(usize, String), Array>) {
    for slot in slots(layer) {
        if let Some(array) = arrays.remove(&(layer.id, slot.role.clone())) {
            layer.weights.insert(slot.role, array);
        }
    }
    layer.wrapped.iter_mut().for_each(|inner| give(inner, arrays));
    if let Some(network) = &mut layer.network {
        hand_out(network, arrays);
    }
}

/// Names as Keras makes them of classes: `Conv2DTranspose` is `conv2d_transpose`.
fn snake_case(class: &str) -> String {
    let class = class.rsplit('>').next().unwrap_or(class);
    let characters: Vec<char> = class.chars().filter(|c| c.is_alphanumeric() || *c == '_').collect();
    let mut name = String::new();
    for (at, &c) in characters.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| characters[at]);
        let next_is_lower = characters.get(at + 1).is_some_and(|next| next.is_ascii_lowercase());
        let starts = c.is_ascii_uppercase()
            && before.is_some_and(|before| before.is_ascii_lowercase() || next_is_lower && before != '_');
        if starts {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

/// Reads the weights of the format of `.keras`: `group` is that of a network.
pub(super) fn from_members(network: &mut Network, group: &Object<'_>) -> Result<(), FrontendError> {
    let wrong = |reason: String| damaged("weights", reason);
    let mut members = None;
    for name in ["layers", "_layer_checkpoint_dependencies"] {
        members = members.or(group.child(name).map_err(wrong)?);
    }
    let mut used: HashMap<String, usize> = HashMap::new();
    let is_sequential = network.is_sequential;
    for layer in &mut network.layers {
        // A Sequential model does not count its input among its layers.
        if is_sequential && layer.class == "InputLayer" {
            continue;
        }
        let base = snake_case(&layer.class);
        let count = used.entry(base.clone()).and_modify(|count| *count += 1).or_insert(0);
        let name = if *count == 0 { base } else { format!("{base}_{count}") };
        let member = members.as_ref().map(|members| members.child(&name)).transpose().map_err(wrong)?.flatten();
        fill(layer, member.as_ref())?;
    }
    Ok(())
}

fn fill(layer: &mut Layer, member: Option<&Object<'_>>) -> Result<(), FrontendError> {
    let path = layer.path.clone();
    let wrong = |reason: String| damaged(&path, reason);
    if let (Some(network), Some(member)) = (&mut layer.network, member) {
        return from_members(network, member);
    }
    let wrapped: &[&[&str]] = if layer.class == "Bidirectional" {
        &[&["forward_layer"], &["backward_layer"]]
    } else {
        &[&["layer", "_layer"]]
    };
    for (inner, names) in layer.wrapped.iter_mut().zip(wrapped) {
        let mut found = None;
        for name in *names {
            found = found.or(member.map(|member| member.child(name)).transpose().map_err(wrong)?.flatten());
        }
        fill(inner, found.as_ref())?;
    }
    for slot in slots(layer) {
        let mut found = None;
        for name in slot.members {
            let vars = if name.is_empty() { "vars".to_owned() } else { format!("{name}/vars") };
            let dataset = format!("{vars}/{}", slot.index);
            found = found.or(member.map(|member| member.descendant(&dataset)).transpose().map_err(wrong)?.flatten());
        }
        match found {
            Some(dataset) => {
                let array = dataset.array().map_err(|reason| wrong(format!("{}: {reason}", slot.role)))?;
                layer.weights.insert(slot.role, array);
            }
            None if slot.role == "count" => {}
            None => return Err(damaged(&path, format_args!("the file has no {} of this layer", slot.role))),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::snake_case;

    #[test]
    fn classes_are_named_as_keras_names_them() {
        let cases = [
            ("Dense", "dense"),
            ("Conv2D", "conv2d"),
            ("Conv2DTranspose", "conv2d_transpose"),
            ("GlobalAveragePooling1D", "global_average_pooling1d"),
            ("LSTM", "lstm"),
            ("PReLU", "p_re_lu"),
            ("MultiHeadAttention", "multi_head_attention"),
            ("SimpleRNN", "simple_rnn"),
            ("DepthwiseConv2D", "depthwise_conv2d"),
        ];
        for (class, name) in cases {
            assert_eq!(snake_case(class), name);
        }
    }
}
