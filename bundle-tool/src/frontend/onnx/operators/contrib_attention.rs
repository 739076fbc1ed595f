//! Attention operators of `com.microsoft`.

use ekiben_runtime::ops::attention::{Attention, Layout};
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::compare::{Compare, CompareKind};
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::gather::Gather;
use ekiben_runtime::ops::mat_mul::MatMul;
use ekiben_runtime::ops::rotary_embedding::RotaryEmbedding;
use ekiben_runtime::ops::unary::{Unary, UnaryKind};
use ekiben_runtime::{DType, Shape};

use super::super::call::{Call, Lowered, Refusal, Value, one};
use super::attention::{Headed, attend, plain};
use super::indexing::{Part, take};
use crate::graph::TensorId;

/// Lengths that masks go by.
#[derive(Clone, Copy)]
struct Lengths {
    batch: usize,
    batch_axis: Option<usize>,
    queries: usize,
    keys: usize,
}

/// A mask of integers above 0 where a key counts, or how many keys count, as what is added to the scores `[B, 1, 1 or Q, K]`.
fn padding(call: &mut Call<'_>, mask: TensorId, lengths: Lengths) -> Result<TensorId, Refusal> {
    let filter = f64::from(call.attributes.float("mask_filter_value")?.unwrap_or(-10000.0));
    let Lengths { batch, batch_axis, queries, keys } = lengths;
    let shape = call.shape(mask);
    let is = |dims: &[usize]| Shape::new(dims, batch_axis).is_ok_and(|wanted| wanted == shape);
    let counted = if is(&[batch]) {
        let numbers: Vec<i32> = (0..keys as i32).collect();
        let places = call.constant(DType::I32, &[1, 1, 1, keys], &numbers)?;
        let ends = call.reshape_to(mask, &[batch, 1, 1, 1], batch_axis)?;
        let ends = if call.dtype(ends) == DType::I32 { ends } else { call.add(Cast { to: DType::I32 }, &[ends])? };
        let inside = call.add(Compare { kind: CompareKind::Less }, &[places, ends])?;
        call.add(Cast { to: DType::F32 }, &[inside])?
    } else {
        let rows = if is(&[batch, keys]) {
            1
        } else if is(&[batch, queries, keys]) {
            queries
        } else {
            return Err(Refusal(format!(
                "a mask of shape {shape} is not supported; [B], [B, {keys}] and [B, {queries}, {keys}] are"
            )));
        };
        let mask = call.reshape_to(mask, &[batch, 1, rows, keys], batch_axis)?;
        let numbers = call.add(Cast { to: DType::F32 }, &[mask])?;
        call.add(Unary { kind: UnaryKind::Clip, alpha: 0.0, beta: 1.0 }, &[numbers])?
    };
    call.add(Unary { kind: UnaryKind::Affine, alpha: -filter, beta: filter }, &[counted])
}

/// The sum of a padding mask and a bias of the scores.
fn mask(call: &mut Call<'_>, padded: usize, bias: usize, lengths: Lengths) -> Result<Option<TensorId>, Refusal> {
    // It matters to a mask only.
    call.attributes.ignore(&["mask_filter_value"]);
    let (padded, bias) = (call.optional(padded)?, call.optional(bias)?);
    let padded = padded.map(|mask| padding(call, mask, lengths)).transpose()?;
    match (padded, bias) {
        (Some(padded), Some(bias)) => Ok(Some(call.add(Binary { kind: BinaryKind::Add }, &[padded, bias])?)),
        (padded, bias) => Ok(padded.or(bias)),
    }
}

fn heads(call: &Call<'_>) -> Result<u32, Refusal> {
    let heads = call.attributes.int("num_heads")?.and_then(|heads| u32::try_from(heads).ok());
    heads.filter(|&heads| heads > 0).ok_or_else(|| "attribute num_heads is missing or no number of heads".into())
}

/// Sets what both attentions say alike.
fn stated(call: &Call<'_>, op: &mut Attention) -> Result<(), Refusal> {
    if let Some(scale) = call.attributes.float("scale")?.filter(|&scale| scale != 0.0) {
        op.scale = scale.into();
    }
    if call.attributes.flag("unidirectional", false)? {
        op.right = 0;
    }
    Ok(())
}

/// Columns of a tensor `[B, rows, columns]`.
pub(super) fn columns(call: &mut Call<'_>, x: TensorId, start: u32, length: u32) -> Result<TensorId, Refusal> {
    let mut parts = Part::whole(&call.shape(x));
    if let Some(last) = parts.last_mut() {
        (last.start, last.length) = (start.into(), length.into());
    }
    take(call, x, &parts)
}

/// Attention with its projections: queries, keys and values are columns of one product.
pub(super) fn attention(call: &mut Call<'_>) -> Lowered {
    for name in ["do_rotary", "past_present_share_buffer"] {
        if call.attributes.flag(name, false)? {
            return Err(Refusal(format!("attribute {name}=1 is not supported")));
        }
    }
    call.attributes.ignore(&["rotary_embedding_dim"]);
    let heads = heads(call)?;
    let (x, weights, bias) = (call.tensor(0)?, call.tensor(1)?, call.optional(2)?);
    let shape = call.shape(x);
    let width = call.shape(weights).factor(1).ok_or("input 1 must be a matrix")? as u32;
    let sizes = match call.attributes.ints("qkv_hidden_sizes")? {
        Some(&[q, k, v]) => [q, k, v].map(|size| u32::try_from(size).unwrap_or(0)),
        Some(_) => return Err("attribute qkv_hidden_sizes must have three values".into()),
        None => [width / 3; 3],
    };
    let total = sizes.iter().map(|&size| u64::from(size)).sum::<u64>();
    if sizes[0] != sizes[1]
        || total != u64::from(width)
        || sizes.iter().any(|size| size % heads != 0)
        || shape.rank() != 3
    {
        return Err("the hidden sizes do not go with num_heads and the weights".into());
    }
    let inputs: Vec<TensorId> = [x, weights].into_iter().chain(bias).collect();
    let packed = call.add(MatMul { transpose_b: false }, &inputs)?;
    let headed = |size: u32| Headed { tensor: packed, layout: Layout::Columns, heads, size: size / heads };
    let [q, mut k, mut v] = sizes.map(headed);
    let mut op = Attention { first: [0, sizes[0], sizes[0] + sizes[1]], ..plain(&q, &k, &v) };
    stated(call, &mut op)?;
    let mut present = Value::Blocked;
    let past = call.optional(4)?;
    if past.is_some() || call.outputs.get(1) == Some(&true) {
        k.tensor = columns(call, packed, sizes[0], sizes[1])?;
        v.tensor = columns(call, packed, sizes[0] + sizes[1], sizes[2])?;
        let before = past.map(|past| halves(call, past)).transpose()?;
        (k, v) = (k.heads_first(call)?, v.heads_first(call)?);
        if let Some(before) = before {
            op.offset = call.shape(before[0]).factor(2).unwrap_or(0) as i32;
            k.tensor = call.add(Concat { axis: 2 }, &[before[0], k.tensor])?;
            v.tensor = call.add(Concat { axis: 2 }, &[before[1], v.tensor])?;
        }
        present = Value::Tensor(joined(call, [k.tensor, v.tensor])?);
        (op.key_layout, op.first) = (Layout::Heads, [0; 3]);
    }
    let lengths = Lengths {
        batch: shape.factor(0).unwrap_or(0),
        batch_axis: shape.batch_axis(),
        queries: q.rows(call),
        keys: k.rows(call),
    };
    let mask = mask(call, 3, 5, lengths)?;
    let result = attend(call, op, [q.tensor, k.tensor, v.tensor], mask, None, false)?[0];
    Ok(vec![Value::Tensor(result), present])
}

/// `[2, B, …]` as two tensors `[B, …]`.
fn halves(call: &mut Call<'_>, both: TensorId) -> Result<[TensorId; 2], Refusal> {
    let mut half = |index: i64| {
        let index = call.constant(DType::I64, &[], &[index])?;
        call.add(Gather { axis: 0 }, &[both, index])
    };
    Ok([half(0)?, half(1)?])
}

/// Two tensors `[B, …]` as `[2, B, …]`.
fn joined(call: &mut Call<'_>, parts: [TensorId; 2]) -> Result<TensorId, Refusal> {
    let shape = call.shape(parts[0]);
    let dims: Vec<usize> = std::iter::once(1).chain(shape.factors().iter().map(|&dim| dim as usize)).collect();
    let batch = shape.batch_axis().map(|axis| axis + 1);
    let parts = [call.reshape_to(parts[0], &dims, batch)?, call.reshape_to(parts[1], &dims, batch)?];
    call.add(Concat { axis: 0 }, &parts)
}

/// One of the tensors that are packed on the fourth axis of `[B, rows, heads, parts, size]`, as `[B, rows, heads * size]`.
fn unpacked(call: &mut Call<'_>, packed: TensorId, index: i64) -> Result<TensorId, Refusal> {
    let index = call.constant(DType::I64, &[], &[index])?;
    let part = call.add(Gather { axis: 3 }, &[packed, index])?;
    let shape = call.shape(part);
    let &[batch, rows, heads, size] = shape.factors() else { return Err("a packed input must have five axes".into()) };
    call.reshape_to(part, &[batch as usize, rows as usize, heads as usize * size as usize], shape.batch_axis())
}

/// Queries, keys and values, each `[B, rows, columns]` or `[B, heads, rows, size]`.
fn operands(call: &mut Call<'_>) -> Result<[TensorId; 3], Refusal> {
    let query = call.tensor(0)?;
    let (key, value) = (call.optional(1)?, call.optional(2)?);
    match (key, value, call.shape(query).rank()) {
        (None, None, 5) => Ok([unpacked(call, query, 0)?, unpacked(call, query, 1)?, unpacked(call, query, 2)?]),
        (Some(key), None, _) if call.shape(key).rank() == 5 => {
            Ok([query, unpacked(call, key, 0)?, unpacked(call, key, 1)?])
        }
        (Some(key), Some(value), _) => Ok([query, key, value]),
        _ => Err("key and value are missing, and no input is packed".into()),
    }
}

pub(super) fn multi_head(call: &mut Call<'_>) -> Lowered {
    for index in [8, 9] {
        if call.has(index) {
            return Err(Refusal(format!("input {index}, for buffers that are shared, is not supported")));
        }
    }
    let heads = heads(call)?;
    let mut tensors = operands(call)?;
    if let Some(bias) = call.optional(3)? {
        let mut start = 0;
        for tensor in &mut tensors {
            let shape = call.shape(*tensor);
            let &[_, _, width] = shape.factors() else { return Err("a bias needs inputs of three axes".into()) };
            let own = columns(call, bias, start, width)?;
            *tensor = call.add(Binary { kind: BinaryKind::Add }, &[*tensor, own])?;
            start += width;
        }
    }
    let headed = |call: &Call<'_>, tensor| Headed::new(call, tensor, Some(heads.into()), "num_heads");
    let q = headed(call, tensors[0])?;
    let (mut k, mut v) = (headed(call, tensors[1])?, headed(call, tensors[2])?);
    let past = [call.optional(6)?, call.optional(7)?];
    if past[0].is_some() != past[1].is_some() {
        return Err("past_key and past_value must be given together".into());
    }
    let mut before = 0;
    let wanted = [1, 2].map(|index| call.outputs.get(index) == Some(&true));
    for (own, past) in [&mut k, &mut v].into_iter().zip(past) {
        if past.is_some() || wanted.contains(&true) || k_layout_differs(&tensors, call) {
            *own = own.heads_first(call)?;
        }
        if let Some(past) = past {
            before = call.shape(past).factor(2).unwrap_or(0);
            own.tensor = call.add(Concat { axis: 2 }, &[past, own.tensor])?;
        }
    }
    let mut op =
        Attention { offset: before as i32, stage: ekiben_runtime::ops::attention::Stage::Shares, ..plain(&q, &k, &v) };
    stated(call, &mut op)?;
    let shape = call.shape(q.tensor);
    let lengths = Lengths {
        batch: shape.factor(0).unwrap_or(0),
        batch_axis: shape.batch_axis(),
        queries: q.rows(call),
        keys: k.rows(call),
    };
    let mask = mask(call, 4, 5, lengths)?;
    let scores = call.outputs.get(3) == Some(&true);
    let results = attend(call, op, [q.tensor, k.tensor, v.tensor], mask, None, scores)?;
    let mut values = vec![Value::Tensor(results[0]), Value::Tensor(k.tensor), Value::Tensor(v.tensor)];
    values.extend(results.get(1).map(|&scores| Value::Tensor(scores)));
    Ok(values)
}

/// True when keys and values come in different layouts.
fn k_layout_differs(tensors: &[TensorId; 3], call: &Call<'_>) -> bool {
    call.shape(tensors[1]).rank() != call.shape(tensors[2]).rank()
}

pub(super) fn rotary(call: &mut Call<'_>) -> Lowered {
    if call.attributes.flag("is_packed_batching", false)? {
        return Err("attribute is_packed_batching=1 is not supported".into());
    }
    if call.attributes.float("scale")?.is_some_and(|scale| scale != 1.0) {
        return Err("attribute scale must be 1".into());
    }
    let interleaved = call.attributes.flag("interleaved", false)?;
    let (x, positions, cos, sin) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?, call.tensor(3)?);
    let pairs = call.shape(cos).factor(1).ok_or("cos_cache must have two axes")? as u32;
    let turned = call.attributes.int("rotary_embedding_dim")?.filter(|&turned| turned != 0);
    if turned.is_some_and(|turned| turned != i64::from(pairs) * 2) {
        return Err("attribute rotary_embedding_dim is not twice the width of cos_cache".into());
    }
    let stated = call.attributes.int("num_heads")?.filter(|&heads| heads != 0);
    let heads = match (stated, call.shape(x).factors()) {
        (None, &[_, _, width]) if pairs > 0 && turned.is_none() => Some(i64::from(width / (2 * pairs))),
        (stated, _) => stated,
    };
    let x = Headed::new(call, x, heads, "num_heads")?;
    let op = RotaryEmbedding { layout: x.layout, heads: x.heads, pairs, interleaved };
    one(call.add(op, &[x.tensor, cos, sin, positions])?)
}
