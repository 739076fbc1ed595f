//! Attention and what goes with it.

use ekiben_runtime::ops::attention::{Attention, Layout, Stage};
use ekiben_runtime::ops::causal_conv::CausalConv;
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::linear_attention::LinearAttention;
use ekiben_runtime::ops::rotary_embedding::RotaryEmbedding;
use ekiben_runtime::{DType, Shape, TensorSpec};

use super::super::attributes::Attributes;
use super::super::call::{Call, Lowered, Refusal, Value, one};
use crate::graph::TensorId;

/// ONNX's codes of the float types that `softmax_precision` may name.
const PRECISIONS: [(i64, DType); 4] = [(1, DType::F32), (10, DType::F16), (11, DType::F64), (16, DType::BF16)];

/// A tensor whose rows are heads'.
#[derive(Clone, Copy)]
pub(in super::super) struct Headed {
    pub(in super::super) tensor: TensorId,
    pub(in super::super) layout: Layout,
    pub(in super::super) heads: u32,
    pub(in super::super) size: u32,
}

impl Headed {
    /// `[B, heads, rows, size]`, or `[B, rows, heads * size]` with the number of heads stated.
    pub(in super::super) fn new(
        call: &Call<'_>,
        tensor: TensorId,
        heads: Option<i64>,
        name: &str,
    ) -> Result<Self, Refusal> {
        let shape = call.shape(tensor);
        let stated = heads.map(|heads| u32::try_from(heads).ok().filter(|&heads| heads > 0).ok_or(heads));
        let stated = stated.transpose().map_err(|heads| Refusal(format!("attribute {name} is {heads}")))?;
        match *shape.factors() {
            [_, heads, _, size] if stated.is_none_or(|stated| stated == heads) => {
                Ok(Self { tensor, layout: Layout::Heads, heads, size })
            }
            [_, _, columns] => {
                let heads = stated.ok_or_else(|| Refusal(format!("attribute {name} is missing")))?;
                if columns % heads != 0 {
                    return Err(Refusal(format!("attribute {name} is {heads}, which does not divide {columns}")));
                }
                Ok(Self { tensor, layout: Layout::Columns, heads, size: columns / heads })
            }
            _ => Err(Refusal(format!("{shape} is not a shape with heads, or attribute {name} is not their number"))),
        }
    }

    /// Number of rows.
    pub(in super::super) fn rows(&self, call: &Call<'_>) -> usize {
        call.shape(self.tensor).factor(self.layout.row_axis()).unwrap_or(0)
    }

    /// The same as `[B, heads, rows, size]`.
    pub(in super::super) fn heads_first(self, call: &mut Call<'_>) -> Result<Self, Refusal> {
        if self.layout == Layout::Heads {
            return Ok(self);
        }
        let shape = call.shape(self.tensor);
        let batch = shape.factor(0).unwrap_or(0);
        let dims = [batch, self.rows(call), self.heads as usize, self.size as usize];
        let split = call.reshape_to(self.tensor, &dims, shape.batch_axis())?;
        Ok(Self { tensor: call.transpose(split, &[0, 2, 1, 3])?, layout: Layout::Heads, ..self })
    }
}

/// An attention of queries to keys and values without mask, cap and window.
pub(in super::super) fn plain(q: &Headed, k: &Headed, v: &Headed) -> Attention {
    Attention {
        query_layout: q.layout,
        key_layout: k.layout,
        query_heads: q.heads,
        key_heads: k.heads,
        size: q.size,
        value_size: v.size,
        first: [0; 3],
        scale: 1.0 / f64::from(q.size.max(1)).sqrt(),
        softcap: 0.0,
        left: -1,
        right: -1,
        offset: 0,
        stage: Stage::Raw,
        wide: false,
    }
}

/// Adds an attention; with `scores`, a second output holds them.
pub(in super::super) fn attend(
    call: &mut Call<'_>,
    op: Attention,
    [q, k, v]: [TensorId; 3],
    mask: Option<TensorId>,
    lengths: Option<TensorId>,
    scores: bool,
) -> Result<Vec<TensorId>, Refusal> {
    let (queries, dtype) = (call.shape(q), call.dtype(q));
    let batch = queries.factor(0).unwrap_or(0);
    let rows = queries.factor(op.query_layout.row_axis()).unwrap_or(0);
    let keys = call.shape(k).factor(op.key_layout.row_axis()).unwrap_or(0);
    let (heads, size) = (op.query_heads as usize, op.value_size as usize);
    let declared = match op.query_layout {
        Layout::Heads => Shape::new(&[batch, heads, rows, size], queries.batch_axis())?,
        Layout::Columns => Shape::new(&[batch, rows, heads.saturating_mul(size)], queries.batch_axis())?,
    };
    let mut declared = vec![TensorSpec::new(dtype, declared)];
    if scores {
        declared.push(TensorSpec::new(dtype, Shape::new(&[batch, heads, rows, keys], queries.batch_axis())?));
    }
    call.add_node(op.into(), &[Some(q), Some(k), Some(v), mask, lengths], &declared)
}

/// Whether the softmax is to be computed in f64.
pub(in super::super) fn wide_softmax(attributes: &Attributes<'_>, dtype: DType) -> Result<bool, Refusal> {
    let Some(code) = attributes.int("softmax_precision")? else { return Ok(false) };
    let Some((_, precision)) = PRECISIONS.into_iter().find(|&(known, _)| known == code) else {
        return Err(Refusal(format!("attribute softmax_precision is {code}, which is not a float type")));
    };
    match (dtype, precision) {
        (DType::F64, DType::F64) | (DType::F32, DType::F32) => Ok(false),
        (DType::F32, DType::F64) => Ok(true),
        _ => Err(Refusal(format!(
            "attribute softmax_precision asks for {precision}, which is less than {dtype}: leave it away for a softmax in {dtype}"
        ))),
    }
}

fn window(call: &Call<'_>, name: &str) -> Result<i32, Refusal> {
    let size = call.attributes.int(name)?.unwrap_or(-1);
    i32::try_from(size).ok().filter(|&size| size >= -1).ok_or_else(|| Refusal(format!("attribute {name} is {size}")))
}

/// `past` followed by `now`, along the rows.
fn joined(call: &mut Call<'_>, past: Option<TensorId>, now: Headed) -> Result<Headed, Refusal> {
    let Some(past) = past else { return Ok(now) };
    let now = now.heads_first(call)?;
    Ok(Headed { tensor: call.add(Concat { axis: 2 }, &[past, now.tensor])?, ..now })
}

/// Scaled dot-product attention, with everything that the operator's attributes can ask for.
pub(super) fn attention(call: &mut Call<'_>) -> Lowered {
    let heads = [call.attributes.int("q_num_heads")?, call.attributes.int("kv_num_heads")?];
    let (q, k, v) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?);
    let q = Headed::new(call, q, heads[0], "q_num_heads")?;
    let (mut k, mut v) =
        (Headed::new(call, k, heads[1], "kv_num_heads")?, Headed::new(call, v, heads[1], "kv_num_heads")?);
    let (mask, lengths) = (call.optional(3)?, call.optional(6)?);
    let mut past = [call.optional(4)?, call.optional(5)?];
    if past[0].is_some() != past[1].is_some() {
        return Err("past_key and past_value must be given together".into());
    }
    if past[0].is_some() && lengths.is_some() {
        return Err("nonpad_kv_seqlen does not go with past_key and past_value".into());
    }
    past = past.map(|past| past.filter(|&past| call.shape(past).elements() != Some(0)));
    let before = past[0].and_then(|past| call.shape(past).factor(2)).unwrap_or(0);
    (k, v) = (joined(call, past[0], k)?, joined(call, past[1], v)?);
    let scale = call.attributes.float("scale")?.filter(|&scale| scale != 0.0);
    let stage = call.attributes.int("qk_matmul_output_mode")?.unwrap_or(0);
    let stage = u8::try_from(stage).ok().and_then(Stage::from_code);
    let base = plain(&q, &k, &v);
    let mut op = Attention {
        scale: scale.map_or(base.scale, f64::from),
        softcap: call.attributes.float("softcap")?.unwrap_or(0.0).into(),
        left: window(call, "left_window_size")?,
        right: window(call, "right_window_size")?,
        offset: i32::try_from(before).map_err(|_| "past_key is too long")?,
        stage: stage.ok_or("attribute qk_matmul_output_mode must be 0, 1, 2 or 3")?,
        wide: wide_softmax(&call.attributes, call.dtype(q.tensor))?,
        ..base
    };
    if call.attributes.flag("is_causal", false)? {
        op.right = 0;
    }
    let wanted = |index: usize| call.outputs.get(index).copied().unwrap_or(false);
    let (presents, scores) = ([wanted(1), wanted(2)], wanted(3));
    let results = attend(call, op, [q.tensor, k.tensor, v.tensor], mask, lengths, scores)?;
    let mut values = vec![Value::Tensor(results[0])];
    for (present, wanted) in [k, v].into_iter().zip(presents) {
        values.push(if wanted { Value::Tensor(present.heads_first(call)?.tensor) } else { Value::Blocked });
    }
    values.extend(results.get(1).map(|&scores| Value::Tensor(scores)));
    Ok(values)
}

pub(super) fn rotary(call: &mut Call<'_>) -> Lowered {
    let x = call.tensor(0)?;
    let heads = call.attributes.int("num_heads")?.filter(|&heads| heads != 0);
    let x = Headed::new(call, x, heads, "num_heads")?;
    let turned = call.attributes.int("rotary_embedding_dim")?.filter(|&turned| turned != 0);
    let turned = turned.unwrap_or(x.size.into());
    let pairs = u32::try_from(turned).ok().filter(|turned| turned % 2 == 0 && *turned <= x.size);
    let pairs = pairs.ok_or_else(|| Refusal(format!("attribute rotary_embedding_dim is {turned}")))? / 2;
    let interleaved = call.attributes.flag("interleaved", false)?;
    let op = RotaryEmbedding { layout: x.layout, heads: x.heads, pairs, interleaved };
    let mut inputs = vec![x.tensor, call.tensor(1)?, call.tensor(2)?];
    inputs.extend(call.optional(3)?);
    one(call.add(op, &inputs)?)
}

pub(super) fn linear(call: &mut Call<'_>) -> Lowered {
    call.attributes.ignore(&["chunk_size"]);
    let rule = call.attributes.string("update_rule")?.unwrap_or("gated_delta");
    let (gated, delta) = match rule {
        "linear" => (false, false),
        "gated" => (true, false),
        "delta" => (false, true),
        "gated_delta" => (true, true),
        other => return Err(Refusal(format!("attribute update_rule is {other:?}"))),
    };
    let (decay, beta) = (call.optional(4)?, call.optional(5)?);
    if decay.is_some() != gated || beta.is_some() != delta {
        return Err(Refusal(format!("inputs decay and beta do not go with update_rule={rule:?}")));
    }
    let heads = |name: &str| {
        let heads = call.attributes.int(name)?.and_then(|heads| u32::try_from(heads).ok()).filter(|&heads| heads > 0);
        heads.ok_or_else(|| Refusal(format!("attribute {name} is missing or no number of heads")))
    };
    let (query_heads, key_heads) = (heads("q_num_heads")?, heads("kv_num_heads")?);
    let (q, k, v, past) = (call.tensor(0)?, call.tensor(1)?, call.tensor(2)?, call.optional(3)?);
    let [query, value] = [(q, query_heads, "q_num_heads"), (v, key_heads, "kv_num_heads")]
        .map(|(tensor, heads, name)| Headed::new(call, tensor, Some(heads.into()), name));
    let (query, value) = (query?, value?);
    let scale = call.attributes.float("scale")?.filter(|&scale| scale != 0.0);
    let scale = scale.map_or(1.0 / f64::from(query.size.max(1)).sqrt(), f64::from);
    let (shape, dtype) = (call.shape(q), call.dtype(q));
    let [batch, length] = [shape.factor(0).unwrap_or(0), shape.factor(1).unwrap_or(0)];
    let (size, value_size) = (query.size as usize, value.size as usize);
    let columns = (query_heads as usize).saturating_mul(value_size);
    let declared = [
        TensorSpec::new(dtype, Shape::new(&[batch, length, columns], shape.batch_axis())?),
        TensorSpec::new(dtype, Shape::new(&[batch, key_heads as usize, size, value_size], shape.batch_axis())?),
    ];
    let inputs = [Some(q), Some(k), Some(v), past, decay, beta];
    let results = call.add_node(LinearAttention { query_heads, key_heads, scale }.into(), &inputs, &declared)?;
    Ok(results.into_iter().map(Value::Tensor).collect())
}

pub(super) fn causal_conv(call: &mut Call<'_>) -> Lowered {
    let silu = match call.attributes.string("activation")?.unwrap_or("none") {
        "none" => false,
        "silu" | "swish" => true,
        other => return Err(Refusal(format!("attribute activation is {other:?}"))),
    };
    let (x, weights) = (call.tensor(0)?, call.tensor(1)?);
    let inputs = [Some(x), Some(weights), call.optional(2)?, call.optional(3)?];
    let spec = TensorSpec::new(call.dtype(x), call.shape(x));
    let before = call.shape(weights).factor(2).unwrap_or(1).saturating_sub(1);
    let mut declared = vec![spec];
    if call.outputs.get(1) == Some(&true) {
        declared.push(TensorSpec { shape: spec.shape.with_axis(2, before, false)?, ..spec });
    }
    let results = call.add_node(CausalConv { silu }.into(), &inputs, &declared)?;
    Ok(results.into_iter().map(Value::Tensor).collect())
}
