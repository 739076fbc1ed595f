//! `MultiHeadAttention`, and `Attention` over products.

use ekiben_runtime::ops::attention::{Attention, Layout, Stage};
use ekiben_runtime::ops::mat_mul::MatMul;

use super::super::lowering::{Flow, Site, Stop};
use crate::graph::TensorId;

pub(super) fn attention(
    site: &mut Site<'_, '_>,
    tensors: &[TensorId],
    named: &[(&str, Vec<Flow>)],
) -> Result<TensorId, Stop> {
    let mut given = tensors.to_vec();
    let multi = site.layer.class == "MultiHeadAttention";
    let order = ["query", "value", "key"];
    for (name, flows) in named {
        let &[flow] = flows.as_slice() else { return Err(format!("{name} is not one tensor").into()) };
        if flow.masked {
            return Err("masked steps are not compiled".into());
        }
        if order.get(given.len()) != Some(name) {
            return Err(format!("it is called with {name}, which is not compiled").into());
        }
        let tensor = site.floats(flow.tensor)?;
        given.push(tensor);
    }
    let (query, value, key) = match *given.as_slice() {
        [query, value] => (query, value, value),
        [query, value, key] => (query, value, key),
        _ => return Err(format!("it is called with {} tensors", given.len()).into()),
    };
    if [query, value, key].iter().any(|&tensor| site.shape(tensor).rank() != 3) {
        return Err("queries, values and keys of three axes are compiled".into());
    }
    if multi { heads(site, query, value, key) } else { products(site, query, value, key) }
}

fn plain(heads: usize, size: usize, value_size: usize, scale: f64) -> Attention {
    Attention {
        query_layout: Layout::Columns,
        key_layout: Layout::Columns,
        query_heads: heads as u32,
        key_heads: heads as u32,
        size: size as u32,
        value_size: value_size as u32,
        first: [0; 3],
        scale,
        softcap: 0.0,
        left: -1,
        right: -1,
        offset: 0,
        stage: Stage::Raw,
        wide: false,
    }
}

/// A product with a kernel `[width, heads, size]`.
fn projected(
    site: &mut Site<'_, '_>,
    part: &str,
    x: TensorId,
    kernel: (&[usize], [usize; 2]),
    bias: &[usize],
) -> Result<TensorId, Stop> {
    let matrix = site.stored(&format!("{part}.kernel"), kernel.0, &kernel.1)?;
    let mut inputs = vec![x, matrix];
    if site.flag("use_bias", true) {
        inputs.push(site.stored(&format!("{part}.bias"), bias, &[kernel.1[1]])?);
    }
    site.add(MatMul { transpose_b: false }, &inputs)
}

fn heads(site: &mut Site<'_, '_>, query: TensorId, value: TensorId, key: TensorId) -> Result<TensorId, Stop> {
    let count = site.count("num_heads")?.ok_or("num_heads is not stated")?;
    let size = site.count("key_dim")?.ok_or("key_dim is not stated")?;
    let value_size = site.count("value_dim")?.unwrap_or(size);
    let axes = site.value("attention_axes").and_then(|axes| axes.as_array()).map_or(0, Vec::len);
    if axes > 1 || site.value("output_shape").is_some_and(|shape| shape.as_array().is_some_and(|shape| shape.len() > 1))
    {
        return Err("attention over several axes is not compiled".into());
    }
    let width = |site: &Site<'_, '_>, tensor: TensorId| site.dims(tensor)[2];
    let mut parts = Vec::new();
    for (part, tensor, size) in [("query", query, size), ("key", key, size), ("value", value, value_size)] {
        let width = width(site, tensor);
        let columns = count.checked_mul(size).ok_or("too many heads")?;
        parts.push(projected(site, part, tensor, (&[width, count, size], [width, columns]), &[count, size])?);
    }
    let attended = site.add(plain(count, size, value_size, 1.0 / (size as f64).sqrt()), &parts)?;
    let outputs = match site.value("output_shape") {
        None => width(site, query),
        Some(value) => {
            let one = value.as_array().and_then(|values| values.first()).unwrap_or(value);
            one.as_u64().filter(|&outputs| outputs > 0).ok_or("output_shape is not a count")? as usize
        }
    };
    let stored = [count, value_size, outputs];
    projected(site, "output", attended, (&stored, [count * value_size, outputs]), &[outputs])
}

/// `softmax(query . key) . value`, scaled by a learned number where there is one.
fn products(site: &mut Site<'_, '_>, query: TensorId, value: TensorId, key: TensorId) -> Result<TensorId, Stop> {
    if site.text("score_mode").is_some_and(|mode| mode != "dot") {
        return Err("score_mode other than dot is not compiled".into());
    }
    if site.flag("causal", false) {
        return Err("causal is not compiled".into());
    }
    let scale = if site.flag("use_scale", false) { f64::from(site.numbers("scale", &[])?[0]) } else { 1.0 };
    let (size, value_size) = (site.dims(key)[2], site.dims(value)[2]);
    site.add(plain(1, size, value_size, scale), &[query, key, value])
}
