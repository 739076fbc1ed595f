//! Boxes around objects.

use ekiben_runtime::DType;
use ekiben_runtime::ops::non_max_suppression::NonMaxSuppression;

use super::super::call::{Call, Lowered, Refusal, one};
use super::known;

/// The result has as many rows as can be chosen at most, those without a box filled with -1; one that is known while the model is
/// compiled has its exact rows.
pub(super) fn non_max_suppression(call: &mut Call<'_>) -> Lowered {
    let centred = call.attributes.flag("center_point_box", false)?;
    let (boxes, scores) = (call.tensor(0)?, call.tensor(1)?);
    let count = call.shape(boxes).factors().get(1).copied().ok_or("the boxes need three axes")?;
    let most = call.optional(2)?.ok_or("without input 2 no box is chosen; empty tensors are not supported")?;
    let capacity = match known::integer(call, 2)? {
        Some(most) if most <= 0 => {
            return Err("input 2 is 0, so no box is chosen; empty tensors are not supported".into());
        }
        Some(most) => u32::try_from(most).unwrap_or(u32::MAX).min(count),
        None => count,
    };
    let inputs = [Some(boxes), Some(scores), Some(most), call.optional(3)?, call.optional(4)?];
    let used = inputs.iter().rposition(Option::is_some).unwrap_or(0);
    let result = call.add_node(NonMaxSuppression { centred, capacity }.into(), &inputs[..=used], &[])?[0];
    let Some(rows) = call.constant_integers(result) else { return one(result) };
    let rows: Vec<i64> = rows.chunks_exact(3).filter(|row| row[0] >= 0).flatten().copied().collect();
    if rows.is_empty() {
        return Err(Refusal("no box is chosen; empty tensors are not supported".to_owned()));
    }
    one(call.constant(DType::I64, &[rows.len() / 3, 3], &rows)?)
}
