//! `com.microsoft`'s `GroupQueryAttention`: attention with a cache of keys and values whose lengths are known when the model runs.
//!
//! The whole length must be known while the model is compiled: it tells a first prompt from later steps, and whether the caches have
//! room for what comes or have to grow. What the caches hold after the end of a sequence is not defined.

use ekiben_runtime::DType;
use ekiben_runtime::ops::attention::Attention;
use ekiben_runtime::ops::binary::{Binary, BinaryKind};
use ekiben_runtime::ops::cache_write::CacheWrite;
use ekiben_runtime::ops::cast::Cast;
use ekiben_runtime::ops::concat::Concat;
use ekiben_runtime::ops::rotary_embedding::RotaryEmbedding;

use super::super::call::{Call, Lowered, Refusal, Value};
use super::attention::{Headed, attend, plain};
use super::contrib_attention::columns;
use crate::graph::TensorId;

/// Inputs for parts of the operator that are not supported.
const REFUSED: [(usize, &str); 7] = [
    (9, "position_ids"),
    (11, "head_sink"),
    (12, "k_scale"),
    (13, "v_scale"),
    (14, "q_norm_weight"),
    (15, "k_norm_weight"),
    (16, "query_seqlens"),
];

/// Lengths of the sequences.
struct Steps {
    /// How many keys each sequence has after this run, `[B]`, i32.
    lengths: TensorId,
    /// Place of the first new key of each sequence, `[B]`, i32.
    starts: TensorId,
    /// New keys.
    count: usize,
    /// Keys of the longest sequence after this run.
    total: usize,
}

impl Steps {
    /// True when there is nothing before.
    fn is_first(&self) -> bool {
        self.count == self.total
    }
}

fn refuse(call: &Call<'_>) -> Result<(), Refusal> {
    if let Some((_, name)) = REFUSED.iter().find(|&&(index, _)| call.has(index)) {
        return Err(Refusal(format!("input {name} is not supported")));
    }
    for (name, allowed) in [("qk_output", 0), ("sliding_window_cache", 0), ("kv_cache_bit_width", 0)] {
        if call.attributes.int(name)?.unwrap_or(allowed) != allowed {
            return Err(Refusal(format!("attribute {name} must be {allowed}")));
        }
    }
    if call.attributes.int("smooth_softmax")?.is_some_and(|smooth| smooth > 0) {
        return Err("attribute smooth_softmax=1 is not supported".into());
    }
    for name in ["k_quant_type", "v_quant_type"] {
        if call.attributes.string(name)?.unwrap_or("NONE") != "NONE" {
            return Err(Refusal(format!("attribute {name} must be NONE")));
        }
    }
    // They go with inputs that are refused.
    call.attributes.ignore(&["qk_norm_epsilon", "q_norm_epsilon", "k_norm_epsilon"]);
    Ok(())
}

/// The operands; packed ones are columns of one tensor.
fn operands(call: &mut Call<'_>) -> Result<[Headed; 3], Refusal> {
    let count = |name: &str| {
        let heads = call.attributes.int(name)?.filter(|&heads| heads > 0);
        heads.ok_or_else(|| Refusal(format!("attribute {name} is missing")))
    };
    let (heads, key_heads) = (count("num_heads")?, count("kv_num_heads")?);
    let query = call.tensor(0)?;
    let (q, k, v) = match (call.optional(1)?, call.optional(2)?) {
        (Some(k), Some(v)) => (query, k, v),
        (None, None) => {
            let width = call.shape(query).factor(2).ok_or("input 0 must have three axes")? as i64;
            let size = width / (heads + 2 * key_heads);
            let [own, shared] = [heads * size, key_heads * size].map(|width| u32::try_from(width).unwrap_or(u32::MAX));
            let after = own.checked_add(shared).ok_or("input 0 is too wide")?;
            (columns(call, query, 0, own)?, columns(call, query, own, shared)?, columns(call, query, after, shared)?)
        }
        _ => return Err("key and value must be given together".into()),
    };
    if call.shape(q).rank() != 3 {
        return Err("input 0 must have three axes".into());
    }
    Ok([
        Headed::new(call, q, Some(heads), "num_heads")?,
        Headed::new(call, k, Some(key_heads), "kv_num_heads")?,
        Headed::new(call, v, Some(key_heads), "kv_num_heads")?,
    ])
}

fn plus(call: &mut Call<'_>, x: TensorId, number: i32) -> Result<TensorId, Refusal> {
    let number = call.constant(DType::I32, &[], &[number])?;
    call.add(Binary { kind: BinaryKind::Add }, &[x, number])
}

fn steps(call: &mut Call<'_>, q: &Headed) -> Result<Steps, Refusal> {
    let ends = call.tensor(5)?;
    let ends = if call.dtype(ends) == DType::I32 { ends } else { call.add(Cast { to: DType::I32 }, &[ends])? };
    let total = match call.integers(6)?.as_slice() {
        &[total] => usize::try_from(total).ok().filter(|&total| total >= q.rows(call)),
        _ => None,
    };
    let total = total.ok_or("input 6, total_sequence_length, must be one number, no less than there are queries")?;
    let count = q.rows(call);
    let lengths = plus(call, ends, 1)?;
    let starts = plus(call, lengths, -(count as i32))?;
    let zero = call.constant(DType::I32, &[], &[0i32])?;
    let starts = call.add(Binary { kind: BinaryKind::Max }, &[starts, zero])?;
    Ok(Steps { lengths, starts, count, total })
}

/// Turns the rows of queries or keys by their places.
fn turned(call: &mut Call<'_>, x: Headed, steps: &Steps) -> Result<Headed, Refusal> {
    let (cos, sin) = (call.tensor(7)?, call.tensor(8)?);
    let pairs = call.shape(cos).factor(1).ok_or("cos_cache must have two axes")? as u32;
    let interleaved = call.attributes.flag("rotary_interleaved", false)?;
    let places = match steps.is_first() {
        true => call.constant(DType::I32, &[1], &[0i32])?,
        false => {
            let shape = call.shape(steps.starts);
            let starts = call.reshape_to(steps.starts, &[shape.factor(0).unwrap_or(0), 1], shape.batch_axis())?;
            let rows: Vec<i32> = (0..steps.count as i32).collect();
            let rows = call.constant(DType::I32, &[1, rows.len()], &rows)?;
            call.add(Binary { kind: BinaryKind::Add }, &[starts, rows])?
        }
    };
    let op = RotaryEmbedding { layout: x.layout, heads: x.heads, pairs, interleaved };
    Ok(Headed { tensor: call.add(op, &[x.tensor, cos, sin, places])?, ..x })
}

/// The cache with the new rows written, `[B, heads, rows, size]`.
fn cached(call: &mut Call<'_>, past: Option<TensorId>, now: Headed, steps: &Steps) -> Result<Headed, Refusal> {
    let now = now.heads_first(call)?;
    let past = past.filter(|&past| call.shape(past).elements() != Some(0));
    let Some(past) = past else {
        return if steps.is_first() { Ok(now) } else { Err("past_key and past_value are missing".into()) };
    };
    let room = call.shape(past).factor(2).unwrap_or(0);
    let cache = if steps.total <= room {
        past
    } else if steps.total == room.saturating_add(steps.count) {
        // What stands at the end is written over where it belongs.
        call.add(Concat { axis: 2 }, &[past, now.tensor])?
    } else {
        return Err(Refusal(format!(
            "caches of {room} and {} new keys do not make up total_sequence_length, {}",
            steps.count, steps.total
        )));
    };
    let tensor = call.add(CacheWrite { axis: 2, circular: false }, &[cache, now.tensor, steps.starts])?;
    Ok(Headed { tensor, ..now })
}

pub(super) fn attention(call: &mut Call<'_>) -> Lowered {
    refuse(call)?;
    let [mut q, mut k, v] = operands(call)?;
    let steps = steps(call, &q)?;
    if call.attributes.flag("do_rotary", false)? {
        (q, k) = (turned(call, q, &steps)?, turned(call, k, &steps)?);
    } else {
        call.attributes.ignore(&["rotary_interleaved"]);
    }
    let (past_key, past_value) = (call.optional(3)?, call.optional(4)?);
    let (k, v) = (cached(call, past_key, k, &steps)?, cached(call, past_value, v, &steps)?);
    let base = plain(&q, &k, &v);
    let causal = call.attributes.flag("causal", true)?;
    let window = call.attributes.int("local_window_size")?.filter(|&window| window > 0);
    let op = Attention {
        scale: call.attributes.float("scale")?.filter(|&scale| scale != 0.0).map_or(base.scale, f64::from),
        softcap: call.attributes.float("softcap")?.unwrap_or(0.0).into(),
        left: window.map_or(-1, |window| i32::try_from(window - 1).unwrap_or(i32::MAX)),
        right: if causal { 0 } else { -1 },
        ..base
    };
    // The first queries of a prompt stand at its first keys, however long each prompt is.
    let lengths = Some(steps.lengths).filter(|_| !(steps.is_first() && causal));
    let mask = call.optional(10)?;
    let result = attend(call, op, [q.tensor, k.tensor, v.tensor], mask, lengths, false)?[0];
    Ok([result, k.tensor, v.tensor].map(Value::Tensor).to_vec())
}
